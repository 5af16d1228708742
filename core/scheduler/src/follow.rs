//! Following the store: what changes there changes the cache, and wakes the pods that it can help.

use std::sync::Arc;

use object::Time;
use store::{Event, Key, Object, Store};

use crate::cache::Cache;
use crate::defaults;
use crate::plugins::Change;
use crate::pod_info::PodInfo;
use crate::queue::Queue;
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Takes in what has changed since the last time, or everything.
    pub(crate) fn follow(&mut self, store: &Store, now: Time) {
        match self.followed.map(|from| store.events_since(from)) {
            Some(Ok(events)) => {
                for event in events {
                    self.take(event, now);
                }
            }
            _ => {
                self.cache = Cache::default();
                self.queue = Queue::default();
                self.pending.clear();
                self.search.forget();
                for resource in [self.names.namespaces.clone(), self.names.nodes.clone(), self.names.pods.clone()] {
                    for object in store.list(&resource, None) {
                        self.take(&Event { revision: object.revision, old: None, new: Some(object.clone()) }, now);
                    }
                }
            }
        }
        self.followed = Some(store.revision());
    }

    fn take(&mut self, event: &Event, now: Time) {
        let key = event.key();
        let new = event.new.as_deref();
        if key.resource == self.names.pods {
            match new {
                Some(pod) => self.pod_changed(key, pod, now),
                None => self.pod_left(key, now),
            }
        } else if key.resource == self.names.nodes {
            self.node_changed(key, new, now);
        } else if key.resource == self.names.namespaces {
            if self.cache.namespace_changed(&key.name, new) {
                self.changed(Change::Namespace, now);
            }
        } else if let Some(change) = other_change(key, event) {
            self.changed(change, now);
        } else if defaults::concerns(event) {
            self.search.defaults += 1;
        }
    }

    fn node_changed(&mut self, key: &Key, object: Option<&Object>, now: Time) {
        let Some(object) = object else { return self.cache.node_gone(&key.name) };
        let (change, keys) = self.cache.node_changed(&key.name, object);
        let Scheduler { cache, queue, profiles, .. } = self;
        if let Some(node) = cache.node(&key.name).filter(|_| change.matters()) {
            wake(queue, Change::Node(node, change, &keys), (cache, profiles), now);
        }
    }

    /// Wakes the pods that such a change can help.
    pub(crate) fn changed(&mut self, change: Change<'_>, now: Time) {
        wake(&mut self.queue, change, (&self.cache, &self.profiles), now);
    }

    fn pod_left(&mut self, key: &Key, now: Time) {
        self.queue.remove(key);
        self.pending.remove(key);
        self.cache.nominate(key, None);
        if let Some(pod) = self.cache.displace(key) {
            self.changed(Change::PodLeft(&pod), now);
        }
    }

    /// A pod was bound; what the store says of it is the same, less what need not be read for that.
    pub(crate) fn assume(&mut self, key: &Key, pod: &Arc<PodInfo>, node: Arc<str>, now: Time) {
        self.queue.remove(key);
        self.cache.nominate(key, None);
        let pod = Arc::new(PodInfo { node_name: node, assumed: true, ..(**pod).clone() });
        self.cache.place(key, pod.clone());
        self.changed(Change::PodPlaced(&pod), now);
    }

    fn pod_changed(&mut self, key: &Key, object: &Object, now: Time) {
        let meta = &object.meta;
        if self.pending.contains_key(key) && meta.deletion_timestamp.is_none() {
            return;
        }
        if let Some(placed) = self.cache.placed(key) {
            let same = *placed.uid == *meta.uid
                && (placed.assumed || placed.generation == meta.generation)
                && !placed.resized
                && placed.labels == meta.labels
                && placed.deleting == meta.deletion_timestamp.is_some();
            if same {
                if placed.assumed {
                    self.cache.confirm(key, meta.generation);
                }
                // Only its status is new, and of that only the end matters.
                if matches!(object::value::str_at(&object.shared(), &["status", "phase"]), "Succeeded" | "Failed") {
                    self.pod_left(key, now);
                }
                return;
            }
        }
        let pod = self.cache.read(object);
        if pod.ended {
            self.pod_left(key, now);
        } else if !pod.node_name.is_empty() {
            self.placed_changed(key, pod, now);
        } else if pod.deleting || !self.profiles.contains_key(&pod.scheduler_name) {
            self.pod_left(key, now);
        } else {
            self.waiting_changed(key, pod, now);
        }
    }

    fn placed_changed(&mut self, key: &Key, pod: Arc<PodInfo>, now: Time) {
        self.queue.remove(key);
        self.cache.nominate(key, None);
        let before = self.cache.placed(key).filter(|before| before.uid == pod.uid).cloned();
        // Its size may go on changing in its status alone.
        let resized = before.as_ref().is_some_and(|b| b.resized || (!b.assumed && b.generation != pod.generation));
        let pod = if resized { Arc::new(PodInfo { resized, ..(*pod).clone() }) } else { pod };
        self.cache.place(key, pod.clone());
        let Some(before) = before else { return self.changed(Change::PodPlaced(&pod), now) };
        if pod.requests.iter().any(|(name, amount)| before.requests.get(name).is_some_and(|had| had > amount))
            || before.requests.keys().any(|name| !pod.requests.contains_key(name))
        {
            self.changed(Change::PodShrank(&before, &pod), now);
        }
        if before.labels != pod.labels {
            self.changed(Change::PodRelabelled(&before, &pod), now);
        }
        if pod.deleting && !before.deleting {
            self.changed(Change::PodLeaves(&pod), now);
        }
    }

    fn waiting_changed(&mut self, key: &Key, pod: Arc<PodInfo>, now: Time) {
        self.cache.nominate(key, Some(&pod));
        let Some(waiting) = self.queue.get(key).filter(|waiting| waiting.pod.uid == pod.uid) else {
            return self.queue.add(key.clone(), pod, now);
        };
        if waiting.pod.gates.is_empty() != pod.gates.is_empty() || waiting.pod.priority != pod.priority {
            return self.queue.add(key.clone(), pod, now);
        }
        let own = Change::Own(&waiting.pod, &pod);
        let helped = waiting.pod.class != pod.class
            && waiting.rejected_by.iter().any(|plugin| own.helps(*plugin, &pod, &self.profile(&pod), &self.cache));
        self.queue.refresh(key, pod);
        if helped {
            self.queue.activate_now(key, now);
        }
    }
}

type Profiles = std::collections::BTreeMap<String, (Arc<crate::Profile>, object::events::Recorder)>;

fn wake(queue: &mut Queue, change: Change<'_>, (cache, profiles): (&Cache, &Profiles), now: Time) {
    queue.changed(
        change.concerns(),
        |plugin, pod| profiles.get(&pod.scheduler_name).is_some_and(|(profile, _)| change.helps(plugin, pod, profile, cache)),
        now,
    );
}

/// What a change of anything but pods, nodes and namespaces may do for waiting pods.
fn other_change(key: &Key, event: &Event) -> Option<Change<'static>> {
    match (&*key.resource.group, &*key.resource.resource) {
        ("", "persistentvolumeclaims" | "persistentvolumes") if event.new.is_some() => Some(Change::Volume),
        ("storage.k8s.io", "storageclasses" | "csinodes" | "csidrivers" | "csistoragecapacities") => Some(Change::Volume),
        ("resource.k8s.io", "resourceclaims" | "resourceslices" | "deviceclasses") => Some(Change::Device),
        _ => None,
    }
}
