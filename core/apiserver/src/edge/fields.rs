//! Field selectors over stored objects: which labels a resource knows, and what they stand for.

use std::borrow::Cow;

use object::selector::FieldSelector;
use object::{ApiError, Result, Value};
use schema::Resource;
use store::Object;

/// Refuses fields that this resource does not know.
pub fn check(resource: &Resource, fields: &FieldSelector) -> Result<()> {
    for term in fields.terms() {
        if !resource.field_selectors.iter().any(|known| known.as_ref() as &str == term.field) {
            return Err(ApiError::bad_request(format!("field label not supported: {}", term.field)));
        }
    }
    Ok(())
}

/// Whether the object has these fields. It is parsed only if the metadata at hand does not decide.
pub fn matches(fields: &FieldSelector, custom: bool, object: &Object, value: &mut Option<Value>) -> bool {
    fields.is_empty()
        || fields.matches(|field| match field {
            "metadata.name" => Cow::Borrowed(&*object.key.name),
            "metadata.namespace" => Cow::Borrowed(&*object.key.namespace),
            _ => {
                let value = value.get_or_insert_with(|| object.value());
                // Custom resources say what their definitions select, and nothing goes without saying.
                Cow::Owned(if custom { leaf(value, field).unwrap_or_default() } else { field_text(value, field) })
            }
        })
}

/// The text of a field as selectors compare it: absent is empty, or false, or zero.
fn field_text(object: &Value, field: &str) -> String {
    let path = match field {
        // What the selector calls them, and where events and jobs keep them.
        "status.successful" => "status.succeeded",
        "reportingComponent" | "reportingController" => "reportingComponent",
        // Newer events say who reports them, older ones who made them.
        "source" => {
            let made = leaf(object, "source.component").filter(|text| !text.is_empty());
            return made.unwrap_or_else(|| field_text(object, "reportingComponent"));
        }
        other => match other.strip_prefix("regarding.") {
            Some(rest) => return field_text(object, &format!("involvedObject.{rest}")),
            None => other,
        },
    };
    leaf(object, path).unwrap_or_else(|| match field {
        "spec.hostNetwork" | "spec.unschedulable" => "false".to_owned(),
        "status.successful" | "spec.replicas" | "status.replicas" => "0".to_owned(),
        _ => String::new(),
    })
}

/// The text of what stands at a path.
fn leaf(object: &Value, path: &str) -> Option<String> {
    match path.split('.').try_fold(object, |here, key| here.get(key)) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Bool(flag)) => Some(flag.to_string()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}
