//! Writes YAML as Kubernetes' tools do (`sigs.k8s.io/yaml`): sorted keys, lists not indented under their key, texts quoted
//! only where they would be read as something else, long lines folded at 80 columns.

use crate::order::Order as _;
use std::cmp::Ordering;

use serde_json::Value;

const WIDTH: usize = 80;

/// The document for `value`, with a newline at its end.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    node(value, 0, false, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes a node that begins where the line now ends; `nested` says that a key or a dash stands before it.
fn node(value: &Value, indent: usize, nested: bool, out: &mut String) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str("{}\n"),
        Value::Array(items) if items.is_empty() => out.push_str("[]\n"),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.order_by(|a, b| key_order(a.0, b.0));
            for (i, (key, value)) in entries.into_iter().enumerate() {
                if i > 0 || !nested {
                    pad(indent, out);
                }
                let column = indent + scalar_text(key, indent, true, 0, out);
                out.push(':');
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        out.push('\n');
                        node(value, indent + 2, false, out);
                    }
                    Value::Array(items) if !items.is_empty() => {
                        out.push('\n');
                        node(value, indent, false, out);
                    }
                    Value::String(text) => {
                        out.push(' ');
                        scalar_text(text, column + 2, false, indent + 2, out);
                        out.push('\n');
                    }
                    _ => {
                        out.push(' ');
                        node(value, indent + 2, true, out);
                    }
                }
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                if i > 0 || !nested {
                    pad(indent, out);
                }
                out.push_str("- ");
                match item {
                    Value::String(text) => {
                        scalar_text(text, indent + 2, false, indent + 2, out);
                        out.push('\n');
                    }
                    _ => node(item, indent + 2, true, out),
                }
            }
        }
        Value::String(text) => {
            scalar_text(text, indent, false, indent + 2, out);
            out.push('\n');
        }
        Value::Number(_) => {
            out.push_str(&crate::jsonpath::printed(value));
            out.push('\n');
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Writes a text and gives its width. `column` is where it begins, `indent` where further lines of it begin.
fn scalar_text(text: &str, column: usize, is_key: bool, indent: usize, out: &mut String) -> usize {
    let start = out.len();
    let printable = text.chars().all(|c| c == '\n' || is_printable(c));
    let spaced_break = text.contains(" \n");
    if text.contains('\n') && !is_key && printable && !spaced_break && !text.starts_with(['\n', ' ']) {
        literal(text, indent, out);
    } else if !printable || text.contains('\n') || resolves(text) {
        double_quoted(text, column, is_key, indent, out);
    } else if plain_allowed(text) {
        folded(text, column, is_key, indent, out);
    } else {
        out.push('\'');
        folded(&text.replace('\'', "''"), column + 1, is_key, indent, out);
        out.push('\'');
    }
    out[start..].chars().count()
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && c != '\u{feff}'
        && c != '\u{2028}'
        && c != '\u{2029}'
        && c != '\u{85}'
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    let body = match text.strip_suffix('\n') {
        None => {
            out.push('-');
            text
        }
        Some(body) if body.ends_with('\n') || body.is_empty() => {
            out.push('+');
            body
        }
        Some(body) => body,
    };
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
    }
}

/// Breaks lines at single spaces once they are too long.
fn folded(text: &str, mut column: usize, is_key: bool, indent: usize, out: &mut String) {
    let chars: Vec<char> = text.chars().collect();
    let mut spaces = false;
    for (i, c) in chars.iter().enumerate() {
        if *c == ' ' {
            let inside = i > 0 && i + 1 < chars.len() && chars.get(i + 1) != Some(&' ');
            if !is_key && !spaces && column > WIDTH && inside {
                out.push('\n');
                pad(indent, out);
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
            spaces = true;
        } else {
            out.push(*c);
            column += 1;
            spaces = false;
        }
    }
}

fn double_quoted(text: &str, mut column: usize, is_key: bool, indent: usize, out: &mut String) {
    out.push('"');
    column += 1;
    let mut spaces = false;
    let count = text.chars().count();
    let mut chars = text.chars().enumerate().peekable();
    while let Some((i, c)) = chars.next() {
        let before = out.len();
        match c {
            ' ' if !is_key && !spaces && column > WIDTH && i > 0 && i + 1 < count => {
                out.push('\n');
                pad(indent, out);
                column = indent;
                if chars.peek().is_some_and(|(_, c)| *c == ' ') {
                    out.push('\\');
                    column += 1;
                }
                spaces = true;
                continue;
            }
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
        spaces = c == ' ';
        column += out[before..].chars().count();
    }
    out.push('"');
}

/// Whether a plain text would be read as something that is no text.
fn resolves(text: &str) -> bool {
    const WORDS: [&str; 14] = ["", "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", ".inf", ".nan", "<<"];
    let lower = text.to_ascii_lowercase();
    let cased = text == lower || text == text.to_ascii_uppercase() || {
        let mut chars = text.chars();
        chars.next().is_some_and(|c| c.is_ascii_uppercase()) && chars.as_str().bytes().all(|b| !b.is_ascii_uppercase())
    };
    if (WORDS.contains(&lower.as_str()) && cased) || matches!(lower.as_str(), "-.inf" | "+.inf") {
        return true;
    }
    is_number(text) || is_base60(text) || is_timestamp(text)
}

fn is_number(text: &str) -> bool {
    let bare = text.replace('_', "");
    let unsigned = bare.strip_prefix(['-', '+']).unwrap_or(&bare);
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) || text.starts_with('_') {
        return false;
    }
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0b", 2), ("0o", 8)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        }
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let dots = mantissa.bytes().filter(|b| *b == b'.').count();
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit())
    });
    digits > 0 && dots <= 1 && digits + dots == mantissa.len() && exponent_ok
}

