//! InterPodAffinity: pods near which a pod must be or must not be, where near means the same value of a node label.

use std::collections::BTreeMap;

use super::{MAX_SCORE, Plugin, Rejection};
use crate::cache::Cache;
use crate::node_info::NodeInfo;
use crate::pod_info::{PodInfo, PodTerm};

/// A topology domain: label and value.
type Domain = (String, String);

/// Where the pods are that the pod's terms, or the terms of others, speak of.
#[derive(Default)]
pub(crate) struct Neighbours {
    /// For each of the pod's affinity terms, the domains with a matching pod.
    wanted: Vec<BTreeMap<Domain, u32>>,
    /// No pod anywhere matches all affinity terms, but the pod itself does: it is the first of its kind.
    first_of_its_kind: bool,
    /// Domains with a pod that the pod does not want near.
    unwanted: BTreeMap<Domain, u32>,
    /// Domains with a pod that does not want this one near.
    unwelcome: BTreeMap<Domain, u32>,
    /// Domains by how much they are liked.
    liked: BTreeMap<Domain, i64>,
}

impl Neighbours {
    /// Looks for them; costs nothing where no terms exist.
    pub fn of(pod: &PodInfo, cache: &Cache) -> Self {
        let mut found = Neighbours { wanted: vec![BTreeMap::new(); pod.affinity.len()], ..Neighbours::default() };
        let own_terms = !(pod.affinity.is_empty() && pod.anti_affinity.is_empty() && pod.preferred_pods.is_empty());
        if !own_terms && cache.with_anti_affinity == 0 {
            return found;
        }
        let mut any_match = false;
        for node in cache.nodes().filter(|node| own_terms || node.with_anti_affinity > 0) {
            for other in node.pods.values().filter(|other| !other.ended) {
                let all = !pod.affinity.is_empty() && pod.affinity.iter().all(|term| term.selects(other));
                for (term, domains) in pod.affinity.iter().zip(&mut found.wanted) {
                    if all && let Some(domain) = domain(term, node) {
                        any_match = true;
                        *domains.entry(domain).or_default() += 1;
                    }
                }
                for domain in pod.anti_affinity.iter().filter(|t| t.selects(other)).filter_map(|t| domain(t, node)) {
                    *found.unwanted.entry(domain).or_default() += 1;
                }
                for domain in other.anti_affinity.iter().filter(|t| t.selects(pod)).filter_map(|t| domain(t, node)) {
                    *found.unwelcome.entry(domain).or_default() += 1;
                }
                for (weight, term) in pod.preferred_pods.iter().filter(|(_, term)| term.selects(other)) {
                    if let Some(domain) = domain(term, node) {
                        *found.liked.entry(domain).or_default() += weight;
                    }
                }
            }
        }
        found.first_of_its_kind = !any_match && pod.affinity.iter().all(|term| term.selects(pod));
        found
    }

    /// Rules out nodes that are near the wrong pods.
    pub fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
        for (term, domains) in pod.affinity.iter().zip(&self.wanted) {
            let here = domain(term, node);
            let near = here.as_ref().is_some_and(|domain| domains.contains_key(domain));
            let begins = self.first_of_its_kind && here.is_some();
            if !(near || begins) {
                return Err(Rejection::unresolvable(Plugin::InterPodAffinity, "node(s) didn't match pod affinity rules"));
            }
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

fn domain(term: &PodTerm, node: &NodeInfo) -> Option<Domain> {
    Some((term.topology_key.clone(), node.labels.get(&term.topology_key)?.clone()))
}
