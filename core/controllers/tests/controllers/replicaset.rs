//! A ReplicaSet, told from the outside: <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/>.

use crate::support::{self, World, condition, name, pods, replicasets, template};
use apiserver::{DeleteOptions, Propagation, gvr};
use object::{Value, json};

fn spec(replicas: i64) -> Value {
    json!({"replicas": replicas, "selector": {"matchLabels": {"app": "r"}}, "template": template("r")})
}

fn set(replicas: i64) -> World {
    let mut world = World::new();
    world.make(&replicasets(), "ReplicaSet", "r", spec(replicas));
    world
}

fn bare_pod(world: &mut World, name: &str, labels: Value) {
    let metadata = json!({"name": name, "namespace": "default", "labels": labels});
    let spec = json!({"containers": [{"name": "c", "image": "i"}]});
    world.create(&pods(), json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
}

fn owner(world: &mut World, pod: &str) -> Value {
    world.there(&pods(), pod)["metadata"]["ownerReferences"][0]["name"].clone()
}

fn scale(world: &mut World, replicas: i64) {
    world.patch(&replicasets(), "default", "r", json!({"spec": {"replicas": replicas}}));
}

fn status(world: &mut World) -> Value {
    world.there(&replicasets(), "r")["status"].clone()
}

/// Puts a pod onto a node.
fn bind(world: &mut World, pod: &str, node: &str) {
    let binding =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": {"kind": "Node", "name": node}});
    world.admin().create_subresource(&pods(), "default", pod, "binding", binding).expect("bound");
    world.settle();
}

#[test]
fn it_keeps_a_stable_set_of_replicas_running() {
    let mut world = set(3);
    world.run_pods();
    let first = world.names(&pods()).remove(0);
    world.delete(&pods(), "default", &first, &DeleteOptions::default());
    let now = world.names(&pods());
    assert!(now.len() == 3 && !now.contains(&first), "another is made in its place");
    world.end(&now[0], 1);
    assert_eq!(world.names(&pods()).len(), 4, "one that has failed does not count, and stays");
    world.run_pods();
    let status = status(&mut world);
    assert_eq!(
        (&status["replicas"], &status["readyReplicas"], &status["availableReplicas"], &status["fullyLabeledReplicas"]),
        (&json!(3), &json!(3), &json!(3), &json!(3))
    );
    assert_eq!(
        world.said("ReplicaSet").iter().filter(|event| event.starts_with("Normal SuccessfulCreate: Created pod: r-")).count(),
        5
    );
}

#[test]
fn it_acquires_pods_that_match_its_selector_and_have_no_owner() {
    let mut world = World::new();
    bare_pod(&mut world, "mine", json!({"app": "r"}));
    bare_pod(&mut world, "other", json!({"app": "x"}));
    world.make(&replicasets(), "ReplicaSet", "r", spec(2));
    assert_eq!(owner(&mut world, "mine"), "r");
    assert_eq!(owner(&mut world, "other"), Value::Null);
    assert_eq!(world.names(&pods()).len(), 3, "one was there, one is made");
    bare_pod(&mut world, "late", json!({"app": "r"}));
    assert_eq!(world.names(&pods()).len(), 3, "one too many is taken and deleted at once");
}

#[test]
fn a_pod_whose_labels_are_changed_is_released_and_replaced() {
    let mut world = set(2);
    let first = world.names(&pods()).remove(0);
    world.patch(&pods(), "default", &first, json!({"metadata": {"labels": {"app": "debug"}}}));
    assert_eq!((owner(&mut world, &first), world.names(&pods()).len()), (Value::Null, 3));
}

#[test]
fn it_can_be_deleted_with_its_pods_or_without() {
    for (propagation, left) in [(Propagation::Background, 0), (Propagation::Foreground, 0), (Propagation::Orphan, 2)] {
        let mut world = set(2);
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        world.delete(&replicasets(), "default", "r", &options);
        assert_eq!((world.names(&replicasets()).len(), world.names(&pods()).len()), (0, left), "{propagation:?}");
    }
}

#[test]
fn pending_pods_are_scaled_down_first() {
    let mut world = set(3);
    let names = world.names(&pods());
    for pod in &names[..2] {
        bind(&mut world, pod, "n");
        let pod = world.there(&pods(), pod);
        world.set_ready(&pod, true);
    }
    scale(&mut world, 2);
    assert_eq!(world.names(&pods()), names[..2]);
}

#[test]
fn pods_of_a_lower_deletion_cost_are_scaled_down_first() {
    let mut world = set(3);
    world.run_pods();
    let names = world.names(&pods());
    for (pod, cost) in [(&names[0], "10"), (&names[1], "-5"), (&names[2], "5")] {
        let annotation = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
        world.patch(&pods(), "default", pod, annotation);
    }
    scale(&mut world, 1);
    assert_eq!(world.names(&pods()), names[..1]);
}

#[test]
fn pods_on_nodes_with_more_replicas_are_scaled_down_first() {
    let mut world = World::new();
    world.create(&support::deployments(), support::deployment("web", 3, "i"));
    let names = world.names(&pods());
    for (pod, node) in names.iter().zip(["crowded", "alone", "crowded"]) {
        bind(&mut world, pod, node);
        let pod = world.there(&pods(), pod);
        world.set_ready(&pod, true);
    }
    world.patch(&support::deployments(), "default", "web", json!({"spec": {"replicas": 2}}));
    let going: Vec<Value> =
        world.list(&pods()).into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_string()).collect();
    assert_eq!((going.len(), &going[0]["spec"]["nodeName"]), (1, &json!("crowded")));
    let set = name(&world.list(&replicasets())[0]);
    assert_eq!(world.there(&replicasets(), &set)["status"]["terminatingReplicas"], 1);
}

