//! Turns JSON schemas and the overlay into the numbered type graph.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::{Map, Value};

use crate::model::*;
use crate::overlay::{Entry, Group, Overlay, Resource};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Graph {
    texts: Vec<&'static str>,
    text_ids: BTreeMap<&'static str, u32>,
    nodes: Vec<NodeModel<'static>>,
    names: BTreeMap<String, u32>,
}

/// A build script ends soon, so what the model borrows may stay.
fn keep(text: impl Into<String>) -> &'static str {
    text.into().leak()
}

fn keep_all(texts: &[String]) -> Vec<&'static str> {
    texts.iter().map(|t| keep(t.as_str())).collect()
}

/// Builds the model.
pub fn build(definitions: Map<String, Value>, mut overlay: Overlay) -> Result<Model<'static>> {
    let mut graph = Graph { texts: vec![""], text_ids: BTreeMap::new(), nodes: Vec::new(), names: BTreeMap::new() };
    graph.text_ids.insert("", 0);
    // Numbers first, so that types may refer to each other in any order.
    for name in definitions.keys() {
        graph.names.insert(name.clone(), graph.nodes.len() as u32);
        graph.nodes.push(NodeModel { name: keep(name.as_str()), text: 0, atomic: false, shape: ShapeModel::Any });
    }
    for (name, schema) in &definitions {
        let mut entries = overlay.types.remove(name).unwrap_or_default();
        let own = entries.remove("$type").unwrap_or_default();
        let numbers = overlay.numbers.remove(name).unwrap_or_default();
        let shape = graph.component(name, schema, entries, &numbers)?;
        let text = graph.text(schema);
        let id = graph.names[name] as usize;
        graph.nodes[id] = NodeModel { name: keep(name.as_str()), text, atomic: own.atomic, shape };
    }
    if let Some(name) = overlay.types.keys().chain(overlay.numbers.keys()).next() {
        return Err(format!("the overlay names the type {name}, which does not exist").into());
    }
    let mut resources = Vec::new();
    for group in &overlay.groups {
        for (key, resource) in sorted(group) {
            resources.push(graph.resource(group, key, resource)?);
        }
    }
    let groups =
        overlay.groups.iter().map(|g| GroupModel { name: keep(g.name.as_str()), versions: keep_all(&g.versions) }).collect();
    Ok(Model { texts: graph.texts, nodes: graph.nodes, groups, resources })
}

/// Resources in the order of their versions, then of their names.
fn sorted(group: &Group) -> Vec<(&String, &Resource)> {
    let mut all: Vec<_> = group.resources.iter().collect();
    let place = |key: &str| group.versions.iter().position(|v| key.split('/').next() == Some(v));
    all.sort_by_key(|(key, _)| (place(key), *key));
    all
}

impl Graph {
    fn text(&mut self, schema: &Value) -> u32 {
        self.text_id(schema["description"].as_str().unwrap_or(""))
    }

    fn text_id(&mut self, text: &str) -> u32 {
        if let Some(id) = self.text_ids.get(text) {
            return *id;
        }
        let (id, text) = (self.texts.len() as u32, keep(text));
        self.texts.push(text);
        self.text_ids.insert(text, id);
        id
    }

