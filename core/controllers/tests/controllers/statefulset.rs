//! A StatefulSet, told from the outside: <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>.

use crate::support::{World, pods, template};
use apiserver::{DeleteOptions, Propagation, gvr};
use object::{GroupVersionResource, Value, json};

fn sets() -> GroupVersionResource {
    gvr("apps", "v1", "statefulsets")
}

fn claims() -> GroupVersionResource {
    gvr("", "v1", "persistentvolumeclaims")
}

fn revisions() -> GroupVersionResource {
    gvr("apps", "v1", "controllerrevisions")
}

fn make(world: &mut World, more: Value) {
    let mut spec =
        json!({"replicas": 3, "serviceName": "nginx", "selector": {"matchLabels": {"app": "web"}}, "template": template("web")});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    world.make(&sets(), "StatefulSet", "web", spec);
}

fn web(more: Value) -> World {
    let mut world = World::new();
    make(&mut world, more);
    world
}

fn patch(world: &mut World, spec: Value) {
    world.patch(&sets(), "default", "web", json!({"spec": spec}));
}

fn image(image: &str) -> Value {
    json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}})
}

fn images(world: &World) -> Vec<String> {
    world.list(&pods()).iter().map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned()).collect()
}

fn status(world: &mut World) -> Value {
    world.there(&sets(), "web")["status"].clone()
}

fn ready(world: &mut World, name: &str, ready: bool) {
    let pod = world.there(&pods(), name);
    world.set_ready(&pod, ready);
}

fn with_claims(policy: Value) -> Value {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
        "resources": {"requests": {"storage": "1Gi"}}}});
    json!({"volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy, "replicas": 2})
}

#[test]
fn pods_are_created_in_order_and_each_waits_for_those_before_it() {
    let mut world = web(json!({}));
    assert_eq!(world.names(&pods()), ["web-0"]);
    ready(&mut world, "web-0", true);
    assert_eq!(world.names(&pods()), ["web-0", "web-1"]);
    ready(&mut world, "web-0", false);
    ready(&mut world, "web-1", true);
    assert_eq!(world.names(&pods()), ["web-0", "web-1"], "all before it must run and be ready");
    ready(&mut world, "web-0", true);
    assert_eq!(world.names(&pods()), ["web-0", "web-1", "web-2"]);
    ready(&mut world, "web-2", true);
    let status = status(&mut world);
    assert_eq!((&status["readyReplicas"], &status["currentRevision"]), (&json!(3), &status["updateRevision"]));
    let said = world.said("StatefulSet");
    assert_eq!(said[0], "Normal SuccessfulCreate: create Pod web-0 in StatefulSet web successful");
}

#[test]
fn each_pod_has_an_identity_that_sticks() {
    let mut world = web(json!({"replicas": 1}));
    let pod = world.there(&pods(), "web-0");
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("web-0"), &json!("nginx")));
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "web-0");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "0");
    world.delete(&pods(), "default", "web-0", &DeleteOptions::default());
    let next = world.there(&pods(), "web-0");
    assert_ne!(next["metadata"]["uid"], pod["metadata"]["uid"], "another pod of the same name");
}

#[test]
fn pods_are_terminated_in_reverse_order_and_not_while_another_is_missed() {
    let mut world = web(json!({}));
    world.roll();
    ready(&mut world, "web-0", false);
    patch(&mut world, json!({"replicas": 1}));
    assert_eq!(world.names(&pods()).len(), 3, "web-0 must be ready before web-2 goes");
    ready(&mut world, "web-0", true);
    world.roll();
    assert_eq!(world.names(&pods()), ["web-0"]);
    assert!(
        world.said("StatefulSet").contains(&"Normal SuccessfulDelete: delete Pod web-2 in StatefulSet web successful".to_owned())
    );
}

#[test]
fn with_parallel_management_pods_do_not_wait_for_each_other() {
    let mut world = web(json!({"podManagementPolicy": "Parallel"}));
    assert_eq!(world.names(&pods()), ["web-0", "web-1", "web-2"]);
    patch(&mut world, json!({"replicas": 0}));
    world.run_pods();
    assert_eq!(world.names(&pods()).len(), 0);
}

