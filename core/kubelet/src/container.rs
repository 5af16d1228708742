//! One container of a pod, from its first wish for an image to its last exit: image, start, hooks, probes, stop, back-off.
//!
//! The pod ([`crate::worker`]) decides when a container should run and when it must end; everything in between is here.

use std::sync::Arc;

use object::{Quantity, Time};
use serde_json::Value;

use crate::backoff::{BackOff, Bounds, go_duration};
use crate::env::{Resolver, Unresolved, environment, expand_all, expand_strictly};
use crate::io::{
    ContainerId, Exit, FoundContainer, Hook, Mount, Output, ProbeKind, ProbeResult, PullError, PulledImage, StartContainer,
    StartError, StartFailure, StartedContainer,
};
use crate::node_state::Context;
use crate::pod::{Container, Pod, PullPolicy};
use crate::probe::{Probes, Verdict, check, kind_name, probe_of};
use crate::resize;

/// After preStop, a container always has this long to end by itself.
const MINIMUM_GRACE_SECONDS: u64 = 2;
/// How long a configuration that leads nowhere is left alone before it is looked at again.
const CONFIG_RETRY_SECONDS: u64 = 10;
/// How soon a kubelet comes back to a pod in which something waits: until then a container that crashed shows how it ended, and
/// not yet that it waits.
const NEXT_LOOK_MILLIS: u64 = 10_000;
/// The same after a first crash, when the news of its two ends come one after the other.
const FIRST_LOOK_MILLIS: u64 = 1_000;

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to completion before the next one.
    Init,
    /// Starts among the init containers and runs beside the main ones.
    Sidecar,
    /// A main container.
    Main,
    /// Added to the running pod by people; runs once, and the pod does not depend on it.
    Ephemeral,
}

impl Role {
    /// The field of the pod's spec that these containers stand in.
    pub fn field(self) -> &'static str {
        match self {
            Role::Init | Role::Sidecar => "initContainers",
            Role::Main => "containers",
            Role::Ephemeral => "ephemeralContainers",
        }
    }

    /// Whether it stands in `initContainers`.
    pub fn is_init(self) -> bool {
        matches!(self, Role::Init | Role::Sidecar)
    }
}

/// Where a container stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// It has not had its turn.
    Idle,
    /// Its image is on its way.
    Pulling,
    /// Its image could not be had; `message` is the registry's.
    PullFailed {
        /// `ErrImagePull`, `ErrImageNeverPull` or `InvalidImageName`.
        reason: &'static str,
        /// What went wrong.
        message: String,
        /// Whether people have been told that we wait (`ImagePullBackOff`).
        backing_off: bool,
        /// When the pull failed.
        failed: Time,
        /// When it is tried again.
        until: Time,
    },
    /// It cannot be put together; tried again at `until`.
    Refused {
        /// `CreateContainerConfigError` or `CreateContainerError`.
        reason: &'static str,
        /// What is wrong.
        message: String,
        /// When it is tried again.
        until: Time,
    },
    /// The runtime was asked to start it.
    Starting,
    /// It runs.
    Running(Box<Running>),
    /// It has ended.
    Ended(Terminated),
    /// It has ended too often and waits.
    CrashLoop {
        /// Its end.
        exit: Terminated,
        /// Whether people have been told that we wait (`CrashLoopBackOff`).
        told: bool,
        /// When they are told.
        tell: Time,
        /// When it is started again.
        until: Time,
    },
}

/// A running container.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// When it began.
    pub since: Time,
    /// The image that it was started from.
    image: Arc<str>,
    /// What is going on besides.
    pub activity: Activity,
    probes: Probes,
}

/// What is going on in a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// postStart has not answered yet: the container does not count as running.
    PostStart,
    /// Nothing special.
    Up,
    /// preStop runs; whatever it does, at `deadline` the container is killed.
    PreStop {
        /// End of the grace period.
        deadline: Time,
    },
    /// It was asked to end.
    Stopping {
        /// When it is killed.
        deadline: Time,
    },
    /// It was killed; its exit is still to come.
    Killed,
}

/// The end of a container, as the API tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Terminated {
    pub exit_code: i32,
    pub signal: i32,
    pub reason: String,
    pub message: String,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    pub container_id: String,
}

