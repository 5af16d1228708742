//! InterPodAffinity: pods near which a pod must be or must not be, where near means the same value of a node label.

use super::{MAX_SCORE, Plugin, Rejection};
use crate::cache::Cache;
use crate::config::Profile;
use crate::node_info::NodeInfo;
use crate::pod_info::Template;
use crate::tally::{Counted, Role, TallyId, TallyKey};
use crate::topology::{KeyId, NO_DOMAIN};

/// A tally and its topology key.
type Where = (TallyId, KeyId);

/// Where to look for the pods that the pod's terms, or the terms of others, speak of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    /// Pods that match all of the pod's affinity terms, by the key of each term.
    wanted: Vec<Where>,
    /// The pod matches its own affinity terms, so that it may be the first of its kind.
    wants_itself: bool,
    /// Pods that the pod does not want near.
    unwanted: Vec<Where>,
    /// Pods that do not want this one near.
    unwelcome: Vec<Where>,
    /// Pods that make a node more liked, each by how much.
    liked: Vec<(i64, Where)>,
}

impl Neighbours {
    /// Finds the tallies.
    pub fn of(pod: &Template, cache: &mut Cache, profile: &Profile) -> Self {
        let mut found = Neighbours::default();
        let home = cache.namespace(&pod.namespace);
        found.wants_itself = pod.affinity.iter().all(|term| term.group.selects(pod, home));
        let (tallies, world) = cache.counting();
        let mut ask = |groups: Vec<_>, key: &str| {
            let topology = tallies.key(key, world);
            (tallies.ask(TallyKey { counted: Counted::Selected(groups), topology, inclusion: None }, world), topology)
        };
        let all: Vec<_> = pod.affinity.iter().map(|term| term.group.clone()).collect();
        found.wanted = pod.affinity.iter().map(|term| ask(all.clone(), &term.topology_key)).collect();
        found.unwanted = pod.anti_affinity.iter().map(|term| ask(vec![term.group.clone()], &term.topology_key)).collect();
        for (weight, term) in &pod.preferred_pods {
            found.liked.push((*weight, ask(vec![term.group.clone()], &term.topology_key)));
        }
        found.find_holders(pod, cache, profile);
        found
    }

    /// Finds the terms of others that speak of this pod.
    fn find_holders(&mut self, pod: &Template, cache: &Cache, profile: &Profile) {
        let home = cache.namespace(&pod.namespace);
        for (id, tally) in cache.tallies.holders() {
            let Counted::Holders(role, term) = &tally.key.counted else { continue };
            let at = (id, tally.key.topology);
            let weight = match role {
                Role::AntiAffinity => None,
                Role::Affinity if profile.hard_affinity_weight == 0 => continue,
                Role::Affinity => Some(profile.hard_affinity_weight),
                Role::Preferred(_) if profile.ignores_others_preferences => continue,
                Role::Preferred(weight) => Some(*weight),
            };
            if term.group.selects(pod, home) {
                match weight {
                    None => self.unwelcome.push(at),
                    Some(weight) => self.liked.push((weight, at)),
                }
            }
        }
    }

    /// Whether they can rule out any node.
    pub fn rule_out(&self) -> bool {
        !(self.wanted.is_empty() && self.unwanted.is_empty() && self.unwelcome.is_empty())
    }

    /// Rules out nodes that are near the wrong pods.
    pub fn filter(&self, cache: &Cache, node: &NodeInfo) -> Result<(), Rejection> {
        let tallies = &cache.tallies;
        let domain = |key: KeyId| tallies.topologies.domain(key, node.slot);
        let has = |(id, key): &Where| tallies.get(*id).is_some_and(|tally| tally.count(domain(*key)) > 0);
        if !self.wanted.is_empty() {
            let labelled = self.wanted.iter().all(|(_, key)| domain(*key) != NO_DOMAIN);
            let nowhere = || self.wanted.iter().all(|(id, _)| tallies.get(*id).is_none_or(|tally| tally.is_empty()));
            if !(labelled && (self.wanted.iter().all(has) || (self.wants_itself && nowhere()))) {
                return Err(Rejection::unresolvable(Plugin::InterPodAffinity, "node(s) didn't match pod affinity rules"));
            }
        }
        if self.unwanted.iter().any(has) {
            return Err(Rejection::new(Plugin::InterPodAffinity, "node(s) didn't match pod anti-affinity rules"));
        }
        if self.unwelcome.iter().any(has) {
            let reason = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Err(Rejection::new(Plugin::InterPodAffinity, reason));
        }
        Ok(())
    }

    /// Whether ranking makes a difference.
    pub fn has_preferences(&self, cache: &Cache) -> bool {
        self.liked.iter().any(|(_, (id, _))| cache.tallies.get(*id).is_some_and(|tally| !tally.is_empty()))
    }

    /// How much each node is liked.
    pub fn raw(&self, cache: &Cache, nodes: &[u32]) -> Vec<i64> {
        let mut sums = vec![0; nodes.len()];
        for (weight, (id, key)) in &self.liked {
            let Some(tally) = cache.tallies.get(*id).filter(|tally| !tally.is_empty()) else { continue };
            let domains = cache.tallies.topologies.of(*key);
            for (sum, slot) in sums.iter_mut().zip(nodes) {
                let domain = domains.get(*slot as usize).copied().unwrap_or(NO_DOMAIN);
                *sum += weight * i64::from(tally.count(domain));
            }
        }
        sums
    }
}

/// From the least liked to the most liked: 0 to 100.
pub(super) fn normalized(raw: &[i64]) -> Vec<i64> {
    let (low, high) = (raw.iter().copied().min().unwrap_or(0), raw.iter().copied().max().unwrap_or(0));
    // Kubernetes divides in floating point and cuts off; so do these integers, since all are far below 2^53.
    raw.iter().map(|score| if high == low { 0 } else { (score - low) * MAX_SCORE / (high - low) }).collect()
}
