//! A runtime without processes, for tests and for nodes in the browser: containers that start, print, become ready, fail and
//! stop as their command, their image or their pod's annotations say.
//!
//! What a container does is found in this order:
//!
//! 1. Annotations of the pod, each optionally with `.CONTAINER` at its end for one container only:
//!    `wasmkube.dev/exit-code` (ends with this code), `wasmkube.dev/run-for` (after this long, `5s`; at once by default if an
//!    exit code is given), `wasmkube.dev/oom-after` (exceeds its memory limit then), `wasmkube.dev/start-latency` (time from
//!    start to running), `wasmkube.dev/ready-after` (probes fail before), `wasmkube.dev/fail-probes` (a list of `startup`,
//!    `liveness`, `readiness`), `wasmkube.dev/ignore-sigterm` (`true`: only SIGKILL ends it), `wasmkube.dev/log` (what it prints).
//! 2. Its command, as far as it is simple shell: `sleep`, `echo`, `env`, `id`, `exit`, `true`, `false`, `touch`, `rm`, `cat`, joined by `;` or `&&`
//!    (see [`script`]), with variables and `if` (see [`shell`]). Files in `emptyDir` and `hostPath` volumes are there for the next run.
//! 3. Its image: those that are shells or say hello end at once, everything else is a server that runs until it is stopped.
//!
//! Any image can be had, except where its registry ends in `.invalid` or begins with `invalid.`, and where its name says that
//! there is none (`does-not-exist`, `non-existent`, `nonexistent`, or `404` for a tag).
//!
//! Invariant: what a log shows was printed by the script; nothing imitates a real program's output.

mod images;
mod script;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::{Rng, Time};

use crate::io::{
    Check, ContainerId, Exit, FoundContainer, FoundPod, Hook, Input, Output, ProbeKind, ProbeResult, PulledImage, StartContainer,
    StartedContainer,
};
use crate::pod::{Pod, PodUid};
use script::Plan;
use shell::Scene;

/// So many files in volumes are remembered on a node.
const MAX_KEPT_FILES: usize = 10_000;

/// How fast things happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Milliseconds from the wish to start a container to its running.
    pub start_millis: u64,
    /// Milliseconds that an image takes to come.
    pub pull_millis: u64,
    /// Milliseconds that a container takes to end when asked to.
    pub stop_millis: u64,
}

impl Default for Speed {
    fn default() -> Self {
        Speed { start_millis: 20, pull_millis: 50, stop_millis: 20 }
    }
}

/// A node's containers.
#[derive(Debug)]
pub struct ScriptedRuntime {
    speed: Speed,
    rng: Rng,
    /// The first three bytes of the node's pod addresses.
    network: [u8; 3],
    addresses: BTreeMap<PodUid, u8>,
    containers: BTreeMap<ContainerId, Scripted>,
    /// Files in volumes, by their place on the node.
    kept: BTreeMap<String, KeptFile>,
    /// What will have happened by when; the number keeps the order of equal times.
    agenda: BTreeMap<(Time, u64), Input>,
    sequence: u64,
}

/// A container that was started.
#[derive(Debug)]
struct Scripted {
    pod: Arc<Pod>,
    runtime_id: String,
    image_id: Arc<str>,
    plan: Plan,
    behaviour: Behaviour,
    /// Where its last words are, and whether its log stands in for them after a failure.
    last_words: (String, bool),
    began: Time,
    /// When and with what it ended.
    ended: Option<(Time, i32)>,
    /// Its entry in the agenda, if it ends by itself.
    own_end: Option<(Time, u64)>,
}

/// A file in a volume.
#[derive(Debug)]
struct KeptFile {
    /// Who makes or removes it, and when.
    by: ContainerId,
    at: Time,
    made: bool,
}

/// What annotations say.
#[derive(Clone, Debug, Default)]
struct Behaviour {
    ignore_sigterm: bool,
    ready_after_millis: u64,
    failing: BTreeSet<String>,
}

