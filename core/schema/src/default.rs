//! Defaulting: what an object has where its author said nothing.
//!
//! Two sources, applied together from the outside in: `default` of fields (the overlay for built-in kinds, the schema for
//! custom resources), and rules where the value depends on something else. A rule is bound to a type where it holds
//! wherever the type is used ([`rules::of_type`]), or to a kind where Go binds it to the object ([`rules::of_kind`]).
//! Fields that Go always writes come with it, so that a status that was reset is complete again. Defaulting twice changes nothing. It runs on every decoded object and again on what is about to be stored.

mod rules;

use object::{GroupVersionKind, Value};

use crate::decode;
use crate::resource::Resource;
use crate::types::{Shape, Type};

/// Objects nest no deeper than JSON itself may.
const MAX_DEPTH: u32 = 128;

/// Sets what is missing in an object of this resource.
pub fn default(resource: &Resource, object: &mut Value) {
    if let Some(custom) = &resource.custom {
        return crate::crd::default(&custom.schema, object);
    }
    default_kind(resource.ty(), &resource.kind, object);
}

/// Sets what is missing in an object of this kind: also for kinds that are only bodies of subresources.
pub fn default_kind(ty: Type<'_>, kind: &GroupVersionKind, object: &mut Value) {
    if let Some(rule) = rules::of_kind(&kind.group, &kind.kind) {
        rule(object);
    }
    default_type(ty, object, 0);
}

/// Sets what is missing in a value of this type.
pub(crate) fn default_type(ty: Type<'_>, value: &mut Value, depth: u32) {
    if depth > MAX_DEPTH {
        return;
    }
    match (ty.shape(), value) {
        (Shape::Struct(_), Value::Object(map)) => {
            for field in ty.fields() {
                // A field that Go always writes cannot tell empty from absent.
                let unset = |value: &Value| value.is_null() || field.node().zero && is_empty(value);
                if let Some(default) = field.default()
                    && map.get(field.name()).is_none_or(unset)
                {
                    map.insert(field.name().to_owned(), default.clone());
                }
            }
            if let Some(rule) = rules::of_type(ty.name()) {
                rule(map);
            }
            decode::fill(ty, map);
            for (key, value) in map.iter_mut() {
                if (value.is_object() || value.is_array())
                    && let Some(field) = ty.field(key)
                {
                    default_type(field.ty(), value, depth + 1);
                }
            }
        }
        (Shape::Map(_), Value::Object(map)) => {
            if let Some(values) = ty.values() {
                map.values_mut().for_each(|v| default_type(values, v, depth + 1));
            }
        }
        (Shape::List(..), Value::Array(list)) => {
            if let Some(items) = ty.items() {
                list.iter_mut().for_each(|v| default_type(items, v, depth + 1));
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
