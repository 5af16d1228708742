//! One pod on this node: Kubernetes' `syncPod` as a state machine.
//!
//! A pod goes through the stages of [`Stage`] in order and never back. Within `Active`, [`Worker::sync`] looks at all
//! containers and moves each one a step; it may be called at any time and does nothing when there is nothing to do.

use std::sync::Arc;

use object::scheduling::ResourceList;
use object::value::{list_at, str_at};
use object::{Time, Value, json};

use crate::admission::{self, Rejection};
use crate::container::{ContainerWorker, Role, State, Surroundings, Terminated};
use crate::env::{self, Resolver, Unresolved};
use crate::io::{ContainerId, FoundPod, Output, VolumeContent};
use crate::node_state::Context;
use crate::pod::{Container, Pod};
use crate::resize::{self, Pending};
use crate::status::{self, Condition, Facts};
use crate::volume;

const DEFAULT_GRACE_SECONDS: i64 = 30;
/// How long a volume or sandbox that could not be made is left alone.
const RETRY_SECONDS: u64 = 2;
/// How long a refusal is kept back: a controller that replaces refused pods at once would otherwise turn in circles as fast as
/// the machine can.
const REFUSAL_MILLIS: u64 = 100;
/// How long the API may say something else than what was sent last, before it is sent again.
const RECONCILE_SECONDS: u64 = 10;

/// How far a pod has got.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Its volumes are being made.
    Mounting(Wait),
    /// Its sandbox is being made.
    Networking(Wait),
    /// Its containers run, or are on their way.
    Active,
    /// Its containers are ending, for this reason; main containers are given until the deadline.
    Stopping {
        /// When the last one is killed.
        deadline: Time,
    },
    /// All containers have ended and will not start again.
    Ended,
}

/// What a stage waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: it can be asked for at once.
    Nothing,
    /// The runtime's answer.
    Runtime,
    /// A time.
    Until(Time),
}

/// One pod on this node.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The pod as the API has it.
    pub pod: Arc<Pod>,
    /// What it asks of the node.
    pub requests: ResourceList,
    /// A change of its resources that the node cannot make now.
    pub resize: Option<Pending>,
    /// How far it has got.
    pub stage: Stage,
    containers: Vec<ContainerWorker>,
    ips: Vec<String>,
    start_time: Time,
    has_sandbox: bool,
    initialized: bool,
    /// Set if the pod fails for a reason of its own.
    failed: Option<Rejection>,
    /// The pod is gone from the API.
    pub orphaned: bool,
    /// It had ended before this kubelet began: its status stands.
    settled: bool,
    mounted: Vec<VolumeContent>,
    /// Something that files are made from has changed.
    stale_volumes: bool,
    conditions: Vec<Condition>,
    sent: Value,
    /// When an undelivered status or deletion is tried again.
    resend: Option<Time>,
    deletion_sent: bool,
    /// Since when the API says something else than what was sent, and when that is looked at.
    contradicted: Option<Time>,
    /// The sandbox was given back.
    removed: bool,
}

