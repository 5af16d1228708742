//! Nodes inside core: real kubelets over the scripted runtime, each a client of the API as `system:node:NAME`.
//!
//! They follow the store's events, as the node agent outside follows its watches, and write only through the API.

mod logs;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apiserver::{ApiServer, UserInfo};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubelet::Pod;
use kubelet::io::{Data, DataKind, Reference, ServiceEnv, ServiceEnvPort};
use object::value::{at, i64_at, list_at, str_at};
use object::{Bytes, GroupResource, Time, Value};
use store::{Event, Key, Progress, Store};

use crate::wire::{Config, Output, StreamId};
use logs::Logs;
use node::Node;

/// All simulated nodes.
pub(crate) struct SimulatedNodes {
    nodes: Vec<Node>,
    by_name: BTreeMap<String, u32>,
    /// Nodes that something has happened to.
    dirty: BTreeSet<u32>,
    /// Nodes that may have events to write.
    unsaid: BTreeSet<u32>,
    timers: BTreeSet<(Time, u32)>,
    due: BTreeMap<u32, Time>,
    /// Events up to this revision were taken in; `None` before the first run.
    followed: Option<u64>,
    /// Pods of these nodes: which node, and uid.
    pods: BTreeMap<Key, (u32, Arc<str>)>,
    /// Who needs which ConfigMap or Secret.
    references: BTreeMap<Key, BTreeSet<u32>>,
    /// Services have changed and the nodes have not been told.
    services_changed: bool,
    logs: Logs,
    names: Names,
}

struct Names {
    pods: GroupResource,
    nodes: GroupResource,
    services: GroupResource,
    config_maps: GroupResource,
    secrets: GroupResource,
}

impl SimulatedNodes {
    /// As many nodes as the configuration asks for, named `sim-0001` and so on.
    pub fn new(config: &Config) -> Self {
        let nodes: Vec<Node> = (0..config.simulated_nodes).map(|index| Node::new(config, index)).collect();
        let by_name = nodes.iter().zip(0..).map(|(node, index)| (node.name().to_owned(), index)).collect();
        let dirty = (0..config.simulated_nodes).collect();
        SimulatedNodes {
            nodes,
            by_name,
            dirty,
            unsaid: BTreeSet::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            followed: None,
            pods: BTreeMap::new(),
            references: BTreeMap::new(),
            services_changed: true,
            logs: Logs::default(),
            names: Names {
                pods: GroupResource::literal("", "pods"),
                nodes: GroupResource::literal("", "nodes"),
                services: GroupResource::literal("", "services"),
                config_maps: GroupResource::literal("", "configmaps"),
                secrets: GroupResource::literal("", "secrets"),
            },
        }
    }

