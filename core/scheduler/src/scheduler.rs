//! The scheduling cycle: follow the store, take a pod, filter, score, bind; or say why not.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use apiserver::{ApiServer, PatchKind, UserInfo, gvr};
use object::events::{EventType, EventWrite, Recorder};
use object::value::{list_at, str_at};
use object::{GroupResource, GroupVersionResource, Result, Rng, Time, json};
use serde::Deserialize;
use store::{Event, Key, Object, Progress, Store};

use crate::cache::Cache;
use crate::explain;
use crate::node_info::NodeInfo;
use crate::plugins::{self, Prepared, Rejection};
use crate::pod_info::PodInfo;
use crate::queue::{Change, Queue, Waiting};

/// With so many nodes or fewer, all are looked at.
const MIN_NODES_TO_FIND: usize = 100;

/// What the scheduler must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pods that name this scheduler are its own.
    pub name: String,
    /// Seed of the choice between equal nodes.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { name: "default-scheduler".to_owned(), seed: 0 }
    }
}

/// The scheduler.
pub struct Scheduler {
    settings: Settings,
    user: UserInfo,
    recorder: Recorder,
    rng: Rng,
    cache: Cache,
    queue: Queue,
    /// Events up to this revision were taken in; `None` before the first run.
    followed: Option<u64>,
    /// Where the search for nodes begins: it goes round, so that all nodes get their share.
    first_node: usize,
    /// Events that are still to be written.
    unsaid: VecDeque<Said>,
    names: Names,
}

/// An event about a pod.
struct Said {
    at: Time,
    pod: Arc<PodInfo>,
    kind: EventType,
    reason: &'static str,
    message: String,
}

struct Names {
    pods: GroupResource,
    nodes: GroupResource,
    pods_v1: GroupVersionResource,
    events_v1: GroupVersionResource,
}