/// One container of a pod over all its runs.
#[derive(Clone, Debug)]
pub(crate) struct ContainerWorker {
    /// What it is.
    pub role: Role,
    /// Its name.
    pub name: Arc<str>,
    /// Counts its runs from 0.
    pub attempt: u32,
    /// Where it stands.
    pub state: State,
    /// How its run before the current one ended.
    pub last: Option<Terminated>,
    /// The image's identity once it is known.
    pub image_id: Arc<str>,
    /// `runtime://id` once it was started.
    pub container_id: String,
    /// It is stopped in order to be started again: one thing for who looks from outside, since a kubelet does both in one go.
    replacing: bool,
    /// It is started again whatever its policy says, since it is to run with another definition.
    redefined: bool,
    crash: BackOff,
    pull: BackOff,
}

/// The pod around a container.
pub(crate) struct Surroundings<'a> {
    pub pod: &'a Arc<Pod>,
    pub ips: &'a [String],
}

impl ContainerWorker {
    /// A container that has never run.
    pub fn new(role: Role, spec: &Container) -> Self {
        ContainerWorker {
            role,
            name: spec.name.clone(),
            attempt: 0,
            state: State::Idle,
            last: None,
            image_id: "".into(),
            container_id: String::new(),
            replacing: false,
            redefined: false,
            crash: BackOff::default(),
            pull: BackOff::default(),
        }
    }

