//! Streams that follow changes. A watcher is a filter and a position in the history; an event is encoded once for all
//! streams that want the same form of it.

use std::collections::BTreeMap;

use object::selector::{FieldSelector, LabelSelector};
use object::{Bytes, GroupResource, Time};
use schema::Registry;
use store::{Progress, Store};

use crate::message::{Output, StreamId};

/// All open watches.
#[derive(Default)]
pub struct Watches {
    by_resource: BTreeMap<GroupResource, BTreeMap<StreamId, Watcher>>,
    delivered: u64,
}

/// One open watch.
pub struct Watcher {
    /// Namespace; `None` for all.
    pub namespace: Option<String>,
    /// Labels.
    pub labels: LabelSelector,
    /// Fields.
    pub fields: FieldSelector,
    /// When the stream ends by itself.
    pub ends_at: Option<Time>,
}

impl Watches {
    /// Events up to this revision are history.
    pub fn start(&mut self, revision: u64) {
        self.delivered = revision;
    }

    /// Adds a watch.
    pub fn open(&mut self, resource: GroupResource, stream: StreamId, watcher: Watcher) {
        self.by_resource.entry(resource).or_default().insert(stream, watcher);
    }

    /// Forgets a watch whose client is gone.
    pub fn close(&mut self, stream: StreamId) {
        for watchers in self.by_resource.values_mut() {
            watchers.remove(&stream);
        }
        self.by_resource.retain(|_, watchers| !watchers.is_empty());
    }

    /// Ends what has reached its time.
    pub fn run(&mut self, now: Time, _revision: u64, outputs: &mut Vec<Output>) -> Progress {
        let mut next: Option<Time> = None;
        for watchers in self.by_resource.values_mut() {
            watchers.retain(|stream, watcher| match watcher.ends_at {
                Some(end) if end <= now => {
                    outputs.push(Output::End(*stream));
                    false
                }
                end => {
                    next = [next, end].into_iter().flatten().min();
                    true
                }
            });
        }
        Progress { more: false, wake_at: next }
    }

    /// Sends what was committed since the last call.
    pub fn deliver(&mut self, store: &Store, _registry: &Registry, outputs: &mut Vec<Output>) {
        let Ok(events) = store.events_since(self.delivered) else {
            self.delivered = store.revision();
            return;
        };
        for event in events {
            let Some(watchers) = self.by_resource.get(&event.key().resource) else { continue };
            let mut streams: BTreeMap<&str, Vec<StreamId>> = BTreeMap::new();
            for (stream, watcher) in watchers {
                let wants = |object: &Option<std::sync::Arc<store::Object>>| {
                    object.as_ref().is_some_and(|o| {
                        watcher.namespace.as_deref().is_none_or(|ns| ns == &*o.key.namespace)
                            && watcher.labels.matches(&o.meta.labels)
                    })
                };
                let kind = match (wants(&event.old), wants(&event.new)) {
                    (false, true) => "ADDED",
                    (true, true) => "MODIFIED",
                    (true, false) => "DELETED",
                    (false, false) => continue,
                };
                streams.entry(kind).or_default().push(*stream);
            }
            for (kind, streams) in streams {
                let Some(object) = event.new.as_ref().or(event.old.as_ref()) else { continue };
                let mut bytes = format!("{{\"type\":\"{kind}\",\"object\":").into_bytes();
                bytes.extend_from_slice(&object.bytes);
                bytes.extend_from_slice(b"}\n");
                outputs.push(Output::Data { streams, bytes: Bytes::from(bytes) });
            }
        }
        self.delivered = store.revision();
    }
}
