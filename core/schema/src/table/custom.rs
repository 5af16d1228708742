//! Cells of custom resources: what stands at a JSONPath.

use object::jsonpath::{JsonPath, printed};
use object::{Time, Value};

use super::Printer;
use crate::crd::Custom;
use crate::resource::Resource;

/// The name, and one cell for each column of the definition.
pub fn cells(p: &Printer<'_>, resource: &Resource, custom: &Custom) -> Vec<Value> {
    let mut cells = vec![p.name()];
    let columns = resource.columns.iter().skip(1).zip(&custom.column_paths);
    cells.extend(columns.map(|(column, path)| {
        let Ok(path) = JsonPath::parse(&format!("{{{path}}}")) else { return Value::Null };
        path.first(p.object).map_or(Value::Null, |value| cell(&column.kind, &value, p))
    }));
    cells
}

/// A value as a cell of this type; null where it has another.
fn cell(kind: &str, value: &Value, p: &Printer<'_>) -> Value {
    match (kind, value) {
        ("string", value) => printed(value).into(),
        ("integer", Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) => match Time::parse(text) {
            Some(time) => super::human_duration(time, p.now).into(),
            None => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}
