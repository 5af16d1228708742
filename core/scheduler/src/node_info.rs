//! The scheduler's view of a node and the pods on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::scheduling::{Effect, NodeFields, ResourceList, Taint, deserialize_resource_list};
use serde::Deserialize;
use store::Object;

use crate::pod_info::PodInfo;

/// The number of a resource in vectors of amounts.
pub(crate) type ResourceId = u32;

/// `cpu`, in thousandths.
pub(crate) const CPU: ResourceId = 0;
/// `memory`.
pub(crate) const MEMORY: ResourceId = 1;
/// `pods`.
pub(crate) const PODS: ResourceId = 3;

/// All resources that have been heard of.
#[derive(Debug)]
pub(crate) struct Resources {
    names: Vec<String>,
    ids: BTreeMap<String, ResourceId>,
}

impl Default for Resources {
    fn default() -> Self {
        let mut resources = Resources { names: Vec::new(), ids: BTreeMap::new() };
        for name in ["cpu", "memory", "ephemeral-storage", "pods"] {
            resources.id(name);
        }
        resources
    }
}

impl Resources {
    /// The number of a resource.
    pub fn id(&mut self, name: &str) -> ResourceId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.names.len() as ResourceId;
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// The number of a resource, if anybody has named it.
    pub fn find(&self, name: &str) -> Option<ResourceId> {
        self.ids.get(name).copied()
    }

    /// Its name.
    pub fn name(&self, id: ResourceId) -> &str {
        self.names.get(id as usize).map_or("", String::as_str)
    }

    /// A list as numbers.
    pub fn numbered(&mut self, list: &ResourceList) -> Vec<(ResourceId, i64)> {
        list.iter().map(|(name, amount)| (self.id(name), *amount)).collect()
    }
}

/// Amounts by number of the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(Vec<i64>);

impl Amounts {
    /// An amount.
    pub fn get(&self, id: ResourceId) -> i64 {
        self.0.get(id as usize).copied().unwrap_or(0)
    }

    /// Adds to an amount.
    pub fn add(&mut self, id: ResourceId, more: i64) {
        let at = id as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        if let Some(amount) = self.0.get_mut(at) {
            *amount = amount.saturating_add(more);
        }
    }
}

/// A node and what it carries.
#[derive(Debug, Default)]
pub struct NodeInfo {
    /// Name.
    pub name: Arc<str>,
    /// Its number in the cache.
    pub slot: u32,
    /// Another number whenever the object says something else.
    pub version: u32,
    /// Whether the Node object exists (pods may be bound to a node that is not there).
    pub exists: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What pods may use.
    pub(crate) allocatable: Amounts,
    /// What the pods on it ask for.
    pub(crate) requested: Amounts,
    /// CPU and memory that the pods on it count for when nodes are ranked.
    pub scored: (i64, i64),
    /// Its pods by uid.
    pub pods: BTreeMap<Arc<str>, Arc<PodInfo>>,
    /// How many pods of each template it has.
    pub classes: BTreeMap<u32, u32>,
    /// How many of its pods take host ports.
    pub with_host_ports: u32,
    /// How many of its pods have volumes that others may not be able to have.
    pub with_volumes: u32,
    /// Its images and their sizes.
    pub images: BTreeMap<String, i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawNode {
    spec: RawSpec,
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSpec {
    taints: Vec<Taint>,
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStatus {
    #[serde(deserialize_with = "deserialize_resource_list")]
    allocatable: ResourceList,
    images: Vec<RawImage>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawImage {
    names: Vec<String>,
    size_bytes: i64,
}

/// What of a Node object is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeChange {
    /// The node itself.
    pub added: bool,
    /// Labels.
    pub labels: bool,
    /// Taints, or whether it is cordoned.
    pub taints: bool,
    /// What pods may use.
    pub allocatable: bool,
    /// Images.
    pub images: bool,
}

impl NodeChange {
    /// Whether anything is new that decides about pods.
    pub fn matters(self) -> bool {
        self.added || self.labels || self.taints || self.allocatable
    }
}

/// What a Node object says.
pub(crate) struct Said {
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    unschedulable: bool,
    allocatable: Amounts,
    images: BTreeMap<String, i64>,
}

impl Said {
    /// Reads it.
    pub fn read(object: &Object, resources: &mut Resources) -> Self {
        let raw: RawNode = serde_json::from_slice(&object.bytes).unwrap_or_default();
        let mut allocatable = Amounts::default();
        for (name, amount) in &raw.status.allocatable {
            allocatable.add(resources.id(name), *amount);
        }
        let sizes = raw.status.images.into_iter().flat_map(|i| i.names.into_iter().map(move |name| (name, i.size_bytes)));
        Said {
            labels: object.meta.labels.clone(),
            taints: raw.spec.taints,
            unschedulable: raw.spec.unschedulable,
            allocatable,
            images: object::order::map(sizes),
        }
    }

    /// The labels that a node has otherwise.
    pub fn changed_labels(&self, node: &NodeInfo) -> Vec<String> {
        let differs = |key: &&String| self.labels.get(*key) != node.labels.get(*key);
        let gone = node.labels.keys().filter(|key| !self.labels.contains_key(*key));
        self.labels.keys().filter(differs).chain(gone).cloned().collect()
    }

    /// What of it a node does not know yet.
    pub fn differs(&self, node: &NodeInfo) -> NodeChange {
        NodeChange {
            added: !node.exists,
            labels: node.labels != self.labels,
            taints: node.taints != self.taints || node.unschedulable != self.unschedulable,
            allocatable: node.allocatable != self.allocatable,
            images: node.images != self.images,
        }
    }
}

impl NodeInfo {
    /// Takes what the Node object says.
    pub(crate) fn set(&mut self, said: Said) {
        self.exists = true;
        self.version = self.version.wrapping_add(1);
        self.labels = said.labels;
        self.taints = said.taints;
        self.unschedulable = said.unschedulable;
        self.allocatable = said.allocatable;
        self.images = said.images;
    }

    /// What node selectors are asked about.
    pub fn fields(&self) -> NodeFields<'_> {
        NodeFields { name: &self.name, labels: &self.labels }
    }

    /// Region and zone: nodes are visited in turns of them.
    pub fn zone(&self) -> (String, String) {
        let label = |keys: [&str; 2]| keys.iter().find_map(|key| self.labels.get(*key)).cloned().unwrap_or_default();
        (
            label(["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
            label(["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
        )
    }

    /// Whether it has taints that only make it less welcome.
    pub fn has_soft_taints(&self) -> bool {
        self.taints.iter().any(|taint| taint.effect == Effect::PreferNoSchedule)
    }

    /// Counts a pod that comes (1) or leaves (-1).
    pub(crate) fn count(&mut self, pod: &PodInfo, requests: &[(ResourceId, i64)], sign: i64) {
        for (id, amount) in requests {
            self.requested.add(*id, sign * amount);
        }
        self.scored.0 += sign * pod.scored.0;
        self.scored.1 += sign * pod.scored.1;
        let counted = |number: u32, yes: bool| if yes { number.saturating_add_signed(sign as i32) } else { number };
        self.with_host_ports = counted(self.with_host_ports, !pod.host_ports.is_empty());
        self.with_volumes = counted(self.with_volumes, pod.has_volumes());
        let number = self.classes.entry(pod.class).or_default();
        *number = number.saturating_add_signed(sign as i32);
        if *number == 0 {
            self.classes.remove(&pod.class);
        }
    }
}
