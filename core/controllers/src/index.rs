//! What belongs to what: objects by their owners, and objects nobody controls. Kept up from events, never by listing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::{GroupResource, ObjectMeta};
use store::{Event, Key, Object, Store};

use crate::endpoints;
use crate::pod::PodView;
use crate::pod_control;
use crate::storage::PodClaims;

/// Objects by owner and by the lack of one, pods by their node, and EndpointSlices by their Service.
#[derive(Debug, Default)]
pub struct Index {
    dependents: BTreeMap<String, BTreeSet<Key>>,
    uncontrolled: BTreeMap<(GroupResource, String), BTreeSet<Key>>,
    on_node: BTreeMap<String, BTreeSet<Key>>,
    with_claim: BTreeMap<Key, BTreeSet<Key>>,
    slices: BTreeMap<Key, BTreeSet<Key>>,
}

impl Index {
    /// Everything there is.
    pub fn build(store: &Store) -> Self {
        let mut index = Index::default();
        let resources: Vec<GroupResource> = store.current().resources().cloned().collect();
        for resource in &resources {
            for object in store.list(resource, None) {
                index.add(&object.key, &object.meta);
                index.place(None, Some(object));
            }
        }
        index
    }

    /// Follows one change.
    pub fn update(&mut self, event: &Event) {
        self.place(event.old.as_ref(), event.new.as_ref());
        if let (Some(old), Some(new)) = (&event.old, &event.new)
            && old.meta.owner_references == new.meta.owner_references
        {
            return;
        }
        if let Some(old) = &event.old {
            self.remove(&old.key, &old.meta);
        }
        if let Some(new) = &event.new {
            self.add(&new.key, &new.meta);
        }
    }

    /// Objects that name this uid as an owner.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Key> {
        self.dependents.get(uid).into_iter().flatten()
    }

    /// Objects of a resource in a namespace that no controller manages.
    pub fn uncontrolled(&self, resource: &GroupResource, namespace: &str) -> impl Iterator<Item = &Key> {
        self.uncontrolled.get(&(resource.clone(), namespace.to_owned())).into_iter().flatten()
    }

    /// The pods that are bound to a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Key> {
        self.on_node.get(node).into_iter().flatten()
    }

    /// The pods that use a claim.
    pub fn pods_with(&self, claim: &Key) -> impl Iterator<Item = &Key> {
        self.with_claim.get(claim).into_iter().flatten()
    }

    /// The claims that a changed pod uses.
    pub fn claims_of(&self, event: &Event) -> impl Iterator<Item = Key> {
        event.new.as_ref().or(event.old.as_ref()).into_iter().flat_map(|pod| claims(pod))
    }

    /// The EndpointSlices that say they are of a Service.
    pub fn slices_of(&self, service: &Key) -> impl Iterator<Item = &Key> {
        self.slices.get(service).into_iter().flatten()
    }

    fn place(&mut self, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) {
        self.place_slice(old, new);
        let Some(some) = new.or(old).filter(|object| object.key.resource == pod_control::pods()) else { return };
        if old.is_none() || new.is_none() {
            // A pod's volumes do not change.
            for claim in claims(some) {
                match new {
                    Some(_) => drop(self.with_claim.entry(claim).or_default().insert(some.key.clone())),
                    None => take(&mut self.with_claim, &claim, &some.key),
                }
            }
        }
        let node = |pod: Option<&Arc<Object>>| pod.map(|pod| pod.view::<PodView>().node.clone()).filter(|node| !node.is_empty());
        let (old, new) = (node(old), node(new));
        if old != new {
            old.into_iter().for_each(|node| take(&mut self.on_node, &node, &some.key));
            if let Some(node) = new {
                self.on_node.entry(node).or_default().insert(some.key.clone());
            }
        }
    }

    fn place_slice(&mut self, old: Option<&Arc<Object>>, new: Option<&Arc<Object>>) {
        let is_slice = |object: &&Arc<Object>| object.key.resource == endpoints::slices();
        let Some(some) = new.or(old).filter(is_slice) else { return };
        let (old, new) = (old.and_then(|slice| endpoints::service_of(slice)), new.and_then(|slice| endpoints::service_of(slice)));
        if old != new {
            old.into_iter().for_each(|service| take(&mut self.slices, &service, &some.key));
            if let Some(service) = new {
                self.slices.entry(service).or_default().insert(some.key.clone());
            }
        }
    }

    fn add(&mut self, key: &Key, meta: &ObjectMeta) {
        for owner in &meta.owner_references {
            self.dependents.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        if meta.controller().is_none() && adoptable(&key.resource) {
            self.uncontrolled.entry((key.resource.clone(), meta.namespace.clone())).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, meta: &ObjectMeta) {
        for owner in &meta.owner_references {
            take(&mut self.dependents, &owner.uid, key);
        }
        take(&mut self.uncontrolled, &(key.resource.clone(), meta.namespace.clone()), key);
    }
}

/// The claims that a pod uses.
fn claims(pod: &Object) -> impl Iterator<Item = Key> {
    let claims = GroupResource::literal("", "persistentvolumeclaims");
    pod.view::<PodClaims>().names.iter().map(move |name| Key::new(&claims, &pod.key.namespace, name))
}

/// Kinds that controllers adopt.
fn adoptable(resource: &GroupResource) -> bool {
    matches!(&*resource.resource, "pods" | "replicasets" | "controllerrevisions")
}

fn take<K: Ord>(map: &mut BTreeMap<K, BTreeSet<Key>>, at: &K, key: &Key) {
    if let Some(set) = map.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            map.remove(at);
        }
    }
}