    /// Lets the nodes do what is due, with at most about `budget` writes.
    pub fn run(&mut self, api: &mut ApiServer, now: Time, budget: u32) -> Progress {
        if self.nodes.is_empty() {
            return Progress::default();
        }
        self.follow(api.store(), now);
        while let Some((at, index)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, index));
            self.due.remove(&index);
            self.dirty.insert(index);
        }
        let mut left = budget;
        while left > 0
            && let Some(index) = self.dirty.pop_first()
        {
            let Some(node) = self.nodes.get_mut(index as usize) else { continue };
            let wake = node.run(api, now, &mut left);
            for (reference, wanted) in node.take_references() {
                self.refer(index, &reference, wanted, api.store(), now);
            }
            if wake.more {
                self.dirty.insert(index);
            }
            self.unsaid.insert(index);
            self.set_timer(index, wake.wake_at);
            self.follow(api.store(), now);
        }
        Progress { more: !self.dirty.is_empty(), wake_at: self.timers.first().map(|(at, _)| *at) }
    }

    /// Writes at most `budget` events.
    pub fn speak(&mut self, api: &mut ApiServer, now: Time, mut budget: u32) -> Progress {
        while budget > 0
            && let Some(index) = self.unsaid.pop_first()
        {
            let left = self.nodes.get_mut(index as usize).is_some_and(|node| node.speak(api, now, &mut budget));
            if left {
                self.unsaid.insert(index);
            }
        }
        Progress { more: !self.unsaid.is_empty(), wake_at: None }
    }

    /// Answers what the API server asks of these nodes' kubelets; everything else passes.
    pub fn answer(&mut self, now: Time, outputs: Vec<Output>) -> Vec<Output> {
        let mut passed = Vec::with_capacity(outputs.len());
        for output in outputs {
            match &output {
                Output::Forward { stream, node, outgoing, .. } if self.by_name.contains_key(node) => {
                    let index = self.by_name.get(node).copied().unwrap_or(0);
                    if let Some(node) = self.nodes.get(index as usize) {
                        self.logs.open(now, *stream, index, node, &outgoing.target, &mut passed);
                    }
                }
                _ => passed.push(output),
            }
        }
        self.logs.follow(now, &self.nodes, &mut passed);
        passed
    }

    /// When a followed log has to be looked at again.
    pub fn logs_wake(&self, now: Time) -> Option<Time> {
        self.logs.wake(now)
    }

    /// The client of this stream went away.
    pub fn closed(&mut self, stream: StreamId) {
        self.logs.closed(stream);
    }

    fn set_timer(&mut self, index: u32, at: Option<Time>) {
        if let Some(old) = self.due.remove(&index) {
            self.timers.remove(&(old, index));
        }
        if let Some(at) = at {
            self.timers.insert((at, index));
            self.due.insert(index, at);
        }
    }

    fn follow(&mut self, store: &Store, now: Time) {
        match self.followed.map(|from| store.events_since(from)) {
            Some(Ok(events)) => {
                for event in events {
                    self.take(event, now);
                }
            }
            _ => {
                for resource in [self.names.nodes.clone(), self.names.pods.clone()] {
                    for object in store.list(&resource, None) {
                        self.take(&Event { revision: object.revision, old: None, new: Some(object.clone()) }, now);
                    }
                }
                self.services_changed = true;
            }
        }
        self.followed = Some(store.revision());
        if std::mem::take(&mut self.services_changed) {
            let services =
                Arc::new(store.list(&self.names.services, None).filter_map(|o| service_of(&o.value())).collect::<Vec<_>>());
            for node in &mut self.nodes {
                node.services(now, services.clone());
            }
        }
    }

    fn take(&mut self, event: &Event, now: Time) {
        let key = event.key();
        if key.resource == self.names.pods {
            self.pod(key, event, now);
        } else if key.resource == self.names.nodes {
            let node = self.by_name.get(&*key.name).and_then(|index| self.nodes.get_mut(*index as usize));
            if let Some((node, object)) = node.zip(event.new.as_deref()) {
                node.labels(now, object.meta.labels.clone());
            }
        } else if key.resource == self.names.services {
            self.services_changed = true;
        } else if let Some(users) = self.references.get(key) {
            for index in users.clone() {
                if let Some(node) = self.nodes.get_mut(index as usize) {
                    node.fetched(now, self.names.reference(key), event.new.as_deref().map(|object| data_of(&object.value())));
                    self.dirty.insert(index);
                }
            }
        }
    }

    fn pod(&mut self, key: &Key, event: &Event, now: Time) {
        let Some(object) = &event.new else {
            if let Some((index, uid)) = self.pods.remove(key)
                && let Some(node) = self.nodes.get_mut(index as usize)
            {
                node.pod_gone(now, uid);
                self.dirty.insert(index);
            }
            return;
        };
        let known = self.pods.get(key).filter(|(_, uid)| **uid == *object.meta.uid).map(|(index, _)| *index);
        let index = known.or_else(|| self.by_name.get(str_at(&object.shared(), &["spec", "nodeName"])).copied());
        let Some(index) = index else { return };
        let Some(node) = self.nodes.get_mut(index as usize) else { return };
        // What the node has just written itself tells it nothing new.
        if node.wrote(event.revision) {
            return;
        }
        if let Some(pod) = Pod::of(&object.shared()) {
            self.pods.insert(key.clone(), (index, pod.uid.clone()));
            node.pod(now, Arc::new(pod));
            self.dirty.insert(index);
        }
    }

    fn refer(&mut self, index: u32, reference: &Reference, wanted: bool, store: &Store, now: Time) {
        let key = self.names.key(reference);
        if !wanted {
            if let Some(users) = self.references.get_mut(&key) {
                users.remove(&index);
                if users.is_empty() {
                    self.references.remove(&key);
                }
            }
            return;
        }
        self.references.entry(key.clone()).or_default().insert(index);
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.fetched(now, reference.clone(), store.get(&key).map(|object| data_of(&object.value())));
            self.dirty.insert(index);
        }
    }
}

impl Names {
    fn key(&self, reference: &Reference) -> Key {
        let resource = match reference.kind {
            DataKind::ConfigMap => &self.config_maps,
            DataKind::Secret => &self.secrets,
        };
        Key::new(resource, &reference.namespace, &reference.name)
    }

    fn reference(&self, key: &Key) -> Reference {
        let kind = if key.resource == self.secrets { DataKind::Secret } else { DataKind::ConfigMap };
        Reference { kind, namespace: key.namespace.to_string(), name: key.name.to_string() }
    }
}

/// The content of a ConfigMap or Secret.
pub(crate) fn data_of(value: &Value) -> Arc<Data> {
    let is_secret = str_at(value, &["kind"]) == "Secret";
    let mut out = Data::new();
    for (field, encoded) in [("data", is_secret), ("binaryData", true)] {
        for (key, text) in at(value, &[field]).and_then(Value::as_object).into_iter().flatten() {
            let text = text.as_str().unwrap_or("");
            let bytes = if encoded { STANDARD.decode(text).unwrap_or_default() } else { text.as_bytes().to_vec() };
            out.insert(key.clone(), Bytes::from(bytes));
        }
    }
    Arc::new(out)
}

/// A Service as environment variables need it; `None` for headless ones.
pub(crate) fn service_of(value: &Value) -> Option<ServiceEnv> {
    let cluster_ip = str_at(value, &["spec", "clusterIP"]);
    if cluster_ip.is_empty() || cluster_ip == "None" {
        return None;
    }
    let port = |p: &Value| ServiceEnvPort {
        name: str_at(p, &["name"]).to_owned(),
        port: i64_at(p, &["port"]).and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        protocol: at(p, &["protocol"]).and_then(Value::as_str).unwrap_or("TCP").to_owned(),
    };
    Some(ServiceEnv {
        namespace: str_at(value, &["metadata", "namespace"]).to_owned(),
        name: str_at(value, &["metadata", "name"]).to_owned(),
        cluster_ip: cluster_ip.to_owned(),
        ports: list_at(value, &["spec", "ports"]).iter().map(port).collect(),
    })
}

/// The user that a node is.
fn user(name: &str) -> UserInfo {
    UserInfo::node(name)
}
