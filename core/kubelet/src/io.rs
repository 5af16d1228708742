//! The boundary of the kubelet: facts in, wishes out.
//!
//! A driver feeds every fact as soon as it knows it with [`Kubelet::handle`](crate::Kubelet::handle), then calls
//! [`Kubelet::poll`](crate::Kubelet::poll), carries the outputs out in their order, and calls again when a fact arrives or
//! [`Kubelet::next_wake`](crate::Kubelet::next_wake) is due. Wishes that take time are answered by an input of their own,
//! named at each output. Answers that come late (the container was replaced meanwhile, the pod is gone) are harmless.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::{Bytes, Time};
use serde_json::Value;

use crate::pod::{Pod, PodUid, Quantities};

/// One node's facts.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name of the Node object.
    pub node_name: String,
    /// Labels of the Node object besides those every node has (hostname, os, arch).
    pub labels: BTreeMap<String, String>,
    /// Taints the Node is registered with, as in `spec.taints`.
    pub taints: Vec<Value>,
    /// `kubernetes.io/os` and `nodeInfo.operatingSystem`.
    pub os: String,
    /// `kubernetes.io/arch` and `nodeInfo.architecture`.
    pub arch: String,
    /// `nodeInfo.kubeletVersion`.
    pub kubelet_version: String,
    /// `nodeInfo.containerRuntimeVersion`, for example `wasmtime://48.0.0`; what precedes `://` also names containers.
    pub runtime_version: String,
    /// `nodeInfo.osImage`.
    pub os_image: String,
    /// `nodeInfo.kernelVersion`.
    pub kernel_version: String,
    /// `nodeInfo.machineID` and `systemUUID`.
    pub machine_id: String,
    /// `nodeInfo.bootID`.
    pub boot_id: String,
    /// Addresses of the node; the first is `hostIP`.
    pub addresses: Vec<String>,
    /// Port of the kubelet's own API (logs); 0 if it has none.
    pub port: u16,
    /// Everything the machine has.
    pub capacity: Quantities,
    /// What pods may use of it.
    pub allocatable: Quantities,
    /// `spec.podCIDR`, empty if the node has none of its own.
    pub pod_cidr: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Whether the runtime can change the resources of a running container; otherwise it is started anew.
    pub resizes_in_place: bool,
    /// Milliseconds of back-off after the first crash; Kubernetes: 10 s.
    pub backoff_base_millis: u64,
    /// Longest back-off; Kubernetes: 5 min.
    pub backoff_max_millis: u64,
    /// Seed of probe jitter.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            node_name: String::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            os: "linux".to_owned(),
            arch: "wasm32-wasip2".to_owned(),
            kubelet_version: "v1.35.0".to_owned(),
            runtime_version: String::new(),
            os_image: String::new(),
            kernel_version: String::new(),
            machine_id: String::new(),
            boot_id: String::new(),
            addresses: Vec::new(),
            port: 0,
            capacity: Quantities::new(),
            allocatable: Quantities::new(),
            pod_cidr: String::new(),
            cluster_domain: "cluster.local".to_owned(),
            resizes_in_place: false,
            backoff_base_millis: 10_000,
            backoff_max_millis: 300_000,
            seed: 0,
        }
    }
}

/// One run of a container: the pod, the container's name in it, and the count of restarts before this run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId {
    /// The pod.
    pub pod: PodUid,
    /// The container's name in the pod's spec.
    pub name: Arc<str>,
    /// 0 for the first run; equals `restartCount` while this run is the current one.
    pub attempt: u32,
}

