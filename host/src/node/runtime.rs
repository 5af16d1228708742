//! The container runtime: one runner process per container, its group, its files, its end.
//!
//! What must survive the node agent is in files: when it comes back, [`Runtime::found`] takes running processes over and
//! finds the ends of those that ended meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use kubelet::Input;
use kubelet::io::{ContainerId, Exit, FoundContainer, FoundPod, StartContainer, StartError, StartFailure, StartedContainer};
use object::Time;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use wasmkube_runner::spec::{Ending, Log, Spec};

use super::cgroup::{Cgroups, Group, Limits, Usage};
use super::image::Images;
use super::layout::{Layout, write_whole};
use super::process::{self, Identity, Process, Status};
use super::{message, mounts, now};

/// A log is rotated at this size, and so many files are kept: Kubernetes' defaults.
const LOG_BYTES: u64 = 10 << 20;
const LOG_FILES: u32 = 5;
/// How often it is looked whether all have ended.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);
/// Open files of one container.
const OPEN_FILES: u64 = 4096;

/// Runs containers.
pub struct Runtime {
    layout: Layout,
    runner: PathBuf,
    images: Images,
    cgroups: Cgroups,
    facts: UnboundedSender<Input>,
    running: Mutex<BTreeMap<ContainerId, Arc<Process>>>,
    notes: Mutex<Vec<String>>,
}

/// One run of a container, as its file remembers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    runtime_id: String,
    image_id: String,
    process: Identity,
    group: Option<Group>,
    /// Milliseconds since 1970.
    started_at: u64,
    /// Where last words may be, and whether the log stands in for them.
    last_words: (PathBuf, bool),
    end: Option<End>,
}

/// The end of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct End {
    code: i32,
    signal: i32,
    oom_killed: bool,
    at: u64,
    message: String,
}

/// A pod, as its file remembers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PodRecord {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Addresses.
    pub ips: Vec<String>,
}

impl Runtime {
    /// A runtime that reports to `facts`.
    pub fn new(layout: Layout, runner: PathBuf, images: Images, cgroups: Cgroups, facts: UnboundedSender<Input>) -> Self {
        Runtime { layout, runner, images, cgroups, facts, running: Mutex::default(), notes: Mutex::default() }
    }

    /// Starts a container; its end will be reported.
    pub async fn start(self: &Arc<Self>, wish: &StartContainer) -> Result<StartedContainer, StartError> {
        let fail = |reason| move |error: anyhow::Error| StartError { reason, message: format!("{error:#}") };
        let spec = self.spec(wish).map_err(fail(StartFailure::Create))?;
        let group = self.group(wish).map_err(fail(StartFailure::Create))?;
        let spec = Spec { cgroup_tasks: group.as_ref().map(Group::tasks).unwrap_or_default(), ..spec };
        let at = now();
        let (process, notes) = match process::start(&self.runner, &spec, group.as_ref()).await {
            Ok(started) => started,
            Err(error) => {
                group.iter().for_each(Group::remove);
                return Err(fail(StartFailure::Run)(error));
            }
        };
        self.note(notes);
        let last_words = self.layout.run(&wish.id, "root").join(wish.termination_message_path.trim_start_matches('/'));
        let record = Record {
            runtime_id: runtime_id(&process.identity),
            image_id: wish.image_id.to_string(),
            process: process.identity,
            group,
            started_at: millis(at),
            last_words: (last_words, wish.termination_message_from_logs),
            end: None,
        };
        let runtime_id = record.runtime_id.clone();
        if let Err(error) = self.save(&wish.id, &record) {
            process.signal(libc::SIGKILL);
            process.wait().await;
            return Err(fail(StartFailure::Run)(error));
        }
        self.watch(wish.id.clone(), Arc::new(process), record);
        Ok(StartedContainer { runtime_id, at })
    }

    /// Asks a container to end. WASI programs know one way of being asked.
    pub fn stop(&self, id: &ContainerId) {
        self.signal(id, libc::SIGTERM);
    }

    /// Ends a container.
    pub fn kill(&self, id: &ContainerId) {
        self.signal(id, libc::SIGKILL);
    }

    /// Whether a container's process has not ended yet.
    pub fn is_running(&self, id: &ContainerId) -> bool {
        self.lock().contains_key(id)
    }

