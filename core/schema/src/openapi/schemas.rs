//! Types as OpenAPI schemas, and the collection of all that a document refers to.

use std::collections::BTreeMap;

use object::{Map, Value, json};

use super::Form;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::types::{Field, Format, ListType, PatchStrategy, Shape, Type};

/// The types a document refers to; each is described once.
pub(super) struct Wanted<'a> {
    form: Form,
    types: BTreeMap<String, Type<'a>>,
    /// Schemas that no type stands behind: lists, patches, watch events.
    made: BTreeMap<String, Value>,
}

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Component name of a resource's kind; custom kinds get the one Kubernetes gives them, `com.example.v1.Widget`.
pub(super) fn component_name(resource: &Resource) -> String {
    if !resource.ty().name().is_empty() {
        return resource.ty().name().to_owned();
    }
    let group: Vec<&str> = resource.gvr.group.split('.').rev().collect();
    format!("{}.{}.{}", group.join("."), resource.gvr.version, resource.kind.kind)
}

impl<'a> Wanted<'a> {
    pub(super) fn new(form: Form) -> Self {
        Wanted { form, types: BTreeMap::new(), made: BTreeMap::new() }
    }

    /// Reference to the kind of a resource.
    pub(super) fn kind(&mut self, resource: &'a Resource) -> Value {
        let name = component_name(resource);
        match &resource.custom {
            Some(custom) => {
                let form = self.form;
                self.made.entry(name.clone()).or_insert_with(|| super::custom::schema(resource, &custom.written, form));
                self.made.entry(format!("{META}.ObjectMeta")).or_insert(Value::Null);
            }
            None => drop(self.types.insert(name.clone(), resource.ty())),
        }
        self.form.reference(&name)
    }