/// A pod's names, for outputs whose driver needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRef {
    /// `metadata.uid`.
    pub uid: PodUid,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// A fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A pod bound to this node is new or has changed, in the API.
    Pod(Arc<Pod>),
    /// A pod that was bound to this node is gone from the API.
    PodGone(PodUid),
    /// All pods that the API has for this node have been handed in; before this nothing found is cleaned up.
    PodsListed,
    /// What the runtime has, at the kubelet's start and before any pod: containers that are listed are taken over.
    Found(Vec<FoundPod>),
    /// Images that the node has (at start, and when one is imported). The key is the reference as pods write it.
    Image(Arc<str>, ImageInfo),
    /// An image is no longer there.
    ImageGone(Arc<str>),
    /// Answer to [`Output::CreateSandbox`].
    Sandbox(PodUid, Result<Vec<String>, String>),
    /// Answer to [`Output::Materialise`].
    Volumes(PodUid, Result<(), String>),
    /// Answer to [`Output::PullImage`].
    Pulled(Arc<str>, Result<PulledImage, PullError>),
    /// Answer to [`Output::StartContainer`].
    Started(ContainerId, Result<StartedContainer, StartError>),
    /// A container ended, for whatever reason.
    Exited(ContainerId, Exit),
    /// Answer to [`Output::RunHook`].
    HookDone(ContainerId, Hook, Result<(), String>),
    /// Answer to [`Output::Probe`].
    Probed(ContainerId, ProbeKind, ProbeResult),
    /// Answer to [`Output::Fetch`], and again whenever the object changes. `None`: there is none.
    Fetched(Reference, Option<Arc<Data>>),
    /// The labels of the Node object have changed.
    NodeLabels(BTreeMap<String, String>),
    /// The Services of the cluster, for environment variables.
    Services(Arc<Vec<ServiceEnv>>),
    /// A [`Output::PatchStatus`] could not be delivered; it is made again a little later.
    StatusFailed(PodUid),
    /// A [`Output::DeletePod`] could not be delivered; it is made again a little later.
    DeleteFailed(PodUid),
}

/// A wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Give this pod an address (and directories). Answer: [`Input::Sandbox`].
    CreateSandbox(Arc<Pod>),
    /// Release the pod's address, volumes, logs and everything else: it is gone from the API and its containers have ended.
    RemoveSandbox(PodUid),
    /// Make these volumes' contents so; repeated when a content changes. Answer: [`Input::Volumes`].
    Materialise(PodRef, Vec<VolumeContent>),
    /// Get an image. Answer: [`Input::Pulled`].
    PullImage {
        /// The reference as the pod writes it.
        image: Arc<str>,
        /// The namespace of the pod that asks.
        namespace: String,
        /// Names of Secrets with registry credentials.
        pull_secrets: Vec<String>,
    },
    /// Start a container. Answer: [`Input::Started`], later [`Input::Exited`].
    StartContainer(Box<StartContainer>),
    /// Ask a container to end (SIGTERM or its own stop signal). Answer: [`Input::Exited`]. If it does not come in time,
    /// [`Output::KillContainer`] follows.
    StopContainer {
        /// Which.
        container: ContainerId,
        /// `SIGTERM` unless the container says otherwise.
        signal: String,
    },
    /// End a container at once (SIGKILL). Answer: [`Input::Exited`].
    KillContainer(ContainerId),
    /// An ended container's logs are no longer needed. (The last two runs are kept.)
    RemoveContainer(ContainerId),
    /// Run a hook. Answer: [`Input::HookDone`].
    RunHook {
        /// Which container.
        container: ContainerId,
        /// Which hook.
        hook: Hook,
        /// What to do.
        handler: Check,
    },
    /// Probe a container. Answer: [`Input::Probed`].
    Probe {
        /// Which container.
        container: ContainerId,
        /// Which probe.
        probe: ProbeKind,
        /// What to do.
        handler: Check,
        /// After this long it has failed.
        timeout_seconds: u32,
    },
    /// Tell this ConfigMap's or Secret's content, now and when it changes. Answer: [`Input::Fetched`].
    Fetch(Reference),
    /// Nobody needs this object any more.
    Forget(Reference),
    /// Write this status: a strategic merge patch of the pod's `status` subresource, with a `metadata.uid` that must match.
    PatchStatus(PodRef, Value),
    /// Delete the pod from the API with grace period 0 and a uid precondition: its containers have ended.
    DeletePod(PodRef),
    /// Record an event.
    Event(PodEvent),
}

