//! From a hyper request to the control plane's `Request`: headers as text, a bounded body without content encoding.

use std::io::Read as _;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use cluster::wire::ClientCertificate;
use cluster::{Input, Request, StreamId};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use object::{ApiError, Reason};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{self, Response};
use super::websocket::Wish;
use super::{Front, relay};

/// Largest body, in bytes: kube-apiserver's limit.
const MAX_BODY: usize = 3 << 20;

/// Headers that are between the client and this connection; the control plane has no use for them.
const OURS: [&str; 8] =
    ["connection", "content-encoding", "content-length", "accept-encoding", "host", "te", "transfer-encoding", "keep-alive"];

impl Front {
    /// Answers one request.
    pub(super) async fn handle(
        &self,
        request: hyper::Request<Incoming>,
        certificate: Option<&ClientCertificate>,
        peer: SocketAddr,
    ) -> Response {
        let (mut parts, body) = request.into_parts();
        // The semaphores are never closed.
        let (Ok(in_flight), Ok(_room)) = (self.in_flight.acquire().await, self.room(&parts.headers).await) else {
            return answer::refusal(&unavailable());
        };
        let body = match tokio::time::timeout(self.limits.request_timeout, read(&parts.headers, body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return answer::refusal(&error),
            Err(_) => return answer::refusal(&too_slow()),
        };
        let (ticket, answered) = self.streams.open();
        let mut request = into_request(ticket.stream(), &parts, body, certificate);
        request.peer = peer.ip().to_string();
        self.inputs.send(Input::Request(request));
        let Ok(answered) = answered.await else { return answer::refusal(&unavailable()) };
        drop(in_flight);
        let mut client = parts.extensions.remove::<OnUpgrade>();
        let response = match answered {
            crate::streams::Answer::Whole { status, headers, body } => {
                answer::whole(status, &headers, body, answer::accepts_gzip(&parts.headers)).await
            }
            crate::streams::Answer::Stream { status, headers, rest } => answer::stream(status, &headers, ticket.body(rest)),
            crate::streams::Answer::Forward(relay, outgoing) => relay::answer(&self.caller, &relay, outgoing, &mut client).await,
        };
        match (Wish::of(&parts), client) {
            (Some(wish), Some(client)) => wish.grant(response, client),
            _ => response,
        }
    }

    /// Reserves memory for a body. Those of unknown length count as the largest.
    async fn room(&self, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, tokio::sync::AcquireError> {
        let stated =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<usize>().ok());
        let chunked = headers.contains_key(hyper::header::TRANSFER_ENCODING) || headers.contains_key(CONTENT_ENCODING);
        let size = stated.filter(|_| !chunked).unwrap_or(if chunked { MAX_BODY } else { 0 }).min(MAX_BODY);
        self.bodies.clone().acquire_many_owned((size >> 10) as u32 + 1).await
    }
}

fn unavailable() -> Box<ApiError> {
    ApiError::new(503, Reason::ServiceUnavailable, "the server is currently unable to handle the request")
}

/// The body does not come, or not in time.
fn too_slow() -> Box<ApiError> {
    ApiError::new(504, Reason::Timeout, "Timeout: request did not complete within the allotted timeout")
}

fn too_large() -> Box<ApiError> {
    ApiError::new(413, Reason::RequestEntityTooLarge, format!("Request entity too large: limit is {MAX_BODY}"))
}

fn into_request(stream: StreamId, parts: &Parts, body: Bytes, certificate: Option<&ClientCertificate>) -> Request {
    let headers = parts.headers.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
    Request {
        stream,
        method: parts.method.as_str().to_owned(),
        target: parts.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned()),
        // Values that are no text mean nothing to Kubernetes.
        headers: headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect(),
        body,
        certificate: certificate.cloned(),
        peer: String::new(),
    }
}

/// Reads the whole body within its bounds.
async fn read(headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Box<ApiError>> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broken = |error: hyper::Error| ApiError::bad_request(format!("the body of the request broke off: {error}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if all.len() + first.len() + data.len() > MAX_BODY {
            return Err(too_large());
        }
        // Most bodies come in one piece, which need not be copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    let whole = if all.is_empty() { first } else { all.freeze() };
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(whole),
        Some(b"gzip") => gunzip(&whole),
        Some(other) => {
            let shown = String::from_utf8_lossy(other).into_owned();
            Err(ApiError::unsupported_media_type(format!("the content encoding {shown:?} is not supported")))
        }
    }
}

fn gunzip(bytes: &[u8]) -> Result<Bytes, Box<ApiError>> {
    let mut plain = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(bytes).take(MAX_BODY as u64 + 1);
    reader.read_to_end(&mut plain).map_err(|error| ApiError::bad_request(format!("the body is not gzip: {error}")))?;
    if plain.len() > MAX_BODY { Err(too_large()) } else { Ok(plain.into()) }
}
