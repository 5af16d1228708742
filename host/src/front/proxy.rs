//! Answers that a kubelet gives (logs): the API server asks it over TLS as itself and passes on what it says.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use object::{ApiError, Reason};

use super::answer::{self, BodyError, Response};
use crate::client::{Client, Credentials};
use crate::pki::Pair;

/// How much of a kubelet's refusal is passed on.
const MAX_REFUSAL: usize = 64 << 10;

/// How many kubelets' connections are kept.
const MAX_KEPT: usize = 1000;

/// Where to ask what.
pub struct Target {
    /// The node, for messages.
    pub node: String,
    /// The kubelet's address.
    pub address: String,
    /// The kubelet's port.
    pub port: u16,
    /// Path and query.
    pub target: String,
}

/// Connections to kubelets.
pub struct Kubelets {
    authority: String,
    identity: Pair,
    clients: Mutex<BTreeMap<String, Client>>,
}

impl Kubelets {
    /// Kubelets whose certificates `authority` signed; we are `identity` to them.
    pub fn new(authority: String, identity: Pair) -> Self {
        Kubelets { authority, identity, clients: Mutex::default() }
    }

    /// Asks, and streams the answer. The body of a refusal becomes the message of a Status.
    pub async fn forward(&self, method: &Method, target: Target) -> Response {
        let shown = format!("https://{}:{}{}", target.address, target.port, target.target);
        let failed = |error: anyhow::Error| {
            let verb = if *method == Method::GET { "Get" } else { "Post" };
            ApiError::new(500, Reason::InternalError, format!("{verb} {shown:?}: cannot reach node {}: {error:#}", target.node))
        };
        let client = match self.client(&target.address, target.port) {
            Ok(client) => client,
            Err(error) => return answer::refusal(&failed(error)),
        };
        let response = match client.send(method.clone(), &target.target, &[], Bytes::new()).await {
            Ok(response) => response,
            Err(error) => return answer::refusal(&failed(error)),
        };
        let status = response.status();
        if status.is_success() {
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
            let headers = [("content-type".to_owned(), content_type.to_owned())];
            return answer::streamed(status.as_u16(), &headers, response.into_body().map_err(BodyError::from).boxed());
        }
        let body = Limited::new(response.into_body(), MAX_REFUSAL).collect().await.map(|body| body.to_bytes());
        let text = String::from_utf8_lossy(&body.unwrap_or_default()).trim().to_owned();
        let reason = match status.as_u16() {
            400 => Reason::BadRequest,
            401 => Reason::Unauthorized,
            403 => Reason::Forbidden,
            404 => Reason::NotFound,
            _ => Reason::InternalError,
        };
        answer::refusal(&ApiError::new(status.as_u16(), reason, text))
    }

    fn client(&self, address: &str, port: u16) -> anyhow::Result<Client> {
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let server = format!("https://{host}:{port}");
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&server) {
            return Ok(client.clone());
        }
        let client = Client::new(&Credentials {
            server: server.clone(),
            ca: self.authority.clone(),
            certificate: self.identity.certificate.clone(),
            key: self.identity.key.clone(),
            token: String::new(),
        })?;
        if clients.len() >= MAX_KEPT {
            clients.clear();
        }
        clients.insert(server, client.clone());
        Ok(client)
    }
}
