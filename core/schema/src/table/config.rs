//! Configuration, identities, limits and events.

use object::Value;
use object::meta::annotation;
use object::value::str_at;

use super::{Printer, joined};

pub(super) fn cells(p: &Printer<'_>, group: &str, kind: &str) -> Option<Vec<Value>> {
    let size = |key: &str| p.at(&[key]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    Some(match (group, kind) {
        ("", "ConfigMap") => vec![p.name(), (size("data") + size("binaryData")).into(), p.age()],
        ("", "Secret") => vec![p.name(), p.text(&["type"]).into(), size("data").into(), p.age()],
        ("", "ServiceAccount") => vec![p.name(), p.age()],
        ("", "Namespace") => vec![p.name(), p.text(&["status", "phase"]).into(), p.age()],
        ("", "ResourceQuota") => quota(p),
        ("", "Event") | ("events.k8s.io", "Event") => event(p),
        ("coordination.k8s.io", "Lease") => vec![p.name(), p.text(&["spec", "holderIdentity"]).into(), p.age()],
        ("scheduling.k8s.io", "PriorityClass") => vec![
            p.name(),
            p.int(&["value"]).into(),
            p.bool(&["globalDefault"]).into(),
            p.age(),
            p.text(&["preemptionPolicy"]).into(),
        ],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(p),
        ("certificates.k8s.io", "CertificateSigningRequest") => signing_request(p),
        ("storage.k8s.io", "StorageClass") => {
            let is_default = |key: &str| annotation(p.object, key) == Some("true");
            let mark = is_default("storageclass.kubernetes.io/is-default-class")
                || is_default("storageclass.beta.kubernetes.io/is-default-class");
            let name = p.text(&["metadata", "name"]);
            vec![
                if mark { format!("{name} (default)").into() } else { name.into() },
                p.text(&["provisioner"]).into(),
                p.text_or(&["reclaimPolicy"], "Delete"),
                p.text_or(&["volumeBindingMode"], "Immediate"),
                p.bool(&["allowVolumeExpansion"]).into(),
                p.age(),
            ]
        }
        _ => return None,
    })
}

fn quota(p: &Printer<'_>) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (name, hard) in p.at(&["status", "hard"]).and_then(Value::as_object).into_iter().flatten() {
        let used = p.at(&["status", "used", name]).and_then(Value::as_str).unwrap_or("0");
        let text = format!("{name}: {used}/{}", hard.as_str().unwrap_or(""));
        if name.starts_with("limits.") { limits.push(text) } else { requests.push(text) }
    }
    vec![p.name(), joined(&requests, ", ", ""), joined(&limits, ", ", ""), p.age()]
}

fn event(p: &Printer<'_>) -> Vec<Value> {
    let first = match p.text(&["firstTimestamp"]) {
        "" => p.text(&["eventTime"]),
        time => time,
    };
    let last = match (p.text(&["series", "lastObservedTime"]), p.text(&["lastTimestamp"])) {
        ("", "") => first,
        ("", time) | (time, _) => time,
    };
    let count = if p.at(&["series"]).is_some() { p.int(&["series", "count"]) } else { p.int(&["count"]).max(1) };
    let kind = p.text(&["involvedObject", "kind"]).to_lowercase();
    let target = match p.text(&["involvedObject", "name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let either = |a: &[&str], b: &str| match p.text(a) {
        "" => p.text(&[b]).to_owned(),
        text => text.to_owned(),
    };
    let mut source = either(&["source", "component"], "reportingComponent");
    let host = either(&["source", "host"], "reportingInstance");
    if !host.is_empty() {
        source = format!("{source}, {host}");
    }
    vec![
        p.since(last).into(),
        p.text(&["type"]).into(),
        p.text(&["reason"]).into(),
        target.into(),
        p.text(&["involvedObject", "fieldPath"]).into(),
        source.into(),
        p.text(&["message"]).trim().into(),
        p.since(first).into(),
        count.into(),
        p.name(),
    ]
}

fn binding(p: &Printer<'_>) -> Vec<Value> {
    let subjects = |kind: &str| {
        let of_kind = p.list(&["subjects"]).iter().filter(|s| str_at(s, &["kind"]) == kind);
        let names: Vec<String> = of_kind
            .map(|s| match str_at(s, &["namespace"]) {
                "" => str_at(s, &["name"]).to_owned(),
                namespace => format!("{namespace}/{}", str_at(s, &["name"])),
            })
            .collect();
        joined(&names, ", ", "")
    };
    let role = format!("{}/{}", p.text(&["roleRef", "kind"]), p.text(&["roleRef", "name"]));
    vec![p.name(), role.into(), p.age(), subjects("User"), subjects("Group"), subjects("ServiceAccount")]
}

fn signing_request(p: &Printer<'_>) -> Vec<Value> {
    let duration = match p.at(&["spec", "expirationSeconds"]).and_then(Value::as_u64) {
        Some(seconds) => super::human_duration(object::Time(0), object::Time::from_secs(seconds)),
        None => "<none>".to_owned(),
    };
    let has = |kind: &str| p.list(&["status", "conditions"]).iter().any(|c| str_at(c, &["type"]) == kind);
    let mut status = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied".to_owned(),
        (false, true) => "Approved".to_owned(),
        (false, false) => "Pending".to_owned(),
    };
    if has("Failed") {
        status += ",Failed";
    }
    if !p.text(&["status", "certificate"]).is_empty() {
        status += ",Issued";
    }
    vec![
        p.name(),
        p.age(),
        p.text(&["spec", "signerName"]).into(),
        p.text(&["spec", "username"]).into(),
        duration.into(),
        status.into(),
    ]
}
