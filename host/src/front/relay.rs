//! Answers that another server gives in place of the control plane: kubelets, aggregated API servers, proxied pods and services.

use bytes::Bytes;
use cluster::wire::{Outgoing, Relay, Upstream};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use object::{ApiError, Reason};

use super::answer::{self, BodyError, Response};
use crate::caller::Caller;

/// How much of a kubelet's refusal is passed on.
const MAX_REFUSAL: usize = 64 << 10;

/// Headers that belong to one connection.
const HOP_BY_HOP: [&str; 5] = ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"];

/// Asks, and streams the answer; `client` is there if the client's connection may become a stream of bytes.
pub async fn answer(caller: &Caller, relay: &Relay, outgoing: Outgoing, client: &mut Option<OnUpgrade>) -> Response {
    let asked = Asked::of(&outgoing);
    let response = match caller.forward(outgoing).await {
        Ok(response) => response,
        Err(why) => return unreachable(relay, &asked, &why).await,
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match client.take() {
            Some(client) => join(client, response),
            None => answer::refusal(&ApiError::bad_request("this connection cannot be upgraded")),
        };
    }
    if *relay == Relay::Checked && !response.status().is_success() {
        return refused(response).await;
    }
    let status = response.status().as_u16();
    let mut headers = headers(&response);
    if let Relay::Below(prefix) = relay {
        for (_, location) in headers.iter_mut().filter(|(name, _)| name == "location") {
            *location = asked.below(prefix, location);
        }
    }
    answer::streamed(status, &headers, response.into_body().map_err(BodyError::from).boxed())
}

/// What is needed of a request after it has been sent.
struct Asked {
    method: String,
    url: String,
    authority: String,
    plain: bool,
}

impl Asked {
    fn of(outgoing: &Outgoing) -> Self {
        let Upstream { address, address_port, plain, .. } = &outgoing.upstream;
        let authority = match address.contains(':') {
            true => format!("[{address}]:{address_port}"),
            false => format!("{address}:{address_port}"),
        };
        let scheme = if *plain { "http" } else { "https" };
        let url = format!("{scheme}://{authority}{}", outgoing.target);
        Asked { method: outgoing.method.clone(), url, authority, plain: *plain }
    }

    /// A redirection to another page of the same server, as the client can follow it.
    fn below(&self, prefix: &str, location: &str) -> String {
        let origin = format!("{}://{}", if self.plain { "http" } else { "https" }, self.authority);
        // Without its port, where that is the scheme's own.
        let bare = origin.strip_suffix(if self.plain { ":80" } else { ":443" }).unwrap_or(&origin);
        let path = [origin.as_str(), bare].iter().find_map(|origin| location.strip_prefix(origin)).unwrap_or(location);
        if path.starts_with('/') && !path.starts_with("//") { format!("{prefix}{path}") } else { location.to_owned() }
    }
}

/// Nobody answers.
async fn unreachable(relay: &Relay, asked: &Asked, why: &str) -> Response {
    match relay {
        Relay::Verbatim => {
            let why = format!("error trying to reach service: {why}");
            answer::whole(503, &[("content-type".to_owned(), "text/plain".to_owned())], why.into(), false).await
        }
        Relay::Below(_) => {
            let why = format!("error trying to reach service: {why}");
            answer::refusal(&ApiError::new(503, Reason::ServiceUnavailable, why))
        }
        Relay::Stream => answer::refusal(&ApiError::new(500, Reason::InternalError, format!("error dialing backend: {why}"))),
        Relay::Checked => {
            let mut verb = asked.method.to_lowercase();
            if let Some(first) = verb.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            answer::refusal(&ApiError::new(500, Reason::InternalError, format!("{verb} {:?}: {why}", asked.url)))
        }
    }
}

/// The text of a refusal as a Status.
async fn refused(response: hyper::Response<Incoming>) -> Response {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_REFUSAL).collect().await.map(|body| body.to_bytes());
    let text = String::from_utf8_lossy(&body.unwrap_or_default()).trim().to_owned();
    let reason = match status {
        400 => Reason::BadRequest,
        401 => Reason::Unauthorized,
        403 => Reason::Forbidden,
        404 => Reason::NotFound,
        _ => Reason::InternalError,
    };
    answer::refusal(&ApiError::new(status, reason, text))
}

fn headers(response: &hyper::Response<Incoming>) -> Vec<(String, String)> {
    let headers = response.headers().iter().filter(|(name, _)| !HOP_BY_HOP.contains(&name.as_str()));
    headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect()
}

/// Both sides speak another protocol from here on: their bytes are passed on until one of them ends.
fn join(client: OnUpgrade, mut response: hyper::Response<Incoming>) -> Response {
    let mut headers = headers(&response);
    headers.push(("connection".to_owned(), "Upgrade".to_owned()));
    let protocol = response.headers().get("upgrade").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    headers.push(("upgrade".to_owned(), protocol));
    let server = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        // Whoever goes away first ends the other side too.
        if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
            let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
            tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
        }
    });
    let nothing = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
    let mut answer = answer::streamed(101, &headers, nothing);
    answer.headers_mut().remove("content-type");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_stay_below_the_proxy() {
        let upstream = Upstream { address: "10.244.1.7".into(), address_port: 8080, plain: true, ..Upstream::default() };
        let asked = Asked::of(&Outgoing { upstream, target: "/a".into(), ..Outgoing::default() });
        for (location, expect) in [
            ("/login?x=1", "/prefix/login?x=1"),
            ("http://10.244.1.7:8080/login", "/prefix/login"),
            ("https://10.244.1.7:8080/login", "https://10.244.1.7:8080/login"),
            ("//elsewhere/x", "//elsewhere/x"),
            ("login", "login"),
        ] {
            assert_eq!(asked.below("/prefix", location), expect, "{location}");
        }
    }
}
