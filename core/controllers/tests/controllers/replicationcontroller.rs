//! A ReplicationController, told from the outside:
//! <https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/>.

use crate::support::{World, condition, pods, template};
use apiserver::{DeleteOptions, Propagation, gvr};
use object::{GroupVersionResource, Value, json};

fn controllers() -> GroupVersionResource {
    gvr("", "v1", "replicationcontrollers")
}

fn controller(replicas: i64) -> World {
    let mut world = World::new();
    let spec = json!({"replicas": replicas, "selector": {"app": "rc"}, "template": template("rc")});
    world.make(&controllers(), "ReplicationController", "rc", spec);
    world
}

#[test]
fn it_replaces_pods_that_fail_or_are_deleted() {
    let mut world = controller(2);
    let first = world.names(&pods()).remove(0);
    world.delete(&pods(), "default", &first, &DeleteOptions::default());
    assert_eq!(world.names(&pods()).len(), 2);
    let second = world.names(&pods()).remove(0);
    world.end(&second, 1);
    assert_eq!(world.names(&pods()).len(), 3);
    world.run_pods();
    let status = world.there(&controllers(), "rc")["status"].clone();
    assert_eq!((&status["replicas"], &status["readyReplicas"]), (&json!(2), &json!(2)));
    assert_eq!(status["terminatingReplicas"], Value::Null, "which only ReplicaSets count");
}

#[test]
fn it_takes_pods_that_match_and_lets_go_those_that_do_no_more() {
    let mut world = controller(1);
    let mine = world.names(&pods()).remove(0);
    world.patch(&pods(), "default", &mine, json!({"metadata": {"labels": {"app": "other"}}}));
    assert_eq!(world.there(&pods(), &mine)["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(world.names(&pods()).len(), 2);
    world.patch(&pods(), "default", &mine, json!({"metadata": {"labels": {"app": "rc"}}}));
    assert_eq!(world.names(&pods()).len(), 1, "back again it is one too many");
}

#[test]
fn it_leaves_its_pods_behind_unless_it_is_told_to_take_them_along() {
    for (propagation, left) in [(None, 2), (Some(Propagation::Background), 0)] {
        let mut world = controller(2);
        world.delete(&controllers(), "default", "rc", &DeleteOptions { propagation, ..DeleteOptions::default() });
        assert_eq!(world.names(&pods()).len(), left, "{propagation:?}");
    }
}

#[test]
fn it_says_what_went_wrong() {
    let mut world = World::new();
    world.make(&gvr("", "v1", "resourcequotas"), "ResourceQuota", "q", json!({"hard": {"pods": "0"}}));
    let spec = json!({"replicas": 1, "selector": {"app": "rc"}, "template": template("rc")});
    world.make(&controllers(), "ReplicationController", "rc", spec);
    let object = world.there(&controllers(), "rc");
    assert_eq!(condition(&object, "ReplicaFailure")["reason"], "FailedCreate");
    assert!(
        world
            .said("ReplicationController")
            .iter()
            .any(|event| event.starts_with("Warning FailedCreate: Error creating: pods \"rc-"))
    );
}