#[test]
fn younger_pods_are_scaled_down_first_where_ages_differ_in_magnitude() {
    let mut world = set(1);
    world.run_pods();
    let old = world.names(&pods());
    world.pass(40);
    scale(&mut world, 2);
    world.run_pods();
    world.pass(2);
    scale(&mut world, 1);
    assert_eq!(world.names(&pods()), old);
}

#[test]
fn what_cannot_be_created_is_said_and_tried_a_few_times_only() {
    let mut world = World::new();
    world.make(&gvr("", "v1", "resourcequotas"), "ResourceQuota", "q", json!({"hard": {"pods": "2"}}));
    world.make(&replicasets(), "ReplicaSet", "r", spec(100));
    assert_eq!(world.names(&pods()).len(), 2);
    let set = world.there(&replicasets(), "r");
    let failure = condition(&set, "ReplicaFailure");
    assert_eq!((&failure["status"], &failure["reason"]), (&json!("True"), &json!("FailedCreate")));
    assert!(failure["message"].as_str().is_some_and(|message| message.contains("exceeded quota: q")), "{failure}");
    let tried = world.said("ReplicaSet").iter().filter(|event| event.contains("FailedCreate")).count();
    assert!(tried < 10, "a hundred times would help nobody: {tried}");
    world.patch(&gvr("", "v1", "resourcequotas"), "default", "q", json!({"spec": {"hard": {"pods": "200"}}}));
    world.pass(1000);
    assert_eq!(world.names(&pods()).len(), 100);
    assert_eq!(*condition(&world.there(&replicasets(), "r"), "ReplicaFailure"), Value::Null);
}

#[test]
fn a_pod_counts_as_available_after_its_minimum_time() {
    let mut spec = spec(1);
    spec["minReadySeconds"] = 10.into();
    let mut world = World::new();
    world.make(&replicasets(), "ReplicaSet", "r", spec);
    world.run_pods();
    assert_eq!((&status(&mut world)["readyReplicas"], &status(&mut world)["availableReplicas"]), (&json!(1), &Value::Null));
    world.pass(10);
    assert_eq!(status(&mut world)["availableReplicas"], 1);
}

/// The changes of many pods cost the set a few looks, not one for each.
#[test]
fn work_grows_with_the_pods_and_not_with_their_square() {
    let looks = |pods_wanted: i64| {
        let mut world = set(pods_wanted);
        world.pass(1);
        assert_eq!(world.names(&pods()).len() as i64, pods_wanted);
        let before = world.api.store().revision();
        for pod in world.list(&pods()) {
            let mut ready = pod.clone();
            let now = world.now.rfc3339();
            ready["status"] =
                json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]});
            ready["metadata"].as_object_mut().expect("a map").remove("resourceVersion");
            world.admin().update_status(&pods(), "default", &name(&pod), ready).expect("status");
            // The controllers may look after every single change.
            world.settle();
        }
        world.pass(1);
        assert_eq!(status(&mut world)["readyReplicas"], pods_wanted);
        world.api.store().revision() - before - u64::try_from(pods_wanted).unwrap_or(0)
    };
    let (some, many) = (looks(300), looks(1200));
    assert!(some <= 5 && many <= 5, "status was written {some} and {many} times");
}
