//! The API's front: TLS, HTTP/1.1 and HTTP/2. It turns connections into requests for the control plane and its answers into
//! bytes; it decides nothing about Kubernetes.
//!
//! Everything a client can make us hold is bounded: connections by number, in a handshake, at rest and with a client that does
//! not read by time, headers and bodies by size, requests in flight by number, unsent watch events by [`STREAM_BUFFER`](crate::streams::STREAM_BUFFER).

mod answer;
mod connection;
mod relay;
mod request;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::wire::ClientCertificate;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::caller::Caller;
use crate::client;
use crate::driver::Inputs;
use crate::limits::Limits;
use crate::pki::{self, Pair};
use crate::server::down;
use crate::streams::Streams;
use connection::{Activity, Patient};

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

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
    limits: Limits,
    connections: Arc<Semaphore>,
    in_flight: Semaphore,
    bodies: Arc<Semaphore>,
}

impl Front {
    /// A front for this control plane; `caller` asks the servers that answer in its place.
    pub fn new(inputs: Inputs, streams: Arc<Streams>, caller: Arc<Caller>, limits: Limits) -> Arc<Self> {
        Arc::new(Front {
            caller,
            inputs,
            streams,
            connections: Arc::new(Semaphore::new(limits.max_connections as usize)),
            limits,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            bodies: Arc::new(Semaphore::new(MAX_BODIES_KIB)),
        })
    }

    /// Serves until `shutdown` becomes true, then lets connections finish for a moment.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: TlsAcceptor, mut shutdown: watch::Receiver<bool>) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.accept(&listener) => match accepted {
                    Ok((stream, peer, place)) => {
                        let (front, tls, shutdown) = (self.clone(), tls.clone(), shutdown.clone());
                        connections.spawn(async move {
                            front.connection(stream, peer, tls, shutdown).await;
                            drop(place);
                        });
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
        let answered = async {
            drop(self.in_flight.acquire_many(MAX_IN_FLIGHT as u32).await);
        };
        drop(tokio::time::timeout(self.limits.request_timeout, answered).await);
        self.streams.end_bodies();
        let drained = async { while connections.join_next().await.is_some() {} };
        drop(tokio::time::timeout(DRAIN, drained).await);
    }

    /// The next connection, once there is a place for it.
    async fn accept(&self, listener: &TcpListener) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = self.connections.clone().acquire_owned().await.map_err(std::io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        Ok((stream, peer, place))
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
        let activity = Activity::new();
        let (idle, patience) = (self.limits.idle_timeout, self.limits.write_timeout);
        let io = TokioIo::new(Patient::new(stream, activity.clone(), patience));
        let client = activity.clone();
        let service = service_fn(move |request| {
            let (front, certificate, busy) = (self.clone(), certificate.clone(), client.begin());
            async move {
                let response = front.handle(request, certificate.as_deref(), peer).await;
                Ok::<_, std::convert::Infallible>(busy.until_sent(response))
            }
        });
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
                () = end(&activity, idle, &mut shutdown) => {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            }
        } else {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(MAX_HEADERS as usize).half_close(false);
            let connection = builder.serve_connection(io, service).with_upgrades();
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = end(&activity, idle, &mut shutdown) => {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            }
        }
    }
}

/// Waits until a connection is to take no more requests: it has rested for long enough, or the host ends.
async fn end(activity: &Activity, idle: Duration, shutdown: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = activity.rest(idle) => {}
        () = down(shutdown) => {}
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
