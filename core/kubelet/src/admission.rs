//! Whether a node takes on a pod that was bound to it. The scheduler has asked the same before; this is the last word.

use object::scheduling::{Effect, MatchNode, NodeFields, NodeSelector, Taint, untolerated};
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
pub(crate) fn requests(pod: &Pod) -> Quantities {
    let mut total = Quantities::new();
    for container in &pod.spec.containers {
        add(&mut total, &container.resources.requests);
    }
    let (mut sidecars, mut start) = (Quantities::new(), Quantities::new());
    for container in &pod.spec.init_containers {
        let mut moment = sidecars.clone();
        add(&mut moment, &container.resources.requests);
        if container.is_sidecar() {
            add(&mut total, &container.resources.requests);
            sidecars = moment.clone();
        }
        most(&mut start, &moment);
    }
    most(&mut total, &start);
    add(&mut total, &pod.spec.overhead);
    total
}

/// Refuses what does not fit beside `others`.
pub(crate) fn admit<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Quantities>,
    config: &Config,
    node: &NodeState,
) -> Result<(), Rejection> {
    let mut used = Quantities::new();
    let mut count = 1i64;
    for other in others {
        add(&mut used, other);
        count += 1;
    }
    if let Some(pods) = config.allocatable.get("pods").map(|q| q.value())
        && count > pods
    {
        return Err(too_little("pods", "pods", 1, count - 1, pods));
    }
    for (name, wanted) in requests(pod) {
        // What no node of ours counts (an extended resource of another node) is nothing here.
        let has = config.allocatable.get(&name);
        let number = |q: &object::Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
        let (wanted, has) = (number(&wanted), has.map_or(0, number));
        let taken = used.get(&name).map_or(0, number);
        if wanted > 0 && taken.saturating_add(wanted) > has {
            return Err(too_little(&name, &name, wanted, taken, has));
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
    if !node.labels.is_empty() && !(selected && wanted) {
        return Err(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    let taints: Vec<Taint> = config.taints.iter().filter_map(|t| Taint::deserialize(t).ok()).collect();
    match untolerated(&taints, &pod.spec.tolerations, &[Effect::NoExecute]) {
        Some(_) => Err(predicate("TaintToleration", "node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

fn too_little(reason: &str, resource: &str, requested: i64, used: i64, capacity: i64) -> Rejection {
    Rejection {
        reason: format!("OutOf{reason}"),
        message: format!(
            "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        ),
    }
}

fn add(to: &mut Quantities, more: &Quantities) {
    for (name, amount) in more {
        let sum = to.get(name).map_or_else(|| amount.clone(), |here| here.clone() + amount.clone());
        to.insert(name.clone(), sum);
    }
}

fn most(to: &mut Quantities, other: &Quantities) {
    for (name, amount) in other {
        if to.get(name).is_none_or(|here| here < amount) {
            to.insert(name.clone(), amount.clone());
        }
    }
}