/// What an attempt came to.
enum Attempt {
    /// A node that fits.
    Node(Arc<str>),
    /// None does.
    Nowhere(Vec<Rejection>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPhase {
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStatus {
    phase: String,
}

impl Scheduler {
    /// A scheduler that knows of nothing yet.
    pub fn new(settings: Settings) -> Self {
        Scheduler {
            user: UserInfo::new("system:kube-scheduler", &[]),
            recorder: Recorder::new(&settings.name, ""),
            rng: Rng::new(settings.seed ^ 0x7363_6865_6475_6c65),
            cache: Cache::default(),
            queue: Queue::default(),
            followed: None,
            first_node: 0,
            unsaid: VecDeque::new(),
            names: Names {
                pods: GroupResource::new("", "pods"),
                nodes: GroupResource::new("", "nodes"),
                pods_v1: gvr("", "v1", "pods"),
                events_v1: gvr("", "v1", "events"),
            },
            settings,
        }
    }

    /// Places at most `budget` pods.
    pub fn run(&mut self, api: &mut ApiServer, now: Time, budget: u32) -> Progress {
        self.follow(api.store(), now);
        for _ in 0..budget {
            let Some((key, waiting)) = self.queue.pop(now) else { break };
            self.schedule_one(api, now, &key, &waiting);
            self.follow(api.store(), now);
        }
        Progress { more: self.queue.has_active(), wake_at: self.queue.next_at() }
    }

    fn schedule_one(&mut self, api: &mut ApiServer, now: Time, key: &Key, waiting: &Waiting) {
        let pod = &waiting.pod;
        match self.find_node(pod) {
            Attempt::Node(node) => {
                let name = format!("{}/{}", pod.namespace, pod.name);
                match self.bind(api, now, pod, &node) {
                    Ok(()) => {
                        let message = format!("Successfully assigned {name} to {node}");
                        self.event(now, pod, EventType::Normal, "Scheduled", message);
                    }
                    Err(error) if error.is_not_found() => drop(self.queue.remove(key)),
                    Err(error) if error.is_pending() => self.queue.retry(key, now),
                    Err(error) => {
                        self.event(now, pod, EventType::Warning, "FailedScheduling", error.to_string());
                        self.queue.retry(key, now);
                    }
                }
            }
            Attempt::Nowhere(rejections) => {
                let message = explain::unschedulable(&rejections, pod.preempts);
                // With no node at all, only a node can help.
                let mut by: BTreeSet<_> = rejections.iter().map(|r| r.plugin).collect();
                if rejections.is_empty() {
                    by.insert(plugins::Plugin::NodeUnschedulable);
                }
                self.queue.failed(key, by, now);
                self.write_condition(api, now, key, pod, &message);
                self.event(now, pod, EventType::Warning, "FailedScheduling", message);
            }
        }
    }

    /// Filters and scores; stops looking when enough nodes fit.
    fn find_node(&mut self, pod: &PodInfo) -> Attempt {
        let nodes: Vec<&NodeInfo> = self.cache.nodes().collect();
        let prepared = Prepared::of(pod, &self.cache);
        let enough = nodes_to_find(nodes.len());
        let (mut fitting, mut rejections) = (Vec::new(), Vec::new());
        let mut looked = 0;
        for i in 0..nodes.len() {
            let node = nodes[(self.first_node + i) % nodes.len()];
            looked = i + 1;
            match plugins::filter(pod, node, &prepared) {
                Ok(()) => fitting.push(node),
                Err(rejection) => rejections.push(rejection),
            }
            if fitting.len() >= enough {
                break;
            }
        }
        self.first_node = if nodes.is_empty() { 0 } else { (self.first_node + looked) % nodes.len() };
        if fitting.is_empty() {
            return Attempt::Nowhere(rejections);
        }
        let scores = plugins::score(pod, &fitting, &prepared, nodes.len());
        let best = scores.iter().copied().max().unwrap_or(0);
        let equals: Vec<&&NodeInfo> = fitting.iter().zip(&scores).filter(|(_, score)| **score == best).map(|(n, _)| n).collect();
        let chosen = equals[self.rng.below(equals.len() as u64) as usize];
        Attempt::Node(chosen.name.clone())
    }

    fn bind(&self, api: &mut ApiServer, now: Time, pod: &PodInfo, node: &str) -> Result<()> {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": &*pod.namespace, "name": &*pod.name, "uid": &*pod.uid},
            "target": {"kind": "Node", "name": node},
        });
        let mut client = api.client(now, &self.user);
        client.create_subresource(&self.names.pods_v1, &pod.namespace, &pod.name, "binding", binding).map(drop)
    }

    /// Writes why the pod waits into its PodScheduled condition, unless it stands there already.
    fn write_condition(&self, api: &mut ApiServer, now: Time, key: &Key, pod: &PodInfo, message: &str) {
        let Some(object) = api.store().get(key) else { return };
        let value = object.value();
        let old = list_at(&value, &["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "PodScheduled");
        let same = |field: &str, new: &str| old.is_some_and(|c| str_at(c, &[field]) == new);
        if same("status", "False") && same("reason", "Unschedulable") && same("message", message) {
            return;
        }
        let since = old.filter(|_| same("status", "False")).map_or("", |c| str_at(c, &["lastTransitionTime"]));
        let since = if since.is_empty() { now.rfc3339() } else { since.to_owned() };
        let patch = json!({"metadata": {"uid": &*pod.uid}, "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "observedGeneration": pod.generation, "lastProbeTime": null, "lastTransitionTime": since,
        }]}});
        let mut client = api.client(now, &self.user);
        // The pod may be gone by now; if it is not, the next attempt writes again.
        let _ = client.patch(&self.names.pods_v1, &pod.namespace, &pod.name, "status", PatchKind::Strategic, patch);
    }

