//! The kubelet's own HTTPS server: logs and the list of pods, for the API server and other masters of the cluster. Everybody
//! else asks the API server, which knows who may see what.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kubelet::io::ContainerId;
use object::{Time, Value, json};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::layout::Layout;
use super::logs::{self, Options};
use super::runtime::Runtime;
use super::{NodeConfig, now};
use crate::{client, pki};

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pieces of a log that wait for a slow reader.
const WAITING: usize = 4;

/// What the server asks the agent.
pub enum Question {
    /// Which run's log is meant.
    Run {
        /// Namespace of the pod.
        namespace: String,
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// Whether the run before the current one is meant.
        previous: bool,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<ContainerId>>,
    },
    /// The pods of this node.
    Pods(oneshot::Sender<Vec<Value>>),
}

/// The server's parts.
pub struct Server {
    /// Where it asks.
    pub questions: mpsc::Sender<Question>,
    /// Where logs are.
    pub layout: Layout,
    /// Who knows what runs.
    pub runtime: Arc<Runtime>,
}

/// Prepares TLS: only clients with a certificate of the cluster's authority are served.
pub fn tls(config: &NodeConfig) -> Result<TlsAcceptor> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in client::certificates(&config.client_ca)? {
        roots.add(certificate).context("not a certificate authority")?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), client::provider()).build()?;
    let mut tls = rustls::ServerConfig::builder_with_provider(client::provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(client::certificates(&config.serving_certificate)?, client::private_key(&config.serving_key)?)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

impl Server {
    /// Serves until the future is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: TlsAcceptor) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely; others will be closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (server, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await else { return };
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let subject = certificate.and_then(pki::subject);
                let is_master = subject.is_some_and(|subject| subject.organizations.iter().any(|group| group == pki::MASTERS));
                let service = service_fn(move |request| {
                    let server = server.clone();
                    async move {
                        Ok::<_, Infallible>(match is_master {
                            true => server.answer(request).await,
                            false => text(StatusCode::FORBIDDEN, "Forbidden: only the API server is answered here"),
                        })
                    }
                });
                let mut http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                http.http1().timer(TokioTimer::new());
                // A client that goes away is its own affair.
                http.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let query = request.uri().query().unwrap_or("");
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["healthz"]) => text(StatusCode::OK, "ok"),
            (&Method::GET, ["pods"]) => self.pods().await,
            (&Method::GET, ["containerLogs", namespace, pod, container]) => self.logs(namespace, pod, container, query).await,
            (_, ["exec" | "attach" | "portForward" | "run", ..]) => text(
                StatusCode::NOT_IMPLEMENTED,
                "exec, attach and port-forward are not supported by this node: a WASI container is one program without a shell",
            ),
            _ => text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    async fn pods(&self) -> Answer {
        let (answer, items) = oneshot::channel();
        self.questions.send(Question::Pods(answer)).await.ok();
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items.await.unwrap_or_default()});
        let mut response = text(StatusCode::OK, list.to_string());
        response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
        response
    }

    async fn logs(&self, namespace: &str, pod: &str, container: &str, query: &str) -> Answer {
        let (options, previous) = match options(query, now()) {
            Ok(options) => options,
            Err(problem) => return text(StatusCode::BAD_REQUEST, problem),
        };
        let (answer, run) = oneshot::channel();
        let (namespace, pod, container) = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        let names = (container.clone(), pod.clone());
        self.questions.send(Question::Run { namespace, pod, container, previous, answer }).await.ok();
        let Ok(Some(id)) = run.await else {
            let (container, pod) = names;
            let problem = if previous {
                format!("previous terminated container {container:?} in pod {pod:?} not found")
            } else {
                format!("container {container:?} in pod {pod:?} is waiting to start: ContainerCreating")
            };
            return text(StatusCode::BAD_REQUEST, problem);
        };
        let (to, from) = mpsc::channel(WAITING);
        let (path, runtime) = (self.layout.run(&id, "log"), self.runtime.clone());
        tokio::spawn(async move { logs::send(path, options, || runtime.is_running(&id), to).await });
        let mut response = Response::new(Pieces(from).boxed());
        response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/plain"));
        response
    }
}

fn text(code: StatusCode, words: impl Into<String>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(words.into())).boxed());
    *response.status_mut() = code;
    response
}

/// Reads the query of a request for logs.
fn options(query: &str, now: Time) -> Result<(Options, bool), String> {
    let mut options = Options::default();
    let mut previous = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = &decoded(value);
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value:?} is not a number"));
        match name {
            "follow" => options.follow = is_true(value),
            "timestamps" => options.timestamps = is_true(value),
            "previous" => previous = is_true(value),
            "tailLines" => options.tail = Some(number()?),
            "limitBytes" => options.limit = Some(number()?),
            "sinceSeconds" => {
                let at = now.millis_since(Time::from_millis(0)).saturating_sub(number()?.saturating_mul(1000));
                options.since = Some(wasmkube_runner::log::timestamp(Duration::from_millis(at)));
            }
            "sinceTime" => {
                let at = Time::parse(value).ok_or_else(|| format!("sinceTime: {value:?} is not a time"))?;
                let since = Duration::from_millis(at.millis_since(Time::from_millis(0)));
                options.since =
                    Some(wasmkube_runner::log::timestamp((UNIX_EPOCH + since).duration_since(UNIX_EPOCH).unwrap_or(since)));
            }
            _ => {}
        }
    }
    Ok((options, previous))
}

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "1" | "True" | "TRUE" | "t" | "T")
}

/// A value of a query without its escapes.
fn decoded(value: &str) -> String {
    let mut out = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let escaped = || -> Option<u8> {
            let mut ahead = rest.clone();
            let pair = [ahead.next()?, ahead.next()?];
            u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()
        };
        match (byte, escaped()) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest.nth(1);
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Bytes as they come.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let at = Time::parse("2026-11-20T00:01:00Z").unwrap();
        let (got, previous) = options("follow=true&tailLines=5&sinceSeconds=30&previous=1&x=y", at).unwrap();
        let since = Some("2026-11-20T00:00:30.000000000Z".to_owned());
        assert_eq!(got, Options { follow: true, tail: Some(5), since, ..Options::default() });
        assert!(previous);
        let (got, _) = options("sinceTime=2026-11-20T00%3A00%3A10Z", at).unwrap();
        assert_eq!(got.since.as_deref(), Some("2026-11-20T00:00:10.000000000Z"));
        for wrong in ["tailLines=-1", "limitBytes=x", "sinceTime=yesterday"] {
            assert!(options(wrong, at).is_err(), "{wrong}");
        }
        assert_eq!(decoded("a%2Fb+c%zz%"), "a/b c%zz%");
    }
}
