//! What changed between two objects, as sets of fields.

use std::collections::BTreeMap;

use object::{Map, Value};

use super::managed::strip;
use super::set::{Set, node};
use super::{element, fields::Kind};
use crate::types::Type;

/// The old side of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Old<'a> {
    /// This value.
    Value(&'a Value),
    /// What Go writes for an empty value of the type: only the fields that it never leaves out. A created object is
    /// compared with this.
    Zero,
}

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Added or modified.
    pub changed: Set,
    /// Gone.
    pub removed: Set,
}

/// Compares two objects of type `ty`, apart from the fields that nobody owns.
pub(super) fn compare(old: Old<'_>, new: &Value, ty: Type<'_>) -> Change {
    let (changed, removed) = walk(Some(old), Some(new), ty);
    let mut change = Change { changed: changed.unwrap_or_default(), removed: removed.unwrap_or_default() };
    change.changed.remove(".");
    strip(&mut change.changed);
    strip(&mut change.removed);
    change
}

type Found = (Option<Set>, Option<Set>);

fn walk(old: Option<Old<'_>>, new: Option<&Value>, ty: Type<'_>) -> Found {
    let sample = new.or(match old {
        Some(Old::Value(v)) => Some(v),
        _ => None,
    });
    let (mut changed, mut removed) = (Set::new(), Set::new());
    let leaf = match Kind::of(ty, sample) {
        Kind::Map => maps(old, new, ty, &mut changed, &mut removed),
        Kind::List => lists(old, new, ty, &mut changed, &mut removed),
        Kind::Leaf => true,
    };
    if leaf {
        return match (old, new) {
            (None, _) => (Some(Set::new()), None),
            // What an empty old object holds and the new one does not is of no interest: nobody owned it.
            (Some(Old::Zero), None) => (None, None),
            (Some(Old::Value(_)), None) => (None, Some(Set::new())),
            (Some(Old::Value(old)), Some(new)) => ((old != new).then(Set::new), None),
            (Some(Old::Zero), Some(new)) => ((!is_zero(new)).then(Set::new), None),
        };
    }
    (node(changed, old.is_none()), node(removed, new.is_none()))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty() || s == "0",
        Value::Array(_) => false,
        Value::Object(map) => map.is_empty(),
    }
}

fn put(into: &mut Set, element: impl FnOnce() -> String, found: Option<Set>) {
    if let Some(found) = found {
        into.insert(element(), Value::Object(found));
    }
}

/// Compares field by field; true if both sides are empty, and so count as one leaf.
fn maps(old: Option<Old<'_>>, new: Option<&Value>, ty: Type<'_>, changed: &mut Set, removed: &mut Set) -> bool {
    let none = Map::new();
    let new_map = new.and_then(Value::as_object).unwrap_or(&none);
    let old_map = match old {
        Some(Old::Value(value)) => value.as_object().unwrap_or(&none),
        _ => &none,
    };
    let zero = matches!(old, Some(Old::Zero));
    if new_map.is_empty() && old_map.is_empty() {
        return !zero;
    }
    for (key, value) in new_map {
        let before = match old_map.get(key) {
            // Most fields of an object are as they were.
            Some(before) if before == value => continue,
            Some(before) => Some(Old::Value(before)),
            None if old.is_some() && always_written(ty, key) => Some(Old::Zero),
            None => None,
        };
        let found = walk(before, Some(value), member(ty, key));
        put(changed, || ["f:", key.as_str()].concat(), found.0);
        put(removed, || ["f:", key.as_str()].concat(), found.1);
    }
    for (key, value) in old_map {
        if !new_map.contains_key(key) {
            put(removed, || ["f:", key.as_str()].concat(), walk(Some(Old::Value(value)), None, member(ty, key)).1);
        }
    }
    false
}

/// Whether Go writes the field even when it is empty: so it was there before anybody set it.
fn always_written(ty: Type<'_>, key: &str) -> bool {
    ty.field(key).is_some_and(|f| f.node().zero || f.node().required)
}

/// The type of a member; what is not declared is of any type.
pub(super) fn member<'a>(ty: Type<'a>, key: &str) -> Type<'a> {
    ty.member(key).unwrap_or_else(|| ty.any())
}

type Items<'a> = BTreeMap<String, Vec<&'a Value>>;

fn items<'a>(list: Option<&'a Value>, ty: Type<'_>) -> Items<'a> {
    let mut out = Items::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        if let Ok(element) = element::of_item(ty, item) {
            out.entry(element).or_default().push(item);
        }
    }
    out
}

/// Compares item by item, those with the same keys with each other; true if both sides are empty.
fn lists(old: Option<Old<'_>>, new: Option<&Value>, ty: Type<'_>, changed: &mut Set, removed: &mut Set) -> bool {
    let old_value = match old {
        Some(Old::Value(value)) => Some(value),
        _ => None,
    };
    let empty = |v: Option<&Value>| v.and_then(Value::as_array).is_none_or(Vec::is_empty);
    if empty(old_value) && empty(new) {
        return true;
    }
    // Most lists of an object are as they were.
    if old_value == new {
        return false;
    }
    let Some(item_type) = ty.items() else { return true };
    let (old_items, new_items) = (items(old_value, ty), items(new, ty));
    for (element, after) in &new_items {
        let found = match (old_items.get(element).map(Vec::as_slice), after.as_slice()) {
            (None, [after]) => {
                let (found, _) = walk(None, Some(after), item_type);
                (found, None)
            }
            (Some([before]), [after]) => walk(Some(Old::Value(before)), Some(after), item_type),
            // Items that occur more than once are one leaf together.
            (Some(before), after) => ((before != after).then(Set::new), None),
            (None, _) => (Some(Set::new()), None),
        };
        put(changed, || element.clone(), found.0);
        put(removed, || element.clone(), found.1);
    }
    for (element, before) in &old_items {
        if !new_items.contains_key(element) {
            let found = match before.as_slice() {
                [before] => walk(Some(Old::Value(before)), None, item_type).1,
                _ => Some(Set::new()),
            };
            put(removed, || element.clone(), found);
        }
    }
    false
}
