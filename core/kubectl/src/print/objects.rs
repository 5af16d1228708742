//! Whole objects: `-o yaml`, `json`, `name`, `jsonpath=`, `custom-columns=`.

use object::value::str_at;
use object::{JsonPath, Value, json};

use super::columns::{TABLE, align};
use crate::flags::Flags;
use crate::{Failure, Kubectl, Result};

/// A form of output that shows objects.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Yaml,
    Json,
    Name,
    Path(JsonPath),
    /// One JSON value for each result.
    PathAsJson(JsonPath),
    Columns(Vec<(String, JsonPath)>, bool),
}

const FORMATS: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml";

impl Form {
    /// The form that `-o` asks for; `None` for a table or for none.
    pub(crate) fn parse(flags: &Flags) -> Result<Option<Form>> {
        let output = flags.text("output");
        let (kind, argument) = output.split_once('=').unwrap_or((output, ""));
        let argument = if argument.is_empty() { flags.text("template") } else { argument };
        let path = |text: &str| JsonPath::parse(text).map_err(|e| Failure::new(format!("error parsing jsonpath {text}, {e}")));
        Ok(Some(match kind {
            "" | "wide" => return Ok(None),
            "yaml" => Form::Yaml,
            "json" => Form::Json,
            "name" => Form::Name,
            "jsonpath" | "jsonpath-as-json" if argument.is_empty() => {
                return Err(Failure::new("template format specified but no template given"));
            }
            "jsonpath" if !flags.is("allow-missing-template-keys", true) => Form::Path(path(argument)?.strict()),
            "jsonpath" => Form::Path(path(argument)?),
            "jsonpath-as-json" => Form::PathAsJson(path(argument)?),
            "custom-columns" => Form::Columns(columns(argument)?, !flags.on("no-headers")),
            other => {
                return Err(Failure::new(format!(
                    "unable to match a printer suitable for the output format {other:?}, allowed formats are: {FORMATS}"
                )));
            }
        }))
    }
}

fn columns(spec: &str) -> Result<Vec<(String, JsonPath)>> {
    if spec.is_empty() {
        return Err(Failure::new("custom-columns format specified but no custom columns given"));
    }
    let column = |part: &str| {
        let Some((head, path)) = part.split_once(':') else {
            return Err(Failure::new(format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")));
        };
        Ok((head.to_owned(), JsonPath::parse_relaxed(path).map_err(Failure::new)?))
    };
    spec.split(',').map(column).collect()
}

impl Kubectl<'_> {
    /// Shows one object, or a list as one object.
    pub(crate) fn show(&self, form: &Form, object: &Value, flags: &Flags) -> Result<()> {
        let mut object = object.clone();
        if !flags.on("show-managed-fields") {
            strip_managed(&mut object);
        }
        match form {
            Form::Yaml => self.print(&object::yaml::to_string(&object)),
            Form::Json => self.print(&json_text(&object)),
            Form::Name => {
                for item in items(&object) {
                    self.line(&name_of(item));
                }
            }
            Form::Path(path) => {
                let text = path.render(&object);
                self.print(&text.map_err(|e| Failure::new(format!("error executing jsonpath: {e}")))?);
            }
            Form::PathAsJson(path) => {
                let found = path.find(&object).map_err(Failure::new)?;
                let all: Vec<Value> = found.into_iter().flatten().map(|v| v.into_owned()).collect();
                self.print(&json_text(&Value::Array(all)));
            }
            Form::Columns(columns, headers) => {
                let mut rows = Vec::new();
                if *headers {
                    rows.push(columns.iter().map(|(head, _)| head.clone()).collect());
                }
                for item in items(&object) {
                    let cell = |(_, path): &(String, JsonPath)| {
                        let found: Vec<String> = path
                            .find(item)
                            .unwrap_or_default()
                            .into_iter()
                            .flatten()
                            .map(|v| object::jsonpath::printed(&v))
                            .collect();
                        if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
                    };
                    rows.push(columns.iter().map(cell).collect::<Vec<_>>());
                }
                self.print(&align(&rows, TABLE, &mut Vec::new()));
            }
        }
        Ok(())
    }

    /// What a write says of its object: `deployment.apps/web created`, or the object in the form asked for.
    pub(crate) fn report(&self, flags: &Flags, object: &Value, what: &str) -> Result<()> {
        match Form::parse(flags)? {
            Some(form) => self.show(&form, object, flags),
            None => {
                let suffix = match flags.text("dry-run") {
                    "client" => " (dry run)",
                    "server" => " (server dry run)",
                    _ => "",
                };
                self.line(&format!("{} {what}{suffix}", name_of(object)));
                Ok(())
            }
        }
    }
}

/// Items of a list, or the object itself.
pub(crate) fn items(object: &Value) -> Vec<&Value> {
    match object.get("items").and_then(Value::as_array) {
        Some(items) if str_at(object, &["kind"]).ends_with("List") => items.iter().collect(),
        _ => vec![object],
    }
}

/// `deployment.apps/web`.
pub(crate) fn name_of(object: &Value) -> String {
    let kind = str_at(object, &["kind"]).to_lowercase();
    let name = str_at(object, &["metadata", "name"]);
    match str_at(object, &["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

fn strip_managed(object: &mut Value) {
    object::value::remove(object, &["metadata", "managedFields"]);
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        for item in items {
            object::value::remove(item, &["metadata", "managedFields"]);
        }
    }
}

/// JSON with four blanks, and with what Go's encoder escapes.
pub(crate) fn json_text(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    if serde::Serialize::serialize(value, &mut serializer).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&out);
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026") + "\n"
}

/// Several objects as one.
pub(crate) fn list_of(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}
