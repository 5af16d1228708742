//! Reading and changing JSON trees by path, without panics.

use serde_json::{Map, Value};

/// The value at `path` (field names, one argument each), or `None` where a step is missing.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |v, key| v.get(key))
}

/// The text at `path`, or `""`.
pub fn str_at<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or("")
}

/// The integer at `path`.
pub fn i64_at(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// The boolean at `path`, or `false`.
pub fn bool_at(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The items of the list at `path`, or none.
pub fn list_at<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The object at `path`, made (with everything above it) where it is missing or is not an object.
pub fn object_at<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut here = value;
    for key in path {
        here = as_object(here).entry(*key).or_insert(Value::Null);
    }
    as_object(here)
}

/// Puts `new` at `path`, making what is missing above it.
pub fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    if let Some((last, above)) = path.split_last() {
        object_at(value, above).insert((*last).to_owned(), new.into());
    }
}

/// Takes away what stands at `path`.
pub fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    above.iter().try_fold(value, |v, key| v.get_mut(*key))?.as_object_mut()?.remove(*last)
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object just above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn set_makes_parents_and_remove_leaves_them() {
        let mut v = json!({});
        set(&mut v, &["a", "b"], 1);
        assert_eq!(v, json!({"a": {"b": 1}}));
        assert_eq!(remove(&mut v, &["a", "b"]), Some(json!(1)));
        assert_eq!(remove(&mut v, &["x", "b"]), None);
        assert_eq!(v, json!({"a": {}}));
    }
}
