//! Questions of the control plane to servers outside: webhooks, aggregated API servers, kubelets, proxied pods and services.
//!
//! Core says whom to ask what, and what to make of the answer; here is only the network: TLS, deadlines, bounds.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use cluster::Input;
use cluster::wire::{Answered, CallId, Identity, Outgoing, Reply, Trust, Upstream};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::sync::{Semaphore, mpsc};

use crate::client::{certificates, private_key, provider};
use crate::driver::Inputs;
use crate::pki::{Pair, Pki};

/// Longest answer that is read: as many objects as a list of all of them may hold.
const MAX_ANSWER: usize = 64 << 20;

/// How many questions are under way at once; others wait for their turn within their own deadline.
const MAX_CALLS: usize = 256;

/// How many servers' connections are kept.
const MAX_KEPT: usize = 256;

/// Who we are to servers outside.
pub struct Identities {
    /// The front proxy.
    front_proxy: Pair,
    /// The API server, as kubelets know it.
    kubelet_client: Pair,
    /// Who signs the certificates of kubelets.
    authority: String,
}

impl Identities {
    /// Those that the cluster's authorities give out.
    pub fn of(pki: &Pki) -> Result<Self> {
        let (front_proxy, kubelet_client) = (pki.front_proxy_client()?, pki.kubelet_client()?);
        Ok(Identities { front_proxy, kubelet_client, authority: pki.authority().to_owned() })
    }
}

type Pool = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The question, and its name.
pub type Call = (CallId, Outgoing);

/// Connections to servers outside.
pub struct Caller {
    inputs: Inputs,
    identities: Identities,
    turns: Semaphore,
    pools: Mutex<HashMap<Vec<u8>, Pool>>,
}

impl Caller {
    /// Replies go to the control plane as inputs.
    pub fn new(inputs: Inputs, identities: Identities) -> Arc<Self> {
        Arc::new(Caller { inputs, identities, turns: Semaphore::new(MAX_CALLS), pools: Mutex::default() })
    }

    /// Asks what arrives until nobody is left to ask for anything.
    pub async fn run(self: Arc<Self>, mut calls: mpsc::UnboundedReceiver<Call>) {
        while let Some((call, outgoing)) = calls.recv().await {
            let caller = self.clone();
            tokio::spawn(async move {
                let timeout = Duration::from_millis(outgoing.timeout_millis.into());
                let reply = tokio::time::timeout(timeout, caller.ask(outgoing)).await;
                let reply = reply.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
                caller.inputs.send(Input::Answered { call, reply });
            });
        }
    }

    async fn ask(&self, outgoing: Outgoing) -> Reply {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let response = self.send(outgoing).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|_| "unexpected EOF".to_owned())?;
        Ok(Answered { status, body: body.to_bytes() })
    }

    /// Sends a request and gives back what the server says, as it comes.
    pub async fn forward(&self, outgoing: Outgoing) -> Result<hyper::Response<Incoming>, String> {
        self.send(outgoing).await
    }

    async fn send(&self, outgoing: Outgoing) -> Result<hyper::Response<Incoming>, String> {
        let Upstream { address, address_port, host, port, .. } = &outgoing.upstream;
        let pool = self.pool(&outgoing.upstream).map_err(|error| format!("{error:#}"))?;
        let shown = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        let scheme = if outgoing.upstream.plain { "http" } else { "https" };
        let uri = format!("{scheme}://{shown}:{address_port}{}", outgoing.target);
        let mut request = Request::builder().method(outgoing.method.as_str()).uri(uri);
        let name = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let standard = if outgoing.upstream.plain { 80 } else { 443 };
        let name = if *port == standard { name } else { format!("{name}:{port}") };
        request = request.header("host", name);
        if !outgoing.headers.iter().any(|(name, _)| name == "user-agent") {
            request = request.header("user-agent", "kube-apiserver-admission");
        }
        for (name, value) in &outgoing.headers {
            request = request.header(name, value);
            if name == "upgrade" {
                request = request.header("connection", "Upgrade");
            }
        }
        let request = request.body(Full::new(outgoing.body)).map_err(|error| error.to_string())?;
        pool.request(request).await.map_err(|error| in_go_words(&error, &format!("{shown}:{address_port}")))
    }

    fn pool(&self, upstream: &Upstream) -> Result<Pool> {
        let key = cluster::wire::encode(upstream);
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let name = ServerName::try_from(upstream.host.clone()).with_context(|| format!("bad server name {:?}", upstream.host))?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls(upstream)?)
            .https_or_http()
            .with_server_name_resolver(FixedServerNameResolver::new(name))
            .enable_http1()
            .wrap_connector(http);
        let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        if pools.len() >= MAX_KEPT {
            pools.clear();
        }
        pools.insert(key, pool.clone());
        Ok(pool)
    }
}

