//! ImageLocality: nodes that have the pod's images already are better, by the size of what need not be pulled.

use std::collections::BTreeMap;

use super::MAX_SCORE;
use crate::cache::Cache;
use crate::pod_info::Template;

const MEGABYTE: i64 = 1024 * 1024;
/// Images smaller than this do not count.
const MIN: i64 = 23 * MEGABYTE;
/// Per container, more than this does not count.
const MAX_PER_CONTAINER: i64 = 1000 * MEGABYTE;

/// Where the pod's images are.
pub(super) struct Images<'a> {
    nodes_with: Vec<&'a BTreeMap<u32, i64>>,
    all: i64,
    wanted: i64,
}

impl<'a> Images<'a> {
    /// Looks the pod's images up.
    pub fn of(pod: &Template, cache: &'a Cache, all_nodes: u32) -> Self {
        Images {
            nodes_with: pod.images.iter().filter_map(|image| cache.image(image)).collect(),
            all: i64::from(all_nodes.max(1)),
            wanted: pod.images.len() as i64,
        }
    }

    /// Whether no node has any of them.
    pub fn is_empty(&self) -> bool {
        self.nodes_with.is_empty()
    }

    /// The sum of the sizes of the images that are here, each by the share of nodes that have it: what only one node has
    /// must not draw every pod there.
    pub fn score(&self, slot: u32) -> i64 {
        let size = |nodes: &&BTreeMap<u32, i64>| {
            let here = i128::from(*nodes.get(&slot)?);
            Some((here * nodes.len() as i128 / i128::from(self.all)) as i64)
        };
        let sum: i64 = self.nodes_with.iter().filter_map(size).sum();
        let max = (MAX_PER_CONTAINER * self.wanted).max(MIN + 1);
        MAX_SCORE * (sum.clamp(MIN, max) - MIN) / (max - MIN)
    }
}
