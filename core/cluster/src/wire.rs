//! What crosses the narrow waist: the facts that go into [`Cluster::step`](crate::Cluster::step) and the wishes that come
//! out, and their one encoding (postcard), which the WASI component, the browser's worker and recorded traces share.
//!
//! Invariant: these types are only ever built from the outside world's facts; no internal type of core is in them.

use object::Time;
use serde::{Deserialize, Serialize};

pub use apiserver::HostHealth;
use apiserver::admission::PodSecurityConfiguration;
pub use apiserver::audit::check_policy as check_audit_policy;
pub use apiserver::message::{
    Answered, CallId, ClientCertificate, Identity, Outgoing, Output, Record, Relay, Reply, Request, StaticToken, StreamId, Trust,
    Upstream,
};
pub use apiserver::metrics::{DURATION_BOUNDS, Durations, Kind, Measured};
pub use apiserver::parse_duration;

/// Says why this is no `--runtime-config`, if it is none.
pub fn check_runtime_config(text: &str) -> Result<(), String> {
    apiserver::RuntimeConfig::parse(text).map(drop)
}

/// Says why this is no PodSecurityConfiguration, if it is none.
pub fn check_pod_security(text: &str) -> Result<(), String> {
    pod_security(text).map(drop)
}

/// Nothing, or a PodSecurityConfiguration as JSON.
pub(crate) fn pod_security(text: &str) -> Result<PodSecurityConfiguration, String> {
    if text.is_empty() {
        return Ok(PodSecurityConfiguration::default());
    }
    let config = serde_json::from_str(text).map_err(|why| why.to_string())?;
    PodSecurityConfiguration::parse(&config)
}

/// Says why these are no `--feature-gates`, if they are none.
pub fn check_feature_gates(text: &str) -> Result<(), String> {
    apiserver::Features::parse(text).map(drop)
}

