//! All nodes and the pods on them, kept up from the store's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{Key, Object};

use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::queue::Change;

/// What the scheduler knows of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    nodes: BTreeMap<Arc<str>, NodeInfo>,
    /// Where each bound pod is: node and uid.
    placed: BTreeMap<Key, (Arc<str>, Arc<str>)>,
    /// How many pods refuse company, anywhere: mostly none, and then nobody need look.
    pub with_anti_affinity: u32,
}

impl Cache {
    /// The nodes that exist, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values().filter(|node| node.exists)
    }

    /// A Node object is new, changed or (with `None`) gone; says what that may change for waiting pods.
    pub fn node_changed(&mut self, name: &Arc<str>, object: Option<&Object>) -> Option<Change> {
        match object {
            Some(object) => self.nodes.entry(name.clone()).or_default().set(object).then_some(Change::Node),
            None => {
                if let Some(node) = self.nodes.get_mut(name) {
                    node.exists = false;
                    if node.pods.is_empty() {
                        self.nodes.remove(name);
                    }
                }
                None
            }
        }
    }

    /// Puts a bound pod on its node.
    pub fn place(&mut self, key: &Key, pod: Arc<PodInfo>) {
        self.displace(key);
        self.with_anti_affinity += u32::from(!pod.anti_affinity.is_empty());
        let node: Arc<str> = pod.node_name.as_str().into();
        self.placed.insert(key.clone(), (node.clone(), pod.uid.clone()));
        self.nodes.entry(node).or_default().add(pod);
    }

    /// What is known of a bound pod.
    pub fn placed(&self, key: &Key) -> Option<&Arc<PodInfo>> {
        let (node, uid) = self.placed.get(key)?;
        self.nodes.get(node)?.pods.get(uid)
    }

    /// Takes a pod off its node; says whether it was on one.
    pub fn displace(&mut self, key: &Key) -> bool {
        let Some((node, uid)) = self.placed.remove(key) else { return false };
        let Some(info) = self.nodes.get_mut(&node) else { return false };
        if let Some(pod) = info.remove(&uid) {
            self.with_anti_affinity -= u32::from(!pod.anti_affinity.is_empty());
        }
        if !info.exists && info.pods.is_empty() {
            self.nodes.remove(&node);
        }
        true
    }
}
