//! Queueing hints: which changes in the cluster can make a node fit a pod that a plugin ruled out. A pod is tried again for these
//! and for no others.

use super::{Plugin, node_affinity, node_ports, node_resources, node_unschedulable, taint_toleration, volumes};
use crate::cache::Cache;
use crate::config::Profile;
use crate::node_info::{NodeChange, NodeInfo};
use crate::pod_info::{PodInfo, Template};

/// A change in the cluster that may help waiting pods.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    /// A node came, or what is said of it is new; with the labels that have changed.
    Node(&'a NodeInfo, NodeChange, &'a [String]),
    /// A pod left its node.
    PodLeft(&'a PodInfo),
    /// A pod needs less of its node than it did: the first was, the second is.
    PodShrank(&'a PodInfo, &'a PodInfo),
    /// A pod got a node, which others may want to be near.
    PodPlaced(&'a PodInfo),
    /// A pod that has a node had the labels of the first and has those of the second.
    PodRelabelled(&'a PodInfo, &'a PodInfo),
    /// A pod that has a node is to go.
    PodLeaves(&'a PodInfo),
    /// The waiting pod was the first and is the second.
    Own(&'a PodInfo, &'a PodInfo),
    /// The labels of a namespace changed.
    Namespace,
    /// A claim, a volume or what they are made from came or changed.
    Volume,
    /// Devices, claims on them or their classes came, changed or went.
    Device,
}

impl Change<'_> {
    /// The plugins that can have anything to say to it.
    pub fn concerns(self) -> &'static [Plugin] {
        match self {
            Change::Node(..) => &Plugin::ALL,
            Change::PodLeft(_) => {
                const FREED: [Plugin; 6] = [
                    Plugin::NodePorts,
                    Plugin::NodeResourcesFit,
                    Plugin::VolumeRestrictions,
                    Plugin::NodeVolumeLimits,
                    Plugin::PodTopologySpread,
                    Plugin::InterPodAffinity,
                ];
                &FREED
            }
            Change::PodShrank(..) => &[Plugin::NodeResourcesFit],
            Change::PodPlaced(_) | Change::PodRelabelled(..) => &[Plugin::PodTopologySpread, Plugin::InterPodAffinity],
            Change::PodLeaves(_) => &[Plugin::PodTopologySpread],
            Change::Own(..) => &Plugin::ALL,
            Change::Namespace => &[Plugin::InterPodAffinity],
            Change::Device => &[Plugin::DynamicResources],
            Change::Volume => &[Plugin::VolumeBinding, Plugin::VolumeZone, Plugin::NodeVolumeLimits],
        }
    }

    /// Whether it can make a node fit `pod` that `plugin` ruled out.
    pub fn helps(self, plugin: Plugin, pod: &Template, profile: &Profile, cache: &Cache) -> bool {
        match (self, plugin) {
            (Change::Node(node, change, keys), _) => node_helps(plugin, pod, (node, change, keys), profile, cache),
            (Change::PodLeft(other), Plugin::NodePorts) => node_ports::conflict(pod, other),
            (Change::PodLeft(_), Plugin::NodeResourcesFit) => true,
            (Change::PodShrank(before, after), Plugin::NodeResourcesFit) => {
                let amount = |of: &PodInfo, name: &str| of.requests.get(name).copied().unwrap_or(0);
                pod.requests.keys().any(|name| amount(after, name) < amount(before, name))
            }
            (Change::PodLeft(other) | Change::PodPlaced(other) | Change::PodLeaves(other), Plugin::PodTopologySpread) => {
                counts(pod, other)
            }
            (Change::Own(before, after), Plugin::NodeResourcesFit) => {
                after.requests.len() < before.requests.len()
                    || after.requests.iter().any(|(name, amount)| before.requests.get(name).is_some_and(|had| had > amount))
            }
            (Change::Own(before, after), Plugin::TaintToleration | Plugin::NodeUnschedulable) => {
                before.tolerations != after.tolerations
            }
            (Change::Own(before, after), Plugin::NodeAffinity) => {
                before.node_selector != after.node_selector || before.required_nodes != after.required_nodes
            }
            (Change::Own(before, after), Plugin::PodTopologySpread | Plugin::InterPodAffinity) => before.labels != after.labels,
            (Change::PodRelabelled(before, after), Plugin::PodTopologySpread) => pod.spread.iter().any(|c| {
                before.namespace == pod.namespace && c.selector.matches(&before.labels) != c.selector.matches(&after.labels)
            }),
            (Change::PodPlaced(other), Plugin::InterPodAffinity) => wanted(pod, other, cache),
            (Change::PodLeft(other), Plugin::InterPodAffinity) => unwanted(pod, other, cache),
            (Change::PodRelabelled(before, after), Plugin::InterPodAffinity) => {
                (wanted(pod, after, cache) && !wanted(pod, before, cache))
                    || (unwanted(pod, before, cache) && !unwanted(pod, after, cache))
            }
            (Change::Namespace, Plugin::InterPodAffinity) => true,
            (Change::PodLeft(other), Plugin::VolumeRestrictions) => volumes::freed(pod, other),
            (Change::PodLeft(other), Plugin::NodeVolumeLimits) => other.has_volumes(),
            (Change::Volume | Change::Device, _) => true,
            (Change::Own(before, after), Plugin::DynamicResources) => before.devices != after.devices,
            _ => false,
        }
    }
}

