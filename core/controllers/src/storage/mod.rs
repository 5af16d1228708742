//! Storage: volumes are given to claims, made for them, grown, attached to nodes, and kept while they are used.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#lifecycle-of-a-volume-and-claim>

mod attach;
mod binder;
mod ephemeral;
mod expand;
mod protection;
mod provisioner;

use object::value::{at, list_at, str_at};
use object::{GroupResource, GroupVersionResource, Quantity, Value};
use store::View;

pub use attach::AttachDetachController;
pub use binder::VolumeBinder;
pub use ephemeral::EphemeralVolumeController;
pub use expand::VolumeExpander;
pub use protection::{PvProtectionController, PvcProtectionController, VacProtectionController};
pub use provisioner::{PROVISIONER, Provisioner};

const BOUND_BY: &str = "pv.kubernetes.io/bound-by-controller";
const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
const IS_DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

fn volumes() -> GroupVersionResource {
    apiserver::gvr("", "v1", "persistentvolumes")
}

fn claims() -> GroupVersionResource {
    apiserver::gvr("", "v1", "persistentvolumeclaims")
}

fn classes() -> GroupResource {
    GroupResource::literal("storage.k8s.io", "storageclasses")
}

fn mode_of(object: &Value) -> String {
    let mode = str_at(object, &["spec", "volumeMode"]);
    if mode.is_empty() { "Filesystem".to_owned() } else { mode.to_owned() }
}

fn quantity(value: Option<&Value>) -> Quantity {
    value.and_then(Quantity::from_json).unwrap_or_default()
}

fn strings(value: &Value, path: &[&str]) -> Vec<String> {
    list_at(value, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a volume offers.
pub struct VolumeView {
    class: String,
    attributes_class: String,
    mode: String,
    access: Vec<String>,
    capacity: Quantity,
    phase: String,
    /// Namespace, name and uid of the claim it is kept for.
    claim: Option<(String, String, String)>,
    /// Driver and handle of a CSI volume.
    csi: Option<(String, String)>,
}

impl View for VolumeView {
    fn of(volume: &Value) -> Self {
        let claim = at(volume, &["spec", "claimRef"]).filter(|claim| claim.is_object());
        let csi = at(volume, &["spec", "csi"]).filter(|csi| csi.is_object());
        let text = |value: &Value, key: &str| str_at(value, &[key]).to_owned();
        VolumeView {
            class: str_at(volume, &["spec", "storageClassName"]).to_owned(),
            attributes_class: str_at(volume, &["spec", "volumeAttributesClassName"]).to_owned(),
            mode: mode_of(volume),
            access: strings(volume, &["spec", "accessModes"]),
            capacity: quantity(at(volume, &["spec", "capacity", "storage"])),
            phase: str_at(volume, &["status", "phase"]).to_owned(),
            claim: claim.map(|claim| (text(claim, "namespace"), text(claim, "name"), text(claim, "uid"))),
            csi: csi.map(|csi| (text(csi, "driver"), text(csi, "volumeHandle"))),
        }
    }
}

/// What a claim wants.
pub struct ClaimView {
    /// Its class; `None` if it leaves that to others.
    class: Option<String>,
    attributes_class: String,
    volume: String,
    phase: String,
    completed: bool,
}

impl View for ClaimView {
    fn of(claim: &Value) -> Self {
        let beta = object::meta::annotation(claim, "volume.beta.kubernetes.io/storage-class");
        ClaimView {
            class: beta.or(at(claim, &["spec", "storageClassName"]).and_then(Value::as_str)).map(str::to_owned),
            attributes_class: str_at(claim, &["spec", "volumeAttributesClassName"]).to_owned(),
            volume: str_at(claim, &["spec", "volumeName"]).to_owned(),
            phase: str_at(claim, &["status", "phase"]).to_owned(),
            completed: object::meta::annotation(claim, COMPLETED).is_some(),
        }
    }
}

impl ClaimView {
    fn class(&self) -> &str {
        self.class.as_deref().unwrap_or_default()
    }
}

/// What a StorageClass says.
pub struct ClassView {
    provisioner: String,
    waits: bool,
    is_default: bool,
    /// What happens to its volumes.
    reclaim: String,
    expands: bool,
}

impl View for ClassView {
    fn of(class: &Value) -> Self {
        let reclaim = str_at(class, &["reclaimPolicy"]);
        ClassView {
            provisioner: str_at(class, &["provisioner"]).to_owned(),
            waits: str_at(class, &["volumeBindingMode"]) == "WaitForFirstConsumer",
            is_default: object::meta::annotation(class, IS_DEFAULT_CLASS) == Some("true"),
            reclaim: if reclaim.is_empty() { "Delete" } else { reclaim }.to_owned(),
            expands: object::value::bool_at(class, &["allowVolumeExpansion"]),
        }
    }
}

/// The claims a pod uses.
pub struct PodClaims {
    /// Their names.
    pub names: Vec<String>,
}

impl View for PodClaims {
    fn of(pod: &Value) -> Self {
        let pod_name = str_at(pod, &["metadata", "name"]);
        let volumes = list_at(pod, &["spec", "volumes"]).iter();
        let names = volumes.filter_map(|volume| match str_at(volume, &["persistentVolumeClaim", "claimName"]) {
            "" => volume.get("ephemeral").map(|_| format!("{pod_name}-{}", str_at(volume, &["name"]))),
            name => Some(name.to_owned()),
        });
        PodClaims { names: names.collect() }
    }
}