impl Worker {
    /// A pod that is new here: refused with `rejection`, or about to begin.
    pub fn new(pod: Arc<Pod>, rejection: Option<Rejection>, cx: &mut Context<'_>) -> Self {
        let spec = &pod.spec;
        let mut containers = Vec::with_capacity(spec.init_containers.len() + spec.containers.len());
        for c in &spec.init_containers {
            containers.push(ContainerWorker::new(if c.is_sidecar() { Role::Sidecar } else { Role::Init }, c));
        }
        containers.extend(spec.containers.iter().map(|c| ContainerWorker::new(Role::Main, c)));
        containers.extend(spec.ephemeral_containers.iter().map(|c| ContainerWorker::new(Role::Ephemeral, c)));
        let mut worker = Worker {
            requests: admission::requests(&pod),
            resize: None,
            stage: Stage::Mounting(Wait::Nothing),
            containers,
            ips: Vec::new(),
            start_time: pod.status.start_time.unwrap_or(cx.now),
            has_sandbox: false,
            initialized: pod.spec.init_containers.is_empty(),
            failed: None,
            orphaned: false,
            settled: false,
            mounted: Vec::new(),
            stale_volumes: false,
            conditions: Vec::new(),
            sent: Value::Null,
            resend: None,
            deletion_sent: false,
            contradicted: None,
            removed: false,
            pod,
        };
        if let Some(rejection) = rejection {
            let event = rejection.message.clone();
            // Event reasons are fixed texts elsewhere; here they follow the resource.
            let reason = match rejection.reason.as_str() {
                "OutOfcpu" => "OutOfcpu",
                "OutOfmemory" => "OutOfmemory",
                "OutOfpods" => "OutOfpods",
                "NodeAffinity" => "NodeAffinity",
                "NodePorts" => "NodePorts",
                "TaintToleration" => "TaintToleration",
                _ => "UnexpectedAdmissionError",
            };
            cx.event(&worker.pod, String::new(), true, reason, event);
            let message = format!("Pod was rejected: {}", rejection.message);
            worker.failed = Some(Rejection { reason: rejection.reason, message });
            worker.stage = Stage::Ended;
            worker.resend = Some(cx.now.plus_millis(REFUSAL_MILLIS));
        } else if worker.pod.is_terminal() {
            worker.remember_lost_containers(cx.now);
            worker.stage = Stage::Ended;
            worker.settled = true;
        } else {
            worker.remember_lost_containers(cx.now);
            worker.acquire(cx);
        }
        worker
    }

    /// Follows the ConfigMaps and Secrets that it needs.
    fn acquire(&self, cx: &mut Context<'_>) {
        let mut references = env::references(&self.pod);
        references.extend(volume::references(&self.pod));
        cx.node.acquire(&self.pod.uid, references, cx.out);
    }

    /// Containers that the API says ran here and the runtime has no more ended at some unknown time: their restarts count.
    fn remember_lost_containers(&mut self, now: Time) {
        let status = &self.pod.status;
        for container in &mut self.containers {
            let list = match container.role {
                Role::Init | Role::Sidecar => &status.init_container_statuses,
                Role::Main => &status.container_statuses,
                Role::Ephemeral => &status.ephemeral_container_statuses,
            };
            let Some(known) = list.iter().find(|s| *s.name == *container.name).filter(|s| !s.container_id.is_empty()) else {
                continue;
            };
            container.attempt = known.restart_count;
            container.container_id = known.container_id.clone();
            let ended = known.state.terminated.as_ref();
            let exit = Terminated {
                exit_code: ended.map_or(255, |t| t.exit_code),
                signal: ended.map_or(0, |t| t.signal),
                reason: ended.map_or_else(|| "Unknown".to_owned(), |t| t.reason.clone()),
                message: ended.map_or_else(String::new, |t| t.message.clone()),
                started_at: ended.and_then(|t| t.started_at),
                finished_at: Some(ended.and_then(|t| t.finished_at).unwrap_or(now)),
                container_id: known.container_id.clone(),
            };
            container.state = State::Ended(exit);
        }
    }

    /// Takes over what the runtime had of this pod before this kubelet began.
    pub fn adopt(&mut self, found: &FoundPod, cx: &mut Context<'_>) {
        if self.settled {
            let alive = found.containers.iter().filter(|c| c.exit.is_none());
            cx.out.extend(alive.map(|c| Output::KillContainer(c.id.clone())));
            return;
        }
        self.ips = found.ips.clone();
        self.has_sandbox = true;
        self.stale_volumes = true;
        self.stage = Stage::Active;
        let around = Surroundings { pod: &self.pod, ips: &self.ips };
        for container in &mut self.containers {
            let runs = found.containers.iter().filter(|c| c.id.name == container.name);
            if let Some(latest) = runs.max_by_key(|c| c.id.attempt) {
                container.adopt(latest, &around, cx);
            }
        }
        let started = |c: &ContainerWorker| c.role == Role::Main && !matches!(c.state, State::Idle);
        self.initialized = self.initialized || self.containers.iter().any(started);
    }

