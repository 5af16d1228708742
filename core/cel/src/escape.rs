//! Names of fields as expressions write them: what is no identifier is written in an escaped form.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#escaping>

/// Words of the language, which are written between underscores.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Whether CEL keeps a word for itself.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// What stands for what. Underscores come first, so that none of the others is taken for them.
const SIGNS: [(&str, &str); 4] = [("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// A field's name as expressions write it; `None` for what they cannot name.
pub fn escaped(name: &str) -> Option<String> {
    if is_reserved(name) {
        return Some(format!("__{name}__"));
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let escaped = SIGNS.iter().fold(name.to_owned(), |name, (sign, written)| name.replace(sign, written));
    escaped.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(escaped)
}

/// The field's name that an expression wrote.
pub fn unescaped(name: &str) -> String {
    let word = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    if let Some(word) = word.filter(|word| is_reserved(word)) {
        return word.to_owned();
    }
    SIGNS.iter().rev().fold(name.to_owned(), |name, (sign, written)| name.replace(written, sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_identifiers() {
        for (name, written) in [
            ("name", Some("name")),
            ("namespace", Some("__namespace__")),
            ("my-key", Some("my__dash__key")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("a__b", Some("a__underscores__b")),
            ("int", Some("int")),
            ("1st", None),
            ("a b", None),
            ("ä", None),
            ("", None),
        ] {
            assert_eq!(escaped(name).as_deref(), written, "{name}");
            assert_eq!(written.map(unescaped), written.map(|_| name.to_owned()), "{name}");
        }
    }
}
