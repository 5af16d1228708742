//! PodTopologySpread: pods of a kind must (or should) be spread evenly over the values of a node label.

use std::collections::BTreeMap;

use super::{MAX_SCORE, Plugin, Rejection, node_affinity};
use crate::cache::Cache;
use crate::node_info::NodeInfo;
use crate::pod_info::{PodInfo, SpreadConstraint};

/// Matching pods by domain, for each constraint of the pod.
#[derive(Default)]
pub(crate) struct Spread {
    constraints: Vec<Counted>,
}

struct Counted {
    constraint: SpreadConstraint,
    domains: BTreeMap<String, i64>,
}

impl Spread {
    /// Counts over the nodes that the pod's node affinity wants and that have all the labels.
    pub fn of(pod: &PodInfo, cache: &Cache) -> Self {
        if pod.spread.is_empty() {
            return Spread::default();
        }
        let counted = |constraint: &SpreadConstraint| {
            let mut domains = BTreeMap::new();
            for node in cache.nodes().filter(|node| node_affinity::wants(pod, node)) {
                let Some(value) = node.labels.get(&constraint.topology_key) else { continue };
                let here = node.pods.values().filter(|other| {
                    other.namespace == pod.namespace && !other.deleting && constraint.selector.matches(&other.labels)
                });
                *domains.entry(value.clone()).or_default() += here.count() as i64;
            }
            Counted { constraint: constraint.clone(), domains }
        };
        Spread { constraints: pod.spread.iter().map(counted).collect() }
    }

    /// Rules out nodes whose domain is too full already.
    pub fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        for Counted { constraint, domains } in self.constraints.iter().filter(|c| c.constraint.required) {
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
        self.constraints.iter().any(|c| !c.constraint.required)
    }

    /// Emptier domains are better.
    pub fn scores(&self, nodes: &[&NodeInfo]) -> Vec<i64> {
        let fullness = |node: &&NodeInfo| -> i64 {
            let soft = self.constraints.iter().filter(|c| !c.constraint.required);
            soft.map(|c| node.labels.get(&c.constraint.topology_key).and_then(|v| c.domains.get(v)).copied().unwrap_or(0)).sum()
        };
        let raw: Vec<i64> = nodes.iter().map(fullness).collect();
        let (low, high) = (raw.iter().copied().min().unwrap_or(0), raw.iter().copied().max().unwrap_or(0));
        raw.into_iter().map(|full| if high == 0 { MAX_SCORE } else { MAX_SCORE * (high + low - full) / high }).collect()
    }
}
