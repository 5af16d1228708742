//! `metadata`: names, labels, annotations, owners and finalizers (`ValidateObjectMeta`, `ValidateObjectMetaUpdate`).

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::field;
use crate::resource::Resource;

const MAX_ANNOTATIONS: usize = 256 * 1024;

pub(super) fn create(e: &mut Errors, resource: &Resource, object: &Value) {
    let meta = field(object, "metadata");
    let path = Path::root("metadata");
    let rule = name_rule(&resource.kind.group, &resource.kind.kind);
    let prefix = text(field(meta, "generateName"));
    if !prefix.is_empty() {
        // What is appended makes a trailing dash valid.
        let masked = match prefix.strip_suffix('-') {
            Some(rest) => format!("{rest}a"),
            None => prefix.to_owned(),
        };
        e.all(&path.child("generateName"), &prefix.into(), rule(&masked));
    }
    match text(field(meta, "name")) {
        "" => e.required(&path.child("name"), "name or generateName is required"),
        name => e.name(&path.child("name"), name, rule),
    }
    let namespace = text(field(meta, "namespace"));
    match (resource.namespaced, namespace) {
        (true, "") => e.required(&path.child("namespace"), ""),
        (true, namespace) => e.name(&path.child("namespace"), namespace, names::dns1123_label),
        (false, "") => {}
        (false, _) => e.forbidden(&path.child("namespace"), "not allowed on this type"),
    }
    common(e, meta, &path);
}

pub(super) fn update(e: &mut Errors, object: &Value, old: &Value) {
    let (meta, old) = (field(object, "metadata"), field(old, "metadata"));
    let path = Path::root("metadata");
    for key in ["name", "namespace", "uid"] {
        e.immutable(&path.child(key), field(meta, key), field(old, key));
    }
    if !field(old, "deletionTimestamp").is_null() {
        let before = items(field(old, "finalizers"));
        let added: Vec<String> =
            items(field(meta, "finalizers")).iter().filter(|f| !before.contains(f)).map(|f| format!("{:?}", text(f))).collect();
        if !added.is_empty() {
            let found = format!("found new finalizers []string{{{}}}", added.join(", "));
            let detail = format!("no new finalizers can be added if the object is being deleted, {found}");
            e.forbidden(&path.child("finalizers"), &detail);
        }
    }
    common(e, meta, &path);
}

fn common(e: &mut Errors, meta: &Value, path: &Path<'_>) {
    e.not_negative(&path.child("generation"), field(meta, "generation"));
    labels(e, field(meta, "labels"), &path.child("labels"));
    annotations(e, field(meta, "annotations"), &path.child("annotations"));
    owners(e, field(meta, "ownerReferences"), &path.child("ownerReferences"));
    finalizers(e, field(meta, "finalizers"), &path.child("finalizers"));
}

/// `ValidateLabels`.
pub(super) fn labels(e: &mut Errors, labels: &Value, path: &Path<'_>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        e.name(path, key, names::qualified_name);
        e.name(path, text(value), names::label_value);
    }
}

/// `ValidateAnnotations`.
pub(super) fn annotations(e: &mut Errors, annotations: &Value, path: &Path<'_>) {
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        // Keys are compared without case.
        e.all(path, &key.as_str().into(), names::qualified_name(&key.to_lowercase()));
        size += key.len() + text(value).len();
    }
    if size > MAX_ANNOTATIONS {
        e.too_long(path, MAX_ANNOTATIONS);
    }
}

fn owners(e: &mut Errors, owners: &Value, path: &Path<'_>) {
    let mut controller: Option<&str> = None;
    for owner in items(owners) {
        let api_version = text(field(owner, "apiVersion"));
        let version = api_version.rsplit('/').next().unwrap_or("");
        if version.is_empty() {
            e.invalid(&path.child("apiVersion"), &api_version.into(), "version must not be empty");
        }
        for key in ["kind", "name", "uid"] {
            if text(field(owner, key)).is_empty() {
                let detail = if key == "kind" { "kind must not be empty" } else { "must not be empty" };
                e.invalid(&path.child(key), &"".into(), detail);
            }
        }
        if field(owner, "controller") == &Value::Bool(true) {
            let name = text(field(owner, "name"));
            if let Some(first) = controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                e.invalid(path, owners, &detail);
            }
            controller = Some(name);
        }
    }
}

fn finalizers(e: &mut Errors, finalizers: &Value, path: &Path<'_>) {
    let list = items(finalizers);
    let has = |name: &str| list.iter().any(|f| text(f) == name);
    for finalizer in list {
        e.name(path, text(finalizer), names::qualified_name);
    }
    if has("orphan") && has("foregroundDeletion") {
        e.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
    }
    for (at, finalizer) in list.iter().enumerate() {
        let name = text(finalizer);
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            e.invalid(&path.index(at), finalizer, detail);
        }
    }
}

/// What names of a kind look like.
fn name_rule(group: &str, kind: &str) -> fn(&str) -> Vec<String> {
    match (group, kind) {
        ("", "Namespace") | ("apps", "StatefulSet") => names::dns1123_label,
        ("", "Service") => names::dns1035_label,
        ("batch", "CronJob") => cron_job_name,
        ("rbac.authorization.k8s.io", _) | ("apiregistration.k8s.io", _) => names::path_segment,
        ("networking.k8s.io", "IPAddress") => super::fixed::address_name,
        _ => names::dns1123_subdomain,
    }
}

/// The Jobs of a CronJob have eleven characters more.
fn cron_job_name(name: &str) -> Vec<String> {
    let mut errors = names::dns1123_subdomain(name);
    if name.len() > 52 {
        errors.push("must be no more than 52 characters".to_owned());
    }
    errors
}
