//! ImageLocality: nodes that have the pod's images already are better, by the size of what need not be pulled.

use std::collections::BTreeMap;

use super::MAX_SCORE;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const MEGABYTE: i64 = 1024 * 1024;
/// Images smaller than this do not count.
const MIN: i64 = 23 * MEGABYTE;
/// Per container, more than this does not count.
const MAX_PER_CONTAINER: i64 = 1000 * MEGABYTE;

/// On how many of all nodes each of the pod's images is.
pub(super) struct Spread<'a> {
    nodes_with: BTreeMap<&'a str, i64>,
    all_nodes: i64,
}

impl<'a> Spread<'a> {
    /// Counts over the nodes at hand.
    pub fn of(pod: &'a PodInfo, nodes: &[&NodeInfo], all_nodes: usize) -> Self {
        let count = |image: &str| nodes.iter().filter(|node| node.images.contains_key(image)).count() as i64;
        let nodes_with = pod.images.iter().map(|image| (image.as_str(), count(image))).collect();
        Spread { nodes_with, all_nodes: (all_nodes as i64).max(1) }
    }

    /// The sum of the sizes of the images that are here, each by the share of nodes that have it: what only one node has
    /// must not draw every pod there.
    pub fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let size = |image: &String| {
            let here = node.images.get(image)?;
            Some(here * self.nodes_with.get(image.as_str())? / self.all_nodes)
        };
        let sum: i64 = pod.images.iter().filter_map(size).sum();
        let max = MAX_PER_CONTAINER * pod.images.len() as i64;
        MAX_SCORE * (sum.clamp(MIN, max.max(MIN + 1)) - MIN) / (max.max(MIN + 1) - MIN)
    }
}
