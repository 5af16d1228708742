//! What the API exchanges with whoever drives it: whole requests in; answers, streams and journal records out.
//!
//! `cluster::wire` encodes these for the narrow waist; they are plain data and name nothing internal.

use object::Bytes;
use serde::{Deserialize, Serialize};

use crate::metrics::Kind;

/// A client's connection-independent identity for one request and its answer. The host counts them up and never uses one twice.
pub type StreamId = u64;

/// A bearer token and its user, as one line of kube-apiserver's `--token-auth-file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StaticToken {
    /// The secret.
    pub token: String,
    /// User name.
    pub user: String,
    /// The user's uid; may be empty.
    pub uid: String,
    /// The user's groups.
    pub groups: Vec<String>,
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
    /// The address of the other end of the connection; empty if there is none.
    pub peer: String,
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
    /// Ask a server outside, and bring the reply back.
    Call {
        /// The name of the question.
        call: CallId,
        /// The question.
        outgoing: Outgoing,
    },
    /// Answer this stream with what a server outside says.
    Forward {
        /// Whose.
        stream: StreamId,
        /// The node whose kubelet it is; empty for other servers.
        node: String,
        /// In which form the client gets the answer.
        relay: Relay,
        /// The request to that server; without a timeout.
        outgoing: Outgoing,
    },
    /// The answer that stands before this is counted as this kind of request: how long it took is to be measured.
    Served {
        /// Whose.
        stream: StreamId,
        /// The kind.
        kind: Kind,
    },
    /// One event of the audit log: JSON with a newline at its end.
    Audit(Bytes),
}

impl Output {
    /// About how many bytes it is.
    pub(crate) fn size(&self) -> u64 {
        let bytes = match self {
            Output::Journal(Record::Put { value, .. }) => value.len(),
            Output::Respond { body, .. } => body.len(),
            Output::Data { bytes, .. } | Output::Audit(bytes) => bytes.len(),
            Output::Call { outgoing, .. } | Output::Forward { outgoing, .. } => outgoing.body.len(),
            Output::Journal(Record::Delete { .. }) | Output::Open { .. } | Output::End(_) | Output::Served { .. } => 0,
        };
        bytes as u64
    }
}

/// The name of a question to a server outside. Counted up, never used twice.
pub type CallId = u64;

/// A server that the API server asks something: a webhook, an aggregated API server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name, which its certificate must have and which stands in the Host header.
    pub host: String,
    /// The port that goes with the name.
    pub port: u16,
    /// Where it is; a name or an address.
    pub address: String,
    /// The port there.
    pub address_port: u16,
    /// Whose word its certificate needs.
    pub trust: Trust,
    /// Who we are to it.
    pub identity: Identity,
    /// Whether it speaks HTTP without TLS.
    pub plain: bool,
}

/// Which certificate a server outside is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// None.
    #[default]
    Nobody,
    /// The front proxy's, so that it believes who we say the user is.
    FrontProxy,
    /// That of the API server as kubelets know it.
    KubeletClient,
}

/// How the answer of a server outside reaches a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relay {
    /// As it is. Where nobody answers, the client gets 503 in plain text: an aggregated API server.
    Verbatim,
    /// As it is, with redirections moved below this path. Where nobody answers, a Status says so: `proxy` subresources.
    Below(String),
    /// As it is, upgraded to a stream of bytes: exec, attach, portforward.
    Stream,
    /// A refusal becomes a Status with its text as message: logs.
    Checked,
}

/// Whose word a server's certificate needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Trust {
    /// That of the authorities that the system knows.
    #[default]
    System,
    /// That of one of these, as PEM.
    Authorities(String),
    /// That of the cluster's own authority: kubelets.
    Cluster,
    /// Nobody's.
    Anything,
}

/// In place of a node's name: the scheduler is asked, which is part of this program. No node has this name.
pub const SCHEDULER: &str = "/debug/scheduler";

/// One request to a server outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The server.
    pub upstream: Upstream,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
    /// How long to wait for the whole answer, in milliseconds.
    pub timeout_millis: u32,
}

/// What came of a call: an answer, or in words why there is none (`dial tcp 10.1.2.3:443: connect: connection refused`).
pub type Reply = Result<Answered, String>;

/// A whole answer of a server outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// HTTP status code.
    pub status: u16,
    /// Body; the host has bounded its size.
    pub body: Bytes,
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
