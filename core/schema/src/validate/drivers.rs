//! Drivers of storage, what nodes know of them, and what they attach.

use object::quantity::Quantity;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, selector, sources, storage};

pub(super) fn driver(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    // One of the paths has another name in Kubernetes.
    for (key, shown) in
        [("attachRequired", "attachedRequired"), ("podInfoOnMount", "podInfoOnMount"), ("storageCapacity", "storageCapacity")]
    {
        if field(spec, key).is_null() {
            e.required(&path.child(shown), "");
        }
    }
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    e.one_of_if_any(&path.child("fsGroupPolicy"), field(spec, "fsGroupPolicy"), &policies);
    let list = path.child("tokenRequests");
    let requests = items(field(spec, "tokenRequests"));
    for (i, request) in requests.iter().enumerate() {
        let audience = text(field(request, "audience"));
        if requests.iter().take(i).any(|before| text(field(before, "audience")) == audience) {
            e.duplicate(&list.index(i).child("audience"), &audience.into());
        }
        let (seconds, at) = (field(request, "expirationSeconds"), list.index(i).to_string());
        let at = Path::root(&at);
        match seconds.as_i64() {
            Some(s) if s < 600 => {
                e.invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
            }
            Some(s) if s > 1 << 32 => {
                e.invalid(&at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
    for mode in items(field(spec, "volumeLifecycleModes")) {
        e.one_of(&path.child("volumeLifecycleModes"), mode, &["Ephemeral", "Persistent"]);
    }
}

/// `ValidateCSINode`.
pub(super) fn node(e: &mut Errors, object: &Value) {
    let (spec, drivers) = (Path::root("spec"), items(deep(object, &["spec", "drivers"])));
    let list = spec.child("drivers");
    for (i, driver) in drivers.iter().enumerate() {
        let path = list.index(i);
        let name = text(field(driver, "name"));
        sources::driver_name(e, name, &path.child("name"));
        let id = field(driver, "nodeID");
        if text(id).is_empty() {
            e.required(&path.child("nodeID"), "");
        }
        if text(id).len() > 256 {
            e.invalid(&path.child("nodeID"), id, "must be 256 characters or less");
        }
        let allocatable = path.child("allocatable");
        e.not_negative(&allocatable.child("count"), deep(driver, &["allocatable", "count"]));
        if drivers.iter().take(i).any(|before| text(field(before, "name")) == name) {
            e.duplicate(&path.child("name"), &name.into());
        }
        let keys = items(field(driver, "topologyKeys"));
        for (i, key) in keys.iter().enumerate() {
            if text(key).is_empty() {
                e.required(&path, "");
            }
            if keys.iter().take(i).any(|before| before == key) {
                e.duplicate(&path, key);
            }
            e.name(&path, text(key), names::qualified_name);
        }
    }
}

/// `ValidateCSIStorageCapacity`.
pub(super) fn capacity(e: &mut Errors, object: &Value) {
    e.name(&Path::root("storageClassName"), text(field(object, "storageClassName")), names::dns1123_subdomain);
    selector::label_selector(e, field(object, "nodeTopology"), &Path::root("nodeTopology"));
    for key in ["capacity", "maximumVolumeSize"] {
        if let Some(size) = Quantity::from_json(field(object, key)).filter(|size| size.sign() < 0) {
            e.invalid(&Path::root(key), &size.to_string().into(), super::errors::NOT_NEGATIVE);
        }
    }
}

/// `ValidateVolumeAttachment`, and what the first stable version added to it.
pub(super) fn attachment(e: &mut Errors, object: &Value) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let attacher = text(field(spec, "attacher"));
    if attacher.is_empty() {
        e.required(&path.child("attacher"), "");
    }
    let (source, at) = (field(spec, "source"), path.child("source"));
    let name = field(source, "persistentVolumeName");
    match (field(source, "inlineVolumeSpec").is_null(), name.as_str()) {
        (true, None) => e.required(&at, ONE),
        (false, Some(_)) => e.forbidden(&at, ONE),
        (true, Some("")) => {
            e.required(&at.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
        }
        _ => {}
    }
    e.name(&path.child("nodeName"), text(field(spec, "nodeName")), names::dns1123_subdomain);
    sources::driver_name(e, attacher, &path.child("attacher"));
    if let Some(name) = name.as_str() {
        e.name(&at.child("persistentVolumeName"), name, names::dns1123_subdomain);
    }
}

/// `ValidateVolumeAttributesClass`.
pub(super) fn attributes_class(e: &mut Errors, object: &Value) {
    storage::provisioner(e, text(field(object, "driverName")), &Path::root("driverName"));
    let parameters = field(object, "parameters");
    storage::parameters(e, parameters, &Path::root("parameters"));
    if parameters.as_object().is_none_or(serde_json::Map::is_empty) {
        e.required(&Path::root("parameters"), "must contain at least one key/value pair");
    }
}