/// What a container is started with. Everything is resolved; nothing needs the API.
#[derive(Clone, Debug, PartialEq)]
pub struct StartContainer {
    /// Which run of which container.
    pub id: ContainerId,
    /// The pod, for log paths, host name, DNS and security.
    pub pod: Arc<Pod>,
    /// The image as the pod names it.
    pub image: Arc<str>,
    /// The image's identity, as [`ImageInfo::id`] said it.
    pub image_id: Arc<str>,
    /// Replaces the image's entry point if not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments if not empty.
    pub args: Vec<String>,
    /// Working directory, empty for the image's.
    pub working_dir: String,
    /// Environment in order; a later variable of the same name is not there. The image's own come before and are the driver's.
    pub env: Vec<(String, String)>,
    /// Volumes, already materialised.
    pub mounts: Vec<Mount>,
    /// CPU in thousandths that the container is sure to get; 0 if it asks for none.
    pub cpu_request_milli: i64,
    /// CPU in thousandths that it cannot exceed; `None` without limit.
    pub cpu_limit_milli: Option<i64>,
    /// Memory in bytes that it cannot exceed; `None` without limit.
    pub memory_limit: Option<i64>,
    /// Addresses of the pod.
    pub pod_ips: Vec<String>,
    /// Host name inside.
    pub hostname: String,
    /// `spec.securityContext` merged under the container's own, as JSON.
    pub security_context: Value,
    /// Where the container may leave its last words.
    pub termination_message_path: String,
    /// Whether the tail of the log stands in for missing last words after a failure.
    pub termination_message_from_logs: bool,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Name of the pod's volume.
    pub volume: String,
    /// Path in the container.
    pub path: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// A path inside the volume, expanded.
    pub sub_path: String,
}

/// A volume and what must be in it.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeContent {
    /// Name of the pod's volume.
    pub volume: String,
    /// What it is.
    pub source: VolumeSource,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumeSource {
    /// An empty directory that lives as long as the pod.
    EmptyDir {
        /// Whether it is kept in memory.
        memory: bool,
        /// Bound on its size in bytes.
        size_limit: Option<i64>,
    },
    /// Files that the API owns: exactly these, changed all at once.
    Files(Vec<VolumeFile>),
    /// A path of the node.
    HostPath {
        /// The path.
        path: String,
        /// What must be there, as `hostPath.type`.
        kind: String,
    },
    /// A PersistentVolumeClaim of the pod's namespace.
    Claim {
        /// Name of the claim.
        name: String,
        /// Whether it cannot be written.
        read_only: bool,
    },
}

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFile {
    /// Path below the volume's root, without `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it.
    pub content: FileContent,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileContent {
    /// These bytes.
    Bytes(Bytes),
    /// A token of the pod's service account, which the driver requests and renews.
    ServiceAccountToken {
        /// The account.
        account: String,
        /// Audience; empty for the API server.
        audience: String,
        /// Its life.
        expiration_seconds: u64,
    },
}

/// A hook of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// After the start.
    PostStart,
    /// Before the end.
    PreStop,
}

/// A kind of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Has the container come up?
    Startup,
    /// Must it be restarted?
    Liveness,
    /// May it get traffic?
    Readiness,
}

/// What a probe or hook does, with ports and hosts resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// Run a command in the container. A driver that cannot says so with [`ProbeResult::Error`].
    Exec(Vec<String>),
    /// HTTP GET; 200 to 399 is success.
    HttpGet {
        /// Whether over TLS (certificates are not checked).
        tls: bool,
        /// Host or address.
        host: String,
        /// Port.
        port: u16,
        /// Path and query.
        path: String,
        /// Headers besides the usual ones.
        headers: Vec<(String, String)>,
    },
    /// Open a TCP connection.
    TcpSocket {
        /// Host or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// gRPC health check. A driver that cannot says so with [`ProbeResult::Error`].
    Grpc {
        /// Host or address.
        host: String,
        /// Port.
        port: u16,
        /// Service name in the request.
        service: String,
    },
    /// Wait (hooks only).
    Sleep {
        /// How long.
        seconds: u64,
    },
    /// The pod's spec makes no sense (a port name that is nowhere); the text says what.
    Impossible(String),
}