/// How this cluster is set up. Sent once, before everything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Seed of all randomness in core (names, uids, jitter).
    pub seed: u64,
    /// Addresses of Services, as a CIDR. Kubernetes' default is `10.96.0.0/16` with kubeadm.
    pub service_cidr: String,
    /// First and last of the ports that Services get on every node: `--service-node-port-range`.
    pub service_node_ports: (u16, u16),
    /// Addresses of pods on simulated nodes; each node gets a /24 of it.
    pub cluster_cidr: String,
    /// Whether nodes that come without a part of it get one; others' nodes may be looked after by others.
    pub allocate_node_cidrs: bool,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// How many nodes with the scripted runtime live inside core.
    pub simulated_nodes: u32,
    /// Where clients reach the API, for `/api`'s serverAddressByClientCIDRs and the `kubernetes` Service's endpoints.
    pub advertise_address: String,
    /// Port of the API.
    pub advertise_port: u16,
    /// Bearer tokens and the users they stand for.
    pub tokens: Vec<StaticToken>,
    /// The key that signs tokens of service accounts (P-256, PKCS#8 DER); without one it follows from the seed.
    pub service_account_key: Vec<u8>,
    /// PEM of the certificate authority that clients should trust (`kube-root-ca.crt`).
    pub root_ca: String,
    /// PEM of the authority of proxies in front of other API servers.
    pub front_proxy_ca: String,
    /// How many revisions of history are kept for watches and reads in the past.
    pub history_limit: u32,
    /// Which built-in controllers run, in the form of kube-controller-manager's `--controllers`.
    pub controllers: Vec<String>,
    /// Whether the built-in scheduler runs.
    pub scheduler: bool,
    /// An `audit.k8s.io/v1` Policy as YAML or JSON, which [`check_audit_policy`] finds good; empty for no audit log.
    pub audit_policy: String,
    /// How many requests that only read may be served at once...
    pub max_requests_inflight: u32,
    /// ...and how many that write: `--max-requests-inflight` and `--max-mutating-requests-inflight` of kube-apiserver.
    pub max_mutating_requests_inflight: u32,
    /// What of the API is served, in the form of kube-apiserver's `--runtime-config`, which [`check_runtime_config`] finds good.
    pub runtime_config: String,
    /// A `PodSecurityConfiguration` as JSON, which [`check_pod_security`] finds good; empty for none.
    pub pod_security: String,
    /// What is tried out, in the form of `--feature-gates`, which [`check_feature_gates`] finds good.
    pub feature_gates: String,
    /// How long a request may take that does not go on by itself: `--request-timeout`.
    pub request_timeout_seconds: u32,
    /// How long a watch goes on at least that does not say how long: `--min-request-timeout`.
    pub min_request_timeout_seconds: u32,
    /// A `KubeSchedulerConfiguration` as JSON; empty for none. What cannot be read is as if it were not there.
    pub scheduler_config: String,
    /// Addresses for Services of type LoadBalancer, as CIDRs with commas between them; empty for a cluster that has no load
    /// balancers, as kube-controller-manager alone has none.
    pub load_balancer_ip_range: String,
    /// The key of the authority in `root_ca` (P-256, PKCS#8 DER), which signs approved certificate requests; empty where nobody
    /// could use the certificates.
    pub signing_key: Vec<u8>,
    /// Whether a new cluster has a default StorageClass, `standard`, of the built-in provisioner.
    pub default_storage_class: bool,
    /// Where the built-in provisioner's volumes are on nodes.
    pub volume_dir: String,
    /// Whether controllers and scheduler act only while they hold the Leases of kube-controller-manager and kube-scheduler, so
    /// that others may take turns with them: `--leader-elect`. Where nobody else can be there it is only work.
    pub leader_elect: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            service_cidr: "10.96.0.0/16".to_owned(),
            service_node_ports: (30000, 32767),
            cluster_cidr: "10.244.0.0/16".to_owned(),
            allocate_node_cidrs: true,
            cluster_domain: "cluster.local".to_owned(),
            simulated_nodes: 0,
            advertise_address: "127.0.0.1".to_owned(),
            advertise_port: 6443,
            tokens: Vec::new(),
            service_account_key: Vec::new(),
            root_ca: String::new(),
            front_proxy_ca: String::new(),
            history_limit: 10_000,
            controllers: vec!["*".to_owned()],
            scheduler: true,
            audit_policy: String::new(),
            max_requests_inflight: 400,
            max_mutating_requests_inflight: 200,
            runtime_config: String::new(),
            pod_security: String::new(),
            feature_gates: String::new(),
            request_timeout_seconds: 60,
            min_request_timeout_seconds: 1800,
            scheduler_config: String::new(),
            load_balancer_ip_range: String::new(),
            signing_key: Vec::new(),
            default_storage_class: false,
            volume_dir: "/var/local-path-provisioner".to_owned(),
            leader_elect: false,
        }
    }
}

/// A fact from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// How this cluster is set up; the first input of every life.
    Configure(Box<Config>),
    /// What the journal holds, in any number of batches, after `Configure` and before `Start`.
    Restore(Vec<Record>),
    /// Everything is restored and the store stands at `revision` (0 for a new cluster): serve.
    Start {
        /// The highest revision ever made durable.
        revision: u64,
    },
    /// A whole request arrived.
    Request(Request),
    /// The client of this stream went away (or was too slow and was cut off).
    Closed(StreamId),
    /// How the host is. It comes before requests that ask about health.
    Health(HostHealth),
    /// What the host has measured. It comes before requests for metrics.
    Measured(Measured),
    /// What came of an [`Output::Call`].
    Answered {
        /// The name of the question.
        call: CallId,
        /// The reply.
        reply: Reply,
    },
}

/// One call of `step`, as it is recorded in a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepInput {
    /// The time of the call; never earlier than that of the call before.
    pub now: Time,
    /// What happened since.
    pub inputs: Vec<Input>,
}

/// What one call of `step` wishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepOutput {
    /// Wishes, in the order in which they must take effect.
    pub outputs: Vec<Output>,
    /// Call again at this time at the latest; `now` if work is left over, `None` if only an input can make work.
    pub wake_at: Option<Time>,
}

/// Encodes a message of this module.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Every type here is plain data with lengths known beforehand; writing it to a growing vector has no way to fail.
    postcard::to_allocvec(message).expect("plain data")
}

/// Decodes a message of this module.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, postcard::Error> {
    postcard::from_bytes(bytes)
}