#[test]
fn ordinals_can_start_elsewhere() {
    let mut world = web(json!({"ordinals": {"start": 5}, "replicas": 2, "podManagementPolicy": "Parallel"}));
    world.roll();
    assert_eq!(world.names(&pods()), ["web-5", "web-6"]);
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    let mut change = image("new");
    change["updateStrategy"] = strategy;
    patch(&mut world, change);
    world.roll();
    assert_eq!(images(&world), ["i", "new"], "a partition counts from the start");
    patch(&mut world, json!({"ordinals": {"start": 6}}));
    world.roll();
    assert_eq!(world.names(&pods()), ["web-6", "web-7"]);
}

#[test]
fn a_pod_must_be_ready_for_the_minimum_time_before_the_next() {
    let mut world = web(json!({"minReadySeconds": 30, "replicas": 2}));
    ready(&mut world, "web-0", true);
    world.pass(29);
    assert_eq!((world.names(&pods()).len(), &status(&mut world)["availableReplicas"]), (1, &json!(0)));
    world.pass(1);
    assert_eq!((world.names(&pods()).len(), &status(&mut world)["availableReplicas"]), (2, &json!(1)));
}

#[test]
fn a_rolling_update_goes_from_the_largest_ordinal_to_the_smallest() {
    let mut world = web(json!({}));
    world.roll();
    patch(&mut world, image("new"));
    assert_eq!(images(&world), ["i", "i", "new"], "one at a time");
    let during = status(&mut world);
    assert_ne!(during["currentRevision"], during["updateRevision"]);
    world.roll();
    assert_eq!(images(&world), ["new", "new", "new"]);
    let done = status(&mut world);
    assert_eq!(
        (&done["updatedReplicas"], &done["currentReplicas"], &done["currentRevision"]),
        (&json!(3), &json!(3), &done["updateRevision"])
    );
}

#[test]
fn with_a_partition_only_pods_from_it_on_are_updated() {
    let mut world = web(json!({"podManagementPolicy": "Parallel"}));
    world.roll();
    let mut change = image("new");
    change["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    patch(&mut world, change);
    world.roll();
    assert_eq!(images(&world), ["i", "new", "new"]);
    world.delete(&pods(), "default", "web-0", &DeleteOptions::default());
    world.roll();
    assert_eq!(images(&world), ["i", "new", "new"], "even when deleted, a pod before it comes back as it was");
    let during = status(&mut world);
    assert_eq!((&during["updatedReplicas"], &during["currentReplicas"]), (&json!(2), &json!(1)));
    patch(&mut world, json!({"updateStrategy": {"rollingUpdate": {"partition": 0}}}));
    world.roll();
    assert_eq!(images(&world), ["new", "new", "new"]);
}

#[test]
fn with_on_delete_pods_are_updated_when_somebody_deletes_them() {
    let mut world = web(json!({"updateStrategy": {"type": "OnDelete"}, "replicas": 2}));
    world.roll();
    patch(&mut world, image("new"));
    world.roll();
    assert_eq!(images(&world), ["i", "i"]);
    world.delete(&pods(), "default", "web-0", &DeleteOptions::default());
    world.roll();
    assert_eq!(images(&world), ["new", "i"]);
}

#[test]
fn a_rollback_is_an_update_to_a_revision_that_is_known() {
    let mut world = web(json!({"replicas": 1}));
    world.roll();
    let first = status(&mut world)["updateRevision"].clone();
    patch(&mut world, image("new"));
    world.roll();
    assert_ne!(status(&mut world)["updateRevision"], first);
    patch(&mut world, image("i"));
    world.roll();
    assert_eq!(status(&mut world)["updateRevision"], first);
    let numbers: Vec<Value> = world.list(&revisions()).iter().map(|revision| revision["revision"].clone()).collect();
    assert!(numbers.len() == 2 && numbers.contains(&json!(3)), "the old one has become the newest: {numbers:?}");
}

#[test]
fn only_so_many_revisions_are_kept() {
    let mut world = web(json!({"replicas": 1, "revisionHistoryLimit": 1}));
    for round in 0..4 {
        patch(&mut world, image(&format!("i:{round}")));
        world.roll();
    }
    assert_eq!(world.list(&revisions()).len(), 2, "the one in use, and one more");
}

#[test]
fn failed_and_succeeded_pods_are_made_again() {
    for code in [0, 1] {
        let mut world = web(json!({"replicas": 1}));
        let before = world.there(&pods(), "web-0")["metadata"]["uid"].clone();
        world.end("web-0", code);
        world.run_pods();
        assert_ne!(world.there(&pods(), "web-0")["metadata"]["uid"], before, "exit code {code}");
    }
}

#[test]
fn each_pod_gets_a_claim_from_each_template_and_keeps_it() {
    let mut world = web(with_claims(json!({"whenScaled": "Retain", "whenDeleted": "Retain"})));
    world.roll();
    assert_eq!(world.names(&claims()), ["data-web-0", "data-web-1"]);
    let pod = world.there(&pods(), "web-1");
    assert_eq!(pod["spec"]["volumes"][0], json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}));
    let said = world.said("StatefulSet");
    assert!(said.contains(&"Normal SuccessfulCreate: create Claim data-web-1 Pod web-1 in StatefulSet web success".to_owned()));
    patch(&mut world, json!({"replicas": 0}));
    world.roll();
    world.delete(&sets(), "default", "web", &DeleteOptions::default());
    assert_eq!(world.names(&claims()), ["data-web-0", "data-web-1"], "they are the user's to delete");
}

