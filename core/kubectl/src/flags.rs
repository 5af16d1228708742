//! kubectl's flags: `--name=value`, `--name value`, `-nvalue`, `-n value`, `-it`, `--` ends them.

use std::collections::BTreeMap;

use crate::{Failure, Result};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or `=true` and `=false`.
    Bool,
    /// A value.
    Value,
    /// A value after `=`; this one if there is none.
    Optional(&'static str),
}

/// A flag: its name, its letter (`'\0'` for none), what it takes.
pub(crate) type Flag = (&'static str, char, Takes);

use Takes::{Bool, Optional, Value};

/// Flags that every command knows.
pub(crate) const COMMON: &[Flag] = &[
    ("namespace", 'n', Value),
    ("help", 'h', Bool),
    ("kubeconfig", '\0', Value),
    ("context", '\0', Value),
    ("cluster", '\0', Value),
    ("user", '\0', Value),
    ("server", 's', Value),
    ("token", '\0', Value),
    ("request-timeout", '\0', Value),
    ("cache-dir", '\0', Value),
    ("insecure-skip-tls-verify", '\0', Bool),
    ("warnings-as-errors", '\0', Bool),
    ("match-server-version", '\0', Bool),
    ("v", 'v', Value),
];

/// `-f`, `-R`, `-k`.
pub(crate) const FILES: &[Flag] = &[("filename", 'f', Value), ("recursive", 'R', Bool), ("kustomize", 'k', Value)];
/// `-o` and what goes with it.
pub(crate) const PRINT: &[Flag] = &[
    ("output", 'o', Value),
    ("show-managed-fields", '\0', Bool),
    ("template", '\0', Value),
    ("allow-missing-template-keys", '\0', Bool),
];
/// `-l`, `--all`, `--field-selector`.
pub(crate) const SELECT: &[Flag] =
    &[("selector", 'l', Value), ("all", '\0', Bool), ("field-selector", '\0', Value), ("all-namespaces", 'A', Bool)];
/// What writes take.
pub(crate) const WRITE: &[Flag] = &[
    ("dry-run", '\0', Optional("unchanged")),
    ("field-manager", '\0', Value),
    ("validate", '\0', Optional("strict")),
    ("overwrite", '\0', Bool),
];

/// The command line of one command.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    values: BTreeMap<&'static str, Vec<String>>,
    /// What is no flag.
    pub args: Vec<String>,
    /// What stands after `--`.
    pub rest: Vec<String>,
}

impl Flags {
    /// Reads the words after the command's name.
    pub(crate) fn parse(command: &str, words: &[String], known: &[&[Flag]]) -> Result<Self> {
        let find = |name: &str| known.iter().flat_map(|f| f.iter()).chain(COMMON).find(|f| f.0 == name).copied();
        let find_letter = |c: char| known.iter().flat_map(|f| f.iter()).chain(COMMON).find(|f| f.1 == c).copied();
        let fail = |what: String| Failure::plain(format!("error: {what}\nSee 'kubectl {command} --help' for usage."));
        let mut out = Flags::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                out.rest = words.cloned().collect();
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                let (name, given) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                let flag = find(name).ok_or_else(|| fail(format!("unknown flag: --{name}")))?;
                let value = match (given, flag.2) {
                    (Some(value), _) => value,
                    (None, Bool) => "true".to_owned(),
                    (None, Optional(default)) => default.to_owned(),
                    (None, Value) => words.next().cloned().ok_or_else(|| fail(format!("flag needs an argument: --{name}")))?,
                };
                out.put(flag, value);
            } else if word.len() > 1 && word.starts_with('-') {
                let mut letters = word[1..].chars();
                while let Some(letter) = letters.next() {
                    let flag = find_letter(letter).filter(|_| letter != '\0');
                    let flag = flag.ok_or_else(|| fail(format!("unknown shorthand flag: '{letter}' in {word}")))?;
                    let rest = letters.as_str();
                    let value = match (rest.strip_prefix('='), flag.2) {
                        (Some(value), _) => value.to_owned(),
                        (None, Bool) => {
                            out.put(flag, "true".to_owned());
                            continue;
                        }
                        (None, Optional(default)) => default.to_owned(),
                        (None, Value) if !rest.is_empty() => rest.to_owned(),
                        (None, Value) => {
                            let missing = || fail(format!("flag needs an argument: '{letter}' in {word}"));
                            words.next().cloned().ok_or_else(missing)?
                        }
                    };
                    out.put(flag, value);
                    break;
                }
            } else {
                out.args.push(word.clone());
            }
        }
        Ok(out)
    }

    /// Sets a flag that a command implies.
    pub(crate) fn imply(&mut self, name: &'static str, value: &str) {
        self.values.entry(name).or_default().push(value.to_owned());
    }

    fn put(&mut self, flag: Flag, value: String) {
        self.values.entry(flag.0).or_default().push(value);
    }

    /// The value given last.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(|v| v.last()).map(String::as_str)
    }

    /// The value given last, or `""`.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// All values given.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// All values given, each split at its commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.all(name).iter().flat_map(|v| v.split(',')).map(str::to_owned).collect()
    }

    /// Whether a switch is on.
    pub(crate) fn on(&self, name: &str) -> bool {
        self.is(name, false)
    }

    /// Whether a switch is on that is `default` where it is not given.
    pub(crate) fn is(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, |v| matches!(v, "true" | "1" | "t" | "T" | "TRUE" | "True"))
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = || {
            Failure::new(format!(
                "invalid argument {text:?} for \"--{name}\" flag: strconv.ParseInt: parsing {text:?}: invalid syntax"
            ))
        };
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// A duration in milliseconds: `30s`, `5m`, `1h30m`, or bare seconds.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_duration(text).map(Some).ok_or_else(|| {
            Failure::new(format!("invalid argument {text:?} for \"--{name}\" flag: time: invalid duration {text:?}"))
        })
    }
}

/// Milliseconds of a Go duration.
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<u64>() {
        return seconds.checked_mul(1000);
    }
    let mut total = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| end + n);
        let millis = match &rest[end..unit_end] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        total += number * millis;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Flags::parse("get", &words, &[PRINT, SELECT, WRITE])
    }

    #[test]
    fn grammar() {
        let f = parse("pods -Aoyaml --selector=a=b -l c -n=x --dry-run --field-manager me p1 -- -x").unwrap();
        assert!(f.on("all-namespaces"));
        assert_eq!((f.text("output"), f.text("namespace"), f.text("dry-run")), ("yaml", "x", "unchanged"));
        assert_eq!((f.text("field-manager"), f.text("selector")), ("me", "c"));
        assert_eq!((f.args, f.rest), (vec!["pods".to_owned(), "p1".to_owned()], vec!["-x".to_owned()]));
        assert_eq!(parse("--nope").unwrap_err().message, "error: unknown flag: --nope\nSee 'kubectl get --help' for usage.");
        assert!(parse("-z").unwrap_err().message.starts_with("error: unknown shorthand flag: 'z' in -z"));
        assert!(parse("-o").unwrap_err().message.starts_with("error: flag needs an argument: 'o' in -o"));
        assert_eq!(parse_duration("1h2m3.5s"), Some(3_723_500));
        assert_eq!(parse_duration("x"), None);
    }
}