impl Caller {
    fn tls(&self, upstream: &Upstream) -> Result<rustls::ClientConfig> {
        let builder = trusting(&upstream.trust, &self.identities.authority)?;
        let Pair { certificate, key } = match upstream.identity {
            Identity::Nobody => return Ok(builder.with_no_client_auth()),
            Identity::FrontProxy => &self.identities.front_proxy,
            Identity::KubeletClient => &self.identities.kubelet_client,
        };
        Ok(builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?)
    }
}

type Trusting = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

fn trusting(trust: &Trust, cluster: &str) -> Result<Trusting> {
    let builder = rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut roots = rustls::RootCertStore::empty();
    match trust {
        Trust::System => {
            // Those that cannot be read are as good as not there.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::Authorities(_) | Trust::Cluster => {
            for certificate in certificates(if let Trust::Authorities(pem) = trust { pem } else { cluster })? {
                roots.add(certificate).context("not a certificate authority")?;
            }
        }
        Trust::Anything => {
            let verifier = Arc::new(unverified::Unverified(provider()));
            return Ok(builder.dangerous().with_custom_certificate_verifier(verifier));
        }
    }
    Ok(builder.with_root_certificates(roots))
}

/// What Go's HTTP client would say.
fn in_go_words(error: &hyper_util::client::legacy::Error, address: &str) -> String {
    let mut source = error.source();
    let mut last = error.to_string();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return format!("dial tcp {address}: connect: connection refused"),
                std::io::ErrorKind::ConnectionReset => return format!("read tcp {address}: read: connection reset by peer"),
                std::io::ErrorKind::TimedOut => return format!("dial tcp {address}: i/o timeout"),
                std::io::ErrorKind::UnexpectedEof => return "EOF".to_owned(),
                _ => {}
            }
            // The first cause of an error that wraps another is that one's own cause.
            let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<std::io::Error>()).unwrap_or(io);
            if let Some(rustls::Error::InvalidCertificate(why)) = inner.get_ref().and_then(|inner| inner.downcast_ref()) {
                return format!("tls: failed to verify certificate: x509: {}", certificate_fault(why));
            }
        }
        last = cause.to_string();
        source = cause.source();
    }
    if last.contains("failed to lookup address") {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        return format!("dial tcp: lookup {host}: no such host");
    }
    last
}

fn certificate_fault(why: &rustls::CertificateError) -> String {
    match why {
        rustls::CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
            "certificate has expired or is not yet valid".to_owned()
        }
        rustls::CertificateError::NotValidForNameContext { expected, presented } => {
            format!("certificate is valid for {}, not {}", presented.join(", "), expected.to_str())
        }
        other => other.to_string(),
    }
}

/// Certificates that nobody has to vouch for (`insecureSkipTLSVerify`). Signatures of the handshake are checked all the same.
mod unverified {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub struct Unverified(pub Arc<CryptoProvider>);

    impl ServerCertVerifier for Unverified {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
