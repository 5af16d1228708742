//! What is read of claims, volumes, classes and storage capacities.

use std::collections::BTreeMap;

use object::scheduling::NodeSelector;
use object::value::{at, list_at, str_at};
use object::{LabelSelector, Quantity, Value};
use serde::Deserialize;
use store::{Object, View};

const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A PersistentVolumeClaim.
pub(super) struct Claim {
    pub lost: bool,
    /// The volume it names.
    pub volume: String,
    completed: bool,
    pub class: String,
    mode: String,
    pub access: Vec<String>,
    pub wanted: Quantity,
    selector: Option<LabelSelector>,
    /// The node that its volume is being made for.
    pub selected_node: String,
}

impl View for Claim {
    fn of(object: &Value) -> Self {
        let annotation = |name: &str| object::meta::annotation(object, name);
        Claim {
            lost: str_at(object, &["status", "phase"]) == "Lost",
            volume: str_at(object, &["spec", "volumeName"]).to_owned(),
            completed: annotation(COMPLETED).is_some(),
            class: str_at(object, &["spec", "storageClassName"]).to_owned(),
            mode: mode(object),
            access: texts(object, &["spec", "accessModes"]),
            wanted: quantity(at(object, &["spec", "resources", "requests", "storage"])),
            selector: at(object, &["spec", "selector"]).and_then(|selector| LabelSelector::from_json(selector).ok()),
            selected_node: annotation(SELECTED_NODE).unwrap_or_default().to_owned(),
        }
    }
}

impl Claim {
    /// Whether it has its volume for good.
    pub fn is_bound(&self) -> bool {
        !self.volume.is_empty() && self.completed
    }
}

/// Whether a claim has its volume for good; if not, the node that its volume is made for.
pub(crate) fn claim_is_bound(claim: &Object) -> Result<(), &str> {
    let view = claim.view::<Claim>();
    if view.is_bound() { Ok(()) } else { Err(&view.selected_node) }
}

/// A PersistentVolume.
pub(super) struct Volume {
    /// From which nodes it can be reached.
    pub reach: Option<NodeSelector>,
    class: String,
    mode: String,
    access: Vec<String>,
    pub capacity: Quantity,
    available: bool,
    /// Namespace, name and uid of the claim it is kept for.
    pub claim: Option<(String, String, String)>,
    /// CSI driver and handle.
    pub csi: Option<(String, String)>,
}

impl View for Volume {
    fn of(object: &Value) -> Self {
        let text = |path: &[&str]| str_at(object, path).to_owned();
        let required = at(object, &["spec", "nodeAffinity", "required"]);
        let claim = at(object, &["spec", "claimRef"]).filter(|claim| claim.is_object());
        let csi = at(object, &["spec", "csi"]).filter(|csi| csi.is_object());
        Volume {
            reach: required.and_then(|required| NodeSelector::deserialize(required).ok()),
            class: text(&["spec", "storageClassName"]),
            mode: mode(object),
            access: texts(object, &["spec", "accessModes"]),
            capacity: quantity(at(object, &["spec", "capacity", "storage"])),
            available: matches!(str_at(object, &["status", "phase"]), "" | "Available" | "Pending"),
            claim: claim.map(|_| {
                let of = |name: &str| text(&["spec", "claimRef", name]);
                (of("namespace"), of("name"), of("uid"))
            }),
            csi: csi.map(|_| (text(&["spec", "csi", "driver"]), text(&["spec", "csi", "volumeHandle"]))),
        }
    }
}

impl Volume {
    /// Whether it could serve a claim, on whatever node.
    pub fn fits(&self, wanted: &Claim, claim: &Object, labels: &BTreeMap<String, String>) -> bool {
        let kept = match &self.claim {
            Some((namespace, name, uid)) => {
                let mine = **namespace == *claim.key.namespace && **name == *claim.key.name;
                if !mine || !(uid.is_empty() || *uid == claim.meta.uid) {
                    return false;
                }
                true
            }
            None => false,
        };
        let selected = || self.available && wanted.selector.as_ref().is_none_or(|selector| selector.matches(labels));
        self.mode == wanted.mode
            && self.class == wanted.class
            && self.capacity >= wanted.wanted
            && wanted.access.iter().all(|mode| self.access.contains(mode))
            && (kept || selected())
    }
}

/// A StorageClass.
pub(super) struct Class {
    /// Volumes are bound when their first user has a node.
    pub waits: bool,
    pub provisioner: String,
    /// Terms of which a node must meet one; each a list of labels with values.
    allowed: Vec<Vec<(String, Vec<String>)>>,
}

impl View for Class {
    fn of(object: &Value) -> Self {
        let expression = |e: &Value| (str_at(e, &["key"]).to_owned(), texts(e, &["values"]));
        let term = |term: &Value| list_at(term, &["matchLabelExpressions"]).iter().map(expression).collect();
        Class {
            waits: str_at(object, &["volumeBindingMode"]) == "WaitForFirstConsumer",
            provisioner: str_at(object, &["provisioner"]).to_owned(),
            allowed: list_at(object, &["allowedTopologies"]).iter().map(term).collect(),
        }
    }
}

impl Class {
    /// Whether volumes of it can be made.
    pub fn provisions(&self) -> bool {
        !matches!(self.provisioner.as_str(), "" | "kubernetes.io/no-provisioner")
    }

    /// Whether volumes of it can be made for a node.
    pub fn allows(&self, labels: &BTreeMap<String, String>) -> bool {
        let met = |(key, values): &(String, Vec<String>)| labels.get(key).is_some_and(|value| values.contains(value));
        self.allowed.is_empty() || self.allowed.iter().any(|term| !term.is_empty() && term.iter().all(met))
    }
}

/// A CSIStorageCapacity.
pub(super) struct Capacity {
    pub class: String,
    nodes: LabelSelector,
    /// How large a volume can be.
    free: Option<Quantity>,
}

impl View for Capacity {
    fn of(object: &Value) -> Self {
        let selector = object.get("nodeTopology").map(LabelSelector::from_json);
        let free = object.get("maximumVolumeSize").or_else(|| object.get("capacity"));
        Capacity {
            class: str_at(object, &["storageClassName"]).to_owned(),
            nodes: selector.and_then(Result::ok).unwrap_or_else(LabelSelector::nothing),
            free: free.and_then(Quantity::from_json),
        }
    }
}

impl Capacity {
    /// Whether so much can be had for a node.
    pub fn has(&self, wanted: Quantity, labels: &BTreeMap<String, String>) -> bool {
        self.free.is_some_and(|free| free >= wanted) && self.nodes.matches(labels)
    }
}

/// Whether a CSI driver says how much storage is free.
pub(super) fn publishes_capacity(driver: &Object) -> bool {
    struct Publishes(bool);
    impl View for Publishes {
        fn of(object: &Value) -> Self {
            Publishes(at(object, &["spec", "storageCapacity"]).and_then(Value::as_bool).unwrap_or(false))
        }
    }
    driver.view::<Publishes>().0
}

fn texts(object: &Value, path: &[&str]) -> Vec<String> {
    list_at(object, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn mode(object: &Value) -> String {
    let mode = str_at(object, &["spec", "volumeMode"]);
    if mode.is_empty() { "Filesystem".to_owned() } else { mode.to_owned() }
}

fn quantity(value: Option<&Value>) -> Quantity {
    value.and_then(Quantity::from_json).unwrap_or_default()
}
