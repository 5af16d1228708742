//! Sets of field paths in the form of `fieldsV1`: a JSON object whose keys are path elements (`f:name`, `k:{"name":"x"}`,
//! `v:"x"`, `i:0`) and whose values are the sets below them.
//!
//! A node is itself a member if it is empty or has the key `.`; a node that is no member has children. Every function keeps to
//! that form, and is linear in the smaller tree.

use object::{Map, Value};

use super::element::display;

/// A set of paths, or the node of one.
pub type Set = Map<String, Value>;

const SELF: &str = ".";

/// Whether the path that leads to `node` is in the set.
pub fn is_member(node: &Set) -> bool {
    node.is_empty() || node.contains_key(SELF)
}

/// The elements below `node`.
pub fn children(node: &Set) -> impl Iterator<Item = (&String, &Set)> {
    node.iter().filter(|(key, _)| *key != SELF).filter_map(|(key, value)| Some((key, value.as_object()?)))
}

/// A node from its children and whether it is a member itself; `None` if it is nothing.
pub fn node(mut children: Set, member: bool) -> Option<Set> {
    if children.is_empty() {
        return member.then_some(children);
    }
    if member {
        children.insert(SELF.to_owned(), Value::Object(Set::new()));
    }
    Some(children)
}

/// Adds the paths of `other` to `set`. Both are roots.
pub fn unite(set: &mut Set, other: Set) {
    for (key, theirs) in other {
        let Value::Object(theirs) = theirs else { continue };
        match set.get_mut(&key) {
            Some(Value::Object(ours)) => unite_nodes(ours, theirs),
            _ => {
                set.insert(key, Value::Object(theirs));
            }
        }
    }
}

fn unite_nodes(ours: &mut Set, mut theirs: Set) {
    let member = is_member(ours) || is_member(&theirs);
    ours.remove(SELF);
    theirs.remove(SELF);
    unite(ours, theirs);
    if member && !ours.is_empty() {
        ours.insert(SELF.to_owned(), Value::Object(Set::new()));
    }
}

/// Takes the paths of `other` out of `set`. Both are roots. Paths below a path that is taken out stay.
pub fn subtract(set: &mut Set, other: &Set) {
    for (key, theirs) in children(other) {
        let Some(Value::Object(ours)) = set.get_mut(key) else { continue };
        let member = is_member(ours) && !is_member(theirs);
        ours.remove(SELF);
        subtract(ours, theirs);
        if ours.is_empty() {
            if !member {
                set.remove(key);
            }
        } else if member {
            ours.insert(SELF.to_owned(), Value::Object(Set::new()));
        }
    }
}

/// Appends the paths that both roots have, as text, in order.
pub fn common<'a>(set: &'a Set, other: &Set, path: &mut Vec<&'a str>, out: &mut Vec<String>) {
    for (key, ours) in children(set) {
        let Some(Value::Object(theirs)) = other.get(key) else { continue };
        path.push(key);
        if is_member(ours) && is_member(theirs) {
            out.push(path.iter().map(|e| display(e)).collect());
        }
        common(ours, theirs, path, out);
        path.pop();
    }
}

/// Whether `value` has the form of a set, everywhere and not too deep.
pub fn is_valid(value: &Value, depth: u32) -> bool {
    depth < 64
        && value.as_object().is_some_and(|map| {
            map.iter().all(|(key, below)| {
                let known = key == SELF || ["f:", "k:", "v:", "i:"].iter().any(|p| key.starts_with(p));
                known && is_valid(below, depth + 1)
            })
        })
}