/// `1:30`: YAML 1.1 reads such texts as numbers to the base of 60.
fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts
        .next()
        .is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()) && p.bytes().all(|b| b.is_ascii_digit() || b == b'_'));
    let mut more = 0;
    let rest = parts.all(|p| {
        more += 1;
        let whole = p.split('.').next().unwrap_or("");
        let two = matches!(whole.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
        two && p[whole.len()..].bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'_')
    });
    first && rest && more > 0
}

fn is_timestamp(text: &str) -> bool {
    let b = text.as_bytes();
    let digits = |from: usize, to: usize| b.get(from..to).is_some_and(|s| s.iter().all(u8::is_ascii_digit));
    let date = digits(0, 4) && b.get(4) == Some(&b'-') && digits(5, 7) && b.get(7) == Some(&b'-') && digits(8, 10);
    date && (b.len() == 10 || crate::Time::parse(text).is_some() || {
        b.get(10) == Some(&b' ')
            && digits(11, 13)
            && b.get(13) == Some(&b':')
            && digits(14, 16)
            && b.get(16) == Some(&b':')
            && digits(17, 19)
    })
}

fn plain_allowed(text: &str) -> bool {
    let mut chars = text.chars();
    let (Some(first), second) = (chars.next(), chars.next()) else { return false };
    let blank_next = second.is_none_or(|c| c == ' ');
    if text.starts_with("---") || text.starts_with("...") || text.starts_with(' ') || text.ends_with(' ') || text.contains('\t') {
        return false;
    }
    let indicator = "#,[]{}&*!|>'\"%@`".contains(first) || (matches!(first, '?' | ':' | '-') && blank_next);
    let colon = text.contains(": ") || text.ends_with(':');
    !indicator && !colon && !text.contains(" #")
}

/// The order of keys: numbers in a name count as numbers, and what is no letter comes before letters.
pub fn key_order(a: &str, b: &str) -> Ordering {
    let (ar, br): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(i) = ar.iter().zip(&br).position(|(x, y)| x != y) else { return ar.len().cmp(&br.len()) };
    let (x, y) = (ar[i], br[i]);
    if x.is_alphabetic() && y.is_alphabetic() {
        return x.cmp(&y);
    }
    if x.is_alphabetic() || y.is_alphabetic() {
        return if y.is_alphabetic() { Ordering::Less } else { Ordering::Greater };
    }
    let run = |chars: &[char]| chars[i..].iter().take_while(|c| c.is_ascii_digit()).count();
    let lead =
        if x == '0' || y == '0' { ar[..i].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0') } else { false };
    let number = |chars: &[char]| {
        let digits = chars[i..].iter().take_while(|c| c.is_ascii_digit()).take(17);
        digits.fold(i64::from(lead), |n, c| n * 10 + i64::from(c.to_digit(10).unwrap_or(0)))
    };
    number(&ar).cmp(&number(&br)).then(run(&ar).cmp(&run(&br))).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn looks_like_kubectl() {
        let value = json!({
            "items": [{"a": 1, "b": [[1], {}]}, "x"], "empty": {}, "none": [], "null": null, "n10": 1, "n9": 1.5,
            "bool": "true", "yes": "yes", "num": "1", "float": "1e3", "time": "2026-01-01T00:00:00Z", "plain": "a b", "colon": "a: b",
            "hash": "a #b", "star": "*", "space": " a", "multi": "a\nb\n", "multi2": "a\nb", "tab": "a\tb", "e": "", "img": "nginx:1.2",
            "quote": "it's", "q2": "'x'", "port": "80:90", "dash": "-", "k8s.io/x": "1Gi", "ip": "10.0.0.1",
        });
        let expect = "\
bool: \"true\"
colon: 'a: b'
dash: '-'
e: \"\"
empty: {}
float: \"1e3\"
hash: 'a #b'
img: nginx:1.2
ip: 10.0.0.1
items:
- a: 1
  b:
  - - 1
  - {}
- x
k8s.io/x: 1Gi
multi: |
  a
  b
multi2: |-
  a
  b
n9: 1.5
n10: 1
none: []
\"null\": null
num: \"1\"
plain: a b
port: 80:90
q2: '''x'''
quote: it's
space: ' a'
star: '*'
tab: \"a\\tb\"
time: \"2026-01-01T00:00:00Z\"
\"yes\": \"yes\"
";
        let got = to_string(&value);
        assert_eq!(got, expect, "{got}");
    }

    #[test]
    fn long_lines_are_folded() {
        let text = "word ".repeat(40);
        let got = to_string(&json!({"message": text.trim()}));
        assert!(got.lines().count() > 1 && got.lines().skip(1).all(|l| l.starts_with("  word")), "{got}");
    }
}
