//! Reading custom resources: any JSON object with kind and version; its metadata is typed, the rest follows its schema.

use std::fmt;

use object::{GroupVersionKind, Value};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Map;

use crate::decode::{DecodeError, Decoded};
use crate::resource::Resource;

use super::{Custom, values};

/// Reads an object from JSON text.
pub fn from_slice(resource: &Resource, custom: &Custom, json: &[u8]) -> Result<Decoded, DecodeError> {
    let mut repeated = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = Seen { path: String::new(), repeated: &mut repeated }.deserialize(&mut deserializer);
    let value = read.and_then(|value| deserializer.end().map(|()| value)).map_err(|e| DecodeError::Syntax(e.to_string()))?;
    let mut decoded = from_value(resource, custom, value)?;
    repeated.append(&mut decoded.strict);
    decoded.strict = repeated;
    Ok(decoded)
}

/// Reads an object from a value.
pub fn from_value(resource: &Resource, custom: &Custom, mut object: Value) -> Result<Decoded, DecodeError> {
    let mut strict = Vec::new();
    if !object.is_object() {
        let what = object::patch::go_type_name(&object);
        return Err(DecodeError::Type(format!("json: cannot unmarshal {what} into Go value of type map[string]interface {{}}")));
    }
    let gone = values::prune(&custom.schema, &mut object);
    if let (Some(ty), Some(metadata)) = (resource.ty().member("metadata"), object::value::remove(&mut object, &["metadata"])) {
        let decoded = crate::decode::from_value(ty, metadata)?;
        strict.extend(decoded.strict.iter().map(|text| in_metadata(text)));
        object::value::set(&mut object, &["metadata"], decoded.object);
    }
    strict.splice(0..0, gone.iter().map(|path| format!("unknown field {path:?}")));
    values::default(&custom.schema, &mut object);
    Ok(Decoded { object, strict })
}

/// `unknown field "x"` of metadata as one of the object.
fn in_metadata(text: &str) -> String {
    match text.split_once('"') {
        Some((what, path)) => format!("{what}\"metadata.{path}"),
        None => text.to_owned(),
    }
}

/// Reads any JSON and notes which fields stand twice; the last one counts.
struct Seen<'c> {
    path: String,
    repeated: &'c mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Seen<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seen<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) =
            seq.next_element_seed(Seen { path: format!("{}[{}]", self.path, list.len()), repeated: &mut *self.repeated })?
        {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if out.contains_key(&key) {
                self.repeated.push(format!("duplicate field {path:?}"));
            }
            let value = map.next_value_seed(Seen { path, repeated: &mut *self.repeated })?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// Makes an object one of another version of its kind: it gets that version's name, and what the version does not declare
/// is left out.
pub fn relabel(custom: &super::Structural, kind: &GroupVersionKind, object: &mut Value) {
    object::value::set(object, &["apiVersion"], kind.api_version());
    object::value::set(object, &["kind"], &*kind.kind);
    values::prune(custom, object);
}
