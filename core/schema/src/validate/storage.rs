//! Volumes, claims, classes of storage and of priority.

use object::quantity::Quantity;
use object::value::str_at;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, selector, volume as pod_volume};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn access_modes(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let at = path.child("accessModes");
    let modes = items(field(spec, "accessModes"));
    if modes.is_empty() {
        e.required(&at, "at least 1 access mode is required");
    }
    for mode in modes {
        e.one_of_if_any(&at, mode, &MODES);
    }
    if modes.len() > 1 && modes.iter().any(|m| text(m) == "ReadWriteOncePod") {
        e.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
}

pub(super) fn claim(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    access_modes(e, spec, &path);
    if !field(spec, "selector").is_null() {
        selector::label_selector(e, field(spec, "selector"), &path.child("selector"));
    }
    let resources = path.child("resources");
    let storage = deep(spec, &["resources", "requests", "storage"]);
    if storage.is_null() {
        e.required(&resources.key("storage"), "");
    } else if let Some(quantity) = Quantity::from_json(storage).filter(|q| q.sign() <= 0) {
        let requests = resources.child("requests");
        e.invalid(&requests.key("storage"), &quantity.to_string().into(), "must be greater than zero");
    }
    let class = text(field(spec, "storageClassName"));
    if !class.is_empty() {
        e.name(&path.child("storageClassName"), class, names::dns1123_subdomain);
    }
    e.one_of_if_any(&path.child("volumeMode"), field(spec, "volumeMode"), &["Block", "Filesystem"]);
    if let Some(old) = old {
        claim_update(e, spec, field(old, "spec"), &path);
    }
}

/// A claim that is not bound may be bound; one that is may grow.
fn claim_update(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        for path in [&["volumeName"][..], &["resources", "requests"], &["volumeAttributesClassName"]] {
            object::value::remove(&mut spec, path);
        }
        spec
    };
    let bound = text(field(old, "volumeName"));
    let rebound = !bound.is_empty() && bound != text(field(new, "volumeName"));
    if fixed(new) != fixed(old) || rebound {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        e.forbidden(path, detail);
    }
    let size = |spec: &Value| Quantity::from_json(deep(spec, &["resources", "requests", "storage"]));
    if let (Some(new), Some(old)) = (size(new), size(old))
        && new < old
    {
        let resources = path.child("resources");
        let requests = resources.child("requests");
        e.forbidden(&requests.child("storage"), "field can not be less than previous value");
    }
}

/// Sources of a volume; exactly one must be there.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "azureDisk",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

pub(super) fn volume(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    access_modes(e, spec, &path);
    let capacity = field(spec, "capacity");
    let at = path.child("capacity");
    match capacity.as_object() {
        None => e.required(&at, ""),
        Some(map) if !map.contains_key("storage") || map.len() > 1 => e.unsupported(&at, capacity, &["storage"]),
        Some(map) => {
            let quantity = map.get("storage").and_then(Quantity::from_json).filter(|q| q.sign() <= 0);
            if let Some(quantity) = quantity {
                e.invalid(&at.key("storage"), &quantity.to_string().into(), "must be greater than zero");
            }
        }
    }
    let policies = ["Delete", "Recycle", "Retain"];
    e.one_of_if_any(&path.child("persistentVolumeReclaimPolicy"), field(spec, "persistentVolumeReclaimPolicy"), &policies);
    let mut found = 0;
    for key in SOURCES.into_iter().filter(|key| !field(spec, key).is_null()) {
        found += 1;
        let at = path.child(key);
        match key {
            _ if found > 1 => e.forbidden(&at, "may not specify more than 1 volume type"),
            "hostPath" => {
                if text(deep(spec, &[key, "path"])).is_empty() {
                    e.required(&at.child("path"), "");
                }
                pod_volume::host_path(e, field(spec, key), &at);
            }
            "nfs" => {
                for part in ["server", "path"].into_iter().filter(|part| text(deep(spec, &[key, part])).is_empty()) {
                    e.required(&at.child(part), "");
                }
            }
            "csi" => {
                for part in ["driver", "volumeHandle"].into_iter().filter(|part| text(deep(spec, &[key, part])).is_empty()) {
                    e.required(&at.child(part), "");
                }
            }
            "local" if field(spec, "nodeAffinity").is_null() => {
                e.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
            }
            _ => {}
        }
    }
    if found == 0 {
        e.required(&path, "must specify a volume type");
    }
    let class = text(field(spec, "storageClassName"));
    if !class.is_empty() {
        e.name(&path.child("storageClassName"), class, names::dns1123_subdomain);
    }
    e.one_of_if_any(&path.child("volumeMode"), field(spec, "volumeMode"), &["Block", "Filesystem"]);
}

pub(super) fn storage_class(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let provisioner = text(field(object, "provisioner"));
    if provisioner.is_empty() {
        e.required(&Path::root("provisioner"), "");
    } else {
        let found = names::qualified_name(&provisioner.to_lowercase());
        e.all(&Path::root("provisioner"), &provisioner.into(), found);
    }
    for (key, _) in field(object, "parameters").as_object().into_iter().flatten() {
        if key.is_empty() {
            e.invalid(&Path::root("parameters"), &"".into(), "field can not be empty.");
        }
    }
    e.one_of_if_any(&Path::root("reclaimPolicy"), field(object, "reclaimPolicy"), &["Delete", "Retain"]);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    e.one_of_if_any(&Path::root("volumeBindingMode"), field(object, "volumeBindingMode"), &modes);
    let topologies = Path::root("allowedTopologies");
    for (i, topology) in items(field(object, "allowedTopologies")).iter().enumerate() {
        let path = topologies.index(i);
        let list = path.child("matchLabelExpressions");
        for (i, expression) in items(field(topology, "matchLabelExpressions")).iter().enumerate() {
            let path = list.index(i);
            if items(field(expression, "values")).is_empty() {
                e.required(&path.child("values"), "");
            }
            e.name(&path.child("key"), text(field(expression, "key")), names::qualified_name);
        }
    }
    if let Some(old) = old {
        for key in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            if field(object, key) != field(old, key) {
                e.forbidden(&Path::root(key), "updates to parameters are forbidden.");
            }
        }
    }
}

const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;

pub(super) fn priority_class(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let name = str_at(object, &["metadata", "name"]);
    let system = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    let value = field(object, "value").as_i64().unwrap_or(0);
    if name.starts_with("system-") {
        if !system.contains(&(name, value)) {
            let meta = Path::root("metadata");
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known system priority class"
            );
            e.forbidden(&meta.child("name"), &detail);
        }
    } else if value > HIGHEST_USER_PRIORITY {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        e.forbidden(&Path::root("value"), &detail);
    }
    let policies = ["PreemptLowerPriority", "Never"];
    e.one_of_if_any(&Path::root("preemptionPolicy"), field(object, "preemptionPolicy"), &policies);
    if old.is_some_and(|old| field(old, "value") != field(object, "value")) {
        e.forbidden(&Path::root("value"), "may not be changed in an update.");
    }
}
