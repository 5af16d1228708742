//! Load on a running server, for `cargo xtask bench`: `load KUBECONFIG [CLIENTS] [SECONDS]`.
//!
//! Each client has one HTTP/1.1 connection over TLS and one request in flight. It creates ConfigMaps for the given time, then
//! gets them; one line of JSON says how it went. What it leaves behind is in the namespace `load`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use wasmkube::client::{Client, Credentials};
use wasmkube::kubeconfig;

const COLLECTION: &str = "/api/v1/namespaces/load/configmaps";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("usage: load KUBECONFIG [CLIENTS] [SECONDS]")?;
    let clients = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(5.0), |text| text.parse())?;
    let (credentials, _) = kubeconfig::read(&std::fs::read_to_string(&path)?, "")?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "load"}});
    match Client::new(&credentials)?.json(Method::POST, "/api/v1/namespaces", &namespace).await {
        Ok(_) => {}
        Err(error) if error.code() == 409 => {}
        Err(error) => return Err(error.into()),
    }
    let run = format!("{:x}", std::process::id());
    let duration = Duration::from_secs_f64(seconds);
    let creates = phase(&credentials, clients, duration, &run, Method::POST).await?;
    let gets = phase(&credentials, clients, duration, &run, Method::GET).await?;
    println!("{}", json!({"clients": clients, "creates": creates, "gets": gets}));
    Ok(())
}

/// All clients at once; returns requests per second and latencies in microseconds.
async fn phase(credentials: &Credentials, clients: usize, duration: Duration, run: &str, method: Method) -> Result<Value> {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|client| tokio::spawn(one(credentials.clone(), begin + duration, format!("{run}-{client}"), method.clone())))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default();
    Ok(json!({
        "per_second": (latencies.len() as f64 / elapsed).round(), "p50_us": at(0.5), "p99_us": at(0.99), "requests": latencies.len(),
    }))
}

async fn one(credentials: Credentials, until: Instant, prefix: String, method: Method) -> Result<Vec<u32>> {
    let client = Client::new_http1(&credentials)?;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let begin = Instant::now();
        let response = if method == Method::POST {
            let name = format!("{prefix}-{}", latencies.len());
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value"}});
            client.send(Method::POST, COLLECTION, &[("content-type", "application/json")], body.to_string().into()).await?
        } else {
            // The first of this client's objects is there in any case.
            let target = format!("{COLLECTION}/{prefix}-0");
            client.send(Method::GET, &target, &[("accept", "application/json")], Default::default()).await?
        };
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{method}: {status} {}", String::from_utf8_lossy(&body));
        latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}
