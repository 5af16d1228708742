//! Changes that nobody comes to own: apply configurations of mutating policies.
//!
//! Models `k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch`.

use object::Value;

use super::compare::member;
use super::{fields, merge};
use crate::types::{ListType, Shape, Type};

/// Merges a configuration into an object of type `ty`; otherwise says why it cannot be.
pub fn mutate(object: &mut Value, patch: Value, ty: Type<'_>) -> Result<(), String> {
    fields::checked_set(&patch, ty).map_err(|why| format!("failed to convert patch object to typed object: {why}"))?;
    let mut atomic = Vec::new();
    atomics(&patch, ty, "", &mut atomic);
    if !atomic.is_empty() {
        let list = atomic.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {list}"));
    }
    merge::merge(object, patch, ty);
    Ok(())
}

/// The paths of what would be replaced as a whole, which loses what the policy does not name.
fn atomics(value: &Value, ty: Type<'_>, path: &str, found: &mut Vec<String>) {
    match (ty.shape(), value) {
        (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
            if ty.atomic() {
                found.push(path.to_owned());
            }
            for (key, value) in map {
                if ty.field(key).is_some() {
                    atomics(value, member(ty, key), &format!("{path}.{key}"), found);
                }
            }
        }
        (Shape::List(_, list), Value::Array(items)) => {
            if matches!(list, ListType::Unset | ListType::Atomic) {
                found.push(path.to_owned());
            }
            let Some(of) = ty.items() else { return };
            items.iter().enumerate().for_each(|(i, item)| atomics(item, of, &format!("{path}[{i}]"), found));
        }
        _ => {}
    }
}
