//! JSON patch, RFC 6902, as kube-apiserver applies it.
//!
//! Three habits of its library are kept: the part of a path before the first slash is ignored, a negative index counts
//! from the end of a list, and `test` takes a missing value for null. The reason why a patch does not apply is not told to
//! the client.

use serde_json::Value;

use crate::error::{ApiError, Details, Reason, Result};
use crate::patch::go_type_name;

/// The most operations that one patch may have.
pub const MAX_OPERATIONS: usize = 10_000;
/// The most bytes that the `copy` operations of one patch may add up to.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Applies `patch` to `target`. On an error `target` is left half changed: work on a copy.
pub fn apply(target: &mut Value, patch: &Value) -> Result<()> {
    match try_apply(target, patch)? {
        Outcome::Applied => Ok(()),
        _ => Err(does_not_apply()),
    }
}

/// What a patch came to, for those who may know more than clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'p> {
    /// All operations applied.
    Applied,
    /// A `test` did not hold.
    TestFailed,
    /// This operation does not apply at this path.
    DoesNotApply(&'p str, &'p str),
}

/// Like [`apply`], but says more.
pub fn try_apply<'p>(target: &mut Value, patch: &'p Value) -> Result<Outcome<'p>> {
    let mut copied = 0;
    for operation in decode(patch)? {
        if run(target, operation, &mut copied).is_none() {
            let text = |field: &str| operation.get(field).and_then(Value::as_str).unwrap_or_default();
            return Ok(if text("op") == "test" { Outcome::TestFailed } else { Outcome::DoesNotApply(text("op"), text("path")) });
        }
    }
    Ok(Outcome::Applied)
}

/// Checks the form of a patch and gives its operations.
pub fn decode(patch: &Value) -> Result<&[Value]> {
    let wrong = |what: String| ApiError::bad_request(format!("error decoding patch: json: cannot unmarshal {what}"));
    let operations = match patch {
        Value::Null => return Ok(&[]),
        Value::Array(operations) => operations,
        other => return Err(wrong(format!("{} into Go value of type []handlers.jsonPatchOp", go_type_name(other)))),
    };
    if operations.len() > MAX_OPERATIONS {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        );
        return Err(ApiError::new(413, Reason::RequestEntityTooLarge, message));
    }
    for operation in operations {
        if !operation.is_object() {
            return Err(wrong(format!("{} into Go value of type handlers.jsonPatchOp", go_type_name(operation))));
        }
        for field in ["op", "path", "from"] {
            match operation.get(field) {
                None | Some(Value::Null | Value::String(_)) => {}
                Some(other) => {
                    let kind = go_type_name(other);
                    return Err(wrong(format!("{kind} into Go struct field jsonPatchOp.{field} of type string")));
                }
            }
        }
    }
    Ok(operations)
}

fn does_not_apply() -> Box<ApiError> {
    Box::new(ApiError {
        code: 422,
        reason: Reason::Invalid,
        message: "the server rejected our request due to an error in our request".to_owned(),
        details: Details::default(),
    })
}

fn run(target: &mut Value, operation: &Value, copied: &mut usize) -> Option<()> {
    let text = |field: &str| operation.get(field).and_then(Value::as_str);
    let path = text("path")?;
    match text("op")? {
        "add" => add(target, path, operation.get("value").cloned().unwrap_or(Value::Null)),
        "remove" => remove(target, path).map(drop),
        "replace" => {
            let value = operation.get("value").cloned().unwrap_or(Value::Null);
            if path.is_empty() {
                if !(value.is_object() || value.is_array()) {
                    return None;
                }
                *target = value;
            } else {
                let (here, key) = container(target, path)?;
                match here {
                    // A member that is missing is made, as the library does that Kubernetes uses.
                    Value::Object(map) => drop(map.insert(key, value)),
                    list => *child_mut(list, &key)? = value,
                }
            }
            Some(())
        }
        "move" => {
            let value = remove(target, text("from")?)?;
            add(target, path, value)
        }
        "copy" => {
            // Of a member that is missing null is copied, as the library does that Kubernetes uses.
            let (here, key) = container(target, text("from")?)?;
            let value = match here {
                Value::Object(map) => map.get(&key).cloned().unwrap_or(Value::Null),
                list => child(list, &key)?.clone(),
            };
            *copied += value.to_string().len();
            if *copied > MAX_COPIED { None } else { add(target, path, value) }
        }
        "test" => {
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            let here = if path.is_empty() { target } else { container(target, path)?.0 };
            let have = if path.is_empty() { Some(&*here) } else { child(here, &container_key(path)?) };
            equal(have.unwrap_or(&Value::Null), wanted).then_some(())
        }
        _ => None,
    }
}

/// Numbers are equal if they are the same number, however they are written.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
    }
}

fn unescape(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}

fn container_key(path: &str) -> Option<String> {
    path.rsplit_once('/').map(|(_, key)| unescape(key))
}

