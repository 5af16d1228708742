//! JSON merge patch, RFC 7386: objects merge, null deletes, everything else replaces.

use serde_json::{Map, Value};

use crate::error::{ApiError, Result};
use crate::patch::go_type_name;

/// Applies `patch` to `target`. A patch that is not an object is refused as kube-apiserver does it.
pub fn apply(target: &mut Value, patch: Value) -> Result<()> {
    match patch {
        Value::Object(patch) => {
            merge(target, patch);
            Ok(())
        }
        Value::Null => Err(ApiError::bad_request("Invalid JSON Patch")),
        other => Err(ApiError::bad_request(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            go_type_name(&other)
        ))),
    }
}

fn merge(target: &mut Value, patch: Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(inner) => merge(target.entry(key).or_insert(Value::Null), inner),
            other => {
                target.insert(key, other);
            }
        }
    }
}

/// The merge patch that turns `old` into `new`; `None` where they are equal.
pub fn diff(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|k| !new.contains_key(*k)).map(|k| (k.clone(), Value::Null));
            let changed = new.iter().filter_map(|(k, v)| match old.get(k) {
                Some(before) => Some((k.clone(), diff(before, v)?)),
                None => Some((k.clone(), v.clone())),
            });
            let patch: Map<String, Value> = gone.chain(changed).collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (old != new).then(|| new.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rfc_7386_examples() {
        for (target, patch, expect) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut result = target.clone();
            apply(&mut result, patch.clone()).unwrap();
            assert_eq!(result, expect, "{target} + {patch}");
            let mut again = target.clone();
            if let Some(patch) = diff(&target, &expect) {
                apply(&mut again, patch).unwrap();
            }
            assert_eq!(again, expect, "diff of {target} and {expect}");
        }
        assert!(
            apply(&mut json!({}), json!([]))
                .unwrap_err()
                .message
                .starts_with("error decoding patch: json: cannot unmarshal array")
        );
        assert_eq!(apply(&mut json!({}), Value::Null).unwrap_err().message, "Invalid JSON Patch");
    }
}
