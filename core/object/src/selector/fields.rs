//! Field selectors: `metadata.name=a,status.phase!=Running`. Which fields a resource knows is the apiserver's business.

use crate::order::Order as _;
use std::fmt;

/// How a term compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOperator {
    /// `=` or `==`.
    Equals,
    /// `!=`.
    NotEquals,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field's label, for example `metadata.name`.
    pub field: String,
    /// The comparison.
    pub operator: FieldOperator,
    /// Its right side.
    pub value: String,
}

/// All terms must hold. The empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Reads the text form. `\`, `,` and `=` in values are escaped with `\`. The error is Kubernetes' message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split_terms(text);
        parts.order();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let Some((field, operator, value)) = split_term(part) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            terms.push(FieldTerm { field: field.to_owned(), operator, value: unescape(value)? });
        }
        Ok(FieldSelector { terms })
    }

    /// Adds what one field must be equal to.
    pub fn and(mut self, field: &str, value: &str) -> Self {
        self.terms.push(FieldTerm { field: field.to_owned(), operator: FieldOperator::Equals, value: value.to_owned() });
        self
    }

    /// The terms, ordered by their text.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether this selector matches everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `field` must be equal to, if there is one.
    pub fn requires_exact_match(&self, field: &str) -> Option<&str> {
        let exact = |t: &&FieldTerm| t.operator == FieldOperator::Equals && t.field == field;
        self.terms.iter().find(exact).map(|t| t.value.as_str())
    }

    /// Whether an object meets every term; `field` gives the object's value for a label.
    pub fn matches<'a>(&self, mut field: impl FnMut(&str) -> std::borrow::Cow<'a, str>) -> bool {
        self.terms.iter().all(|t| (field(&t.field) == t.value) == (t.operator == FieldOperator::Equals))
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if term.operator == FieldOperator::Equals { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", term.field)?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(term: &str) -> Option<(&str, FieldOperator, &str)> {
    let at = term.char_indices().find(|(i, c)| *c == '=' || term[*i..].starts_with("!="))?.0;
    let (field, rest) = term.split_at(at);
    let (operator, value) = match (rest.strip_prefix("!="), rest.strip_prefix("==")) {
        (Some(value), _) => (FieldOperator::NotEquals, value),
        (None, Some(value)) => (FieldOperator::Equals, value),
        (None, None) => (FieldOperator::Equals, rest.strip_prefix('=')?),
    };
    Some((field, operator, value))
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c))),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_matches_and_writes() {
        let s = FieldSelector::parse("b!=x,a==1,c=d\\,e").unwrap();
        assert_eq!(s.to_string(), "a=1,b!=x,c=d\\,e");
        assert_eq!(s.requires_exact_match("a"), Some("1"));
        assert_eq!(s.requires_exact_match("b"), None);
        let object = |b: &'static str| {
            move |f: &str| {
                if f == "a" {
                    "1"
                } else if f == "c" {
                    "d,e"
                } else {
                    b
                }
                .into()
            }
        };
        assert!(s.matches(object("y")));
        assert!(!s.matches(object("x")));
        assert_eq!(FieldSelector::parse("a in (b)").unwrap_err(), "invalid selector: 'a in (b)'; can't understand 'a in (b)'");
        assert_eq!(FieldSelector::parse("a=b=c").unwrap_err(), "invalid field selector: unescaped character in value: 61");
        assert!(FieldSelector::parse(",").unwrap().is_empty());
    }
}
