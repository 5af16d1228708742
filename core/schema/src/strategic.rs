//! Strategic merge patch: what `kubectl edit`, `kubectl apply` and most controllers send.
//!
//! Maps merge, null deletes, lists are replaced unless the schema says `patchStrategy: merge`; then items are found by
//! their merge key (or, being scalars, by their value). A patch steers with directives: `$patch` (replace, delete, merge),
//! `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`.
//!
//! Models `k8s.io/apimachinery/pkg/util/strategicpatch`; [`list`] holds what concerns the items of lists.

mod gofmt;
mod list;

use object::{ApiError, Map, Reason, Result, Value};

use crate::types::{Field, PatchStrategy, Type};

pub use gofmt::go_format;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Applies `patch` to `target`, an object of type `ty`. On an error `target` is left half changed: work on a copy.
pub fn apply(target: &mut Value, patch: Value, ty: Type<'_>) -> Result<()> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            object::patch::go_type_name(&patch)
        )));
    };
    let original = std::mem::take(target);
    *target = Value::Object(map(into_map(original), patch, Some(ty))?);
    Ok(())
}

/// Errors that Kubernetes lets through unclassified: they reach the client as 500.
fn unclassified(message: impl Into<String>) -> Box<ApiError> {
    ApiError::new(500, Reason::Unknown, message)
}

fn bad_format(of: &str) -> Box<ApiError> {
    ApiError::bad_request(format!("invalid patch format of {of}"))
}

fn into_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What the schema says of the member `key` of an object.
#[derive(Clone, Copy)]
struct Member<'a> {
    ty: Option<Type<'a>>,
    strategy: PatchStrategy,
    merge_key: &'a str,
}

impl<'a> Member<'a> {
    fn of(ty: Option<Type<'a>>, key: &str) -> Self {
        let Some(ty) = ty else { return Member { ty: None, strategy: PatchStrategy::Unset, merge_key: "" } };
        let field = ty.field(key);
        Member {
            ty: field.map(Field::ty).or_else(|| ty.values()),
            strategy: field.map_or(PatchStrategy::Unset, Field::patch),
            merge_key: field.and_then(Field::merge_key).unwrap_or(""),
        }
    }

    fn merges_lists(self) -> bool {
        matches!(self.strategy, PatchStrategy::Merge | PatchStrategy::MergeRetainKeys)
    }
}

/// Merges one object. Depth is that of the patch, which its parser has bounded.
fn map(mut original: Map<String, Value>, mut patch: Map<String, Value>, ty: Option<Type<'_>>) -> Result<Map<String, Value>> {
    if let Some(directive) = patch.get(PATCH) {
        match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                return Ok(without_directives(patch));
            }
            Some("delete") => return Ok(Map::new()),
            Some("merge") => {
                patch.remove(PATCH);
            }
            _ => {
                let shown = go_format(directive);
                return Err(unclassified(format!("unknown patch type: {shown} in map: {}", go_format(&Value::Object(patch)))));
            }
        }
    }
    retain_keys(&mut original, &mut patch)?;
    order_lists(&mut original, &mut patch, ty)?;
    for (key, value) in patch {
        let (key, deletes) = match key.strip_prefix(DELETE_FROM) {
            Some("") => return Err(bad_format("primitive list")),
            Some(list) => (list.to_owned(), true),
            None => (key, false),
        };
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let member = Member::of(ty, &key);
        match (original.get_mut(&key), value) {
            (None, _) if deletes => {}
            (Some(Value::Array(have)), Value::Array(wanted)) if deletes => have.retain(|item| !wanted.contains(item)),
            // What is no list has no items to lose.
            (_, _) if deletes => {}
            (Some(Value::Object(have)), Value::Object(wanted)) if member.strategy != PatchStrategy::Replace => {
                *have = map(std::mem::take(have), wanted, member.ty)?;
            }
            (Some(Value::Array(have)), Value::Array(wanted)) if member.merges_lists() => {
                *have = list::merge(std::mem::take(have), wanted, member)?;
            }
            (_, value) => {
                original.insert(key, new_value(value));
            }
        }
    }
    Ok(original)
}

/// A value that nothing stood for before: without directives, and without the nulls that would only delete.
fn new_value(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(items) => Value::Array(items.into_iter().filter(|item| !has_directive(item)).map(new_value).collect()),
        other => other,
    }
}

/// `{"$patch": "delete", ...}` and `{"$patch": "replace"}` as items of a list say something and are nothing.
fn has_directive(item: &Value) -> bool {
    item.get(PATCH).is_some_and(|d| d == "delete" || (d == "replace" && item.as_object().is_some_and(|m| m.len() == 1)))
}

fn without_directives(map: Map<String, Value>) -> Map<String, Value> {
    if map.get(PATCH).is_some_and(|d| d == "delete") {
        return Map::new();
    }
    let directive = |key: &str| key == PATCH || key == RETAIN_KEYS || key.starts_with(ORDER) || key.starts_with(DELETE_FROM);
    map.into_iter()
        .filter(|(key, value)| !value.is_null() && !directive(key))
        .map(|(key, value)| (key, new_value(value)))
        .collect()
}

/// `$retainKeys`: every field that is not listed goes.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<()> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(bad_format("retainKeys")) };
    let listed = |key: &str| keys.iter().any(|k| k == key);
    let stray = |(key, value): (&String, &Value)| {
        !(value.is_null() || key.starts_with(ORDER) || key.starts_with(DELETE_FROM) || listed(key))
    };
    if patch.iter().any(stray) {
        return Err(bad_format("retainKeys"));
    }
    original.retain(|key, _| listed(key));
    Ok(())
}

/// `$setElementOrder/<list>`: merges the list at once and puts its items in the order asked for.
fn order_lists(original: &mut Map<String, Value>, patch: &mut Map<String, Value>, ty: Option<Type<'_>>) -> Result<()> {
    let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(ORDER)).cloned().collect();
    for directive in directives {
        let key = directive.trim_start_matches(ORDER).to_owned();
        let Some(order) = patch.remove(&directive) else { continue };
        let Value::Array(order) = order else { return Err(bad_format("setElementOrder list")) };
        if matches!(original.get(&key), Some(v) if !v.is_array())
            || matches!(patch.get(&key), Some(v) if !v.is_array() && !v.is_null())
        {
            return Err(bad_format("setElementOrder list"));
        }
        if patch.get(&key).is_some_and(Value::is_null) {
            continue;
        }
        let member = Member::of(ty, &key);
        let wanted = patch.remove(&key).and_then(list::items);
        let have = original.remove(&key).and_then(list::items);
        if let Some(wanted) = &wanted {
            list::check_order(wanted, &order, member.merge_key)?;
        }
        let server_order = have.clone().unwrap_or_default();
        let merged = match (have, wanted) {
            (Some(have), None) => have,
            (None, Some(wanted)) => wanted.into_iter().filter(|item| !has_directive(item)).map(new_value).collect(),
            (Some(have), Some(wanted)) if member.merges_lists() => list::merge(have, wanted, member)?,
            (Some(_), Some(wanted)) => wanted,
            (None, None) => continue,
        };
        original.insert(key, Value::Array(list::ordered(merged, &order, &server_order, member.merge_key)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