/// How a probe went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// Healthy.
    Success,
    /// Unhealthy; the text goes into the event, for example `HTTP probe failed with statuscode: 500`.
    Failure(String),
    /// The probe itself could not be made; it counts neither way.
    Error(String),
}

/// An image on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Its identity: `imageID` in statuses (a digest).
    pub id: Arc<str>,
    /// Size in bytes.
    pub size: u64,
}

/// A successful pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledImage {
    /// The image.
    pub info: ImageInfo,
    /// How long it took.
    pub millis: u64,
}

/// A failed pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullError {
    /// `InvalidImageName` is final; everything else is tried again.
    pub invalid_name: bool,
    /// What went wrong, for people.
    pub message: String,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartedContainer {
    /// The runtime's name of it (64 hexadecimal digits, without the `runtime://`).
    pub runtime_id: String,
    /// When it began.
    pub at: Time,
}

/// A container that could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// `CreateContainerConfigError`, `CreateContainerError` or `RunContainerError`.
    pub reason: StartFailure,
    /// What went wrong, for people.
    pub message: String,
}

/// At which stage a container could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFailure {
    /// Its configuration leads nowhere (a missing ConfigMap, say): it is tried again.
    Config,
    /// The runtime could not make it: it is tried again.
    Create,
    /// The runtime could not run it: this counts as a crash with exit code 128.
    Run,
}

/// The end of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 128 + signal if a signal ended it.
    pub code: i32,
    /// The signal that ended it, 0 if none.
    pub signal: i32,
    /// Whether it exceeded its memory limit.
    pub oom_killed: bool,
    /// When it began, if the runtime knows.
    pub started_at: Option<Time>,
    /// When it ended.
    pub at: Time,
    /// Its last words.
    pub message: String,
}

/// A pod that the runtime has at the kubelet's start.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPod {
    /// Which.
    pub uid: PodUid,
    /// Its namespace, as the runtime remembers it.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub ips: Vec<String>,
    /// Its containers, running or ended.
    pub containers: Vec<FoundContainer>,
}

/// A container that the runtime has at the kubelet's start.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundContainer {
    /// Which run of which container.
    pub id: ContainerId,
    /// The runtime's name of it.
    pub runtime_id: String,
    /// The image's identity.
    pub image_id: Arc<str>,
    /// When it began.
    pub started_at: Time,
    /// Set if it has ended.
    pub exit: Option<Exit>,
}

/// A ConfigMap or Secret that a pod here needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Which kind.
    pub kind: DataKind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A kind of object with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataKind {
    /// ConfigMap.
    ConfigMap,
    /// Secret.
    Secret,
}

/// The content of a ConfigMap (`data` and `binaryData`) or Secret (`data`), decoded.
pub type Data = BTreeMap<String, Bytes>;

/// A Service as environment variables need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEnv {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `clusterIP`; Services without one (headless) are left out.
    pub cluster_ip: String,
    /// Its ports.
    pub ports: Vec<ServiceEnvPort>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEnvPort {
    /// Name, may be empty.
    pub name: String,
    /// Port.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// Something to tell people about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// Which pod.
    pub pod: PodRef,
    /// `involvedObject.fieldPath`: `spec.containers{web}`, or empty for the pod itself.
    pub field_path: String,
    /// Whether it is a `Warning`; `Normal` otherwise.
    pub warning: bool,
    /// Reason, for example `Pulled`.
    pub reason: &'static str,
    /// Message, for people.
    pub message: String,
}
