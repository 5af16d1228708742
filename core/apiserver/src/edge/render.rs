//! Objects, lists and events in the form a client asked for.

use std::sync::Arc;

use object::value::at;
use object::{ApiError, Bytes, Cause, Result, Time, Value, json};
use schema::Resource;
use store::Object;

use super::accept::{Accept, Encoding, Form};
use super::list::Page;
use crate::convert;

/// How much of an object a table's rows carry (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Include {
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads the parameter, which only tables have a use for; elsewhere nobody looks at it.
    pub fn parse(text: &str, form: Form) -> Result<Self> {
        Ok(match text {
            "" | "Metadata" => Include::Metadata,
            "Object" => Include::Object,
            "None" => Include::None,
            _ if form != Form::Table => Include::Metadata,
            other => {
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let cause = Cause::invalid("includeObject", &json!(other), why);
                return Err(ApiError::bad_request(format!("Unable to convert to Table as requested: {cause}")));
            }
        })
    }
}

/// The object as its resource's version shows it.
pub fn value_of(resource: &Resource, object: &Object) -> Value {
    convert::shown(resource, object.value())
}

/// One stored object. Where nothing has to change, its bytes are shared.
pub fn stored(resource: &Resource, object: &Object, accept: Accept, include: Include, now: Time) -> Bytes {
    if accept == (Accept { form: Form::Object, encoding: Encoding::Json, beta: false }) && convert::is_storage_version(resource) {
        return object.bytes.clone();
    }
    value(resource, value_of(resource, object).into(), accept, include, now)
}

/// One object that may not be stored.
pub fn value(resource: &Resource, object: Arc<Value>, accept: Accept, include: Include, now: Time) -> Bytes {
    let mut shown = match accept.form {
        Form::Object if !accept.beta => return encode(&object, accept.encoding),
        Form::Object => Arc::unwrap_or_clone(object),
        Form::Partial => partial(&object),
        Form::Table => {
            let version = at(&object, &["metadata", "resourceVersion"]).cloned();
            let mut metadata = json!({});
            if let Some(version) = version {
                metadata["resourceVersion"] = version;
            }
            table(resource, std::slice::from_ref(&*object), metadata, include, now, true)
        }
    };
    accept.name(&mut shown);
    encode(&shown, accept.encoding)
}

/// A page of a list.
pub fn page(resource: &Resource, page: &Page, accept: Accept, include: Include, now: Time) -> Bytes {
    let mut metadata = json!({"resourceVersion": page.revision.to_string()});
    // Lists of custom resources say that there is no more.
    if !page.next.is_empty() || resource.custom.is_some() && accept.form == Form::Object {
        metadata["continue"] = page.next.as_str().into();
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    let values = |items: &[Arc<Object>]| items.iter().map(|o| value_of(resource, o)).collect::<Vec<Value>>();
    let mut list = match accept.form {
        Form::Object => {
            let bytes = concatenated(resource, page, &metadata);
            if accept.encoding == Encoding::Json {
                return bytes;
            }
            serde_json::from_slice(&bytes).unwrap_or_default()
        }
        Form::Partial => {
            let items: Vec<Value> = values(&page.items).iter().map(partial).collect();
            // Kubernetes never makes the list where there is nothing to put into it.
            let items = if items.is_empty() { Value::Null } else { items.into() };
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
        }
        Form::Table => table(resource, &values(&page.items), metadata, include, now, true),
    };
    accept.name(&mut list);
    encode(&list, accept.encoding)
}

/// A list in JSON is the bytes of its items, one after another; items of built-in kinds do not repeat their kind.
fn concatenated(resource: &Resource, page: &Page, metadata: &Value) -> Bytes {
    let size: usize = page.items.iter().map(|o| o.bytes.len() + 1).sum();
    let mut out = Vec::with_capacity(size + 256);
    let head = format!(
        "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
        resource.list_kind,
        resource.kind.api_version()
    );
    out.extend_from_slice(head.as_bytes());
    for (i, object) in page.items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if resource.custom.is_some() {
            // Items of custom kinds say what they are.
            if convert::is_storage_version(resource) {
                out.extend_from_slice(&object.bytes);
            } else {
                out.extend_from_slice(value_of(resource, object).to_string().as_bytes());
            }
        } else if convert::is_storage_version(resource) {
            out.push(b'{');
            out.extend_from_slice(object.body());
        } else {
            let mut value = value_of(resource, object);
            if let Some(map) = value.as_object_mut() {
                map.remove("kind");
                map.remove("apiVersion");
            }
            out.extend_from_slice(value.to_string().as_bytes());
        }
    }
    out.extend_from_slice(b"]}");
    out.into()
}

/// Only the metadata.
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// A table; column definitions may be left out where a watch has sent them before.
pub fn table(resource: &Resource, objects: &[Value], metadata: Value, include: Include, now: Time, columns: bool) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let row = schema::table::row(resource, object, now);
            let mut shown = json!({"cells": row.cells});
            if !row.conditions.is_empty() {
                shown["conditions"] = row.conditions.into();
            }
            match include {
                Include::Metadata => shown["object"] = partial(object),
                Include::Object => shown["object"] = object.clone(),
                Include::None => shown["object"] = Value::Null,
            }
            shown
        })
        .collect();
    let definitions = if columns { schema::table::column_definitions(resource) } else { Value::Null };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
}

/// Writes JSON or YAML.
pub fn encode(value: &Value, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Json => value.to_string().into(),
        Encoding::Yaml => serde_saphyr::to_string(value).unwrap_or_default().into(),
    }
}
