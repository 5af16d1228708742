//! The host as its clients see it, in this process with the native engine: protocols, identities, bounds, streams, restart.

mod bounds;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Method, Version};
use serde_json::{Value, json};
use wasmkube::client::{Client, Credentials};
use wasmkube::install::Install;
use wasmkube::limits::Limits;
use wasmkube::server::{JournalKind, Options, Server};

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wasmkube-api-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Dir(std::env::temp_dir().join(name))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn start(dir: &Dir, journal: JournalKind) -> Result<Server> {
    start_with(dir, journal, Limits::default()).await
}

async fn start_with(dir: &Dir, journal: JournalKind, limits: Limits) -> Result<Server> {
    let options = Options::passing(dir.0.clone(), Install::at(dir.0.join("home")));
    Server::start(Options { web_port: Some(0), journal, limits, ..options }).await
}

fn config_map(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": data}})
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test(flavor = "multi_thread")]
async fn both_protocols_and_all_identities() -> Result<()> {
    let dir = Dir::new();
    let server = start(&dir, JournalKind::Memory).await?;
    let anonymous = Credentials { certificate: String::new(), key: String::new(), ..server.admin.clone() };
    let token = std::fs::read_to_string(dir.0.join("token"))?;
    let reads = |credentials: Credentials| async move {
        let answer = Client::new(&credentials)?.send(Method::GET, CONFIG_MAPS, &[], Bytes::new()).await?;
        anyhow::Ok(answer.status().as_u16())
    };
    assert_eq!(reads(server.admin.clone()).await?, 200);
    assert_eq!(reads(Credentials { token, ..anonymous.clone() }).await?, 200);
    assert_eq!(reads(Credentials { token: "guess".to_owned(), ..anonymous.clone() }).await?, 401);
    for (client, version) in
        [(Client::new(&server.admin)?, Version::HTTP_2), (Client::new_http1(&server.admin)?, Version::HTTP_11)]
    {
        let response = client.send(Method::GET, "/version", &[], Bytes::new()).await?;
        assert_eq!((response.version(), response.status().as_u16()), (version, 200));
    }
    let foreign = wasmkube::pki::Pki::open(&dir.0.join("foreign"))?.admin()?;
    let stranger = Credentials { certificate: foreign.certificate, key: foreign.key, ..anonymous };
    ensure!(Client::new(&stranger)?.send(Method::GET, "/version", &[], Bytes::new()).await.is_err(), "a stranger came in");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_and_may_be_compressed() -> Result<()> {
    let dir = Dir::new();
    let server = start(&dir, JournalKind::Memory).await?;
    let client = Client::new(&server.admin)?;
    let large = config_map("large", &"x".repeat(3 << 20));
    let Err(error) = client.json(Method::POST, CONFIG_MAPS, &large).await else { anyhow::bail!("it was taken") };
    assert_eq!(error.code(), 413);
    assert_eq!(error.to_string(), "Request entity too large: limit is 3145728");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, config_map("packed", "small").to_string().as_bytes())?;
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let response = client.send(Method::POST, CONFIG_MAPS, &headers, encoder.finish()?.into()).await?;
    assert_eq!(response.status().as_u16(), 201);
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_for_those_who_take_it() -> Result<()> {
    let dir = Dir::new();
    let server = start(&dir, JournalKind::Memory).await?;
    let client = Client::new(&server.admin)?;
    client.json(Method::POST, CONFIG_MAPS, &config_map("one", &"x".repeat(200_000))).await?;
    for (accept, encoding) in [("gzip, deflate", Some("gzip")), ("identity", None)] {
        let response = client.send(Method::GET, CONFIG_MAPS, &[("accept-encoding", accept)], Bytes::new()).await?;
        let header = response.headers().get("content-encoding").map(|value| value.to_str()).transpose()?.map(str::to_owned);
        assert_eq!(header.as_deref(), encoding);
        let body = response.into_body().collect().await?.to_bytes();
        assert_eq!(body.len() < 100_000, encoding.is_some());
    }
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_stream_and_end_with_the_host() -> Result<()> {
    let dir = Dir::new();
    let server = start(&dir, JournalKind::Memory).await?;
    for client in [Client::new(&server.admin)?, Client::new_http1(&server.admin)?] {
        let list = client.json(Method::GET, CONFIG_MAPS, &Value::Null).await?;
        let revision = list["metadata"]["resourceVersion"].as_str().context("no revision")?;
        let mut watch = client.lines(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={revision}")).await?;
        let created = client.json(Method::POST, CONFIG_MAPS, &json!({"metadata": {"generateName": "w-"}})).await?;
        let line = tokio::time::timeout(Duration::from_secs(10), watch.next()).await??.context("it ended")?;
        let event: Value = serde_json::from_slice(&line)?;
        assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &created["metadata"]["name"]));
    }
    let mut open = Client::new(&server.admin)?.lines(&format!("{CONFIG_MAPS}?watch=1")).await?;
    let end = tokio::spawn(async move { while let Ok(Some(_)) = open.next().await {} });
    server.stop().await?;
    tokio::time::timeout(Duration::from_secs(10), end).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_restart() -> Result<()> {
    let dir = Dir::new();
    let server = start(&dir, JournalKind::Redb).await?;
    let client = Client::new(&server.admin)?;
    let kept = client.json(Method::POST, CONFIG_MAPS, &config_map("kept", "a")).await?;
    client.json(Method::POST, CONFIG_MAPS, &config_map("gone", "a")).await?;
    client.json(Method::DELETE, &format!("{CONFIG_MAPS}/gone"), &Value::Null).await?;
    let before = std::fs::read_to_string(&server.kubeconfig)?.lines().nth(6).map(str::to_owned);
    server.stop().await?;
    let server = start(&dir, JournalKind::Redb).await?;
    let client = Client::new(&server.admin)?;
    assert_eq!(client.json(Method::GET, &format!("{CONFIG_MAPS}/kept"), &Value::Null).await?, kept);
    let Err(error) = client.json(Method::GET, &format!("{CONFIG_MAPS}/gone"), &Value::Null).await else {
        anyhow::bail!("it came back")
    };
    assert_eq!(error.code(), 404);
    assert_eq!(std::fs::read_to_string(&server.kubeconfig)?.lines().nth(6).map(str::to_owned), before, "another authority");
    server.stop().await
}
