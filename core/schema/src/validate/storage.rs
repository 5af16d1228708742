//! Volumes, claims, classes of storage and of priority.

use object::quantity::Quantity;
use object::value::str_at;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, selector, sources};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// How a volume can be used.
fn access_modes(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let at = path.child("accessModes");
    let modes = items(field(spec, "accessModes"));
    for mode in modes {
        e.one_of_if_any(&at, mode, &MODES);
    }
    let is_single = |mode: &&Value| text(mode) == "ReadWriteOncePod";
    if modes.iter().any(|m| is_single(&m)) && modes.iter().any(|m| !is_single(&m) && MODES.contains(&text(m))) {
        e.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
}

pub(super) fn claim(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    claim_spec(e, spec, &path);
    if let Some(old) = old {
        claim_update(e, spec, field(old, "spec"), &path);
    }
}

/// A claim that is made with the pod that uses it (`ValidatePersistentVolumeClaimTemplate`).
pub(super) fn claim_template(e: &mut Errors, template: &Value, path: &Path<'_>) {
    let (meta, at) = (field(template, "metadata"), path.child("metadata"));
    super::metadata::annotations(e, field(meta, "annotations"), &at.child("annotations"));
    super::metadata::labels(e, field(meta, "labels"), &at.child("labels"));
    // Go's name of the uid is written in capitals.
    for (key, shown) in [
        ("name", "name"),
        ("generateName", "generateName"),
        ("namespace", "namespace"),
        ("uid", "uID"),
        ("resourceVersion", "resourceVersion"),
        ("ownerReferences", "ownerReferences"),
        ("finalizers", "finalizers"),
    ] {
        if !field(meta, key).is_null() {
            e.forbidden(&at.child(shown), "cannot be set");
        }
    }
    claim_spec(e, field(template, "spec"), &path.child("spec"));
}

/// `ValidatePersistentVolumeClaimSpec`.
fn claim_spec(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    if items(field(spec, "accessModes")).is_empty() {
        e.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    selector::label_selector(e, field(spec, "selector"), &path.child("selector"));
    access_modes(e, spec, path);
    let resources = path.child("resources");
    let storage = deep(spec, &["resources", "requests", "storage"]);
    if storage.is_null() {
        e.required(&resources.key("storage"), "");
    } else if let Some(quantity) = Quantity::from_json(storage).filter(|q| q.sign() <= 0) {
        e.invalid(&resources.key("storage"), &quantity.to_string().into(), "must be greater than zero");
    }
    class_name(e, spec, "storageClassName", path);
    e.one_of_if_any(&path.child("volumeMode"), field(spec, "volumeMode"), &["Block", "Filesystem"]);
    let (source, reference) = (field(spec, "dataSource"), field(spec, "dataSourceRef"));
    data_source(e, source, &path.child("dataSource"));
    data_source(e, reference, &path.child("dataSourceRef"));
    let same = ["apiGroup", "kind", "name"].iter().all(|key| field(source, key) == field(reference, key));
    if !source.is_null() && !reference.is_null() {
        let detail = match text(field(reference, "namespace")) {
            "" if same => "",
            "" => "must match dataSourceRef",
            _ => "may not be specified when dataSourceRef.namespace is specified",
        };
        // Kubernetes shows the other path as the value, which has nothing to show.
        if !detail.is_empty() {
            e.invalid_shown(path, "{}", detail);
        }
    }
    class_name(e, spec, "volumeAttributesClassName", path);
}

fn class_name(e: &mut Errors, spec: &Value, key: &str, path: &Path<'_>) {
    let class = text(field(spec, key));
    if !class.is_empty() {
        e.name(&path.child(key), class, names::dns1123_subdomain);
    }
}

/// `validateDataSource` and `validateDataSourceRef`.
fn data_source(e: &mut Errors, source: &Value, path: &Path<'_>) {
    if source.is_null() {
        return;
    }
    for key in ["name", "kind"].into_iter().filter(|key| text(field(source, key)).is_empty()) {
        e.required(&path.child(key), "");
    }
    let (group, kind) = (text(field(source, "apiGroup")), text(field(source, "kind")));
    if !group.is_empty() {
        e.name(&path.child("apiGroup"), group, names::dns1123_subdomain);
    } else if kind != "PersistentVolumeClaim" {
        e.invalid(path, &kind.into(), "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    let namespace = text(field(source, "namespace"));
    if !namespace.is_empty() {
        e.name(&path.child("namespace"), namespace, names::dns1123_label);
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
    let (was, mut is) = (fixed(old), fixed(new));
    // A claim that left its class to others may be given the default one later.
    if field(old, "storageClassName").is_null() {
        object::value::remove(&mut is, &["storageClassName"]);
    }
    let bound = text(field(old, "volumeName"));
    let rebound = !bound.is_empty() && bound != text(field(new, "volumeName"));
    if is != was || rebound {
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
    if items(field(spec, "accessModes")).is_empty() {
        e.required(&path.child("accessModes"), "");
    }
    access_modes(e, spec, &path);
    let (capacity, at) = (field(spec, "capacity"), path.child("capacity"));
    let amounts = capacity.as_object();
    if amounts.is_none_or(serde_json::Map::is_empty) {
        e.required(&at, "");
    }
    if amounts.is_none_or(|map| map.len() != 1 || !map.contains_key("storage")) {
        e.unsupported(&at, capacity, &["storage"]);
    }
    for (name, amount) in amounts.into_iter().flatten() {
        let Some(quantity) = Quantity::from_json(amount).filter(|q| q.sign() <= 0) else { continue };
        if quantity.value() < 0 {
            e.invalid(&at.key(name), &quantity.value().into(), "must be a valid resource quantity");
        }
        e.invalid(&at.key(name), &quantity.to_string().into(), "must be greater than zero");
    }
    let (policy, at) = (field(spec, "persistentVolumeReclaimPolicy"), path.child("persistentVolumeReclaimPolicy"));
    e.one_of_if_any(&at, policy, &["Delete", "Recycle", "Retain"]);
    let affinity = field(spec, "nodeAffinity");
    if !affinity.is_null() {
        let at = path.child("nodeAffinity");
        match field(affinity, "required") {
            Value::Null => e.required(&at.child("required"), "must specify required node constraints"),
            required => super::affinity::node_selector(e, required, &at.child("required")),
        }
    }
    volume_source(e, object, spec, &path);
    let root = deep(spec, &["hostPath", "path"]).as_str().is_some_and(is_root);
    if root && text(policy) == "Recycle" {
        e.forbidden(&at, "may not be 'recycle' for a hostPath mount of '/'");
    }
    class_name(e, spec, "storageClassName", &path);
    e.one_of_if_any(&path.child("volumeMode"), field(spec, "volumeMode"), &["Block", "Filesystem"]);
    let class = field(spec, "volumeAttributesClassName");
    if text(class).is_empty() && !class.is_null() {
        e.required(&path.child("volumeAttributesClassName"), "an empty string is disallowed");
    }
    class_name(e, spec, "volumeAttributesClassName", &path);
    if !class.is_null() && field(spec, "csi").is_null() {
        e.required(&path.child("csi"), "has to be specified when using volumeAttributesClassName");
    }
}

/// Whether a path is `/`, however long it takes to say so.
fn is_root(path: &str) -> bool {
    let mut depth = 0_i64;
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        depth = if part == ".." { (depth - 1).max(0) } else { depth + 1 };
    }
    path.starts_with('/') && depth == 0
}

fn volume_source(e: &mut Errors, object: &Value, spec: &Value, path: &Path<'_>) {
    let mut found = 0;
    for key in SOURCES.into_iter().filter(|key| !field(spec, key).is_null()) {
        found += 1;
        let source = field(spec, key);
        // As in pods, two kinds have other names in paths; and nothing is too much for a flexVolume.
        let at = path.child(match (key, found > 1) {
            ("gcePersistentDisk", false) => "persistentDisk",
            ("cephfs", true) => "cephFS",
            _ => key,
        });
        match key {
            _ if found > 1 && key != "flexVolume" => e.forbidden(&at, "may not specify more than 1 volume type"),
            "csi" => csi(e, source, &at),
            _ => sources::check(e, key, source, true, &at),
        }
        if key == "local" && found == 1 && field(spec, "nodeAffinity").is_null() {
            e.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
        }
        let portal = text(field(source, "targetPortal"));
        let long = str_at(object, &["metadata", "name"]).len() + 1 + portal.len() > 64;
        if key == "iscsi" && long && !field(source, "initiatorName").is_null() {
            let detail = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
            e.invalid(&at.child("targetportal"), &portal.into(), detail);
        }
        let namespace = field(source, "endpointsNamespace");
        match namespace.as_str() {
            Some("") => {
                let detail = "if the endpointnamespace is set, it must be a valid namespace name";
                e.invalid(&at.child("endpointsNamespace"), namespace, detail);
            }
            Some(name) => e.name(&at.child("endpointsNamespace"), name, names::dns1123_label),
            None => {}
        }
    }
    if found == 0 {
        e.required(path, "must specify a volume type");
    }
}

fn csi(e: &mut Errors, source: &Value, path: &Path<'_>) {
    sources::driver_name(e, text(field(source, "driver")), &path.child("driver"));
    if text(field(source, "volumeHandle")).is_empty() {
        e.required(&path.child("volumeHandle"), "");
    }
    for key in ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"] {
        let (reference, at) = (field(source, key), path.child(key));
        if reference.is_null() {
            continue;
        }
        for (key, rule) in [("name", names::dns1123_subdomain as fn(&str) -> Vec<String>), ("namespace", names::dns1123_label)] {
            match text(field(reference, key)) {
                "" => e.required(&at.child(key), ""),
                name => e.name(&at.child(key), name, rule),
            }
        }
    }
}

pub(super) fn storage_class(e: &mut Errors, object: &Value, old: Option<&Value>) {
    provisioner(e, text(field(object, "provisioner")), &Path::root("provisioner"));
    parameters(e, field(object, "parameters"), &Path::root("parameters"));
    e.one_of_if_any(&Path::root("reclaimPolicy"), field(object, "reclaimPolicy"), &["Delete", "Retain"]);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    e.one_of_if_any(&Path::root("volumeBindingMode"), field(object, "volumeBindingMode"), &modes);
    topologies(e, field(object, "allowedTopologies"));
    if let Some(old) = old {
        for key in ["parameters", "provisioner", "reclaimPolicy"] {
            if field(object, key) != field(old, key) {
                e.forbidden(&Path::root(key), &format!("updates to {key} are forbidden."));
            }
        }
        e.immutable(&Path::root("volumeBindingMode"), field(object, "volumeBindingMode"), field(old, "volumeBindingMode"));
    }
}

/// `validateProvisioner`.
pub(super) fn provisioner(e: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        return e.required(path, "");
    }
    let lower = name.to_lowercase();
    e.name(path, &lower, names::qualified_name);
}

/// What a driver is told: keys that are not empty, and not too much of it.
pub(super) fn parameters(e: &mut Errors, parameters: &Value, path: &Path<'_>) {
    const MOST: usize = 512;
    const SIZE: usize = 256 * 1024;
    let Some(map) = parameters.as_object() else { return };
    if map.len() > MOST {
        return e.too_long(path, MOST);
    }
    for _ in map.keys().filter(|key| key.is_empty()) {
        e.invalid(path, &"".into(), "field can not be empty.");
    }
    if map.iter().map(|(key, value)| key.len() + text(value).len()).sum::<usize>() > SIZE {
        e.too_long(path, SIZE);
    }
}

fn topologies(e: &mut Errors, topologies: &Value) {
    let path = Path::root("allowedTopologies");
    let key_of = |expression: &Value| text(field(expression, "key")).to_owned();
    for (i, topology) in items(topologies).iter().enumerate() {
        let path = path.index(i);
        let list = path.child("matchLabelExpressions");
        let expressions = items(field(topology, "matchLabelExpressions"));
        for (i, expression) in expressions.iter().enumerate() {
            let path = list.index(i);
            let (values, at) = (items(field(expression, "values")), path.child("values"));
            if values.is_empty() {
                e.required(&at, "");
            }
            for (i, value) in values.iter().enumerate().filter(|(i, value)| values.iter().take(*i).any(|v| v == *value)) {
                e.duplicate(&at.index(i), value);
            }
            let key = key_of(expression);
            e.name(&path.child("key"), &key, names::qualified_name);
            if expressions.iter().take(i).any(|before| key_of(before) == key) {
                e.duplicate(&path.child("key"), &key.into());
            }
        }
        if items(topologies).iter().take(i).any(|before| before == topology) {
            e.duplicate(&list, &"".into());
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
