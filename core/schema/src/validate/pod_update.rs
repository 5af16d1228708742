//! What may change of a pod once it exists (`ValidatePodUpdate`).

use object::{Value, value};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, pod, scheduling, security};
use crate::internal;

const FORBIDDEN: &str = "pod updates may not change fields other than \
`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn update(e: &mut Errors, object: &Value, old: &Value) {
    pod::metadata_and_spec(e, object);
    annotations(e, object, old);
    let path = Path::root("spec");
    let (new, old) = (field(object, "spec"), field(old, "spec"));
    for list in ["containers", "initContainers"] {
        if items(field(new, list)).len() != items(field(old, list)).len() {
            e.forbidden(&path.child(list), "pod updates may not add or remove containers");
            return;
        }
        // Said twice: the pod is not valid without one, and an update may not take it away.
        for (i, container) in items(field(new, list)).iter().enumerate() {
            let at = path.child(list);
            if text(field(container, "image")).is_empty() {
                e.required(&at.index(i).child("image"), "");
            }
            super::container::trimmed_image(e, container, &at.index(i));
        }
    }
    if !deadline(e, field(new, "activeDeadlineSeconds"), field(old, "activeDeadlineSeconds"), &path) {
        return;
    }
    tolerations(e, new, old, &path);
    gates(e, new, old, &path);
    if items(field(old, "schedulingGates")).is_empty() {
        return rest(e, masked(new, old), old, &path);
    }
    let mut masked = masked(new, old);
    narrowed(e, new, old, &mut masked, &path);
    rest(e, masked, old, &path);
}

/// Nothing else changes.
fn rest(e: &mut Errors, masked: Value, old: &Value, path: &Path<'_>) {
    if masked != *old {
        let diff = crate::diff::unified(&internal::indented("PodSpec", old), &internal::indented("PodSpec", &masked));
        e.forbidden(path, &format!("{FORBIDDEN}\n{diff}"));
    }
}

/// `ValidatePodSpecificAnnotationUpdates`.
pub(super) fn annotations(e: &mut Errors, object: &Value, old: &Value) {
    let meta = Path::root("metadata");
    let path = meta.child("annotations");
    let (new, before) = (deep(object, &["metadata", "annotations"]), deep(old, &["metadata", "annotations"]));
    let fixed = |key: &str| match key {
        "kubernetes.io/config.mirror" => Some("mirror pod annotation"),
        _ => key.starts_with("container.apparmor.security.beta.kubernetes.io/").then_some("AppArmor annotations"),
    };
    for (key, value) in before.as_object().into_iter().flatten().filter(|(key, value)| new.get(key.as_str()) != Some(value)) {
        let _ = value;
        if let Some(what) = fixed(key) {
            e.forbidden(&path.key(key), &format!("may not remove or update {what}"));
        }
    }
    for (key, _) in new.as_object().into_iter().flatten().filter(|(key, _)| before.get(key.as_str()).is_none()) {
        if let Some(what) = fixed(key) {
            e.forbidden(&path.key(key), &format!("may not add {what}"));
        }
    }
    security::annotations(e, new, field(object, "spec"), &path);
}

/// A deadline may be set or brought forward. Whether it is worth looking further.
fn deadline(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) -> bool {
    let at = path.child("activeDeadlineSeconds");
    let before = e.len();
    match (new.as_i64(), old.as_i64()) {
        (Some(value), _) if !(0..=i64::from(i32::MAX)).contains(&value) => {
            e.invalid(&at, new, "must be between 0 and 2147483647, inclusive");
        }
        (Some(value), Some(old)) if value > old => e.invalid(&at, new, "must be less than or equal to previous value"),
        (None, Some(_)) => {
            e.invalid(&at, new, "must not update from a positive integer to nil value");
            return true;
        }
        _ => {}
    }
    e.len() == before
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
    let (now, at) = (field(new, "tolerations"), path.child("tolerations"));
    let same = |a: &Value, b: &Value| ["key", "operator", "value", "effect"].iter().all(|k| field(a, k) == field(b, k));
    if items(field(old, "tolerations")).iter().any(|old| !items(now).iter().any(|new| same(new, old))) {
        return e.forbidden(&at, "existing toleration can not be modified except its tolerationSeconds");
    }
    scheduling::tolerations(e, now, &at);
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
    out
}

