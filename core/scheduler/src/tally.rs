//! Tallies: how many pods of some description are in each topology domain, kept up as pods come and go. Inter-pod affinity and
//! topology spread read them; nothing is counted anew for a pod.

use std::collections::BTreeMap;

use object::LabelSelector;
use object::scheduling::{Effect, MatchNode as _, NodeSelector, Toleration, untolerated};

use crate::node_info::NodeInfo;
use crate::pod_info::{Group, PodTerm, Template};
use crate::topology::{DomainId, KeyId, NO_DOMAIN};

/// The number of a tally.
pub(crate) type TallyId = u32;

/// As what a pod holds a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// It must be near such pods.
    Affinity,
    /// It must not be.
    AntiAffinity,
    /// It would like to be (or not), so much.
    Preferred(i64),
}

/// Which pods count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counted {
    /// Those that all the groups select.
    Selected(Vec<Group>),
    /// Those of a namespace that the selector selects and that are to stay.
    Alike(String, LabelSelector),
    /// Those that hold this term.
    Holders(Role, PodTerm),
}

/// On which nodes pods count, besides that the node must have the topology label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inclusion {
    /// The node has all of these labels.
    pub keys: Vec<String>,
    /// This selector and affinity want it.
    pub wanted: Option<(BTreeMap<String, String>, Option<NodeSelector>)>,
    /// These tolerations bear its hard taints.
    pub tolerations: Option<Vec<Toleration>>,
}

impl Inclusion {
    fn includes(&self, node: &NodeInfo) -> bool {
        let wanted = |(selector, required): &(BTreeMap<String, String>, Option<NodeSelector>)| {
            selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
                && required.as_ref().is_none_or(|required| required.matches(node.fields()))
        };
        let hard = [Effect::NoSchedule, Effect::NoExecute];
        self.keys.iter().all(|key| node.labels.contains_key(key))
            && self.wanted.as_ref().is_none_or(wanted)
            && self.tolerations.as_ref().is_none_or(|bears| untolerated(&node.taints, bears, &hard).is_none())
    }
}

/// What a tally counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TallyKey {
    /// Which pods.
    pub counted: Counted,
    /// By which label.
    pub topology: KeyId,
    /// On which nodes; `None` for all.
    pub inclusion: Option<Inclusion>,
}

impl TallyKey {
    /// How often a pod of this template counts; `namespace` are the labels of its namespace.
    pub fn counts(&self, pod: &Template, namespace: &BTreeMap<String, String>) -> i32 {
        match &self.counted {
            Counted::Selected(groups) => i32::from(groups.iter().all(|group| group.selects(pod, namespace))),
            Counted::Alike(home, selector) => {
                i32::from(**home == *pod.namespace && !pod.deleting && selector.matches(&pod.labels))
            }
            Counted::Holders(role, term) => held(pod).filter(|(r, t)| r == role && *t == term).count() as i32,
        }
    }
}

/// The terms that a pod holds.
pub(crate) fn held(pod: &Template) -> impl Iterator<Item = (Role, &PodTerm)> {
    let affinity = pod.affinity.iter().map(|term| (Role::Affinity, term));
    let anti = pod.anti_affinity.iter().map(|term| (Role::AntiAffinity, term));
    let preferred = pod.preferred_pods.iter().map(|(weight, term)| (Role::Preferred(*weight), term));
    affinity.chain(anti).chain(preferred)
}

/// One tally.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What it counts.
    pub key: TallyKey,
    /// Pods by domain.
    counts: Vec<i32>,
    /// Nodes that count, by domain.
    nodes: Vec<u32>,
    /// Which nodes count, by slot.
    included: Vec<bool>,
    /// How many domains with nodes have so many pods. Kept where the emptiest domain matters.
    levels: BTreeMap<i32, u32>,
    /// Domains with pods.
    positive: u32,
    /// When it was last asked for.
    pub used: u64,
}

impl Tally {
    /// One that has counted nothing.
    pub fn new(key: TallyKey) -> Self {
        Tally { key, counts: Vec::new(), nodes: Vec::new(), included: Vec::new(), levels: BTreeMap::new(), positive: 0, used: 0 }
    }

    /// Pods in a domain.
    pub fn count(&self, domain: DomainId) -> i32 {
        self.counts.get(domain as usize).copied().unwrap_or(0)
    }

    /// Whether no domain has any.
    pub fn is_empty(&self) -> bool {
        self.positive == 0
    }

    /// Pods in the emptiest domain that has nodes.
    pub fn emptiest(&self) -> Option<i32> {
        self.levels.first_key_value().map(|(count, _)| *count)
    }

    /// Domains that have nodes.
    pub fn domains(&self) -> u32 {
        self.levels.values().sum()
    }

    /// Whether a node counts.
    pub fn includes(&self, slot: u32) -> bool {
        self.included.get(slot as usize).copied().unwrap_or(false)
    }

    /// A node is there, with no pods as yet.
    pub fn enter(&mut self, node: &NodeInfo, domain: DomainId) {
        let counts = domain != NO_DOMAIN && self.key.inclusion.as_ref().is_none_or(|inclusion| inclusion.includes(node));
        if !counts {
            return;
        }
        let slot = node.slot as usize;
        if self.included.len() <= slot {
            self.included.resize(slot + 1, false);
        }
        if let Some(included) = self.included.get_mut(slot) {
            *included = true;
        }
        let at = domain as usize;
        if self.nodes.len() <= at {
            self.nodes.resize(at + 1, 0);
            self.counts.resize(at + 1, 0);
        }
        let count = self.count(domain);
        if let Some(nodes) = self.nodes.get_mut(at) {
            *nodes += 1;
            if *nodes == 1 && self.key.inclusion.is_some() {
                *self.levels.entry(count).or_default() += 1;
            }
        }
    }

    /// A node goes, or is going to be another; its pods have left.
    pub fn leave(&mut self, slot: u32, domain: DomainId) {
        if !self.includes(slot) {
            return;
        }
        if let Some(included) = self.included.get_mut(slot as usize) {
            *included = false;
        }
        let count = self.count(domain);
        if let Some(nodes) = self.nodes.get_mut(domain as usize) {
            *nodes = nodes.saturating_sub(1);
            if *nodes == 0 && self.key.inclusion.is_some() {
                drop_level(&mut self.levels, count);
            }
        }
    }

    /// Pods come to a node, or (with a negative number) leave it.
    pub fn add(&mut self, slot: u32, domain: DomainId, number: i32) {
        if !self.includes(slot) {
            return;
        }
        let Some(count) = self.counts.get_mut(domain as usize) else { return };
        let before = *count;
        *count += number;
        let after = *count;
        match (before > 0, after > 0) {
            (false, true) => self.positive += 1,
            (true, false) => self.positive = self.positive.saturating_sub(1),
            _ => {}
        }
        if self.key.inclusion.is_some() {
            drop_level(&mut self.levels, before);
            *self.levels.entry(after).or_default() += 1;
        }
    }
}

fn drop_level(levels: &mut BTreeMap<i32, u32>, count: i32) {
    if let Some(number) = levels.get_mut(&count) {
        *number -= 1;
        if *number == 0 {
            levels.remove(&count);
        }
    }
}
