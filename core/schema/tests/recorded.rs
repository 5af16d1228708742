//! Holds defaulting against recorded answers of a real server, where they are at hand (`../shared` beside the repository).
//! What admission, allocation and controllers add is taken out of the recording first.

#![allow(clippy::disallowed_methods, reason = "tests read recordings")]

use std::path::PathBuf;

use object::{GroupVersionResource, Value};
use wasmkube_schema::{Registry, decode, default, validate};

fn scenarios() -> Vec<(String, Value)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/replay/scenarios"));
    let folder = std::env::var_os("WASMKUBE_SHARED").map_or(folder, |s| PathBuf::from(s).join("replay/scenarios"));
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Ok(text) = std::fs::read(entry.path()) {
            out.push((entry.file_name().to_string_lossy().into_owned(), serde_json::from_slice(&text).unwrap()));
        }
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

/// Group, version and resource of a path like `/apis/apps/v1/namespaces/{ns}/deployments?x`.
fn resource_of(path: &str) -> Option<GroupVersionResource> {
    let path = path.split('?').next()?.replace("/namespaces/{ns}", "");
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api", version, resource] => Some(GroupVersionResource::new("", version, resource)),
        ["apis", group, version, resource] => Some(GroupVersionResource::new(group, version, resource)),
        _ => None,
    }
}

/// Everything that `ours` has and `theirs` has not, or has otherwise.
fn differences(path: &str, ours: &Value, theirs: &Value, out: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                match b.get(key) {
                    Some(other) => differences(&format!("{path}.{key}"), value, other, out),
                    None => out.push(format!("{path}.{key}: {value} is too much")),
                }
            }
            // Below the status only what is always there is compared: controllers fill the rest.
            for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key) && !added_later(path, key)) {
                out.push(format!("{path}.{key}: {value} is missing"));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (at, (x, y)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{at}]"), x, y, out);
            }
        }
        (_, Value::String(masked)) if masked.starts_with('<') => {}
        _ if ours == theirs => {}
        _ => out.push(format!("{path}: {ours} instead of {theirs}")),
    }
}

fn added_later(path: &str, key: &str) -> bool {
    let spec = [
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "ipFamilyPolicy",
        "healthCheckNodePort",
        "nodePort",
        "priority",
        "preemptionPolicy",
        "serviceAccount",
        "serviceAccountName",
        "tolerations",
        "volumeMounts",
        "volumes",
        "selector",
        // Set when the object is converted to the version in which it is stored.
        "targetCPUUtilizationPercentage",
        "finalizers",
        "labels",
        "username",
        "groups",
        "extra",
        "uid",
    ];
    path.starts_with(".metadata") || path.starts_with(".status") || spec.contains(&key) || key == "annotations" || key == "data"
}

#[test]
fn defaults_are_those_of_a_real_server() {
    let registry = Registry::builtin();
    let mut wrong = Vec::new();
    for (name, scenario) in scenarios().iter().filter(|(name, _)| name.starts_with("defaulting")) {
        for step in scenario["steps"].as_array().into_iter().flatten() {
            let (Some(action), Some(201)) = (step["do"].as_str(), step["expect"]["code"].as_i64()) else { continue };
            let Some(resource) = action.strip_prefix("POST ").and_then(resource_of).and_then(|r| registry.resource(&r).cloned())
            else {
                continue;
            };
            let mut object = decode::from_value(resource.ty(), step["body"].clone()).unwrap().object;
            default::default(&resource, &mut object);
            let mut found = Vec::new();
            differences("", &object, &step["expect"]["body"], &mut found);
            wrong.extend(found.into_iter().filter(|f| !f.starts_with(".stringData")).map(|f| format!("{name} {action}\n   {f}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The API server gives a Job its selector and its pods their labels before it is checked, and knows a Service's address as a list.
fn prepare(object: &mut Value) {
    if object["kind"] == "Job" && object["spec"]["manualSelector"] == false && object["spec"]["selector"].is_null() {
        let name = object["metadata"]["name"].clone();
        let labels = serde_json::json!({"batch.kubernetes.io/controller-uid": "u", "controller-uid": "u",
            "batch.kubernetes.io/job-name": name, "job-name": name});
        object["metadata"]["uid"] = "u".into();
        object["spec"]["selector"] = serde_json::json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
        object["spec"]["template"]["metadata"]["labels"] = labels;
    }
    if object["kind"] == "Service" && object["spec"]["clusterIP"].is_string() && object["spec"]["clusterIPs"].is_null() {
        object["spec"]["clusterIPs"] = serde_json::json!([object["spec"]["clusterIP"]]);
    }
}

/// What Kubernetes says of new objects that are wrong, against what validation says.
#[test]
fn errors_are_those_of_a_real_server() {
    let registry = Registry::builtin();
    let (mut right, mut wrong) = (0, Vec::new());
    for (name, scenario) in scenarios().iter().filter(|(name, _)| name.starts_with("validation") || name.starts_with("crud-02")) {
        for step in scenario["steps"].as_array().into_iter().flatten() {
            let (Some(action), Some(422)) = (step["do"].as_str(), step["expect"]["code"].as_i64()) else { continue };
            let Some(resource) = action.strip_prefix("POST ").and_then(resource_of).and_then(|r| registry.resource(&r).cloned())
            else {
                continue;
            };
            let body = serde_json::from_str(&step["body"].to_string().replace("{ns}", "ns")).unwrap();
            let Ok(decoded) = decode::from_value(resource.ty(), body) else { continue };
            let mut object = decoded.object;
            default::default(&resource, &mut object);
            prepare(&mut object);
            if resource.namespaced {
                object["metadata"]["namespace"] = "ns".into();
            }
            let found = validate::create(&resource, &object);
            let ours: Vec<String> = found.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
            let causes = step["expect"]["body"]["details"]["causes"].as_array().into_iter().flatten();
            let theirs: Vec<String> = causes
                .map(|c| format!("{}: {}", c["field"].as_str().unwrap_or(""), c["message"].as_str().unwrap_or("")))
                .collect();
            if ours == theirs {
                right += 1;
            } else {
                wrong.push(format!("{name} {action}\n   ours   {ours:?}\n   theirs {theirs:?}"));
            }
        }
    }
    // Addresses, ports and generated selectors are given out by the API server, not checked here.
    println!("{right} right, {} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(right >= wrong.len() * 9, "{right} right, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
