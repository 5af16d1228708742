//! `wasmkube kubectl`: core's kubectl on a terminal: over TLS, with the kubeconfig that stock kubectl would take.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use kubectl::{Body, Files, Kubectl, Local, Output, Request, Response, Transport};
use object::Time;

use crate::client::Client;
use crate::kubeconfig;

/// Runs kubectl with these words and returns its exit code.
pub async fn run(arguments: &[String]) -> Result<i32> {
    let path = kubeconfig_path().context("neither $KUBECONFIG nor $HOME is set")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (credentials, namespace) = kubeconfig::read(&text, "").with_context(|| path.display().to_string())?;
    let transport = Tls(Client::new(&credentials)?);
    let mut stdin = Vec::new();
    if arguments.iter().any(|word| matches!(word.as_str(), "-" | "-f-" | "--filename=-")) && !std::io::stdin().is_terminal() {
        std::io::stdin().read_to_end(&mut stdin).context("cannot read stdin")?;
    }
    let mut terminal = Terminal;
    let kubectl = Kubectl::new(&transport, &Disk, &mut terminal)
        .with_stdin(stdin)
        .with_namespace(namespace)
        .with_server(credentials.server.clone());
    Ok(kubectl.run(arguments).await)
}

/// The first file `$KUBECONFIG` names, or `~/.kube/config`.
fn kubeconfig_path() -> Option<PathBuf> {
    match std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
        Some(list) => std::env::split_paths(&list).next(),
        None => std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config")),
    }
}

struct Tls(Client);

impl Transport for Tls {
    fn send(&self, request: Request) -> Local<'_, Result<Response, String>> {
        Box::pin(async move {
            let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| error.to_string())?;
            let headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = self.0.send(method, &request.target, &headers, request.body).await;
            let answer = answer.map_err(|error| format!("{error:#}"))?;
            let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            Ok(Response {
                status: answer.status().as_u16(),
                headers: answer.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
                body: Box::new(Pieces(answer.into_body())),
            })
        })
    }

    fn sleep(&self, millis: u64) -> Local<'_, ()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(millis)))
    }

    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

struct Pieces(Incoming);

impl Body for Pieces {
    fn next(&mut self) -> Local<'_, Result<Option<Bytes>, String>> {
        Box::pin(async move {
            while let Some(frame) = self.0.frame().await {
                if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
                    return Ok(Some(data));
                }
            }
            Ok(None)
        })
    }
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &str, recursive: bool) -> Local<'_, Result<Vec<(String, Bytes)>, String>> {
        let path = PathBuf::from(path);
        Box::pin(async move {
            if !path.exists() {
                return Err(format!("the path {:?} does not exist", path.display()));
            }
            let mut found = Vec::new();
            collect(&path, recursive, true, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
            found.sort();
            Ok(found)
        })
    }
}

/// Reads a file, or those of a directory that can hold manifests.
fn collect(path: &Path, recursive: bool, named: bool, found: &mut Vec<(String, Bytes)>) -> std::io::Result<()> {
    if path.is_dir() {
        if named || recursive {
            for entry in std::fs::read_dir(path)? {
                collect(&entry?.path(), recursive, false, found)?;
            }
        }
        return Ok(());
    }
    let manifest = path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("json" | "yaml" | "yml")));
    if named || manifest {
        found.push((path.display().to_string(), std::fs::read(path)?.into()));
    }
    Ok(())
}

struct Terminal;

impl Output for Terminal {
    fn stdout(&mut self, text: &[u8]) {
        let mut out = std::io::stdout().lock();
        // Whoever closes our output (`| head`) has read enough.
        if out.write_all(text).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    fn stderr(&mut self, text: &[u8]) {
        drop(std::io::stderr().write_all(text));
    }
}
