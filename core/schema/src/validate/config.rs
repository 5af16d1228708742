//! ConfigMaps, Secrets, events and leases.

use object::meta::annotation;
use object::{Value, names};

use super::errors::{Errors, Path, text};
use super::{deep, field};

const MAX_SIZE: usize = 1024 * 1024;

pub(super) fn config_map(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let mut size = 0;
    let binary = field(object, "binaryData");
    let path = Path::root("data");
    for (key, value) in field(object, "data").as_object().into_iter().flatten() {
        e.name(&path.key(key), key, names::config_map_key);
        if binary.get(key).is_some() {
            e.invalid(&path.key(key), &key.as_str().into(), "duplicate of key present in binaryData");
        }
        size += text(value).len();
    }
    let path = Path::root("binaryData");
    for (key, value) in binary.as_object().into_iter().flatten() {
        e.name(&path.key(key), key, names::config_map_key);
        size += decoded_size(value);
    }
    if size > MAX_SIZE {
        // The path of the object itself is shown so.
        e.too_long(&Path::root("[]"), MAX_SIZE);
    }
    immutable(e, object, old, &["data", "binaryData"]);
}

/// Nothing of an immutable ConfigMap or Secret changes, also not that it is immutable.
fn immutable(e: &mut Errors, object: &Value, old: Option<&Value>, fields: &[&str]) {
    let Some(old) = old.filter(|old| field(old, "immutable") == &Value::Bool(true)) else { return };
    if field(object, "immutable") != &Value::Bool(true) {
        e.forbidden(&Path::root("immutable"), "field is immutable when `immutable` is set");
    }
    for key in fields.iter().filter(|key| field(object, key) != field(old, key)) {
        e.forbidden(&Path::root(key), "field is immutable when `immutable` is set");
    }
}

fn decoded_size(value: &Value) -> usize {
    let text = text(value);
    text.len() / 4 * 3 - text.bytes().rev().take_while(|b| *b == b'=').count().min(2).min(text.len())
}

pub(super) fn secret(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let data = field(object, "data");
    let path = Path::root("data");
    let mut size = 0;
    for (key, value) in data.as_object().into_iter().flatten() {
        e.name(&path.key(key), key, names::config_map_key);
        size += decoded_size(value);
    }
    if size > MAX_SIZE {
        e.too_long(&path, MAX_SIZE);
    }
    let has = |key: &str| data.get(key).is_some();
    match text(field(object, "type")) {
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if annotation(object, key).unwrap_or("").is_empty() {
                let meta = Path::root("metadata");
                let annotations = meta.child("annotations");
                e.required(&annotations.key(key), "");
            }
        }
        "kubernetes.io/dockercfg" => docker(e, data, ".dockercfg", &path),
        "kubernetes.io/dockerconfigjson" => docker(e, data, ".dockerconfigjson", &path),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            e.required(&path.key("username"), "");
            e.required(&path.key("password"), "");
        }
        "kubernetes.io/ssh-auth" if text(field(data, "ssh-privatekey")).is_empty() => e.required(&path.key("ssh-privatekey"), ""),
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)) {
                e.required(&path.key(key), "");
            }
        }
        _ => {}
    }
    if let Some(old) = old {
        e.immutable(&Path::root("type"), field(object, "type"), field(old, "type"));
    }
    immutable(e, object, old, &["data"]);
}

/// Credentials of registries are JSON.
fn docker(e: &mut Errors, data: &Value, key: &str, path: &Path<'_>) {
    let Some(encoded) = data.get(key) else { return e.required(&path.key(key), "") };
    let bytes = crate::base64::decode(text(encoded)).unwrap_or_default();
    if let Some(problem) = crate::gotype::json_problem(&bytes) {
        e.invalid(&path.key(key), &"<secret contents redacted>".into(), &problem);
    }
}

pub(super) fn event(e: &mut Errors, object: &Value) {
    let namespace = text(deep(object, &["involvedObject", "namespace"]));
    let own = text(deep(object, &["metadata", "namespace"]));
    // Events about things without a namespace are kept in the default one.
    if namespace != own && !(namespace.is_empty() && matches!(own, "default" | "kube-system")) {
        let involved = Path::root("involvedObject");
        e.invalid(&involved.child("namespace"), &namespace.into(), "does not match event.namespace");
    }
}

pub(super) fn lease(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    for key in ["leaseDurationSeconds", "leaseTransitions"] {
        let value = field(spec, key);
        let least = i64::from(key == "leaseDurationSeconds");
        if value.as_i64().is_some_and(|n| n < least) {
            let detail = if least == 1 { "must be greater than 0" } else { super::errors::NOT_NEGATIVE };
            e.invalid(&path.child(key), value, detail);
        }
    }
}
