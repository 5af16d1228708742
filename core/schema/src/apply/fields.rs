//! The set of fields that an apply configuration speaks of, and the check that its values fit their types.

use std::fmt;

use object::Value;

use super::compare::member;
use super::element;
use super::set::{Set, is_member, node};
use crate::strategic::go_format;
use crate::types::{ListType, Shape, Type};

/// How fields of a type are owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Member by member.
    Map,
    /// Item by item.
    List,
    /// As a whole.
    Leaf,
}

impl Kind {
    /// For a type, and for types that say nothing, by the form of a value.
    pub(super) fn of(ty: Type<'_>, sample: Option<&Value>) -> Kind {
        match ty.shape() {
            Shape::Struct(_) | Shape::Map(_) if !ty.atomic() => Kind::Map,
            Shape::List(_, ListType::Set | ListType::Map(_)) => Kind::List,
            Shape::Any | Shape::Embedded | Shape::ObjectOr(_) if sample.is_some_and(Value::is_object) && !ty.atomic() => {
                Kind::Map
            }
            _ => Kind::Leaf,
        }
    }
}

/// All that is wrong with a configuration.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<String>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "errors:\n  {}", many.join("\n  ")),
        }
    }
}

/// The set of the fields in `configuration`.
pub(super) fn checked_set(configuration: &Value, ty: Type<'_>) -> Result<Set, Errors> {
    let mut errors = Errors::default();
    let set = walk(configuration, ty, &mut Vec::new(), &mut errors);
    if errors.0.is_empty() { Ok(set.unwrap_or_default()) } else { Err(errors) }
}

fn fail(path: &[String], errors: &mut Errors, what: impl fmt::Display) -> Option<Set> {
    let path: String = path.iter().map(|e| element::display(e)).collect();
    errors.0.push(format!("{path}: {what}"));
    None
}

/// The node of `value`: what is below it, without saying whether it is a member itself, unless it is a leaf.
fn walk(value: &Value, ty: Type<'_>, path: &mut Vec<String>, errors: &mut Errors) -> Option<Set> {
    if let Err(what) = fits(value, ty) {
        return fail(path, errors, what);
    }
    match (Kind::of(ty, Some(value)), value) {
        (Kind::Map, Value::Object(map)) => {
            let mut out = Set::new();
            for (key, value) in map {
                let declared = ty.field(key).is_some();
                path.push(format!("f:{key}"));
                if !declared && ty.member(key).is_none() && matches!(ty.shape(), Shape::Struct(_)) && !ty.node().preserve_unknown
                {
                    fail(path, errors, "field not declared in schema");
                } else {
                    let below = walk(value, member(ty, key), path, errors);
                    let empty = value.is_null() || value.as_object().is_some_and(|m| m.is_empty());
                    let leaf = below.as_ref().is_some_and(is_member);
                    let is_member = leaf || empty || !declared;
                    if let Some(found) = node(without_self(below), is_member) {
                        out.insert(format!("f:{key}"), Value::Object(found));
                    }
                }
                path.pop();
            }
            (!out.is_empty()).then_some(out)
        }
        (Kind::List, Value::Array(items)) => list(items, ty, path, errors),
        (Kind::Map | Kind::List, _) => None,
        (Kind::Leaf, _) => Some(Set::new()),
    }
}

fn without_self(below: Option<Set>) -> Set {
    let mut below = below.unwrap_or_default();
    below.remove(".");
    below
}

fn list(items: &[Value], ty: Type<'_>, path: &mut Vec<String>, errors: &mut Errors) -> Option<Set> {
    let mut out = Set::new();
    let item_type = ty.items()?;
    for (index, item) in items.iter().enumerate() {
        match element::of_item(ty, item) {
            Err(what) => {
                fail(path, errors, format!("element {index}: {what}"));
            }
            Ok(element) if out.contains_key(&element) => {
                let what = match element.strip_prefix("k:") {
                    Some(key) => format!("duplicate entries for key [{}]", element::display_key(key)),
                    None => format!("duplicate entries for key {}", element::display(&element)),
                };
                fail(path, errors, what);
            }
            Ok(element) => {
                path.push(element.clone());
                let below = without_self(walk(item, item_type, path, errors));
                path.pop();
                out.insert(element, Value::Object(node(below, true).unwrap_or_default()));
            }
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Whether a value has the form of its type; the error in the words of structured-merge-diff.
fn fits(value: &Value, ty: Type<'_>) -> Result<(), String> {
    let ok = match (ty.shape(), value) {
        (_, Value::Null) => true,
        (Shape::Boolean, v) => v.is_boolean(),
        (Shape::String(_), v) => v.is_string(),
        (Shape::Integer { .. } | Shape::Number, v) => v.is_number(),
        (Shape::IntOrString | Shape::Quantity, v) => !(v.is_array() || v.is_object()),
        (Shape::Struct(_) | Shape::Map(_), v) => v.is_object(),
        (Shape::List(..), v) => v.is_array(),
        (Shape::Any | Shape::Embedded | Shape::ObjectOr(_), _) => true,
    };
    if ok {
        return Ok(());
    }
    let shown = format!("&{{{}}}", go_format(value));
    Err(match ty.shape() {
        Shape::Boolean => format!("expected boolean, got {shown}"),
        Shape::String(_) => format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_syntax(value)),
        Shape::Integer { .. } | Shape::Number => format!("expected numeric (int or float), got {}", go_type(value)),
        Shape::List(..) => format!("expected list, got {shown}"),
        Shape::Struct(_) | Shape::Map(_) => format!("expected map, got {shown}"),
        _ => format!("expected any scalar, got {shown}"),
    })
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as Go's `%#v` writes it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k:?}:{}", go_syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}