impl ScriptedRuntime {
    /// A node whose pods get addresses in `network`.0/24.
    pub fn new(network: [u8; 3], speed: Speed, seed: u64) -> Self {
        ScriptedRuntime {
            speed,
            rng: Rng::new(seed),
            network,
            addresses: BTreeMap::new(),
            containers: BTreeMap::new(),
            kept: BTreeMap::new(),
            agenda: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Carries out a wish of the kubelet, or gives it back if it is not for a runtime (statuses, events, fetches).
    pub fn act(&mut self, now: Time, wish: Output) -> Option<Output> {
        match wish {
            Output::CreateSandbox(pod) => {
                let answer = self.address(&pod);
                self.later(now, Input::Sandbox(pod.uid.clone(), answer));
            }
            Output::RemoveSandbox(uid) => {
                self.addresses.remove(&uid);
                let own = pod_directory(&uid);
                self.kept.retain(|place, _| !place.starts_with(&own));
                self.containers.retain(|id, _| id.pod != uid);
            }
            // Nothing reads the files of a container without a process.
            Output::Materialise(pod, _) => self.later(now, Input::Volumes(pod.uid, Ok(()))),
            Output::PullImage { image, .. } => {
                let millis = self.speed.pull_millis;
                let answer = images::pull(&image).map(|info| PulledImage { info, millis });
                self.later(now.plus_millis(millis), Input::Pulled(image, answer));
            }
            Output::StartContainer(start) => self.start(now, *start),
            Output::StopContainer { container, .. } => self.stop(now, container),
            Output::KillContainer(container) => self.end(now, container, 137, 9, false),
            Output::RemoveContainer(container) => {
                self.containers.remove(&container);
            }
            Output::RunHook { container, hook, handler } => self.hook(now, container, hook, &handler),
            Output::Probe { container, probe, handler, .. } => self.probe(now, container, probe, &handler),
            other => return Some(other),
        }
        None
    }

    /// What has happened by now.
    pub fn due(&mut self, now: Time) -> Vec<Input> {
        let later = self.agenda.split_off(&(Time(now.0.saturating_add(1)), 0));
        let due = std::mem::replace(&mut self.agenda, later);
        for input in due.values() {
            if let Input::Exited(id, exit) = input
                && let Some(container) = self.containers.get_mut(id)
            {
                container.ended = Some((exit.at, exit.code));
                container.own_end = None;
                // What it would have done later does not happen.
                self.kept.retain(|_, file| file.by != *id || file.at <= exit.at);
            }
        }
        due.into_values().collect()
    }

    /// When something will have happened.
    pub fn next_wake(&self) -> Option<Time> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// What a container has printed by now: each line with its time. `None` if there is no such container.
    pub fn log(&self, container: &ContainerId, now: Time) -> Option<Vec<(Time, String)>> {
        let scripted = self.containers.get(container)?;
        let until = scripted.ended.map_or(now, |(at, _)| at.min(now));
        Some(scripted.plan.lines(scripted.began, until))
    }

    /// Whether a container has been started and has not ended.
    pub fn is_running(&self, container: &ContainerId) -> bool {
        self.containers.get(container).is_some_and(|scripted| scripted.ended.is_none())
    }

    /// The pods of which a container has been started and has not ended, each with the run of it.
    pub fn running(&self) -> impl Iterator<Item = (&ContainerId, &Arc<Pod>)> {
        self.containers.iter().filter(|(_, scripted)| scripted.ended.is_none()).map(|(id, scripted)| (id, &scripted.pod))
    }

    /// Everything that is here, for a kubelet that begins.
    pub fn found(&self) -> Vec<FoundPod> {
        let [a, b, c] = self.network;
        let mut pods: BTreeMap<PodUid, FoundPod> = BTreeMap::new();
        for (id, scripted) in &self.containers {
            let last = self.addresses.get(&id.pod);
            let pod = pods.entry(id.pod.clone()).or_insert_with(|| FoundPod {
                uid: id.pod.clone(),
                namespace: scripted.pod.namespace.clone(),
                name: scripted.pod.name.clone(),
                ips: last.iter().map(|last| format!("{a}.{b}.{c}.{last}")).collect(),
                containers: Vec::new(),
            });
            let exit = scripted.ended.map(|(at, code)| Exit {
                code,
                signal: 0,
                oom_killed: false,
                started_at: Some(scripted.began),
                at,
                message: String::new(),
            });
            pod.containers.push(FoundContainer {
                id: id.clone(),
                runtime_id: scripted.runtime_id.clone(),
                image_id: scripted.image_id.clone(),
                started_at: scripted.began,
                exit,
            });
        }
        pods.into_values().collect()
    }

    fn later(&mut self, at: Time, input: Input) {
        self.entry(at, input);
    }

    /// Puts something into the agenda; returns its place there.
    fn entry(&mut self, at: Time, input: Input) -> (Time, u64) {
        self.sequence += 1;
        self.agenda.insert((at, self.sequence), input);
        (at, self.sequence)
    }

    fn address(&mut self, pod: &Pod) -> Result<Vec<String>, String> {
        let [a, b, c] = self.network;
        let taken: BTreeSet<u8> = object::order::set(self.addresses.values().copied());
        let free = (2..=254).find(|last| !taken.contains(last));
        let Some(last) = free else { return Err("no address is free in the node's pod range".to_owned()) };
        let last = *self.addresses.entry(pod.uid.clone()).or_insert(last);
        Ok(vec![format!("{a}.{b}.{c}.{last}")])
    }

    fn start(&mut self, now: Time, start: StartContainer) {
        let notes = Notes { pod: &start.pod, container: &start.id.name };
        let began = now.plus_millis(notes.millis("start-latency").unwrap_or(self.speed.start_millis));
        let runtime_id: String = (0..4).map(|_| format!("{:016x}", self.rng.next_u64())).collect();
        let number = |name: &str| start.security_context.get(name).and_then(object::Value::as_u64).unwrap_or(0);
        let user = (number("runAsUser"), number("runAsGroup"));
        let kept = |file: &str| {
            let found = place(&start, file).and_then(|place| self.kept.get(&place));
            found.is_some_and(|file| file.made && file.at <= began)
        };
        let mut plan = script::plan(&start.command, &start.args, &start.image, Scene { env: &start.env, user, kept: &kept });
        for (after, file, made) in &plan.files {
            if let Some(place) = place(&start, file)
                && self.kept.len() < MAX_KEPT_FILES
            {
                self.kept.insert(place, KeptFile { by: start.id.clone(), at: began.plus_millis(*after), made: *made });
            }
        }
        let mut oom = false;
        if let Some(code) = notes.get("exit-code").and_then(|text| text.parse().ok()) {
            plan.end = Some((notes.millis("run-for").unwrap_or(0), code));
        } else if let Some(millis) = notes.millis("run-for") {
            plan.end = Some((millis, 0));
        }
        if let Some(millis) = notes.millis("oom-after") {
            plan.end = Some((millis, 137));
            oom = true;
        }
        if let Some(text) = notes.get("log") {
            plan.prints = text.lines().map(|line| (0, line.to_owned())).collect();
        }
        let behaviour = Behaviour {
            ignore_sigterm: notes.get("ignore-sigterm") == Some("true"),
            ready_after_millis: notes.millis("ready-after").unwrap_or(0),
            failing: notes.get("fail-probes").unwrap_or("").split(',').map(|p| p.trim().to_owned()).collect(),
        };
        let id = start.id;
        let started = StartedContainer { runtime_id: runtime_id.clone(), at: began };
        self.later(began, Input::Started(id.clone(), Ok(started)));
        let last_words = (start.termination_message_path, start.termination_message_from_logs);
        let own_end = plan.end.map(|(after, code)| {
            let at = began.plus_millis(after);
            let signal = if oom { 9 } else { 0 };
            let message = plan.last_words(&last_words.0, last_words.1 && code != 0, after);
            let exit = Exit { code, signal, oom_killed: oom, started_at: Some(began), at, message };
            self.entry(at, Input::Exited(id.clone(), exit))
        });
        let (pod, image_id) = (start.pod, start.image_id);
        self.containers
            .insert(id, Scripted { pod, runtime_id, image_id, plan, behaviour, last_words, began, ended: None, own_end });
    }

    fn stop(&mut self, now: Time, id: ContainerId) {
        let Some(container) = self.containers.get(&id) else { return };
        if !container.behaviour.ignore_sigterm {
            // A server ends in order; a script dies of the signal.
            let (code, signal) = if container.plan.is_server { (0, 0) } else { (143, 15) };
            let at = now.max(container.began).plus_millis(self.speed.stop_millis);
            self.end(at, id, code, signal, false);
        }
    }

    fn end(&mut self, at: Time, id: ContainerId, code: i32, signal: i32, oom_killed: bool) {
        let Some(container) = self.containers.get_mut(&id) else { return };
        if container.ended.is_some() {
            return;
        }
        match container.own_end.take() {
            // It will have ended before that anyway.
            Some(own) if own.0 <= at => {
                container.own_end = Some(own);
                return;
            }
            Some(own) => self.agenda.remove(&own),
            None => None,
        };
        let began = container.began;
        let at = at.max(began);
        let (file, from_log) = &container.last_words;
        let message = container.plan.last_words(file, *from_log && code != 0, at.millis_since(began));
        let exit = Exit { code, signal, oom_killed, started_at: Some(began), at, message };
        let entry = self.entry(at, Input::Exited(id.clone(), exit));
        if let Some(container) = self.containers.get_mut(&id) {
            container.own_end = Some(entry);
        }
    }

    fn hook(&mut self, now: Time, id: ContainerId, hook: Hook, handler: &Check) {
        let (at, result) = match handler {
            Check::Sleep { seconds } => (now.plus_secs(*seconds), Ok(())),
            Check::Exec(command) => {
                let plan = script::plan(command, &[], "sh", Scene::EMPTY);
                let (after, code) = plan.end.unwrap_or((0, 0));
                let result = if code == 0 { Ok(()) } else { Err(format!("command '{}' exited with {code}", command.join(" "))) };
                (now.plus_millis(after), result)
            }
            Check::Impossible(why) => (now, Err(why.clone())),
            _ => (now, Ok(())),
        };
        self.later(at, Input::HookDone(id, hook, result));
    }

    fn probe(&mut self, now: Time, id: ContainerId, probe: ProbeKind, handler: &Check) {
        let Some(container) = self.containers.get(&id) else { return };
        let name = match probe {
            ProbeKind::Startup => "startup",
            ProbeKind::Liveness => "liveness",
            ProbeKind::Readiness => "readiness",
        };
        let up = now.millis_since(container.began) >= container.behaviour.ready_after_millis;
        let healthy = up && !container.behaviour.failing.contains(name);
        let result = match handler {
            Check::Impossible(why) => ProbeResult::Error(why.clone()),
            Check::Exec(command) => match container.plan.test(command, now.millis_since(container.began)) {
                _ if !healthy => ProbeResult::Failure(String::new()),
                Ok(()) => ProbeResult::Success,
                Err(why) => ProbeResult::Failure(why),
            },
            _ if healthy => ProbeResult::Success,
            Check::HttpGet { .. } => ProbeResult::Failure("HTTP probe failed with statuscode: 503".to_owned()),
            Check::TcpSocket { host, port } => {
                ProbeResult::Failure(format!("dial tcp {host}:{port}: connect: connection refused"))
            }
            _ => ProbeResult::Failure("service unhealthy (responded with \"NOT_SERVING\")".to_owned()),
        };
        self.later(now, Input::Probed(id, probe, result));
    }
}

/// Where a file is on the node, if it is in a volume that outlives the container.
fn place(start: &StartContainer, file: &str) -> Option<String> {
    let inside = |path: &str| file.strip_prefix(path.trim_end_matches('/'))?.strip_prefix('/');
    let (mount, rest) = start.mounts.iter().filter_map(|m| Some((m, inside(&m.path)?))).min_by_key(|(_, rest)| rest.len())?;
    let volume = start.pod.spec.volumes.iter().find(|v| v.name == mount.volume)?;
    let directory = match (&volume.host_path, &volume.empty_dir) {
        (Some(host), _) => host.path.clone(),
        (None, Some(_)) => pod_directory(&start.pod.uid) + &volume.name,
        (None, None) => return None,
    };
    Some(format!("{directory}/{}/{rest}", mount.sub_path))
}

/// Where a pod's own volumes are.
fn pod_directory(uid: &str) -> String {
    format!("pods/{uid}/")
}

/// The annotations that speak to this runtime.
struct Notes<'a> {
    pod: &'a Arc<Pod>,
    container: &'a str,
}

impl<'a> Notes<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let notes = &self.pod.annotations;
        let own = notes.get(&format!("wasmkube.dev/{key}.{}", self.container));
        own.or_else(|| notes.get(&format!("wasmkube.dev/{key}"))).map(String::as_str)
    }

    fn millis(&self, key: &str) -> Option<u64> {
        script::duration(self.get(key)?)
    }
}
