//! Path elements: how an item of a list is named in a set of fields, and how Kubernetes prints a path.

use object::Value;
use object::order::Order as _;

use crate::types::{ListType, Text, Type};

/// The element of the item `index` of a list, `k:{...}` or `v:...`; the error says why it has none.
pub(super) fn of_item(list: Type<'_>, item: &Value) -> Result<String, String> {
    match list.list_type() {
        ListType::Map(keys) => of_keys(list, keys, item),
        _ if item.is_object() || item.is_array() || item.is_null() => {
            Err("only list and map items that are scalars can be elements of a set".to_owned())
        }
        _ => Ok(format!("v:{item}")),
    }
}

fn of_keys(list: Type<'_>, keys: &[Text], item: &Value) -> Result<String, String> {
    if item.is_null() {
        return Err("associative list with keys may not have a null element".to_owned());
    }
    if !item.is_object() {
        return Err("associative list with keys may not have non-map elements".to_owned());
    }
    let item_type = list.items();
    let mut sorted: Vec<&Text> = keys.iter().collect();
    sorted.order();
    let mut out = String::from("k:{");
    for key in sorted {
        let given = item.get(key.as_ref()).filter(|v| !v.is_null());
        let default = || item_type.and_then(|t| t.field(key)).and_then(|f| f.key_default());
        // A key that is not there and has no default is no part of the name, as long as another one is.
        let Some(value) = given.map(Value::to_string).or_else(|| default().map(|value| value.to_string())) else { continue };
        if out.len() > 3 {
            out.push(',');
        }
        out += &format!("{}:{value}", Value::from(key.as_ref()));
    }
    if out.len() == 3 {
        let keys: Vec<String> = keys.iter().map(|key| format!("{:?}", key.as_ref())).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any \
             key fields)",
            keys.join(" ")
        ));
    }
    out.push('}');
    Ok(out)
}

/// An element as it stands in a path: `.name`, `[name="x"]`, `[="x"]`, `[0]`.
pub(super) fn display(element: &str) -> String {
    let (kind, rest) = element.split_at(element.len().min(2));
    match kind {
        "f:" => format!(".{rest}"),
        "k:" => format!("[{}]", display_key(rest)),
        "v:" => format!("[={rest}]"),
        _ => format!("[{rest}]"),
    }
}

/// `name="x",port=80` of `{"name":"x","port":80}`.
pub(super) fn display_key(json: &str) -> String {
    match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(map)) => map.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","),
        _ => json.to_owned(),
    }
}

/// A whole path in Kubernetes' words: `.spec.containers[name="x"].image`.
pub fn display_path<'a>(elements: impl IntoIterator<Item = &'a str>) -> String {
    elements.into_iter().map(display).collect()
}
