//! PodTopologySpread: pods of a kind must (or should) be spread evenly over the values of a node label.

use std::collections::{BTreeMap, BTreeSet};

use object::scheduling::{Effect, untolerated};

use super::{MAX_SCORE, Plugin, Rejection, node_affinity};
use crate::cache::Cache;
use crate::node_info::NodeInfo;
use crate::pod_info::{PodInfo, SpreadConstraint};

const HOSTNAME: &str = "kubernetes.io/hostname";

/// Matching pods by domain, for each hard constraint of the pod; and the soft constraints.
#[derive(Clone, Default)]
pub(crate) struct Spread {
    hard: Vec<Counted>,
    soft: Vec<SpreadConstraint>,
    /// Nodes without one of the labels do not count; not so with constraints that nobody asked for.
    all_labels: bool,
}

#[derive(Clone)]
struct Counted {
    constraint: SpreadConstraint,
    domains: BTreeMap<String, i64>,
}

/// Whether the policies of a constraint let a node count.
fn included(constraint: &SpreadConstraint, pod: &PodInfo, node: &NodeInfo) -> bool {
    let hard = [Effect::NoSchedule, Effect::NoExecute];
    (!constraint.honors_affinity || node_affinity::wants(pod, node))
        && (!constraint.honors_taints || untolerated(&node.taints, &pod.tolerations, &hard).is_none())
}

fn counts(constraint: &SpreadConstraint, pod: &PodInfo, other: &PodInfo) -> bool {
    other.namespace == pod.namespace && !other.deleting && constraint.selector.matches(&other.labels)
}

fn count(constraint: &SpreadConstraint, pod: &PodInfo, node: &NodeInfo) -> i64 {
    node.pods.values().filter(|other| counts(constraint, pod, other)).count() as i64
}

