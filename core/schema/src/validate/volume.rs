//! Volumes of a pod (`ValidateVolumes`).

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::field;

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

/// Checks all volumes; the names of those that are right can be mounted.
pub(super) fn volumes<'a>(e: &mut Errors, volumes: &'a Value, path: &Path<'_>) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (i, volume) in items(volumes).iter().enumerate() {
        let path = path.index(i);
        let before = e.len();
        sources(e, volume, &path);
        let name = text(field(volume, "name"));
        match name {
            "" => e.required(&path.child("name"), ""),
            name => e.name(&path.child("name"), name, names::dns1123_label),
        }
        if names.contains(name) {
            e.duplicate(&path.child("name"), &name.into());
        }
        if e.len() == before {
            names.insert(name);
        }
    }
    // A wrong volume is reported once, not again by each mount.
    names.extend(items(volumes).iter().map(|v| text(field(v, "name"))).filter(|name| !name.is_empty()));
    names
}

fn sources(e: &mut Errors, volume: &Value, path: &Path<'_>) {
    let mut found = 0;
    for kind in SOURCES.into_iter().chain(["image"]) {
        let source = field(volume, kind);
        if source.is_null() {
            continue;
        }
        found += 1;
        let path = path.child(kind);
        if found > 1 {
            e.forbidden(&path, "may not specify more than 1 volume type");
        } else {
            source_of(e, kind, source, &path);
        }
    }
    if found == 0 {
        e.required(path, "must specify a volume type");
    }
}

fn source_of(e: &mut Errors, kind: &str, source: &Value, path: &Path<'_>) {
    let mut required = |keys: &[&str]| {
        for key in keys.iter().filter(|key| text(field(source, key)).is_empty()) {
            e.required(&path.child(key), "");
        }
    };
    match kind {
        "secret" => {
            required(&["secretName"]);
            mode(e, source, path);
            key_paths(e, field(source, "items"), &path.child("items"));
        }
        "configMap" => {
            required(&["name"]);
            mode(e, source, path);
            key_paths(e, field(source, "items"), &path.child("items"));
        }
        "persistentVolumeClaim" => required(&["claimName"]),
        "nfs" => required(&["server", "path"]),
        "csi" => required(&["driver"]),
        "image" => required(&["reference"]),
        "hostPath" => {
            required(&["path"]);
            host_path(e, source, path);
        }
        "downwardAPI" => {
            mode(e, source, path);
            downward(e, field(source, "items"), &path.child("items"));
        }
        "projected" => {
            mode(e, source, path);
            projected(e, field(source, "sources"), &path.child("sources"));
        }
        "emptyDir" => {
            let limit = object::quantity::Quantity::from_json(field(source, "sizeLimit"));
            if limit.is_some_and(|l| l.sign() < 0) {
                e.forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
            }
        }
        _ => {}
    }
}

/// `ValidateHostPathVolumeSource`.
pub(super) fn host_path(e: &mut Errors, source: &Value, path: &Path<'_>) {
    let target = field(source, "path");
    if text(target).split('/').any(|part| part == "..") {
        e.invalid(&path.child("path"), target, "must not contain '..'");
    }
    let types = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    e.one_of_if_any(&path.child("type"), field(source, "type"), &types);
}

fn mode(e: &mut Errors, source: &Value, path: &Path<'_>) {
    let mode = field(source, "defaultMode");
    if mode.as_i64().is_some_and(|m| !(0..=0o777).contains(&m)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        e.invalid(&path.child("defaultMode"), mode, detail);
    }
}

fn key_paths(e: &mut Errors, list: &Value, path: &Path<'_>) {
    for (i, item) in items(list).iter().enumerate() {
        let path = path.index(i);
        if text(field(item, "key")).is_empty() {
            e.required(&path.child("key"), "");
        }
        match text(field(item, "path")) {
            "" => e.required(&path.child("path"), ""),
            target => local_path(e, target, &path.child("path")),
        }
    }
}

fn downward(e: &mut Errors, list: &Value, path: &Path<'_>) {
    for (i, item) in items(list).iter().enumerate() {
        let path = path.index(i);
        match text(field(item, "path")) {
            "" => e.required(&path.child("path"), ""),
            target => local_path(e, target, &path.child("path")),
        }
        if !field(item, "fieldRef").is_null() {
            field_ref(e, field(item, "fieldRef"), &VOLUME_FIELDS, &path.child("fieldRef"));
        } else if field(item, "resourceFieldRef").is_null() {
            e.required(&path, "one of fieldRef and resourceFieldRef is required");
        }
    }
}

fn projected(e: &mut Errors, sources: &Value, path: &Path<'_>) {
    for (i, source) in items(sources).iter().enumerate() {
        let path = path.index(i);
        for kind in ["secret", "configMap"] {
            let (projection, at) = (field(source, kind), path.child(kind));
            if projection.is_null() {
                continue;
            }
            if text(field(projection, "name")).is_empty() {
                e.required(&at.child("name"), "");
            }
            key_paths(e, field(projection, "items"), &at.child("items"));
        }
        let token = field(source, "serviceAccountToken");
        if !token.is_null() {
            let at = path.child("serviceAccountToken");
            let seconds = field(token, "expirationSeconds");
            if seconds.as_i64().is_some_and(|s| s < 600) {
                e.invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
            }
            if text(field(token, "path")).is_empty() {
                e.required(&at.child("path"), "");
            }
        }
        downward(e, field(field(source, "downwardAPI"), "items"), &path.child("downwardAPI"));
    }
}

const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Fields of a pod that its containers can be told at all.
const CONVERTIBLE: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];

/// `validateObjectFieldSelector`.
pub(super) fn field_ref(e: &mut Errors, reference: &Value, allowed: &[&str], path: &Path<'_>) {
    if text(field(reference, "apiVersion")).is_empty() {
        e.required(&path.child("apiVersion"), "");
    }
    let target = field(reference, "fieldPath");
    let at = path.child("fieldPath");
    let name = text(target);
    let subscript = ["metadata.annotations['", "metadata.labels['"].iter().any(|p| name.starts_with(p)) && name.ends_with("']");
    if name.is_empty() {
        e.required(&at, "");
    } else if !subscript && !CONVERTIBLE.contains(&name) && !name.contains('[') {
        e.invalid(&at, target, &format!("error converting fieldPath: field label not supported: {name}"));
    } else if !subscript && !allowed.contains(&name) {
        e.unsupported(&at, target, allowed);
    }
}

/// `validateLocalDescendingPath`: a path that stays below where it starts.
pub(super) fn local_path(e: &mut Errors, target: &str, path: &Path<'_>) {
    if target.starts_with('/') {
        e.invalid(path, &target.into(), "must be a relative path");
    }
    if target.split('/').any(|part| part == "..") {
        e.invalid(path, &target.into(), "must not contain '..'");
    }
}
