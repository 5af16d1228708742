//! The scheduler's view of a pod: what many pods share ([`Template`]), and what is a pod's own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use object::LabelSelector;
use object::scheduling::{HostPort, NodeSelector, NodeSelectorTerm, ResourceList, Toleration};

/// All that placing a pod depends on but its identity. Pods made from one pod template share it, and with it everything that is
/// computed for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// What it asks of a node.
    pub requests: ResourceList,
    /// CPU and memory it counts for when nodes are ranked.
    pub scored: (i64, i64),
    /// Whether deletion was asked for.
    pub deleting: bool,
    /// Its controller: API version, kind and name.
    pub controller: Option<(String, String, String)>,
    /// Which scheduler is to place it.
    pub scheduler_name: String,
    /// Higher goes first.
    pub priority: i64,
    /// Whether it may push others off a node.
    pub preempts: bool,
    /// Names of gates that hold it back.
    pub gates: Vec<String>,
    /// Node labels it asks for.
    pub node_selector: BTreeMap<String, String>,
    /// Nodes it must be on.
    pub required_nodes: Option<NodeSelector>,
    /// Nodes it would like, with weights.
    pub preferred_nodes: Vec<(i64, NodeSelectorTerm)>,
    /// Taints it bears.
    pub tolerations: Vec<Toleration>,
    /// Ports of the node that it takes: protocol, address, port.
    pub host_ports: BTreeSet<HostPort>,
    /// Images of its containers and image volumes.
    pub images: Vec<String>,
    /// Pods it must be near.
    pub affinity: Vec<PodTerm>,
    /// Pods it must not be near.
    pub anti_affinity: Vec<PodTerm>,
    /// Pods it would like to be near (or, with negative weight, not).
    pub preferred_pods: Vec<(i64, PodTerm)>,
    /// How evenly its like must be spread.
    pub spread: Vec<SpreadConstraint>,
    /// Claims it mounts, and whether each belongs to an ephemeral volume of its own.
    pub claims: Vec<(String, bool)>,
    /// Disks it mounts without a claim.
    pub disks: Vec<Disk>,
    /// CSI drivers of its inline volumes.
    pub inline_drivers: Vec<String>,
    /// Claims on devices: the entry's name, and the claim's or the template's.
    pub devices: Vec<DeviceEntry>,
}

/// A disk that a pod mounts by its name, which others may then not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disk {
    /// Which kind, and which of that kind.
    pub id: (&'static str, String),
    /// Whether it may be shared with others that only read.
    pub read_only: bool,
}

/// One of `resourceClaims`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceEntry {
    /// The entry's name.
    pub name: String,
    /// The claim it names, if it does not come from a template.
    pub claim: Option<String>,
    /// The claim that was made from its template, once it is known.
    pub made: Option<String>,
}

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct PodInfo {
    /// What it shares with others.
    pub template: Arc<Template>,
    /// The number of its template in the cache.
    pub class: u32,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether it has ended.
    pub ended: bool,
    /// The node it is bound to, or empty.
    pub node_name: Arc<str>,
    /// The node that preemption is making room on for it.
    pub nominated_node: Arc<str>,
    /// When its kubelet took it; empty before that. As text in UTC, which orders as time does.
    pub start_time: String,
    /// Whether preemption is what ends it.
    pub preempted: bool,
    /// Placed by us; the object that says so has not been read.
    pub assumed: bool,
    /// Its spec was changed after it got its node, so that its size is also a matter of its status.
    pub resized: bool,
}

impl Deref for PodInfo {
    type Target = Template;

    fn deref(&self) -> &Template {
        &self.template
    }
}

/// Which pods a term of pod affinity speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// By their labels...
    pub selector: LabelSelector,
    /// ...in namespaces by name...
    pub namespaces: BTreeSet<String>,
    /// ...or by their labels.
    pub namespace_selector: LabelSelector,
}

impl Group {
    /// Whether `pod` is one of those; `namespace` are the labels of its namespace.
    pub fn selects(&self, pod: &Template, namespace: &BTreeMap<String, String>) -> bool {
        self.selector.matches(&pod.labels)
            && (self.namespaces.contains(&*pod.namespace) || self.namespace_selector.matches(namespace))
    }
}

/// A term of pod affinity: pods that match, in the same topology domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodTerm {
    /// Which pods.
    pub group: Group,
    /// The node label whose value names the domain.
    pub topology_key: String,
}

/// One of `topologySpreadConstraints`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpreadConstraint {
    /// By how much the fullest and the emptiest domain may differ.
    pub max_skew: i64,
    /// The node label whose value names the domain.
    pub topology_key: String,
    /// Whether a node that breaks it is ruled out (or only ranked lower).
    pub required: bool,
    /// Which pods count.
    pub selector: LabelSelector,
    /// With fewer domains, the emptiest counts as having none.
    pub min_domains: Option<i64>,
    /// Whether only nodes count that the pod's node selector and affinity want.
    pub honors_affinity: bool,
    /// Whether only nodes count whose taints the pod bears.
    pub honors_taints: bool,
}

impl Template {
    /// Whether it mounts anything that not every node can give it.
    pub fn has_volumes(&self) -> bool {
        !(self.claims.is_empty() && self.disks.is_empty() && self.inline_drivers.is_empty())
    }

    /// Whether it cares which pods are near, so that the rank of others depends on it.
    pub fn has_affinity(&self) -> bool {
        !(self.affinity.is_empty() && self.preferred_pods.is_empty())
    }
}

impl PodInfo {
    /// Whether `self` is to be spared rather than `other`: the higher priority, then the longer life.
    pub fn is_more_important(&self, other: &PodInfo) -> bool {
        // A pod that has not begun to run counts as beginning now.
        fn start(pod: &PodInfo) -> (bool, &str) {
            (pod.start_time.is_empty(), &pod.start_time)
        }
        (other.priority, start(self)) < (self.priority, start(other))
    }
}
