//! What a client cannot make the host do: wait for it, keep connections for it, hold what it does not read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::client::TlsStream;
use wasmkube::client::{Client, tls};
use wasmkube::limits::Limits;
use wasmkube::server::{JournalKind, Server};

use crate::{Dir, start_with};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    server: Server,
    _dir: Dir,
}

impl World {
    async fn new(limits: Limits) -> Result<Self> {
        let dir = Dir::new();
        Ok(World { server: start_with(&dir, JournalKind::Memory, limits).await?, _dir: dir })
    }

    /// A connection on which a test writes what it likes: HTTP/1.1 over TLS, as the administrator.
    async fn connect(&self) -> Result<TlsStream<tokio::net::TcpStream>> {
        let stream = tokio::net::TcpStream::connect(self.server.api).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(&self.server.admin)?));
        Ok(connector.connect(self.server.api.ip().into(), stream).await?)
    }

    async fn stop(self) -> Result<()> {
        self.server.stop().await
    }
}

/// Everything until the server closes the connection.
async fn rest(stream: &mut TlsStream<tokio::net::TcpStream>) -> Result<String> {
    let mut text = Vec::new();
    // That TLS is not told of the end is the server's way of cutting off.
    drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await?);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() -> Result<()> {
    let world = World::new(Limits { request_timeout: Duration::from_millis(300), ..Limits::default() }).await?;
    let mut stream = world.connect().await?;
    let head = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 1000\r\n\r\n{\"kind\":";
    stream.write_all(head.as_bytes()).await?;
    let answer = rest(&mut stream).await?;
    ensure!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    ensure!(answer.contains("\"Timeout: request did not complete within the allotted timeout\""), "{answer}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded_in_size_and_time() -> Result<()> {
    let world = World::new(Limits { idle_timeout: Duration::from_millis(300), ..Limits::default() }).await?;
    let mut stream = world.connect().await?;
    let head = format!("GET /version HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(300 << 10));
    // The server may close before it has read it all.
    drop(stream.write_all(head.as_bytes()).await);
    let answer = rest(&mut stream).await?;
    ensure!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
    let mut stream = world.connect().await?;
    stream.write_all(b"GET /version HTTP/1.1\r\nHost:").await?;
    let answer = rest(&mut stream).await?;
    ensure!(!answer.contains(" 200 "), "{answer}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_at_rest_are_closed_and_watches_are_not_at_rest() -> Result<()> {
    let world = World::new(Limits { idle_timeout: Duration::from_millis(300), ..Limits::default() }).await?;
    let mut stream = world.connect().await?;
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let answer = rest(&mut stream).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for client in [Client::new(&world.server.admin)?, Client::new_http1(&world.server.admin)?] {
        let mut watch = client.lines("/api/v1/namespaces/default/configmaps?watch=1").await?;
        let first = tokio::time::timeout(PATIENCE, watch.next()).await??;
        ensure!(first.is_some(), "the certificate's ConfigMap is there");
        tokio::time::sleep(Duration::from_millis(900)).await;
        let name = json!({"metadata": {"generateName": "w-"}});
        Client::new(&world.server.admin)?.json(Method::POST, "/api/v1/namespaces/default/configmaps", &name).await?;
        let next = tokio::time::timeout(PATIENCE, watch.next()).await??;
        ensure!(next.is_some(), "the watch has ended with a connection at rest");
    }
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted() -> Result<()> {
    let world = World::new(Limits { max_connections: 1, ..Limits::default() }).await?;
    let first = world.connect().await?;
    ensure!(tokio::time::timeout(Duration::from_millis(300), world.connect()).await.is_err(), "a second one was taken");
    drop(first);
    let mut third = tokio::time::timeout(PATIENCE, world.connect()).await??;
    third.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    ensure!(rest(&mut third).await?.starts_with("HTTP/1.1 200 "));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_cut_off() -> Result<()> {
    let world = World::new(Limits { write_timeout: Duration::from_millis(300), ..Limits::default() }).await?;
    let client = Client::new(&world.server.admin)?;
    for number in 0..20 {
        let object = json!({"metadata": {"name": format!("c-{number}")}, "data": {"key": "x".repeat(900 << 10)}});
        client.json(Method::POST, "/api/v1/namespaces/default/configmaps", &object).await?;
    }
    let whole = client.json(Method::GET, "/api/v1/namespaces/default/configmaps", &Value::Null).await?.to_string().len();
    let mut stream = world.connect().await?;
    stream.write_all(b"GET /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let read = rest(&mut stream).await?.len();
    ensure!(read < whole, "all {whole} bytes were kept for a client that did not read");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_announced_and_what_is_under_way_is_answered() -> Result<()> {
    let world = World::new(Limits { shutdown_delay_duration: Duration::from_secs(1), ..Limits::default() }).await?;
    let client = Client::new(&world.server.admin)?;
    let ask = |target: &'static str| {
        let client = client.clone();
        async move {
            let response = client.send(Method::GET, target, &[], bytes::Bytes::new()).await?;
            let status = response.status().as_u16();
            let body = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
            anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
        }
    };
    ensure!(ask("/readyz").await? == (200, "ok".to_owned()));
    let mut watch = client.lines("/api/v1/namespaces/default/configmaps?watch=1").await?;
    let stopped = tokio::spawn(world.server.stop());
    let begin = std::time::Instant::now();
    loop {
        let (status, text) = ask("/readyz").await?;
        if status == 500 {
            ensure!(text.contains("[-]shutdown failed: reason withheld\n"), "{text}");
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "the end is not announced");
    }
    ensure!(ask("/livez").await?.0 == 200, "a server that ends lives until it has ended");
    while tokio::time::timeout(PATIENCE, watch.next()).await??.is_some() {}
    stopped.await?
}
