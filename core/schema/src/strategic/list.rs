//! Lists in a strategic merge patch: items found by merge key or value, and the order of the result.

use object::order::Order as _;
use object::{ApiError, Result, Value};

use super::{Member, PATCH, go_format, map, new_value, unclassified};

/// The items of a list.
pub(super) fn items(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// Merges a list whose strategy is merge.
pub(super) fn merge(original: Vec<Value>, patch: Vec<Value>, member: Member<'_>) -> Result<Vec<Value>> {
    let Some(sample) = original.first().or(patch.first()) else { return Ok(original) };
    if !sample.is_object() {
        let mut merged = original.clone();
        for item in &patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return ordered(merged, &patch, &original, "");
    }
    let key = member.merge_key;
    if key.is_empty() {
        let name = member.ty.and_then(|t| t.items()).map_or("", |t| t.short_name());
        return Err(unclassified(format!("cannot merge lists without merge key for {name}")));
    }
    let (original, patch) = special(original, patch, key)?;
    let mut merged = original.clone();
    let item_type = member.ty.and_then(|t| t.items());
    for item in &patch {
        let value = key_of(item, key)?;
        match merged.iter_mut().find(|m| m.get(key) == Some(value)) {
            Some(Value::Object(found)) => {
                let Value::Object(wanted) = item.clone() else { continue };
                *found = map(std::mem::take(found), wanted, item_type)?;
            }
            _ => merged.push(new_value(item.clone())),
        }
    }
    ordered(merged, &patch, &original, key)
}

/// Takes out the items that are directives and does what they say.
fn special(mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        let Value::Object(fields) = &item else { return Err(not_one_type()) };
        let Some(directive) = fields.get(PATCH) else {
            rest.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let value = key_of(&item, key)?.clone();
                original.retain(|o| o.get(key) != Some(&value));
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(unclassified("merging lists cannot yet be specified in the patch")),
            _ => {
                let shown = go_format(directive);
                return Err(unclassified(format!("unknown patch type: {shown} in map: {}", go_format(&item))));
            }
        }
    }
    if replace { Ok((rest.into_iter().map(new_value).collect(), Vec::new())) } else { Ok((original, rest)) }
}

fn not_one_type() -> Box<ApiError> {
    unclassified("list element types are not identical")
}

fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value> {
    if !item.is_object() {
        return Err(not_one_type());
    }
    item.get(key).ok_or_else(|| unclassified(format!("map: {} does not contain declared merge key: {key}", go_format(item))))
}

/// What tells an item apart in an order: the value of its key, or the item itself.
fn identity<'a>(item: &'a Value, key: &str) -> &'a Value {
    if key.is_empty() { item } else { item.get(key).unwrap_or(&Value::Null) }
}

fn position(list: &[Value], item: &Value, key: &str) -> Option<usize> {
    list.iter().position(|other| identity(other, key) == identity(item, key))
}

/// Items of the patch in the patch's order, items that only the server has in the server's; where both know their places,
/// the server's decide between the two, otherwise the patch's items come first.
pub(super) fn ordered(merged: Vec<Value>, patch_order: &[Value], server_order: &[Value], key: &str) -> Result<Vec<Value>> {
    if !key.is_empty() {
        for item in &merged {
            key_of(item, key)?;
        }
    }
    let (mut of_patch, mut of_server): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| position(patch_order, item, key).is_some());
    of_patch.order_by_key(|item| position(patch_order, item, key));
    of_server.order_by_key(|item| position(server_order, item, key).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(of_patch.len() + of_server.len());
    let (mut left, mut right) = (of_server.into_iter().peekable(), of_patch.into_iter().peekable());
    while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
        let first = match (position(server_order, l, key), position(server_order, r, key)) {
            (Some(l), Some(r)) => l < r,
            _ => false,
        };
        out.extend(if first { left.next() } else { right.next() });
    }
    out.extend(left);
    out.extend(right);
    Ok(out)
}

/// The items of a patch must stand in the order that the patch itself asks for.
pub(super) fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<()> {
    let mut rest = order.iter();
    for item in patch.iter().filter(|item| item.get(PATCH).is_none_or(|d| d != "delete")) {
        if !rest.any(|o| identity(o, key) == identity(item, key)) {
            let (patch, order) = (go_format(&Value::from(patch)), go_format(&Value::from(order)));
            return Err(unclassified(format!(
                "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
            )));
        }
    }
    Ok(())
}
