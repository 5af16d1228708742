//! The scheduler's view of a node and the pods on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::scheduling::{NodeFields, ResourceList, Taint, deserialize_resource_list};
use serde::Deserialize;
use store::Object;

use crate::pod_info::PodInfo;

/// A node and what it carries.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// Name.
    pub name: Arc<str>,
    /// Whether the Node object exists (pods may be bound to a node that is not there).
    pub exists: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What pods may use.
    pub allocatable: ResourceList,
    /// What the pods on it ask for.
    pub requested: ResourceList,
    /// CPU that the pods on it count for when nodes are ranked.
    pub scored_cpu: i64,
    /// Memory that the pods on it count for when nodes are ranked.
    pub scored_memory: i64,
    /// Its pods by uid.
    pub pods: BTreeMap<Arc<str>, Arc<PodInfo>>,
    /// How many of its pods take host ports.
    pub with_host_ports: u32,
    /// How many of its pods want or would like company, or would rather not have it.
    pub with_affinity: u32,
    /// How many of its pods refuse company.
    pub with_anti_affinity: u32,
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

impl NodeInfo {
    /// Takes what the Node object says; returns whether anything changed that could make room for a pod.
    pub fn set(&mut self, object: &Object) -> bool {
        let raw: RawNode = serde_json::from_slice(&object.bytes).unwrap_or_default();
        let labels = &object.meta.labels;
        let changed = !self.exists
            || self.labels != *labels
            || self.taints != raw.spec.taints
            || self.unschedulable != raw.spec.unschedulable
            || self.allocatable != raw.status.allocatable;
        self.exists = true;
        self.name = object.key.name.clone();
        self.labels = labels.clone();
        self.taints = raw.spec.taints;
        self.unschedulable = raw.spec.unschedulable;
        self.allocatable = raw.status.allocatable;
        let sizes = raw.status.images.into_iter().flat_map(|i| i.names.into_iter().map(move |name| (name, i.size_bytes)));
        self.images = sizes.collect();
        changed
    }

    /// What node selectors are asked about.
    pub fn fields(&self) -> NodeFields<'_> {
        NodeFields { name: &self.name, labels: &self.labels }
    }

    /// Puts a pod here.
    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.count(&pod, 1);
        if let Some(before) = self.pods.insert(pod.uid.clone(), pod) {
            self.count(&before, -1);
        }
    }

    /// Takes a pod away.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.count(&pod, -1);
        Some(pod)
    }

    fn count(&mut self, pod: &PodInfo, sign: i64) {
        for (name, amount) in &pod.requests {
            match self.requested.get_mut(name) {
                Some(sum) => *sum += sign * amount,
                None => {
                    self.requested.insert(name.clone(), sign * amount);
                }
            }
        }
        self.scored_cpu += sign * pod.scored_cpu;
        self.scored_memory += sign * pod.scored_memory;
        let counted = |number: u32, yes: bool| if yes { number.saturating_add_signed(sign as i32) } else { number };
        self.with_host_ports = counted(self.with_host_ports, !pod.host_ports.is_empty());
        self.with_affinity = counted(self.with_affinity, pod.has_affinity());
        self.with_anti_affinity = counted(self.with_anti_affinity, !pod.anti_affinity.is_empty());
    }
}
