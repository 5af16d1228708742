//! InterPodAffinity: pods near which a pod must be or must not be, where near means the same value of a node label.

use std::collections::BTreeMap;

use super::{MAX_SCORE, Plugin, Rejection};
use crate::cache::Cache;
use crate::node_info::NodeInfo;
use crate::pod_info::{PodInfo, PodTerm};

/// A topology domain: label and value.
type Domain = (String, String);

/// How many pods speak for or against a domain. A domain without any is not there.
type Counts = BTreeMap<Domain, i64>;

/// Where the pods are that the pod's terms, or the terms of others, speak of.
#[derive(Clone, Default)]
pub(crate) struct Neighbours {
    /// Domains with pods that match all of the pod's affinity terms.
    wanted: Counts,
    /// The pod matches its own affinity terms, so that it may be the first of its kind.
    wants_itself: bool,
    /// Domains with a pod that the pod does not want near.
    unwanted: Counts,
    /// Domains with a pod that does not want this one near.
    unwelcome: Counts,
    /// Domains by how much they are liked.
    liked: Counts,
}

impl Neighbours {
    /// Looks for them; costs nothing where no terms exist. `hard_weight` is what the required affinity of a pod that is there
    /// already is worth to a pod that it wants near.
    pub fn of(pod: &PodInfo, cache: &Cache, hard_weight: i64) -> Self {
        let mut found = Neighbours::default();
        let own_terms = pod.has_affinity() || !pod.anti_affinity.is_empty();
        if !own_terms && cache.with_anti_affinity == 0 && cache.with_affinity == 0 {
            return found;
        }
        let concerned = |node: &&NodeInfo| own_terms || node.with_anti_affinity > 0 || node.with_affinity > 0;
        for node in cache.nodes().filter(concerned) {
            for other in node.pods.values() {
                found.count(pod, other, node, cache, 1);
                found.like(pod, other, node, (cache, hard_weight));
            }
        }
        let home = cache.namespace(&pod.namespace);
        found.wants_itself = pod.affinity.iter().all(|term| term.selects(pod, home));
        found
    }

    /// A pod comes to a node (1) or leaves it (-1), as far as filtering goes.
    pub fn count(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, cache: &Cache, sign: i64) {
        let there = cache.namespace(&other.namespace);
        if !pod.affinity.is_empty() && pod.affinity.iter().all(|term| term.selects(other, there)) {
            for term in &pod.affinity {
                add(&mut self.wanted, domain(term, node), sign);
            }
        }
        for term in pod.anti_affinity.iter().filter(|t| t.selects(other, there)) {
            add(&mut self.unwanted, domain(term, node), sign);
        }
        if !other.anti_affinity.is_empty() {
            let here = cache.namespace(&pod.namespace);
            for term in other.anti_affinity.iter().filter(|t| t.selects(pod, here)) {
                add(&mut self.unwelcome, domain(term, node), sign);
            }
        }
    }

    fn like(&mut self, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, (cache, hard_weight): (&Cache, i64)) {
        let there = cache.namespace(&other.namespace);
        for (weight, term) in pod.preferred_pods.iter().filter(|(_, term)| term.selects(other, there)) {
            add(&mut self.liked, domain(term, node), *weight);
        }
        if other.has_affinity() {
            let here = cache.namespace(&pod.namespace);
            for term in other.affinity.iter().filter(|t| t.selects(pod, here)) {
                add(&mut self.liked, domain(term, node), hard_weight);
            }
            for (weight, term) in other.preferred_pods.iter().filter(|(_, t)| t.selects(pod, here)) {
                add(&mut self.liked, domain(term, node), *weight);
            }
        }
    }

    /// Rules out nodes that are near the wrong pods.
    pub fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        let domains: Option<Vec<Domain>> = pod.affinity.iter().map(|term| domain(term, node)).collect();
        let near = domains.is_some_and(|domains| {
            domains.iter().all(|domain| self.wanted.contains_key(domain)) || (self.wanted.is_empty() && self.wants_itself)
        });
        if !near {
            return Err(Rejection::unresolvable(Plugin::InterPodAffinity, "node(s) didn't match pod affinity rules"));
        }
        if pod.anti_affinity.iter().filter_map(|t| domain(t, node)).any(|d| self.unwanted.contains_key(&d)) {
            return Err(Rejection::new(Plugin::InterPodAffinity, "node(s) didn't match pod anti-affinity rules"));
        }
        let unwelcome = |(key, value): &Domain| node.labels.get(key) == Some(value);
        if self.unwelcome.keys().any(unwelcome) {
            let reason = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Err(Rejection::new(Plugin::InterPodAffinity, reason));
        }
        Ok(())
    }

    /// Whether ranking makes a difference.
    pub fn has_preferences(&self) -> bool {
        !self.liked.is_empty()
    }

    /// How much each node is liked, from 0 to 100.
    pub fn scores(&self, nodes: &[&NodeInfo]) -> Vec<i64> {
        let liking = |node: &&NodeInfo| -> i64 {
            self.liked.iter().filter(|((key, value), _)| node.labels.get(key) == Some(value)).map(|(_, weight)| weight).sum()
        };
        let raw: Vec<i64> = nodes.iter().map(liking).collect();
        let (low, high) = (raw.iter().copied().min().unwrap_or(0), raw.iter().copied().max().unwrap_or(0));
        raw.into_iter().map(|score| if high == low { 0 } else { (score - low) * MAX_SCORE / (high - low) }).collect()
    }
}

fn add(counts: &mut Counts, domain: Option<Domain>, amount: i64) {
    let Some(domain) = domain else { return };
    let count = counts.entry(domain.clone()).or_default();
    *count += amount;
    if *count == 0 {
        counts.remove(&domain);
    }
}

fn domain(term: &PodTerm, node: &NodeInfo) -> Option<Domain> {
    Some((term.topology_key.clone(), node.labels.get(&term.topology_key)?.clone()))
}
