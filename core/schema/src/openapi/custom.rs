//! Custom kinds in documents: their definition's schema as it was written, with what every object has.

use object::value::at;
use object::{Map, Value, json};

use super::Form;
use super::schemas::META;
use crate::resource::Resource;

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert \
recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the \
endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: \
https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Definitions are bounded, and so is how deep this follows them.
const MAX_DEPTH: u32 = 64;

/// The schema of a custom resource's kind, given what it says in its definition.
pub(super) fn schema(resource: &Resource, written: &Value, form: Form) -> Value {
    let unknown = at(written, &["x-kubernetes-preserve-unknown-fields"]) == Some(&Value::Bool(true));
    let mut out = match written {
        Value::Object(_) if form == Form::V3 || !unknown => {
            let mut schema = written.clone();
            rewrite(&mut schema, form, 0);
            whole(&mut schema, form);
            schema
        }
        _ => json!({"type": "object"}),
    };
    let kind = json!([{"group": &*resource.gvr.group, "version": &*resource.gvr.version, "kind": &*resource.kind.kind}]);
    out["x-kubernetes-group-version-kind"] = kind;
    if let Some(custom) = resource.custom.as_ref().filter(|custom| form == Form::V3 && !custom.selectable.is_empty()) {
        let fields = custom.selectable.iter().map(|path| json!({"fieldPath": path.trim_start_matches('.')}));
        out["x-kubernetes-selectable-fields"] = fields.collect();
    }
    out
}

/// Adds what whole objects have.
fn whole(schema: &mut Value, form: Form) {
    let mut metadata = form.reference(&format!("{META}.ObjectMeta"));
    if form == Form::V3 {
        metadata = json!({"allOf": [metadata]});
    }
    metadata["description"] = METADATA.into();
    let properties = object::value::object_at(schema, &["properties"]);
    properties.insert("apiVersion".to_owned(), json!({"type": "string", "description": API_VERSION}));
    properties.insert("kind".to_owned(), json!({"type": "string", "description": KIND}));
    properties.insert("metadata".to_owned(), metadata);
}

/// Completes embedded objects, and takes out what the older form cannot say.
fn rewrite(schema: &mut Value, form: Form, depth: u32) {
    let Some(map) = schema.as_object_mut().filter(|_| depth < MAX_DEPTH) else { return };
    let is = |map: &Map<String, Value>, key: &str| map.get(key) == Some(&Value::Bool(true));
    if form == Form::V2 {
        for key in ["allOf", "anyOf", "oneOf", "not"] {
            map.remove(key);
        }
        // Clients of the older form refuse unknown fields wherever they know any.
        let (nullable, unknown) = (is(map, "nullable"), is(map, "x-kubernetes-preserve-unknown-fields"));
        if nullable || unknown {
            for key in ["items", "properties", "additionalProperties"] {
                map.remove(key);
            }
        }
        if nullable {
            map.remove("type");
            map.remove("nullable");
        }
    }
    let embedded = is(map, "x-kubernetes-embedded-resource");
    for key in ["items", "additionalProperties"] {
        if let Some(below) = map.get_mut(key) {
            rewrite(below, form, depth + 1);
        }
    }
    for (_, below) in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        rewrite(below, form, depth + 1);
    }
    if embedded {
        whole(schema, form);
    }
}
