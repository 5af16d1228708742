//! OpenAPI documents made from the registry: one for each group and version (`/openapi/v3/apis/apps/v1`), an index of
//! them (`/openapi/v3`), and one for everything in the older form (`/openapi/v2`).
//!
//! kubectl reads them for `explain`, to see whether the server checks fields, and for merge keys; client libraries are
//! generated from them. They change only when the registry does: keep the text and send its hash as the ETag.

mod custom;
mod paths;
mod schemas;

use object::{Map, Value, json};

use crate::registry::Registry;

/// The version the documents are said to describe.
const KUBERNETES_VERSION: &str = "v1.35.6";

/// Where references to types lead, and what else differs between the two forms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// OpenAPI 3.0: `#/components/schemas/`.
    V3,
    /// Swagger 2.0: `#/definitions/`.
    V2,
}

impl Form {
    fn reference(self, name: &str) -> Value {
        match self {
            Form::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
            Form::V2 => json!({"$ref": format!("#/definitions/{name}")}),
        }
    }
}

/// `apis/apps/v1`, or `api/v1` for the core group: how the index names a document.
pub fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The index: every document with an address that changes when the document does.
pub fn index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    for group in registry.groups() {
        for version in &group.versions {
            let path = document_path(&group.name, version);
            let hash = hash(registry, &group.name, version);
            paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
        }
    }
    json!({"paths": paths})
}

/// Hash of a document: found without making it where all its resources are built in.
pub fn hash(registry: &Registry, group: &str, version: &str) -> String {
    if registry.resources_of(group, version).any(|r| r.custom.is_some()) {
        let text = document(registry, group, version).map(|d| d.to_string()).unwrap_or_default();
        return format!("{:016X}", fnv(&[text.as_bytes()]));
    }
    format!("{:016X}", fnv(&[env!("SCHEMAS_HASH").as_bytes(), group.as_bytes(), b"/", version.as_bytes()]))
}

fn fnv(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|p| p.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The document of a version of a group, or `None` if it is not served.
pub fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    if !registry.serves(group, version) {
        return None;
    }
    let mut wanted = schemas::Wanted::new(Form::V3);
    let mut all = Map::new();
    for resource in registry.resources_of(group, version) {
        paths::resource(registry, resource, Form::V3, &mut wanted, &mut all);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": all,
        "components": {
            "schemas": wanted.definitions(registry),
            "securitySchemes": {
                "BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"},
            },
        },
    }))
}

/// Everything in the older form.
pub fn swagger(registry: &Registry) -> Value {
    let mut wanted = schemas::Wanted::new(Form::V2);
    let mut all = Map::new();
    for resource in registry.resources() {
        paths::resource(registry, resource, Form::V2, &mut wanted, &mut all);
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": all,
        "definitions": wanted.definitions(registry),
        "securityDefinitions": {
            "BearerToken": {"type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"},
        },
        "security": [{"BearerToken": []}],
    })
}

#[cfg(test)]
mod tests;
