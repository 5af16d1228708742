//! What belongs to what: objects by their owners, and objects nobody controls. Kept up from events, never by listing.

use std::collections::{BTreeMap, BTreeSet};

use object::{GroupResource, ObjectMeta};
use store::{Event, Key, Store};

/// Objects by owner and by the lack of one.
#[derive(Debug, Default)]
pub struct Index {
    dependents: BTreeMap<String, BTreeSet<Key>>,
    uncontrolled: BTreeMap<(GroupResource, String), BTreeSet<Key>>,
}

impl Index {
    /// Everything there is.
    pub fn build(store: &Store) -> Self {
        let mut index = Index::default();
        let resources: Vec<GroupResource> = store.current().resources().cloned().collect();
        for resource in &resources {
            for object in store.list(resource, None) {
                index.add(&object.key, &object.meta);
            }
        }
        index
    }

    /// Follows one change.
    pub fn update(&mut self, event: &Event) {
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

/// Kinds that controllers adopt.
fn adoptable(resource: &GroupResource) -> bool {
    matches!(&*resource.resource, "pods" | "replicasets")
}

fn take<K: Ord>(map: &mut BTreeMap<K, BTreeSet<Key>>, at: &K, key: &Key) {
    if let Some(set) = map.get_mut(at) {
        set.remove(key);
        if set.is_empty() {
            map.remove(at);
        }
    }
}
