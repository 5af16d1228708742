//! NodeResourcesFit and NodeResourcesBalancedAllocation: what a pod asks for must be free; emptier and more evenly used nodes
//! are better, or as the profile has it.

use super::{Plugin, Reason, Rejection};
use crate::config::{Profile, Scoring};
use crate::node_info::{CPU, MEMORY, NodeInfo, PODS, ResourceId, Resources};
use crate::pod_info::Template;

/// More resources than this are not told apart in a rejection.
const MAX_TOLD: u32 = 62;

/// What a pod asks for, less what the profile ignores.
pub(super) fn asked(requests: &[(ResourceId, i64)], profile: &Profile, resources: &Resources) -> Vec<(ResourceId, i64)> {
    let counts = |id: ResourceId| !profile.ignores_resource(resources.name(id));
    requests.iter().copied().filter(|(id, amount)| *amount > 0 && counts(*id)).collect()
}

pub(super) fn filter(asked: &[(ResourceId, i64)], node: &NodeInfo) -> Result<(), Rejection> {
    let (mut short, mut hopeless) = (0u64, false);
    if node.pods.len() as i64 + 1 > node.allocatable.get(PODS) {
        short |= 1 << 63;
    }
    for (id, wanted) in asked {
        let has = node.allocatable.get(*id);
        if *wanted > has - node.requested.get(*id) {
            short |= 1 << (*id).min(MAX_TOLD);
            // More than the whole node: no departure helps.
            hopeless |= *wanted > has;
        }
    }
    if short == 0 {
        return Ok(());
    }
    Err(Rejection { plugin: Plugin::NodeResourcesFit, reason: Reason::Resources(short), resolvable: !hopeless })
}

/// The words for what is short.
pub(super) fn reasons(short: u64, resources: &Resources) -> Vec<String> {
    let too_many = (short & (1 << 63) != 0).then(|| "Too many pods".to_owned());
    let insufficient =
        (0..=MAX_TOLD).filter(|id| short & (1 << id) != 0).map(|id| format!("Insufficient {}", resources.name(id)));
    too_many.into_iter().chain(insufficient).collect()
}

/// Whether the node would be large enough if nothing ran on it.
pub(super) fn could_hold(asked: &[(ResourceId, i64)], node: &NodeInfo) -> bool {
    node.allocatable.get(PODS) > 0 && asked.iter().all(|(id, wanted)| *wanted <= node.allocatable.get(*id))
}

/// What of a resource would be used on a node, and what it has. What a pod does not ask for does not speak for or against a
/// node, except for what every pod uses.
fn share(pod: &Template, requests: &[(ResourceId, i64)], node: &NodeInfo, id: ResourceId, stated: bool) -> Option<(i64, i64)> {
    let has = node.allocatable.get(id);
    let asked = requests.iter().find(|(other, _)| *other == id).map_or(0, |(_, amount)| *amount);
    let used = match id {
        CPU if !stated => node.scored.0 + pod.scored.0,
        MEMORY if !stated => node.scored.1 + pod.scored.1,
        _ if id > PODS && asked == 0 => return None,
        _ => node.requested.get(id) + asked,
    };
    (has > 0).then_some((used, has))
}

/// How good the use of the node's resources would be.
pub(super) fn score(
    pod: &Template,
    requests: &[(ResourceId, i64)],
    node: &NodeInfo,
    (scoring, ranked): (&Scoring, &[(ResourceId, i64)]),
) -> i64 {
    scoring.score(ranked, |id| share(pod, requests, node, id, false))
}

/// Whether the pod asks for any of the resources whose balance counts.
pub(super) fn balances(requests: &[(ResourceId, i64)], counted: &[(ResourceId, i64)]) -> bool {
    counted.iter().any(|(id, _)| requests.iter().any(|(other, amount)| other == id && *amount > 0))
}

/// How evenly the resources would be used: 100 less the standard deviation of their shares, in percent. In the floating point
/// operations that Kubernetes uses; those have one exact result everywhere.
pub(super) fn balanced_allocation(
    pod: &Template,
    requests: &[(ResourceId, i64)],
    node: &NodeInfo,
    counted: &[(ResourceId, i64)],
) -> i64 {
    let (mut number, mut sum, mut squares, mut first, mut second) = (0u32, 0f64, 0f64, 0f64, 0f64);
    let fraction = |id: ResourceId| {
        let (used, has) = share(pod, requests, node, id, true)?;
        Some((used as f64 / has as f64).min(1.0))
    };
    for part in counted.iter().filter_map(|(id, _)| fraction(*id)) {
        (first, second) = if number == 0 { (part, 0.0) } else { (first, part) };
        number += 1;
        sum += part;
    }
    let deviation = match number {
        0 | 1 => 0.0,
        2 => ((first - second) / 2.0).abs(),
        _ => {
            let mean = sum / f64::from(number);
            for part in counted.iter().filter_map(|(id, _)| fraction(*id)) {
                squares += (part - mean) * (part - mean);
            }
            (squares / f64::from(number)).sqrt()
        }
    };
    ((1.0 - deviation) * 100.0) as i64
}
