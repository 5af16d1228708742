//! Go's names of types, for messages about values of the wrong type. Clients and their tests know these messages.

use crate::types::{Field, Format, Shape, Type};

/// `[]v1.Container`, `map[string]string`, `int64`; `field` is the field that holds a value of this type directly.
pub(crate) fn go_type(ty: Type<'_>, field: Option<Field<'_>>) -> String {
    if let Some(field) = field
        && !field.node().go.is_empty()
    {
        return field.node().go.to_string();
    }
    match ty.shape() {
        Shape::Boolean => "bool".to_owned(),
        Shape::String(Format::Byte) => "[]uint8".to_owned(),
        Shape::String(Format::Plain) => "string".to_owned(),
        Shape::Integer { bits } => format!("int{bits}"),
        Shape::Number => "float64".to_owned(),
        Shape::IntOrString => "int32".to_owned(),
        Shape::Map(values) => {
            let values = ty.types().ty(*values);
            // All maps of quantities in the API are of this named type.
            if matches!(values.shape(), Shape::Quantity) {
                return "v1.ResourceList".to_owned();
            }
            format!("map[string]{}", go_type(values, None))
        }
        Shape::List(items, _) => format!("[]{}", go_type(ty.types().ty(*items), None)),
        Shape::Any if ty.name().is_empty() => "interface {}".to_owned(),
        _ => {
            // io.k8s.api.core.v1.PodSpec: the package is called v1.
            let mut parts = ty.name().rsplit('.');
            let name = parts.next().unwrap_or("");
            format!("{}.{name}", parts.next().unwrap_or("v1"))
        }
    }
}

/// The struct that Go embeds in a struct of this type to hold this field, where messages name it.
pub(crate) fn embedded(ty: Type<'_>, field: &str) -> &'static str {
    match (ty.short_name(), field) {
        ("Probe", "exec" | "httpGet" | "tcpSocket" | "grpc") => "ProbeHandler",
        ("Volume", field) if field != "name" => "VolumeSource",
        ("EphemeralContainer", field) if field != "targetContainerName" => "EphemeralContainerCommon",
        _ => "",
    }
}

/// A number as a person would have written it.
pub(crate) fn shown_number(value: f64) -> String {
    format!("{value}")
}

/// What Go's decoder says of bytes that are not a JSON object, if they are not.
pub(crate) fn json_problem(bytes: &[u8]) -> Option<String> {
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(serde_json::Value::Object(_)) => None,
        Ok(_) => Some("json: cannot unmarshal value into Go value of type map[string]interface {}".to_owned()),
        Err(error) => Some(object::syntax::go_json(&error, bytes)),
    }
}
