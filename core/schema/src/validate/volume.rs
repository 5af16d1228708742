//! Volumes of a pod (`ValidateVolumes`).

use std::collections::BTreeMap;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, environment, field, sources, storage};

/// Kinds of volumes, in the order in which Kubernetes looks at them.
const SOURCES: [&str; 29] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
];

/// Checks all volumes. Those that are right can be mounted.
pub(super) fn volumes<'a>(e: &mut Errors, spec: &'a Value, pod: &Value, path: &Path<'_>) -> BTreeMap<&'a str, &'a Value> {
    let list = items(field(spec, "volumes"));
    let owner = text(deep(pod, &["metadata", "name"]));
    let mut sound = BTreeMap::new();
    for (i, volume) in list.iter().enumerate() {
        let path = path.index(i);
        let before = e.len();
        sources(e, volume, pod, &path);
        let name = text(field(volume, "name"));
        match name {
            "" => e.required(&path.child("name"), ""),
            name => e.name(&path.child("name"), name, names::dns1123_label),
        }
        if sound.contains_key(name) {
            e.duplicate(&path.child("name"), &name.into());
        }
        if e.len() == before {
            sound.insert(name, volume);
        }
        let claim = text(deep(volume, &["persistentVolumeClaim", "claimName"]));
        let made = |v: &Value| !field(v, "ephemeral").is_null() && claim == format!("{owner}-{}", text(field(v, "name")));
        if !owner.is_empty() && !claim.is_empty() && list.iter().any(made) {
            let at = path.child("persistentVolumeClaim");
            e.invalid(
                &at.child("claimName"),
                &claim.into(),
                "must not reference a PVC that gets created for an ephemeral volume",
            );
        }
    }
    sound
}

fn sources(e: &mut Errors, volume: &Value, pod: &Value, path: &Path<'_>) {
    let mut found = 0;
    for kind in SOURCES.into_iter().chain(["image"]) {
        let source = field(volume, kind);
        if source.is_null() {
            continue;
        }
        found += 1;
        // Some kinds have another name in Kubernetes' paths, and some only where they are one too many.
        let shown = match (kind, found > 1) {
            ("gcePersistentDisk", false) => "persistentDisk",
            ("cephfs", true) => "cephFS",
            ("downwardAPI", true) => "downwarAPI",
            _ => kind,
        };
        let at = path.child(shown);
        if found > 1 {
            e.forbidden(&at, "may not specify more than 1 volume type");
        } else {
            source_of(e, kind, source, pod, &at);
        }
        let name = text(field(volume, "name"));
        if kind == "iscsi" && !field(source, "initiatorName").is_null() {
            initiator(e, name, source, &path.child("name"));
        }
        let owner = text(deep(pod, &["metadata", "name"]));
        if kind == "ephemeral" && found == 1 && !owner.is_empty() && !name.is_empty() {
            let claim = format!("{owner}-{name}");
            for wrong in names::dns1123_subdomain(&claim) {
                e.invalid(&path.child("name"), &name.into(), &format!("PVC name {claim:?}: {wrong}"));
            }
        }
    }
    if found == 0 {
        e.required(path, "must specify a volume type");
    }
}

/// An initiator's name stands on the node together with the volume's.
fn initiator(e: &mut Errors, name: &str, source: &Value, path: &Path<'_>) {
    if name.len() + 1 + text(field(source, "targetPortal")).len() > 64 {
        let detail =
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
        e.invalid(path, &name.into(), detail);
    }
}

