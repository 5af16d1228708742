//! Pods that are given more or less of what they have (`ValidatePodResize`).

use object::Value;
use object::scheduling::qos_class;

use super::errors::{Errors, Path, items, text};
use super::pod_update::put_back;
use super::{deep, field, pod};

pub(super) fn check(e: &mut Errors, object: &Value, old: &Value) {
    let whole = |pod: &Value| ["requests", "limits"].iter().any(|key| !deep(pod, &["spec", "resources", key]).is_null());
    // The path of the object itself is shown so.
    let root = Path::root("[]");
    if whole(old) || whole(object) {
        return e.forbidden(&root, "pods with pod-level resources cannot be resized");
    }
    if !deep(old, &["metadata", "annotations", "kubernetes.io/config.mirror"]).is_null() {
        return e.forbidden(&root, "static pods cannot be resized");
    }
    if text(deep(old, &["spec", "os", "name"])) == "windows" {
        return e.forbidden(&root, "windows pods cannot be resized");
    }
    pod::metadata_and_spec(e, object);
    let path = Path::root("spec");
    let (new, old_spec) = (field(object, "spec"), field(old, "spec"));
    if qos_class(new) != qos_class(old_spec) {
        let shown = deep(object, &["status", "qosClass"]);
        e.invalid(&path, shown, "Pod QOS Class may not change as a result of resizing");
    }
    let running = items(deep(old, &["status", "containerStatuses"]));
    let first = running.iter().find(|status| !deep(status, &["state", "running"]).is_null());
    if first.is_some_and(|status| field(status, "resources").is_null()) {
        e.forbidden(&path, "Pod running on node without support for resize");
    }
    let mut masked = new.clone();
    for list in ["initContainers", "containers"] {
        let before = items(field(old_spec, list));
        let at = path.child(list);
        for (i, (now, before)) in items(field(new, list)).iter().zip(before).enumerate() {
            if list == "containers" || text(field(now, "restartPolicy")) == "Always" {
                removed(e, now, before, &at.index(i).child("resources"));
            }
        }
    }
    for list in ["containers", "initContainers"] {
        let before = items(field(old_spec, list));
        let containers = masked.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (now, before) in containers.zip(before) {
            let sidecar = text(field(now, "restartPolicy")) == "Always";
            if list == "containers" || sidecar {
                put_back_amounts(now, before);
            }
            if now != before {
                let detail = match (list, sidecar) {
                    ("containers", _) => "only cpu and memory resources are mutable",
                    (_, true) => "only cpu and memory resources for sidecar containers are mutable",
                    (_, false) => "resources for non-sidecar init containers are immutable",
                };
                e.forbidden(&path, detail);
            }
        }
    }
    if e.len() == 0 && masked != *old_spec {
        e.forbidden(&path, "only cpu and memory resources are mutable");
    }
}

fn removed(e: &mut Errors, now: &Value, before: &Value, path: &Path<'_>) {
    for key in ["requests", "limits"] {
        let (now, before) = (deep(now, &["resources", key]), deep(before, &["resources", key]));
        if before.as_object().into_iter().flatten().any(|(name, _)| now.get(name).is_none()) {
            e.forbidden(&path.child(key), &format!("resource {key} cannot be removed"));
        }
    }
}

/// What may change is as it was; how a container is resized may change with it.
fn put_back_amounts(now: &mut Value, before: &Value) {
    put_back(now, before, "resizePolicy");
    for key in ["requests", "limits"] {
        let Some(amounts) = now.pointer_mut(&format!("/resources/{key}")) else { continue };
        let was = deep(before, &["resources", key]);
        for name in ["cpu", "memory"] {
            put_back(amounts, was, name);
        }
        if amounts.as_object().is_some_and(serde_json::Map::is_empty) && was.is_null() {
            object::value::remove(now, &["resources", key]);
        }
    }
    if deep(before, &["resources"]).is_null() && field(now, "resources").as_object().is_some_and(serde_json::Map::is_empty) {
        object::value::remove(now, &["resources"]);
    }
}
