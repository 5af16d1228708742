//! What changed between two texts, line by line, in the form of `diff -u`, as Go's difflib finds it.

use object::order::Order as _;
use std::collections::BTreeMap;

/// Lines around a change.
const CONTEXT: usize = 3;
/// Texts with more work than this to compare are shown as changed from their first difference to their last.
const MOST: usize = 4_000_000;

/// A run of lines that stands in both texts: where, and how many.
#[derive(Clone, Copy)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

/// The hunks that turn `a` into `b`, without a header; empty if they are equal.
pub(crate) fn unified(a: &str, b: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('\n').collect(), b.split('\n').collect());
    let mut out = String::new();
    let mut hunk: Vec<[usize; 4]> = Vec::new();
    for change in changes(&runs(&a, &b), a.len(), b.len()) {
        if hunk.last().is_some_and(|last| change[0] - last[1] > 2 * CONTEXT) {
            show(&mut out, &hunk, &a, &b);
            hunk.clear();
        }
        hunk.push(change);
    }
    show(&mut out, &hunk, &a, &b);
    out
}

/// What lies between the runs: from and to in the first text, from and to in the second.
fn changes(runs: &[Run], a: usize, b: usize) -> Vec<[usize; 4]> {
    let end = Run { a, b, len: 0 };
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    for run in runs.iter().chain([&end]) {
        if run.a > i || run.b > j {
            out.push([i, run.a, j, run.b]);
        }
        (i, j) = (run.a + run.len, run.b + run.len);
    }
    out
}

fn show(out: &mut String, hunk: &[[usize; 4]], a: &[&str], b: &[&str]) {
    let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { return };
    let before = first[0].min(CONTEXT);
    let after = (a.len() - last[1]).min(CONTEXT);
    let range = |from: usize, to: usize| match to - from {
        0 => format!("{from},0"),
        1 => format!("{}", from + 1),
        n => format!("{},{n}", from + 1),
    };
    let (old, new) = (range(first[0] - before, last[1] + after), range(first[2] - before, last[3] + after));
    out.push_str(&format!("@@ -{old} +{new} @@\n"));
    let mut lines = |mark: char, lines: Option<&[&str]>| {
        for line in lines.unwrap_or(&[]) {
            out.push(mark);
            out.push_str(line);
            out.push('\n');
        }
    };
    let mut at = first[0] - before;
    for change in hunk {
        lines(' ', a.get(at..change[0]));
        lines('-', a.get(change[0]..change[1]));
        lines('+', b.get(change[2]..change[3]));
        at = change[1];
    }
    lines(' ', a.get(at..at + after));
}

/// The longest common run, then the longest ones before and behind it, and so on.
fn runs(a: &[&str], b: &[&str]) -> Vec<Run> {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (a.get(start..).unwrap_or(&[]), b.get(start..).unwrap_or(&[]));
    let end = rest_a.iter().rev().zip(rest_b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (to_a, to_b) = (a.len() - end, b.len() - end);
    let mut found = vec![Run { a: 0, b: 0, len: start }, Run { a: to_a, b: to_b, len: end }];
    if (to_a - start).saturating_mul(to_b - start) <= MOST {
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (j, line) in b.iter().enumerate() {
            places.entry(line).or_default().push(j);
        }
        if b.len() >= 200 {
            // Lines that stand everywhere say nothing about what belongs together.
            places.retain(|_, at| at.len() <= b.len() / 100 + 1);
        }
        let mut open = vec![[start, to_a, start, to_b]];
        while let Some([from_a, to_a, from_b, to_b]) = open.pop() {
            let run = longest(a, b, &places, [from_a, to_a, from_b, to_b]);
            if run.len > 0 {
                found.push(run);
                open.push([from_a, run.a, from_b, run.b]);
                open.push([run.a + run.len, to_a, run.b + run.len, to_b]);
            }
        }
    }
    found.order_by_key(|run| (run.a, run.b));
    found
}

fn longest(a: &[&str], b: &[&str], places: &BTreeMap<&str, Vec<usize>>, [from_a, to_a, from_b, to_b]: [usize; 4]) -> Run {
    let mut best = Run { a: from_a, b: from_b, len: 0 };
    // For each line of the second text, the length of the common run that ends there.
    let mut ending: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, line) in a.iter().enumerate().take(to_a).skip(from_a) {
        let mut next = BTreeMap::new();
        for j in places.get(line).into_iter().flatten().copied().filter(|j| (from_b..to_b).contains(j)) {
            let len = j.checked_sub(1).and_then(|j| ending.get(&j)).map_or(1, |len| len + 1);
            next.insert(j, len);
            if len > best.len {
                best = Run { a: i + 1 - len, b: j + 1 - len, len };
            }
        }
        ending = next;
    }
    while best.a > from_a && best.b > from_b && a.get(best.a - 1) == b.get(best.b - 1) {
        best = Run { a: best.a - 1, b: best.b - 1, len: best.len + 1 };
    }
    while best.a + best.len < to_a && best.b + best.len < to_b && a.get(best.a + best.len) == b.get(best.b + best.len) {
        best.len += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks() {
        let a: Vec<String> = (1..=30).map(|n| n.to_string()).collect();
        let mut b = a.clone();
        b[9] = "ten".to_owned();
        b.remove(12);
        b.push("31".to_owned());
        expect_test::expect![[r#"
            @@ -7,10 +7,9 @@
             7
             8
             9
            -10
            +ten
             11
             12
            -13
             14
             15
             16
            @@ -28,3 +27,4 @@
             28
             29
             30
            +31
        "#]]
        .assert_eq(&unified(&a.join("\n"), &b.join("\n")));
        assert_eq!(unified("same\n", "same\n"), "");
        assert_eq!(unified("a", "b"), "@@ -1 +1 @@\n-a\n+b\n");
    }
}
