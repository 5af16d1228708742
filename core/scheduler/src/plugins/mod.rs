//! The plugins: each rules nodes out (Filter), ranks them (Score), or both. One module per plugin, under Kubernetes' name.

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_ports;
mod node_resources;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;

use crate::cache::Cache;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::queue::Change;

pub(crate) use inter_pod_affinity::Neighbours;
pub(crate) use pod_topology_spread::Spread;

/// The highest score of one plugin for one node, before its weight.
pub const MAX_SCORE: i64 = 100;

/// A filter plugin, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plugin {
    /// Cordoned nodes.
    NodeUnschedulable,
    /// Taints.
    TaintToleration,
    /// Node selector and affinity.
    NodeAffinity,
    /// Ports of the node.
    NodePorts,
    /// Resources.
    NodeResourcesFit,
    /// Even spreading.
    PodTopologySpread,
    /// Pods near which to be, or not.
    InterPodAffinity,
}

impl Plugin {
    /// Whether such a change can make a node fit that this plugin ruled out.
    pub(crate) fn helped_by(self, change: Change) -> bool {
        match self {
            Plugin::NodeUnschedulable | Plugin::TaintToleration | Plugin::NodeAffinity => change == Change::Node,
            Plugin::NodePorts | Plugin::NodeResourcesFit => change != Change::PodPlaced,
            Plugin::PodTopologySpread | Plugin::InterPodAffinity => true,
        }
    }
}

/// Why a node is ruled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// By which plugin.
    pub plugin: Plugin,
    /// In Kubernetes' words; the resources plugin may have several.
    pub reasons: Vec<String>,
    /// Whether the departure of pods could change it.
    pub resolvable: bool,
}

impl Rejection {
    fn new(plugin: Plugin, reason: &str) -> Self {
        Rejection { plugin, reasons: vec![reason.to_owned()], resolvable: true }
    }

    fn unresolvable(plugin: Plugin, reason: &str) -> Self {
        Rejection { resolvable: false, ..Rejection::new(plugin, reason) }
    }
}

/// What is computed once for a pod, before its nodes are looked at.
pub(crate) struct Prepared {
    neighbours: Neighbours,
    spread: Spread,
}

impl Prepared {
    /// Looks at the whole cluster as far as the pod's constraints need it.
    pub fn of(pod: &PodInfo, cache: &Cache) -> Self {
        Prepared { neighbours: Neighbours::of(pod, cache), spread: Spread::of(pod, cache) }
    }
}

/// Whether the pod can run on the node; if not, the first reason.
pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo, prepared: &Prepared) -> Result<(), Rejection> {
    node_unschedulable::filter(pod, node)?;
    taint_toleration::filter(pod, node)?;
    node_affinity::filter(pod, node)?;
    node_ports::filter(pod, node)?;
    node_resources::filter(pod, node)?;
    prepared.spread.filter(pod, node)?;
    prepared.neighbours.filter(pod, node)
}

/// The total score of each node for the pod.
pub(crate) fn score(pod: &PodInfo, nodes: &[&NodeInfo], prepared: &Prepared, all_nodes: usize) -> Vec<i64> {
    let mut total = vec![0i64; nodes.len()];
    let mut add = |weight: i64, scores: Vec<i64>| {
        for (sum, score) in total.iter_mut().zip(scores) {
            *sum += weight * score;
        }
    };
    let each = |score: &dyn Fn(&NodeInfo) -> i64| nodes.iter().map(|node| score(node)).collect::<Vec<_>>();
    add(1, each(&|node| node_resources::least_allocated(pod, node)));
    add(1, each(&|node| node_resources::balanced_allocation(pod, node)));
    if nodes.iter().any(|node| !node.taints.is_empty()) {
        add(3, normalized(each(&|node| taint_toleration::score(pod, node)), true));
    }
    if !pod.preferred_nodes.is_empty() {
        add(2, normalized(each(&|node| node_affinity::score(pod, node)), false));
    }
    if nodes.iter().any(|node| !node.images.is_empty()) {
        let spread = image_locality::Spread::of(pod, nodes, all_nodes);
        add(1, each(&|node| spread.score(pod, node)));
    }
    if prepared.neighbours.has_preferences() {
        add(2, prepared.neighbours.scores(nodes));
    }
    if prepared.spread.has_preferences() {
        add(2, prepared.spread.scores(nodes));
    }
    total
}

/// Scores stretched so that the best is [`MAX_SCORE`], or turned round where less is better.
fn normalized(mut scores: Vec<i64>, less_is_better: bool) -> Vec<i64> {
    let most = scores.iter().copied().max().unwrap_or(0);
    for score in &mut scores {
        *score = match most {
            0 if less_is_better => MAX_SCORE,
            0 => 0,
            _ if less_is_better => MAX_SCORE - *score * MAX_SCORE / most,
            _ => *score * MAX_SCORE / most,
        };
    }
    scores
}
