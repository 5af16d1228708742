//! A line being edited: what keys do to it, and what must be written to the screen so that it looks right.

/// What a key asks of the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Nothing but what is to be written.
    None,
    /// Run this line.
    Run(String),
    /// Complete what is before the cursor.
    Complete,
    /// Give up the line, or interrupt what runs.
    Interrupt,
    /// Clear the screen.
    Clear,
}

/// A line editor with history.
#[derive(Clone, Debug, Default)]
pub struct LineEditor {
    letters: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// Index into the history while browsing it; `history.len()` is the new line.
    at: usize,
    /// The new line, while browsing.
    draft: String,
}

const MAX_HISTORY: usize = 500;

impl LineEditor {
    /// With the history of an earlier visit, one line each.
    pub fn with_history(lines: &str) -> Self {
        let history: Vec<String> = lines.lines().map(str::to_owned).collect();
        LineEditor { at: history.len(), history, ..LineEditor::default() }
    }

    /// The history, oldest first.
    pub fn history(&self) -> &[String] {
        &self.history
    }

    /// The text before the cursor.
    pub fn before_cursor(&self) -> String {
        self.letters[..self.cursor].iter().collect()
    }

    /// The whole line.
    pub fn text(&self) -> String {
        self.letters.iter().collect()
    }

    /// How many columns the cursor is left of the line's end.
    pub fn columns_after(&self) -> usize {
        self.letters.len() - self.cursor
    }

    /// Puts text in at the cursor.
    pub fn insert(&mut self, text: &str) {
        let letters = text.chars().filter(|c| !c.is_control());
        let tail = self.letters.split_off(self.cursor);
        self.letters.extend(letters);
        self.cursor = self.letters.len();
        self.letters.extend(tail);
    }

    /// Takes one key as xterm encodes it, or pasted text. Pasted lines run one after the other: the shell gets them
    /// back as the rest.
    pub fn key(&mut self, key: &str) -> Wish {
        match key {
            "\r" | "\n" => return self.run(),
            "\t" => return Wish::Complete,
            "\x03" => {
                self.reset();
                return Wish::Interrupt;
            }
            "\x0c" => return Wish::Clear,
            "\x7f" | "\x08" => {
                if self.cursor > 0 {
                    self.cursor -= 1;
                    self.letters.remove(self.cursor);
                }
            }
            "\x1b[3~" | "\x04" => {
                if self.cursor < self.letters.len() {
                    self.letters.remove(self.cursor);
                }
            }
            "\x1b[D" | "\x02" => self.cursor = self.cursor.saturating_sub(1),
            "\x1b[C" | "\x06" => self.cursor = (self.cursor + 1).min(self.letters.len()),
            "\x1b[H" | "\x1bOH" | "\x01" => self.cursor = 0,
            "\x1b[F" | "\x1bOF" | "\x05" => self.cursor = self.letters.len(),
            "\x1b[A" | "\x10" => self.browse(-1),
            "\x1b[B" | "\x0e" => self.browse(1),
            "\x0b" => self.letters.truncate(self.cursor),
            "\x15" => drop(self.letters.drain(..std::mem::take(&mut self.cursor))),
            "\x17" => self.erase_word(),
            "\x1b[1;5D" | "\x1bb" => self.cursor = self.word_start(),
            "\x1b[1;5C" | "\x1bf" => self.cursor = self.word_end(),
            key if key.starts_with('\x1b') => {}
            text => self.insert(text),
        }
        Wish::None
    }

    fn run(&mut self) -> Wish {
        let line = self.text();
        self.reset();
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
            if self.history.len() > MAX_HISTORY {
                self.history.remove(0);
            }
        }
        self.at = self.history.len();
        Wish::Run(line)
    }

    fn reset(&mut self) {
        self.letters.clear();
        self.cursor = 0;
        self.at = self.history.len();
    }

    fn browse(&mut self, by: isize) {
        if self.at == self.history.len() {
            self.draft = self.text();
        }
        self.at = self.at.saturating_add_signed(by).min(self.history.len());
        let line = self.history.get(self.at).unwrap_or(&self.draft);
        self.letters = line.chars().collect();
        self.cursor = self.letters.len();
    }

    fn erase_word(&mut self) {
        let start = self.word_start();
        self.letters.drain(start..self.cursor);
        self.cursor = start;
    }

    fn word_start(&self) -> usize {
        let before = &self.letters[..self.cursor];
        let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |at| at + 1);
        before[..end].iter().rposition(|c| c.is_whitespace()).map_or(0, |at| at + 1)
    }

    fn word_end(&self) -> usize {
        let after = &self.letters[self.cursor..];
        let start = after.iter().position(|c| !c.is_whitespace()).unwrap_or(after.len());
        let length = after[start..].iter().position(|c| c.is_whitespace()).unwrap_or(after.len() - start);
        self.cursor + start + length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_keys(editor: &mut LineEditor, keys: &[&str]) -> Wish {
        keys.iter().fold(Wish::None, |_, key| editor.key(key))
    }

    #[test]
    fn edits() {
        let cases: [(&str, &[&str], &str, usize); 8] = [
            ("typing", &["a", "b", "c"], "abc", 0),
            ("insert in the middle", &["ac", "\x1b[D", "b"], "abc", 1),
            ("backspace", &["abc", "\x7f"], "ab", 0),
            ("delete", &["abc", "\x01", "\x1b[3~"], "bc", 2),
            ("erase word", &["get pods  ", "\x17"], "get ", 0),
            ("kill to the end", &["abcd", "\x1b[D", "\x1b[D", "\x0b"], "ab", 0),
            ("kill to the start", &["abcd", "\x1b[D", "\x15"], "d", 1),
            ("by words", &["one two", "\x1bb", "\x1bb", "\x1bf"], "one two", 4),
        ];
        for (name, keys, text, columns_after) in cases {
            let mut editor = LineEditor::default();
            type_keys(&mut editor, keys);
            assert_eq!((editor.text().as_str(), editor.columns_after()), (text, columns_after), "{name}");
        }
    }

    #[test]
    fn history_is_browsed_and_the_draft_kept() {
        let mut editor = LineEditor::with_history("one\ntwo");
        type_keys(&mut editor, &["dra", "\x1b[A"]);
        assert_eq!(editor.text(), "two");
        type_keys(&mut editor, &["\x1b[A", "\x1b[A", "\x1b[A"]);
        assert_eq!(editor.text(), "one");
        type_keys(&mut editor, &["\x1b[B", "\x1b[B"]);
        assert_eq!(editor.text(), "dra");
        assert_eq!(editor.key("\r"), Wish::Run("dra".to_owned()));
        assert_eq!(editor.history(), ["one", "two", "dra"]);
        assert_eq!(type_keys(&mut editor, &["x", "\x03"]), Wish::Interrupt);
        assert_eq!(editor.text(), "");
    }

    #[test]
    fn unknown_escapes_change_nothing() {
        let mut editor = LineEditor::default();
        type_keys(&mut editor, &["a", "\x1b[5~", "\x1bOP"]);
        assert_eq!(editor.text(), "a");
    }
}
