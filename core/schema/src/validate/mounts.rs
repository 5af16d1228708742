//! Where a container finds its volumes (`ValidateVolumeMounts`, `ValidateVolumeDevices`).

use std::collections::{BTreeMap, BTreeSet};

use object::Value;

use super::errors::{Errors, Path, items, text};
use super::volume::local_path;
use super::{deep, field};

type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

pub(super) fn check(e: &mut Errors, container: &Value, volumes: &Volumes<'_>, path: &Path<'_>) {
    mounts(e, container, volumes, &path.child("volumeMounts"));
    devices(e, container, volumes, &path.child("volumeDevices"));
}

/// Whether an item of a list has this text there.
fn any(list: &Value, key: &str, value: &str) -> bool {
    items(list).iter().any(|item| text(field(item, key)) == value)
}

fn mounts(e: &mut Errors, container: &Value, volumes: &Volumes<'_>, path: &Path<'_>) {
    let devices = field(container, "volumeDevices");
    let mut seen = BTreeSet::new();
    for (i, mount) in items(field(container, "volumeMounts")).iter().enumerate() {
        let at = path.index(i);
        let (name, target) = (text(field(mount, "name")), text(field(mount, "mountPath")));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        }
        if !volumes.contains_key(name) {
            e.not_found(&at.child("name"), &name.into());
        }
        if target.is_empty() {
            e.required(&at.child("mountPath"), "");
        }
        if !seen.insert(target) {
            e.invalid(&at.child("mountPath"), &target.into(), "must be unique");
        }
        if any(devices, "name", name) {
            e.invalid(&at.child("name"), &name.into(), "must not already exist in volumeDevices");
        }
        if any(devices, "devicePath", target) {
            e.invalid(&at.child("mountPath"), &target.into(), "must not already exist as a path in volumeDevices");
        }
        let of_image = volumes.get(name).is_some_and(|volume| !field(volume, "image").is_null());
        for key in ["subPath", "subPathExpr"].into_iter().filter(|key| of_image && !text(field(mount, key)).is_empty()) {
            e.invalid(&at.child(key), field(mount, key), "not allowed in image volume sources");
        }
        below(e, mount, path, &at);
        propagation(e, mount, container, &path.child("mountPropagation"));
        recursive_read_only(e, mount, &path.child("recursiveReadOnly"));
    }
}

/// What part of a volume is mounted. Kubernetes leaves the index out of some of these paths.
fn below(e: &mut Errors, mount: &Value, list: &Path<'_>, path: &Path<'_>) {
    let (plain, expanded) = (text(field(mount, "subPath")), text(field(mount, "subPathExpr")));
    local_path(e, plain, &list.child("subPath"));
    if !expanded.is_empty() && !plain.is_empty() {
        e.invalid(&path.child("subPathExpr"), &expanded.into(), "subPathExpr and subPath are mutually exclusive");
    }
    local_path(e, expanded, &list.child("subPathExpr"));
}

fn propagation(e: &mut Errors, mount: &Value, container: &Value, path: &Path<'_>) {
    let mode = field(mount, "mountPropagation");
    e.one_of_if_any(path, mode, &["Bidirectional", "HostToContainer", "None"]);
    if text(mode) == "Bidirectional" && deep(container, &["securityContext", "privileged"]) != &Value::Bool(true) {
        e.forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(e: &mut Errors, mount: &Value, path: &Path<'_>) {
    let mode = field(mount, "recursiveReadOnly");
    e.one_of_if_any(path, mode, &["Disabled", "Enabled", "IfPossible"]);
    if !matches!(text(mode), "Enabled" | "IfPossible") {
        return;
    }
    if field(mount, "readOnly") != &Value::Bool(true) {
        e.forbidden(path, "may only be specified when readOnly is true");
    }
    if !matches!(text(field(mount, "mountPropagation")), "" | "None") {
        e.forbidden(path, "may only be specified when mountPropagation is None or not specified");
    }
}

fn devices(e: &mut Errors, container: &Value, volumes: &Volumes<'_>, path: &Path<'_>) {
    let mounts = field(container, "volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in items(field(container, "volumeDevices")).iter().enumerate() {
        let at = path.index(i);
        let (name, target) = (text(field(device, "name")), text(field(device, "devicePath")));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        } else if !names.insert(name) {
            e.invalid(&at.child("name"), &name.into(), "must be unique");
        }
        match volumes.get(name) {
            Some(volume) if field(volume, "persistentVolumeClaim").is_null() && field(volume, "ephemeral").is_null() => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                e.invalid(&at.child("name"), &name.into(), detail);
            }
            Some(_) => {}
            None => e.not_found(&at.child("name"), &name.into()),
        }
        if target.is_empty() {
            e.required(&at.child("devicePath"), "");
        }
        if paths.contains(target) {
            e.invalid(&at.child("devicePath"), &target.into(), "must be unique");
        }
        if target.split('/').any(|part| part == "..") {
            e.invalid(&at.child("devicePath"), &target.into(), "can not contain backsteps ('..')");
        } else {
            paths.insert(target);
        }
        if any(mounts, "name", name) {
            e.invalid(&at.child("name"), &name.into(), "must not already exist in volumeMounts");
        }
        if any(mounts, "mountPath", target) {
            e.invalid(&at.child("devicePath"), &target.into(), "must not already exist as a path in volumeMounts");
        }
    }
}
