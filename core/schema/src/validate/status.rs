//! Statuses that somebody reports: what is counted, and what a pod's containers can become.

use object::Value;

use super::errors::{Errors, Path, items, text};
use super::{deep, field, service};

/// What a controller's status counts, in the order in which Kubernetes looks at it.
struct Counts {
    kind: &'static str,
    all: &'static [&'static str],
    /// Those that cannot be more than `replicas`.
    part: &'static [&'static str],
    /// How `readyReplicas` is called, which are at least those that are available.
    ready: &'static str,
}

const COUNTS: [Counts; 6] = [
    Counts {
        kind: "Deployment",
        all: &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ],
        part: &["updatedReplicas", "readyReplicas", "availableReplicas"],
        ready: "readyReplicas",
    },
    Counts {
        kind: "ReplicaSet",
        all: &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "terminatingReplicas",
            "observedGeneration",
        ],
        part: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        ready: "readyReplicas",
    },
    Counts {
        kind: "ReplicationController",
        all: &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"],
        part: &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        ready: "readyReplicas",
    },
    Counts {
        kind: "StatefulSet",
        all: &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ],
        part: &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        ready: "status.readyReplicas",
    },
    Counts {
        kind: "DaemonSet",
        all: &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
        part: &[],
        ready: "",
    },
    Counts { kind: "Job", all: &["active", "succeeded", "failed", "ready", "terminating"], part: &[], ready: "" },
];

pub(super) fn counts(e: &mut Errors, kind: &str, object: &Value, old: &Value) {
    let Some(counts) = COUNTS.iter().find(|counts| counts.kind == kind) else { return };
    let (status, path) = (field(object, "status"), Path::root("status"));
    let number = |key: &str| field(status, key).as_i64().unwrap_or(0);
    for key in counts.all {
        e.not_negative(&path.child(key), field(status, key));
    }
    for key in counts.part.iter().filter(|key| number(key) > number("replicas")) {
        e.invalid(&path.child(key), field(status, key), "cannot be greater than status.replicas");
    }
    if !counts.part.is_empty() && number("availableReplicas") > number("readyReplicas") {
        let detail = format!("cannot be greater than {}", counts.ready);
        e.invalid(&path.child("availableReplicas"), field(status, "availableReplicas"), &detail);
    }
    let before = deep(old, &["status", "collisionCount"]).as_i64();
    if counts.all.contains(&"collisionCount") && before.is_some_and(|before| number("collisionCount") < before) {
        e.invalid(&path.child("collisionCount"), &number("collisionCount").into(), "cannot be decremented");
    }
}

/// `ValidateHorizontalPodAutoscalerStatusUpdate`.
pub(super) fn autoscaler(e: &mut Errors, object: &Value) {
    let path = Path::root("status");
    for key in ["currentReplicas", "desiredReplicas"] {
        e.not_negative(&path.child(key), deep(object, &["status", key]));
    }
}

/// `ValidateNamespaceStatusUpdate`.
pub(super) fn namespace(e: &mut Errors, object: &Value) {
    let (path, phase) = (Path::root("status"), text(deep(object, &["status", "phase"])));
    let (expected, word) = match deep(object, &["metadata", "deletionTimestamp"]) {
        Value::Null => ("Active", "empty"),
        _ => ("Terminating", "not empty"),
    };
    if phase != expected {
        let detail = format!("may only be '{expected}' if `deletionTimestamp` is {word}");
        e.invalid(&path.child("Phase"), &phase.into(), &detail);
    }
}

/// `ValidatePodStatusUpdate`.
pub(super) fn pod(e: &mut Errors, object: &Value, old: &Value) {
    let (status, path) = (field(object, "status"), Path::root("status"));
    let meta = Path::root("metadata");
    // Kubernetes looks for conditions below the metadata.
    let list = meta.child("conditions");
    for (i, condition) in items(field(status, "conditions")).iter().enumerate() {
        let name = text(field(condition, "type"));
        if !matches!(name, "PodScheduled" | "Ready" | "Initialized") {
            e.name(&list.index(i).child("Type"), name, object::names::qualified_name);
        }
    }
    let node = field(status, "nominatedNodeName");
    if node != deep(old, &["status", "nominatedNodeName"]) && !text(node).is_empty() {
        e.name(&path.child("nominatedNodeName"), text(node), object::names::dns1123_subdomain);
    }
    e.immutable(&path.child("qosClass"), field(status, "qosClass"), deep(old, &["status", "qosClass"]));
    for list in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        transitions(e, list, object, old, &path.child(list));
    }
    addresses(e, status, "podIPs", &path.child("podIPs"));
    let hosts = items(field(status, "hostIPs"));
    let at = path.child("hostIPs");
    if let Some(first) = hosts.first()
        && field(first, "ip") != field(status, "hostIP")
    {
        e.invalid(&at.index(0).child("ip"), field(first, "ip"), "must be equal to `hostIP`");
    }
    addresses(e, status, "hostIPs", &at);
}

/// A container that has ended stays so, unless it may start again.
fn transitions(e: &mut Errors, list: &str, object: &Value, old: &Value, path: &Path<'_>) {
    let of_pod = text(deep(old, &["spec", "restartPolicy"]));
    let of_pod = if list == "ephemeralContainerStatuses" { "Never" } else { of_pod };
    for (i, before) in items(deep(old, &["status", list])).iter().enumerate() {
        let ended = deep(before, &["state", "terminated"]);
        let failed = field(ended, "exitCode").as_i64().unwrap_or(0) != 0;
        let name = field(before, "name");
        let own = super::pod::containers(field(old, "spec"))
            .any(|(_, _, c)| field(c, "name") == name && !field(c, "restartPolicy").is_null());
        if ended.is_null() || of_pod == "Always" || failed && of_pod == "OnFailure" || own {
            continue;
        }
        for now in items(deep(object, &["status", list])) {
            if field(now, "name") == name && deep(now, &["state", "terminated"]).is_null() {
                e.forbidden(&path.index(i).child("state"), "may not be transitioned to non-terminated state");
            }
        }
    }
}

/// One address of each family, at most.
fn addresses(e: &mut Errors, status: &Value, key: &str, path: &Path<'_>) {
    let list = items(field(status, key));
    for (i, one) in list.iter().enumerate() {
        service::ip(e, field(one, "ip"), &path.index(i));
    }
    let is_v6 = |one: &Value| text(field(one, "ip")).contains(':');
    let shown = |one: &Value| format!("{{\"IP\":{}}}", Value::from(text(field(one, "ip"))));
    if list.len() > 2 || list.len() == 2 && list.first().map(is_v6) == list.get(1).map(is_v6) {
        let all: Vec<String> = list.iter().map(shown).collect();
        e.invalid_shown(path, &format!("[{}]", all.join(",")), "may specify no more than one IP for each IP family");
    }
    for (i, one) in list.iter().enumerate().filter(|(i, one)| list.iter().take(*i).any(|before| before == *one)) {
        e.duplicate_shown(&path.index(i), &shown(one));
    }
}