    /// The container's part of the pod's spec.
    pub fn spec<'a>(&self, pod: &'a Pod) -> Option<&'a Container> {
        let list = match self.role {
            Role::Init | Role::Sidecar => &pod.spec.init_containers,
            Role::Main => &pod.spec.containers,
            Role::Ephemeral => &pod.spec.ephemeral_containers,
        };
        list.iter().find(|c| c.name == self.name)
    }

    /// `spec.containers{name}`, for events.
    pub fn field_path(&self) -> String {
        format!("spec.{}{{{}}}", self.role.field(), self.name)
    }

    /// The current run.
    pub fn id(&self, pod: &Pod) -> ContainerId {
        ContainerId { pod: pod.uid.clone(), name: self.name.clone(), attempt: self.attempt }
    }

    /// Whether a process of it exists or may exist.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting | State::Running(_))
    }

    /// Whether its current run has had a process.
    pub fn has_begun(&self) -> bool {
        matches!(self.state, State::Running(_) | State::Ended(_) | State::CrashLoop { .. })
    }

    /// Whether it is between an end that the kubelet brought about and its next start.
    pub fn is_being_replaced(&self, pod: &Pod) -> bool {
        self.replacing && !matches!(self.state, State::CrashLoop { .. }) && !self.is_over(pod)
    }

    /// Whether its image is on its way.
    pub fn is_pulling(&self) -> bool {
        matches!(self.state, State::Pulling)
    }

    /// Whether it runs and its postStart hook is done.
    pub fn is_running(&self) -> bool {
        matches!(&self.state, State::Running(r) if r.activity != Activity::PostStart)
    }

    /// Whether it runs and its startup probe has succeeded.
    pub fn is_started(&self) -> bool {
        self.is_running() && matches!(&self.state, State::Running(r) if r.probes.started())
    }

    /// Whether it may get traffic.
    pub fn is_ready(&self) -> bool {
        self.is_running() && matches!(&self.state, State::Running(r) if r.probes.ready())
    }

    /// How it ended, if it is not running (and not about to).
    pub fn ended(&self) -> Option<&Terminated> {
        match &self.state {
            State::Ended(exit) | State::CrashLoop { exit, .. } => Some(exit),
            _ => None,
        }
    }

    /// Whether it has ended with an exit after which it is not started again.
    pub fn is_over(&self, pod: &Pod) -> bool {
        let over = |exit: &Terminated| self.spec(pod).is_none_or(|spec| !spec.runs_again(&pod.spec, exit.exit_code));
        !self.redefined && self.ended().is_some_and(over)
    }

    /// Brings the container to run: called whenever it should and does not.
    pub fn advance(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>) {
        match &self.state {
            State::Idle => self.ensure_image(around, cx),
            State::PullFailed { until, backing_off, .. } => {
                if cx.now >= *until {
                    self.ensure_image(around, cx);
                } else if !backing_off {
                    self.back_off_pull(around, cx);
                }
            }
            State::Refused { until, .. } if cx.now >= *until => self.ensure_image(around, cx),
            State::Ended(exit) => {
                let exit = exit.clone();
                self.restart(exit, around, cx);
            }
            State::CrashLoop { exit, until, .. } if cx.now >= *until => {
                let exit = exit.clone();
                self.restart(exit, around, cx);
            }
            _ => {}
        }
        if let State::CrashLoop { told, tell, .. } = &mut self.state {
            *told = *told || cx.now >= *tell;
        }
    }

    fn restart(&mut self, exit: Terminated, around: &Surroundings<'_>, cx: &mut Context<'_>) {
        let bounds = bounds(cx);
        let failed = exit.finished_at.unwrap_or(cx.now);
        if let Some(until) = self.crash.until(failed, cx.now, bounds) {
            if matches!(self.state, State::Ended(_)) {
                let pod = around.pod;
                let message = format!("Back-off restarting failed container {} in pod {}", self.name, full_name(pod));
                cx.event(pod, self.field_path(), true, "BackOff", message);
            }
            let first = self.crash.millis() <= bounds.base_millis;
            let tell = failed.plus_millis(if first { FIRST_LOOK_MILLIS } else { NEXT_LOOK_MILLIS });
            self.state = State::CrashLoop { exit, told: false, tell, until };
            return;
        }
        self.crash.next(failed, cx.now, bounds);
        if self.attempt > 0 {
            let previous = ContainerId { attempt: self.attempt - 1, ..self.id(around.pod) };
            cx.out.push(Output::RemoveContainer(previous));
        }
        self.last = Some(exit);
        self.attempt = self.attempt.saturating_add(1);
        self.state = State::Idle;
        self.ensure_image(around, cx);
    }

    fn ensure_image(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>) {
        let pod = around.pod;
        let Some(spec) = self.spec(pod) else { return };
        let present = cx.node.images.get(&spec.image).cloned();
        match (spec.image_pull_policy, present) {
            (PullPolicy::IfNotPresent | PullPolicy::Never, Some(info)) => {
                let message =
                    format!("Container image {:?} already present on machine and can be accessed by the pod", spec.image);
                cx.event(pod, self.field_path(), false, "Pulled", message);
                self.image_id = info.id;
                self.start(around, cx);
            }
            (PullPolicy::Never, None) => {
                let message = format!("Container image {:?} is not present with pull policy of Never", spec.image);
                self.pull_failed(around, cx, "ErrImageNeverPull", message);
            }
            _ => {
                cx.event(pod, self.field_path(), false, "Pulling", format!("Pulling image {:?}", spec.image));
                if cx.node.pulling.insert(spec.image.clone()) {
                    cx.out.push(Output::PullImage {
                        image: spec.image.clone(),
                        namespace: pod.namespace.clone(),
                        pull_secrets: pod.spec.image_pull_secrets.iter().map(|r| r.name.clone()).collect(),
                    });
                }
                self.state = State::Pulling;
            }
        }
    }

    /// Takes the answer to a pull of `image`.
    pub fn pulled(
        &mut self,
        around: &Surroundings<'_>,
        cx: &mut Context<'_>,
        image: &Arc<str>,
        result: &Result<PulledImage, PullError>,
    ) {
        let wanted = self.spec(around.pod).is_some_and(|spec| spec.image == *image);
        if !wanted || !matches!(self.state, State::Pulling) {
            return;
        }
        match result {
            Ok(pulled) => {
                let took = go_duration(pulled.millis);
                let message = format!(
                    "Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {} bytes.",
                    pulled.info.size
                );
                cx.event(around.pod, self.field_path(), false, "Pulled", message);
                self.image_id = pulled.info.id.clone();
                self.start(around, cx);
            }
            Err(error) if error.invalid_name => {
                let message = format!("Failed to apply default image tag {image:?}: {}", error.message);
                cx.event(around.pod, self.field_path(), true, "InspectFailed", message.clone());
                self.pull_failed(around, cx, "InvalidImageName", message);
            }
            Err(error) => {
                let message = format!("Failed to pull image {image:?}: {}", error.message);
                cx.event(around.pod, self.field_path(), true, "Failed", message);
                self.pull_failed(around, cx, "ErrImagePull", error.message.clone());
            }
        }
    }

    fn pull_failed(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, reason: &'static str, message: String) {
        let bounds = bounds(cx);
        self.replacing = false;
        self.pull.next(cx.now, cx.now, bounds);
        cx.event(around.pod, self.field_path(), true, "Failed", format!("Error: {reason}"));
        let until = cx.now.plus_millis(self.pull.millis());
        self.state = State::PullFailed { reason, message, backing_off: false, failed: cx.now, until };
    }

    /// The step from `ErrImagePull` to `ImagePullBackOff`, one look at the pod later.
    fn back_off_pull(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>) {
        let path = self.field_path();
        let State::PullFailed { reason, backing_off, failed, .. } = &mut self.state else { return };
        if *reason != "ErrImagePull" || cx.now.millis_since(*failed) < 1_000 {
            return;
        }
        *backing_off = true;
        let image = self.spec(around.pod).map(|s| s.image.clone()).unwrap_or_default();
        cx.event(around.pod, path.clone(), false, "BackOff", format!("Back-off pulling image {image:?}"));
        cx.event(around.pod, path, true, "Failed", "Error: ImagePullBackOff".to_owned());
    }

    fn start(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>) {
        match self.configuration(around, cx) {
            Ok(start) => {
                cx.out.push(Output::StartContainer(Box::new(start)));
                self.state = State::Starting;
            }
            Err(Unresolved::Wait) => {
                // The answer to a fetch wakes the pod; the time is only a net below it.
                self.state = State::Refused { reason: "", message: String::new(), until: cx.now.plus_secs(CONFIG_RETRY_SECONDS) };
            }
            Err(Unresolved::Missing(message)) => self.refuse(around, cx, "CreateContainerConfigError", message),
        }
    }

    /// Lets what could not be put together be tried at once, because something it needs has changed.
    pub fn reconsider(&mut self, now: Time) {
        if let State::Refused { until, .. } = &mut self.state {
            *until = now;
        }
    }

    fn refuse(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, reason: &'static str, message: String) {
        cx.event(around.pod, self.field_path(), true, "Failed", format!("Error: {message}"));
        self.replacing = false;
        self.state = State::Refused { reason, message, until: cx.now.plus_secs(CONFIG_RETRY_SECONDS) };
    }

    fn configuration(&self, around: &Surroundings<'_>, cx: &Context<'_>) -> Result<StartContainer, Unresolved> {
        let pod = around.pod;
        let spec = self.spec(pod).ok_or(Unresolved::Wait)?;
        let env = environment(&Resolver { config: cx.config, node: cx.node, pod, ips: around.ips }, spec)?;
        let lookup = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let mut mounts = Vec::with_capacity(spec.volume_mounts.len());
        for mount in &spec.volume_mounts {
            mounts.push(Mount {
                volume: mount.name.clone(),
                path: mount.mount_path.clone(),
                read_only: mount.read_only,
                sub_path: match mount.sub_path_expr.as_str() {
                    "" => mount.sub_path.clone(),
                    expression => expand_strictly(expression, lookup).and_then(inside).map_err(Unresolved::Missing)?,
                },
            });
        }
        let amount = |list: &crate::pod::Quantities, name: &str| list.get(name).cloned();
        Ok(StartContainer {
            id: self.id(pod),
            pod: pod.clone(),
            image: spec.image.clone(),
            image_id: self.image_id.clone(),
            command: expand_all(&spec.command, &env),
            args: expand_all(&spec.args, &env),
            working_dir: spec.working_dir.clone(),
            mounts,
            cpu_request_milli: amount(&spec.resources.requests, "cpu").map_or(0, |q| q.milli_value()),
            cpu_limit_milli: amount(&spec.resources.limits, "cpu").map(|q| q.milli_value()).filter(|milli| *milli > 0),
            memory_limit: amount(&spec.resources.limits, "memory").map(|q: Quantity| q.value()).filter(|bytes| *bytes > 0),
            pod_ips: around.ips.to_vec(),
            hostname: if pod.spec.hostname.is_empty() { pod.name.clone() } else { pod.spec.hostname.clone() },
            security_context: merged(&pod.spec.security_context, &spec.security_context),
            termination_message_path: spec.termination_message_path.clone(),
            termination_message_from_logs: spec.termination_message_policy == "FallbackToLogsOnError",
            env,
        })
    }

    /// Takes the answer to a start.
    pub fn started(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, result: Result<StartedContainer, StartError>) {
        let pod = around.pod;
        if !matches!(self.state, State::Starting) {
            return;
        }
        let Some(spec) = self.spec(pod) else { return };
        match result {
            Ok(started) => {
                cx.event(pod, self.field_path(), false, "Created", "Container created".to_owned());
                cx.event(pod, self.field_path(), false, "Started", "Container started".to_owned());
                self.container_id = full_id(cx, &started.runtime_id);
                let activity = match &spec.lifecycle.post_start {
                    Some(handler) => {
                        let handler = check(handler, spec, around.ips.first().map_or("", String::as_str));
                        cx.out.push(Output::RunHook { container: self.id(pod), hook: Hook::PostStart, handler });
                        Activity::PostStart
                    }
                    None => Activity::Up,
                };
                let (since, image) = (started.at, spec.image.clone());
                self.state = State::Running(Box::new(Running { since, image, activity, probes: Probes::new(spec, since) }));
                self.replacing = false;
                self.redefined = false;
            }
            Err(error) => match error.reason {
                StartFailure::Config => self.refuse(around, cx, "CreateContainerConfigError", error.message),
                StartFailure::Create => self.refuse(around, cx, "CreateContainerError", error.message),
                StartFailure::Run => {
                    cx.event(pod, self.field_path(), false, "Created", "Container created".to_owned());
                    cx.event(pod, self.field_path(), true, "Failed", format!("Error: {}", error.message));
                    self.state = State::Ended(Terminated {
                        exit_code: 128,
                        reason: "StartError".to_owned(),
                        message: error.message,
                        started_at: Some(Time::default()),
                        finished_at: Some(cx.now),
                        ..Terminated::default()
                    });
                }
            },
        }
    }

    /// Takes over a container that the runtime had before this kubelet began.
    pub fn adopt(&mut self, found: &FoundContainer, around: &Surroundings<'_>, cx: &Context<'_>) {
        let Some(spec) = self.spec(around.pod) else { return };
        let (attempt, image) = (found.id.attempt, spec.image.clone());
        let probes = Probes::new(spec, cx.now);
        self.attempt = attempt;
        self.image_id = found.image_id.clone();
        self.container_id = full_id(cx, &found.runtime_id);
        self.state = match &found.exit {
            Some(exit) => State::Ended(self.terminated(exit, Some(found.started_at))),
            None => State::Running(Box::new(Running { since: found.started_at, image, activity: Activity::Up, probes })),
        };
    }

    /// Takes an exit.
    pub fn exited(&mut self, cx: &Context<'_>, exit: &Exit) {
        let began = match &self.state {
            State::Running(running) => Some(running.since),
            State::Starting => None,
            _ => return,
        };
        let mut end = self.terminated(exit, began);
        end.finished_at = end.finished_at.or(Some(cx.now));
        self.state = State::Ended(end);
    }

    fn terminated(&self, exit: &Exit, began: Option<Time>) -> Terminated {
        let reason = match exit {
            Exit { oom_killed: true, .. } => "OOMKilled",
            Exit { code: 0, .. } => "Completed",
            _ => "Error",
        };
        Terminated {
            exit_code: exit.code,
            signal: exit.signal,
            reason: reason.to_owned(),
            message: exit.message.clone(),
            started_at: exit.started_at.or(began),
            finished_at: Some(exit.at),
            container_id: self.container_id.clone(),
        }
    }

    /// Asks the container to end within `grace_seconds`. Asked again with less time, the shorter one holds.
    pub fn stop(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, grace_seconds: u64, message: Option<String>) {
        let (id, path) = (self.id(around.pod), self.field_path());
        let deadline = cx.now.plus_secs(grace_seconds);
        let Some(spec) = self.spec(around.pod) else { return };
        let State::Running(running) = &mut self.state else { return };
        match &mut running.activity {
            Activity::PreStop { deadline: set } | Activity::Stopping { deadline: set } => *set = (*set).min(deadline),
            Activity::Killed => {}
            Activity::PostStart | Activity::Up => {
                let message = message.unwrap_or_else(|| format!("Stopping container {}", self.name));
                cx.event(around.pod, path, false, "Killing", message);
                match &spec.lifecycle.pre_stop {
                    Some(handler) if grace_seconds > 0 => {
                        let handler = check(handler, spec, around.ips.first().map_or("", String::as_str));
                        cx.out.push(Output::RunHook { container: id, hook: Hook::PreStop, handler });
                        running.activity = Activity::PreStop { deadline };
                    }
                    _ => signal(running, spec, id, deadline, cx),
                }
            }
        }
    }

    /// Stops the container so that it is started anew.
    fn replace(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, grace_seconds: Option<i64>, message: String) {
        let grace = grace_seconds.or(around.pod.spec.termination_grace_period_seconds).unwrap_or(30);
        self.replacing = true;
        self.stop(around, cx, u64::try_from(grace).unwrap_or(0), Some(message));
    }

    /// Its resources are others than in `before`; the runtime gives them to the next run, or to this one as well.
    pub fn resized(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, before: &Pod) {
        let Some(spec) = self.spec(around.pod) else { return };
        let restarts = resize::granted(before, spec).is_some_and(|has| resize::restarts(cx.config, spec, has));
        if restarts && matches!(&self.state, State::Running(r) if r.activity == Activity::Up) {
            let message = format!("Container {} resize requires restart", self.name);
            self.redefined = true;
            self.replace(around, cx, None, message);
        }
    }

    /// Takes the answer to a hook.
    pub fn hook_done(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, hook: Hook, result: &Result<(), String>) {
        let (id, path) = (self.id(around.pod), self.field_path());
        let Some(spec) = self.spec(around.pod) else { return };
        let State::Running(running) = &mut self.state else { return };
        match (hook, &running.activity, result) {
            (Hook::PostStart, Activity::PostStart, Ok(())) => running.activity = Activity::Up,
            (Hook::PostStart, Activity::PostStart, Err(why)) => {
                cx.event(around.pod, path, true, "FailedPostStartHook", format!("PostStartHook failed: {why}"));
                self.replace(around, cx, None, "FailedPostStartHook".to_owned());
            }
            (Hook::PreStop, Activity::PreStop { deadline }, result) => {
                let deadline = (*deadline).max(cx.now.plus_secs(MINIMUM_GRACE_SECONDS));
                signal(running, spec, id, deadline, cx);
                if let Err(why) = result {
                    cx.event(around.pod, path, true, "FailedPreStopHook", format!("PreStopHook failed: {why}"));
                }
            }
            _ => {}
        }
    }

    /// Takes a probe's result; says whether the container must be restarted, and with which grace period.
    pub fn probed(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>, kind: ProbeKind, result: &ProbeResult) {
        let path = self.field_path();
        let Some(spec) = self.spec(around.pod) else { return };
        let State::Running(running) = &mut self.state else { return };
        if running.activity != Activity::Up {
            return;
        }
        match result {
            ProbeResult::Failure(why) => {
                cx.event(around.pod, path, true, "Unhealthy", format!("{} probe failed: {why}", kind_name(kind)));
            }
            ProbeResult::Error(why) => {
                cx.event(
                    around.pod,
                    path,
                    true,
                    "Unhealthy",
                    format!("{} probe errored and resulted in unknown state: {why}", kind_name(kind)),
                );
            }
            ProbeResult::Success => {}
        }
        if running.probes.result(spec, kind, result, cx.now) == Verdict::Restart {
            let of_probe = probe_of(spec, kind).and_then(|p| p.termination_grace_period_seconds);
            let message = format!("Container {} failed {} probe, will be restarted", self.name, kind_name(kind).to_lowercase());
            self.replace(around, cx, of_probe, message);
        }
    }

    /// Does what time brings: probes, the end of a grace period, a changed image.
    pub fn tick(&mut self, around: &Surroundings<'_>, cx: &mut Context<'_>) {
        let id = self.id(around.pod);
        let Some(spec) = self.spec(around.pod) else { return };
        let State::Running(running) = &mut self.state else { return };
        match running.activity {
            Activity::PreStop { deadline } | Activity::Stopping { deadline } if cx.now >= deadline => {
                cx.out.push(Output::KillContainer(id));
                running.activity = Activity::Killed;
            }
            Activity::Up if running.image != spec.image => {
                let message = format!("Container {} definition changed, will be restarted", self.name);
                self.redefined = true;
                self.replace(around, cx, None, message);
            }
            Activity::Up => {
                for probe in running.probes.due(spec, cx.now) {
                    let Some(asked) = probe_of(spec, probe) else { continue };
                    let handler = check(&asked.handler, spec, around.ips.first().map_or("", String::as_str));
                    let timeout_seconds = asked.timeout_seconds.max(1);
                    cx.out.push(Output::Probe { container: id.clone(), probe, handler, timeout_seconds });
                }
            }
            _ => {}
        }
    }

    /// When time alone will change something.
    pub fn next_wake(&mut self) -> Option<Time> {
        match &mut self.state {
            State::Idle | State::Pulling | State::Starting | State::Ended(_) => None,
            State::PullFailed { backing_off: false, failed, until, reason, .. } if *reason == "ErrImagePull" => {
                Some((*until).min(failed.plus_secs(1)))
            }
            State::CrashLoop { told: false, tell, until, .. } => Some((*tell).min(*until)),
            State::PullFailed { until, .. } | State::Refused { until, .. } | State::CrashLoop { until, .. } => Some(*until),
            State::Running(running) => match running.activity {
                Activity::Up => running.probes.next_wake(),
                Activity::PreStop { deadline } | Activity::Stopping { deadline } => Some(deadline),
                Activity::PostStart | Activity::Killed => None,
            },
        }
    }

    /// How long it waits in its crash loop, for messages.
    pub fn crash_wait(&self) -> String {
        go_duration(self.crash.millis())
    }
}

