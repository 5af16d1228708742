//! What a controller is given for one reconciliation.

use apiserver::{ApiServer, Client, UserInfo, gvr};
use object::events::{EventType, EventWrite, Recorder};
use object::{GroupResource, Time, Value};
use schema::Registry;
use std::sync::Arc;
use store::{Key, Object, Store};

use crate::index::Index;
use crate::manager::Settings;
use crate::queue::WorkQueue;

/// Time, API, indexes and voice of one controller.
pub struct Context<'a> {
    /// The time.
    pub now: Time,
    /// Who belongs to whom.
    pub index: &'a Index,
    /// The controller's own queue, for keys to be looked at later.
    pub queue: &'a mut WorkQueue,
    /// What the manager was told.
    pub settings: &'a Settings,
    pub(crate) api: &'a mut ApiServer,
    pub(crate) user: &'a UserInfo,
    pub(crate) recorder: &'a mut Recorder,
}

impl Context<'_> {
    /// The objects, to read.
    pub fn store(&self) -> &Store {
        self.api.store()
    }

    /// What is served.
    pub fn registry(&self) -> &Registry {
        self.api.registry()
    }

    /// The API, under the controller's own name.
    pub fn client(&mut self) -> Client<'_> {
        self.api.client(self.now, self.user)
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.store().get(key).cloned()
    }

    /// Objects of one resource that name this uid as their owner.
    pub fn owned(&self, resource: &GroupResource, uid: &str) -> Vec<Arc<Object>> {
        self.index.dependents(uid).filter(|key| key.resource == *resource).filter_map(|key| self.get(key)).collect()
    }

    /// Says something about an object. An event that cannot be written is lost, as on Kubernetes.
    pub fn event(&mut self, about: &Value, kind: EventType, reason: &str, message: &str) {
        let Some(write) = self.recorder.event(self.now, about, kind, reason, message) else { return };
        let events = gvr("", "v1", "events");
        let now = self.now;
        let mut client = self.api.client(now, self.user);
        let _ = match write {
            EventWrite::Create(event) => {
                let namespace = object::value::str_at(&event, &["metadata", "namespace"]).to_owned();
                client.create(&events, &namespace, event)
            }
            EventWrite::Patch { namespace, name, patch } => {
                client.patch(&events, &namespace, &name, "", apiserver::PatchKind::Merge, patch)
            }
        };
    }
}
