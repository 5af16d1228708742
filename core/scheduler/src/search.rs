//! The search for a node: filter, score, choose. It looks at the cache only, and stops when enough nodes fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::Rng;
use store::Store;

use crate::cache::Cache;
use crate::config::Profile;
use crate::defaults;
use crate::plugins::{self, Attached, Prepared, Reason, Refused, Rejection, Trial, Verdict};
use crate::pod_info::PodInfo;

/// With so many nodes or fewer, all are looked at.
const MIN_NODES_TO_FIND: u32 = 100;
/// For so many templates it is kept what was prepared.
const MAX_PREPARED: usize = 64;

/// What an attempt came to.
pub(crate) enum Attempt {
    /// A node that fits, by slot.
    Node(u32),
    /// None does.
    Nowhere(Verdict),
}

/// What was prepared for a template, and for which state of things it holds.
struct Kept {
    tallies: u64,
    defaults: u64,
    prepared: Prepared,
}

/// What the search remembers from pod to pod.
pub(crate) struct Search {
    pub rng: Rng,
    /// Where the search for nodes begins: it goes round, so that all nodes get their share.
    first_node: u32,
    kept: BTreeMap<u32, Kept>,
    /// Another number whenever the constraints of pods that state none may be others.
    pub defaults: u64,
}

/// All that an attempt looks at.
pub(crate) struct Ground {
    pub prepared: Prepared,
    pub attached: Attached,
}

impl Search {
    /// One that has seen nothing.
    pub fn new(seed: u64) -> Self {
        Search { rng: Rng::new(seed ^ 0x7363_6865_6475_6c65), first_node: 0, kept: BTreeMap::new(), defaults: 0 }
    }

    /// Everything is to be looked at anew.
    pub fn forget(&mut self) {
        self.kept.clear();
    }

    /// Prepares an attempt; an error is what rules out every node.
    pub fn prepare(
        &mut self,
        pod: &PodInfo,
        cache: &mut Cache,
        store: &Store,
        profile: &Arc<Profile>,
    ) -> Result<Ground, Refused> {
        let holds = |kept: &Kept, cache: &Cache| {
            kept.tallies == cache.tallies.generation && kept.defaults == self.defaults && kept.prepared.is_for(cache)
        };
        let prepared = match self.kept.remove(&pod.class).filter(|kept| holds(kept, cache)) {
            Some(kept) => kept.prepared,
            None => Prepared::of(pod, cache, profile, &defaults::constraints(pod, store, profile)),
        };
        let attached = match prepared.contradiction() {
            Some(why) => Err(why),
            None => Attached::of(pod, profile, store),
        };
        match attached {
            Ok(attached) => Ok(Ground { prepared, attached }),
            Err(why) => {
                self.keep(pod, prepared, cache);
                Err(why)
            }
        }
    }

    /// Keeps what was prepared for the next pod of the kind.
    pub fn keep(&mut self, pod: &PodInfo, prepared: Prepared, cache: &Cache) {
        if self.kept.len() >= MAX_PREPARED {
            self.kept.clear();
        }
        let kept = Kept { tallies: cache.tallies.generation, defaults: self.defaults, prepared };
        self.kept.insert(pod.class, kept);
    }

    /// Filters and scores.
    pub fn find(&mut self, pod: &PodInfo, ground: &Ground, cache: &mut Cache, store: &Store) -> Attempt {
        let Ground { prepared, attached } = ground;
        let with = (prepared, attached, store);
        // Where room was made for it, it goes.
        if let Some(slot) = cache.node(&pod.nominated_node).map(|node| node.slot)
            && plugins::filter_with_nominated(pod, slot, with, cache).is_ok()
        {
            return Attempt::Node(slot);
        }
        let order: Vec<u32> = cache.order().to_vec();
        let all = order.len() as u32;
        let enough = nodes_to_find(all, prepared.profile.percentage_of_nodes) as usize;
        let (mut fitting, mut rejections) = (Vec::with_capacity(enough.min(order.len())), Vec::new());
        let start = if all == 0 { 0 } else { self.first_node % all };
        let (behind, ahead) = order.split_at(start as usize);
        let mut looked = 0;
        for slot in ahead.iter().chain(behind) {
            looked += 1;
            match plugins::filter_with_nominated(pod, *slot, with, cache) {
                Ok(()) => fitting.push(*slot),
                Err(rejection) => rejections.push((*slot, rejection)),
            }
            if fitting.len() >= enough {
                break;
            }
        }
        self.first_node = if all == 0 { 0 } else { (start + looked) % all };
        match fitting.as_slice() {
            [] => Attempt::Nowhere(Verdict { rejections, whole: None }),
            [only] => Attempt::Node(*only),
            _ => {
                let trial = Trial { pod, prepared, attached, cache, store };
                Attempt::Node(self.choose(&fitting, &trial.totals(&fitting, all)))
            }
        }
    }

    /// One of the best.
    fn choose(&mut self, nodes: &[u32], scores: &[i64]) -> u32 {
        let best = scores.iter().copied().max().unwrap_or(0);
        let equals = scores.iter().filter(|score| **score == best).count() as u64;
        let chosen = self.rng.below(equals) as usize;
        let mut best_nodes = nodes.iter().zip(scores).filter(|(_, score)| **score == best);
        best_nodes.nth(chosen).map_or(0, |(slot, _)| *slot)
    }
}

/// A verdict that rules out every node for one reason.
pub(crate) fn nowhere(cache: &mut Cache, refused: &Refused) -> Verdict {
    let rejection = Rejection { plugin: refused.plugin, reason: Reason::Said("".into()), resolvable: false };
    let rejections = cache.order().iter().map(|slot| (*slot, rejection.clone())).collect();
    Verdict { rejections, whole: Some(refused.why.clone()) }
}

/// How many fitting nodes are enough: all of few, a falling share of many, as kube-scheduler has it.
fn nodes_to_find(nodes: u32, percentage: i64) -> u32 {
    if nodes < MIN_NODES_TO_FIND || percentage >= 100 {
        return nodes;
    }
    let percent = if percentage > 0 { percentage as u32 } else { 50u32.saturating_sub(nodes / 125).max(5) };
    ((u64::from(nodes) * u64::from(percent) / 100) as u32).max(MIN_NODES_TO_FIND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_nodes() {
        for (nodes, percentage, enough) in [
            (50, 0, 50),
            (100, 0, 100),
            (200, 0, 100),
            (1000, 0, 420),
            (5000, 0, 500),
            (6000, 0, 300),
            (5000, 30, 1500),
            (500, 100, 500),
        ] {
            assert_eq!(nodes_to_find(nodes, percentage), enough, "{percentage}% of {nodes}");
        }
    }
}
