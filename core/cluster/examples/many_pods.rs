//! How long a Deployment of many pods takes until all are Running, in one process without a host.
//!
//! `cargo run --release -p wasmkube-cluster --example many_pods -- [PODS] [NODES]`

use std::process::ExitCode;

use object::value::i64_at;
use object::{Value, json};
use wasmkube_cluster::Config;
use wasmkube_cluster::driver::Driver;

// An example may look at the clock; core may not.
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|n| n.parse::<u32>().ok());
    let (pods, nodes) = (numbers.next().unwrap_or(1_000), numbers.next().unwrap_or(10));
    let mut driver = Driver::start(Config { simulated_nodes: nodes, ..Config::default() });
    driver.settle(2_000);
    let begin = std::time::Instant::now();
    driver.create("/apis/apps/v1/namespaces/default/deployments", &deployment(pods));
    let path = "/apis/apps/v1/namespaces/default/deployments/many";
    let all = driver.settle_until(120_000, |d| {
        let status = d.get(path);
        i64_at(&status, &["status", "readyReplicas"]) == Some(i64::from(pods))
    });
    let took = begin.elapsed();
    let virtual_millis = driver.now().millis_since(wasmkube_cluster::driver::EPOCH) - 2_000;
    println!(
        "{pods} pods on {nodes} nodes: {:.3} s ({:.0} µs per pod), {virtual_millis} ms of virtual time, {} records, all running: {all}",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / f64::from(pods),
        driver.journal().len(),
    );
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {"containers": [{
                    "name": "c", "image": "wasmkube/http-echo", "imagePullPolicy": "IfNotPresent",
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                }]},
            },
        },
    })
}
