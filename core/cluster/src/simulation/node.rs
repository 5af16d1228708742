//! A node outside of the control plane: the kubelet over the scripted runtime, driven as the host's node agent drives it,
//! through requests and watches only.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kubelet::io::{Output, Reference};
use kubelet::pod::PodUid;
use kubelet::scripted::{ScriptedRuntime, Speed};
use kubelet::{Input, Kubelet, Pod, node};
use object::value::{at, str_at};
use object::{Quantity, Time, Value, json};

use super::http::{JSON, MERGE, Outbox, Reply, STRATEGIC};
use super::reflector::{News, Reflector};
use crate::simulated::{data_of, service_of};

/// How long a write that failed is left alone.
const RETRY_MILLIS: u64 = 700;
/// So many rounds of runtime answers are taken in at one moment.
const MAX_ROUNDS: u32 = 64;

/// A machine, whether its kubelet runs or not.
pub struct Machine {
    /// The Node's name.
    pub name: String,
    index: u32,
    seed: u64,
    /// What its clock shows beyond the true time, in microseconds.
    pub clock: i64,
    /// Its containers; they outlive the kubelet.
    pub runtime: ScriptedRuntime,
    agent: Option<Box<Agent>>,
    /// What it wants to send.
    pub out: Outbox,
    /// It has no power, and never will.
    pub lost: bool,
    /// It says that containers have ended, and lets them run.
    pub keeps_running: bool,
}

