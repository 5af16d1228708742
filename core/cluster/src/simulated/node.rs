//! One simulated node: a kubelet, its scripted runtime, and the writes that it owes the API.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use apiserver::{ApiServer, DeleteOptions, PatchKind, Preconditions, UserInfo, gvr};
use kubelet::io::{Data, Output, PodEvent, PodRef, Reference, ServiceEnv};
use kubelet::scripted::{ScriptedRuntime, Speed};
use kubelet::{Input, Kubelet, Pod, node};
use object::events::{EventType, EventWrite, Recorder};
use object::value::str_at;
use object::{GroupVersionResource, Quantity, Time, Value, json};
use store::Progress;

use crate::wire::Config;

/// How long a registration that failed is left alone.
const RETRY_SECONDS: u64 = 5;

/// How long a container takes to end: long enough that who deletes a pod and looks again sees it on its way.
const STOP_MILLIS: u64 = 300;
/// So many rounds of runtime answers are taken in at one moment; what is left follows in the next step.
const MAX_ROUNDS: u32 = 64;

/// One simulated node.
pub(super) struct Node {
    kubelet: Kubelet,
    runtime: ScriptedRuntime,
    user: UserInfo,
    recorder: Recorder,
    presence: Presence,
    /// Writes that are still to be made, in order.
    owed: VecDeque<Output>,
    /// Events that are still to be written, and when they happened. They come after everything else.
    unsaid: VecDeque<(Time, PodEvent)>,
    /// ConfigMaps and Secrets to follow (`true`) or not any more.
    references: Vec<(Reference, bool)>,
    /// Revisions of this node's own status writes that have not come back yet.
    written: BTreeSet<u64>,
    names: Names,
}

struct Names {
    pods: GroupVersionResource,
    nodes: GroupVersionResource,
    leases: GroupVersionResource,
    events: GroupVersionResource,
}

/// The node's object and Lease.
enum Presence {
    /// They are still to be made, at this time.
    Absent { at: Time },
    /// They are there.
    Registered { since: Time, lease_at: Time, status_at: Time },
}

