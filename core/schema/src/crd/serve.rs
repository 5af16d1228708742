//! What a definition makes the API serve.

use object::order::Order as _;
use std::sync::Arc;

use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, GroupVersionKind, GroupVersionResource, Value};

use super::structural::Structural;
use super::{Custom, Scale, simple_path, types};
use crate::registry::Registry;
use crate::resource::{Column, Resource, Storage, Subresource};

/// Verbs of custom resources, in the order in which Kubernetes lists them.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not \
guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented \
in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// A definition, to look into.
pub struct Definition<'a>(pub &'a Value);

impl Definition<'_> {
    /// Its API group.
    pub fn group(&self) -> &str {
        str_at(self.0, &["spec", "group"])
    }

    /// The plural name of its resource.
    pub fn plural(&self) -> &str {
        str_at(self.0, &["spec", "names", "plural"])
    }

    /// Where its objects are kept.
    pub fn resource(&self) -> GroupResource {
        GroupResource::new(self.group(), self.plural())
    }

    /// Whether a condition is true.
    pub fn is(&self, condition: &str) -> bool {
        let conditions = list_at(self.0, &["status", "conditions"]);
        conditions.iter().any(|c| str_at(c, &["type"]) == condition && str_at(c, &["status"]) == "True")
    }

    /// The version in which its objects are kept.
    pub fn storage_version(&self) -> Option<&Value> {
        list_at(self.0, &["spec", "versions"]).iter().find(|version| at(version, &["storage"]) == Some(&Value::Bool(true)))
    }
}

/// The resources of a definition's served versions, under the names that were accepted.
pub fn resources(definition: &Definition<'_>, registry: &Registry) -> Vec<Resource> {
    let Some(storage) = definition.storage_version() else { return Vec::new() };
    let stored = Arc::new(Structural::read(at(storage, &["schema", "openAPIV3Schema"]).unwrap_or(&Value::Null)));
    let versions = list_at(definition.0, &["spec", "versions"]);
    let served = versions.iter().filter(|version| at(version, &["served"]) == Some(&Value::Bool(true)));
    served.map(|version| resource(definition, version, storage, &stored, registry)).collect()
}

fn resource(
    definition: &Definition<'_>,
    version: &Value,
    storage: &Value,
    stored: &Arc<Structural>,
    registry: &Registry,
) -> Resource {
    let name = |key: &str| str_at(definition.0, &["status", "acceptedNames", key]).to_owned();
    let names = |key: &str| {
        let list = list_at(definition.0, &["status", "acceptedNames", key]);
        list.iter().filter_map(Value::as_str).map(|text| text.to_owned().into()).collect()
    };
    let (group, version_name) = (definition.group(), str_at(version, &["name"]));
    let written = at(version, &["schema", "openAPIV3Schema"]).cloned().unwrap_or_default();
    let schema = Arc::new(Structural::read(&written));
    let (columns, column_paths) = columns(version);
    let selectable = list_at(version, &["selectableFields"]).iter().map(|field| str_at(field, &["jsonPath"]).to_owned());
    let selectable: Vec<String> = selectable.collect();
    let mut field_selectors = vec!["metadata.name".into(), "metadata.namespace".into()];
    field_selectors.extend(selectable.iter().map(|path| path.trim_start_matches('.').to_owned().into()));
    Resource {
        gvr: GroupVersionResource::new(group, version_name, definition.plural()),
        kind: GroupVersionKind::new(group, version_name, &name("kind")),
        list_kind: name("listKind").into(),
        singular: name("singular").into(),
        namespaced: str_at(definition.0, &["spec", "scope"]) == "Namespaced",
        short_names: names("shortNames"),
        categories: names("categories"),
        verbs: VERBS.iter().map(|verb| (*verb).into()).collect(),
        subresources: subresources(version, &name("kind")),
        field_selectors,
        columns,
        storage: Storage {
            resource: definition.resource(),
            kind: GroupVersionKind::new(group, str_at(storage, &["name"]), &name("kind")),
        },
        root: types::root(&schema, registry.types()),
        custom: Some(Arc::new(Custom {
            schema,
            storage: stored.clone(),
            deprecation: deprecation(definition, version),
            scale: scale(version),
            column_paths,
            selectable,
            written,
            conversion: conversion(definition),
            mixed: list_at(definition.0, &["status", "storedVersions"]).len() > 1,
            changed: i64_at(definition.0, &["metadata", "generation"]).is_some_and(|generation| generation > 1),
        })),
    }
}

fn conversion(definition: &Definition<'_>) -> Option<Arc<Value>> {
    let conversion = at(definition.0, &["spec", "conversion"])?;
    let webhook = at(conversion, &["webhook"]).filter(|_| str_at(conversion, &["strategy"]) == "Webhook")?;
    Some(Arc::new(webhook.clone()))
}

