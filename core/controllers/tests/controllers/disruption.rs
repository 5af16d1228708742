//! PodDisruptionBudgets and evictions, told from the outside:
//! <https://kubernetes.io/docs/tasks/run-application/configure-pdb/>.

use crate::support::{World, condition, deployment, deployments, name, pods};
use apiserver::gvr;
use object::{GroupVersionResource, Value, json};

fn budgets() -> GroupVersionResource {
    gvr("policy", "v1", "poddisruptionbudgets")
}

fn budget(world: &mut World, spec: Value) {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "web"}});
    world.make(&budgets(), "PodDisruptionBudget", "p", spec);
}

/// A Deployment of so many pods that are ready, and a budget.
fn web(replicas: i64, spec: Value) -> World {
    let mut world = World::new();
    world.create(&deployments(), deployment("web", replicas, "i"));
    world.run_pods();
    budget(&mut world, spec);
    world
}

/// Expected, desired, healthy and allowed.
fn numbers(world: &mut World) -> [i64; 4] {
    let status = world.there(&budgets(), "p")["status"].clone();
    ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"].map(|key| status[key].as_i64().unwrap_or(-1))
}

fn evict(world: &mut World, pod: &str) -> Result<(), String> {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}});
    let done = world.admin().create_subresource(&pods(), "default", pod, "eviction", eviction);
    world.settle();
    done.map(drop).map_err(|error| error.details.causes.first().map_or(error.message.clone(), |cause| cause.message.clone()))
}

#[test]
fn the_budget_is_counted_from_the_scale_of_the_pods_controllers() {
    for (replicas, spec, wanted) in [
        (4, json!({"minAvailable": 3}), [4, 3, 4, 1]),
        (4, json!({"minAvailable": "50%"}), [4, 2, 4, 2]),
        (7, json!({"minAvailable": "50%"}), [7, 4, 7, 3]),
        (4, json!({"maxUnavailable": 1}), [4, 3, 4, 1]),
        (7, json!({"maxUnavailable": "30%"}), [7, 4, 7, 3]),
        (4, json!({"maxUnavailable": 0}), [4, 4, 4, 0]),
        (2, json!({"maxUnavailable": "100%"}), [2, 0, 2, 2]),
        (2, json!({"minAvailable": 5}), [2, 5, 2, 0]),
    ] {
        let mut world = web(replicas, spec.clone());
        assert_eq!(numbers(&mut world), wanted, "{spec} of {replicas}");
    }
}

#[test]
fn it_follows_pods_and_scale() {
    let mut world = web(3, json!({"maxUnavailable": 1}));
    let pod = world.list(&pods()).remove(0);
    world.set_ready(&pod, false);
    assert_eq!(numbers(&mut world), [3, 2, 2, 0]);
    let object = world.there(&budgets(), "p");
    assert_eq!(condition(&object, "DisruptionAllowed")["reason"], "InsufficientPods");
    world.patch(&deployments(), "default", "web", json!({"spec": {"replicas": 5}}));
    assert_eq!(numbers(&mut world)[..2], [5, 4]);
    world.roll();
    let pod = world.there(&pods(), &name(&pod));
    world.set_ready(&pod, true);
    assert_eq!(numbers(&mut world), [5, 4, 5, 1]);
    let object = world.there(&budgets(), "p");
    assert_eq!(condition(&object, "DisruptionAllowed")["reason"], "SufficientPods");
}

#[test]
fn an_eviction_takes_from_the_budget_until_nothing_is_left() {
    let mut world = web(3, json!({"minAvailable": 2}));
    let names = world.names(&pods());
    assert_eq!(evict(&mut world, &names[0]), Ok(()));
    assert_eq!(evict(&mut world, &names[1]), Err("The disruption budget p needs 2 healthy pods and has 2 currently".to_owned()));
    world.run_pods();
    assert_eq!(evict(&mut world, &names[1]), Ok(()), "a new one has taken the place of the first");
}

#[test]
fn pods_that_are_not_ready_can_always_be_evicted_if_the_policy_says_so() {
    for (policy, allowed) in [("IfHealthyBudget", false), ("AlwaysAllow", true)] {
        let mut world = web(2, json!({"minAvailable": 2, "unhealthyPodEvictionPolicy": policy}));
        let pod = world.list(&pods()).remove(0);
        world.set_ready(&pod, false);
        assert_eq!(evict(&mut world, &name(&pod)).is_ok(), allowed, "{policy}");
    }
}

#[test]
fn pods_without_a_controller_need_an_integer_and_that_is_said() {
    let mut world = World::new();
    let metadata = json!({"name": "bare", "namespace": "default", "labels": {"app": "web"}});
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    world.create(&pods(), json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    world.run_pods();
    budget(&mut world, json!({"maxUnavailable": 1}));
    assert_eq!(numbers(&mut world), [0, 0, 1, 0]);
    let said = world.said("PodDisruptionBudget");
    assert!(
        said[0].starts_with(
            "Warning UnmanagedPods: Pods selected by this PodDisruptionBudget (selector: \
        &LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) were found"
        ),
        "{said:?}"
    );
    world.patch(&budgets(), "default", "p", json!({"spec": {"maxUnavailable": null, "minAvailable": 1}}));
    assert_eq!(numbers(&mut world), [1, 1, 1, 0]);
}

#[test]
fn a_budget_without_pods_says_so() {
    let mut world = World::new();
    budget(&mut world, json!({"minAvailable": 1}));
    assert_eq!(numbers(&mut world), [0, 1, 0, 0]);
    assert_eq!(world.said("PodDisruptionBudget"), ["Normal NoPods: No matching pods found"]);
}

#[test]
fn what_no_scale_is_known_of_cannot_be_disrupted() {
    let mut world = World::new();
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true});
    world.node("n", json!({}));
    let uid = world.get(&gvr("", "v1", "nodes"), "", "n").expect("the node")["metadata"]["uid"].clone();
    let mut owner = owner;
    owner["uid"] = uid;
    let metadata = json!({"name": "static", "namespace": "default", "labels": {"app": "web"}, "ownerReferences": [owner]});
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    world.create(&pods(), json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    budget(&mut world, json!({"minAvailable": "50%"}));
    let object = world.there(&budgets(), "p");
    let said = condition(&object, "DisruptionAllowed");
    assert_eq!((&said["status"], &said["reason"]), (&json!("False"), &json!("SyncFailed")));
    assert_eq!(said["message"], "nodes does not implement the scale subresource");
}

#[test]
fn a_disruption_that_does_not_come_is_taken_back() {
    let mut world = web(1, json!({"minAvailable": 0}));
    let pod = world.list(&pods()).remove(0);
    let mut status = pod["status"].clone();
    let said = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "lastTransitionTime": world.now.rfc3339()});
    status["conditions"].as_array_mut().expect("conditions").push(said);
    world.pod_status(&name(&pod), status);
    world.pass(119);
    assert_eq!(condition(&world.there(&pods(), &name(&pod)), "DisruptionTarget")["status"], "True");
    world.pass(1);
    assert_eq!(condition(&world.there(&pods(), &name(&pod)), "DisruptionTarget")["status"], "False");
}
