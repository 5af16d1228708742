//! Pods: how fast many are placed on nodes that are objects only, and how fast a Deployment of many runs on simulated nodes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use wasmkube::client::{Client, Credentials};

use crate::requests::create_object;
use crate::server::Process;

const NODES: u32 = 1_000;
const PODS: u32 = 5_000;
const CLIENTS: u32 = 64;
/// Longer than this nobody waits.
const PATIENCE: Duration = Duration::from_secs(300);

/// Creates 5,000 pods for 1,000 nodes and waits until all are bound: pods per second from the first create to the last
/// binding, creates included.
pub async fn scheduling(credentials: &Credentials, server: &Process) -> Result<Value> {
    let admin = Client::new_http1(credentials)?;
    for number in 0..NODES {
        let name = format!("node-{number}");
        let labels = json!({"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{}", number % 3)});
        let amounts = json!({"cpu": "32", "memory": "64Gi", "pods": "110"});
        let status = json!({"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status});
        create_object(&admin, "/api/v1/nodes", &node).await?;
        // New nodes are tainted until somebody says that they are ready.
        admin.json(Method::PUT, &format!("/api/v1/nodes/{name}"), &without_taints(&admin, &name).await?).await?;
    }
    let watch = bindings(credentials).await?;
    let (begin, cpu) = (Instant::now(), server.cpu()?);
    let makers: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(make(credentials.clone(), client))).collect();
    tokio::time::timeout(PATIENCE, bound(watch)).await.context("not all pods were bound")??;
    let seconds = begin.elapsed().as_secs_f64();
    for maker in makers {
        maker.await.context("a client ended")??;
    }
    let cpu = (server.cpu()? - cpu).as_secs_f64() * 1e6 / f64::from(PODS);
    Ok(json!({"pods_per_second": (f64::from(PODS) / seconds).round(), "cpu_us": cpu.round(), "seconds": seconds}))
}

async fn without_taints(admin: &Client, name: &str) -> Result<Value> {
    let mut node = admin.json(Method::GET, &format!("/api/v1/nodes/{name}"), &Value::Null).await?;
    node["spec"]["taints"] = Value::Null;
    node["metadata"]["resourceVersion"] = Value::Null;
    Ok(node)
}

async fn make(credentials: Credentials, client: u32) -> Result<()> {
    let api = Client::new_http1(&credentials)?;
    for number in (client..PODS).step_by(CLIENTS as usize) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("pod-{number}"), "labels": {"app": "load"}},
            "spec": {"containers": [{
                "name": "c", "image": "registry.k8s.io/pause:3.10", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}},
            }]},
        });
        create_object(&api, "/api/v1/namespaces/load/pods", &pod).await?;
    }
    Ok(())
}

/// A watch of the pods of the namespace that have a node.
async fn bindings(credentials: &Credentials) -> Result<hyper::body::Incoming> {
    let target = "/api/v1/namespaces/load/pods?watch=true&resourceVersion=0&fieldSelector=spec.nodeName!%3D";
    let client = Client::new_http1(credentials)?;
    let response = client.send(Method::GET, target, &[("accept", "application/json")], Default::default()).await?;
    anyhow::ensure!(response.status().is_success(), "watch: {}", response.status());
    Ok(response.into_body())
}

/// Returns when all pods have come to have a node.
async fn bound(mut watch: hyper::body::Incoming) -> Result<()> {
    let (mut seen, mut rest) = (0, Vec::new());
    while let Some(frame) = watch.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        rest.extend_from_slice(data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            seen += u32::from(rest.starts_with(br#"{"type":"ADDED""#));
            rest.drain(..=end);
        }
        if seen >= PODS {
            return Ok(());
        }
    }
    bail!("the watch ended after {seen} pods")
}

/// A Deployment on the server's simulated nodes: seconds until all of its pods are ready, and the server's memory then.
pub async fn deployment(credentials: &Credentials, server: &Process, replicas: u32) -> Result<Value> {
    let api = Client::new_http1(credentials)?;
    let path = "/apis/apps/v1/namespaces/load/deployments";
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {"containers": [{
                    "name": "c", "image": "registry.k8s.io/pause:3.10", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                }]},
            },
        },
    });
    let (begin, cpu) = (Instant::now(), server.cpu()?);
    create_object(&api, path, &deployment).await?;
    loop {
        let many = api.json(Method::GET, &format!("{path}/many"), &Value::Null).await?;
        if many["status"]["readyReplicas"].as_u64() == Some(u64::from(replicas)) {
            break;
        }
        anyhow::ensure!(begin.elapsed() < 4 * PATIENCE, "only {} of {replicas} pods are ready", many["status"]["readyReplicas"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = (server.cpu()? - cpu).as_secs_f64() * 1e6 / f64::from(replicas);
    Ok(json!({"seconds": seconds, "cpu_us": cpu.round(), "resident_mib": server.resident()?.round()}))
}
