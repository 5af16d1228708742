//! All nodes and the pods on them, kept up from the store's events.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{Key, Object};

use crate::node_info::{NodeChange, NodeInfo, Resources, Said};
use crate::pod_info::{PodInfo, Template};
use crate::pod_raw;
use crate::tallies::{Namespaces, Tallies, World, labels_of};

/// What the scheduler knows of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// By slot. A slot whose node is gone and has no pods is free.
    nodes: Vec<NodeInfo>,
    by_name: BTreeMap<Arc<str>, u32>,
    free: Vec<u32>,
    /// The nodes that exist, in turns of their zones; made anew when it is asked for after nodes have changed.
    order: Vec<u32>,
    order_is_old: bool,
    pub resources: Resources,
    pub tallies: Tallies,
    /// Where each bound pod is: node and uid.
    placed: BTreeMap<Key, (u32, Arc<str>)>,
    /// Pods for which preemption makes room, by node.
    nominated: BTreeMap<Arc<str>, BTreeMap<Key, Arc<PodInfo>>>,
    nominated_at: BTreeMap<Key, Arc<str>>,
    namespaces: Namespaces,
    /// On which nodes each image is, and its size there.
    images: BTreeMap<String, BTreeMap<u32, i64>>,
    /// How many nodes have taints that make them less welcome.
    pub soft_taints: u32,
    /// How many placed pods mount each claim: namespace and name.
    claim_users: BTreeMap<(Arc<str>, String), u32>,
}

impl Cache {
    /// The slots of the nodes that exist, in the order in which they are looked at: zones take turns.
    pub fn order(&mut self) -> &[u32] {
        if std::mem::take(&mut self.order_is_old) {
            let mut zones: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
            for slot in self.by_name.values() {
                if let Some(node) = self.nodes.get(*slot as usize).filter(|node| node.exists) {
                    zones.entry(node.zone()).or_default().push(*slot);
                }
            }
            let longest = zones.values().map(Vec::len).max().unwrap_or(0);
            self.order = (0..longest).flat_map(|i| zones.values().filter_map(move |zone| zone.get(i)).copied()).collect();
        }
        &self.order
    }

