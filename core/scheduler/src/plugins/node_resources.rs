//! NodeResourcesFit and NodeResourcesBalancedAllocation: what a pod asks for must be free; emptier and more evenly used nodes
//! are better.

use object::scheduling::ResourceList;

use super::{Plugin, Rejection};
use crate::config::Scoring;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

pub(super) fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let mut reasons = Vec::new();
    let mut hopeless = false;
    let pods = node.allocatable.get("pods").copied().unwrap_or(0);
    if node.pods.len() as i64 + 1 > pods {
        reasons.push("Too many pods".to_owned());
    }
    for (name, wanted) in pod.requests.iter().filter(|(_, wanted)| **wanted > 0) {
        let has = node.allocatable.get(name).copied().unwrap_or(0);
        let used = node.requested.get(name).copied().unwrap_or(0);
        if *wanted > has - used {
            reasons.push(format!("Insufficient {name}"));
            // More than the whole node: no departure helps.
            hopeless = hopeless || *wanted > has;
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Rejection { plugin: Plugin::NodeResourcesFit, reasons, resolvable: !hopeless })
}

/// Whether the node would be large enough if nothing ran on it.
pub(super) fn could_hold(pod: &PodInfo, node: &NodeInfo) -> bool {
    let has = |name: &str| node.allocatable.get(name).copied().unwrap_or(0);
    has("pods") > 0 && pod.requests.iter().all(|(name, wanted)| *wanted <= has(name))
}

/// How good the use of the node's resources would be.
pub(super) fn score(pod: &PodInfo, node: &NodeInfo, scoring: &Scoring) -> i64 {
    scoring.score(|name| {
        let has = node.allocatable.get(name).copied().unwrap_or(0);
        let asked = |list: &ResourceList| list.get(name).copied().unwrap_or(0);
        let used = match name {
            "cpu" => node.scored_cpu + pod.scored_cpu,
            "memory" => node.scored_memory + pod.scored_memory,
            // What a pod does not ask for does not speak for or against a node.
            _ if asked(&pod.requests) == 0 => return (0, 0),
            _ => asked(&node.requested) + asked(&pod.requests),
        };
        (used, has)
    })
}

/// How evenly cpu and memory would be used: 100 less half the difference of their shares, in percent.
pub(super) fn balanced_allocation(pod: &PodInfo, node: &NodeInfo) -> i64 {
    // Thousandths, so that integers do.
    let share = |name: &str| {
        let has = node.allocatable.get(name).copied().unwrap_or(0);
        let used = node.requested.get(name).copied().unwrap_or(0) + pod.requests.get(name).copied().unwrap_or(0);
        if has <= 0 { 0 } else { (i128::from(used) * 10_000 / i128::from(has)).min(10_000) as i64 }
    };
    if !(pod.requests.contains_key("cpu") || pod.requests.contains_key("memory")) {
        // A pod that asks for nothing balances nothing.
        return 0;
    }
    let apart = (share("cpu") - share("memory")).abs() / 2;
    (10_000 - apart) / 100
}
