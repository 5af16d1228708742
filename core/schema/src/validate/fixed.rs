//! Fields that never change, and names and ranges that are addresses.

use std::net::IpAddr;

use object::Value;

use super::errors::{Errors, Path, items, text};
use super::{deep, field};

/// Where a field is, and what Kubernetes calls it.
type Fixed = (&'static [&'static str], &'static str);

/// Group, kind, and the fields that stay as they were made.
const FIELDS: [(&str, &str, &[Fixed]); 9] = [
    ("apps", "ControllerRevision", &[(&["data"], "data")]),
    (
        "storage.k8s.io",
        "CSIDriver",
        &[
            (&["spec", "attachRequired"], "spec.attachedRequired"),
            (&["spec", "volumeLifecycleModes"], "spec.volumeLifecycleModes"),
        ],
    ),
    ("storage.k8s.io", "CSIStorageCapacity", &[(&["nodeTopology"], "nodeTopology"), (&["storageClassName"], "storageClassName")]),
    ("storage.k8s.io", "VolumeAttachment", &[(&["spec"], "spec")]),
    ("resource.k8s.io", "ResourceClaim", &[(&["spec"], "spec")]),
    ("resource.k8s.io", "ResourceClaimTemplate", &[(&["spec"], "spec")]),
    (
        "resource.k8s.io",
        "ResourceSlice",
        &[
            (&["spec", "driver"], "spec.driver"),
            (&["spec", "pool", "name"], "spec.pool.name"),
            (&["spec", "nodeName"], "spec.nodeName"),
        ],
    ),
    ("networking.k8s.io", "IPAddress", &[(&["spec", "parentRef"], "spec.parentRef")]),
    // Through this group events may gain a series, and nothing else. Their fields bear the names in which they are stored.
    (
        "events.k8s.io",
        "Event",
        &[
            (&["involvedObject"], "involvedObject"),
            (&["reason"], "reason"),
            (&["message"], "message"),
            (&["firstTimestamp"], "firstTimestamp"),
            (&["lastTimestamp"], "lastTimestamp"),
            (&["count"], "count"),
            (&["type"], "type"),
            (&["eventTime"], "eventTime"),
            (&["action"], "action"),
            (&["related"], "related"),
            (&["reportingComponent"], "reportingController"),
            (&["reportingInstance"], "reportingInstance"),
        ],
    ),
];

/// `ValidateImmutableField` for all of them.
pub(super) fn fields(e: &mut Errors, group: &str, kind: &str, new: &Value, old: &Value) {
    let of_kind = FIELDS.iter().filter(|(of, named, _)| (*of, *named) == (group, kind));
    for (path, shown) in of_kind.flat_map(|(_, _, fields)| fields.iter()) {
        e.immutable(&Path::root(shown), deep(new, path), deep(old, path));
    }
}

/// A node's addresses for pods, and its name at its provider, are given once.
pub(super) fn node(e: &mut Errors, new: &Value, old: &Value) {
    let spec = Path::root("spec");
    for (key, name) in [("podCIDRs", "podCIDR"), ("providerID", "providerID")] {
        let (before, after) = (deep(old, &["spec", key]), deep(new, &["spec", key]));
        let given = !items(before).is_empty() || !text(before).is_empty();
        if given && before != after {
            e.forbidden(&spec.child(key), &format!("node updates may not change {name} except from \"\" to valid"));
        }
    }
}

