//! Label selectors (`k8s.io/apimachinery/pkg/labels`) and field selectors (`.../fields`): reading, matching, writing.

use crate::order::Order as _;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::names;

pub use fields::{FieldOperator, FieldSelector, FieldTerm};

mod fields;
mod parse;

/// How a requirement compares a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// `key in (a,b)`.
    In,
    /// `key notin (a,b)`; also matches where the label is missing.
    NotIn,
    /// `key=a`.
    Equals,
    /// `key==a`.
    DoubleEquals,
    /// `key!=a`; also matches where the label is missing.
    NotEquals,
    /// `key`.
    Exists,
    /// `!key`.
    DoesNotExist,
    /// `key>1`, for integers.
    GreaterThan,
    /// `key<1`, for integers.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// Its right side: sorted, without duplicates.
    pub values: Vec<String>,
}

/// All requirements must hold. The empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Reads the text form, `app=web,tier in (a,b),!old`. The error is Kubernetes' message.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text).map(LabelSelector::of)
    }

    /// Reads `metav1.LabelSelector`: matchLabels and matchExpressions. A missing selector (null) matches nothing, an
    /// empty one everything.
    pub fn from_json(selector: &Value) -> Result<Self, String> {
        if selector.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.as_str().unwrap_or("").to_owned()])?);
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or("");
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{other:?} is not a valid label selector operator")),
            };
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(|v| v.as_str().map(str::to_owned)).collect();
            requirements.push(Requirement::new(text("key"), operator, values)?);
        }
        Ok(LabelSelector::of(requirements))
    }

    /// Reads a plain map (`spec.selector` of a Service, `nodeSelector`): every label must be equal.
    pub fn from_map(labels: &BTreeMap<String, String>) -> Self {
        let equal =
            |(k, v): (&String, &String)| Requirement { key: k.clone(), operator: Operator::Equals, values: vec![v.clone()] };
        LabelSelector { requirements: labels.iter().map(equal).collect(), nothing: false }
    }

    /// The selector that matches nothing.
    pub fn nothing() -> Self {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.order_by(|a, b| a.key.cmp(&b.key));
        LabelSelector { requirements, nothing: false }
    }

    /// Whether `labels` meet every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels.get(&r.key).map(String::as_str)))
    }

    /// Whether this selector matches everything.
    pub fn is_empty(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The requirements, ordered by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// A requirement, if key and values are valid.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        values.order();
        values.dedup();
        let mut errors = Vec::new();
        let wrong_key = names::qualified_name(key);
        if !wrong_key.is_empty() {
            errors.push(format!("key: Invalid value: {key:?}: {}", wrong_key.join("; ")));
        }
        let shown = || format!("[{}]", values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(","));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                errors.push("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".to_owned())
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                errors.push(format!("values: Invalid value: {}: values set must be empty for exists and does not exist", shown()))
            }
            Operator::GreaterThan | Operator::LessThan => {
                for (i, v) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                    errors.push(format!(
                        "values[{i}]: Invalid value: {v:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                    ));
                }
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                errors.push(format!("values[{i}][{key}]: Invalid value: {value:?}: {}", wrong.join("; ")));
            }
        }
        match errors.as_slice() {
            [] => Ok(Requirement { key: key.to_owned(), operator, values }),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    /// Whether a label with this value (or its absence) meets the requirement.
    pub fn matches(&self, label: Option<&str>) -> bool {
        let listed = || label.is_some_and(|v| self.values.iter().any(|w| w == v));
        let number = || Some((label?.parse::<i64>().ok()?, self.values.first()?.parse::<i64>().ok()?));
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => listed(),
            Operator::NotIn | Operator::NotEquals => !listed(),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => number().is_some_and(|(have, want)| have > want),
            Operator::LessThan => number().is_some_and(|(have, want)| have < want),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(",");
        match self.operator {
            Operator::Exists => write!(f, "{}", self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
            Operator::Equals => write!(f, "{}={values}", self.key),
            Operator::DoubleEquals => write!(f, "{}=={values}", self.key),
            Operator::NotEquals => write!(f, "{}!={values}", self.key),
            Operator::GreaterThan => write!(f, "{}>{values}", self.key),
            Operator::LessThan => write!(f, "{}<{values}", self.key),
            Operator::In => write!(f, "{} in ({values})", self.key),
            Operator::NotIn => write!(f, "{} notin ({values})", self.key),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(text: &str) -> BTreeMap<String, String> {
        let pair = |p: &str| p.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        text.split(',').filter_map(pair).collect()
    }

    #[test]
    fn matching() {
        for (selector, have, expect) in [
            ("", "a=1", true),
            ("a", "a=1", true),
            ("!a", "a=1", false),
            ("a=1", "a=1", true),
            ("a==1", "a=2", false),
            ("a!=1", "b=1", true),
            ("a in (1,2)", "a=2", true),
            ("a in (1,2)", "b=2", false),
            ("a notin (1,2)", "b=2", true),
            ("a notin (1)", "a=1", false),
            ("a>1,a<3", "a=2", true),
            ("a>1", "a=x", false),
            ("a=", "a=", true),
            ("in=notin", "in=notin", true),
            (" a = 1 , b in ( x , y ) ", "a=1,b=y", true),
            ("a in (,x)", "a=", true),
        ] {
            let parsed = LabelSelector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&labels(have)), expect, "{selector} on {have}");
        }
    }

    #[test]
    fn errors_and_text() {
        for (selector, message) in [
            (
                "num>abc",
                "unable to parse requirement: values[0]: Invalid value: \"abc\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            ("app in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("=x", "found '=', expected: !, identifier, or 'end of string'"),
            ("app=x=y", "found '=', expected: ',' or 'end of string'"),
            ("app,,tier", "found ',', expected: identifier after ','"),
            ("bad key=v", "unable to parse requirement: found 'key', expected: in, notin, =, ==, !=, gt, lt"),
            ("app in (x) tier in (y)", "found 'tier', expected: ',' or 'end of string'"),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap_err(), message, "{selector}");
        }
        assert!(
            LabelSelector::parse("a/b/c=v")
                .unwrap_err()
                .starts_with("unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a")
        );
        assert_eq!(LabelSelector::parse("b in (y,x), !c,a==1").unwrap().to_string(), "a==1,b in (x,y),!c");
    }

    #[test]
    fn from_json() {
        let s = LabelSelector::from_json(
            &json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}),
        );
        assert_eq!(s.unwrap().to_string(), "a=1,b");
        assert!(!LabelSelector::from_json(&Value::Null).unwrap().matches(&labels("a=1")));
        assert!(LabelSelector::from_json(&json!({})).unwrap().is_empty());
        let bad = json!({"matchExpressions": [{"key": "b", "operator": "Like"}]});
        assert_eq!(LabelSelector::from_json(&bad).unwrap_err(), "\"Like\" is not a valid label selector operator");
    }
}