    /// Ends all containers: first by asking, then, after `patience`, by force. Removes this node's cgroups.
    pub async fn stop_all(&self, patience: std::time::Duration) {
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            self.lock().values().for_each(|process| process.signal(signal));
            let ended = async {
                while !self.lock().is_empty() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(patience, ended).await.is_ok() {
                break;
            }
        }
        self.cgroups.clean();
    }

    /// Removes the files of a run.
    pub fn remove_container(&self, id: &ContainerId) {
        fs::remove_dir_all(self.layout.run(id, "root")).ok();
        for extension in ["json", "end", "log"] {
            fs::remove_file(self.layout.run(id, extension)).ok();
        }
        for number in 1..LOG_FILES {
            fs::remove_file(wasmkube_runner::log::rotated(&self.layout.run(id, "log"), number)).ok();
        }
    }

    /// What a running container has used.
    pub fn usage(&self, id: &ContainerId) -> Option<Usage> {
        self.load(id)?.group.map(|group| group.usage())
    }

    /// Everything that is in the files, with running processes taken over.
    pub fn found(self: &Arc<Self>) -> Vec<FoundPod> {
        let mut pods = Vec::new();
        for uid in names(&self.layout.pods()) {
            let record: Option<PodRecord> =
                fs::read(self.layout.pod_record(&uid)).ok().and_then(|text| serde_json::from_slice(&text).ok());
            let Some(record) = record else {
                fs::remove_dir_all(self.layout.pod(&uid)).ok();
                continue;
            };
            let containers = self.found_containers(&uid);
            pods.push(FoundPod { uid: uid.into(), namespace: record.namespace, name: record.name, ips: record.ips, containers });
        }
        pods
    }

    fn found_containers(self: &Arc<Self>, uid: &str) -> Vec<FoundContainer> {
        let mut containers = Vec::new();
        for name in names(&self.layout.containers(uid)) {
            let mut attempts: Vec<u32> = names(&self.layout.containers(uid).join(&name))
                .iter()
                .filter_map(|file| file.strip_suffix(".json")?.parse().ok())
                .collect();
            attempts.sort_unstable();
            for attempt in attempts {
                let id = ContainerId { pod: uid.into(), name: name.as_str().into(), attempt };
                containers.extend(self.load(&id).map(|record| self.take_over(id, record)));
            }
        }
        containers
    }

    fn take_over(self: &Arc<Self>, id: ContainerId, mut record: Record) -> FoundContainer {
        if record.end.is_none() {
            match Process::find(record.process) {
                Some(process) => self.watch(id.clone(), Arc::new(process), record.clone()),
                None => {
                    self.finish(&id, &mut record, Status::Unknown);
                }
            }
        }
        FoundContainer {
            runtime_id: record.runtime_id.clone(),
            image_id: record.image_id.as_str().into(),
            started_at: Time::from_millis(record.started_at),
            exit: record.end.as_ref().map(|end| exit(&record, end)),
            id,
        }
    }

    fn watch(self: &Arc<Self>, id: ContainerId, process: Arc<Process>, mut record: Record) {
        self.lock().insert(id.clone(), process.clone());
        let runtime = self.clone();
        tokio::spawn(async move {
            let status = process.wait().await;
            let exit = runtime.finish(&id, &mut record, status);
            runtime.lock().remove(&id);
            // The agent is on its way out if nobody listens.
            runtime.facts.send(Input::Exited(id, exit)).ok();
        });
    }

    /// Finds out how a run ended, remembers it, and removes its group.
    fn finish(&self, id: &ContainerId, record: &mut Record, status: Status) -> Exit {
        let ending: Option<Ending> =
            fs::read(self.layout.run(id, "end")).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let killed = status == Status::Killed(libc::SIGKILL) || (status == Status::Unknown && ending.is_none());
        let out_of_memory = ending.as_ref().is_some_and(|ending| ending.out_of_memory)
            || (killed && record.group.as_ref().is_some_and(Group::was_out_of_memory));
        let code = match (ending, status) {
            (Some(ending), _) => ending.code,
            (None, Status::Exited(code)) => code,
            (None, Status::Killed(signal)) => 128 + signal,
            (None, Status::Unknown) => 128 + libc::SIGKILL,
        };
        let (path, from_logs) = &record.last_words;
        let message = message::last_words(&self.layout.run(id, "root"), path)
            .or_else(|| (*from_logs && code != 0).then(|| message::tail(&self.layout.run(id, "log"))))
            .unwrap_or_default();
        record.group.iter().for_each(Group::remove);
        // As other runtimes do: the code says enough, the signal field stays empty.
        let end = End { code, signal: 0, oom_killed: out_of_memory, at: millis(now()), message };
        let exit = exit(record, &end);
        record.end = Some(end);
        if let Err(error) = self.save(id, record) {
            eprintln!("node: {error:#}");
        }
        fs::remove_dir_all(self.layout.run(id, "root")).ok();
        exit
    }

