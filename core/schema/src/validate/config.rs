//! ConfigMaps, Secrets, quotas, ranges of limits, events and leases.

use std::collections::BTreeSet;

use object::meta::annotation;
use object::quantity::Quantity;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
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
        "kubernetes.io/ssh-auth" if !has("ssh-privatekey") => e.required(&path.key("ssh-privatekey"), ""),
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

pub(super) fn resource_quota(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let hard = path.child("hard");
    for (name, amount) in field(spec, "hard").as_object().into_iter().flatten() {
        let path = hard.key(name);
        e.name(&path, name, names::qualified_name);
        if let Some(quantity) = Quantity::from_json(amount).filter(|q| q.sign() < 0) {
            e.invalid(&path, &quantity.to_string().into(), super::errors::NOT_NEGATIVE);
        }
    }
}

pub(super) fn limit_range(e: &mut Errors, object: &Value) {
    let spec = Path::root("spec");
    let list = spec.child("limits");
    for (i, limit) in items(deep(object, &["spec", "limits"])).iter().enumerate() {
        let path = list.index(i);
        let kind = text(field(limit, "type"));
        if kind == "Pod" {
            for key in ["default", "defaultRequest"].into_iter().filter(|key| !field(limit, key).is_null()) {
                e.forbidden(&path.child(key), "may not be specified when `type` is 'Pod'");
            }
        }
        let amount = |key: &str, name: &str| Quantity::from_json(field(field(limit, key), name));
        let all = ["min", "max", "default", "defaultRequest"].into_iter().filter_map(|key| field(limit, key).as_object());
        let names: BTreeSet<&str> = object::order::set(all.flat_map(|m| m.keys().map(String::as_str)));
        for name in names {
            for (low, high, blamed, message) in ORDER {
                let (Some(a), Some(b), Some(value)) = (amount(low, name), amount(high, name), amount(blamed, name)) else {
                    continue;
                };
                if a > b {
                    let [first, second] = message;
                    let detail = format!("{first} {a} is greater than {second} {b}");
                    e.invalid(&path.child(blamed).key(name), &value.to_string().into(), &detail);
                }
            }
        }
    }
}

/// What must not be more than what, which of the two is to blame, and how they are called.
const ORDER: [(&str, &str, &str, [&str; 2]); 6] = [
    ("min", "max", "min", ["min value", "max value"]),
    ("min", "defaultRequest", "defaultRequest", ["min value", "default request value"]),
    ("defaultRequest", "max", "defaultRequest", ["default request value", "max value"]),
    ("defaultRequest", "default", "defaultRequest", ["default request value", "default limit value"]),
    ("min", "default", "default", ["min value", "default value"]),
    ("default", "max", "default", ["default value", "max value"]),
];
