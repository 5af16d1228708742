//! The kubelet's view of a Pod object: what it acts on, decoded once per version of the object.
//!
//! Field names and meanings are those of `v1.Pod`. What is missing takes Kubernetes' default even if the API server left it
//! out. Nothing here decides anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::{ObjectMeta, Quantity, Time};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Identity of a pod over all time (`metadata.uid`).
pub type PodUid = Arc<str>;

/// Amounts of resources by name.
pub type Quantities = BTreeMap<String, Quantity>;

/// A pod bound to this node, as the API has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// `metadata.uid`.
    pub uid: PodUid,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.generation`, reported back as `observedGeneration`.
    pub generation: i64,
    /// Set once deletion was asked for.
    pub deletion: Option<Deletion>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `spec`.
    pub spec: PodSpec,
    /// `status` as the API has it, for what others write there and for recovery.
    pub status: ApiStatus,
}

/// A deletion that is under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deletion {
    /// `metadata.deletionTimestamp`: when the grace period ends.
    pub timestamp: Time,
    /// `metadata.deletionGracePeriodSeconds`.
    pub grace_seconds: i64,
}

impl Pod {
    /// Reads a Pod object; `None` if it is not shaped like one.
    pub fn of(object: &Value) -> Option<Pod> {
        let meta = ObjectMeta::of(object);
        let part = |name: &str| object.get(name).unwrap_or(&Value::Null);
        let deletion = meta
            .deletion_timestamp
            .map(|timestamp| Deletion { timestamp, grace_seconds: meta.deletion_grace_period_seconds.unwrap_or(0) });
        Some(Pod {
            uid: meta.uid.into(),
            namespace: meta.namespace,
            name: meta.name,
            generation: meta.generation,
            deletion,
            labels: meta.labels,
            annotations: object::meta::string_map(object::value::at(object, &["metadata", "annotations"])),
            spec: PodSpec::deserialize(part("spec")).ok()?,
            status: ApiStatus::deserialize(part("status")).unwrap_or_default(),
        })
    }

    /// All containers: init, main and ephemeral ones.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.spec.init_containers.iter().chain(&self.spec.containers).chain(&self.spec.ephemeral_containers)
    }

    /// Whether the API says that this pod has ended (`Succeeded` or `Failed`).
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node this pod is bound to.
    pub node_name: String,
    /// Containers that run one after the other (or, as sidecars, beside) before the main ones.
    pub init_containers: Vec<Container>,
    /// The main containers.
    pub containers: Vec<Container>,
    /// Containers that people added to the running pod to look into it.
    pub ephemeral_containers: Vec<Container>,
    /// Volumes that containers may mount.
    pub volumes: Vec<Volume>,
    /// When a main container is started again.
    pub restart_policy: RestartPolicy,
    /// Seconds between SIGTERM and SIGKILL; Kubernetes' default is 30.
    pub termination_grace_period_seconds: Option<i64>,
    /// Seconds after which the pod fails.
    pub active_deadline_seconds: Option<i64>,
    /// Host name inside; the pod's name by default.
    pub hostname: String,
    /// Subdomain of the host name.
    pub subdomain: String,
    /// Whether the pod uses the node's network.
    pub host_network: bool,
    /// Whether Services of the namespace appear in the environment; default true.
    pub enable_service_links: Option<bool>,
    /// Service account whose token is mounted.
    pub service_account_name: String,
    /// Names of Secrets with registry credentials.
    pub image_pull_secrets: Vec<LocalReference>,
    /// Conditions that must be True, besides the containers' readiness, before the pod is Ready.
    pub readiness_gates: Vec<ReadinessGate>,
    /// `securityContext`, for the runtime.
    pub security_context: Value,
    /// `dnsPolicy`, for the runtime.
    pub dns_policy: String,
    /// `dnsConfig`, for the runtime.
    pub dns_config: Value,
    /// `hostAliases`, for the runtime.
    pub host_aliases: Value,
    /// Node labels the pod asks for.
    pub node_selector: BTreeMap<String, String>,
    /// `affinity`; admission reads the node's part.
    pub affinity: Value,
    /// Taints the pod bears.
    pub tolerations: Vec<object::scheduling::Toleration>,
    /// Resources on top of the containers' own.
    #[serde(deserialize_with = "quantities")]
    pub overhead: Quantities,
}

/// `restartPolicy` of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum RestartPolicy {
    /// Whatever the exit code.
    #[default]
    Always,
    /// After a failure.
    OnFailure,
    /// Not at all.
    Never,
}

/// A reference by name in the pod's namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LocalReference {
    /// Name.
    pub name: String,
}

/// One of `readinessGates`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// Type of the condition.
    pub condition_type: String,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name, unique in the pod.
    pub name: Arc<str>,
    /// Image reference.
    pub image: Arc<str>,
    /// Replaces the image's entry point.
    pub command: Vec<String>,
    /// Replaces the image's arguments.
    pub args: Vec<String>,
    /// Working directory; the image's by default.
    pub working_dir: String,
    /// Environment.
    pub env: Vec<EnvVar>,
    /// Whole ConfigMaps and Secrets as environment.
    pub env_from: Vec<EnvFrom>,
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
    /// Requests and limits.
    pub resources: Resources,
    /// Whether it is started anew when they change.
    pub resize_policy: Vec<ResizePolicy>,
    /// Where volumes appear.
    pub volume_mounts: Vec<VolumeMount>,
    /// Restarts the container when it fails.
    pub liveness_probe: Option<Probe>,
    /// Takes the pod out of Services while it fails.
    pub readiness_probe: Option<Probe>,
    /// Holds the other probes back until it has succeeded once.
    pub startup_probe: Option<Probe>,
    /// Hooks.
    pub lifecycle: Lifecycle,
    /// Where the container may leave its last words.
    pub termination_message_path: String,
    /// `File` or `FallbackToLogsOnError`.
    pub termination_message_policy: String,
    /// When to pull.
    pub image_pull_policy: PullPolicy,
    /// `Always` makes an init container a sidecar; otherwise it stands above the pod's.
    pub restart_policy: Option<RestartPolicy>,
    /// Exits after which it is started again whatever the policies say.
    pub restart_policy_rules: Vec<RestartRule>,
    /// `securityContext`, for the runtime.
    pub security_context: Value,
    /// Whether a terminal is asked for.
    pub tty: bool,
    /// Whether standard input stays open.
    pub stdin: bool,
}

impl Container {
    /// Whether this init container is a sidecar: one that keeps running beside the main containers.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }

    /// Whether it is started again after this exit code: its rules come first, then its own policy, then the pod's.
    pub fn runs_again(&self, pod: &PodSpec, exit_code: i32) -> bool {
        if self.restart_policy_rules.iter().any(|rule| rule.matches(exit_code)) {
            return true;
        }
        match self.restart_policy.unwrap_or(pod.restart_policy) {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        }
    }
}

/// One of `restartPolicyRules`; its action is always `Restart`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartRule {
    /// Which exit codes it is about.
    pub exit_codes: ExitCodes,
}

/// A set of exit codes, or its complement.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ExitCodes {
    /// `In` or `NotIn`.
    pub operator: String,
    /// The codes.
    pub values: Vec<i32>,
}

impl RestartRule {
    fn matches(&self, exit_code: i32) -> bool {
        let listed = self.exit_codes.values.contains(&exit_code);
        match self.exit_codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    }
}

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PullPolicy {
    /// Ask the registry every time.
    Always,
    /// Use what the node has.
    #[default]
    IfNotPresent,
    /// Never pull.
    Never,
}

/// An environment variable.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value, with `$(VAR)` references.
    pub value: String,
    /// Where the value comes from instead.
    pub value_from: Option<EnvSource>,
}

/// `valueFrom` of an environment variable; one is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvSource {
    /// A field of the pod.
    pub field_ref: Option<FieldRef>,
    /// A resource amount of a container.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// A key of a ConfigMap.
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret.
    pub secret_key_ref: Option<KeyRef>,
}

/// A field of the pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldRef {
    /// For example `metadata.name` or `status.podIP`.
    pub field_path: String,
}

/// A resource amount of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceFieldRef {
    /// Which container; this one by default.
    pub container_name: String,
    /// For example `limits.cpu`.
    pub resource: String,
    /// Unit; 1 by default.
    pub divisor: Value,
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyRef {
    /// Name of the object.
    pub name: String,
    /// Key.
    pub key: String,
    /// Whether it may be missing.
    pub optional: bool,
}

/// A whole ConfigMap or Secret as environment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvFrom {
    /// Put before each key.
    pub prefix: String,
    /// The ConfigMap.
    pub config_map_ref: Option<OptionalReference>,
    /// The Secret.
    pub secret_ref: Option<OptionalReference>,
}

/// A reference that may lead nowhere.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct OptionalReference {
    /// Name of the object.
    pub name: String,
    /// Whether it may be missing.
    pub optional: bool,
}

/// A declared port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Name, for probes and Services.
    pub name: String,
    /// The port.
    pub container_port: u16,
    /// The port on the node, 0 for none.
    pub host_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Address on the node.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
}

/// Requests and limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What the container is sure to get.
    #[serde(deserialize_with = "quantities")]
    pub requests: Quantities,
    /// What it cannot exceed.
    #[serde(deserialize_with = "quantities")]
    pub limits: Quantities,
}

/// One of `resizePolicy`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResizePolicy {
    /// `cpu` or `memory`.
    pub resource_name: String,
    /// `NotRequired` or `RestartContainer`.
    pub restart_policy: String,
}

/// Where a volume appears in a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// Name of the volume.
    pub name: String,
    /// Path in the container.
    pub mount_path: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// A path inside the volume.
    pub sub_path: String,
    /// The same with `$(VAR)` references.
    pub sub_path_expr: String,
}

/// A probe of a container.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// What to do.
    #[serde(flatten)]
    pub handler: Handler,
    /// Seconds after the container's start before the first probe.
    pub initial_delay_seconds: u32,
    /// Seconds after which a probe counts as failed.
    pub timeout_seconds: u32,
    /// Seconds between probes.
    pub period_seconds: u32,
    /// Successes in a row after a failure that count as healthy.
    pub success_threshold: u32,
    /// Failures in a row that count as unhealthy.
    pub failure_threshold: u32,
    /// The grace period of a restart that this probe causes.
    pub termination_grace_period_seconds: Option<i64>,
}

impl Default for Probe {
    fn default() -> Self {
        Probe {
            handler: Handler::default(),
            initial_delay_seconds: 0,
            timeout_seconds: 1,
            period_seconds: 10,
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace_period_seconds: None,
        }
    }
}

/// What a probe or a hook does; one is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Handler {
    /// Run a command in the container.
    pub exec: Option<ExecAction>,
    /// HTTP GET.
    pub http_get: Option<HttpGetAction>,
    /// Open a TCP connection.
    pub tcp_socket: Option<TcpSocketAction>,
    /// gRPC health check.
    pub grpc: Option<GrpcAction>,
    /// Wait (hooks only).
    pub sleep: Option<SleepAction>,
}

/// Run a command in the container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ExecAction {
    /// The command.
    pub command: Vec<String>,
}

/// HTTP GET; 200 to 399 is success.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGetAction {
    /// Path, `/` by default.
    pub path: String,
    /// Number or name of a port.
    pub port: Value,
    /// Host; the pod's address by default.
    pub host: String,
    /// `HTTP` or `HTTPS`.
    pub scheme: String,
    /// Headers.
    pub http_headers: Vec<HttpHeader>,
}

/// A header of a probe.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Open a TCP connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TcpSocketAction {
    /// Number or name of a port.
    pub port: Value,
    /// Host; the pod's address by default.
    pub host: String,
}

/// gRPC health check.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GrpcAction {
    /// Port.
    pub port: u16,
    /// Service name in the request.
    pub service: Option<String>,
}

/// Wait.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SleepAction {
    /// How long.
    pub seconds: i64,
}

/// Hooks of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Right after the start; the container is not Running before it has succeeded.
    pub post_start: Option<Handler>,
    /// Before SIGTERM, inside the grace period.
    pub pre_stop: Option<Handler>,
    /// Signal sent instead of SIGTERM.
    pub stop_signal: Option<String>,
}

/// A volume; at most one source is set, none means a source this kubelet does not know.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name, unique in the pod.
    pub name: String,
    /// A directory that lives as long as the pod.
    pub empty_dir: Option<EmptyDir>,
    /// Files from a ConfigMap.
    pub config_map: Option<ObjectFiles>,
    /// Files from a Secret.
    pub secret: Option<ObjectFiles>,
    /// Files from the pod's own fields.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardFiles>,
    /// Files from several sources.
    pub projected: Option<Projected>,
    /// A path of the node.
    pub host_path: Option<HostPath>,
    /// A PersistentVolumeClaim.
    pub persistent_volume_claim: Option<ClaimVolume>,
}

/// `emptyDir`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDir {
    /// `Memory` or empty.
    pub medium: String,
    /// Bound on its size, as a quantity.
    pub size_limit: Value,
}

/// `configMap` or `secret`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectFiles {
    /// Name of the ConfigMap (and, in projected sources, of the Secret).
    pub name: String,
    /// Name of the Secret.
    pub secret_name: String,
    /// Which keys, as which files; all by default.
    pub items: Vec<KeyToPath>,
    /// Mode of the files; 0644 by default.
    pub default_mode: Option<u32>,
    /// Whether object and keys may be missing.
    pub optional: bool,
}

/// A key as a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct KeyToPath {
    /// Key.
    pub key: String,
    /// Relative path of the file.
    pub path: String,
    /// Mode of the file.
    pub mode: Option<u32>,
}

/// `downwardAPI`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardFiles {
    /// The files.
    pub items: Vec<DownwardFile>,
    /// Mode of the files; 0644 by default.
    pub default_mode: Option<u32>,
}

/// A field of the pod as a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardFile {
    /// Relative path of the file.
    pub path: String,
    /// A field of the pod.
    pub field_ref: Option<FieldRef>,
    /// A resource amount of a container.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// Mode of the file.
    pub mode: Option<u32>,
}

/// `projected`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Projected {
    /// The sources, later ones win.
    pub sources: Vec<ProjectedSource>,
    /// Mode of the files; 0644 by default.
    pub default_mode: Option<u32>,
}

/// One source of a projected volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProjectedSource {
    /// Files from a ConfigMap.
    pub config_map: Option<ObjectFiles>,
    /// Files from a Secret.
    pub secret: Option<ObjectFiles>,
    /// Files from the pod's own fields.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardFiles>,
    /// A token of the pod's service account.
    pub service_account_token: Option<TokenFile>,
}

/// `serviceAccountToken`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenFile {
    /// Audience; the API server by default.
    pub audience: String,
    /// Life of the token in seconds; 3600 by default.
    pub expiration_seconds: Option<u64>,
    /// Relative path of the file.
    pub path: String,
}

/// `hostPath`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HostPath {
    /// The path.
    pub path: String,
    /// What must be there.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `persistentVolumeClaim`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimVolume {
    /// Name of the claim.
    pub claim_name: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// `status` as the API has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiStatus {
    /// `phase`.
    pub phase: String,
    /// `reason`.
    pub reason: String,
    /// `message`.
    pub message: String,
    /// When a kubelet took the pod on.
    #[serde(deserialize_with = "time")]
    pub start_time: Option<Time>,
    /// All conditions, also those of others.
    pub conditions: Vec<ApiCondition>,
    /// Addresses.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<ApiPodIp>,
    /// Main containers.
    pub container_statuses: Vec<ApiContainerStatus>,
    /// Init containers.
    pub init_container_statuses: Vec<ApiContainerStatus>,
    /// Ephemeral containers.
    pub ephemeral_container_statuses: Vec<ApiContainerStatus>,
    /// The class the API server gave it.
    pub qos_class: String,
}

/// A condition as the API has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiCondition {
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
    /// When `status` last changed.
    #[serde(deserialize_with = "time")]
    pub last_transition_time: Option<Time>,
}

/// One of `podIPs`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ApiPodIp {
    /// The address.
    pub ip: String,
}

/// What the API remembers of a container: enough to go on counting after a restart of the kubelet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiContainerStatus {
    /// Container name.
    pub name: String,
    /// How often it was started again.
    pub restart_count: u32,
    /// The runtime's name of the container.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Image identity.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// Current state.
    pub state: ApiContainerState,
    /// State before the last restart.
    pub last_state: ApiContainerState,
}

/// State of a container as far as recovery needs it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ApiContainerState {
    /// Set if the container has ended.
    pub terminated: Option<ApiTerminated>,
}

/// `terminated`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiTerminated {
    /// Exit code.
    pub exit_code: i32,
    /// Signal, 0 if none.
    pub signal: i32,
    /// Reason.
    pub reason: String,
    /// Last words.
    pub message: String,
    /// Start.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Time>,
    /// End.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<Time>,
    /// The runtime's name of the container.
    #[serde(rename = "containerID")]
    pub container_id: String,
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| Time::parse(&text)))
}

fn quantities<'de, D: Deserializer<'de>>(from: D) -> Result<Quantities, D::Error> {
    let raw = Option::<BTreeMap<String, Value>>::deserialize(from)?.unwrap_or_default();
    Ok(raw.iter().filter_map(|(name, amount)| Some((name.clone(), Quantity::from_json(amount)?))).collect())
}
