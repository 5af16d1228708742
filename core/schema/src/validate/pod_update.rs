//! What may change of a pod once it exists (`ValidatePodUpdate`).

use object::{Value, value};

use super::errors::{Errors, Path, items, text};
use super::{field, pod};
use crate::internal;

const FORBIDDEN: &str = "pod updates may not change fields other than \
`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn update(e: &mut Errors, object: &Value, old: &Value) {
    let path = Path::root("spec");
    pod::spec(e, field(object, "spec"), &path);
    let (new, old) = (field(object, "spec"), field(old, "spec"));
    for list in ["containers", "initContainers"] {
        if items(field(new, list)).len() != items(field(old, list)).len() {
            let word = if list == "containers" { "containers" } else { "init containers" };
            e.forbidden(&path.child(list), &format!("pod updates may not add or remove {word}"));
            return;
        }
        // Said twice: the pod is not valid without one, and an update may not take it away.
        for (i, container) in items(field(new, list)).iter().enumerate() {
            if text(field(container, "image")).is_empty() {
                e.required(&path.child(list).index(i).child("image"), "");
            }
        }
    }
    deadline(e, field(new, "activeDeadlineSeconds"), field(old, "activeDeadlineSeconds"), &path);
    gates(e, new, old, &path);
    tolerations(e, new, old, &path);
    let masked = masked(new, old);
    if masked != *old {
        let diff = crate::diff::unified(&internal::indented("PodSpec", old), &internal::indented("PodSpec", &masked));
        e.forbidden(&path, &format!("{FORBIDDEN}\n{diff}"));
    }
}

/// A deadline may be set or brought forward.
fn deadline(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let at = path.child("activeDeadlineSeconds");
    match (new.as_i64(), old.as_i64()) {
        (Some(new_value), Some(old)) if new_value > old => e.invalid(&at, new, "must be less than or equal to previous value"),
        (None, Some(_)) => e.invalid(&at, new, "must not update from a positive integer to nil value"),
        _ => {}
    }
}

/// Gates can only be opened.
fn gates(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let list = path.child("schedulingGates");
    let known = items(field(old, "schedulingGates"));
    for (i, gate) in items(field(new, "schedulingGates")).iter().enumerate() {
        if !known.contains(gate) {
            let name = text(field(gate, "name"));
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            e.forbidden(&list.index(i).child("name"), &detail);
        }
    }
}

fn tolerations(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let now = items(field(new, "tolerations"));
    let same = |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|k| field(a, k) == field(b, k));
    if items(field(old, "tolerations")).iter().any(|old| !now.iter().any(|new| same(new, old))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        e.forbidden(&path.child("tolerations"), detail);
    }
}

/// The new spec with everything that may change put back.
fn masked(new: &Value, old: &Value) -> Value {
    let mut out = new.clone();
    for list in ["containers", "initContainers"] {
        let before = items(field(old, list));
        if let Some(containers) = out.get_mut(list).and_then(Value::as_array_mut) {
            for (container, old) in containers.iter_mut().zip(before) {
                put_back(container, old, "image");
            }
        }
    }
    for key in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        put_back(&mut out, old, key);
    }
    let grace = |spec: &Value| field(spec, "terminationGracePeriodSeconds").as_i64();
    if grace(old).is_some_and(|g| g < 0) && grace(new) == Some(1) {
        put_back(&mut out, old, "terminationGracePeriodSeconds");
    }
    // While a pod is gated, where it may run can still be narrowed.
    if !items(field(old, "schedulingGates")).is_empty() {
        for key in ["nodeSelector", "affinity"] {
            put_back(&mut out, old, key);
        }
    }
    out
}

fn put_back(object: &mut Value, old: &Value, key: &str) {
    match old.get(key) {
        Some(value) => value::set(object, &[key], value.clone()),
        None => drop(value::remove(object, &[key])),
    }
}
