//! Habits of Go that clients and their tests know: what its JSON decoder says of bytes that are not JSON, and how fields are
//! called.

/// A syntax error in the words of Go's `encoding/json`.
pub fn go_json(error: &serde_json::Error, json: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let line_start = json.split(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(|l| l.len() + 1).sum::<usize>();
    let at = line_start + error.column().saturating_sub(1);
    let found = shown(json.get(at).or_else(|| json.last()).copied().unwrap_or(b' '));
    let text = error.to_string();
    if let Some(literal) = text.contains("expected ident").then(|| in_literal(json, at)).flatten() {
        return format!("invalid character {found} in literal {literal}");
    }
    let place = if text.contains("key must be a string") {
        "looking for beginning of object key string"
    } else if text.contains("expected `:`") {
        "after object key"
    } else if text.contains("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.contains("expected `,` or `]`") {
        "after array element"
    } else if text.contains("trailing characters") {
        "after top-level value"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character {found} {place}")
}

/// The API's name of a Go field: what stands in capitals at its beginning, but for the first letter of the next word, is small.
pub fn json_name(name: &str) -> String {
    let capitals = name.bytes().take_while(u8::is_ascii_uppercase).count();
    let small = if capitals == name.len() || capitals <= 1 { capitals } else { capitals - 1 };
    let (first, rest) = name.split_at(small);
    first.to_lowercase() + rest
}

/// A character as Go quotes it.
fn shown(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => format!("{:?}", char::from(byte)),
    }
}

/// The word that ends wrongly at `at`, and what should have come there: `null (expecting 'u')`.
fn in_literal(json: &[u8], at: usize) -> Option<String> {
    let start = json.get(..at)?.iter().rev().take_while(|b| b.is_ascii_lowercase()).count();
    let word = json.get(at - start..at).filter(|word| !word.is_empty())?;
    let literal = ["null", "true", "false"].into_iter().find(|literal| literal.as_bytes().starts_with(word))?;
    let expected = *literal.as_bytes().get(word.len())?;
    Some(format!("{literal} (expecting {:?})", char::from(expected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_api_follow_from_gos() {
        for (go, api) in [
            ("DNSPolicy", "dnsPolicy"),
            ("TTY", "tty"),
            ("SELinuxOptions", "seLinuxOptions"),
            ("HostPID", "hostPID"),
            ("Name", "name"),
            ("GCEPersistentDisk", "gcePersistentDisk"),
        ] {
            assert_eq!(json_name(go), api);
        }
    }

    #[test]
    fn errors_are_told_in_gos_words() {
        for (json, expected) in [
            ("", "unexpected end of JSON input"),
            ("{not", "invalid character 'n' looking for beginning of object key string"),
            ("not", "invalid character 'o' in literal null (expecting 'u')"),
            ("trap", "invalid character 'a' in literal true (expecting 'u')"),
            ("data", "invalid character 'd' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair"),
            ("{}\n}", "invalid character '}' after top-level value"),
        ] {
            let error = serde_json::from_str::<serde_json::Value>(json).expect_err(json);
            assert_eq!(go_json(&error, json.as_bytes()), expected, "{json}");
        }
    }
}
