//! Volumes, claims, drivers and devices.

use object::Value;
use object::meta::annotation;
use object::value::str_at;

use super::{Printer, joined};

pub(super) fn cells(p: &Printer<'_>, group: &str, kind: &str) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("", "PersistentVolume") => volume(p),
        ("", "PersistentVolumeClaim") => claim(p),
        ("storage.k8s.io", "CSIDriver") => driver(p),
        ("storage.k8s.io", "CSINode") => vec![p.name(), p.list(&["spec", "drivers"]).len().into(), p.age()],
        ("storage.k8s.io", "VolumeAttachment") => vec![
            p.name(),
            p.text(&["spec", "attacher"]).into(),
            p.text(&["spec", "source", "persistentVolumeName"]).into(),
            p.text(&["spec", "nodeName"]).into(),
            p.bool(&["status", "attached"]).into(),
            p.age(),
        ],
        ("storage.k8s.io", "VolumeAttributesClass") => vec![p.name(), p.text(&["driverName"]).into(), p.age()],
        ("resource.k8s.io", "ResourceClaim") => vec![p.name(), claim_state(p).into(), p.age()],
        ("resource.k8s.io", "ResourceSlice") => vec![
            p.name(),
            p.text(&["spec", "nodeName"]).into(),
            p.text(&["spec", "driver"]).into(),
            p.text(&["spec", "pool", "name"]).into(),
            p.age(),
        ],
        _ => return None,
    })
}

/// `RWO,ROX`: in the order in which Kubernetes lists them.
fn modes(list: &[Value]) -> Value {
    let all = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| list.iter().any(|m| m.as_str() == Some(mode));
    all.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",").into()
}

fn class(p: &Printer<'_>) -> Value {
    annotation(p.object, "volume.beta.kubernetes.io/storage-class").unwrap_or(p.text(&["spec", "storageClassName"])).into()
}

fn phase(p: &Printer<'_>) -> Value {
    if p.deleting() { "Terminating".into() } else { p.text(&["status", "phase"]).into() }
}

fn volume(p: &Printer<'_>) -> Vec<Value> {
    let claim = p.at(&["spec", "claimRef"]).map(|c| format!("{}/{}", str_at(c, &["namespace"]), str_at(c, &["name"])));
    vec![
        p.name(),
        p.text(&["spec", "capacity", "storage"]).into(),
        modes(p.list(&["spec", "accessModes"])),
        p.text(&["spec", "persistentVolumeReclaimPolicy"]).into(),
        phase(p),
        claim.unwrap_or_default().into(),
        class(p),
        p.text_or(&["spec", "volumeAttributesClassName"], "<unset>"),
        p.text(&["status", "reason"]).into(),
        p.age(),
        p.text_or(&["spec", "volumeMode"], "<unset>"),
    ]
}

fn claim(p: &Printer<'_>) -> Vec<Value> {
    let volume = p.text(&["spec", "volumeName"]);
    let (capacity, access) = if volume.is_empty() {
        ("", "".into())
    } else {
        // A quantity that is not there is 0.
        let capacity = p.text(&["status", "capacity", "storage"]);
        (if capacity.is_empty() { "0" } else { capacity }, modes(p.list(&["status", "accessModes"])))
    };
    vec![
        p.name(),
        phase(p),
        volume.into(),
        capacity.into(),
        access,
        class(p),
        p.text_or(&["spec", "volumeAttributesClassName"], "<unset>"),
        p.age(),
        p.text_or(&["spec", "volumeMode"], "<unset>"),
    ]
}

fn driver(p: &Printer<'_>) -> Vec<Value> {
    let audiences: Vec<String> = p.list(&["spec", "tokenRequests"]).iter().map(|t| str_at(t, &["audience"]).to_owned()).collect();
    let lifecycles: Vec<String> =
        p.list(&["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    vec![
        p.name(),
        p.at(&["spec", "attachRequired"]).and_then(Value::as_bool).unwrap_or(true).into(),
        p.bool(&["spec", "podInfoOnMount"]).into(),
        p.bool(&["spec", "storageCapacity"]).into(),
        joined(&audiences, ",", "<unset>"),
        p.bool(&["spec", "requiresRepublish"]).into(),
        joined(&lifecycles, ",", "<none>"),
        p.age(),
    ]
}

fn claim_state(p: &Printer<'_>) -> String {
    let mut states = Vec::new();
    if p.deleting() {
        states.push("deleted");
    }
    if p.at(&["status", "allocation"]).is_some() {
        states.push("allocated");
        if !p.list(&["status", "reservedFor"]).is_empty() {
            states.push("reserved");
        }
    } else if !p.deleting() {
        states.push("pending");
    }
    states.join(",")
}