/// A kubelet and what it knows of the API.
struct Agent {
    kubelet: Kubelet,
    pods: BTreeMap<PodUid, Value>,
    pod_list: Reflector,
    services: Reflector,
    node: Reflector,
    known_services: BTreeMap<(String, String), Value>,
    fetched: BTreeMap<Reference, Reflector>,
    /// Requests of its own and what they are for.
    open: BTreeMap<u64, Task>,
    /// Writes of each pod that wait for those before.
    writes: BTreeMap<PodUid, VecDeque<Output>>,
    presence: Presence,
    since: Time,
    lease_at: Time,
    status_at: Time,
    uid: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Presence {
    Absent(Time),
    Asking,
    Registered,
}

#[derive(Clone, Debug)]
enum Task {
    Register,
    Label,
    FirstStatus,
    Status,
    Renew,
    Lease,
    WriteStatus(PodUid),
    DeletePod(PodUid),
    Event,
}

impl Machine {
    /// The machine of this number; its kubelet is still to be started.
    pub fn new(seed: u64, index: u32) -> Self {
        let network = [10, 244, index as u8];
        Machine {
            name: format!("node-{index}"),
            index,
            seed: seed ^ (u64::from(index) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            clock: 0,
            runtime: ScriptedRuntime::new(network, Speed::default(), seed ^ u64::from(index)),
            agent: None,
            out: Outbox::default(),
            lost: false,
            keeps_running: false,
        }
    }

    /// What its clock shows.
    pub fn time(&self, now: Time) -> Time {
        Time(now.0.saturating_add_signed(self.clock))
    }

    /// Whether its kubelet runs.
    pub fn is_up(&self) -> bool {
        self.agent.is_some()
    }

    /// Starts the kubelet; it takes over what runs.
    pub fn start(&mut self, now: Time) {
        if self.lost || self.is_up() {
            return;
        }
        let now = self.time(now);
        let mut kubelet = Kubelet::new(self.config());
        self.runtime.due(now);
        kubelet.handle(now, Input::Found(self.runtime.found()));
        self.agent = Some(Box::new(Agent {
            kubelet,
            pods: BTreeMap::new(),
            pod_list: Reflector::new(format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{}", self.name)),
            services: Reflector::new("/api/v1/services"),
            node: Reflector::new(format!("/api/v1/nodes?fieldSelector=metadata.name%3D{}", self.name)),
            known_services: BTreeMap::new(),
            fetched: BTreeMap::new(),
            open: BTreeMap::new(),
            writes: BTreeMap::new(),
            presence: Presence::Absent(now),
            since: now,
            lease_at: Time(u64::MAX),
            status_at: Time(u64::MAX),
            uid: String::new(),
        }));
    }

    /// The kubelet dies; containers go on.
    pub fn stop(&mut self) {
        self.agent = None;
    }

    /// The power fails: containers are gone, and what they were asked to do.
    pub fn power_off(&mut self) {
        self.stop();
        self.seed = self.seed.wrapping_add(1);
        self.runtime = ScriptedRuntime::new([10, 244, self.index as u8], Speed::default(), self.seed);
    }

    /// When there is something to do, in true time.
    pub fn wake(&self) -> Option<Time> {
        let runtime = self.runtime.next_wake();
        let agent = self.agent.as_deref();
        let reflectors = agent
            .into_iter()
            .flat_map(|a| [&a.pod_list, &a.services, &a.node].into_iter().chain(a.fetched.values()).filter_map(Reflector::wake));
        let own = agent.map(|a| match a.presence {
            Presence::Absent(at) => at,
            Presence::Asking => Time(u64::MAX),
            Presence::Registered => a.lease_at.min(a.status_at),
        });
        let kubelet = agent.and_then(|a| a.kubelet.next_wake());
        let at = reflectors.chain([runtime, own, kubelet].into_iter().flatten()).min()?;
        Some(Time(at.0.saturating_add_signed(-self.clock))).filter(|_| !self.lost && (agent.is_some() || runtime.is_some()))
    }

    /// Does what is due.
    pub fn run(&mut self, now: Time) {
        let now = self.time(now);
        let Some(agent) = self.agent.as_deref_mut() else {
            self.runtime.due(now);
            return;
        };
        agent.keep_presence(now, &mut self.out);
        agent.follow(now, &mut self.out);
        for _ in 0..MAX_ROUNDS {
            for input in self.runtime.due(now) {
                agent.kubelet.handle(now, input);
            }
            let wishes = agent.kubelet.poll(now);
            if wishes.is_empty() && self.runtime.next_wake().is_none_or(|at| at > now) {
                break;
            }
            for wish in wishes {
                if self.keeps_running && agent.pretends(now, &wish) {
                    continue;
                }
                if let Some(left) = self.runtime.act(now, wish) {
                    agent.perform(left, &self.name, now, &mut self.out);
                }
            }
        }
        agent.follow(now, &mut self.out);
    }

    /// Takes an answer.
    pub fn reply(&mut self, now: Time, id: u64, reply: &Reply) {
        let now = self.time(now);
        let Some(agent) = self.agent.as_deref_mut() else { return };
        agent.reply(now, id, reply, &self.name, &mut self.out);
    }

    fn config(&self) -> kubelet::Config {
        let amounts = [("cpu", "4"), ("memory", "8Gi"), ("ephemeral-storage", "100Gi"), ("pods", "20")];
        let capacity: BTreeMap<String, Quantity> =
            amounts.iter().filter_map(|(name, amount)| Some(((*name).to_owned(), Quantity::parse(amount)?))).collect();
        kubelet::Config {
            node_name: self.name.clone(),
            labels: BTreeMap::from([("topology.kubernetes.io/zone".to_owned(), format!("zone-{}", self.index % 2))]),
            runtime_version: "scripted://1.0.0".to_owned(),
            machine_id: format!("{:032x}", self.seed),
            boot_id: format!("{:032x}", self.seed ^ 1),
            addresses: vec![format!("172.18.0.{}", self.index + 2)],
            port: 10250,
            allocatable: capacity.clone(),
            capacity,
            pod_cidr: format!("10.244.{}.0/24", self.index),
            seed: self.seed,
            ..kubelet::Config::default()
        }
    }
}

impl Agent {
    /// For a node that lies: the container that is to end is said to have ended.
    fn pretends(&mut self, now: Time, wish: &Output) -> bool {
        let (Output::StopContainer { container, .. } | Output::KillContainer(container)) = wish else {
            return matches!(wish, Output::RemoveSandbox(_) | Output::RemoveContainer(_));
        };
        let exit = kubelet::io::Exit { code: 0, signal: 0, oom_killed: false, started_at: None, at: now, message: String::new() };
        self.kubelet.handle(now, Input::Exited(container.clone(), exit));
        true
    }

    fn follow(&mut self, now: Time, out: &mut Outbox) {
        self.pod_list.run(now, out);
        self.services.run(now, out);
        self.node.run(now, out);
        self.fetched.values_mut().for_each(|reflector| reflector.run(now, out));
    }

    fn keep_presence(&mut self, now: Time, out: &mut Outbox) {
        match self.presence {
            Presence::Absent(at) if at <= now => {
                let object = node::object(&self.kubelet, now);
                self.presence = Presence::Asking;
                self.ask(Task::Register, out.send("POST", "/api/v1/nodes".to_owned(), JSON, &object));
            }
            Presence::Registered => {
                if now >= self.lease_at {
                    self.lease_at = now.plus_secs(node::LEASE_RENEW_SECONDS);
                    let target = format!("{LEASES}/{}", self.kubelet.config().node_name);
                    self.ask(Task::Renew, out.send("PATCH", target, MERGE, &node::lease_renewal(now)));
                }
                if now >= self.status_at {
                    self.status_at = now.plus_secs(node::STATUS_REPORT_SECONDS);
                    self.send_status(Task::Status, now, out);
                }
            }
            _ => {}
        }
    }

    fn send_status(&mut self, task: Task, now: Time, out: &mut Outbox) {
        let status = json!({"status": node::status(&self.kubelet, now, self.since)});
        let target = format!("/api/v1/nodes/{}/status", self.kubelet.config().node_name);
        self.ask(task, out.send("PATCH", target, STRATEGIC, &status));
    }

    fn ask(&mut self, task: Task, id: u64) {
        self.open.insert(id, task);
    }

    fn perform(&mut self, wish: Output, name: &str, now: Time, out: &mut Outbox) {
        match wish {
            Output::Fetch(reference) => {
                let plural = match reference.kind {
                    kubelet::io::DataKind::ConfigMap => "configmaps",
                    kubelet::io::DataKind::Secret => "secrets",
                };
                let target = format!(
                    "/api/v1/namespaces/{}/{plural}?fieldSelector=metadata.name%3D{}",
                    reference.namespace, reference.name
                );
                self.fetched.insert(reference, Reflector::new(target));
            }
            Output::Forget(reference) => {
                if let Some(id) = self.fetched.remove(&reference).and_then(|reflector| reflector.waits_for()) {
                    out.closed.push(id);
                }
            }
            Output::Event(event) => {
                // Kubelets count repetitions up; here each stands for itself, and its name for its content.
                let serial = now.0;
                let object = json!({
                    "apiVersion": "v1", "kind": "Event",
                    "metadata": {"namespace": event.pod.namespace, "name": format!("{}.{serial:016x}", event.pod.name)},
                    "involvedObject": {
                        "apiVersion": "v1", "kind": "Pod", "namespace": event.pod.namespace, "name": event.pod.name,
                        "uid": &*event.pod.uid,
                    },
                    "type": if event.warning { "Warning" } else { "Normal" }, "reason": event.reason, "message": event.message,
                    "source": {"component": "kubelet", "host": name}, "firstTimestamp": now.rfc3339(),
                    "lastTimestamp": now.rfc3339(), "count": 1,
                });
                let target = format!("/api/v1/namespaces/{}/events", event.pod.namespace);
                self.ask(Task::Event, out.send("POST", target, JSON, &object));
            }
            Output::PatchStatus(ref pod, _) | Output::DeletePod(ref pod) => {
                let uid = pod.uid.clone();
                let idle = !self.writes.contains_key(&uid);
                let queue = self.writes.entry(uid.clone()).or_default();
                if matches!((&wish, queue.back()), (Output::PatchStatus(..), Some(Output::PatchStatus(..)))) {
                    queue.pop_back();
                }
                queue.push_back(wish);
                if idle {
                    self.write_next(&uid, out);
                }
            }
            _ => {}
        }
    }

    /// Sends the next write of a pod; those of one pod go one after another.
    fn write_next(&mut self, uid: &PodUid, out: &mut Outbox) {
        let Some(write) = self.writes.get_mut(uid).and_then(VecDeque::pop_front) else {
            self.writes.remove(uid);
            return;
        };
        match write {
            Output::PatchStatus(pod, patch) => {
                let target = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
                self.ask(Task::WriteStatus(uid.clone()), out.send("PATCH", target, STRATEGIC, &patch));
            }
            Output::DeletePod(pod) => {
                let target = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
                let options = json!({
                    "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": &*pod.uid},
                });
                self.ask(Task::DeletePod(uid.clone()), out.send("DELETE", target, JSON, &options));
            }
            _ => {}
        }
    }

    fn reply(&mut self, now: Time, id: u64, reply: &Reply, name: &str, out: &mut Outbox) {
        if let Some(task) = self.open.remove(&id) {
            return self.done(task, now, reply, name, out);
        }
        let mut news = Vec::new();
        if self.pod_list.waits_for() == Some(id) {
            self.pod_list.reply(now, reply, &mut |n| news.push(n));
            news.into_iter().for_each(|n| self.pods(now, n));
        } else if self.services.waits_for() == Some(id) {
            self.services.reply(now, reply, &mut |n| news.push(n));
            news.into_iter().for_each(|n| self.services(now, n));
        } else if self.node.waits_for() == Some(id) {
            self.node.reply(now, reply, &mut |n| news.push(n));
            news.into_iter().for_each(|n| self.node(now, n));
        } else {
            let Some((reference, reflector)) = self.fetched.iter_mut().find(|(_, r)| r.waits_for() == Some(id)) else { return };
            reflector.reply(now, reply, &mut |n| news.push(n));
            let reference = reference.clone();
            for n in news {
                let data = match n {
                    News::All(items, _) => items.into_iter().next(),
                    News::Event(kind, object) if kind != "DELETED" && kind != "BOOKMARK" => Some(object),
                    News::Event(kind, _) if kind == "DELETED" => None,
                    News::Event(..) => continue,
                };
                self.kubelet.handle(now, Input::Fetched(reference.clone(), data.map(|object| data_of(&object))));
            }
        }
    }

    fn pods(&mut self, now: Time, news: News) {
        match news {
            News::All(all, _) => {
                let all: BTreeMap<PodUid, Value> = all.into_iter().map(|pod| (uid(&pod), pod)).collect();
                let gone: Vec<PodUid> = self.pods.keys().filter(|uid| !all.contains_key(*uid)).cloned().collect();
                gone.into_iter().for_each(|uid| self.gone(now, uid));
                all.into_values().for_each(|pod| self.pod(now, pod));
                self.kubelet.handle(now, Input::PodsListed);
            }
            News::Event(kind, pod) => match kind.as_str() {
                "ADDED" | "MODIFIED" => self.pod(now, pod),
                "DELETED" => self.gone(now, uid(&pod)),
                _ => {}
            },
        }
    }

    fn pod(&mut self, now: Time, value: Value) {
        let Some(pod) = Pod::of(&value) else { return };
        let uid = pod.uid.clone();
        if self.pods.get(&uid) != Some(&value) {
            self.kubelet.handle(now, Input::Pod(Arc::new(pod)));
        }
        self.pods.insert(uid, value);
    }

    fn gone(&mut self, now: Time, uid: PodUid) {
        self.pods.remove(&uid);
        self.kubelet.handle(now, Input::PodGone(uid));
    }

    fn services(&mut self, now: Time, news: News) {
        let key = |o: &Value| (str_at(o, &["metadata", "namespace"]).to_owned(), str_at(o, &["metadata", "name"]).to_owned());
        match news {
            News::All(all, _) => self.known_services = all.into_iter().map(|o| (key(&o), o)).collect(),
            News::Event(kind, object) => match kind.as_str() {
                "ADDED" | "MODIFIED" => drop(self.known_services.insert(key(&object), object)),
                "DELETED" => drop(self.known_services.remove(&key(&object))),
                _ => return,
            },
        }
        let services = self.known_services.values().filter_map(service_of).collect();
        self.kubelet.handle(now, Input::Services(Arc::new(services)));
    }

    fn node(&mut self, now: Time, news: News) {
        let object = match news {
            News::All(items, _) => items.into_iter().next(),
            News::Event(kind, object) if kind == "ADDED" || kind == "MODIFIED" => Some(object),
            News::Event(..) => None,
        };
        if let Some(object) = object {
            let labels = object::meta::string_map(at(&object, &["metadata", "labels"]));
            self.kubelet.handle(now, Input::NodeLabels(labels));
        }
    }

    fn done(&mut self, task: Task, now: Time, reply: &Reply, name: &str, out: &mut Outbox) {
        let (status, body) = reply.json();
        let done = (200..300).contains(&status);
        match task {
            Task::Register if status == 409 => {
                let labels = json!({"metadata": {"labels": node::labels(self.kubelet.config())}});
                self.ask(Task::Label, out.send("PATCH", format!("/api/v1/nodes/{name}"), MERGE, &labels));
            }
            Task::Register | Task::Label if done => self.send_status(Task::FirstStatus, now, out),
            Task::FirstStatus if done => {
                str_at(&body, &["metadata", "uid"]).clone_into(&mut self.uid);
                self.presence = Presence::Registered;
                self.lease_at = now;
                self.status_at = now.plus_secs(node::STATUS_REPORT_SECONDS);
            }
            Task::Register | Task::Label | Task::FirstStatus => self.presence = Presence::Absent(now.plus_millis(RETRY_MILLIS)),
            Task::Renew if status == 404 => {
                let lease = node::lease(self.kubelet.config(), now, &self.uid);
                self.ask(Task::Lease, out.send("POST", LEASES.to_owned(), JSON, &lease));
            }
            Task::Renew | Task::Lease if !done => self.lease_at = self.lease_at.min(now.plus_millis(RETRY_MILLIS)),
            Task::Status if !done => self.status_at = self.status_at.min(now.plus_millis(RETRY_MILLIS)),
            Task::WriteStatus(uid) | Task::DeletePod(uid) if done || matches!(status, 404 | 409) => self.write_next(&uid, out),
            Task::WriteStatus(uid) => {
                self.write_next(&uid, out);
                self.kubelet.handle(now, Input::StatusFailed(uid));
            }
            Task::DeletePod(uid) => {
                self.write_next(&uid, out);
                self.kubelet.handle(now, Input::DeleteFailed(uid));
            }
            Task::Status | Task::Renew | Task::Lease | Task::Event => {}
        }
    }
}

/// Where node Leases are.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

fn uid(pod: &Value) -> PodUid {
    str_at(pod, &["metadata", "uid"]).into()
}
