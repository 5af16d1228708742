//! The API's front: TLS, HTTP/1.1 and HTTP/2. It turns connections into requests for the control plane and its answers into
//! bytes; it decides nothing about Kubernetes.
//!
//! Everything a client can make us hold is bounded: connections in a handshake by time, headers and bodies by size, requests
//! in flight by number, unsent watch events by [`STREAM_BUFFER`](crate::streams::STREAM_BUFFER).

mod answer;
mod relay;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::wire::ClientCertificate;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::caller::Caller;
use crate::client;
use crate::driver::Inputs;
use crate::pki::{self, Pair};
use crate::server::down;
use crate::streams::Streams;

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long an HTTP/1.1 connection may take for the head of its next request, which is also how long it may rest. Go's
/// clients keep connections for 90 s.
const HEAD: Duration = Duration::from_secs(180);

/// Size of the headers of a request, in bytes; Go's servers have the same limit by default for HTTP/2 frames of headers.
const MAX_HEADERS: u32 = 64 << 10;

/// How many requests of one HTTP/2 connection may be in flight, watches included, as kube-apiserver has it.
const MAX_STREAMS: u32 = 1000;

/// How many requests may wait for the head of their answer.
const MAX_IN_FLIGHT: usize = 4096;

/// How much all bodies on their way to the control plane may take, in KiB.
const MAX_BODIES_KIB: usize = 256 << 10;

/// How long open connections have to finish what they are at when the host stops.
const DRAIN: Duration = Duration::from_millis(500);

/// What every connection shares.
pub struct Front {
    inputs: Inputs,
    streams: Arc<Streams>,
    caller: Arc<Caller>,
    in_flight: Semaphore,
    bodies: Arc<Semaphore>,
}

impl Front {
    /// A front for this control plane; `caller` asks the servers that answer in its place.
    pub fn new(inputs: Inputs, streams: Arc<Streams>, caller: Arc<Caller>) -> Arc<Self> {
        Arc::new(Front {
            caller,
            inputs,
            streams,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            bodies: Arc::new(Semaphore::new(MAX_BODIES_KIB)),
        })
    }

    /// Serves until `shutdown` becomes true, then lets connections finish for a moment.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: TlsAcceptor, mut shutdown: watch::Receiver<bool>) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let (front, tls, shutdown) = (self.clone(), tls.clone(), shutdown.clone());
                        connections.spawn(async move { front.connection(stream, peer, tls, shutdown).await });
                    }
                    // Out of file descriptors, mostly: wait for some to come back.
                    Err(error) => {
                        eprintln!("warning: cannot accept a connection: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                () = down(&mut shutdown) => break,
            }
        }
        drop(listener);
        // Watches have no end of their own; clients begin them again elsewhere or later.
        self.streams.end_bodies();
        let drained = async { while connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(DRAIN, drained).await);
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: TlsAcceptor,
        mut shutdown: watch::Receiver<bool>,
    ) {
        drop(stream.set_nodelay(true));
        // Whoever fails to speak TLS (port scans, plain HTTP, foreign certificates) is told so by the alert and not logged.
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await else { return };
        let session = stream.get_ref().1;
        let http2 = session.alpn_protocol() == Some(b"h2");
        let certificate = session.peer_certificates().and_then(|chain| chain.first()).and_then(pki::subject);
        let certificate: Option<Arc<ClientCertificate>> = certificate.map(Arc::new);
        let service = service_fn(move |request| {
            let (front, certificate) = (self.clone(), certificate.clone());
            async move { Ok::<_, std::convert::Infallible>(front.handle(request, certificate.as_deref(), peer).await) }
        });
        let io = TokioIo::new(stream);
        // How a connection ends is the client's business; what it was owed is accounted for by its tickets.
        if http2 {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEADERS)
                .adaptive_window(false)
                .initial_stream_window_size(1 << 20)
                .initial_connection_window_size(4 << 20)
                .keep_alive_interval(Duration::from_secs(30));
            let connection = builder.serve_connection(io, service);
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = down(&mut shutdown) => {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            }
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEADERS as usize).half_close(false);
            let connection = builder.serve_connection(io, service).with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = down(&mut shutdown) => {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            }
        }
    }
}

/// TLS as kube-apiserver has it: HTTP/2 preferred, a client certificate if the client has one of ours.
pub fn tls(serving: &Pair, client_authority: &str) -> Result<TlsAcceptor> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in client::certificates(client_authority)? {
        roots.add(certificate).context("not a certificate authority")?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), client::provider())
        .allow_unauthenticated()
        .build()
        .context("cannot verify client certificates")?;
    let mut config = rustls::ServerConfig::builder_with_provider(client::provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(client::certificates(&serving.certificate)?, client::private_key(&serving.key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
