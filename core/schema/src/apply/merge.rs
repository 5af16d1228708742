//! Merging an apply configuration into an object, and taking out what its manager no longer names.

use std::collections::{BTreeMap, BTreeSet};

use object::{Map, Value};

use super::compare::member;
use super::element;
use super::fields::Kind;
use super::set::{Set, children, is_member};
use crate::types::{Shape, Type};

/// Puts `patch` over `target`, both of type `ty`: what is granular is merged, everything else is replaced.
pub(super) fn merge(target: &mut Value, patch: Value, ty: Type<'_>) {
    match (Kind::of(ty, Some(&patch)), target, patch) {
        (Kind::Map, Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                let below = member(ty, &key);
                match target.get_mut(&key) {
                    Some(here) => merge(here, value, below),
                    None => {
                        target.insert(key, value);
                    }
                }
            }
        }
        (Kind::List, Value::Array(target), Value::Array(patch)) => *target = merge_lists(std::mem::take(target), patch, ty),
        // A map or list that is applied empty leaves what is there to its owners.
        (Kind::Map | Kind::List, target, Value::Null) if !target.is_null() => {}
        (_, target, patch) => *target = patch,
    }
}

/// Items of both sides are merged, the order of the patch is kept where the two differ, and items of the target alone stay
/// near the neighbours they had.
fn merge_lists(target: Vec<Value>, patch: Vec<Value>, ty: Type<'_>) -> Vec<Value> {
    let name = |(index, item): (usize, &Value)| element::of_item(ty, item).unwrap_or_else(|_| format!("i:{index}"));
    let left: Vec<String> = target.iter().enumerate().map(name).collect();
    let right: Vec<String> = patch.iter().enumerate().map(name).collect();
    let on_left: BTreeSet<&str> = object::order::set(left.iter().map(String::as_str));
    let on_right: BTreeSet<&str> = object::order::set(right.iter().map(String::as_str));
    let mut shared = right.iter().map(String::as_str).filter(|e| on_left.contains(e)).peekable();
    let mut left_items: BTreeMap<&str, Value> = BTreeMap::new();
    for (element, item) in left.iter().zip(target) {
        left_items.entry(element).or_insert(item);
    }
    let mut right_items = patch.into_iter();
    let mut out = Vec::with_capacity(left_items.len() + right.len());
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let item_type = ty.items().unwrap_or(ty);
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if let (Some(a), Some(b)) = (left.get(l), right.get(r)) {
            // A shared item whose turn has not come waits for it.
            if a != b && on_right.contains(a.as_str()) && shared.peek().is_some_and(|next| *next != a) {
                l += 1;
                continue;
            }
        }
        match left.get(l) {
            Some(a) if !on_right.contains(a.as_str()) => {
                out.extend(left_items.remove(a.as_str()));
                l += 1;
                continue;
            }
            Some(a) if done.contains(a.as_str()) || right.get(r) == Some(a) => l += 1,
            _ => {}
        }
        let (Some(b), Some(item)) = (right.get(r), right_items.next()) else {
            l += 1;
            continue;
        };
        done.insert(b);
        out.push(match left_items.remove(b.as_str()) {
            Some(mut before) => {
                merge(&mut before, item, item_type);
                before
            }
            None => item,
        });
        r += 1;
        if shared.peek() == Some(&b.as_str()) {
            shared.next();
        }
    }
    out
}

/// Takes out of `object` what `last` has and nobody owns any more: a path goes, with everything below it, if neither it nor
/// anything below it is in `owned`.
pub(super) fn prune(object: &mut Value, last: &Set, owned: &Set, ty: Type<'_>) {
    match object {
        Value::Object(map) => prune_map(map, last, owned, ty),
        Value::Array(items) => prune_list(items, last, owned, ty),
        _ => {}
    }
}

fn prune_map(map: &mut Map<String, Value>, last: &Set, owned: &Set, ty: Type<'_>) {
    for (element, below) in children(last) {
        let Some(key) = element.strip_prefix("f:") else { continue };
        if matches!(ty.shape(), Shape::Struct(_)) && matches!(key, "apiVersion" | "kind" | "metadata") && owned_identity(map) {
            // Names stand in the configuration without being owned; what holds them stays.
            if let (Some(value), Some(owned)) = (map.get_mut(key), Some(node_of(owned, element))) {
                prune(value, below, owned.unwrap_or(&Set::new()), member(ty, key));
            }
            continue;
        }
        let named = ty.field(key).is_some();
        match node_of(owned, element) {
            None if named || is_member(below) => {
                map.remove(key);
            }
            owned => {
                if let Some(value) = map.get_mut(key) {
                    prune(value, below, owned.unwrap_or(&Set::new()), member(ty, key));
                }
            }
        }
    }
}

/// Whether this is a whole object: only those have a kind beside their metadata.
fn owned_identity(map: &Map<String, Value>) -> bool {
    map.contains_key("kind") && map.contains_key("metadata")
}

fn node_of<'a>(set: &'a Set, element: &str) -> Option<&'a Set> {
    set.get(element).and_then(Value::as_object)
}

fn prune_list(items: &mut Vec<Value>, last: &Set, owned: &Set, ty: Type<'_>) {
    let Some(item_type) = ty.items() else { return };
    items.retain_mut(|item| {
        let Ok(element) = element::of_item(ty, item) else { return true };
        let Some(below) = node_of(last, &element) else { return true };
        match node_of(owned, &element) {
            None if is_member(below) => false,
            owned => {
                prune(item, below, owned.unwrap_or(&Set::new()), item_type);
                true
            }
        }
    });
}
