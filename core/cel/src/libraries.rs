//! Kubernetes' libraries of versions (`semver`) and of named formats (`format`).
//!
//! <https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-semver-library>

use std::cmp::Ordering;
use std::sync::Arc;

use object::{Time, names};
use regex_lite::Regex;

use crate::eval::{EvalError, Result};
use crate::strings;
use crate::value::Value;

/// The formats that have a name.
const FORMATS: [&str; 13] = [
    "byte",
    "date",
    "datetime",
    "dns1035Label",
    "dns1035LabelPrefix",
    "dns1123Label",
    "dns1123LabelPrefix",
    "dns1123Subdomain",
    "dns1123SubdomainPrefix",
    "labelValue",
    "qualifiedName",
    "uri",
    "uuid",
];

/// A format by its name.
pub fn format(name: &str) -> Option<Value> {
    FORMATS.iter().find(|known| **known == name).map(|name| Value::Format(name))
}

/// A semantic version, in its order: what was built does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Part>,
}

/// A part of a prerelease: numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Semver {
    /// Compares: a release comes after its prereleases.
    pub fn compare(&self, other: &Semver) -> Ordering {
        let released = self.pre.is_empty().cmp(&other.pre.is_empty());
        self.numbers.cmp(&other.numbers).then(released).then_with(|| self.pre.cmp(&other.pre))
    }

    /// As text.
    pub fn shown(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let mut out = format!("{major}.{minor}.{patch}");
        for (i, part) in self.pre.iter().enumerate() {
            out.push(if i == 0 { '-' } else { '.' });
            match part {
                Part::Number(n) => out += &n.to_string(),
                Part::Word(word) => out += word,
            }
        }
        out
    }

    fn parse(text: &str, normalize: bool) -> std::result::Result<Self, String> {
        let text = if normalize { text.trim_start_matches('v') } else { text };
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (release, rest) = text.split_at(end);
        let parts: Vec<&str> = release.split('.').collect();
        if parts.len() > 3 || parts.len() < 3 && (!normalize || !rest.is_empty()) {
            return Err("No Major.Minor.Patch elements found".to_owned());
        }
        let mut numbers = [0; 3];
        for ((number, part), name) in numbers.iter_mut().zip(parts).zip(["Major", "Minor", "Patch"]) {
            *number = whole(part, name, normalize)?;
        }
        let (pre, build) = rest.split_once('+').map_or((rest, None), |(pre, build)| (pre, Some(build)));
        let words = |list: &str| {
            list.split('.').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        };
        let pre = pre.strip_prefix('-');
        if pre.into_iter().chain(build).any(|list| !words(list)) {
            return Err(format!("Invalid character(s) found in prerelease or build of {text:?}"));
        }
        let mut found = Vec::new();
        for part in pre.into_iter().flat_map(|pre| pre.split('.')) {
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                found.push(Part::Word(part.to_owned()));
            } else if part.len() > 1 && part.starts_with('0') {
                return Err(format!("Numeric PreRelease version must not contain leading zeroes {part:?}"));
            } else {
                found.push(Part::Number(part.parse().map_err(|_| format!("prerelease {part:?} is too large"))?));
            }
        }
        Ok(Semver { numbers, pre: found })
    }
}

fn whole(part: &str, name: &str, normalize: bool) -> std::result::Result<u64, String> {
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {} number {part:?}", name.to_ascii_lowercase()));
    }
    if part.len() > 1 && part.starts_with('0') && !normalize {
        return Err(format!("{name} number must not contain leading zeroes {part:?}"));
    }
    part.parse().map_err(|_| format!("{name} number {part:?} is too large"))
}

/// A function of these libraries; `None` where there is none of this name for these values.
pub fn call(name: &str, values: &[Value]) -> Option<Result> {
    let bool = |b: bool| Some(Ok(Value::Bool(b)));
    match (name, values) {
        ("semver" | "isSemver", [Value::Text(text), normalize @ ..]) => {
            let normalize = match normalize {
                [] => false,
                [Value::Bool(normalize)] => *normalize,
                _ => return None,
            };
            let read = Semver::parse(text, normalize);
            if name == "isSemver" {
                return bool(read.is_ok());
            }
            Some(read.map(|version| Value::Semver(Arc::new(version))).map_err(EvalError))
        }
        ("major" | "minor" | "patch", [Value::Semver(version)]) => {
            let [major, minor, patch] = version.numbers;
            let number = match name {
                "major" => major,
                "minor" => minor,
                _ => patch,
            };
            Some(Ok(Value::Int(i64::try_from(number).unwrap_or(i64::MAX))))
        }
        ("isLessThan", [Value::Semver(a), Value::Semver(b)]) => bool(a.compare(b).is_lt()),
        ("isGreaterThan", [Value::Semver(a), Value::Semver(b)]) => bool(a.compare(b).is_gt()),
        ("compareTo", [Value::Semver(a), Value::Semver(b)]) => Some(Ok(Value::Int(a.compare(b) as i64))),
        ("format.named", [Value::Text(name)]) => Some(Ok(Value::Optional(format(name).map(Arc::new)))),
        ("validate", [Value::Format(name), Value::Text(text)]) => {
            let wrong: Vec<Value> = validate(name, text).into_iter().map(Value::from).collect();
            Some(Ok(Value::Optional((!wrong.is_empty()).then(|| Arc::new(Value::List(Arc::new(wrong)))))))
        }
        ("jsonpatch.escapeKey", [Value::Text(key)]) => Some(Ok(key.replace('~', "~0").replace('/', "~1").into())),
        (name, []) => name.strip_prefix("format.").and_then(format).map(Ok),
        _ => None,
    }
}

/// What is wrong with a text that should have a format.
fn validate(format: &str, text: &str) -> Vec<String> {
    // What follows a prefix is generated, so it may end in a dash.
    let (format, prefix) = format.strip_suffix("Prefix").map_or((format, false), |format| (format, true));
    let masked = text.strip_suffix('-').filter(|start| prefix && !start.is_empty()).map(|start| format!("{start}a"));
    let text = masked.as_deref().unwrap_or(text);
    let unless = |holds: bool, why: &str| if holds { Vec::new() } else { vec![why.to_owned()] };
    match format {
        "dns1123Label" => names::dns1123_label(text),
        "dns1123Subdomain" => names::dns1123_subdomain(text),
        "dns1035Label" => names::dns1035_label(text),
        "qualifiedName" => names::qualified_name(text),
        "labelValue" => names::label_value(text),
        "uri" => unless(strings::url(text).is_some(), &format!("parse {text:?}: invalid URI for request")),
        "uuid" => {
            let pattern = Regex::new("^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$");
            unless(pattern.is_ok_and(|pattern| pattern.is_match(text)), "does not match the UUID format")
        }
        "byte" => {
            let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
            let known = digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
            unless(known && text.len().is_multiple_of(4), "invalid base64")
        }
        "date" => unless(text.len() == 10 && Time::parse(&format!("{text}T00:00:00Z")).is_some(), "invalid date"),
        _ => unless(Time::parse(text).is_some(), "invalid datetime"),
    }
}
