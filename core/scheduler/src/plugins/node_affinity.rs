//! NodeAffinity: the nodes a pod must or would like to be on, by labels and names; also `nodeSelector`, and what the
//! configuration adds to it.

use std::collections::BTreeSet;

use object::scheduling::{MatchNode, NodeSelectorTerm, Operator};

use super::{Plugin, Rejection};
use crate::config::Profile;
use crate::node_info::NodeInfo;
use crate::pod_info::Template;

/// The names of the nodes that may be asked at all, where every term names nodes. Empty if the names contradict each other.
pub(super) fn named(pod: &Template) -> Option<BTreeSet<String>> {
    let terms = &pod.required_nodes.as_ref()?.node_selector_terms;
    if terms.is_empty() {
        return None;
    }
    let names = |term: &NodeSelectorTerm| -> Option<BTreeSet<String>> {
        let fields = term.match_fields.iter().filter(|r| r.key == "metadata.name" && r.operator == Operator::In);
        fields.map(|r| r.values.iter().cloned().collect()).reduce(|a: BTreeSet<String>, b| a.intersection(&b).cloned().collect())
    };
    let each: Option<Vec<BTreeSet<String>>> = terms.iter().map(names).collect();
    Some(each?.into_iter().flatten().collect())
}

/// Whether selector and required affinity want this node.
pub(super) fn wants(pod: &Template, node: &NodeInfo) -> bool {
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    selected && pod.required_nodes.as_ref().is_none_or(|required| required.matches(node.fields()))
}

pub(super) fn filter(pod: &Template, node: &NodeInfo, profile: &Profile) -> Result<(), Rejection> {
    if profile.added_affinity.as_ref().is_some_and(|added| !added.matches(node.fields())) {
        return Err(Rejection::unresolvable(Plugin::NodeAffinity, "node(s) didn't match scheduler-enforced node affinity"));
    }
    if wants(pod, node) {
        return Ok(());
    }
    Err(Rejection::unresolvable(Plugin::NodeAffinity, "node(s) didn't match Pod's node affinity/selector"))
}

/// The weights of the preferences that the node fulfils, the configuration's included.
pub(super) fn score(pod: &Template, node: &NodeInfo, profile: &Profile) -> i64 {
    let preferred = pod.preferred_nodes.iter().chain(&profile.added_preferences);
    preferred.filter(|(_, term)| term.matches(node.fields())).map(|(weight, _)| weight).sum()
}