    fn spec(&self, wish: &StartContainer) -> Result<Spec> {
        let image = self.images.get(&wish.image_id)?;
        let root = self.layout.run(&wish.id, "root");
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        fs::remove_file(self.layout.run(&wish.id, "end")).ok();
        let security = &wish.security_context;
        let number = |name: &str| security.get(name).and_then(object::Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let mut env: Vec<(String, String)> = image
            .config
            .env
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| wish.env.iter().all(|(own, _)| own != name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if wish.env.iter().all(|(name, _)| name != "HOSTNAME") {
            env.push(("HOSTNAME".to_owned(), wish.hostname.clone()));
        }
        env.extend(wish.env.iter().cloned());
        let working_dir = if wish.working_dir.is_empty() { image.config.working_dir.clone() } else { wish.working_dir.clone() };
        Ok(Spec {
            args: image.arguments(&wish.image, &wish.command, &wish.args),
            component: image.component,
            env,
            working_dir: if working_dir.is_empty() { "/".to_owned() } else { working_dir },
            mounts: mounts::prepare(&self.layout, wish, &root)?,
            memory_limit: wish.memory_limit.and_then(|limit| u64::try_from(limit).ok()),
            address: wish.pod_ips.first().and_then(|ip| ip.parse::<IpAddr>().ok()),
            services: self.layout.services(),
            namespace: wish.pod.namespace.clone(),
            hostname: wish.hostname.clone(),
            log: Log { path: self.layout.run(&wish.id, "log"), max_bytes: LOG_BYTES, max_files: LOG_FILES },
            ending: self.layout.run(&wish.id, "end"),
            cgroup_tasks: Vec::new(),
            open_files: OPEN_FILES,
            user: number("runAsUser"),
            group: number("runAsGroup"),
        })
    }

    fn group(&self, wish: &StartContainer) -> Result<Option<Group>> {
        let limits = Limits {
            cpu_request_milli: wish.cpu_request_milli,
            cpu_limit_milli: wish.cpu_limit_milli,
            memory: wish.memory_limit,
        };
        let container = format!("{}-{}", wish.id.name, wish.id.attempt);
        let class = match wish.pod.status.qos_class.as_str() {
            "" => "BestEffort",
            class => class,
        };
        self.cgroups.create(class, &wish.id.pod, &container, &limits).context("cannot make the container's cgroup")
    }

    /// Says once each what this machine does not offer.
    fn note(&self, notes: Vec<String>) {
        let mut known = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        for note in notes {
            if !known.contains(&note) {
                eprintln!("node: containers run without a protection: {note}");
                known.push(note);
            }
        }
    }

    fn signal(&self, id: &ContainerId, signal: i32) {
        if let Some(process) = self.lock().get(id) {
            process.signal(signal);
        }
    }

    fn save(&self, id: &ContainerId, record: &Record) -> Result<()> {
        let path = self.layout.run(id, "json");
        write_whole(&path, &serde_json::to_vec(record)?).with_context(|| format!("cannot write {}", path.display()))
    }

    fn load(&self, id: &ContainerId) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.layout.run(id, "json")).ok()?).ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Arc<Process>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn exit(record: &Record, end: &End) -> Exit {
    Exit {
        code: end.code,
        signal: end.signal,
        oom_killed: end.oom_killed,
        started_at: Some(Time::from_millis(record.started_at)),
        at: Time::from_millis(end.at),
        message: end.message.clone(),
    }
}

/// 64 hexadecimal digits that no other run on this machine has.
fn runtime_id(process: &Identity) -> String {
    let seed = format!("{}/{}/{}", process.pid, process.began, millis(now()));
    super::image::hex_digest(seed.as_bytes())
}

fn millis(at: Time) -> u64 {
    at.millis_since(Time::from_millis(0))
}

/// Names in a directory; none if it is not there.
fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