    /// A node that exists.
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.at(*self.by_name.get(name)?)
    }

    /// A node that exists.
    pub fn at(&self, slot: u32) -> Option<&NodeInfo> {
        self.nodes.get(slot as usize).filter(|node| node.exists)
    }

    /// All slots, for what is kept by slot.
    pub fn slots(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// The labels of a namespace.
    pub fn namespace(&self, name: &str) -> &BTreeMap<String, String> {
        labels_of(&self.namespaces, name)
    }

    /// The nodes that have an image, and its size.
    pub fn image(&self, name: &str) -> Option<&BTreeMap<u32, i64>> {
        self.images.get(name)
    }

    /// The tallies, and what they are counted from.
    pub fn counting(&mut self) -> (&mut Tallies, World<'_>) {
        (&mut self.tallies, World { nodes: &self.nodes, namespaces: &self.namespaces })
    }

    /// A stored pod; it shares the template with its like.
    pub fn read(&mut self, object: &Object) -> Arc<PodInfo> {
        let (pod, template) = pod_raw::read(object);
        self.intern(pod, template)
    }

    /// A pod with another template.
    pub fn intern(&mut self, pod: PodInfo, template: Template) -> Arc<PodInfo> {
        let (class, template) = self.tallies.class(template, &self.namespaces, &mut self.resources);
        Arc::new(PodInfo { class, template, ..pod })
    }

    /// A namespace is new, changed or gone; says whether its labels are others now.
    pub fn namespace_changed(&mut self, name: &Arc<str>, object: Option<&Object>) -> bool {
        let before = self.namespaces.remove(name);
        let changed = match object {
            Some(object) => {
                self.namespaces.insert(name.clone(), object.meta.labels.clone());
                before.is_none_or(|before| before != object.meta.labels)
            }
            None => false,
        };
        if changed {
            let (tallies, world) = self.counting();
            tallies.recount(world);
        }
        changed
    }

    /// The pods for which room is being made on a node.
    pub fn nominated(&self, node: &str) -> impl Iterator<Item = (&Key, &Arc<PodInfo>)> {
        self.nominated.get(node).into_iter().flatten()
    }

    /// Whether room is being made for anybody.
    pub fn has_nominated(&self) -> bool {
        !self.nominated.is_empty()
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
            let node = pod.nominated_node.clone();
            self.nominated.entry(node.clone()).or_default().insert(key.clone(), pod.clone());
            self.nominated_at.insert(key.clone(), node);
        }
    }

    /// The slot of a node, which need not exist as an object.
    fn slot(&mut self, name: &Arc<str>) -> u32 {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or(self.nodes.len() as u32);
        let version = self.nodes.get(slot as usize).map_or(0, |node| node.version.wrapping_add(1));
        let node = NodeInfo { name: name.clone(), slot, version, ..NodeInfo::default() };
        match self.nodes.get_mut(slot as usize) {
            Some(place) => *place = node,
            None => self.nodes.push(node),
        }
        self.by_name.insert(name.clone(), slot);
        slot
    }

    /// A Node object is new or changed; says what of it, and which labels.
    pub fn node_changed(&mut self, name: &Arc<str>, object: &Object) -> (NodeChange, Vec<String>) {
        let slot = self.slot(name);
        let said = Said::read(object, &mut self.resources);
        let Some(node) = self.nodes.get_mut(slot as usize) else { return Default::default() };
        let change = said.differs(node);
        if !change.matters() && !change.images {
            return (change, Vec::new());
        }
        let keys = if change.labels { said.changed_labels(node) } else { Vec::new() };
        let counts = change.added || change.labels || change.taints;
        self.soft_taints -= u32::from(node.exists && node.has_soft_taints());
        if counts && node.exists {
            self.tallies.leave(node);
        }
        self.order_is_old |= change.added || change.labels;
        unlist(&mut self.images, node);
        node.set(said);
        for (image, size) in &node.images {
            self.images.entry(image.clone()).or_default().insert(slot, *size);
        }
        self.soft_taints += u32::from(node.has_soft_taints());
        if counts {
            self.tallies.enter(node);
        }
        (change, keys)
    }

    /// Changes a node, in thought.
    pub fn alter(&mut self, slot: u32, change: impl FnOnce(&mut NodeInfo)) {
        let Some(node) = self.nodes.get_mut(slot as usize).filter(|node| node.exists) else { return };
        self.tallies.leave(node);
        change(node);
        node.version = node.version.wrapping_add(1);
        self.tallies.enter(node);
    }

    /// A Node object is gone.
    pub fn node_gone(&mut self, name: &str) {
        let Some(slot) = self.by_name.get(name).copied() else { return };
        let Some(node) = self.nodes.get_mut(slot as usize).filter(|node| node.exists) else { return };
        self.order_is_old = true;
        self.soft_taints -= u32::from(node.has_soft_taints());
        self.tallies.leave(node);
        unlist(&mut self.images, node);
        node.exists = false;
        node.version = node.version.wrapping_add(1);
        self.release(slot);
    }

    fn release(&mut self, slot: u32) {
        if let Some(node) = self.nodes.get(slot as usize).filter(|node| !node.exists && node.pods.is_empty()) {
            self.by_name.remove(&node.name);
            self.free.push(slot);
        }
    }

    /// Puts a bound pod on its node.
    pub fn place(&mut self, key: &Key, pod: Arc<PodInfo>) {
        self.displace(key);
        let slot = self.slot(&pod.node_name);
        self.placed.insert(key.clone(), (slot, pod.uid.clone()));
        self.put(slot, pod);
    }

    /// What is known of a bound pod.
    pub fn placed(&self, key: &Key) -> Option<&Arc<PodInfo>> {
        let (slot, uid) = self.placed.get(key)?;
        self.nodes.get(*slot as usize)?.pods.get(uid)
    }

    /// What was assumed of a pod is so.
    pub fn confirm(&mut self, key: &Key, generation: i64) {
        let Some((slot, uid)) = self.placed.get(key) else { return };
        if let Some(pod) = self.nodes.get_mut(*slot as usize).and_then(|node| node.pods.get_mut(uid)) {
            let pod = Arc::make_mut(pod);
            pod.assumed = false;
            pod.generation = generation;
        }
    }

    /// Takes a pod off its node, if it is on one.
    pub fn displace(&mut self, key: &Key) -> Option<Arc<PodInfo>> {
        let (slot, uid) = self.placed.remove(key)?;
        let pod = self.take(slot, &uid)?;
        self.release(slot);
        Some(pod)
    }

    /// How many placed pods mount a claim.
    pub fn claim_users(&self, namespace: &Arc<str>, claim: &str) -> u32 {
        self.claim_users.get(&(namespace.clone(), claim.to_owned())).copied().unwrap_or(0)
    }

    fn use_claims(&mut self, pod: &PodInfo, number: i32) {
        for (claim, _) in &pod.claims {
            let user = (pod.namespace.clone(), claim.clone());
            let users = self.claim_users.entry(user.clone()).or_default();
            *users = users.saturating_add_signed(number);
            if *users == 0 {
                self.claim_users.remove(&user);
            }
        }
    }

    /// Puts a pod on a node, perhaps only in thought.
    pub fn put(&mut self, slot: u32, pod: Arc<PodInfo>) {
        self.use_claims(&pod, 1);
        let Cache { nodes, tallies, namespaces, .. } = self;
        tallies.moved(pod.class, slot, 1, World { nodes, namespaces });
        let Some(node) = nodes.get_mut(slot as usize) else { return };
        if let Some(class) = tallies.get_class(pod.class) {
            node.count(&pod, &class.requests, 1);
        }
        node.pods.insert(pod.uid.clone(), pod);
    }

    /// Takes a pod off a node, perhaps only in thought.
    pub fn take(&mut self, slot: u32, uid: &str) -> Option<Arc<PodInfo>> {
        let Cache { nodes, tallies, namespaces, .. } = self;
        let pod = nodes.get_mut(slot as usize)?.pods.remove(uid)?;
        tallies.moved(pod.class, slot, -1, World { nodes, namespaces });
        if let (Some(class), Some(node)) = (tallies.get_class(pod.class), nodes.get_mut(slot as usize)) {
            node.count(&pod, &class.requests, -1);
        }
        self.use_claims(&pod, -1);
        Some(pod)
    }
}

fn unlist(images: &mut BTreeMap<String, BTreeMap<u32, i64>>, node: &NodeInfo) {
    for image in node.images.keys() {
        if let Some(nodes) = images.get_mut(image) {
            nodes.remove(&node.slot);
            if nodes.is_empty() {
                images.remove(image);
            }
        }
    }
}
