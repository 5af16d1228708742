//! The scheduling cycle: follow the store, take a pod, filter, score, bind; or say why not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use apiserver::{ApiServer, DeleteOptions, PatchKind, Preconditions, UserInfo, gvr};
use object::events::{EventType, EventWrite, Recorder};
use object::value::{list_at, str_at};
use object::{GroupResource, GroupVersionResource, Result, Rng, Time, Value, json};
use serde::Deserialize;
use store::{Event, Key, Object, Progress, Store};

use crate::cache::Cache;
use crate::config::Profile;
use crate::explain;
use crate::node_info::NodeInfo;
use crate::plugins::{self, Change, Plugin, Prepared, Rejection, Verdict};
use crate::pod_info::PodInfo;
use crate::preemption::{Candidate, Preemption};
use crate::queue::{Queue, Waiting};

/// With so many nodes or fewer, all are looked at.
const MIN_NODES_TO_FIND: usize = 100;

/// What the scheduler must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pods that name one of these schedulers are its own.
    pub profiles: Vec<Profile>,
    /// Seed of the choice between equal nodes.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { profiles: vec![Profile::default()], seed: 0 }
    }
}

/// The scheduler.
pub struct Scheduler {
    /// By the name of the scheduler, each with who speaks for it.
    profiles: BTreeMap<String, (Arc<Profile>, Recorder)>,
    user: UserInfo,
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
    namespaces: GroupResource,
    claims: GroupResource,
    volumes: GroupResource,
    pods_v1: GroupVersionResource,
    events_v1: GroupVersionResource,
}

/// What an attempt came to.
enum Attempt {
    /// A node that fits.
    Node(Arc<str>),
    /// None does.
    Nowhere(Verdict, Option<Box<Prepared>>),
}

