//! Topology keys and the domains they part nodes into, as numbers: what a plugin asks for each node costs an index, not a
//! search for text.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A node label that is used as a topology key.
pub(crate) type KeyId = u32;

/// A domain of one key.
pub(crate) type DomainId = u32;

/// A node without the label is in no domain.
pub(crate) const NO_DOMAIN: DomainId = u32::MAX;

/// One topology key.
#[derive(Debug)]
struct Topology {
    key: Arc<str>,
    values: BTreeMap<String, DomainId>,
    /// The domain of each node, by slot.
    of: Vec<DomainId>,
}

/// All topology keys that anybody has asked for.
#[derive(Debug, Default)]
pub(crate) struct Topologies {
    known: Vec<Topology>,
    by_key: BTreeMap<Arc<str>, KeyId>,
}

impl Topologies {
    /// The number of a key; `nodes` gives the labels of each node by slot, in case it is new.
    pub fn key<'a>(&mut self, key: &str, nodes: impl Iterator<Item = Option<&'a BTreeMap<String, String>>>) -> KeyId {
        if let Some(id) = self.by_key.get(key) {
            return *id;
        }
        let id = self.known.len() as KeyId;
        let key: Arc<str> = key.into();
        let mut topology = Topology { key: key.clone(), values: BTreeMap::new(), of: Vec::new() };
        for (slot, labels) in (0..).zip(nodes) {
            topology.set(slot, labels);
        }
        self.known.push(topology);
        self.by_key.insert(key, id);
        id
    }

    /// Whether anybody has asked for a key.
    pub fn is_key(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    /// The domain of a node.
    pub fn domain(&self, key: KeyId, slot: u32) -> DomainId {
        self.of(key).get(slot as usize).copied().unwrap_or(NO_DOMAIN)
    }

    /// The domains of all nodes, by slot.
    pub fn of(&self, key: KeyId) -> &[DomainId] {
        self.known.get(key as usize).map_or(&[], |topology| &topology.of)
    }

    /// A node's labels are others now, or (with `None`) the node is gone.
    pub fn set(&mut self, slot: u32, labels: Option<&BTreeMap<String, String>>) {
        for topology in &mut self.known {
            topology.set(slot, labels);
        }
    }
}

impl Topology {
    fn set(&mut self, slot: u32, labels: Option<&BTreeMap<String, String>>) {
        let slot = slot as usize;
        if self.of.len() <= slot {
            self.of.resize(slot + 1, NO_DOMAIN);
        }
        let domain = match labels.and_then(|labels| labels.get(&*self.key)) {
            None => NO_DOMAIN,
            Some(value) => match self.values.get(value) {
                Some(domain) => *domain,
                None => {
                    let next = self.values.len() as DomainId;
                    self.values.insert(value.clone(), next);
                    next
                }
            },
        };
        if let Some(of) = self.of.get_mut(slot) {
            *of = domain;
        }
    }
}