fn node_helps(
    plugin: Plugin,
    pod: &Template,
    (node, change, keys): (&NodeInfo, NodeChange, &[String]),
    profile: &Profile,
    cache: &Cache,
) -> bool {
    match plugin {
        Plugin::NodeUnschedulable => (change.added || change.taints) && node_unschedulable::filter(pod, node).is_ok(),
        Plugin::TaintToleration => (change.added || change.taints) && taint_toleration::filter(pod, node).is_ok(),
        Plugin::NodeAffinity => (change.added || change.labels) && node_affinity::filter(pod, node, profile).is_ok(),
        Plugin::NodeName => change.added,
        Plugin::NodePorts => change.added,
        Plugin::NodeResourcesFit => {
            let requests: Vec<_> = pod.requests.iter().filter_map(|(n, a)| Some((cache.resources.find(n)?, *a))).collect();
            let known = requests.len() == pod.requests.len();
            (change.added || change.allocatable)
                && known
                && node_resources::could_hold(&node_resources::asked(&requests, profile, &cache.resources), node)
        }
        Plugin::PodTopologySpread => {
            let labelled = pod.spread.iter().all(|c| node.labels.contains_key(&c.topology_key));
            // A node that has lost a label takes a domain away that was too empty; one that is wanted now adds one.
            let asked = |key: &String| {
                let expressions =
                    pod.required_nodes.iter().flat_map(|r| &r.node_selector_terms).flat_map(|t| &t.match_expressions);
                pod.node_selector.contains_key(key) || expressions.map(|e| &e.key).any(|k| k == key)
            };
            let counts = |key: &String| pod.spread.iter().any(|c| c.topology_key == *key) || asked(key);
            (change.added && labelled)
                || (change.labels && (pod.spread.is_empty() || keys.iter().any(counts)))
                || (change.taints && pod.spread.iter().any(|c| c.honors_taints))
        }
        Plugin::InterPodAffinity => {
            let own = |key: &String| pod.affinity.iter().chain(&pod.anti_affinity).any(|term| term.topology_key == *key);
            // The terms of others may be what keeps it off.
            change.added || (change.labels && keys.iter().any(|key| own(key) || cache.tallies.topologies.is_key(key)))
        }
        Plugin::VolumeBinding | Plugin::VolumeZone | Plugin::DynamicResources => change.added || change.labels,
        Plugin::NodeVolumeLimits | Plugin::VolumeRestrictions => change.added,
    }
}

/// Whether a constraint of `pod` counts `other`.
fn counts(pod: &Template, other: &Template) -> bool {
    other.namespace == pod.namespace && pod.spread.iter().any(|c| c.selector.matches(&other.labels))
}

/// Whether `pod` must be near such as `other`.
fn wanted(pod: &Template, other: &Template, cache: &Cache) -> bool {
    let there = cache.namespace(&other.namespace);
    !pod.affinity.is_empty() && pod.affinity.iter().all(|term| term.group.selects(other, there))
}

/// Whether one of the two keeps the other away.
fn unwanted(pod: &Template, other: &Template, cache: &Cache) -> bool {
    let (home, there) = (cache.namespace(&pod.namespace), cache.namespace(&other.namespace));
    pod.anti_affinity.iter().any(|term| term.group.selects(other, there))
        || other.anti_affinity.iter().any(|term| term.group.selects(pod, home))
}
