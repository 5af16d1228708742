//! JSON values as Go's `%v` writes them inside messages: `map[a:1 b:[x y]]`.

use object::Value;

/// The text of `value`.
pub fn go_format(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_format).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_format(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
        other => object::jsonpath::printed(other),
    }
}