    /// Takes a newer version of the object.
    pub fn update(&mut self, pod: Arc<Pod>, cx: &mut Context<'_>) {
        self.stale_volumes |= pod.labels != self.pod.labels || pod.annotations != self.pod.annotations;
        let before = std::mem::replace(&mut self.pod, pod);
        if resize::is_wanted(&before, &self.pod) {
            self.requests = admission::requests(&self.pod);
            let around = Surroundings { pod: &self.pod, ips: &self.ips };
            self.containers.iter_mut().for_each(|container| container.resized(&around, cx, &before));
        }
        if self.settled {
            return;
        }
        // What was sent may still be on its way; if it was overwritten (a node that was away for long), it is sent again.
        self.contradicted = match self.contradicted {
            _ if !self.is_contradicted() => None,
            None => Some(cx.now.plus_secs(RECONCILE_SECONDS)),
            known => known,
        };
        // Ephemeral containers are only ever added.
        let known = |c: &&Container| self.containers.iter().any(|worker| worker.name == c.name);
        let added: Vec<ContainerWorker> = self
            .pod
            .spec
            .ephemeral_containers
            .iter()
            .filter(|c| !known(c))
            .map(|c| ContainerWorker::new(Role::Ephemeral, c))
            .collect();
        if !added.is_empty() {
            self.containers.extend(added);
            self.acquire(cx);
        }
    }

    /// Whether the API says something else of phase and readiness than what was sent last.
    fn is_contradicted(&self) -> bool {
        let there = &self.pod.status;
        let ready = there.conditions.iter().find(|c| c.kind == "Ready").map_or("", |c| c.status.as_str());
        let sent = list_at(&self.sent, &["conditions"]).iter().find(|c| str_at(c, &["type"]) == "Ready");
        let sent_ready = sent.map_or("", |c| str_at(c, &["status"]));
        !self.sent.is_null() && (there.phase != str_at(&self.sent, &["phase"]) || ready != sent_ready)
    }

    /// The container of this name.
    pub fn container(&mut self, name: &str) -> Option<(&mut ContainerWorker, Surroundings<'_>)> {
        let around = Surroundings { pod: &self.pod, ips: &self.ips };
        self.containers.iter_mut().find(|c| &*c.name == name).map(|c| (c, around))
    }

    /// The current run of the container of this name, or the one before it, if there was one.
    pub fn run_of(&self, name: &str, previous: bool) -> Option<ContainerId> {
        let container = self.containers.iter().find(|c| &*c.name == name)?;
        let id = container.id(&self.pod);
        match (previous, container.has_begun()) {
            // Before its process exists, the last run is still the one that people can read.
            (false, true) => Some(id),
            (false, false) | (true, true) => Some(ContainerId { attempt: id.attempt.checked_sub(1)?, ..id }),
            (true, false) => Some(ContainerId { attempt: id.attempt.checked_sub(2)?, ..id }),
        }
    }

    /// All containers, with what is around them.
    pub fn containers(&mut self) -> (&mut [ContainerWorker], Surroundings<'_>) {
        (&mut self.containers, Surroundings { pod: &self.pod, ips: &self.ips })
    }

