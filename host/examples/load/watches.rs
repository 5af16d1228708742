//! Fan-out: 16 clients write for five seconds while 100 clients watch everything they write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use wasmkube::client::{Client, Credentials};

use crate::COLLECTION;
use crate::requests::create;

const WRITERS: u32 = 16;
const WATCHERS: u32 = 100;
const DURATION: Duration = Duration::from_secs(5);

/// Events delivered per second, from the first write until the last watcher has the last event.
pub async fn run(credentials: &Credentials) -> Result<Value> {
    let delivered = Arc::new(AtomicU64::new(0));
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(tokio::spawn(watch(open(credentials).await?, delivered.clone())));
    }
    let begin = Instant::now();
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(credentials.clone(), writer, begin + DURATION))).collect();
    let mut writes = 0;
    for writer in writers {
        writes += writer.await.context("a writer ended")??;
    }
    let wanted = writes * u64::from(WATCHERS);
    let patience = Instant::now() + Duration::from_secs(60);
    while delivered.load(Ordering::Relaxed) < wanted && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (seconds, delivered) = (begin.elapsed().as_secs_f64(), delivered.load(Ordering::Relaxed));
    watchers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(json!({
        "writes_per_second": (writes as f64 / seconds).round(), "events_per_second": (delivered as f64 / seconds).round(),
        "lost": wanted.saturating_sub(delivered),
    }))
}

async fn open(credentials: &Credentials) -> Result<hyper::body::Incoming> {
    let client = Client::new_http1(credentials)?;
    let list = client.send(Method::GET, &format!("{COLLECTION}?limit=1"), &[], Default::default()).await?;
    let list: Value = serde_json::from_slice(&list.into_body().collect().await?.to_bytes())?;
    let revision = list["metadata"]["resourceVersion"].as_str().context("a list without a resourceVersion")?;
    let target = format!("{COLLECTION}?watch=true&resourceVersion={revision}");
    let response = client.send(Method::GET, &target, &[("accept", "application/json")], Default::default()).await?;
    anyhow::ensure!(response.status().is_success(), "watch: {}", response.status());
    Ok(response.into_body())
}

/// Counts events: each is one line.
async fn watch(mut body: hyper::body::Incoming, delivered: Arc<AtomicU64>) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            let lines = data.iter().filter(|byte| **byte == b'\n').count();
            delivered.fetch_add(lines as u64, Ordering::Relaxed);
        }
    }
}

async fn write(credentials: Credentials, writer: u32, until: Instant) -> Result<u64> {
    let client = Client::new_http1(&credentials)?;
    let mut writes = 0;
    while Instant::now() < until {
        create(&client, &format!("watched-{writer}-{writes}"), "value").await?;
        writes += 1;
    }
    Ok(writes)
}
