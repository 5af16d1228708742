//! Aligned columns as Go's tabwriter makes them for kubectl: at least 6 wide, 3 blanks apart.

/// How columns are set.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub min_width: usize,
    pub padding: usize,
}

/// kubectl's tables.
pub(crate) const TABLE: Layout = Layout { min_width: 6, padding: 3 };
/// kubectl describe.
pub(crate) const DESCRIBE: Layout = Layout { min_width: 0, padding: 2 };

/// Rows of cells to lines of text. `widths` keeps the widths of earlier rows, for output that goes on later.
pub(crate) fn align(rows: &[Vec<String>], layout: Layout, widths: &mut Vec<usize>) -> String {
    for row in rows {
        for (i, cell) in row.iter().enumerate().take(row.len().saturating_sub(1)) {
            if widths.len() <= i {
                widths.push(0);
            }
            let width = (cell.chars().count() + layout.padding).max(layout.min_width);
            widths[i] = widths[i].max(width);
        }
    }
    let mut out = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if i + 1 < row.len() {
                let width = widths.get(i).copied().unwrap_or(0);
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
    out
}

/// Lines with tabs between their cells, aligned as tabwriter does it: a column is as long as the run of lines that have it.
pub(crate) fn tabbed(text: &str, layout: Layout) -> String {
    let rows: Vec<Vec<&str>> = text.split('\n').map(|l| l.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = rows.iter().map(|r| vec![0; r.len()]).collect();
    let deepest = rows.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..deepest.saturating_sub(1) {
        let mut start = 0;
        while start < rows.len() {
            let has = |r: usize| rows.get(r).is_some_and(|row| row.len() > column + 1);
            if !has(start) {
                start += 1;
                continue;
            }
            let end = (start..rows.len()).take_while(|r| has(*r)).count() + start;
            let longest = (start..end).filter_map(|r| rows[r].get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
            let width = (longest + layout.padding).max(layout.min_width);
            for row in widths.iter_mut().take(end).skip(start) {
                if let Some(slot) = row.get_mut(column) {
                    *slot = width;
                }
            }
            start = end;
        }
    }
    let lines = rows.iter().zip(&widths).map(|(row, widths)| {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if i + 1 < row.len() {
                line.extend(std::iter::repeat_n(' ', widths[i].saturating_sub(cell.chars().count())));
            }
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_kubectls() {
        let rows =
            |r: &[&[&str]]| -> Vec<Vec<String>> { r.iter().map(|r| r.iter().map(|c| (*c).to_owned()).collect()).collect() };
        let text = align(&rows(&[&["NAME", "READY", "AGE"], &["a-long-name", "1/1", "5m"]]), TABLE, &mut Vec::new());
        assert_eq!(text, "NAME          READY   AGE\na-long-name   1/1     5m\n");
        assert_eq!(tabbed("Name:\tx\nNamespace:\ty\n\nA:\tb", DESCRIBE), "Name:       x\nNamespace:  y\n\nA:  b");
    }
}
