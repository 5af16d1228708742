//! From the control plane's answers to hyper responses.

use std::io::Write as _;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY};
use hyper::{Response as HyperResponse, StatusCode};
use object::ApiError;

use crate::streams::StreamBody;

/// Whatever can go wrong while a body is sent; the connection ends on it.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An answer with a body of any kind.
pub type Response = HyperResponse<BoxBody<Bytes, BodyError>>;

/// Answers of this size are compressed for clients that take it, as kube-apiserver has it.
const GZIP_FROM: usize = 128 << 10;

/// A complete answer.
pub async fn whole(status: u16, headers: &[(String, String)], body: Bytes, gzip: bool) -> Response {
    if !gzip || body.len() < GZIP_FROM {
        return head(status, headers, Full::new(body).map_err(|never| match never {}).boxed());
    }
    // Off the threads that serve everybody else.
    let plain = body.clone();
    let packed = tokio::task::spawn_blocking(move || compress(&plain)).await.ok().flatten();
    let encoded = packed.is_some();
    let mut response = head(status, headers, Full::new(packed.unwrap_or(body)).map_err(|never| match never {}).boxed());
    if encoded {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

/// An answer whose body follows.
pub fn stream(status: u16, headers: &[(String, String)], body: StreamBody) -> Response {
    head(status, headers, body.map_err(BodyError::from).boxed())
}

/// An answer whose body comes from elsewhere.
pub fn streamed(status: u16, headers: &[(String, String)], body: BoxBody<Bytes, BodyError>) -> Response {
    head(status, headers, body)
}

/// An answer of the host itself.
pub fn refusal(error: &ApiError) -> Response {
    let headers = [("content-type".to_owned(), "application/json".to_owned())];
    let body = Full::new(Bytes::from(error.to_status().to_string()));
    head(error.code, &headers, body.map_err(|never| match never {}).boxed())
}

/// Whether the client takes gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|list| list.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|quality| quality == "q=0")
    })
}

fn head(status: u16, headers: &[(String, String)], body: BoxBody<Bytes, BodyError>) -> Response {
    let mut response = HyperResponse::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        // What is no header is left out: it can only come from an object's text, and must not end the connection.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    // As kube-apiserver says of everything that does not say otherwise.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if !response.headers().contains_key(CONTENT_TYPE) && status != 304 {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

fn compress(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4), flate2::Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_only_where_offered() {
        for (offer, wanted) in
            [("gzip", true), ("deflate, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false), ("identity", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(offer));
            assert_eq!(accepts_gzip(&headers), wanted, "{offer}");
        }
    }
}
