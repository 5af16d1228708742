//! NodeAffinity: the nodes a pod must or would like to be on, by labels and names; also `nodeSelector`.

use object::scheduling::MatchNode;

use super::{Plugin, Rejection};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

/// Whether selector and required affinity want this node.
pub(super) fn wants(pod: &PodInfo, node: &NodeInfo) -> bool {
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    selected && pod.required_nodes.as_ref().is_none_or(|required| required.matches(node.fields()))
}

pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    if wants(pod, node) {
        return Ok(());
    }
    Err(Rejection::unresolvable(Plugin::NodeAffinity, "node(s) didn't match Pod's node affinity/selector"))
}

/// The weights of the preferences that the node fulfils.
pub(super) fn score(pod: &PodInfo, node: &NodeInfo) -> i64 {
    pod.preferred_nodes.iter().filter(|(_, term)| term.matches(node.fields())).map(|(weight, _)| weight).sum()
}