    /// Reference to the list of a resource's objects.
    pub(super) fn list(&mut self, resource: &'a Resource) -> Value {
        let name = format!("{}List", component_name(resource));
        let item = self.kind(resource);
        let items = match self.form {
            Form::V3 => json!({"allOf": [item], "default": {}}),
            Form::V2 => item,
        };
        let schema = json!({
            "description": format!("{} is a list of {}", resource.list_kind, resource.kind.kind),
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string", "description": API_VERSION},
                "kind": {"type": "string", "description": KIND},
                "metadata": self.form.reference(&format!("{META}.ListMeta")),
                "items": {"type": "array", "items": items, "description": format!("List of {}.", resource.gvr.resource)},
            },
            "x-kubernetes-group-version-kind": [
                {"group": &*resource.gvr.group, "version": &*resource.gvr.version, "kind": &*resource.list_kind},
            ],
        });
        self.made.insert(name.clone(), schema);
        self.made.entry(format!("{META}.ListMeta")).or_insert(Value::Null);
        self.form.reference(&name)
    }

    /// Reference to a built-in type by its component name.
    pub(super) fn named(&mut self, name: &str) -> Value {
        self.made.entry(name.to_owned()).or_insert(Value::Null);
        self.form.reference(name)
    }

    /// Describes everything that was referred to, and what that refers to.
    pub(super) fn definitions(mut self, registry: &'a Registry) -> Map<String, Value> {
        let mut out = Map::new();
        for (name, schema) in std::mem::take(&mut self.made) {
            match (schema, registry.types().named(&name)) {
                (Value::Null, Some(ty)) => drop(self.types.insert(name, ty)),
                (Value::Null, None) => drop(out.insert(name.clone(), synthetic(&name))),
                (schema, _) => drop(out.insert(name, schema)),
            }
        }
        while let Some((name, ty)) = self.types.pop_first() {
            let mut schema = self.node(ty, &out);
            if let Some(kinds) = kinds(registry, ty)
                && let Some(map) = schema.as_object_mut()
            {
                map.insert("x-kubernetes-group-version-kind".to_owned(), kinds);
            }
            out.insert(name, schema);
        }
        out
    }

    /// A type where it is defined.
    fn node(&mut self, ty: Type<'a>, done: &Map<String, Value>) -> Value {
        let mut out = Map::new();
        if !ty.description().is_empty() {
            out.insert("description".to_owned(), ty.description().into());
        }
        if ty.atomic() {
            out.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
        }
        match ty.shape() {
            Shape::Struct(_) => {
                out.insert("type".to_owned(), "object".into());
                let mut properties = Map::new();
                let mut required = Vec::new();
                for field in ty.fields() {
                    properties.insert(field.name().to_owned(), self.property(field, done));
                    if field.node().required {
                        required.push(Value::from(field.name()));
                    }
                }
                if !properties.is_empty() {
                    out.insert("properties".to_owned(), Value::Object(properties));
                }
                if !required.is_empty() {
                    out.insert("required".to_owned(), Value::Array(required));
                }
            }
            shape => self.shape(ty, shape, &mut out, done),
        }
        Value::Object(out)
    }

    fn property(&mut self, field: Field<'a>, done: &Map<String, Value>) -> Value {
        let mut out = match self.usage(field.ty(), done) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        if out.contains_key("$ref") && self.form == Form::V3 {
            out = Map::from_iter([("allOf".to_owned(), json!([Value::Object(out)]))]);
        }
        let node = field.node();
        out.insert("description".to_owned(), field.description().into());
        if let Some(default) = field.default().filter(|_| node.published).cloned().or_else(|| published_zero(field)) {
            out.insert("default".to_owned(), default);
        }
        if !node.choices.is_empty() {
            out.insert("enum".to_owned(), node.choices.iter().map(|c| Value::from(c.as_ref())).collect());
        }
        let strategy = match field.patch() {
            PatchStrategy::Unset => None,
            PatchStrategy::Merge => Some("merge"),
            PatchStrategy::Replace => Some("replace"),
            PatchStrategy::RetainKeys => Some("retainKeys"),
            PatchStrategy::MergeRetainKeys => Some("merge,retainKeys"),
        };
        if let Some(strategy) = strategy {
            out.insert("x-kubernetes-patch-strategy".to_owned(), strategy.into());
        }
        if let Some(key) = field.merge_key() {
            out.insert("x-kubernetes-patch-merge-key".to_owned(), key.into());
        }
        Value::Object(out)
    }

    /// A type where it is used: by reference if it has a name.
    fn usage(&mut self, ty: Type<'a>, done: &Map<String, Value>) -> Value {
        if !ty.name().is_empty() {
            if !done.contains_key(ty.name()) {
                self.types.insert(ty.name().to_owned(), ty);
            }
            return self.form.reference(ty.name());
        }
        self.node(ty, done)
    }

    fn element(&mut self, ty: Type<'a>, done: &Map<String, Value>) -> Value {
        let usage = self.usage(ty, done);
        match (self.form, ty.shape()) {
            (Form::V3, Shape::Struct(_)) => json!({"allOf": [usage], "default": {}}),
            (Form::V3, Shape::String(Format::Plain)) => json!({"type": "string", "default": ""}),
            (Form::V3, Shape::Integer { bits }) => json!({"type": "integer", "format": format!("int{bits}"), "default": 0}),
            (Form::V3, _) if usage.get("$ref").is_some() => json!({"allOf": [usage]}),
            _ => usage,
        }
    }

    fn shape(&mut self, ty: Type<'a>, shape: &'a Shape, out: &mut Map<String, Value>, done: &Map<String, Value>) {
        let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
        match shape {
            Shape::Any if !ty.name().is_empty() && ty.short_name() != "JSON" => put("type", "object".into()),
            Shape::Any | Shape::ObjectOr(_) => {}
            Shape::Embedded | Shape::Struct(_) => put("type", "object".into()),
            Shape::Boolean => put("type", "boolean".into()),
            Shape::Number => {
                put("type", "number".into());
                put("format", "double".into());
            }
            Shape::Integer { bits } => {
                put("type", "integer".into());
                put("format", format!("int{bits}").into());
            }
            Shape::String(format) => {
                put("type", "string".into());
                match format {
                    Format::Plain => {}
                    Format::DateTime | Format::MicroTime => put("format", "date-time".into()),
                    Format::Byte => put("format", "byte".into()),
                }
            }
            Shape::IntOrString => {
                put("format", "int-or-string".into());
                if self.form == Form::V3 {
                    put("oneOf", json!([{"type": "integer"}, {"type": "string"}]));
                } else {
                    put("type", "string".into());
                }
            }
            Shape::Quantity if self.form == Form::V3 => put("oneOf", json!([{"type": "string"}, {"type": "number"}])),
            Shape::Quantity => put("type", "string".into()),
            Shape::Map(values) => {
                put("type", "object".into());
                put("additionalProperties", self.element(ty.types().ty(*values), done));
            }
            Shape::List(items, list) => {
                put("type", "array".into());
                put("items", self.element(ty.types().ty(*items), done));
                match list {
                    ListType::Unset => {}
                    ListType::Atomic => put("x-kubernetes-list-type", "atomic".into()),
                    ListType::Set => put("x-kubernetes-list-type", "set".into()),
                    ListType::Map(keys) => {
                        put("x-kubernetes-list-type", "map".into());
                        put("x-kubernetes-list-map-keys", keys.iter().map(|k| Value::from(k.as_ref())).collect());
                    }
                }
            }
        }
    }
}

