//! The patch formats that need no schema: [`json`] (RFC 6902) and [`merge`] (RFC 7386).
//!
//! Strategic merge patch and server-side apply need to know lists' keys and live in the schema room.

pub mod json;
pub mod merge;

use serde_json::Value;

/// What Go calls the type of a JSON value in its decoding errors.
pub fn go_type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
