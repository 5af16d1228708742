//! Logs and watches over a WebSocket, for clients that ask for it: each piece of the answer is a frame. What a client sends is read
//! and dropped; when it goes away, so does the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use object::ApiError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::answer::{self, Response};

/// What the protocol puts behind the client's key (RFC 6455).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// A normal end.
const CLOSE: [u8; 4] = [0x88, 2, 0x03, 0xE8];
/// A watch event cannot be longer than what is stored.
const MAX_LINE: usize = 16 << 20;

/// A client's wish for a WebSocket.
pub struct Wish {
    accept: String,
    protocols: Vec<String>,
    is_watch: bool,
}

/// How an answer is put into frames.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    /// A line is a frame.
    Lines,
    /// Bytes as they come.
    Binary,
    /// The same, readable.
    Base64,
}

impl Wish {
    /// The wish of a request, if it has one.
    pub fn of(parts: &Parts) -> Option<Self> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        header("upgrade").filter(|to| to.eq_ignore_ascii_case("websocket"))?;
        let digest = ring::digest::digest(
            &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
            format!("{}{MAGIC}", header("sec-websocket-key")?).as_bytes(),
        );
        let query = parts.uri.query().unwrap_or("");
        let is_watch = query.split('&').any(|pair| matches!(pair, "watch" | "watch=1" | "watch=true"));
        if !is_watch && !parts.uri.path().ends_with("/log") {
            return None;
        }
        Some(Wish {
            accept: STANDARD.encode(digest),
            protocols: header("sec-websocket-protocol").unwrap_or("").split(',').map(|p| p.trim().to_owned()).collect(),
            is_watch,
        })
    }

    /// The framing and the protocol's name that the client is told.
    fn framing(&self) -> Option<(Framing, &str)> {
        if self.is_watch {
            return Some((Framing::Lines, ""));
        }
        self.protocols.iter().find_map(|name| match name.as_str() {
            "" | "binary.k8s.io" => Some((Framing::Binary, name.as_str())),
            "base64.binary.k8s.io" => Some((Framing::Base64, name.as_str())),
            _ => None,
        })
    }

    /// Sends a good answer over the client's connection; what went wrong is answered as ever.
    pub fn grant(&self, response: Response, client: OnUpgrade) -> Response {
        if response.status() != hyper::StatusCode::OK {
            return response;
        }
        let Some((framing, protocol)) = self.framing() else {
            return answer::refusal(&ApiError::bad_request(
                "none of the WebSocket protocols that the client offers is supported",
            ));
        };
        let mut headers: Vec<(String, String)> =
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", &*self.accept)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
        if !protocol.is_empty() {
            headers.push(("sec-websocket-protocol".to_owned(), protocol.to_owned()));
        }
        tokio::spawn(async move {
            if let Ok(client) = client.await {
                // How it ends is the client's business.
                send(TokioIo::new(client), response, framing).await.ok();
            }
        });
        let mut answer = answer::streamed(101, &headers, Empty::<Bytes>::new().map_err(|never| match never {}).boxed());
        answer.headers_mut().remove("content-type");
        answer
    }
}

async fn send(client: TokioIo<hyper::upgrade::Upgraded>, response: Response, framing: Framing) -> std::io::Result<()> {
    let (mut from, mut to) = tokio::io::split(client);
    let mut body = response.into_body();
    let mut rest = BytesMut::new();
    let mut ignored = [0u8; 1024];
    loop {
        let piece = tokio::select! {
            piece = body.frame() => piece,
            read = from.read(&mut ignored) => {
                if read? == 0 || ignored[0] & 0x0F == 8 {
                    return Ok(());
                }
                continue;
            }
        };
        let Some(Ok(piece)) = piece else { break };
        let Ok(data) = piece.into_data() else { continue };
        match framing {
            Framing::Binary => to.write_all(&frame(BINARY, &data)).await?,
            Framing::Base64 => to.write_all(&frame(TEXT, STANDARD.encode(&data).as_bytes())).await?,
            Framing::Lines => {
                rest.extend_from_slice(&data);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line = rest.split_to(end + 1);
                    to.write_all(&frame(TEXT, &line)).await?;
                }
                if rest.len() > MAX_LINE {
                    break;
                }
            }
        }
        to.flush().await?;
    }
    to.write_all(&CLOSE).await?;
    to.shutdown().await
}

fn frame(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 10);
    out.push(0x80 | kind);
    match data.len() {
        short @ ..126 => out.push(short as u8),
        medium @ ..65_536 => {
            out.push(126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(data);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(target: &str, protocols: &str) -> Wish {
        let request = hyper::Request::get(target)
            .header("upgrade", "websocket")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", protocols)
            .body(())
            .unwrap();
        Wish::of(&request.into_parts().0).unwrap()
    }

    #[test]
    fn the_clients_key_and_protocol_are_answered() {
        // The example of RFC 6455.
        assert_eq!(wish("/log", "").accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (target, protocols, expected) in [
            ("/log", "binary.k8s.io", Some((Framing::Binary, "binary.k8s.io"))),
            ("/log", "other, base64.binary.k8s.io", Some((Framing::Base64, "base64.binary.k8s.io"))),
            ("/log", "", Some((Framing::Binary, ""))),
            ("/log", "other", None),
            ("/pods?watch=true", "binary.k8s.io", Some((Framing::Lines, ""))),
        ] {
            assert_eq!(wish(target, protocols).framing(), expected, "{target} {protocols}");
        }
    }

    #[test]
    fn frames_say_how_long_they_are() {
        assert_eq!(frame(TEXT, b"ab"), [0x81, 2, b'a', b'b']);
        assert_eq!(frame(BINARY, &[0; 300])[..4], [0x82, 126, 1, 44]);
        assert_eq!(frame(BINARY, &[0; 70_000])[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
