//! The store itself: one persistent map per resource, and a window of history.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use ::object::{GroupResource, Value};
use imbl::OrdMap;

use crate::{Key, Object};

type Table = OrdMap<(Arc<str>, Arc<str>), Arc<Object>>;

/// One committed change.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its revision.
    pub revision: u64,
    /// What was there before; `None` if the object was created.
    pub old: Option<Arc<Object>>,
    /// What is there now; `None` if the object was deleted.
    pub new: Option<Arc<Object>>,
}

impl Event {
    /// Where the changed object is stored.
    pub fn key(&self) -> &Key {
        match (&self.new, &self.old) {
            (Some(object), _) | (None, Some(object)) => &object.key,
            (None, None) => unreachable!("an event has an object before or after it"),
        }
    }
}

/// The revision that was asked for is no longer in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The oldest revision from which history is complete.
    pub oldest: u64,
}

/// All objects as they were at one revision. Taking one costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    revision: u64,
    tables: BTreeMap<GroupResource, Table>,
}

impl Snapshot {
    /// The revision of this state.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.tables.get(&key.resource)?.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// Objects of a resource in order of namespace and name: all of them, or one namespace's.
    pub fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> impl Iterator<Item = &Arc<Object>> {
        self.list_after(resource, namespace, None)
    }

    /// As [`Snapshot::list`], from the object behind `(namespace, name)` on.
    pub fn list_after<'a>(
        &'a self,
        resource: &GroupResource,
        namespace: Option<&str>,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let namespace: Option<Arc<str>> = namespace.map(Into::into);
        let start = match (after, &namespace) {
            (Some((ns, name)), _) => Bound::Excluded((ns.into(), name.into())),
            (None, Some(ns)) => Bound::Included((ns.clone(), "".into())),
            (None, None) => Bound::Unbounded,
        };
        self.tables
            .get(resource)
            .into_iter()
            .flat_map(move |table| table.range((start.clone(), Bound::Unbounded)))
            .take_while(move |((ns, _), _)| namespace.as_ref().is_none_or(|wanted| wanted == ns))
            .map(|(_, object)| object)
    }

    /// How many objects of a resource there are, in all namespaces.
    pub fn count(&self, resource: &GroupResource) -> usize {
        self.tables.get(resource).map_or(0, OrdMap::len)
    }

    /// Every resource that has objects.
    pub fn resources(&self) -> impl Iterator<Item = &GroupResource> {
        self.tables.iter().filter(|(_, table)| !table.is_empty()).map(|(resource, _)| resource)
    }

    fn put(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        let place = (object.key.namespace.clone(), object.key.name.clone());
        self.tables.entry(object.key.resource.clone()).or_default().insert(place, object)
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        self.tables.get_mut(&key.resource)?.remove(&(key.namespace.clone(), key.name.clone()))
    }
}

/// The current state and a window of the past.
#[derive(Debug)]
pub struct Store {
    now: Snapshot,
    history: VecDeque<Event>,
    /// History is complete from this revision on: events with a greater revision are in `history`.
    compacted: u64,
    /// State before this revision is not read any more, though watches may still begin there.
    forgotten: u64,
    history_limit: u32,
    /// The last objects, which still hold the values they were made from.
    young: VecDeque<Arc<Object>>,
}

/// So many objects are young at a time: more than one step writes.
const YOUNG: usize = 1_024;

impl Store {
    /// An empty store that keeps at least `history_limit` events.
    pub fn new(history_limit: u32) -> Self {
        Store {
            now: Snapshot::default(),
            history: VecDeque::new(),
            compacted: 0,
            forgotten: 0,
            history_limit,
            young: VecDeque::new(),
        }
    }

    /// The revision of the last commit.
    pub fn revision(&self) -> u64 {
        self.now.revision
    }

    /// The oldest revision that can still be watched from.
    pub fn oldest_revision(&self) -> u64 {
        self.compacted
    }

    /// The current state.
    pub fn snapshot(&self) -> Snapshot {
        self.now.clone()
    }

    /// The current state, without taking it along.
    pub fn current(&self) -> &Snapshot {
        &self.now
    }

    /// One object as it is now.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.now.get(key)
    }

    /// Objects of a resource as they are now: all of them, or one namespace's.
    pub fn list(&self, resource: &GroupResource, namespace: Option<&str>) -> impl Iterator<Item = &Arc<Object>> {
        self.now.list(resource, namespace)
    }

    /// From now on nobody reads the state as it was before `revision`.
    pub fn forget(&mut self, revision: u64) {
        self.forgotten = self.forgotten.max(revision);
    }

    /// The state as it was at `revision`, by undoing what came after it.
    pub fn at(&self, revision: u64) -> Result<Snapshot, Compacted> {
        let oldest = self.compacted.max(self.forgotten);
        if revision < oldest {
            return Err(Compacted { oldest });
        }
        let mut then = self.now.clone();
        for event in self.history.iter().rev().take_while(|event| event.revision > revision) {
            match &event.old {
                Some(old) => then.put(old.clone()),
                None => then.remove(event.key()),
            };
        }
        then.revision = revision.min(self.now.revision);
        Ok(then)
    }

    /// Events with a revision greater than `revision`, oldest first.
    pub fn events_since(&self, revision: u64) -> Result<impl Iterator<Item = &Event>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted { oldest: self.compacted });
        }
        let first = self.history.partition_point(|event| event.revision <= revision);
        Ok(self.history.range(first..))
    }

    /// Makes `value` the object at `key`, at the next revision, which is written into its `metadata.resourceVersion`.
    pub fn put(&mut self, key: Key, mut value: Value) -> Arc<Object> {
        let revision = self.now.revision + 1;
        ::object::value::set(&mut value, &["metadata", "resourceVersion"], revision.to_string());
        let object = Arc::new(Object::young(key, revision, Arc::new(value)));
        let old = self.now.put(object.clone());
        self.young.push_back(object.clone());
        if self.young.len() > YOUNG
            && let Some(object) = self.young.pop_front()
        {
            object.age();
        }
        self.record(Event { revision, old, new: Some(object.clone()) });
        object
    }

    /// Takes away the object at `key`, at the next revision.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let old = self.now.remove(key)?;
        self.record(Event { revision: self.now.revision + 1, old: Some(old.clone()), new: None });
        Some(old)
    }

    /// Puts back an object from the journal, whose bytes carry its revision. It makes no event.
    pub fn restore(&mut self, object: Object) {
        self.now.revision = self.now.revision.max(object.revision);
        self.now.put(Arc::new(object));
        self.compacted = self.now.revision;
    }

    /// Ends restoring: the store stands at `revision`, and history begins there.
    pub fn restored(&mut self, revision: u64) {
        self.now.revision = self.now.revision.max(revision);
        self.compacted = self.now.revision;
    }

    fn record(&mut self, event: Event) {
        assert!(event.revision == self.now.revision + 1, "revisions have no gaps");
        self.now.revision = event.revision;
        self.history.push_back(event);
        while self.history.len() > self.history_limit as usize {
            if let Some(dropped) = self.history.pop_front() {
                self.compacted = dropped.revision;
            }
        }
    }
}
