//! Whether a node takes on a pod that was bound to it. The scheduler has asked the same before; this is the last word.

use object::scheduling::{
    Effect, HostPort, MatchNode, NodeFields, NodeSelector, ResourceList, Taint, total_requests, untolerated,
};
use serde::Deserialize;

use crate::io::Config;
use crate::node_state::NodeState;
use crate::pod::{Pod, Quantities};

/// Why a pod is refused: `status.reason` and the text of its event. `status.message` puts `Pod was rejected: ` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub reason: String,
    pub message: String,
}

/// What a pod asks of the node.
pub(crate) fn requests(pod: &Pod) -> ResourceList {
    let spec = &pod.spec;
    total_requests(
        spec.containers.iter().map(|c| integers(&c.resources.requests)),
        spec.init_containers.iter().map(|c| (integers(&c.resources.requests), c.is_sidecar())),
        None,
        &integers(&spec.overhead),
    )
}

pub(crate) fn integers(amounts: &Quantities) -> ResourceList {
    let integer = |name: &str, q: &object::Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
    amounts.iter().map(|(name, q)| (name.clone(), integer(name, q))).collect()
}

/// Refuses what does not fit beside `others`.
pub(crate) fn admit<'a>(
    pod: &Pod,
    others: impl Iterator<Item = (&'a Pod, &'a ResourceList)>,
    config: &Config,
    node: &NodeState,
) -> Result<(), Rejection> {
    let mut used = ResourceList::new();
    let mut ports_taken = false;
    let mut count = 0i64;
    let wanted_ports: Vec<HostPort> = host_ports(pod).collect();
    for (other, requests) in others {
        count += 1;
        ports_taken |=
            !wanted_ports.is_empty() && host_ports(other).any(|taken| wanted_ports.iter().any(|wanted| wanted.conflicts(&taken)));
        for (name, amount) in requests {
            *used.entry(name.clone()).or_default() += amount;
        }
    }
    let has = integers(&config.allocatable);
    if let Some(pods) = has.get("pods")
        && count >= *pods
    {
        return Err(too_little("pods", 1, count, *pods));
    }
    for (name, wanted) in &requests(pod) {
        // Resources that somebody else counts on this node are not the kubelet's to refuse.
        if name.contains('/') && !has.contains_key(name) {
            continue;
        }
        let (taken, has) = (used.get(name).copied().unwrap_or(0), has.get(name).copied().unwrap_or(0));
        if *wanted > 0 && taken.saturating_add(*wanted) > has {
            return Err(too_little(name, *wanted, taken, has));
        }
    }
    if ports_taken {
        return Err(predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
    }
    placement(pod, config, node)
}

fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort> {
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.is_sidecar());
    let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|c| &c.ports);
    ports.filter_map(|p| HostPort::new(&p.protocol, &p.host_ip, p.host_port))
}

fn predicate(name: &str, why: &str) -> Rejection {
    Rejection { reason: name.to_owned(), message: format!("Predicate {name} failed: {why}") }
}

fn placement(pod: &Pod, config: &Config, node: &NodeState) -> Result<(), Rejection> {
    let fields = NodeFields { name: &config.node_name, labels: &node.labels };
    let selected = pod.spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let wanted = NodeSelector::required_of(&pod.spec.affinity).is_none_or(|selector| selector.matches(fields));
    // Before the Node object is known there is nothing to compare with.
    let unknown = node.labels.is_empty();
    if !(unknown || selected && wanted) {
        return Err(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    let taints: Vec<Taint> = config.taints.iter().filter_map(|t| Taint::deserialize(t).ok()).collect();
    match untolerated(&taints, &pod.spec.tolerations, &[Effect::NoExecute]) {
        Some(_) => Err(predicate("TaintToleration", "node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

pub(crate) fn too_little(resource: &str, requested: i64, used: i64, capacity: i64) -> Rejection {
    Rejection {
        reason: format!("OutOf{resource}"),
        message: format!(
            "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}