#[test]
fn claims_go_with_the_set_or_with_the_pod_as_the_policy_says() {
    for (scaled, deleted, after_scaling, after_deletion) in
        [("Delete", "Retain", 1, 1), ("Retain", "Delete", 2, 0), ("Delete", "Delete", 1, 0)]
    {
        let mut world = web(with_claims(json!({"whenScaled": scaled, "whenDeleted": deleted})));
        world.roll();
        let owners = world.there(&claims(), "data-web-1")["metadata"]["ownerReferences"].clone();
        let kinds: Vec<&Value> = owners.as_array().into_iter().flatten().map(|owner| &owner["kind"]).collect();
        assert_eq!(kinds.contains(&&json!("StatefulSet")), deleted == "Delete", "{scaled} {deleted}");
        patch(&mut world, json!({"replicas": 1}));
        world.roll();
        assert_eq!(world.names(&claims()).len(), after_scaling, "{scaled} {deleted}");
        world.delete(&sets(), "default", "web", &DeleteOptions::default());
        world.roll();
        assert_eq!(world.names(&claims()).len(), after_deletion, "{scaled} {deleted}");
    }
}

#[test]
fn a_changed_policy_is_carried_over_to_claims_that_are_there() {
    let mut world = web(with_claims(json!({"whenScaled": "Retain", "whenDeleted": "Retain"})));
    world.roll();
    patch(&mut world, json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}));
    world.roll();
    let owner = world.there(&claims(), "data-web-0")["metadata"]["ownerReferences"][0].clone();
    assert_eq!((&owner["kind"], &owner["controller"]), (&json!("StatefulSet"), &json!(true)));
}

#[test]
fn a_set_that_takes_over_orphans_goes_on_with_their_revisions() {
    let mut world = web(json!({"replicas": 2}));
    world.roll();
    let before = world.there(&pods(), "web-1")["metadata"]["uid"].clone();
    let orphan = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    world.delete(&sets(), "default", "web", &orphan);
    assert_eq!(world.names(&pods()), ["web-0", "web-1"]);
    make(&mut world, json!({"replicas": 2}));
    world.roll();
    assert_eq!(world.there(&pods(), "web-1")["metadata"]["uid"], before, "nothing was restarted");
    let set = world.there(&sets(), "web");
    for object in [world.there(&pods(), "web-1"), world.list(&revisions())[0].clone()] {
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], set["metadata"]["uid"]);
    }
    assert_eq!((world.list(&revisions()).len(), &set["status"]["readyReplicas"]), (1, &json!(2)));
}
