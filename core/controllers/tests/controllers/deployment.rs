//! A Deployment, told from the outside: <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/>.

use crate::support::{World, deployment, deployments, pods, replicasets};
use apiserver::{DeleteOptions, Propagation};
use object::{Value, json};

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    object["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

#[test]
fn it_makes_a_replicaset_that_makes_the_pods() {
    let mut world = World::new();
    world.create(&deployments(), deployment("web", 3, "a:1"));
    let sets = world.list(&replicasets());
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    let made = world.list(&pods());
    assert_eq!(made.len(), 3);
    let hash = &sets[0]["metadata"]["labels"]["pod-template-hash"];
    assert!(made.iter().all(|p| p["metadata"]["labels"]["pod-template-hash"] == *hash));
    world.roll();
    let web = world.get(&deployments(), "default", "web").unwrap();
    assert_eq!((&web["status"]["readyReplicas"], &web["status"]["observedGeneration"]), (&json!(3), &json!(1)));
    assert_eq!(condition(&web, "Progressing")["reason"], "NewReplicaSetAvailable");
    assert_eq!(condition(&web, "Available")["status"], "True");
}

#[test]
fn an_update_rolls_within_surge_and_unavailable_and_can_be_undone() {
    let mut world = World::new();
    world.create(&deployments(), deployment("web", 4, "a:1"));
    world.roll();
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}});
    world.patch(&deployments(), "default", "web", patch);
    for _ in 0..20 {
        let alive = world.list(&pods()).into_iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).collect::<Vec<_>>();
        assert!(alive.len() <= 5, "one more than four at the most: {}", alive.len());
        let ready = alive.iter().filter(|p| p["status"]["podIP"].is_string()).count();
        assert!(ready >= 3, "one less than four at the most: {ready}");
        world.run_pods();
    }
    let web = world.get(&deployments(), "default", "web").unwrap();
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    assert_eq!(web["status"]["updatedReplicas"], 4);
    assert!(world.list(&pods()).iter().all(|p| p["spec"]["containers"][0]["image"] == "a:2"));
    // Undone, the old ReplicaSet is the new one, under a new revision.
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:1"}]}}}});
    world.patch(&deployments(), "default", "web", patch);
    world.roll();
    assert_eq!(world.list(&replicasets()).len(), 2);
    let first = world.list(&replicasets()).into_iter().find(|s| s["spec"]["replicas"] == 4).unwrap();
    assert_eq!(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(first["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
}

#[test]
fn scaling_keeps_the_revision() {
    let mut world = World::new();
    world.create(&deployments(), deployment("web", 2, "a:1"));
    world.roll();
    world.patch(&deployments(), "default", "web", json!({"spec": {"replicas": 6}}));
    world.roll();
    assert_eq!((world.list(&pods()).len(), world.list(&replicasets()).len()), (6, 1));
    world.patch(&deployments(), "default", "web", json!({"spec": {"replicas": 1}}));
    world.roll();
    assert_eq!(world.list(&pods()).len(), 1);
}

#[test]
fn a_rollout_that_does_not_get_ahead_is_late() {
    let mut world = World::new();
    let mut stuck = deployment("stuck", 1, "a:1");
    stuck["spec"]["progressDeadlineSeconds"] = 30.into();
    world.create(&deployments(), stuck);
    world.pass(20);
    let object = world.get(&deployments(), "default", "stuck").unwrap();
    assert_eq!(condition(&object, "Progressing")["status"], "True");
    world.pass(20);
    let object = world.get(&deployments(), "default", "stuck").unwrap();
    assert_eq!(condition(&object, "Progressing")["reason"], "ProgressDeadlineExceeded");
}

#[test]
fn paused_it_scales_but_does_not_roll() {
    let mut world = World::new();
    world.create(&deployments(), deployment("web", 2, "a:1"));
    world.roll();
    let patch =
        json!({"spec": {"paused": true, "replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}});
    world.patch(&deployments(), "default", "web", patch);
    world.roll();
    assert_eq!(world.list(&pods()).len(), 3);
    assert!(world.list(&pods()).iter().all(|p| p["spec"]["containers"][0]["image"] == "a:1"));
    world.patch(&deployments(), "default", "web", json!({"spec": {"paused": false}}));
    world.roll();
    assert!(world.list(&pods()).iter().all(|p| p["spec"]["containers"][0]["image"] == "a:2"));
}

#[test]
fn recreate_waits_for_the_old_pods_to_be_gone() {
    let mut world = World::new();
    let mut web = deployment("web", 2, "a:1");
    web["spec"]["strategy"] = json!({"type": "Recreate"});
    world.create(&deployments(), web);
    world.roll();
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}});
    world.patch(&deployments(), "default", "web", patch);
    world.roll();
    let images: Vec<_> = world.list(&pods()).iter().map(|p| p["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, ["a:2", "a:2"]);
}

#[test]
fn deleted_it_takes_everything_along_or_leaves_it_behind() {
    let mut world = World::new();
    world.create(&deployments(), deployment("web", 2, "a:1"));
    world.create(&deployments(), deployment("kept", 1, "a:1"));
    world.delete(
        &deployments(),
        "default",
        "web",
        &DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() },
    );
    assert!(world.list(&pods()).iter().all(|p| p["metadata"]["labels"]["app"] == "kept"));
    world.delete(
        &deployments(),
        "default",
        "kept",
        &DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() },
    );
    assert_eq!(world.list(&deployments()).len(), 0);
    let left = world.list(&replicasets());
    assert_eq!(left.len(), 1);
    assert!(left[0]["metadata"]["ownerReferences"].is_null());
}

#[test]
fn foreground_deletion_waits_for_dependents() {
    let mut world = World::new();
    world.create(&deployments(), deployment("web", 2, "a:1"));
    world.delete(
        &deployments(),
        "default",
        "web",
        &DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() },
    );
    assert_eq!((world.list(&deployments()).len(), world.list(&replicasets()).len(), world.list(&pods()).len()), (0, 0, 0));
}
