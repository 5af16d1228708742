//! Environment variables, and what they and volumes can tell of the pod itself.

use object::quantity::Quantity;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{field, volume};

/// `ValidateEnv`.
pub(super) fn variables(e: &mut Errors, env: &Value, path: &Path<'_>) {
    for (i, variable) in items(env).iter().enumerate() {
        let path = path.index(i);
        match text(field(variable, "name")) {
            "" => e.required(&path.child("name"), ""),
            name => e.name(&path.child("name"), name, names::env_var_name),
        }
        let from = field(variable, "valueFrom");
        if !from.is_null() {
            value_from(e, from, text(field(variable, "value")), &path.child("valueFrom"));
        }
    }
}

fn value_from(e: &mut Errors, from: &Value, value: &str, path: &Path<'_>) {
    let mut sources = 0;
    for key in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let (source, at) = (field(from, key), path.child(key));
        if source.is_null() {
            continue;
        }
        sources += 1;
        match key {
            "fieldRef" => field_ref(e, source, &FIELDS, &at),
            "resourceFieldRef" => resource_ref(e, source, false, &at),
            "fileKeyRef" => file_key(e, source, &at),
            _ => {
                e.name(&at.child("name"), text(field(source, "name")), names::dns1123_subdomain);
                match text(field(source, "key")) {
                    "" => e.required(&at.child("key"), ""),
                    key => e.name(&at.child("key"), key, names::config_map_key),
                }
            }
        }
    }
    match (sources, value.is_empty()) {
        (0, _) => {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            e.invalid(path, &"".into(), detail);
        }
        (_, false) => e.invalid(path, &"".into(), "may not be specified when `value` is not empty"),
        (1, true) => {}
        _ => e.invalid(path, &"".into(), "may not have more than one field specified at a time"),
    }
}

fn file_key(e: &mut Errors, source: &Value, path: &Path<'_>) {
    match text(field(source, "key")) {
        "" => e.required(&path.child("key"), ""),
        key => e.name(&path.child("key"), key, names::env_var_name),
    }
    if text(field(source, "volumeName")).is_empty() {
        e.required(&path.child("volumeName"), "");
    }
    match text(field(source, "path")) {
        "" => e.required(&path.child("path"), ""),
        target => volume::unreserved_path(e, target, &path.child("path")),
    }
}

const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// `ValidateEnvFrom`. What is wrong with a source as a whole is reported of the list.
pub(super) fn sources(e: &mut Errors, sources: &Value, path: &Path<'_>) {
    for (i, source) in items(sources).iter().enumerate() {
        let at = path.index(i);
        let prefix = text(field(source, "prefix"));
        if !prefix.is_empty() {
            e.name(&at.child("prefix"), prefix, names::env_var_name);
        }
        let mut found = 0;
        for key in ["configMapRef", "secretRef"] {
            let reference = field(source, key);
            if !reference.is_null() {
                found += 1;
                match text(field(reference, "name")) {
                    "" => e.required(&at.child(key).child("name"), ""),
                    name => e.name(&at.child(key).child("name"), name, names::dns1123_subdomain),
                }
            }
        }
        match found {
            0 => e.invalid(path, &"".into(), "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => e.invalid(path, &"".into(), "may not have more than one field specified at a time"),
        }
    }
}

/// Fields of a pod that its containers can be told at all.
const CONVERTIBLE: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];

/// `validateObjectFieldSelector`.
pub(super) fn field_ref(e: &mut Errors, reference: &Value, allowed: &[&str], path: &Path<'_>) {
    let version = text(field(reference, "apiVersion"));
    let (target, at) = (field(reference, "fieldPath"), path.child("fieldPath"));
    let name = text(target);
    if version.is_empty() {
        return e.required(&path.child("apiVersion"), "");
    }
    if name.is_empty() {
        return e.required(&at, "");
    }
    let subscript = name.strip_suffix("']").and_then(|head| head.split_once("['")).filter(|(of, _)| !of.is_empty());
    let problem = match subscript {
        _ if version != "v1" => format!("unsupported pod version: {version}"),
        Some(("metadata.annotations" | "metadata.labels", _)) => String::new(),
        Some(_) => format!("field label does not support subscript: {name}"),
        None if name == "spec.host" || CONVERTIBLE.contains(&name) => String::new(),
        None => format!("field label not supported: {name}"),
    };
    if !problem.is_empty() {
        return e.invalid(&at, target, &format!("error converting fieldPath: {problem}"));
    }
    match subscript {
        Some(("metadata.annotations", key)) => e.name(path, &key.to_lowercase(), names::qualified_name),
        Some((_, key)) => e.name(path, key, names::qualified_name),
        None => {
            let name = if name == "spec.host" { "spec.nodeName" } else { name };
            if !allowed.contains(&name) {
                e.unsupported(&at, &name.into(), allowed);
            }
        }
    }
}

const RESOURCES: [&str; 6] =
    ["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];

/// `validateContainerResourceFieldSelector`. Volumes have to say whose resource they mean.
pub(super) fn resource_ref(e: &mut Errors, reference: &Value, of_volume: bool, path: &Path<'_>) {
    let resource = field(reference, "resource");
    let name = text(resource);
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if of_volume && text(field(reference, "containerName")).is_empty() {
        e.required(&path.child("containerName"), "");
    } else if name.is_empty() {
        e.required(&path.child("resource"), "");
    } else if !huge && !RESOURCES.contains(&name) {
        e.unsupported(&path.child("resource"), resource, &RESOURCES);
    }
    let Some(divisor) = Quantity::from_json(field(reference, "divisor")).filter(|d| !d.is_zero()) else { return };
    let what = match name.split_once('.').map_or("", |(_, what)| what) {
        "cpu" => "cpu",
        "memory" => "memory",
        "ephemeral-storage" => "local ephemeral storage",
        _ if huge => "hugepages",
        _ => return,
    };
    let divisor = divisor.to_string();
    let (units, list) = match what {
        "cpu" => (&["1m", "1"][..], "1m and 1"),
        _ => (&SIZES[..], "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"),
    };
    if !units.contains(&divisor.as_str()) {
        let detail = format!("only divisor's values {list} are supported with the {what} resource");
        e.invalid(&path.child("divisor"), resource, &detail);
    }
}

const SIZES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
