//! NodeResourcesFit and NodeResourcesBalancedAllocation.

use object::{Value, json};

use super::World;
use crate::plugins::Plugin;

fn asks(requests: Value) -> Value {
    json!({"containers": [{"resources": {"requests": requests}}]})
}

#[test]
fn what_is_asked_for_must_be_free() {
    let node = json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "3", "x.com/gpu": "2", "ephemeral-storage": "10Gi"}});
    for (name, spec, verdict) in [
        ("nothing", json!({}), ""),
        ("what is left", asks(json!({"cpu": "3", "memory": "7Gi"})), ""),
        ("more than is left", asks(json!({"cpu": "3001m"})), "Insufficient cpu"),
        ("more than there is", asks(json!({"cpu": "5"})), "Insufficient cpu (for good)"),
        ("several", asks(json!({"cpu": "4", "memory": "8Gi"})), "Insufficient cpu; Insufficient memory"),
        ("a resource that the node has", asks(json!({"x.com/gpu": "2"})), ""),
        ("and has too little of", asks(json!({"x.com/gpu": "3"})), "Insufficient x.com/gpu (for good)"),
        ("that it has not", asks(json!({"y.com/gpu": "1"})), "Insufficient y.com/gpu (for good)"),
        ("none of what it has not", asks(json!({"y.com/gpu": "0"})), ""),
        ("ephemeral storage", asks(json!({"ephemeral-storage": "11Gi"})), "Insufficient ephemeral-storage (for good)"),
        ("overhead", json!({"overhead": {"cpu": "4"}, "containers": []}), "Insufficient cpu"),
        (
            "the greediest init container",
            json!({"initContainers": [{"resources": {"requests": {"cpu": "4"}}}]}),
            "Insufficient cpu",
        ),
        (
            "a sidecar runs on",
            json!({"initContainers": [{"restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}],
                "containers": [{"resources": {"requests": {"cpu": "2"}}}]}),
            "Insufficient cpu",
        ),
        (
            "the pod as a whole",
            json!({"resources": {"requests": {"cpu": "2"}}, "containers": [{"resources": {"requests": {"cpu": "1"}}}]}),
            "",
        ),
    ] {
        let mut world = World::new(&[("n", node.clone())]).runs("n", json!({}), asks(json!({"cpu": "1", "memory": "1Gi"})));
        assert_eq!(world.filter(Plugin::NodeResourcesFit, &json!({}), &spec), [verdict], "{name}");
    }
}

#[test]
fn places_for_pods_are_counted() {
    let node = json!({"allocatable": {"cpu": "4", "pods": "1"}});
    let mut world = World::new(&[("n", node)]).runs("n", json!({}), json!({}));
    assert_eq!(world.filter(Plugin::NodeResourcesFit, &json!({}), &json!({})), ["Too many pods"]);
    let said = world.filter(Plugin::NodeResourcesFit, &json!({}), &asks(json!({"cpu": "5"})));
    assert_eq!(said, ["Too many pods; Insufficient cpu (for good)"]);
}

#[test]
fn ignored_resources_are_not_looked_at() {
    let args = json!({"ignoredResources": ["x.com/a"], "ignoredResourceGroups": ["y.com"]});
    let profiles = json!([{"pluginConfig": [{"name": "NodeResourcesFit", "args": args}]}]);
    let mut world = World::with(profiles, &[("n", json!({}))]);
    for (name, verdict) in [("x.com/a", ""), ("y.com/b", ""), ("x.com/b", "Insufficient x.com/b (for good)")] {
        assert_eq!(world.filter(Plugin::NodeResourcesFit, &json!({}), &asks(json!({name: "1"}))), [verdict], "{name}");
    }
}

#[test]
fn strategies() {
    let shape = json!({"type": "RequestedToCapacityRatio", "resources": [{"name": "x.com/gpu", "weight": 3}],
        "requestedToCapacityRatio": {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}});
    // `a` is empty, on `b` runs a pod with half of everything.
    for (name, strategy, spec, scores) in [
        ("least", json!({"type": "LeastAllocated"}), asks(json!({"cpu": "1", "memory": "2Gi"})), [75, 25]),
        ("most", json!({"type": "MostAllocated"}), asks(json!({"cpu": "1", "memory": "2Gi"})), [25, 75]),
        (
            "by weight",
            json!({"type": "LeastAllocated", "resources": [{"name": "cpu", "weight": 3}, {"name": "memory", "weight": 1}]}),
            asks(json!({"cpu": "2", "memory": "2Gi"})),
            [56, 6],
        ),
        ("what is not asked for does not count", shape.clone(), asks(json!({"cpu": "1"})), [0, 0]),
        ("along a shape", shape, asks(json!({"x.com/gpu": "1"})), [25, 75]),
        // 100m and 200 MiB stand for a container that says nothing.
        ("nothing asked", json!({"type": "LeastAllocated"}), json!({"containers": [{}]}), [97, 47]),
    ] {
        let profiles = json!([{"pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": strategy}}]}]);
        let allocatable = json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10", "x.com/gpu": "4"}});
        let mut world = World::with(profiles, &[("a", allocatable.clone()), ("b", allocatable)]).runs(
            "b",
            json!({}),
            asks(json!({"cpu": "2", "memory": "4Gi", "x.com/gpu": "2"})),
        );
        assert_eq!(world.score("NodeResourcesFit", &json!({}), &spec).1, scores, "{name}");
    }
}

#[test]
fn balanced_allocation() {
    for (name, spec, scores) in [
        ("even use is best", asks(json!({"cpu": "2", "memory": "4Gi"})), vec![100, 87]),
        ("uneven use is worse", asks(json!({"cpu": "2"})), vec![75, 62]),
        ("a pod that asks for nothing balances nothing", json!({"containers": [{}]}), vec![]),
    ] {
        let mut world = World::new(&[("a", json!({})), ("b", json!({}))]).runs("b", json!({}), asks(json!({"cpu": "1"})));
        assert_eq!(world.score("NodeResourcesBalancedAllocation", &json!({}), &spec).1, scores, "{name}");
    }
}
