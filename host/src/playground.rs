//! The playground's files over plain HTTP: a static site whose program runs in the browser and talks to nothing here.
//!
//! `NAME.br` beside `NAME` is sent to browsers that take brotli. Names that carry a hash of their content never change and
//! are kept by browsers for good; all others are asked for again each time, by their ETag.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long a connection may rest.
const REST: Duration = Duration::from_secs(60);

/// Shown where the page was not built.
const MISSING: &str = "The playground is not part of this installation. The API is served all the same.\n";

/// Serves the files under `root` until `shutdown` becomes true.
pub async fn serve(listener: TcpListener, root: PathBuf, mut shutdown: watch::Receiver<bool>) {
    let root: Arc<Path> = root.into();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let root = root.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(root.clone(), request));
                    let mut builder = hyper::server::conn::http1::Builder::new();
                    builder.timer(TokioTimer::new()).header_read_timeout(REST);
                    drop(builder.serve_connection(TokioIo::new(stream), service).await);
                });
            }
            Some(_) = connections.join_next() => {}
            () = crate::server::down(&mut shutdown) => return,
        }
    }
}

async fn answer(root: Arc<Path>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => file(&root, request.uri().path(), request.headers()).await,
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
    };
    if request.method() == Method::HEAD {
        *response.body_mut() = Full::default();
    }
    let fixed = [
        ("x-content-type-options", "nosniff"),
        // Needed by nothing today; harmless, and they let the page use shared memory.
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "cross-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(response)
}

async fn file(root: &Path, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let Some(path) = resolve(root, path) else { return text(StatusCode::NOT_FOUND, "not found\n") };
    let brotli = headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|offer| offer.split(',').any(|name| name.split(';').next().map(str::trim) == Some("br")));
    let packed = path.with_added_extension("br");
    let is_packed = brotli && tokio::fs::metadata(&packed).await.is_ok_and(|found| found.is_file());
    let sent = if is_packed { &packed } else { &path };
    let (Ok(metadata), Ok(content)) = (tokio::fs::metadata(sent).await, tokio::fs::read(sent).await) else {
        let message = if path.ends_with("index.html") { MISSING } else { "not found\n" };
        return text(StatusCode::NOT_FOUND, message);
    };
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let etag = format!("\"{:x}-{:x}{}\"", metadata.len(), changed.as_nanos(), if is_packed { "-br" } else { "" });
    let unchanged = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = Response::new(if unchanged { Full::default() } else { Full::new(content.into()) });
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&path)));
    out.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let caching = if is_hashed(&path) { "public, max-age=31536000, immutable" } else { "no-cache" };
    out.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(ETAG, etag);
    }
    if is_packed {
        out.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

fn text(status: StatusCode, message: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(message.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The file that a path means; `None` for one that leaves `root` or holds what no file of ours has.
fn resolve(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = path.trim_start_matches('/');
    let plain = relative.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@+".contains(c));
    let inside = Path::new(relative).components().all(|part| matches!(part, Component::Normal(_)));
    let mut file = (plain && inside).then(|| root.join(relative))?;
    if relative.is_empty() || relative.ends_with('/') {
        file.push("index.html");
    }
    Some(file)
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "md" | "yaml" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether a name carries a hash: `app-0a1b2c3d.js`, `app_bg-0a1b2c3d4e5f6071.wasm`.
fn is_hashed(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem.rsplit_once('-').is_some_and(|(_, hash)| hash.len() >= 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let root = Path::new("/srv/web");
        for (path, wanted) in [
            ("/", Some("/srv/web/index.html")),
            ("/app.js", Some("/srv/web/app.js")),
            ("/docs/", Some("/srv/web/docs/index.html")),
            ("/../etc/passwd", None),
            ("/a/../../x", None),
            ("//etc/passwd", Some("/srv/web/etc/passwd")),
            ("/%2e%2e/x", None),
        ] {
            assert_eq!(resolve(root, path).as_deref(), wanted.map(Path::new), "{path}");
        }
    }

    #[test]
    fn only_names_with_a_hash_are_kept_for_good() {
        for (name, hashed) in [("app-0a1b2c3d.js", true), ("app.js", false), ("my-playground.js", false), ("x-12.js", false)] {
            assert_eq!(is_hashed(Path::new(name)), hashed, "{name}");
        }
    }
}
