//! Ranking: what each score plugin says of the nodes that fit, and the sum that decides.

use super::{
    Prepared, Trial, image_locality, inter_pod_affinity, node_affinity, node_resources, pod_topology_spread, taint_toleration,
};
use crate::node_info::NodeInfo;

/// The highest score of one plugin for one node, before its weight.
pub(crate) const MAX_SCORE: i64 = 100;

/// What one plugin says of each node.
#[derive(Debug)]
pub(crate) struct Column {
    /// The plugin.
    pub plugin: &'static str,
    /// How much it counts.
    pub weight: i64,
    /// What it said.
    pub raw: Vec<i64>,
    /// That from 0 to 100.
    pub normalized: Vec<i64>,
}

impl Trial<'_> {
    /// The total score of each node.
    pub fn totals(&self, nodes: &[u32], all_nodes: u32) -> Vec<i64> {
        let mut total = vec![0i64; nodes.len()];
        for column in self.columns(nodes, all_nodes, false) {
            for (sum, score) in total.iter_mut().zip(&column.normalized) {
                *sum += column.weight * score;
            }
        }
        total
    }

    /// What each plugin says of the nodes; without `all`, only where that makes a difference.
    pub fn columns(&self, nodes: &[u32], all_nodes: u32, all: bool) -> Vec<Column> {
        let Trial { pod, prepared, cache, .. } = *self;
        let Prepared { profile, requests, .. } = prepared;
        let mut columns = Vec::with_capacity(7);
        let mut add = |plugin: &'static str, say: &dyn Fn() -> (Vec<i64>, Vec<i64>)| {
            let weight = profile.weight(plugin);
            if weight > 0 {
                let (raw, normalized) = say();
                columns.push(Column { plugin, weight, raw, normalized });
            }
        };
        let each = |score: &dyn Fn(&NodeInfo) -> i64| -> Vec<i64> {
            nodes.iter().map(|slot| cache.at(*slot).map_or(0, score)).collect()
        };
        let plain = |scores: Vec<i64>| (scores.clone(), scores);
        if all || cache.soft_taints > 0 {
            add("TaintToleration", &|| stretched(each(&|node| taint_toleration::score(pod, node)), true));
        }
        if !pod.preferred_nodes.is_empty() || !profile.added_preferences.is_empty() {
            add("NodeAffinity", &|| stretched(each(&|node| node_affinity::score(pod, node, profile)), false));
        }
        add("NodeResourcesFit", &|| {
            plain(each(&|node| node_resources::score(pod, requests, node, (&profile.scoring, &prepared.ranked))))
        });
        if prepared.spread.has_preferences() {
            add("PodTopologySpread", &|| {
                let raw = prepared.spread.raw(cache, nodes);
                let normalized = pod_topology_spread::normalized(&raw);
                (raw.into_iter().map(Option::unwrap_or_default).collect(), normalized)
            });
        }
        if prepared.neighbours.has_preferences(cache) {
            add("InterPodAffinity", &|| {
                let raw = prepared.neighbours.raw(cache, nodes);
                let normalized = inter_pod_affinity::normalized(&raw);
                (raw, normalized)
            });
        }
        if node_resources::balances(requests, &prepared.balanced) {
            add("NodeResourcesBalancedAllocation", &|| {
                plain(each(&|node| node_resources::balanced_allocation(pod, requests, node, &prepared.balanced)))
            });
        }
        let images = image_locality::Images::of(pod, cache, all_nodes);
        if all || !images.is_empty() {
            add("ImageLocality", &|| plain(nodes.iter().map(|slot| images.score(*slot)).collect()));
        }
        columns
    }
}

/// Scores stretched so that the best is [`MAX_SCORE`], or turned round where less is better; and as they were.
fn stretched(raw: Vec<i64>, less_is_better: bool) -> (Vec<i64>, Vec<i64>) {
    let most = raw.iter().copied().max().unwrap_or(0);
    let stretch = |score: &i64| match most {
        0 if less_is_better => MAX_SCORE,
        0 => 0,
        _ if less_is_better => MAX_SCORE - *score * MAX_SCORE / most,
        _ => *score * MAX_SCORE / most,
    };
    let normalized = raw.iter().map(stretch).collect();
    (raw, normalized)
}
