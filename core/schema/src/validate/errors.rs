//! Collecting what is wrong: paths that cost nothing until they are needed, and the checks that many kinds share.

use std::fmt;

use object::{Cause, CauseType, Value};

/// The path of a field: `spec.containers[0].env`, `data[key]`.
pub(super) enum Path<'p> {
    Root(&'p str),
    Child(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
    Key(&'p Path<'p>, &'p str),
}

impl<'p> Path<'p> {
    pub(super) fn root(name: &'p str) -> Self {
        Path::Root(name)
    }

    pub(super) fn child(&'p self, name: &'p str) -> Path<'p> {
        Path::Child(self, name)
    }

    pub(super) fn index(&'p self, index: usize) -> Path<'p> {
        Path::Index(self, index)
    }

    pub(super) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root(name) => f.write_str(name),
            Path::Child(above, name) => write!(f, "{above}.{name}"),
            Path::Index(above, index) => write!(f, "{above}[{index}]"),
            Path::Key(above, key) => write!(f, "{above}[{key}]"),
        }
    }
}

/// Everything that is wrong, in order.
#[derive(Default)]
pub(super) struct Errors(Vec<Cause>);

pub(super) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

impl Errors {
    pub(super) fn take(self) -> Vec<Cause> {
        self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn required(&mut self, path: &Path<'_>, detail: &str) {
        self.0.push(Cause::required(path.to_string(), detail));
    }

    pub(super) fn invalid(&mut self, path: &Path<'_>, value: &Value, detail: &str) {
        self.0.push(Cause::invalid(path.to_string(), value, detail));
    }

    /// Like [`Errors::invalid`] for a value that is shown as Go's internal types are written.
    pub(super) fn invalid_shown(&mut self, path: &Path<'_>, shown: &str, detail: &str) {
        let message = format!("Invalid value: {shown}: {detail}");
        self.0.push(Cause { reason: CauseType::Invalid, field: path.to_string(), message });
    }

    /// Like [`Errors::invalid`] without showing the value.
    pub(super) fn invalid_bare(&mut self, path: &Path<'_>, detail: &str) {
        let message = format!("Invalid value: {detail}");
        self.0.push(Cause { reason: CauseType::Invalid, field: path.to_string(), message });
    }

    /// Like [`Errors::unsupported`] for a value that is shown as Go's internal types are written.
    pub(super) fn unsupported_shown(&mut self, path: &Path<'_>, shown: &str, supported: &[&str]) {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let message = format!("Unsupported value: {shown}: supported values: {}", list.join(", "));
        self.0.push(Cause { reason: CauseType::NotSupported, field: path.to_string(), message });
    }

    pub(super) fn forbidden(&mut self, path: &Path<'_>, detail: &str) {
        self.0.push(Cause::forbidden(path.to_string(), detail));
    }

    pub(super) fn duplicate(&mut self, path: &Path<'_>, value: &Value) {
        self.0.push(Cause::duplicate(path.to_string(), value));
    }

    pub(super) fn duplicate_shown(&mut self, path: &Path<'_>, shown: &str) {
        let message = format!("Duplicate value: {shown}");
        self.0.push(Cause { reason: CauseType::Duplicate, field: path.to_string(), message });
    }

    /// Like [`Errors::duplicate_shown`], saying what must be unique.
    pub(super) fn duplicate_because(&mut self, path: &Path<'_>, shown: &str, detail: &str) {
        self.duplicate_shown(path, &format!("{shown}: {detail}"));
    }

    /// Like [`Errors::not_found`], saying where it was looked for.
    pub(super) fn not_found_in(&mut self, path: &Path<'_>, name: &str, detail: &str) {
        let message = format!("Not found: {name:?}: {detail}");
        self.0.push(Cause { reason: CauseType::NotFound, field: path.to_string(), message });
    }

    pub(super) fn not_found(&mut self, path: &Path<'_>, value: &Value) {
        self.0.push(Cause::not_found(path.to_string(), value));
    }

    pub(super) fn unsupported(&mut self, path: &Path<'_>, value: &Value, supported: &[&str]) {
        self.0.push(Cause::not_supported(path.to_string(), value, supported));
    }

    pub(super) fn too_long(&mut self, path: &Path<'_>, max: usize) {
        self.0.push(Cause::too_long(path.to_string(), max));
    }

    pub(super) fn too_many(&mut self, path: &Path<'_>, actual: usize, max: usize) {
        self.0.push(Cause::too_many(path.to_string(), actual, max));
    }

    /// One error for each thing a rule of [`object::names`] finds.
    pub(super) fn all(&mut self, path: &Path<'_>, value: &Value, details: Vec<String>) {
        for detail in details {
            self.invalid(path, value, &detail);
        }
    }

    /// Checks a text by a rule of [`object::names`].
    pub(super) fn name(&mut self, path: &Path<'_>, text: &str, rule: fn(&str) -> Vec<String>) {
        self.all(path, &Value::from(text), rule(text));
    }

    /// A number, where there is one, is not negative.
    pub(super) fn not_negative(&mut self, path: &Path<'_>, value: &Value) {
        if value.as_i64().is_some_and(|n| n < 0) {
            self.invalid(path, value, NOT_NEGATIVE);
        }
    }

    /// A text is one of `supported`; an absent one is required.
    pub(super) fn one_of(&mut self, path: &Path<'_>, value: &Value, supported: &[&str]) {
        match value.as_str() {
            None | Some("") => self.required(path, ""),
            Some(text) if supported.contains(&text) => {}
            Some(_) => self.unsupported(path, value, supported),
        }
    }

    /// A text, where there is one, is one of `supported`.
    pub(super) fn one_of_if_any(&mut self, path: &Path<'_>, value: &Value, supported: &[&str]) {
        if value.as_str().is_some_and(|text| !supported.contains(&text)) {
            self.unsupported(path, value, supported);
        }
    }

    /// A user or a group of Linux, where there is one.
    pub(super) fn id(&mut self, path: &Path<'_>, value: &Value) {
        if value.as_i64().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
            self.invalid(path, value, "must be between 0 and 2147483647, inclusive");
        }
    }

    /// `IsDomainPrefixedPath`.
    pub(super) fn domain_path(&mut self, path: &Path<'_>, value: &str) {
        if value.is_empty() {
            return self.required(path, "");
        }
        let Some((host, rest)) = value.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty()) else {
            return self.invalid(path, &value.into(), "must be a domain-prefixed path (such as \"acme.io/foo\")");
        };
        self.name(path, host, object::names::dns1123_subdomain);
        if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
            let detail = object::names::regex_error("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+", &[]);
            self.invalid(path, &rest.into(), &detail);
        }
    }

    /// `ValidateImmutableField`.
    pub(super) fn immutable(&mut self, path: &Path<'_>, new: &Value, old: &Value) {
        if new != old {
            self.invalid(path, new, "field is immutable");
        }
    }

    /// `ValidatePositiveIntOrPercent`.
    pub(super) fn int_or_percent(&mut self, path: &Path<'_>, value: &Value) {
        match value {
            Value::String(text) => self.all(path, value, object::names::percent(text)),
            Value::Number(_) => self.not_negative(path, value),
            _ => {}
        }
    }

    /// `IsNotMoreThan100Percent`.
    pub(super) fn at_most_100_percent(&mut self, path: &Path<'_>, value: &Value) {
        if percent(value).is_some_and(|p| p > 100) {
            self.invalid(path, value, "must not be greater than 100%");
        }
    }
}

/// The number before `%`, if this is a percentage.
pub(super) fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// The text, or `""`.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// The items, or none.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