impl Spread {
    /// Counts over the nodes that have the labels of all hard constraints. `defaults` are the constraints of a pod that has none.
    pub fn of(pod: &PodInfo, defaults: &[SpreadConstraint], cache: &Cache) -> Self {
        let all = if pod.spread.is_empty() { defaults } else { &pod.spread };
        let (hard, soft): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|c| c.required);
        let has_all = |node: &&NodeInfo| hard.iter().all(|c| node.labels.contains_key(&c.topology_key));
        let counted = |constraint: &SpreadConstraint| {
            let mut domains = BTreeMap::new();
            for node in cache.nodes().filter(has_all).filter(|node| included(constraint, pod, node)) {
                let Some(value) = node.labels.get(&constraint.topology_key) else { continue };
                *domains.entry(value.clone()).or_default() += count(constraint, pod, node);
            }
            Counted { constraint: constraint.clone(), domains }
        };
        Spread { hard: hard.iter().map(counted).collect(), soft, all_labels: !pod.spread.is_empty() }
    }

    /// A pod comes to a node (1) or leaves it (-1).
    pub fn count(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, sign: i64) {
        if !self.hard.iter().all(|c| node.labels.contains_key(&c.constraint.topology_key)) {
            return;
        }
        for Counted { constraint, domains } in &mut self.hard {
            let domain = node.labels.get(&constraint.topology_key).and_then(|value| domains.get_mut(value));
            if let Some(domain) = domain
                && counts(constraint, pod, other)
                && included(constraint, pod, node)
            {
                *domain += sign;
            }
        }
    }

    /// Rules out nodes whose domain is too full already.
    pub fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        for Counted { constraint, domains } in &self.hard {
            let Some(value) = node.labels.get(&constraint.topology_key) else {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Rejection::unresolvable(Plugin::PodTopologySpread, reason));
            };
            let too_few = constraint.min_domains.is_some_and(|min| (domains.len() as i64) < min);
            let emptiest = if too_few { 0 } else { domains.values().copied().min().unwrap_or(0) };
            let here = domains.get(value).copied().unwrap_or(0) + i64::from(constraint.selector.matches(&pod.labels));
            if here - emptiest > constraint.max_skew {
                return Err(Rejection::new(Plugin::PodTopologySpread, "node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }

    /// Whether ranking makes a difference.
    pub fn has_preferences(&self) -> bool {
        !self.soft.is_empty()
    }

    /// Emptier domains are better; a domain weighs more where there are many.
    pub fn scores(&self, pod: &PodInfo, nodes: &[&NodeInfo], cache: &Cache) -> Vec<i64> {
        let mut raw: Vec<Option<i64>> = nodes.iter().map(|node| self.labelled(node).then_some(0)).collect();
        for constraint in &self.soft {
            let domains = self.domains(constraint, pod, nodes, cache);
            let by_node = constraint.topology_key == HOSTNAME;
            let size = if by_node { raw.iter().flatten().count() } else { domains.len() };
            let weight = ln(size as u64 + 2);
            for (node, sum) in nodes.iter().zip(&mut raw) {
                let (Some(sum), Some(value)) = (sum.as_mut(), node.labels.get(&constraint.topology_key)) else { continue };
                let here = if by_node { count(constraint, pod, node) } else { domains.get(value).copied().unwrap_or(0) };
                *sum += here * weight + (constraint.max_skew - 1) * UNIT;
            }
        }
        let whole = |sum: i64| (sum + UNIT / 2) / UNIT;
        let raw: Vec<Option<i64>> = raw.into_iter().map(|sum| sum.map(whole)).collect();
        let (low, high) = (raw.iter().flatten().min().copied().unwrap_or(0), raw.iter().flatten().max().copied().unwrap_or(0));
        let score = |full: i64| if high == 0 { MAX_SCORE } else { MAX_SCORE * (high + low - full) / high };
        raw.into_iter().map(|full| full.map_or(0, score)).collect()
    }

    fn labelled(&self, node: &NodeInfo) -> bool {
        !self.all_labels || self.soft.iter().all(|c| node.labels.contains_key(&c.topology_key))
    }

    /// Matching pods in each domain that has a candidate.
    fn domains(&self, constraint: &SpreadConstraint, pod: &PodInfo, nodes: &[&NodeInfo], cache: &Cache) -> BTreeMap<String, i64> {
        if constraint.topology_key == HOSTNAME {
            return BTreeMap::new();
        }
        let value = |node: &NodeInfo| node.labels.get(&constraint.topology_key).cloned();
        let candidates: BTreeSet<String> =
            nodes.iter().filter(|node| self.labelled(node)).filter_map(|node| value(node)).collect();
        let mut domains: BTreeMap<String, i64> = object::order::map(candidates.into_iter().map(|value| (value, 0)));
        for node in cache.nodes().filter(|node| self.labelled(node) && included(constraint, pod, node)) {
            if let Some(sum) = node.labels.get(&constraint.topology_key).and_then(|value| domains.get_mut(value)) {
                *sum += count(constraint, pod, node);
            }
        }
        domains
    }
}

/// One, in the fixed-point numbers of [`ln`].
const UNIT: i64 = 1 << 16;

/// The natural logarithm in fixed point: floating point would not give the same bits everywhere.
fn ln(number: u64) -> i64 {
    const LN_2: u64 = 45_426;
    let whole = u64::from(number.max(1).ilog2());
    // The mantissa, between 1 and 2 with 31 bits after the point; squaring it shifts out one bit of the logarithm at a time.
    let mut mantissa = (u128::from(number.max(1)) << 31 >> whole) as u64;
    let mut log = whole << 16;
    for bit in (0..16).rev() {
        mantissa = ((u128::from(mantissa) * u128::from(mantissa)) >> 31) as u64;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            log |= 1 << bit;
        }
    }
    ((log * LN_2) >> 16) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms() {
        for (number, thousandths) in [(2, 693), (3, 1098), (5, 1609), (10, 2302), (1002, 6909)] {
            let found = ln(number) * 1000 / UNIT;
            assert!((found - thousandths).abs() <= 1, "{number}: {found}");
        }
    }
}
