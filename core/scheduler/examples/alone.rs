//! How many pods a second the scheduler's algorithm places, without queue and API: pods of ten applications, each with
//! anti-affinity to its like on a node and spread over zones.
//!
//! `cargo run --release -p wasmkube-scheduler --example alone -- [PODS]`

use object::{Value, json};
use wasmkube_scheduler::{Placer, Profile};

const ZONES: u32 = 5;
const APPS: u32 = 10;

// An example may look at the clock; core may not.
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn main() {
    let pods: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5_000);
    for constraints in ["none", "anti-affinity and spread"] {
        let mut cost = Vec::new();
        for nodes in [1_000, 5_000] {
            let mut placer = Placer::new(Profile::default(), 1);
            (0..nodes).for_each(|i| placer.node(&node(i)));
            let values: Vec<Value> = (0..pods).map(|i| pod(i, constraints != "none")).collect();
            let begin = std::time::Instant::now();
            let placed = values.iter().filter(|pod| placer.place(pod).is_ok()).count();
            let seconds = begin.elapsed().as_secs_f64();
            cost.push(seconds);
            println!(
                "scheduler alone, {constraints}, {nodes} nodes: {placed} of {pods} pods, {:.0} pods/s ({:.0} us per pod)",
                f64::from(pods) / seconds,
                seconds * 1e6 / f64::from(pods)
            );
        }
        if let [few, many] = cost.as_slice() {
            println!("scheduler alone, {constraints}: {:.2} times the cost with 5 times the nodes", many / few);
        }
    }
}

fn node(i: u32) -> Value {
    let name = format!("node-{i:05}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("zone-{}", i % ZONES),
        }},
        "status": {"allocatable": {"cpu": "32", "memory": "64Gi", "pods": "110"}},
    })
}

fn pod(i: u32, constrained: bool) -> Value {
    let app = format!("app-{}", i % APPS);
    let selector = json!({"matchLabels": {"app": app}});
    let mut spec = json!({
        "schedulerName": "default-scheduler",
        "containers": [{"name": "c", "image": "registry.example/app:1",
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
    });
    if constrained {
        spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"},
        ]}});
        spec["topologySpreadConstraints"] = json!([
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector},
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector},
        ]);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("pod-{i:06}"), "namespace": "default", "uid": format!("uid-{i}"), "labels": {"app": app}},
        "spec": spec,
    })
}