    /// A type without a name; equal ones share a number.
    fn anonymous(&mut self, shape: ShapeModel<'static>, atomic: bool) -> u32 {
        let node = NodeModel { name: "", text: 0, atomic, shape };
        if let Some(found) = self.nodes.iter().position(|n| *n == node) {
            return found as u32;
        }
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    fn component(
        &mut self,
        name: &str,
        schema: &Value,
        mut entries: BTreeMap<String, Entry>,
        numbers: &BTreeMap<String, u32>,
    ) -> Result<ShapeModel<'static>> {
        let short = name.rsplit('.').next().unwrap_or(name);
        match short {
            "Quantity" => return Ok(ShapeModel::Quantity),
            "IntOrString" => return Ok(ShapeModel::IntOrString),
            "Time" => return Ok(ShapeModel::String("date-time")),
            "MicroTime" => return Ok(ShapeModel::String("micro-time")),
            "RawExtension" => return Ok(ShapeModel::Embedded),
            "FieldsV1" | "JSON" | "CustomResourceSubresourceStatus" => return Ok(ShapeModel::Any),
            "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
                let object = name.split("Or").next().unwrap_or(name);
                return Ok(ShapeModel::ObjectOr(*self.names.get(object).ok_or("JSONSchemaProps is missing")?));
            }
            _ => {}
        }
        let Some(properties) = schema["properties"].as_object() else {
            return Ok(ShapeModel::Struct(Vec::new()));
        };
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Vec::new();
        for (key, property) in properties {
            let entry = entries.remove(key).unwrap_or_default();
            // The crate makes `metadata` required, OpenAPI never does.
            let required = entry.required.unwrap_or(required.contains(&key.as_str()) && key != "metadata");
            let node = self.property(property, &entry).map_err(|e| format!("{name}.{key}: {e}"))?;
            let text = self.text(property);
            // Optional numbers and booleans are mostly pointers in Go, optional texts mostly are not.
            let shape = &self.nodes[node as usize].shape;
            let pointer = matches!(shape, ShapeModel::Boolean | ShapeModel::Integer(_) | ShapeModel::Number);
            let number = numbers.get(key).copied().unwrap_or(0);
            fields.push(field(key, node, text, required, pointer, &entry, number));
        }
        if let Some(key) = entries.keys().next() {
            return Err(format!("the overlay names {name}.{key}, which does not exist").into());
        }
        fields.sort_by_key(|f| f.name);
        Ok(ShapeModel::Struct(fields))
    }

    fn property(&mut self, schema: &Value, entry: &Entry) -> Result<u32> {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        if let Some(reference) = reference {
            let name = reference.rsplit('/').next().unwrap_or(reference);
            return self.names.get(name).copied().ok_or_else(|| format!("no type {name}").into());
        }
        let plain = Entry::default();
        let shape = match (schema["type"].as_str().unwrap_or(""), schema["format"].as_str().unwrap_or("")) {
            ("boolean", _) => ShapeModel::Boolean,
            ("string", format) => ShapeModel::String(keep(format)),
            ("integer", "int32") => ShapeModel::Integer(32),
            ("integer", _) => ShapeModel::Integer(64),
            ("number", _) => ShapeModel::Number,
            ("array", _) => {
                let kind = match entry.list.as_deref() {
                    None => ListModel::Unset,
                    Some("atomic") => ListModel::Atomic,
                    Some("set") => ListModel::Set,
                    Some("map") => ListModel::Map(keep_all(&entry.keys)),
                    Some(other) => return Err(format!("list type {other}").into()),
                };
                ShapeModel::List(self.property(&schema["items"], &plain)?, kind)
            }
            ("object", _) if schema["additionalProperties"].is_object() => {
                ShapeModel::Map(self.property(&schema["additionalProperties"], &plain)?)
            }
            _ => ShapeModel::Any,
        };
        Ok(self.anonymous(shape, entry.map.as_deref() == Some("atomic")))
    }

    /// The description of a field.
    fn described(&self, name: &str, field: &str) -> Result<u32> {
        let node = self.names.get(name).and_then(|id| self.nodes.get(*id as usize));
        if let Some(NodeModel { shape: ShapeModel::Struct(fields), .. }) = node
            && let Some(found) = fields.iter().find(|f| f.name == field)
        {
            return Ok(found.text);
        }
        Err(format!("no field {name}.{field} to describe a column").into())
    }

    fn resource(&mut self, group: &Group, key: &str, from: &Resource) -> Result<ResourceModel<'static>> {
        let (version, resource) = key.split_once('/').ok_or_else(|| format!("{key} is not version/resource"))?;
        let type_name = format!("{}.{version}.{}", group.package, from.kind);
        let node = *self.names.get(&type_name).ok_or_else(|| format!("no type {type_name}"))?;
        let all = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
        let selectors = ["metadata.name", "metadata.namespace"];
        let subresources = from.subresources.iter().map(|(name, sub)| {
            let kind = sub.kind.as_deref().unwrap_or(&from.kind);
            let parts: Vec<&str> = kind.split('/').collect();
            let (group, version, kind) = match parts.as_slice() {
                [g, v, k] => (*g, *v, *k),
                _ => ("", "", kind),
            };
            let verbs = sub.verbs.as_deref().map_or_else(|| vec!["get", "patch", "update"], keep_all);
            SubresourceModel { name: keep(name.as_str()), group: keep(group), version: keep(version), kind: keep(kind), verbs }
        });
        let mut columns = Vec::new();
        for c in &from.columns {
            const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
            let text = match (&c.doc, c.name.as_str(), c.format.as_str()) {
                (Some(path), _, _) => {
                    let (name, field) = path.rsplit_once('.').unwrap_or((path, ""));
                    self.described(&format!("{}.{name}", group.package), field)?
                }
                (None, _, "name") => self.described(META, "name")?,
                (None, "Age", _) if c.description.is_empty() => self.described(META, "creationTimestamp")?,
                _ => self.text_id(&c.description),
            };
            let (name, kind, format) = (keep(c.name.as_str()), keep(c.kind.as_str()), keep(c.format.as_str()));
            columns.push(ColumnModel { name, kind, format, priority: c.priority, text });
        }
        Ok(ResourceModel {
            group: keep(group.name.as_str()),
            version: keep(version),
            resource: keep(resource),
            kind: keep(from.kind.as_str()),
            node,
            namespaced: from.scope.as_deref() != Some("Cluster"),
            short_names: keep_all(&from.short_names),
            categories: keep_all(&from.categories),
            verbs: from.verbs.as_deref().map_or_else(|| all.to_vec(), keep_all),
            subresources: subresources.collect(),
            field_selectors: from.field_selectors.as_deref().map_or_else(|| selectors.to_vec(), keep_all),
            columns,
            stored_as: keep(from.stored_as.as_str()),
        })
    }
}

fn field(name: &str, node: u32, text: u32, required: bool, pointer: bool, entry: &Entry, number: u32) -> FieldModel<'static> {
    FieldModel {
        name: keep(name),
        node,
        text,
        required,
        zero: entry.zero,
        pointer: entry.pointer.unwrap_or(pointer),
        default: entry.default.as_ref().map_or("", |v| keep(v.to_string())),
        published: entry.published,
        patch: keep(entry.patch.as_str()),
        merge_key: keep(entry.merge_key.as_str()),
        choices: keep_all(&entry.choices),
        go: keep(entry.go.as_str()),
        number,
    }
}