/// What a failed attempt changes about the node that the pod waits for.
enum Nomination {
    /// Nothing.
    Keep,
    /// It waits for none.
    Clear,
    /// For this one.
    Node(Arc<str>),
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
            rng: Rng::new(settings.seed ^ 0x7363_6865_6475_6c65),
            cache: Cache::default(),
            queue: Queue::default(),
            followed: None,
            first_node: 0,
            unsaid: VecDeque::new(),
            names: Names {
                pods: GroupResource::new("", "pods"),
                nodes: GroupResource::new("", "nodes"),
                namespaces: GroupResource::new("", "namespaces"),
                claims: GroupResource::new("", "persistentvolumeclaims"),
                volumes: GroupResource::new("", "persistentvolumes"),
                pods_v1: gvr("", "v1", "pods"),
                events_v1: gvr("", "v1", "events"),
            },
            profiles: settings
                .profiles
                .into_iter()
                .map(|profile| (profile.name.clone(), (Arc::new(profile.clone()), Recorder::new(&profile.name, ""))))
                .collect(),
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
        match self.find_node(api.store(), pod) {
            Attempt::Node(node) => {
                let name = format!("{}/{}", pod.namespace, pod.name);
                match self.bind(api, now, pod, &node) {
                    Ok(()) => {
                        api.scheduled(&pod.scheduler_name, "scheduled");
                        let message = format!("Successfully assigned {name} to {node}");
                        self.event(now, pod, EventType::Normal, "Scheduled", message);
                    }
                    Err(error) if error.is_not_found() => drop(self.queue.remove(key)),
                    Err(error) if error.is_pending() => self.queue.retry(key, now),
                    Err(error) => {
                        api.scheduled(&pod.scheduler_name, "error");
                        self.event(now, pod, EventType::Warning, "FailedScheduling", error.to_string());
                        self.queue.retry(key, now);
                    }
                }
            }
            Attempt::Nowhere(verdict, prepared) => {
                api.scheduled(&pod.scheduler_name, "unschedulable");
                let (nomination, said) = self.preempt(api, now, pod, &verdict, prepared.as_deref());
                let message = explain::unschedulable(&verdict, said.as_deref());
                // With no node at all, only a node can help.
                let mut by: BTreeSet<_> = object::order::set(verdict.rejections.iter().map(|(_, r)| r.plugin));
                if by.is_empty() {
                    by.insert(Plugin::NodeUnschedulable);
                }
                self.queue.failed(key, by, now);
                self.write_condition(api, now, key, pod, (&message, &nomination));
                self.event(now, pod, EventType::Warning, "FailedScheduling", message);
            }
        }
    }

    /// Makes room on some node, if that is possible; what comes of it, and what is to be said if nothing does.
    fn preempt(
        &mut self,
        api: &mut ApiServer,
        now: Time,
        pod: &Arc<PodInfo>,
        verdict: &Verdict,
        prepared: Option<&Prepared>,
    ) -> (Nomination, Option<String>) {
        if verdict.rejections.is_empty() {
            return (Nomination::Keep, None);
        }
        let preemption = Preemption { pod, cache: &self.cache, prepared, store: api.store() };
        if let Err(why) = preemption.eligible(verdict) {
            return (Nomination::Keep, Some(why));
        }
        match preemption.find(verdict, &mut self.rng) {
            Ok(candidate) => {
                self.make_room(api, now, pod, &candidate);
                (Nomination::Node(candidate.node), None)
            }
            Err(why) => (Nomination::Clear, Some(why)),
        }
    }

    /// Ends the victims, and sends those elsewhere for whom room was being made there and who go after `pod`.
    fn make_room(&mut self, api: &mut ApiServer, now: Time, pod: &Arc<PodInfo>, candidate: &Candidate) {
        let pods = &self.names.pods_v1;
        for victim in candidate.victims.iter().filter(|victim| !victim.deleting) {
            let message = format!("{}: preempting to accommodate a higher priority pod", pod.scheduler_name);
            let patch = json!({"metadata": {"uid": &*victim.uid}, "status": {"conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": message,
                "observedGeneration": victim.generation, "lastProbeTime": null, "lastTransitionTime": now.rfc3339(),
            }]}});
            let preconditions = Preconditions { uid: Some(victim.uid.to_string()), ..Preconditions::default() };
            let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
            let mut client = api.client(now, &self.user);
            // Who is gone already need not be ended; whoever cannot be is found again at the next attempt.
            let _ = client.patch(pods, &victim.namespace, &victim.name, "status", PatchKind::Strategic, patch);
            let _ = client.delete(pods, &victim.namespace, &victim.name, &options);
            let message = format!("Preempted by pod {} on node {}", pod.uid, candidate.node);
            self.unsaid.push_back(Said { at: now, pod: victim.clone(), kind: EventType::Normal, reason: "Preempted", message });
        }
        let lower = self.cache.nominated(&candidate.node).filter(|(_, other)| other.priority < pod.priority);
        for (_, other) in lower {
            let patch = json!({"metadata": {"uid": &*other.uid}, "status": {"nominatedNodeName": null}});
            let mut client = api.client(now, &self.user);
            let _ = client.patch(pods, &other.namespace, &other.name, "status", PatchKind::Strategic, patch);
        }
    }

    /// Filters and scores; stops looking when enough nodes fit.
    fn find_node(&mut self, store: &Store, pod: &PodInfo) -> Attempt {
        let nodes: Vec<&NodeInfo> = self.cache.nodes().collect();
        let profile = self.profiles.get(&pod.scheduler_name).map(|(profile, _)| profile.clone()).unwrap_or_default();
        let prepared = match Prepared::of(pod, &self.cache, store, &profile) {
            Ok(prepared) => prepared,
            Err((plugin, why)) => {
                let rejection = Rejection { plugin, reasons: Vec::new(), resolvable: false };
                let rejections = nodes.iter().map(|node| (node.name.clone(), rejection.clone())).collect();
                return Attempt::Nowhere(Verdict { rejections, whole: Some(why) }, None);
            }
        };
        let fits = |node: &NodeInfo| plugins::filter_with_nominated(pod, node, &prepared, &self.cache);
        // Where room was made for it, it goes.
        if let Some(node) = self.cache.node(&pod.nominated_node).filter(|node| fits(node).is_ok()) {
            return Attempt::Node(node.name.clone());
        }
        let enough = nodes_to_find(nodes.len());
        let (mut fitting, mut rejections) = (Vec::new(), Vec::new());
        let mut looked = 0;
        for i in 0..nodes.len() {
            let node = nodes[(self.first_node + i) % nodes.len()];
            looked = i + 1;
            match fits(node) {
                Ok(()) => fitting.push(node),
                Err(rejection) => rejections.push((node.name.clone(), rejection)),
            }
            if fitting.len() >= enough {
                break;
            }
        }
        self.first_node = if nodes.is_empty() { 0 } else { (self.first_node + looked) % nodes.len() };
        if fitting.is_empty() {
            return Attempt::Nowhere(Verdict { rejections, whole: None }, Some(Box::new(prepared)));
        }
        let scores = plugins::score(pod, &fitting, &prepared, &self.cache);
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
    fn write_condition(
        &self,
        api: &mut ApiServer,
        now: Time,
        key: &Key,
        pod: &PodInfo,
        (message, nomination): (&str, &Nomination),
    ) {
        let Some(object) = api.store().get(key) else { return };
        let value = object.value();
        let old = list_at(&value, &["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "PodScheduled");
        let same = |field: &str, new: &str| old.is_some_and(|c| str_at(c, &[field]) == new);
        let nominated = str_at(&value, &["status", "nominatedNodeName"]);
        let nominate = match nomination {
            Nomination::Keep => None,
            Nomination::Clear => (!nominated.is_empty()).then_some(Value::Null),
            Nomination::Node(node) => (nominated != &**node).then(|| json!(&**node)),
        };
        let said = same("status", "False") && same("reason", "Unschedulable") && same("message", message);
        if said && nominate.is_none() {
            return;
        }
        let since = old.filter(|_| same("status", "False")).map_or("", |c| str_at(c, &["lastTransitionTime"]));
        let since = if since.is_empty() { now.rfc3339() } else { since.to_owned() };
        let mut patch = json!({"metadata": {"uid": &*pod.uid}, "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "observedGeneration": pod.generation, "lastProbeTime": null, "lastTransitionTime": since,
        }]}});
        if let Some(node) = nominate {
            patch["status"]["nominatedNodeName"] = node;
        }
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
        // Who was pushed off a node may have named another scheduler; then the first one speaks.
        let by_name = self.profiles.contains_key(&pod.scheduler_name);
        let profile = if by_name { self.profiles.get_mut(&pod.scheduler_name) } else { self.profiles.values_mut().next() };
        let Some((_, recorder)) = profile else { return };
        let Some(write) = recorder.event(said.at, &about, said.kind, said.reason, &said.message) else { return };
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
        let Scheduler { cache, queue, names, .. } = self;
        if key.resource == names.nodes {
            if cache.node_changed(&key.name, event.new.as_deref())
                && let Some(node) = cache.node(&key.name)
            {
                queue.changed(|plugin, pod| plugin.helped_by(Change::Node(node), pod, cache), now);
            }
        } else if key.resource == names.pods {
            match &event.new {
                Some(pod) => self.pod_changed(key, pod, now),
                None => self.pod_left(key, now),
            }
        } else if key.resource == names.namespaces {
            if cache.namespace_changed(&key.name, event.new.as_deref()) {
                self.changed(Change::Namespace, now);
            }
        } else if event.new.is_some() && (key.resource == names.claims || key.resource == names.volumes) {
            self.changed(Change::Volume, now);
        }
    }

    /// Wakes the pods that such a change can help.
    fn changed(&mut self, change: Change<'_>, now: Time) {
        let cache = &self.cache;
        self.queue.changed(|plugin, pod| plugin.helped_by(change, pod, cache), now);
    }

    fn pod_left(&mut self, key: &Key, now: Time) {
        self.queue.remove(key);
        self.cache.nominate(key, None);
        if let Some(pod) = self.cache.displace(key) {
            self.changed(Change::PodLeft(&pod), now);
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
            self.cache.nominate(key, None);
            let before = self.cache.placed(key).cloned();
            let comes = before.as_ref().is_none_or(|before| before.labels != pod.labels);
            self.cache.place(key, pod.clone());
            if let Some(before) = &before {
                if before.requests != pod.requests {
                    self.changed(Change::PodLeft(before), now);
                } else if comes {
                    self.changed(Change::PodRelabelled(before), now);
                }
            }
            if comes {
                self.changed(Change::PodPlaced(&pod), now);
            }
        } else if pod.deleting || !self.profiles.contains_key(&pod.scheduler_name) {
            self.queue.remove(key);
            self.cache.nominate(key, None);
        } else {
            self.cache.nominate(key, Some(&pod));
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