/// The value that holds the last step of `path`, and that step.
fn container<'a>(target: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut steps = path.split('/').skip(1).peekable();
    let mut here = target;
    loop {
        let key = unescape(steps.next()?);
        if steps.peek().is_none() {
            return (here.is_object() || here.is_array()).then_some((here, key));
        }
        here = child_mut(here, &key)?;
    }
}

fn index(key: &str, length: usize) -> Option<usize> {
    let n: i64 = key.parse().ok()?;
    let n = if n < 0 { n + i64::try_from(length).ok()? } else { n };
    usize::try_from(n).ok().filter(|n| *n < length)
}

fn child<'a>(here: &'a Value, key: &str) -> Option<&'a Value> {
    match here {
        Value::Object(map) => map.get(key),
        Value::Array(list) => list.get(index(key, list.len())?),
        _ => None,
    }
}

fn child_mut<'a>(here: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    match here {
        Value::Object(map) => map.get_mut(key),
        Value::Array(list) => {
            let at = index(key, list.len())?;
            list.get_mut(at)
        }
        _ => None,
    }
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    let (here, key) = container(target, path)?;
    match here {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list.insert(index(&key, list.len() + 1)?, value),
        _ => return None,
    }
    Some(())
}

fn remove(target: &mut Value, path: &str) -> Option<Value> {
    let (here, key) = container(target, path)?;
    match here {
        Value::Object(map) => map.remove(&key),
        Value::Array(list) => {
            let at = index(&key, list.len())?;
            Some(list.remove(at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations() {
        let start = json!({"data": {"x": "1", "y": "2"}, "list": [1, 2, 3], "a/b": {"~": 1}});
        let same = start.clone();
        for (name, patch, expect) in [
            ("add", json!([{"op": "add", "path": "/data/z", "value": 3}]), Some(("/data/z", json!(3)))),
            ("add to list", json!([{"op": "add", "path": "/list/1", "value": 9}]), Some(("/list", json!([1, 9, 2, 3])))),
            ("append", json!([{"op": "add", "path": "/list/-", "value": 9}]), Some(("/list", json!([1, 2, 3, 9])))),
            ("add at end", json!([{"op": "add", "path": "/list/3", "value": 9}]), Some(("/list", json!([1, 2, 3, 9])))),
            ("add beyond", json!([{"op": "add", "path": "/list/4", "value": 9}]), None),
            ("negative", json!([{"op": "remove", "path": "/list/-1"}]), Some(("/list", json!([1, 2])))),
            ("remove missing", json!([{"op": "remove", "path": "/data/no"}]), None),
            ("replace missing", json!([{"op": "replace", "path": "/nothing/here", "value": 1}]), None),
            ("escapes", json!([{"op": "replace", "path": "/a~1b/~0", "value": 2}]), Some(("/a~1b", json!({"~": 2})))),
            ("move", json!([{"op": "move", "from": "/data/x", "path": "/w"}]), Some(("/w", json!("1")))),
            ("copy", json!([{"op": "copy", "from": "/list/0", "path": "/list/-"}]), Some(("/list", json!([1, 2, 3, 1])))),
            ("copy missing", json!([{"op": "copy", "from": "/data/no", "path": "/data/z"}]), Some(("/data/z", json!(null)))),
            ("copy beyond", json!([{"op": "copy", "from": "/list/9", "path": "/data/z"}]), None),
            ("move missing", json!([{"op": "move", "from": "/data/no", "path": "/data/z"}]), None),
            ("test", json!([{"op": "test", "path": "/list/0", "value": 1.0}]), Some(("", same.clone()))),
            ("test fails", json!([{"op": "test", "path": "/data/x", "value": "2"}]), None),
            ("test missing is null", json!([{"op": "test", "path": "/data/no", "value": null}]), Some(("", same.clone()))),
            ("no leading slash", json!([{"op": "add", "path": "data/q", "value": 1}]), Some(("/q", json!(1)))),
            ("unknown", json!([{"op": "explode", "path": "/data"}]), None),
            ("null", json!(null), Some(("", same.clone()))),
        ] {
            let mut target = start.clone();
            let result = apply(&mut target, &patch);
            match expect {
                Some((pointer, value)) => assert_eq!((result, target.pointer(pointer)), (Ok(()), Some(&value)), "{name}"),
                None => assert_eq!(result.unwrap_err().code, 422, "{name}"),
            }
        }
    }

    #[test]
    fn forms() {
        for (patch, message) in [
            (
                json!({"op": "add"}),
                "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
            ),
            (
                json!([{"op": 1}]),
                "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
            ),
            (
                Value::Array(vec![json!({}); 10_001]),
                "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
            ),
        ] {
            assert_eq!(apply(&mut json!({}), &patch).unwrap_err().message, message);
        }
        assert_eq!(apply(&mut json!({}), &json!([{}])).unwrap_err().to_status()["details"], json!({}));
    }
}
