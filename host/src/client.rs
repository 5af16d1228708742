//! A client of the Kubernetes API over TLS: for the node agent, `wasmkube kubectl`, and for reaching kubelets.
//!
//! It moves bytes and knows nothing of kinds. Connections are kept and shared; HTTP/2 is used where the server speaks it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

/// Longest line of a watch that is accepted, in bytes.
const MAX_LINE: usize = 64 << 20;

/// Where an API is and who we are there.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// `https://host:port`.
    pub server: String,
    /// PEM of the authorities that the server's certificate must come from.
    pub ca: String,
    /// PEM of our certificate; empty for none.
    pub certificate: String,
    /// PEM of its key.
    pub key: String,
    /// Bearer token; empty for none.
    pub token: String,
}

/// A connection pool to one API server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    server: Arc<str>,
    authorization: Option<Arc<str>>,
    pool: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// An answer other than success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API's own refusal.
    #[error("{}", .status.get("message").and_then(Value::as_str).unwrap_or("the server refused without a message"))]
    Status {
        /// HTTP status code.
        code: u16,
        /// The `Status` object.
        status: Value,
    },
    /// No answer, or one that could not be understood.
    #[error(transparent)]
    Transport(#[from] anyhow::Error),
}

impl Error {
    /// HTTP status code of the API's refusal; 0 where there was no answer.
    pub fn code(&self) -> u16 {
        match self {
            Error::Status { code, .. } => *code,
            Error::Transport(_) => 0,
        }
    }
}

impl Client {
    /// Prepares connections; nothing is sent yet.
    pub fn new(credentials: &Credentials) -> Result<Self> {
        Client::with_protocols(credentials, true)
    }

    /// As [`Client::new`], but every request in flight has a connection of its own (HTTP/1.1).
    pub fn new_http1(credentials: &Credentials) -> Result<Self> {
        Client::with_protocols(credentials, false)
    }

    fn with_protocols(credentials: &Credentials, http2: bool) -> Result<Self> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(credentials)?).https_only();
        let connector =
            if http2 { builder.enable_all_versions().wrap_connector(http) } else { builder.enable_http1().wrap_connector(http) };
        let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        let authorization = (!credentials.token.is_empty()).then(|| format!("Bearer {}", credentials.token).into());
        Ok(Client { server: credentials.server.trim_end_matches('/').into(), authorization, pool })
    }

    /// Sends one request; `target` is path and query. The body of the answer is still to be read.
    pub async fn send(&self, method: Method, target: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Response<Incoming>> {
        let uri: Uri = format!("{}{target}", self.server).parse().with_context(|| format!("bad target {target:?}"))?;
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", &**authorization);
        }
        let request = request.body(Full::new(body)).context("bad header")?;
        Ok(self.pool.request(request).await?)
    }

    /// Sends JSON (`Null` for no body) and reads JSON. Patches set their own content type with [`Client::json_as`].
    pub async fn json(&self, method: Method, target: &str, body: &Value) -> Result<Value, Error> {
        self.json_as(method, target, "application/json", body).await
    }

    /// As [`Client::json`], with the content type of the body.
    pub async fn json_as(&self, method: Method, target: &str, content_type: &str, body: &Value) -> Result<Value, Error> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let headers = [("accept", "application/json"), ("content-type", content_type)];
        let response = self.send(method, target, &headers, body).await?;
        let code = response.status();
        let bytes = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).as_ref()));
        if code.is_success() { Ok(value) } else { Err(Error::Status { code: code.as_u16(), status: as_status(value) }) }
    }

    /// Opens a watch (or any stream of JSON lines).
    pub async fn lines(&self, target: &str) -> Result<Lines, Error> {
        let response = self.send(Method::GET, target, &[("accept", "application/json")], Bytes::new()).await?;
        let code = response.status();
        if code.is_success() {
            return Ok(Lines { body: response.into_body(), rest: BytesMut::new() });
        }
        let bytes = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).as_ref()));
        Err(Error::Status { code: code.as_u16(), status: as_status(value) })
    }
}

/// A text answer made to look like a Status.
fn as_status(value: Value) -> Value {
    if value.is_object() { value } else { serde_json::json!({"kind": "Status", "message": value}) }
}

/// An endless answer, line by line.
pub struct Lines {
    body: Incoming,
    rest: BytesMut,
}

impl Lines {
    /// The next line without its end; `None` when the server ended the answer.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.rest[searched..].iter().position(|b| *b == b'\n') {
                let mut line = self.rest.split_to(searched + at + 1);
                line.truncate(searched + at);
                return Ok(Some(line.freeze()));
            }
            searched = self.rest.len();
            anyhow::ensure!(searched <= MAX_LINE, "a line of more than {MAX_LINE} bytes");
            match self.body.frame().await {
                None if self.rest.is_empty() => return Ok(None),
                None => anyhow::bail!("the answer broke off within a line"),
                Some(frame) => {
                    if let Ok(data) = frame.context("the answer broke off")?.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Reads all certificates of a PEM text.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().context("not PEM certificates")
}

/// Reads the private key of a PEM text.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).context("not a PEM private key")
}

/// The rustls provider of this program.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS as these credentials have it.
pub fn tls(credentials: &Credentials) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(&credentials.ca)? {
        roots.add(certificate).context("not a certificate authority")?;
    }
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(if credentials.certificate.is_empty() {
        builder.with_no_client_auth()
    } else {
        builder.with_client_auth_cert(certificates(&credentials.certificate)?, private_key(&credentials.key)?)?
    })
}