/// A path that stays inside its volume. What stands in the spec itself has been checked by the API.
fn inside(path: String) -> Result<String, String> {
    match path.as_str() {
        absolute if absolute.starts_with('/') => Err(format!("error SubPath `{path}` must not be an absolute path")),
        steps if steps.split('/').any(|step| step == "..") => {
            Err(format!("unable to provision SubPath `{path}`: must not contain '..'"))
        }
        _ => Ok(path),
    }
}

fn signal(running: &mut Running, spec: &Container, container: ContainerId, deadline: Time, cx: &mut Context<'_>) {
    if deadline <= cx.now {
        cx.out.push(Output::KillContainer(container));
        running.activity = Activity::Killed;
        return;
    }
    let signal = spec.lifecycle.stop_signal.clone().unwrap_or_else(|| "SIGTERM".to_owned());
    cx.out.push(Output::StopContainer { container, signal });
    running.activity = Activity::Stopping { deadline };
}

fn bounds(cx: &Context<'_>) -> Bounds {
    Bounds { base_millis: cx.config.backoff_base_millis, max_millis: cx.config.backoff_max_millis }
}

/// `web-1_default(uid)`, as the kubelet names pods in messages.
pub(crate) fn full_name(pod: &Pod) -> String {
    format!("{}_{}({})", pod.name, pod.namespace, pod.uid)
}

fn full_id(cx: &Context<'_>, id: &str) -> String {
    let runtime = cx.config.runtime_version.split("://").next().unwrap_or("");
    format!("{runtime}://{id}")
}

/// The container's security settings over the pod's.
fn merged(pod: &Value, container: &Value) -> Value {
    match (pod, container) {
        (Value::Object(pod), Value::Object(container)) => {
            let mut out = pod.clone();
            out.extend(container.clone());
            Value::Object(out)
        }
        (Value::Object(_), _) => pod.clone(),
        (_, container) => container.clone(),
    }
}
