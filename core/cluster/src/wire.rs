//! What crosses the narrow waist: the facts that go into [`Cluster::step`](crate::Cluster::step) and the wishes that come
//! out, and their one encoding (postcard), which the WASI component, the browser's worker and recorded traces share.
//!
//! Invariant: these types are only ever built from the outside world's facts; no internal type of core is in them.

use bytes::Bytes;
use object::Time;
use serde::{Deserialize, Serialize};

/// A client's connection-independent identity for one request and its answer. The host counts them up and never uses one twice.
pub type StreamId = u64;

/// How this cluster is set up. Sent once, before everything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Seed of all randomness in core (names, uids, jitter).
    pub seed: u64,
    /// Addresses of Services, as a CIDR. Kubernetes' default is `10.96.0.0/16` with kubeadm.
    pub service_cidr: String,
    /// Addresses of pods on simulated nodes; each node gets a /24 of it.
    pub cluster_cidr: String,
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
    /// PEM of the certificate authority that clients should trust (`kube-root-ca.crt`).
    pub root_ca: String,
    /// How many revisions of history are kept for watches and reads in the past.
    pub history_limit: u32,
    /// Whether the built-in controllers run.
    pub controllers: bool,
    /// Whether the built-in scheduler runs.
    pub scheduler: bool,
}

/// A bearer token and its user, as one line of kube-apiserver's `--token-auth-file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StaticToken {
    /// The secret.
    pub token: String,
    /// User name.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            service_cidr: "10.96.0.0/16".to_owned(),
            cluster_cidr: "10.244.0.0/16".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            simulated_nodes: 0,
            advertise_address: "127.0.0.1".to_owned(),
            advertise_port: 6443,
            tokens: Vec::new(),
            root_ca: String::new(),
            history_limit: 10_000,
            controllers: true,
            scheduler: true,
        }
    }
}

/// A fact from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// How this cluster is set up; the first input of every life.
    Configure(Config),
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
}

/// One HTTP request, already authenticated as far as TLS can.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Where the answer goes.
    pub stream: StreamId,
    /// HTTP method, upper case.
    pub method: String,
    /// Path and query as they stood in the request line.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body; the host has bounded its size and undone any content encoding.
    pub body: Bytes,
    /// What a verified client certificate says.
    pub certificate: Option<ClientCertificate>,
}

/// The subject of a verified client certificate: Kubernetes reads CN as the user and O as the groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// Subject common name.
    pub common_name: String,
    /// Subject organizations.
    pub organizations: Vec<String>,
}

/// A wish to the outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Make this durable before anything that follows it in this step leaves.
    Journal(Record),
    /// A whole answer.
    Respond {
        /// Whose.
        stream: StreamId,
        /// HTTP status code.
        status: u16,
        /// Headers, names in lower case. Content-Length is the host's.
        headers: Vec<(String, String)>,
        /// Body.
        body: Bytes,
    },
    /// The head of an answer whose body follows in `Data` until `End`.
    Open {
        /// Whose.
        stream: StreamId,
        /// HTTP status code.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(String, String)>,
    },
    /// A piece of body for each of these streams: a watch event leaves core once, whatever the number of watchers.
    Data {
        /// Whose; each was opened and not yet ended.
        streams: Vec<StreamId>,
        /// The piece.
        bytes: Bytes,
    },
    /// The end of a streamed answer.
    End(StreamId),
    /// Answer this stream with what the kubelet at `address:port` says to `method path` (logs, exec, proxy).
    Proxy {
        /// Whose.
        stream: StreamId,
        /// The node, for messages.
        node: String,
        /// The kubelet's address.
        address: String,
        /// The kubelet's port.
        port: u16,
        /// Path and query on the kubelet.
        target: String,
    },
}

/// A change to make durable. Keys are kube-apiserver's own (`/registry/pods/default/web`), values are JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The object at `key` is now `value`.
    Put {
        /// Revision of the change.
        revision: u64,
        /// Key.
        key: String,
        /// The object as compact JSON.
        value: Bytes,
    },
    /// The object at `key` is gone.
    Delete {
        /// Revision of the change.
        revision: u64,
        /// Key.
        key: String,
    },
}

impl Record {
    /// Revision of the change.
    pub fn revision(&self) -> u64 {
        match self {
            Record::Put { revision, .. } | Record::Delete { revision, .. } => *revision,
        }
    }
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
