//! Between the version in which an object is kept and the version in which it was asked for.

use object::Value;
use schema::Resource;

/// Turns a stored object into `resource`'s version.
pub fn from_storage(resource: &Resource, mut value: Value) -> Value {
    match &resource.custom {
        _ if is_storage_version(resource) => {}
        Some(custom) => schema::crd::relabel(&custom.schema, &resource.kind, &mut value),
        None => schema::convert::convert(&mut value, &resource.kind),
    }
    value
}

/// Turns an object of `resource`'s version into the stored one.
pub fn to_storage(resource: &Resource, mut value: Value) -> Value {
    label(&mut value, &resource.kind);
    match &resource.custom {
        _ if is_storage_version(resource) => {}
        Some(custom) => {
            schema::crd::relabel(&custom.storage, &resource.storage.kind, &mut value);
            schema::crd::default(&custom.storage, &mut value);
        }
        None => schema::convert::convert(&mut value, &resource.storage.kind),
    }
    value
}

/// A body may leave out what it is; the path has said it.
pub fn label(value: &mut Value, kind: &object::GroupVersionKind) {
    object::value::set(value, &["apiVersion"], kind.api_version());
    object::value::set(value, &["kind"], &*kind.kind);
}

/// Whether stored bytes can be given out as they are.
pub fn is_storage_version(resource: &Resource) -> bool {
    resource.kind == resource.storage.kind
}