    /// Writes at most `budget` events. They can wait: nothing depends on them.
    pub fn speak(&mut self, api: &mut ApiServer, now: Time, budget: u32) -> Progress {
        for _ in 0..budget {
            let Some(said) = self.unsaid.pop_front() else { break };
            self.write_event(api, now, &said);
        }
        Progress { more: !self.unsaid.is_empty(), wake_at: None }
    }

    fn event(&mut self, at: Time, pod: &Arc<PodInfo>, kind: EventType, reason: &'static str, message: String) {
        self.unsaid.push_back(Said { at, pod: pod.clone(), kind, reason, message });
    }

    fn write_event(&mut self, api: &mut ApiServer, now: Time, said: &Said) {
        let pod = &said.pod;
        let about = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "namespace": &*pod.namespace, "name": &*pod.name, "uid": &*pod.uid,
        }});
        let Some(write) = self.recorder.event(said.at, &about, said.kind, said.reason, &said.message) else { return };
        let mut client = api.client(now, &self.user);
        let events = &self.names.events_v1;
        // An event that cannot be written (its namespace is going away) is lost, as on Kubernetes.
        let _ = match write {
            EventWrite::Create(event) => client.create(events, &pod.namespace, event),
            EventWrite::Patch { namespace, name, patch } => client.patch(events, &namespace, &name, "", PatchKind::Merge, patch),
        };
    }

    /// Takes in what has changed since the last time, or everything.
    fn follow(&mut self, store: &Store, now: Time) {
        match self.followed.map(|from| store.events_since(from)) {
            Some(Ok(events)) => {
                for event in events {
                    self.take(event, now);
                }
            }
            _ => {
                self.cache = Cache::default();
                self.queue = Queue::default();
                for resource in [self.names.nodes.clone(), self.names.pods.clone()] {
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
        if key.resource == self.names.nodes {
            if let Some(change) = self.cache.node_changed(&key.name, event.new.as_deref()) {
                self.queue.changed(change, now);
            }
        } else if key.resource == self.names.pods {
            match &event.new {
                Some(pod) => self.pod_changed(key, pod, now),
                None => self.pod_left(key, now),
            }
        }
    }

    fn pod_left(&mut self, key: &Key, now: Time) {
        self.queue.remove(key);
        if self.cache.displace(key) {
            self.queue.changed(Change::PodLeft, now);
        }
    }

    fn pod_changed(&mut self, key: &Key, object: &Object, now: Time) {
        let meta = &object.meta;
        if let Some(placed) = self.cache.placed(key) {
            let same = *placed.uid == *meta.uid
                && placed.generation == meta.generation
                && placed.labels == meta.labels
                && placed.deleting == meta.deletion_timestamp.is_some();
            if same {
                // Only its status is new, and of that only the end matters.
                let raw: RawPhase = serde_json::from_slice(&object.bytes).unwrap_or_default();
                if matches!(raw.status.phase.as_str(), "Succeeded" | "Failed") {
                    self.pod_left(key, now);
                }
                return;
            }
        }
        let pod = Arc::new(PodInfo::of(object));
        if pod.ended {
            self.pod_left(key, now);
        } else if !pod.node_name.is_empty() {
            self.queue.remove(key);
            let newly = self.cache.placed(key).is_none();
            self.cache.place(key, pod);
            if newly {
                self.queue.changed(Change::PodPlaced, now);
            }
        } else if pod.deleting || pod.scheduler_name != self.settings.name {
            self.queue.remove(key);
        } else {
            let same = |w: &Waiting| w.pod.uid == pod.uid && w.pod.generation == pod.generation && w.pod.labels == pod.labels;
            match self.queue.get(key) {
                Some(waiting) if same(waiting) => self.queue.refresh(key, pod),
                _ => self.queue.add(key.clone(), pod, now),
            }
        }
    }
}

/// How many fitting nodes are enough: all of few, a falling share of many, as kube-scheduler has it.
fn nodes_to_find(nodes: usize) -> usize {
    if nodes <= MIN_NODES_TO_FIND {
        return nodes;
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(MIN_NODES_TO_FIND)
}
