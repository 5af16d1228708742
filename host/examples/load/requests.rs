//! Creates and gets: each of 64 clients has one HTTP/1.1 connection and one request in flight. It creates ConfigMaps for five
//! seconds, then gets them.

use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use wasmkube::client::{Client, Credentials};

use crate::COLLECTION;
use crate::server::Process;

const CLIENTS: u32 = 64;
const DURATION: Duration = Duration::from_secs(5);

/// Both phases, one after the other.
pub async fn run(credentials: &Credentials, server: &Process) -> Result<Value> {
    let run = format!("{:x}", std::process::id());
    let creates = phase(credentials, server, &run, Method::POST).await?;
    let gets = phase(credentials, server, &run, Method::GET).await?;
    Ok(json!({"creates": creates, "gets": gets}))
}

/// All clients at once: requests per second, latencies and the server's CPU time per request in microseconds.
async fn phase(credentials: &Credentials, server: &Process, run: &str, method: Method) -> Result<Value> {
    let (begin, cpu) = (Instant::now(), server.cpu()?);
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(one(credentials.clone(), begin + DURATION, format!("{run}-{client}"), method.clone())))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let cpu = (server.cpu()? - cpu).as_secs_f64() * 1e6 / latencies.len().max(1) as f64;
    let requests = latencies.len();
    Ok(json!({
        "per_second": (requests as f64 / elapsed).round(), "p50_us": share(&mut latencies, 0.5),
        "p99_us": share(&mut latencies, 0.99), "cpu_us": cpu.round(), "requests": requests,
    }))
}

/// The latency that this share of requests stays below.
pub fn share(latencies: &mut [u32], share: f64) -> u32 {
    latencies.sort_unstable();
    latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or_default()
}

async fn one(credentials: Credentials, until: Instant, prefix: String, method: Method) -> Result<Vec<u32>> {
    let client = Client::new_http1(&credentials)?;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let took = if method == Method::POST {
            create(&client, &format!("{prefix}-{}", latencies.len()), "value").await?
        } else {
            // The first of this client's objects is there in any case.
            get(&client, &format!("{prefix}-0")).await?
        };
        latencies.push(took);
    }
    Ok(latencies)
}

/// Creates one ConfigMap; the microseconds it took.
pub async fn create(client: &Client, name: &str, data: &str) -> Result<u32> {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": data}});
    create_object(client, COLLECTION, &body).await
}

/// Creates any object; the microseconds it took.
pub async fn create_object(client: &Client, collection: &str, object: &Value) -> Result<u32> {
    timed(client, Method::POST, collection, object.to_string()).await
}

/// Gets one ConfigMap; the microseconds it took.
pub async fn get(client: &Client, name: &str) -> Result<u32> {
    timed(client, Method::GET, &format!("{COLLECTION}/{name}"), String::new()).await
}

async fn timed(client: &Client, method: Method, target: &str, body: String) -> Result<u32> {
    let begin = Instant::now();
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    let response = client.send(method.clone(), target, &headers, body.into()).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{method} {target}: {status} {}", String::from_utf8_lossy(&body));
    Ok(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX))
}
