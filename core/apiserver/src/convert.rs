//! Between the version in which an object is kept and the version in which it was asked for.

use object::Value;
use schema::Resource;

/// Turns a stored object into `resource`'s version.
pub fn from_storage(resource: &Resource, value: Value) -> Value {
    relabel(value, &resource.kind)
}

/// Turns an object of `resource`'s version into the stored one.
pub fn to_storage(resource: &Resource, value: Value) -> Value {
    relabel(value, &resource.storage.kind)
}

fn relabel(mut value: Value, kind: &object::GroupVersionKind) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), kind.api_version().into());
        map.insert("kind".to_owned(), (&*kind.kind).into());
    }
    value
}

/// Whether stored bytes can be given out as they are.
pub fn is_storage_version(resource: &Resource) -> bool {
    resource.kind == resource.storage.kind
}
