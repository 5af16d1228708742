//! All nodes and the pods on them, kept up from the store's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{Key, Object};

use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

/// What the scheduler knows of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    nodes: BTreeMap<Arc<str>, NodeInfo>,
    /// Where each bound pod is: node and uid.
    placed: BTreeMap<Key, (Arc<str>, Arc<str>)>,
    /// How many pods refuse company, anywhere: mostly none, and then nobody need look.
    pub with_anti_affinity: u32,
    /// How many pods want or would like company.
    pub with_affinity: u32,
    /// Pods for which preemption makes room, by node.
    nominated: BTreeMap<Arc<str>, BTreeMap<Key, Arc<PodInfo>>>,
    nominated_at: BTreeMap<Key, Arc<str>>,
    /// Labels of namespaces.
    namespaces: BTreeMap<Arc<str>, BTreeMap<String, String>>,
    no_labels: BTreeMap<String, String>,
}

impl Cache {
    /// The nodes that exist, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.values().filter(|node| node.exists)
    }

    /// A node that exists.
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.get(name).filter(|node| node.exists)
    }

    /// The labels of a namespace.
    pub fn namespace(&self, name: &str) -> &BTreeMap<String, String> {
        self.namespaces.get(name).unwrap_or(&self.no_labels)
    }

    /// A namespace is new, changed or gone; says whether its labels are others now.
    pub fn namespace_changed(&mut self, name: &Arc<str>, object: Option<&Object>) -> bool {
        match object {
            Some(object) => {
                let labels = object.meta.labels.clone();
                self.namespaces.insert(name.clone(), labels.clone()).is_none_or(|before| before != labels)
            }
            None => {
                self.namespaces.remove(name);
                false
            }
        }
    }

    /// The pods for which room is being made on a node.
    pub fn nominated(&self, node: &str) -> impl Iterator<Item = (&Key, &Arc<PodInfo>)> {
        self.nominated.get(node).into_iter().flatten()
    }

    /// What a waiting pod says of the node that it waits for replaces what was known.
    pub fn nominate(&mut self, key: &Key, pod: Option<&Arc<PodInfo>>) {
        if let Some(node) = self.nominated_at.remove(key)
            && let Some(pods) = self.nominated.get_mut(&node)
        {
            pods.remove(key);
            if pods.is_empty() {
                self.nominated.remove(&node);
            }
        }
        if let Some(pod) = pod.filter(|pod| !pod.nominated_node.is_empty()) {
            let node: Arc<str> = pod.nominated_node.as_str().into();
            self.nominated.entry(node.clone()).or_default().insert(key.clone(), pod.clone());
            self.nominated_at.insert(key.clone(), node);
        }
    }

    /// A Node object is new, changed or (with `None`) gone; says whether it may take pods now that it did not take before.
    pub fn node_changed(&mut self, name: &Arc<str>, object: Option<&Object>) -> bool {
        match object {
            Some(object) => self.nodes.entry(name.clone()).or_default().set(object),
            None => {
                if let Some(node) = self.nodes.get_mut(name) {
                    node.exists = false;
                    if node.pods.is_empty() {
                        self.nodes.remove(name);
                    }
                }
                false
            }
        }
    }

    /// Puts a bound pod on its node.
    pub fn place(&mut self, key: &Key, pod: Arc<PodInfo>) {
        self.displace(key);
        self.with_anti_affinity += u32::from(!pod.anti_affinity.is_empty());
        self.with_affinity += u32::from(pod.has_affinity());
        let node: Arc<str> = pod.node_name.as_str().into();
        self.placed.insert(key.clone(), (node.clone(), pod.uid.clone()));
        self.nodes.entry(node).or_default().add(pod);
    }

    /// What is known of a bound pod.
    pub fn placed(&self, key: &Key) -> Option<&Arc<PodInfo>> {
        let (node, uid) = self.placed.get(key)?;
        self.nodes.get(node)?.pods.get(uid)
    }

    /// Takes a pod off its node, if it is on one.
    pub fn displace(&mut self, key: &Key) -> Option<Arc<PodInfo>> {
        let (node, uid) = self.placed.remove(key)?;
        let info = self.nodes.get_mut(&node)?;
        let left = info.remove(&uid);
        if let Some(pod) = &left {
            self.with_anti_affinity -= u32::from(!pod.anti_affinity.is_empty());
            self.with_affinity -= u32::from(pod.has_affinity());
        }
        if !info.exists && info.pods.is_empty() {
            self.nodes.remove(&node);
        }
        left
    }
}