fn published_zero(field: Field<'_>) -> Option<Value> {
    if !field.node().zero {
        return None;
    }
    match field.ty().shape() {
        Shape::Struct(_) => Some(json!({})),
        Shape::String(Format::Plain) => Some("".into()),
        Shape::Integer { .. } => Some(0.into()),
        Shape::Boolean => Some(false.into()),
        _ => None,
    }
}

/// Which kinds a type is.
fn kinds(registry: &Registry, ty: Type<'_>) -> Option<Value> {
    let of = |r: &Resource| json!({"group": &*r.kind.group, "version": &*r.kind.version, "kind": &*r.kind.kind});
    let is_root = |r: &&std::sync::Arc<Resource>| std::ptr::eq(r.ty().types(), ty.types()) && r.ty().id() == ty.id();
    if let Some(resource) = registry.resources().find(is_root) {
        return Some(json!([of(resource)]));
    }
    match ty.name() {
        "io.k8s.api.autoscaling.v1.Scale" => Some(json!([{"group": "autoscaling", "version": "v1", "kind": "Scale"}])),
        "io.k8s.api.policy.v1.Eviction" => Some(json!([{"group": "policy", "version": "v1", "kind": "Eviction"}])),
        "io.k8s.api.authentication.v1.TokenRequest" => {
            Some(json!([{"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}]))
        }
        "io.k8s.apimachinery.pkg.apis.meta.v1.Status" => Some(json!([{"group": "", "version": "v1", "kind": "Status"}])),
        "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions" => {
            // Every version of every group takes them.
            let every = registry
                .groups()
                .iter()
                .flat_map(|g| g.versions.iter().map(|v| json!({"group": &*g.name, "version": &**v, "kind": "DeleteOptions"})));
            Some(every.collect())
        }
        _ => None,
    }
}

/// Types that exist in documents only.
fn synthetic(name: &str) -> Value {
    match name.rsplit('.').next().unwrap_or("") {
        "WatchEvent" => json!({
            "description": "Event represents a single event to a watched resource.",
            "type": "object",
            "required": ["type", "object"],
            "properties": {"type": {"type": "string", "default": ""}, "object": {"type": "object"}},
        }),
        "Patch" => json!({
            "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
            "type": "object",
        }),
        _ => json!({"type": "object"}),
    }
}

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents.";