/// Everything else in a volume's spec says what the volume is.
const ABOUT_VOLUMES: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// A volume stays what and where it is.
pub(super) fn volume(e: &mut Errors, new: &Value, old: &Value) {
    let source = |object: &Value| {
        let mut spec = field(object, "spec").clone();
        if let Some(map) = spec.as_object_mut() {
            map.retain(|key, _| !ABOUT_VOLUMES.contains(&key.as_str()));
        }
        // A secret for growing may come later.
        if deep(old, &["spec", "csi", "controllerExpandSecretRef"]).is_null() {
            object::value::remove(&mut spec, &["csi", "controllerExpandSecretRef"]);
        }
        spec
    };
    if source(new) != source(old) {
        let spec = Path::root("spec");
        e.forbidden(&spec.child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation");
    }
    e.immutable(&Path::root("volumeMode"), deep(new, &["spec", "volumeMode"]), deep(old, &["spec", "volumeMode"]));
    let affinity = deep(old, &["spec", "nodeAffinity"]);
    if !affinity.is_null() {
        e.immutable(&Path::root("nodeAffinity"), deep(new, &["spec", "nodeAffinity"]), affinity);
    }
}

/// What is said of a driver on a node stays, but for how many volumes it can attach.
pub(super) fn csi_node(e: &mut Errors, new: &Value, old: &Value) {
    let (spec, but_count) = (Path::root("spec"), |driver: &Value| {
        let mut driver = driver.clone();
        object::value::remove(&mut driver, &["allocatable"]);
        driver
    });
    for before in items(deep(old, &["spec", "drivers"])) {
        for after in items(deep(new, &["spec", "drivers"])) {
            if field(before, "name") == field(after, "name") {
                e.immutable(&spec.child("drivers"), &but_count(after), &but_count(before));
            }
        }
    }
}

pub(super) fn attributes_class(e: &mut Errors, new: &Value, old: &Value) {
    for name in ["driverName", "parameters"] {
        if field(new, name) != field(old, name) {
            e.forbidden(&Path::root(name), &format!("updates to {name} are forbidden."));
        }
    }
}

/// Ranges stay; a second family may come.
pub(super) fn service_cidr(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, ranges) = (Path::root("spec"), items(deep(object, &["spec", "cidrs"])));
    let path = spec.child("cidrs");
    let Some(old) = old else {
        match ranges.len() {
            0 => return e.required(&path, "at least one CIDR required"),
            1 | 2 => {}
            _ => return e.invalid(&path, field(object, "spec"), "may only hold up to 2 values"),
        }
        return ranges.iter().enumerate().for_each(|(i, range)| cidr(e, range, &path.index(i)));
    };
    let before = items(deep(old, &["spec", "cidrs"]));
    if before.len() > ranges.len() || before.len() == 2 && ranges.len() > 2 {
        return e.immutable(&path, deep(object, &["spec", "cidrs"]), deep(old, &["spec", "cidrs"]));
    }
    for (i, range) in ranges.iter().enumerate() {
        match before.get(i) {
            Some(before) => e.immutable(&path.index(i), range, before),
            None => cidr(e, range, &path.index(i)),
        }
    }
}

/// `IsValidCIDR`.
fn cidr(e: &mut Errors, value: &Value, path: &Path<'_>) {
    let range = text(value);
    let parsed =
        range.split_once('/').and_then(|(ip, bits)| Some((ip, ip.parse::<IpAddr>().ok()?, bits, bits.parse::<u32>().ok()?)));
    let Some((shown, ip, bits_shown, bits)) = parsed.filter(|(_, ip, _, bits)| *bits <= if ip.is_ipv4() { 32 } else { 128 })
    else {
        let detail = if range.split(['.', '/']).any(has_leading_zero) {
            "must not have leading 0s in IP or prefix length"
        } else {
            "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        };
        return e.invalid(path, value, detail);
    };
    let beyond = match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    if beyond.checked_shl(bits).is_some_and(|rest| rest != 0) {
        e.invalid(path, value, "must not have bits set beyond the prefix length");
    } else if has_leading_zero(bits_shown) {
        e.invalid(path, value, "must not have leading 0s in prefix length");
    } else if ip.to_string() != shown {
        e.invalid(path, value, &format!("must be in canonical form (\"{ip}/{bits}\")"));
    }
}

fn has_leading_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit())
}

/// `ValidateIPAddressName`: an IPAddress is named as addresses are written.
pub(super) fn address_name(name: &str) -> Vec<String> {
    match name.parse::<IpAddr>() {
        Ok(ip) if ip.to_string() == name => Vec::new(),
        Ok(_) => vec!["must be a canonical form IP address".to_owned()],
        Err(_) if name.split('.').any(has_leading_zero) => {
            vec![format!("ParseAddr({name:?}): IPv4 field has octet with leading zero")]
        }
        Err(_) => vec![format!("ParseAddr({name:?}): unable to parse IP")],
    }
}

/// What a budget's status counts is not negative.
pub(super) fn budget_status(e: &mut Errors, object: &Value) {
    let path = Path::root("status");
    for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        e.not_negative(&path.child(name), deep(object, &["status", name]));
    }
}

/// An issued certificate is PEM.
pub(super) fn certificate_status(e: &mut Errors, object: &Value) {
    let certificate = text(deep(object, &["status", "certificate"]));
    let bytes = crate::base64::decode(certificate);
    let pem = bytes.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    if !certificate.is_empty() && !pem.contains("-----BEGIN CERTIFICATE-----") {
        let path = Path::root("status.certificate");
        e.invalid(&path, &"<certificate data>".into(), "must contain at least one CERTIFICATE PEM block");
    }
}
