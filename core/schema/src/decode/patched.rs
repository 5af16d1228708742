//! Reads again what a patch may have changed of an object that was read before.

use super::{Context, DecodeError, Decoded, Path, Seed, embedded, normalize, resource_from_value};
use crate::resource::Resource;
use crate::types::{Shape, Type};
use serde::de::DeserializeSeed as _;
use serde_json::{Map, Value};

/// As [`resource_from_value`] reads it, with less work: `object` is what came of a stored object by a merge patch or a
/// strategic merge patch, so fields that the patch does not name are as they were, or gone.
pub fn resource_after_patch(resource: &Resource, mut object: Value, patch: &Value) -> Result<Decoded, DecodeError> {
    let (Some(map), Some(patch), None) = (object.as_object_mut(), patch.as_object(), &resource.custom) else {
        return resource_from_value(resource, object);
    };
    let mut context = Context::default();
    match read(resource.ty(), map, patch, &Path::Root, &mut context) {
        Ok(()) => Ok(Decoded { object, strict: context.strict }),
        Err(error) => Err(context.failed(&error, None)),
    }
}

fn read(
    ty: Type<'_>,
    out: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    path: &Path<'_>,
    cx: &mut Context,
) -> Result<(), serde_json::Error> {
    for (key, part) in patch {
        let path = Path::Field(path, key, embedded(ty, key));
        let Some(field) = ty.field(key) else {
            if out.remove(key).is_some() {
                cx.strict.push(format!("unknown field {:?}", path.full()));
            }
            continue;
        };
        let Some(value) = out.get_mut(key) else { continue };
        match (&mut *value, part, field.ty().shape()) {
            (Value::Object(below), Value::Object(part), Shape::Struct(_)) => read(field.ty(), below, part, &path, cx)?,
            _ => {
                let seed = Seed { ty: field.ty(), field: Some(field), owner: ty, path: &path, cx: &mut *cx };
                *value = seed.deserialize(value.take())?;
            }
        }
    }
    normalize(ty, out);
    Ok(())
}