/// What clients of a deprecated version are told.
fn deprecation(definition: &Definition<'_>, version: &Value) -> Option<String> {
    if at(version, &["deprecated"]) != Some(&Value::Bool(true)) {
        return None;
    }
    let said = str_at(version, &["deprecationWarning"]);
    if !said.is_empty() {
        return Some(said.to_owned());
    }
    let (group, kind) = (definition.group(), str_at(definition.0, &["spec", "names", "kind"]));
    let served = list_at(definition.0, &["spec", "versions"]).iter().filter(|other| {
        at(other, &["served"]) == Some(&Value::Bool(true)) && at(other, &["deprecated"]) != Some(&Value::Bool(true))
    });
    let own = str_at(version, &["name"]);
    let mut better: Vec<&str> =
        served.map(|v| str_at(v, &["name"])).filter(|name| version_order(name) < version_order(own)).collect();
    better.order_by_key(|name| version_order(name));
    let mut warning = format!("{group}/{own} {kind} is deprecated");
    if let Some(better) = better.first() {
        warning += &format!("; use {group}/{better} {kind}");
    }
    Some(warning)
}

/// Sorts versions as discovery does: stable before beta before alpha, newer first, all others after them by name.
pub fn version_order(name: &str) -> (u8, std::cmp::Reverse<u32>, std::cmp::Reverse<u32>, String) {
    let parsed = || {
        let rest = name.strip_prefix('v')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (major, rest) = rest.split_at(digits);
        let major: u32 = major.parse().ok()?;
        let (level, minor) = match rest {
            "" => (0, 0),
            _ => match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
                (Some(minor), _) => (1, minor.parse().ok()?),
                (_, Some(minor)) => (2, minor.parse().ok()?),
                _ => return None,
            },
        };
        Some((level, major, minor))
    };
    match parsed() {
        Some((level, major, minor)) => (level, std::cmp::Reverse(major), std::cmp::Reverse(minor), String::new()),
        None => (3, std::cmp::Reverse(0), std::cmp::Reverse(0), name.to_owned()),
    }
}

fn subresources(version: &Value, kind: &str) -> Vec<Subresource> {
    let verbs = || ["get", "patch", "update"].iter().map(|verb| (*verb).into()).collect();
    let mut all = Vec::new();
    if at(version, &["subresources", "status"]).is_some() {
        let kind = kind.to_owned().into();
        all.push(Subresource { name: "status".into(), group: "".into(), version: "".into(), kind, verbs: verbs() });
    }
    if at(version, &["subresources", "scale"]).is_some() {
        let (group, version, kind) = ("autoscaling".into(), "v1".into(), "Scale".into());
        all.push(Subresource { name: "scale".into(), group, version, kind, verbs: verbs() });
    }
    all
}

fn scale(version: &Value) -> Option<Scale> {
    let scale = at(version, &["subresources", "scale"])?;
    let path = |key: &str| simple_path(str_at(scale, &[key])).unwrap_or_default();
    Some(Scale {
        spec_replicas: path("specReplicasPath"),
        status_replicas: path("statusReplicasPath"),
        label_selector: path("labelSelectorPath"),
    })
}

/// Columns and the paths of their cells: the name, and those of the definition or else the age.
fn columns(version: &Value) -> (Vec<Column>, Vec<String>) {
    let mut columns = vec![Column {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        priority: 0,
        description: crate::table::NAME.into(),
    }];
    let mut paths = Vec::new();
    for column in list_at(version, &["additionalPrinterColumns"]) {
        let text = |key: &str| str_at(column, &[key]).to_owned();
        let path = text("jsonPath");
        let description = match text("description") {
            said if said.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
            said => said,
        };
        columns.push(Column {
            name: text("name").into(),
            kind: text("type").into(),
            format: text("format").into(),
            priority: at(column, &["priority"]).and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
            description: description.into(),
        });
        paths.push(path);
    }
    if paths.is_empty() {
        columns.push(Column { name: "Age".into(), kind: "date".into(), format: "".into(), priority: 0, description: AGE.into() });
        paths.push(".metadata.creationTimestamp".to_owned());
    }
    (columns, paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_in_discovery() {
        let mut names = ["foo1", "v1alpha1", "v1", "v2beta1", "v10", "v2", "v1beta10", "v1beta2"];
        names.sort_by_key(|name| version_order(name));
        assert_eq!(names, ["v10", "v2", "v1", "v2beta1", "v1beta10", "v1beta2", "v1alpha1", "foo1"]);
    }
}