/// While a pod is gated, the nodes it may run on can still become fewer.
fn narrowed(e: &mut Errors, new: &Value, old: &Value, masked: &mut Value, path: &Path<'_>) {
    let (labels, before) = (field(new, "nodeSelector"), field(old, "nodeSelector"));
    if before.as_object().into_iter().flatten().any(|(key, value)| labels.get(key) != Some(value)) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        e.invalid(&path.child("nodeSelector"), labels, detail);
    }
    put_back(masked, old, "nodeSelector");
    node_affinity(e, deep(new, &["affinity", "nodeAffinity"]), deep(old, &["affinity", "nodeAffinity"]), path);
    let before = deep(old, &["affinity", "nodeAffinity"]);
    if before.is_null() {
        value::remove(masked, &["affinity", "nodeAffinity"]);
        if field(old, "affinity").is_null() && field(masked, "affinity").as_object().is_some_and(serde_json::Map::is_empty) {
            value::remove(masked, &["affinity"]);
        }
    } else {
        value::set(masked, &["affinity", "nodeAffinity"], before.clone());
    }
}

/// `validateNodeAffinityMutation`: each term may demand more, and there are no more terms.
fn node_affinity(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    const TERMS: [&str; 2] = ["requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    let (terms, before) = (items(deep(new, &TERMS)), items(deep(old, &TERMS)));
    let affinity = path.child("affinity");
    let node = affinity.child("nodeAffinity");
    let required = node.child(TERMS[0]);
    let at = required.child(TERMS[1]);
    let shown = |term: &Value| internal::compact("NodeSelectorTerm", term);
    if !before.is_empty() && terms.len() != before.len() {
        let list: Vec<String> = terms.iter().map(shown).collect();
        let list = if terms.is_empty() { "null".to_owned() } else { format!("[{}]", list.join(",")) };
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return e.invalid_shown(&at, &list, detail);
    }
    for (i, (old, new)) in before.iter().zip(terms).enumerate() {
        let lists = ["matchExpressions", "matchFields"].map(|key| (items(field(new, key)), items(field(old, key))));
        let was_empty = lists.iter().all(|(_, old)| old.is_empty());
        let grew =
            lists.iter().all(|(new, old)| new.starts_with(old)) && (!was_empty || lists.iter().all(|(new, _)| new.is_empty()));
        if !grew {
            e.invalid_shown(&at.index(i), &shown(new), "only additions are allowed (no mutations or deletions)");
        }
    }
}

pub(super) fn put_back(object: &mut Value, old: &Value, key: &str) {
    match old.get(key) {
        Some(value) => value::set(object, &[key], value.clone()),
        None => drop(value::remove(object, &[key])),
    }
}

/// `ValidatePodEphemeralContainersUpdate`: containers for debugging are only ever added.
pub(super) fn ephemeral_containers(e: &mut Errors, object: &Value, old: &Value) {
    pod::metadata_and_spec(e, object);
    annotations(e, object, old);
    let spec = Path::root("spec");
    let path = spec.child("ephemeralContainers");
    let now = items(deep(object, &["spec", "ephemeralContainers"]));
    for before in items(deep(old, &["spec", "ephemeralContainers"])) {
        let name = text(field(before, "name"));
        match now.iter().find(|new| text(field(new, "name")) == name) {
            None => e.forbidden(&path, &format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(new) if new != before => {
                let kind = "EphemeralContainer";
                let diff = crate::diff::unified(&internal::indented(kind, before), &internal::indented(kind, new));
                e.forbidden(&path, &format!("existing ephemeral containers {name:?} may not be changed\n{diff}"));
            }
            Some(_) => {}
        }
    }
}
