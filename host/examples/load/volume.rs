//! Many objects: what a LIST of 5,000 costs, and whether one create or get costs more among 100,000 than among 1,000.

use std::time::Instant;

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use wasmkube::client::{Client, Credentials};

use crate::COLLECTION;
use crate::requests::{create, get, share};
use crate::server::Process;

const FILLERS: u32 = 32;
const LISTED: u32 = 5_000;
const LISTS: u32 = 100;

/// LIST of 5,000 ConfigMaps of about 960 bytes each: the server's CPU time per list.
pub async fn list(credentials: &Credentials, server: &Process) -> Result<Value> {
    fill(credentials, 0, LISTED, &"x".repeat(640)).await?;
    let client = Client::new_http1(credentials)?;
    let mut bytes = whole(&client).await?;
    let (begin, cpu) = (Instant::now(), server.cpu()?);
    for _ in 0..LISTS {
        bytes = whole(&client).await?;
    }
    let milliseconds = |seconds: f64| (seconds * 1e5 / f64::from(LISTS)).round() / 100.0;
    Ok(json!({
        "objects": LISTED, "bytes": bytes,
        "cpu_ms": milliseconds((server.cpu()? - cpu).as_secs_f64()), "wall_ms": milliseconds(begin.elapsed().as_secs_f64()),
    }))
}

/// Median latencies of one client at 1,000 and at 100,000 objects, and the memory in use at the end.
pub async fn growth(credentials: &Credentials, server: &Process) -> Result<Value> {
    fill(credentials, 0, 1_000, "value").await?;
    let small = latencies(credentials, "small").await?;
    fill(credentials, 1_000, 100_000, "value").await?;
    let large = latencies(credentials, "large").await?;
    Ok(json!({"1000": small, "100000": large, "resident_mib": server.resident()?.round()}))
}

/// Medians of 2,000 creates and gets by one client, one after the other.
async fn latencies(credentials: &Credentials, prefix: &str) -> Result<Value> {
    let client = Client::new_http1(credentials)?;
    let (mut creates, mut gets) = (Vec::new(), Vec::new());
    for round in 0..2_000 {
        creates.push(create(&client, &format!("{prefix}-{round}"), "value").await?);
        gets.push(get(&client, &format!("filler-{}", round % 1_000)).await?);
    }
    Ok(json!({"create_p50_us": share(&mut creates, 0.5), "get_p50_us": share(&mut gets, 0.5)}))
}

/// Makes the objects with these numbers.
async fn fill(credentials: &Credentials, from: u32, to: u32, data: &str) -> Result<()> {
    let tasks: Vec<_> = (0..FILLERS)
        .map(|filler| {
            let (credentials, data) = (credentials.clone(), data.to_owned());
            tokio::spawn(async move {
                let client = Client::new_http1(&credentials)?;
                for number in (from..to).filter(|number| number % FILLERS == filler) {
                    create(&client, &format!("filler-{number}"), &data).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.context("a filler ended")??;
    }
    Ok(())
}

/// Reads a whole list; its length in bytes.
async fn whole(client: &Client) -> Result<u64> {
    let response = client.send(Method::GET, COLLECTION, &[("accept", "application/json")], Default::default()).await?;
    anyhow::ensure!(response.status().is_success(), "list: {}", response.status());
    let (mut body, mut bytes) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame?.into_data().map_or(0, |data| data.len() as u64);
    }
    Ok(bytes)
}
