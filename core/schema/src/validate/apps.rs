//! Controllers of pods (`pkg/apis/apps/validation`, and ReplicationController).

use object::selector::LabelSelector;
use object::{Value, meta};

use super::errors::{Errors, Path, percent, text};
use super::{deep, field, pod, selector};

/// What every controller demands of its template.
fn template(e: &mut Errors, spec: &Value, path: &Path<'_>, kind: &str) {
    let template = field(spec, "template");
    let path = path.child("template");
    pod::template(e, template, &path);
    let (spec, path) = (field(template, "spec"), path.child("spec"));
    let policy = field(spec, "restartPolicy");
    if text(policy) != "Always" && !policy.is_null() {
        e.unsupported(&path.child("restartPolicy"), policy, &["Always"]);
    }
    if !field(spec, "activeDeadlineSeconds").is_null() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        e.forbidden(&path.child("activeDeadlineSeconds"), &detail);
    }
}

pub(super) fn deployment(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    e.not_negative(&path.child("replicas"), field(spec, "replicas"));
    if selector::with_template(e, spec, &path, "deployment") {
        template(e, spec, &path, "ReplicaSet");
    }
    deployment_strategy(e, field(spec, "strategy"), &path.child("strategy"));
    e.not_negative(&path.child("minReadySeconds"), field(spec, "minReadySeconds"));
    e.not_negative(&path.child("revisionHistoryLimit"), field(spec, "revisionHistoryLimit"));
    let deadline = field(spec, "progressDeadlineSeconds");
    e.not_negative(&path.child("progressDeadlineSeconds"), deadline);
    if deadline.as_i64().is_some_and(|d| d <= field(spec, "minReadySeconds").as_i64().unwrap_or(0)) {
        e.invalid(&path.child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
    }
    if let Some(old) = old {
        e.immutable(&path.child("selector"), field(spec, "selector"), deep(old, &["spec", "selector"]));
    }
}

/// A strategy as Go's internal type is written: only the type is ever wrong as a whole.
fn shown_strategy(strategy: &Value) -> String {
    format!("{{\"Type\":{:?},\"RollingUpdate\":null}}", text(field(strategy, "type")))
}

fn deployment_strategy(e: &mut Errors, strategy: &Value, path: &Path<'_>) {
    let rolling = field(strategy, "rollingUpdate");
    let at = path.child("rollingUpdate");
    match text(field(strategy, "type")) {
        "Recreate" => {
            if !rolling.is_null() {
                e.forbidden(&at, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" if rolling.is_null() => e.required(&at, "this should be defaulted and never be nil"),
        "RollingUpdate" => {
            let (unavailable, surge) = (field(rolling, "maxUnavailable"), field(rolling, "maxSurge"));
            e.int_or_percent(&at.child("maxUnavailable"), unavailable);
            e.int_or_percent(&at.child("maxSurge"), surge);
            if is_zero(unavailable) && is_zero(surge) {
                e.invalid(&at.child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0");
            }
            e.at_most_100_percent(&at.child("maxUnavailable"), unavailable);
        }
        _ => e.unsupported_shown(path, &shown_strategy(strategy), &["Recreate", "RollingUpdate"]),
    }
}

fn is_zero(value: &Value) -> bool {
    value.as_i64() == Some(0) || percent(value) == Some(0)
}

pub(super) fn replica_set(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    e.not_negative(&path.child("replicas"), field(spec, "replicas"));
    e.not_negative(&path.child("minReadySeconds"), field(spec, "minReadySeconds"));
    // Kubernetes says "deployment" here too.
    if selector::with_template(e, spec, &path, "deployment") {
        template(e, spec, &path, "ReplicaSet");
    }
    if let Some(old) = old {
        e.immutable(&path.child("selector"), field(spec, "selector"), deep(old, &["spec", "selector"]));
    }
}

pub(super) fn replication_controller(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    e.not_negative(&path.child("minReadySeconds"), field(spec, "minReadySeconds"));
    let labels = meta::string_map(spec.get("selector"));
    if labels.is_empty() {
        e.required(&path.child("selector"), "");
    }
    e.not_negative(&path.child("replicas"), field(spec, "replicas"));
    if field(spec, "template").is_null() {
        e.required(&path.child("template"), "");
        return;
    }
    selector::template_matches(e, &LabelSelector::from_map(&labels), field(spec, "template"), &path.child("template"));
    template(e, spec, &path, "ReplicationController");
}

/// Fields of a StatefulSet that may change.
const STATEFUL_SET_MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(super) fn stateful_set(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    match text(field(spec, "podManagementPolicy")) {
        "" => e.required(&path.child("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        _ => {
            let at = path.child("podManagementPolicy");
            e.invalid(&at, field(spec, "podManagementPolicy"), "must be 'OrderedReady' or 'Parallel'");
        }
    }
    stateful_set_strategy(e, field(spec, "updateStrategy"), &path.child("updateStrategy"));
    let retention = field(spec, "persistentVolumeClaimRetentionPolicy");
    let at = path.child("persistentVolumeClaimRetentionPolicy");
    for key in ["whenDeleted", "whenScaled"] {
        if !retention.is_null() && !matches!(text(field(retention, key)), "Retain" | "Delete") {
            e.unsupported(&at.child(key), &text(field(retention, key)).into(), &["Retain", "Delete"]);
        }
    }
    e.not_negative(&path.child("replicas"), field(spec, "replicas"));
    e.not_negative(&path.child("minReadySeconds"), field(spec, "minReadySeconds"));
    e.not_negative(&path.child("ordinals").child("start"), deep(spec, &["ordinals", "start"]));
    if selector::with_template(e, spec, &path, "statefulset") {
        template(e, spec, &path, "StatefulSet");
    }
    e.not_negative(&path.child("revisionHistoryLimit"), field(spec, "revisionHistoryLimit"));
    let Some(old) = old else { return };
    let fixed = |object: &Value| {
        let mut spec = field(object, "spec").clone();
        if let Some(map) = spec.as_object_mut() {
            map.retain(|key, _| !STATEFUL_SET_MUTABLE.contains(&key.as_str()));
        }
        spec
    };
    if fixed(object) != fixed(old) {
        e.forbidden(
            &path,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
    }
}

fn stateful_set_strategy(e: &mut Errors, strategy: &Value, path: &Path<'_>) {
    let rolling = field(strategy, "rollingUpdate");
    let at = path.child("rollingUpdate");
    match text(field(strategy, "type")) {
        "" => e.required(path, ""),
        "OnDelete" if !rolling.is_null() => {
            let number = |key: &str| field(rolling, key).to_string();
            let shown = format!("{{\"Partition\":{},\"MaxUnavailable\":{}}}", number("partition"), number("maxUnavailable"));
            e.invalid_shown(&at, &shown, "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            e.not_negative(&at.child("partition"), field(rolling, "partition"));
            let (most, at) = (field(rolling, "maxUnavailable"), at.child("maxUnavailable"));
            e.int_or_percent(&at, most);
            if is_zero(most) {
                e.invalid(&at, most, "cannot be 0");
            }
            e.at_most_100_percent(&at, most);
        }
        _ => e.invalid_shown(path, &shown_strategy(strategy), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

pub(super) fn daemon_set(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    if selector::with_template(e, spec, &path, "daemonset") {
        template(e, spec, &path, "DaemonSet");
    }
    e.not_negative(&path.child("minReadySeconds"), field(spec, "minReadySeconds"));
    let strategy = field(spec, "updateStrategy");
    let at = path.child("updateStrategy");
    match text(field(strategy, "type")) {
        "OnDelete" => {}
        "RollingUpdate" if field(strategy, "rollingUpdate").is_null() => e.required(&at.child("rollingUpdate"), ""),
        "RollingUpdate" => daemon_set_rolling(e, field(strategy, "rollingUpdate"), &at.child("rollingUpdate")),
        _ => e.unsupported_shown(&at, &shown_strategy(strategy), &["RollingUpdate", "OnDelete"]),
    }
    e.not_negative(&path.child("revisionHistoryLimit"), field(spec, "revisionHistoryLimit"));
    if let Some(old) = old {
        e.immutable(&path.child("selector"), field(spec, "selector"), deep(old, &["spec", "selector"]));
    }
}

fn daemon_set_rolling(e: &mut Errors, rolling: &Value, path: &Path<'_>) {
    let (unavailable, surge) = (field(rolling, "maxUnavailable"), field(rolling, "maxSurge"));
    e.int_or_percent(&path.child("maxUnavailable"), unavailable);
    e.int_or_percent(&path.child("maxSurge"), surge);
    e.at_most_100_percent(&path.child("maxUnavailable"), unavailable);
    e.at_most_100_percent(&path.child("maxSurge"), surge);
    let some = |v: &Value| v.as_i64().is_some_and(|n| n != 0) || percent(v).is_some_and(|p| p != 0);
    match (some(unavailable), some(surge)) {
        (true, true) => e.invalid(&path.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero"),
        (false, false) => e.required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}
