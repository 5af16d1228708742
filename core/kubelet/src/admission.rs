//! Whether a node takes on a pod that was bound to it. The scheduler has asked the same before; this is the last word.

use object::scheduling::{Effect, MatchNode, NodeFields, NodeSelector, ResourceList, Taint, total_requests, untolerated};
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

fn integers(amounts: &Quantities) -> ResourceList {
    let integer = |name: &str, q: &object::Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
    amounts.iter().map(|(name, q)| (name.clone(), integer(name, q))).collect()
}

/// Refuses what does not fit beside `others`.
pub(crate) fn admit<'a>(
    wanted: &ResourceList,
    pod: &Pod,
    others: impl Iterator<Item = &'a ResourceList>,
    config: &Config,
    node: &NodeState,
) -> Result<(), Rejection> {
    let mut used = ResourceList::new();
    let mut count = 0i64;
    for (name, amount) in others.inspect(|_| count += 1).flatten() {
        *used.entry(name.clone()).or_default() += amount;
    }
    let has = integers(&config.allocatable);
    if let Some(pods) = has.get("pods")
        && count >= *pods
    {
        return Err(too_little("pods", 1, count, *pods));
    }
    for (name, wanted) in wanted {
        let (taken, has) = (used.get(name).copied().unwrap_or(0), has.get(name).copied().unwrap_or(0));
        if *wanted > 0 && taken.saturating_add(*wanted) > has {
            return Err(too_little(name, *wanted, taken, has));
        }
    }
    placement(pod, config, node)
}

fn placement(pod: &Pod, config: &Config, node: &NodeState) -> Result<(), Rejection> {
    let predicate =
        |name: &str, why: &str| Rejection { reason: name.to_owned(), message: format!("Predicate {name} failed: {why}") };
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

fn too_little(resource: &str, requested: i64, used: i64, capacity: i64) -> Rejection {
    Rejection {
        reason: format!("OutOf{resource}"),
        message: format!(
            "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}
