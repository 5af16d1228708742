//! The plugins: each rules nodes out (Filter), ranks them (Score), or both. One module per plugin, under Kubernetes' name.

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_ports;
mod node_resources;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;
mod volume_binding;

use std::collections::BTreeSet;
use std::sync::Arc;

use store::Store;

use object::scheduling::MatchNode as _;

use crate::cache::Cache;
use crate::config::Profile;
use crate::defaults;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

use inter_pod_affinity::Neighbours;
use pod_topology_spread::Spread;
use volume_binding::Volumes;

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
    /// Claims and the reach of volumes.
    VolumeBinding,
    /// Even spreading.
    PodTopologySpread,
    /// Pods near which to be, or not.
    InterPodAffinity,
}

/// A change in the cluster that may help waiting pods.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    /// A node came, or its labels, taints or resources changed.
    Node(&'a NodeInfo),
    /// A pod left its node, or needs less of it.
    PodLeft(&'a PodInfo),
    /// A pod got a node (which others may want to be near), or other labels.
    PodPlaced(&'a PodInfo),
    /// A pod that has a node had these labels and has others now.
    PodRelabelled(&'a PodInfo),
    /// The labels of a namespace changed.
    Namespace,
    /// A claim or a volume came or changed.
    Volume,
}

impl Plugin {
    /// Whether such a change can make a node fit `pod` that this plugin ruled out.
    pub(crate) fn helped_by(self, change: Change<'_>, pod: &PodInfo, cache: &Cache) -> bool {
        let home = cache.namespace(&pod.namespace);
        match (self, change) {
            (Plugin::NodeUnschedulable, Change::Node(node)) => node_unschedulable::filter(pod, node).is_ok(),
            (Plugin::TaintToleration, Change::Node(node)) => taint_toleration::filter(pod, node).is_ok(),
            (Plugin::NodeAffinity, Change::Node(node)) => node_affinity::filter(pod, node).is_ok(),
            (Plugin::NodeResourcesFit, Change::Node(node)) => node_resources::could_hold(pod, node),
            (Plugin::NodePorts, Change::PodLeft(other)) => node_ports::conflict(pod, other),
            (Plugin::NodeResourcesFit, Change::PodLeft(_)) => true,
            (Plugin::PodTopologySpread, Change::Node(node)) => {
                pod.spread.iter().all(|c| node.labels.contains_key(&c.topology_key))
            }
            (Plugin::PodTopologySpread, Change::PodLeft(other) | Change::PodPlaced(other) | Change::PodRelabelled(other)) => {
                other.namespace == pod.namespace && pod.spread.iter().any(|c| c.selector.matches(&other.labels))
            }
            (Plugin::InterPodAffinity, Change::PodPlaced(other)) => {
                pod.affinity.iter().any(|term| term.selects(other, cache.namespace(&other.namespace)))
            }
            (Plugin::InterPodAffinity, Change::PodLeft(other) | Change::PodRelabelled(other)) => {
                let there = cache.namespace(&other.namespace);
                pod.anti_affinity.iter().any(|term| term.selects(other, there))
                    || other.anti_affinity.iter().any(|term| term.selects(pod, home))
            }
            (Plugin::InterPodAffinity, Change::Namespace) => true,
            (Plugin::NodePorts | Plugin::InterPodAffinity | Plugin::VolumeBinding, Change::Node(_)) => true,
            (Plugin::VolumeBinding, Change::Volume) => true,
            _ => false,
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

/// What preemption says of a node with nobody to push off.
pub(crate) fn no_victims() -> Rejection {
    Rejection::unresolvable(Plugin::NodeResourcesFit, "No preemption victims found for incoming pod")
}

/// Why no node fits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Each node and what rules it out.
    pub rejections: Vec<(Arc<str>, Rejection)>,
    /// What rules all of them out, whichever they are.
    pub whole: Option<String>,
}

/// What is computed once for a pod, before its nodes are looked at.
#[derive(Clone)]
pub(crate) struct Prepared {
    neighbours: Neighbours,
    spread: Spread,
    volumes: Volumes,
    named: Option<BTreeSet<String>>,
    profile: Arc<Profile>,
}

impl Prepared {
    /// Looks at the whole cluster as far as the pod's constraints need it. An error is what rules out every node.
    pub fn of(pod: &PodInfo, cache: &Cache, store: &Store, profile: &Arc<Profile>) -> Result<Self, (Plugin, String)> {
        let named = node_affinity::named(pod);
        if named.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err((Plugin::NodeAffinity, "pod affinity terms conflict".to_owned()));
        }
        Ok(Prepared {
            volumes: Volumes::of(pod, store).map_err(|why| (Plugin::VolumeBinding, why))?,
            neighbours: Neighbours::of(pod, cache, profile.hard_affinity_weight),
            spread: Spread::of(pod, &defaults::constraints(pod, store, profile), cache),
            named,
            profile: profile.clone(),
        })
    }

    /// A pod comes to a node (1) or leaves it (-1), in thought.
    pub fn count(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, cache: &Cache, sign: i64) {
        self.neighbours.count(pod, other, node, cache, sign);
        self.spread.count(pod, other, node, sign);
    }
}

/// Whether the pod can run on the node; if not, the first reason.
pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo, prepared: &Prepared) -> Result<(), Rejection> {
    if prepared.named.as_ref().is_some_and(|names| !names.contains(&*node.name)) {
        return Err(Rejection::unresolvable(Plugin::NodeAffinity, "node(s) didn't satisfy plugin(s) [NodeAffinity]"));
    }
    let profile = &prepared.profile;
    let on = |plugin: &str| profile.filters(plugin);
    let run = |plugin: &str, filter: fn(&PodInfo, &NodeInfo) -> Result<(), Rejection>| {
        if on(plugin) { filter(pod, node) } else { Ok(()) }
    };
    run("NodeUnschedulable", node_unschedulable::filter)?;
    run("TaintToleration", taint_toleration::filter)?;
    if profile.added_affinity.as_ref().is_some_and(|added| !added.matches(node.fields())) {
        return Err(Rejection::unresolvable(Plugin::NodeAffinity, "node(s) didn't match scheduler-enforced node affinity"));
    }
    run("NodeAffinity", node_affinity::filter)?;
    run("NodePorts", node_ports::filter)?;
    run("NodeResourcesFit", node_resources::filter)?;
    if on("VolumeBinding") {
        prepared.volumes.filter(node)?;
    }
    if on("PodTopologySpread") {
        prepared.spread.filter(pod, node)?;
    }
    if on("InterPodAffinity") { prepared.neighbours.filter(pod, node) } else { Ok(()) }
}

/// Whether the pod can run on the node, also when those come for whom room is being made there and who go before it.
pub(crate) fn filter_with_nominated(pod: &PodInfo, node: &NodeInfo, prepared: &Prepared, cache: &Cache) -> Result<(), Rejection> {
    let expected: Vec<&Arc<PodInfo>> = cache
        .nominated(&node.name)
        .map(|(_, other)| other)
        .filter(|other| other.uid != pod.uid && other.priority >= pod.priority && !node.pods.contains_key(&other.uid))
        .collect();
    if !expected.is_empty() {
        let (mut fuller, mut prepared) = (node.clone(), prepared.clone());
        for other in expected {
            fuller.add(other.clone());
            prepared.count(pod, other, node, cache, 1);
        }
        filter(pod, &fuller, &prepared)?;
    }
    filter(pod, node, prepared)
}

/// The total score of each node for the pod.
pub(crate) fn score(pod: &PodInfo, nodes: &[&NodeInfo], prepared: &Prepared, cache: &Cache) -> Vec<i64> {
    let mut total = vec![0i64; nodes.len()];
    let profile = &prepared.profile;
    let mut add = |plugin: &str, scores: &dyn Fn() -> Vec<i64>| {
        let weight = profile.weight(plugin);
        if weight > 0 {
            for (sum, score) in total.iter_mut().zip(scores()) {
                *sum += weight * score;
            }
        }
    };
    let each = |score: &dyn Fn(&NodeInfo) -> i64| nodes.iter().map(|node| score(node)).collect::<Vec<_>>();
    add("NodeResourcesFit", &|| each(&|node| node_resources::score(pod, node, &profile.scoring)));
    add("NodeResourcesBalancedAllocation", &|| each(&|node| node_resources::balanced_allocation(pod, node)));
    if nodes.iter().any(|node| !node.taints.is_empty()) {
        add("TaintToleration", &|| normalized(each(&|node| taint_toleration::score(pod, node)), true));
    }
    if !pod.preferred_nodes.is_empty() {
        add("NodeAffinity", &|| normalized(each(&|node| node_affinity::score(pod, node)), false));
    }
    if nodes.iter().any(|node| !node.images.is_empty()) {
        let spread = image_locality::Spread::of(pod, nodes, cache.nodes().count());
        add("ImageLocality", &|| each(&|node| spread.score(pod, node)));
    }
    if prepared.neighbours.has_preferences() {
        add("InterPodAffinity", &|| prepared.neighbours.scores(nodes));
    }
    if prepared.spread.has_preferences() {
        add("PodTopologySpread", &|| prepared.spread.scores(pod, nodes, cache));
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