impl Node {
    /// The node of this number.
    pub fn new(config: &Config, index: u32) -> Self {
        let name = format!("sim-{:04}", index + 1);
        let [a, b] = cluster_network(&config.cluster_cidr);
        let network = [a, b.wrapping_add((index / 256) as u8), (index % 256) as u8];
        let amounts = [("cpu", "16"), ("memory", "64Gi"), ("ephemeral-storage", "100Gi"), ("pods", "110")];
        let capacity: BTreeMap<String, Quantity> =
            amounts.iter().filter_map(|(name, amount)| Some(((*name).to_owned(), Quantity::parse(amount)?))).collect();
        let seed = config.seed ^ (u64::from(index) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut identity = object::Rng::new(seed);
        let kubelet = Kubelet::new(kubelet::Config {
            node_name: name.clone(),
            labels: BTreeMap::from([("wasmkube.dev/runtime".to_owned(), "simulated".to_owned())]),
            runtime_version: "scripted://1.0.0".to_owned(),
            os_image: "wasmkube simulated node".to_owned(),
            kernel_version: "none".to_owned(),
            machine_id: identity.uuid().replace('-', ""),
            boot_id: identity.uuid(),
            addresses: vec![format!("172.18.{}.{}", (index / 250) % 256, index % 250 + 2)],
            port: 10250,
            allocatable: capacity.clone(),
            capacity,
            pod_cidr: format!("{}.{}.{}.0/24", network[0], network[1], network[2]),
            cluster_domain: config.cluster_domain.clone(),
            resizes_in_place: true,
            seed,
            ..kubelet::Config::default()
        });
        Node {
            kubelet,
            runtime: ScriptedRuntime::new(network, Speed { stop_millis: STOP_MILLIS, ..Speed::default() }, seed),
            user: super::user(&name),
            recorder: Recorder::new("kubelet", &name),
            presence: Presence::Absent { at: Time::default() },
            owed: VecDeque::new(),
            unsaid: VecDeque::new(),
            references: Vec::new(),
            written: BTreeSet::new(),
            names: Names {
                pods: gvr("", "v1", "pods"),
                nodes: gvr("", "v1", "nodes"),
                leases: gvr("coordination.k8s.io", "v1", "leases"),
                events: gvr("", "v1", "events"),
            },
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.kubelet.config().node_name
    }

    /// Its kubelet, to ask about containers.
    pub fn kubelet(&self) -> &Kubelet {
        &self.kubelet
    }

    /// Its runtime, to ask for logs.
    pub fn runtime(&self) -> &ScriptedRuntime {
        &self.runtime
    }

    /// A pod of this node is new or has changed.
    pub fn pod(&mut self, now: Time, pod: Arc<Pod>) {
        self.kubelet.handle(now, Input::Pod(pod));
    }

    /// A pod of this node is gone.
    pub fn pod_gone(&mut self, now: Time, uid: Arc<str>) {
        self.kubelet.handle(now, Input::PodGone(uid));
    }

    /// Its Node object has these labels now.
    pub fn labels(&mut self, now: Time, labels: BTreeMap<String, String>) {
        self.kubelet.handle(now, Input::NodeLabels(labels));
    }

    /// The Services have changed.
    pub fn services(&mut self, now: Time, services: Arc<Vec<ServiceEnv>>) {
        self.kubelet.handle(now, Input::Services(services));
    }

    /// A ConfigMap or Secret that it follows is known, or has changed.
    pub fn fetched(&mut self, now: Time, reference: Reference, data: Option<Arc<Data>>) {
        self.kubelet.handle(now, Input::Fetched(reference, data));
    }

    /// ConfigMaps and Secrets that it wants to follow, or no more.
    pub fn take_references(&mut self) -> Vec<(Reference, bool)> {
        std::mem::take(&mut self.references)
    }

    /// Whether this revision is its own status write. Asked once per event.
    pub fn wrote(&mut self, revision: u64) -> bool {
        self.written.remove(&revision)
    }

    /// Does what is due by now; every write takes one from `budget`.
    pub fn run(&mut self, api: &mut ApiServer, now: Time, budget: &mut u32) -> Progress {
        self.keep_presence(api, now, budget);
        for _ in 0..MAX_ROUNDS {
            for input in self.runtime.due(now) {
                self.kubelet.handle(now, input);
            }
            let wishes = self.kubelet.poll(now);
            if wishes.is_empty() && self.runtime.next_wake().is_none_or(|at| at > now) {
                break;
            }
            for wish in wishes {
                match self.runtime.act(now, wish) {
                    Some(Output::Fetch(reference)) => self.references.push((reference, true)),
                    Some(Output::Forget(reference)) => self.references.push((reference, false)),
                    Some(Output::Event(event)) => self.unsaid.push_back((now, event)),
                    Some(owed) => self.owe(owed),
                    None => {}
                }
            }
        }
        while *budget > 0
            && let Some(wish) = self.owed.pop_front()
        {
            *budget -= 1;
            self.write(api, now, wish);
        }
        let presence = match self.presence {
            Presence::Absent { at } => at,
            Presence::Registered { lease_at, status_at, .. } => lease_at.min(status_at),
        };
        let wake = [Some(presence), self.kubelet.next_wake(), self.runtime.next_wake()].into_iter().flatten().min();
        Progress { more: !self.owed.is_empty() || wake.is_some_and(|at| at <= now), wake_at: wake }
    }

    /// Writes events; each takes one from `budget`. Says whether some are left.
    pub fn speak(&mut self, api: &mut ApiServer, now: Time, budget: &mut u32) -> bool {
        while *budget > 0
            && let Some((at, event)) = self.unsaid.pop_front()
        {
            *budget -= 1;
            self.write_event(api, now, at, &event);
        }
        !self.unsaid.is_empty()
    }

    /// A status that is not written yet is replaced by the next of the same pod: each is whole.
    fn owe(&mut self, wish: Output) {
        if let Output::PatchStatus(pod, _) = &wish {
            self.owed.retain(|owed| !matches!(owed, Output::PatchStatus(other, _) if other.uid == pod.uid));
        }
        self.owed.push_back(wish);
    }

    fn keep_presence(&mut self, api: &mut ApiServer, now: Time, budget: &mut u32) {
        match self.presence {
            Presence::Absent { at } if now >= at => {
                *budget = budget.saturating_sub(2);
                self.presence = match self.register(api, now) {
                    Ok(()) => Presence::Registered {
                        since: now,
                        lease_at: now.plus_secs(node::LEASE_RENEW_SECONDS),
                        status_at: now.plus_secs(node::STATUS_REPORT_SECONDS),
                    },
                    Err(_) => Presence::Absent { at: now.plus_secs(RETRY_SECONDS) },
                };
            }
            Presence::Registered { since, mut lease_at, mut status_at } => {
                if now >= lease_at {
                    *budget = budget.saturating_sub(1);
                    lease_at = now.plus_secs(node::LEASE_RENEW_SECONDS);
                    if self.renew_lease(api, now).is_err() {
                        // Somebody has deleted what we stand on.
                        self.presence = Presence::Absent { at: now };
                        return;
                    }
                }
                if now >= status_at {
                    *budget = budget.saturating_sub(1);
                    status_at = now.plus_secs(node::STATUS_REPORT_SECONDS);
                    let status = json!({"status": node::status(&self.kubelet, now, since)});
                    let name = self.name().to_owned();
                    // Lost heartbeats are made up by the next.
                    let _ =
                        api.client(now, &self.user).patch(&self.names.nodes, "", &name, "status", PatchKind::Strategic, status);
                }
                self.presence = Presence::Registered { since, lease_at, status_at };
            }
            Presence::Absent { .. } => {}
        }
    }

    fn register(&mut self, api: &mut ApiServer, now: Time) -> object::Result<()> {
        let name = self.name().to_owned();
        let wanted = node::object(&self.kubelet, now);
        let mut client = api.client(now, &self.user);
        match client.create(&self.names.nodes, "", wanted) {
            Err(error) if !error.is_already_exists() => return Err(error),
            // Made now, or there since an earlier life.
            _ => {}
        }
        let status = json!({"status": node::status(&self.kubelet, now, now)});
        let made = client.patch(&self.names.nodes, "", &name, "status", PatchKind::Strategic, status)?;
        let lease = node::lease(self.kubelet.config(), now, str_at(&made, &["metadata", "uid"]));
        match client.create(&self.names.leases, node::LEASE_NAMESPACE, lease) {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        }
    }

    fn renew_lease(&mut self, api: &mut ApiServer, now: Time) -> object::Result<()> {
        let name = self.name().to_owned();
        let mut client = api.client(now, &self.user);
        let renewal = node::lease_renewal(now);
        client.patch(&self.names.leases, node::LEASE_NAMESPACE, &name, "", PatchKind::Merge, renewal).map(drop)
    }

    fn write(&mut self, api: &mut ApiServer, now: Time, wish: Output) {
        match wish {
            Output::PatchStatus(pod, patch) => self.write_status(api, now, &pod, patch),
            Output::DeletePod(pod) => {
                let preconditions = Preconditions { uid: Some(pod.uid.to_string()), ..Preconditions::default() };
                let options = DeleteOptions { grace_period_seconds: Some(0), preconditions, ..DeleteOptions::default() };
                let done = api.client(now, &self.user).delete(&self.names.pods, &pod.namespace, &pod.name, &options);
                if done.is_err_and(|error| !error.is_not_found() && !error.is_conflict()) {
                    self.kubelet.handle(now, Input::DeleteFailed(pod.uid));
                }
            }
            // The runtime keeps everything else for itself.
            _ => {}
        }
    }

    fn write_status(&mut self, api: &mut ApiServer, now: Time, pod: &PodRef, patch: Value) {
        let before = api.store().revision();
        let mut client = api.client(now, &self.user);
        let done = client.patch(&self.names.pods, &pod.namespace, &pod.name, "status", PatchKind::Strategic, patch);
        match done {
            Ok(_) if api.store().revision() > before => {
                self.written.insert(api.store().revision());
            }
            Ok(_) => {}
            // Gone, or another pod of the same name: its deletion is on its way to us.
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(_) => self.kubelet.handle(now, Input::StatusFailed(pod.uid.clone())),
        }
    }

    fn write_event(&mut self, api: &mut ApiServer, now: Time, at: Time, event: &PodEvent) {
        let pod = &event.pod;
        let mut about = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "namespace": pod.namespace, "name": pod.name, "uid": &*pod.uid,
        }});
        if !event.field_path.is_empty() {
            about["fieldPath"] = event.field_path.as_str().into();
        }
        let kind = if event.warning { EventType::Warning } else { EventType::Normal };
        let Some(write) = self.recorder.event(at, &about, kind, event.reason, &event.message) else { return };
        let mut client = api.client(now, &self.user);
        // An event that cannot be written (its namespace is going away) is lost, as on Kubernetes.
        let _ = match write {
            EventWrite::Create(event) => client.create(&self.names.events, &pod.namespace, event),
            EventWrite::Patch { namespace, name, patch } => {
                client.patch(&self.names.events, &namespace, &name, "", PatchKind::Merge, patch)
            }
        };
    }
}

/// The first two bytes of the addresses of pods.
fn cluster_network(cidr: &str) -> [u8; 2] {
    let mut bytes = cidr.split('.').map(|byte| byte.parse::<u8>().ok());
    match (bytes.next().flatten(), bytes.next().flatten()) {
        (Some(a), Some(b)) => [a, b],
        _ => [10, 244],
    }
}