fn source_of(e: &mut Errors, kind: &str, source: &Value, pod: &Value, path: &Path<'_>) {
    let mut required = |key: &str| {
        if text(field(source, key)).is_empty() {
            e.required(&path.child(key), "");
        }
    };
    match kind {
        "secret" | "configMap" => {
            required(if kind == "secret" { "secretName" } else { "name" });
            mode(e, source, "defaultMode", path);
            key_paths(e, field(source, "items"), &path.child("items"));
        }
        "persistentVolumeClaim" => required("claimName"),
        "csi" => {
            sources::driver_name(e, text(field(source, "driver")), &path.child("driver"));
            let secret = field(source, "nodePublishSecretRef");
            match text(field(secret, "name")) {
                _ if secret.is_null() => {}
                "" => e.required(&path.child("nodePublishSecretRef").child("name"), ""),
                name => e.name(&path.child("name"), name, names::dns1123_subdomain),
            }
        }
        "image" => {
            // A template may leave it to what fills it in.
            if !pod.is_null() {
                required("reference");
            }
            e.one_of(&path.child("pullPolicy"), field(source, "pullPolicy"), &["Always", "IfNotPresent", "Never"]);
        }
        "downwardAPI" => {
            mode(e, source, "defaultMode", path);
            downward(e, field(source, "items"), path);
        }
        "projected" => {
            mode(e, source, "defaultMode", path);
            super::projected::check(e, source, path);
        }
        "emptyDir" => {
            let limit = object::quantity::Quantity::from_json(field(source, "sizeLimit"));
            if limit.is_some_and(|l| l.sign() < 0) {
                e.forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
            }
        }
        "ephemeral" => {
            let (template, at) = (field(source, "volumeClaimTemplate"), path.child("volumeClaimTemplate"));
            if template.is_null() {
                e.required(&at, "");
            } else {
                storage::claim_template(e, template, &at);
            }
        }
        _ => sources::check(e, kind, source, false, path),
    }
}

/// Permissions of files, where there are some.
pub(super) fn mode(e: &mut Errors, source: &Value, key: &str, path: &Path<'_>) {
    let mode = field(source, key);
    if mode.as_i64().is_some_and(|m| !(0..=0o777).contains(&m)) {
        e.invalid(&path.child(key), mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

pub(super) fn key_paths(e: &mut Errors, list: &Value, path: &Path<'_>) {
    for (i, item) in items(list).iter().enumerate() {
        key_path(e, item, &path.index(i));
    }
}

/// `validateKeyToPath`.
pub(super) fn key_path(e: &mut Errors, item: &Value, path: &Path<'_>) {
    for key in ["key", "path"].into_iter().filter(|key| text(field(item, key)).is_empty()) {
        e.required(&path.child(key), "");
    }
    unreserved_path(e, text(field(item, "path")), &path.child("path"));
    mode(e, item, "mode", path);
}

pub(super) fn downward(e: &mut Errors, list: &Value, path: &Path<'_>) {
    for item in items(list) {
        downward_file(e, item, path);
    }
}

/// `validateDownwardAPIVolumeFile`; its path does not say which file.
pub(super) fn downward_file(e: &mut Errors, item: &Value, path: &Path<'_>) {
    let target = text(field(item, "path"));
    if target.is_empty() {
        e.required(&path.child("path"), "");
    }
    unreserved_path(e, target, &path.child("path"));
    let (reference, resource) = (field(item, "fieldRef"), field(item, "resourceFieldRef"));
    if !reference.is_null() {
        environment::field_ref(e, reference, &VOLUME_FIELDS, &path.child("fieldRef"));
        if !resource.is_null() {
            e.invalid(path, &"resource".into(), "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if !resource.is_null() {
        environment::resource_ref(e, resource, true, &path.child("resourceFieldRef"));
    } else {
        e.required(path, "one of fieldRef and resourceFieldRef is required");
    }
    mode(e, item, "mode", path);
}

const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// `validateLocalDescendingPath`: a path that stays below where it starts.
pub(super) fn local_path(e: &mut Errors, target: &str, path: &Path<'_>) {
    if target.starts_with('/') {
        e.invalid(path, &target.into(), "must be a relative path");
    }
    no_backsteps(e, target, path);
}

/// `ValidateLocalNonReservedPath`: names that begin with two dots are the kubelet's own.
pub(super) fn unreserved_path(e: &mut Errors, target: &str, path: &Path<'_>) {
    local_path(e, target, path);
    if target.starts_with("..") && !target.starts_with("../") {
        e.invalid(path, &target.into(), "must not start with '..'");
    }
}

/// `validatePathNoBacksteps`.
pub(super) fn no_backsteps(e: &mut Errors, target: &str, path: &Path<'_>) {
    if target.split('/').any(|part| part == "..") {
        e.invalid(path, &target.into(), "must not contain '..'");
    }
}
