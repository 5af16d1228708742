//! What a structural schema declares to expressions: types, and how large their values can be.

use std::collections::BTreeMap;

use cel::{Decl, Type};
use object::Value;
use object::value::{at, bool_at, list_at, str_at};

/// The largest request; what a schema does not bound is bounded by it.
pub const MOST_REQUEST: u64 = 3 * 1024 * 1024;

/// Schemas nest no deeper than this.
const MAX_DEPTH: u32 = 100;

/// The declaration of a schema's values; `None` where expressions cannot see them. `root` is an object with metadata.
pub fn declare(schema: &Value, root: bool, name: &str) -> Option<Decl> {
    declare_at(schema, root, name, 0)
}

fn declare_at(schema: &Value, root: bool, name: &str, depth: u32) -> Option<Decl> {
    if depth > MAX_DEPTH {
        return None;
    }
    let bound = |key: &str| at(schema, &[key]).and_then(Value::as_i64).map(|n| u64::try_from(n).unwrap_or(0));
    if bool_at(schema, &["x-kubernetes-int-or-string"]) {
        let most = bound("maxLength").map_or(MOST_REQUEST - 2, |n| n.saturating_mul(4));
        return Some(Decl::scalar(Type::Dyn, most, 1));
    }
    let below =
        |schema: &Value, name: &str| declare_at(schema, bool_at(schema, &["x-kubernetes-embedded-resource"]), name, depth + 1);
    Some(match str_at(schema, &["type"]) {
        "array" => {
            let items = below(at(schema, &["items"])?, &format!("{name}.@idx"))?;
            let room = (MOST_REQUEST - 2) / (items.least + 1);
            Decl::list(items, bound("maxItems").unwrap_or(room))
        }
        "object" => match at(schema, &["additionalProperties"]).filter(|v| v.is_object()).filter(|_| !root) {
            Some(values) => {
                let values = below(values, &format!("{name}.@elem"))?;
                // Two quotes, a colon and a comma, and a key of two characters.
                let room = (MOST_REQUEST - 2) / (values.least + 6);
                Decl::map(values, bound("maxProperties").unwrap_or(room))
            }
            None => object(schema, root, name, &below),
        },
        "string" => text(schema, bound("maxLength")),
        "boolean" => Decl::scalar(Type::Bool, 0, 4),
        "number" => Decl::scalar(Type::Double, 0, 1),
        "integer" => Decl::scalar(Type::Int, 0, 1),
        _ => return None,
    })
}

fn object(schema: &Value, root: bool, name: &str, below: &dyn Fn(&Value, &str) -> Option<Decl>) -> Decl {
    let mut fields = BTreeMap::new();
    // An object is at least `{}`.
    let mut least = 2;
    let required = list_at(schema, &["required"]);
    for (key, property) in at(schema, &["properties"]).and_then(Value::as_object).into_iter().flatten() {
        let Some(decl) = below(property, &format!("{name}.{key}")) else { continue };
        if required.iter().any(|name| name == key.as_str()) && property.get("default").is_none() {
            least += key.len() as u64 + decl.least + 4;
        }
        if let Some(written) = cel::escaped(key) {
            fields.insert(written, decl);
        }
    }
    if root && !declares_metadata(schema) {
        let text = || Decl::scalar(Type::Text, MOST_REQUEST - 2, 2);
        let names = ["name", "generateName"].map(|key| (key.to_owned(), text()));
        fields.insert("metadata".to_owned(), Decl::object(&format!("{name}.metadata"), names.into(), 2));
        fields.extend(["kind", "apiVersion"].map(|key| (key.to_owned(), text())));
    }
    Decl::object(name, fields, least)
}

/// Whether a schema says itself what every object has.
fn declares_metadata(schema: &Value) -> bool {
    let is = |path: &[&str], kind: &str| at(schema, path).is_some_and(|property| str_at(property, &["type"]) == kind);
    is(&["properties", "kind"], "string")
        && is(&["properties", "apiVersion"], "string")
        && is(&["properties", "metadata"], "object")
        && is(&["properties", "metadata", "properties", "name"], "string")
        && is(&["properties", "metadata", "properties", "generateName"], "string")
}

fn text(schema: &Value, most: Option<u64>) -> Decl {
    match str_at(schema, &["format"]) {
        "byte" => Decl::scalar(Type::Bytes, most.unwrap_or(MOST_REQUEST - 2), 2),
        "duration" => Decl::scalar(Type::Duration, 32, 3),
        "date" => Decl::scalar(Type::Timestamp, 12, 12),
        "date-time" => Decl::scalar(Type::Timestamp, 32, 21),
        _ => {
            let longest = list_at(schema, &["enum"]).iter().filter_map(Value::as_str).map(|text| text.len() as u64).max();
            // A character takes up to four bytes.
            let most = most.map(|n| n.saturating_mul(4)).or(longest).unwrap_or(MOST_REQUEST - 2);
            Decl::scalar(Type::Text, most, 2)
        }
    }
}
