//! HorizontalPodAutoscalers, with a metrics API played by the test.
//!
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>

use crate::support::{World, deployment, deployments, pods};
use apiserver::gvr;
use apiserver::message::{Answered, Output};
use object::{GroupVersionResource, Value, json};

fn autoscalers() -> GroupVersionResource {
    gvr("autoscaling", "v2", "horizontalpodautoscalers")
}

fn autoscaler(spec: Value) -> Value {
    let mut spec = spec;
    spec["scaleTargetRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "default"},
        "spec": spec})
}

fn status(world: &mut World) -> Value {
    world.get(&autoscalers(), "default", "web").expect("the autoscaler")["status"].clone()
}

/// Reason of a condition with its status.
fn condition(world: &mut World, kind: &str) -> String {
    let status = status(world);
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind);
    found.map(|c| format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())).unwrap_or_default()
}

fn message(world: &mut World, kind: &str) -> String {
    let status = status(world);
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind);
    found.and_then(|c| c["message"].as_str()).unwrap_or_default().to_owned()
}

fn replicas(world: &mut World) -> i64 {
    world.get(&deployments(), "default", "web").expect("the deployment")["spec"]["replicas"].as_i64().unwrap_or(0)
}

fn web(world: &mut World, replicas: i64) {
    let mut web = deployment("web", replicas, "img:1");
    web["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "200m"}});
    world.create(&deployments(), web);
    world.run_pods();
}

/// Registers the metrics API.
fn register(world: &mut World) {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "metrics.example.com"}});
    world.create(&gvr("", "v1", "services"), service);
    let api = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": "kube-system", "name": "metrics-server"}}});
    world.create(&gvr("apiregistration.k8s.io", "v1", "apiservices"), api);
}

/// Answers what the metrics API is asked: each pod uses so much cpu.
fn serve(world: &mut World, cpu: &str) {
    for _ in 0..20 {
        world.api.run(world.now);
        let outputs = world.api.take_outputs();
        let calls: Vec<_> = outputs
            .into_iter()
            .filter_map(|o| if let Output::Call { call, outgoing } = o { Some((call, outgoing)) } else { None })
            .collect();
        for (call, outgoing) in calls {
            let body = if outgoing.target.contains("/pods") {
                assert!(outgoing.target.contains("labelSelector=app%3Dweb"), "{}", outgoing.target);
                let now = world.now.rfc3339();
                let items: Vec<Value> = world
                    .list(&pods())
                    .iter()
                    .map(|pod| {
                        json!({
                    "metadata": {"name": pod["metadata"]["name"]}, "timestamp": now, "window": "0s",
                    "containers": [{"name": "c", "usage": {"cpu": cpu, "memory": "10Mi"}}]})
                    })
                    .collect();
                json!({"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "items": items})
            } else {
                json!({"kind": "APIResourceList", "resources": []})
            };
            let reply = Answered { status: 200, body: body.to_string().into_bytes().into() };
            world.api.answered(world.now, call, Ok(reply));
        }
        world.pass(1);
    }
    world.run_pods();
}

fn by_cpu(percent: i64) -> Value {
    json!({"maxReplicas": 10, "metrics": [{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}]})
}

#[test]
fn cpu_decides_how_many_there_are() {
    let mut world = World::new();
    web(&mut world, 2);
    register(&mut world);
    serve(&mut world, "100m");
    world.create(&autoscalers(), autoscaler(by_cpu(50)));
    serve(&mut world, "100m");
    assert_eq!(
        (replicas(&mut world), condition(&mut world, "ScalingActive").as_str()),
        (2, "True ValidMetricFound"),
        "{}",
        message(&mut world, "ScalingActive")
    );
    let metric = status(&mut world)["currentMetrics"][0].clone();
    assert_eq!(
        metric,
        json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 50, "averageValue": "100m"}}})
    );

    serve(&mut world, "190m");
    assert_eq!(replicas(&mut world), 4, "95 percent of the request where 50 are wanted, for two pods");
    serve(&mut world, "20m");
    assert_eq!(condition(&mut world, "AbleToScale"), "True ScaleDownStabilized", "down only after five minutes");
    assert_eq!(replicas(&mut world), 4);
    for _ in 0..18 {
        serve(&mut world, "20m");
    }
    assert_eq!(replicas(&mut world), 1);
    assert_eq!(condition(&mut world, "ScalingLimited"), "False DesiredWithinRange");
    let events = world.list(&gvr("", "v1", "events"));
    let said: Vec<&str> =
        events.iter().filter(|e| e["reason"] == "SuccessfulRescale").filter_map(|e| e["message"].as_str()).collect();
    assert!(said.contains(&"New size: 4; reason: cpu resource utilization (percentage of request) above target"), "{said:?}");
    assert!(said.contains(&"New size: 1; reason: All metrics below target"), "{said:?}");
}

#[test]
fn bounds_hold_without_metrics() {
    let mut world = World::new();
    web(&mut world, 5);
    let mut spec = by_cpu(50);
    spec["maxReplicas"] = json!(3);
    world.create(&autoscalers(), autoscaler(spec));
    assert_eq!(replicas(&mut world), 3);
    assert_eq!(condition(&mut world, "AbleToScale"), "True SucceededRescale");
    world.run_pods();
    world.pass(20);
    assert_eq!(condition(&mut world, "ScalingActive"), "False FailedGetResourceMetric");
    let expect = "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: \
        unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
    assert_eq!(message(&mut world, "ScalingActive"), expect);
    let patch = json!({"spec": {"replicas": 0}});
    world.patch(&deployments(), "default", "web", patch);
    world.pass(20);
    assert_eq!((condition(&mut world, "ScalingActive").as_str(), replicas(&mut world)), ("False ScalingDisabled", 0));
}

#[test]
fn a_target_that_is_not_there() {
    let mut world = World::new();
    world.create(&autoscalers(), autoscaler(by_cpu(50)));
    assert_eq!(condition(&mut world, "AbleToScale"), "False FailedGetScale");
    let expect = "the HPA controller was unable to get the target's current scale: deployments.apps \"web\" not found";
    assert_eq!(message(&mut world, "AbleToScale"), expect);
    web(&mut world, 1);
    world.pass(20);
    assert_eq!(condition(&mut world, "AbleToScale"), "True SucceededGetScale");
}