    /// Whether its containers are to run.
    pub fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Active)
    }

    /// Whether the node's resources are held: for the API, and so for the scheduler, a pod that is gone holds nothing more.
    pub fn holds_resources(&self) -> bool {
        !self.orphaned && !matches!(self.stage, Stage::Ended)
    }

    /// Whether nothing more will come of it and it can be forgotten once the API has.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Ended) && self.orphaned && self.removed
    }

    /// A ConfigMap or Secret that it needs has changed.
    pub fn data_changed(&mut self, now: Time) {
        self.stale_volumes = true;
        for container in &mut self.containers {
            container.reconsider(now);
        }
        if let Stage::Mounting(Wait::Until(until)) = &mut self.stage {
            *until = now;
        }
    }

    /// Takes the answer about the sandbox.
    pub fn sandbox(&mut self, cx: &mut Context<'_>, result: Result<Vec<String>, String>) {
        if !matches!(self.stage, Stage::Networking(_)) {
            return;
        }
        match result {
            Ok(ips) => {
                self.ips = ips;
                self.has_sandbox = true;
                self.stage = Stage::Active;
            }
            Err(why) => {
                let message = format!("Failed to create pod sandbox: {why}");
                cx.event(&self.pod, String::new(), true, "FailedCreatePodSandBox", message);
                self.stage = Stage::Networking(Wait::Until(cx.now.plus_secs(RETRY_SECONDS)));
            }
        }
    }

    /// Takes the answer about the volumes.
    pub fn volumes(&mut self, cx: &mut Context<'_>, result: Result<(), String>) {
        match (result, &self.stage) {
            (Ok(()), Stage::Mounting(_)) => self.stage = Stage::Networking(Wait::Nothing),
            (Err(why), Stage::Mounting(_)) => {
                cx.event(&self.pod, String::new(), true, "FailedMount", why);
                self.stage = Stage::Mounting(Wait::Until(cx.now.plus_secs(RETRY_SECONDS)));
                self.mounted.clear();
            }
            _ => {}
        }
    }

    /// A status or deletion did not arrive.
    pub fn undelivered(&mut self, now: Time) {
        self.sent = Value::Null;
        self.deletion_sent = false;
        self.resend = Some(now.plus_secs(1));
    }

    /// Moves everything that can move.
    pub fn sync(&mut self, cx: &mut Context<'_>) {
        self.begin_end(cx);
        if let Stage::Mounting(wait) = self.stage {
            self.mount(wait, cx);
        }
        if let Stage::Networking(wait) = self.stage {
            let due = wait == Wait::Nothing || matches!(wait, Wait::Until(at) if cx.now >= at);
            if due {
                cx.out.push(Output::CreateSandbox(self.pod.clone()));
                self.stage = Stage::Networking(Wait::Runtime);
            }
        }
        if let Stage::Active = self.stage {
            self.refresh_volumes(cx);
            self.run_containers(cx);
        }
        if let Stage::Stopping { deadline } = self.stage {
            self.stop_containers(deadline, cx);
        }
        let around = Surroundings { pod: &self.pod, ips: &self.ips };
        for container in &mut self.containers {
            container.tick(&around, cx);
        }
    }

    /// Deletion, the active deadline and the pod's disappearance begin its end.
    fn begin_end(&mut self, cx: &mut Context<'_>) {
        let asked = self.pod.deletion.map(|d| d.grace_seconds).or_else(|| self.orphaned.then_some(1));
        let deadline_at = self.active_deadline();
        let grace = match asked {
            Some(grace) => grace,
            None if deadline_at.is_some_and(|at| cx.now >= at) && !matches!(self.stage, Stage::Ended) => {
                if self.failed.is_none() {
                    let message = "Pod was active on the node longer than the specified deadline";
                    cx.event(&self.pod, String::new(), false, "DeadlineExceeded", message.to_owned());
                    self.failed = Some(Rejection { reason: "DeadlineExceeded".to_owned(), message: message.to_owned() });
                }
                self.grace_seconds()
            }
            None => return,
        };
        let asked_deadline = cx.now.plus_secs(u64::try_from(grace).unwrap_or(0));
        match &mut self.stage {
            Stage::Ended => {}
            // A later, stricter wish shortens the grace period; it never grows.
            Stage::Stopping { deadline } => *deadline = (*deadline).min(asked_deadline),
            _ => self.stage = Stage::Stopping { deadline: asked_deadline },
        }
    }

    fn grace_seconds(&self) -> i64 {
        self.pod.spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS).max(0)
    }

    fn active_deadline(&self) -> Option<Time> {
        let seconds = u64::try_from(self.pod.spec.active_deadline_seconds?).ok()?;
        Some(self.start_time.plus_secs(seconds))
    }

    fn mount(&mut self, wait: Wait, cx: &mut Context<'_>) {
        if wait == Wait::Runtime || matches!(wait, Wait::Until(at) if cx.now < at) {
            return;
        }
        let resolver = Resolver { config: cx.config, node: cx.node, pod: &self.pod, ips: &self.ips };
        match volume::contents(&resolver) {
            Ok(contents) if contents.is_empty() => self.stage = Stage::Networking(Wait::Nothing),
            Ok(contents) => {
                self.mounted = contents.clone();
                cx.out.push(Output::Materialise(self.pod.reference(), contents));
                self.stage = Stage::Mounting(Wait::Runtime);
            }
            // The answer to the fetch wakes the pod.
            Err((_, Unresolved::Wait)) => {}
            Err((name, Unresolved::Missing(why))) => {
                let message = format!("MountVolume.SetUp failed for volume {name:?} : {why}");
                cx.event(&self.pod, String::new(), true, "FailedMount", message);
                self.stage = Stage::Mounting(Wait::Until(cx.now.plus_secs(RETRY_SECONDS)));
            }
        }
    }

    /// Files follow their ConfigMaps, Secrets and labels while the pod runs.
    fn refresh_volumes(&mut self, cx: &mut Context<'_>) {
        if !std::mem::take(&mut self.stale_volumes) {
            return;
        }
        let resolver = Resolver { config: cx.config, node: cx.node, pod: &self.pod, ips: &self.ips };
        if let Ok(contents) = volume::contents(&resolver)
            && contents != self.mounted
        {
            self.mounted = contents.clone();
            cx.out.push(Output::Materialise(self.pod.reference(), contents));
        }
    }

    fn run_containers(&mut self, cx: &mut Context<'_>) {
        let around = Surroundings { pod: &self.pod, ips: &self.ips };
        // People look into a pod because something is wrong with it: they need not wait for its init containers.
        for container in self.containers.iter_mut().filter(|c| c.role == Role::Ephemeral && c.ended().is_none()) {
            container.advance(&around, cx);
        }
        let mut through = true;
        for container in self.containers.iter_mut().filter(|c| c.role.is_init()) {
            match container.role {
                // After the main containers began, a finished init container is never run again.
                Role::Init if self.initialized => {}
                Role::Init => {
                    let exit = container.ended().map(|exit| exit.exit_code);
                    if exit == Some(0) {
                        continue;
                    }
                    if container.is_over(&self.pod) {
                        self.stage = Stage::Stopping { deadline: cx.now.plus_secs(30) };
                        return;
                    }
                    container.advance(&around, cx);
                    through = false;
                }
                Role::Sidecar | Role::Main | Role::Ephemeral => {
                    container.advance(&around, cx);
                    through = through && (self.initialized || container.is_started());
                }
            }
            if !through {
                return;
            }
        }
        self.initialized = true;
        let mut over = true;
        for container in self.containers.iter_mut().filter(|c| c.role == Role::Main) {
            if !container.is_over(&self.pod) {
                container.advance(&around, cx);
                over = false;
            }
        }
        if over {
            self.stage = Stage::Stopping { deadline: cx.now.plus_secs(u64::try_from(self.grace_seconds()).unwrap_or(0)) };
        }
    }

    /// Main containers end first, all at once; sidecars follow in the reverse of their order.
    fn stop_containers(&mut self, deadline: Time, cx: &mut Context<'_>) {
        let left = deadline.0.saturating_sub(cx.now.0).div_ceil(1_000_000);
        let around = Surroundings { pod: &self.pod, ips: &self.ips };
        let mut alive = false;
        for container in self.containers.iter_mut().filter(|c| c.role != Role::Sidecar) {
            container.stop(&around, cx, left, None);
            alive = alive || container.is_alive();
        }
        for container in self.containers.iter_mut().rev().filter(|c| c.role == Role::Sidecar) {
            if alive {
                break;
            }
            container.stop(&around, cx, left.max(2), None);
            alive = container.is_alive();
        }
        if !alive {
            self.stage = Stage::Ended;
        }
    }

    /// Says what the API does not know yet: the status, and in the end that the pod can go.
    pub fn report(&mut self, cx: &mut Context<'_>) {
        if self.resend.is_some_and(|at| cx.now >= at) {
            self.resend = None;
        }
        if self.contradicted.is_some_and(|at| cx.now >= at) {
            self.contradicted = None;
            self.sent = Value::Null;
        }
        // A kubelet says how a pod is before it acts on it, and acts in one go: who looks sees a container that is replaced as it
        // was, and then as it is.
        let replacing = matches!(self.stage, Stage::Active) && self.containers.iter().any(|c| c.is_being_replaced(&self.pod));
        if !self.orphaned && !self.settled && !replacing && self.resend.is_none() {
            let status = self.status(cx);
            if status != self.sent {
                let mut patch = json!({"metadata": {"uid": &*self.pod.uid}});
                patch["status"] = status.clone();
                cx.out.push(Output::PatchStatus(self.pod.reference(), patch));
                self.sent = status;
            }
        }
        if !matches!(self.stage, Stage::Ended) {
            return;
        }
        // What it printed can be read until the pod is deleted.
        if !self.removed && self.orphaned {
            self.removed = true;
            cx.node.release(&self.pod.uid, cx.out);
            cx.out.push(Output::RemoveSandbox(self.pod.uid.clone()));
        }
        if self.pod.deletion.is_some() && !self.orphaned && !self.deletion_sent && self.resend.is_none() {
            self.deletion_sent = true;
            cx.out.push(Output::DeletePod(self.pod.reference()));
        }
    }

    fn status(&mut self, cx: &Context<'_>) -> Value {
        let failed = self.failed.as_ref().map(|r| (r.reason.as_str(), r.message.as_str()));
        let facts = Facts {
            config: cx.config,
            pod: &self.pod,
            containers: &self.containers,
            ips: &self.ips,
            start_time: self.start_time,
            has_sandbox: self.has_sandbox,
            initialized: self.initialized,
            // A deadline fails the pod at once; the containers follow.
            failed,
            resize: self.resize.as_ref(),
        };
        let mut phase = status::phase(&facts);
        let ended = matches!(self.stage, Stage::Ended);
        if ended && failed.is_none() && !matches!(phase, "Succeeded" | "Failed") {
            let all = self.containers.iter().filter(|c| c.role == Role::Main);
            let fine = all.clone().all(|c| c.ended().is_some_and(|exit| exit.exit_code == 0));
            phase = if fine { "Succeeded" } else { "Failed" };
        } else if !ended && failed.is_none() && phase == "Failed" && !self.initialized {
            phase = "Pending";
        } else if matches!(self.stage, Stage::Stopping { .. }) && matches!(phase, "Succeeded" | "Failed") && failed.is_none() {
            // Sidecars still run: the pod has not ended.
            phase = "Running";
        }
        let conditions = status::conditions(&facts, phase, &self.conditions, cx.now);
        let status = status::status(&facts, phase, &conditions);
        self.conditions = conditions;
        status
    }

    /// When time alone will change something.
    pub fn next_wake(&mut self) -> Option<Time> {
        let stage = match &self.stage {
            Stage::Mounting(Wait::Until(at)) | Stage::Networking(Wait::Until(at)) => Some(*at),
            Stage::Active => self.active_deadline(),
            _ => None,
        };
        let ended = matches!(self.stage, Stage::Ended);
        let containers = if ended { None } else { self.containers.iter_mut().filter_map(ContainerWorker::next_wake).min() };
        [stage, containers, self.resend, self.contradicted].into_iter().flatten().min()
    }
}
