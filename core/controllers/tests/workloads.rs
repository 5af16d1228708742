//! Workloads other than Deployments: ReplicationControllers, Jobs, StatefulSets, DaemonSets.

mod support;

use apiserver::{DeleteOptions, UserInfo, gvr};
use object::{GroupVersionResource, Value, json};
use support::World;

fn pods() -> GroupVersionResource {
    gvr("", "v1", "pods")
}

fn jobs() -> GroupVersionResource {
    gvr("batch", "v1", "jobs")
}

fn sets() -> GroupVersionResource {
    gvr("apps", "v1", "statefulsets")
}

fn template(app: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

/// Names of the pods there are, in order.
fn names(world: &World) -> Vec<String> {
    world.list(&pods()).iter().map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Plays the kubelet for one pod that has come to its end.
fn end(world: &mut World, name: &str, exit_code: i64) {
    let mut pod = world.get(&pods(), "default", name).expect("the pod");
    let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
    let terminated = json!({"terminated": {"exitCode": exit_code}});
    pod["status"] = json!({"phase": phase, "containerStatuses": [{"name": "c", "state": terminated, "image": "i", "imageID": "",
        "ready": false, "restartCount": 0}]});
    pod["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    let admin = UserInfo::new("admin", &["system:masters"]);
    world.api.client(world.now, &admin).update_status(&pods(), "default", name, pod).expect("status");
    world.settle();
}

fn status(world: &mut World, resource: &GroupVersionResource, name: &str) -> Value {
    world.get(resource, "default", name).expect("it is there")["status"].clone()
}

#[test]
fn a_replication_controller_keeps_its_pods() {
    let mut world = World::new();
    let resource = gvr("", "v1", "replicationcontrollers");
    let spec = json!({"replicas": 2, "selector": {"app": "rc"}, "template": template("rc")});
    world.create(&resource, json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "rc", "namespace": "default"}, "spec": spec}));
    assert_eq!(names(&world).len(), 2);
    let first = names(&world).remove(0);
    world.delete(&pods(), "default", &first, &DeleteOptions::default());
    assert_eq!(names(&world).len(), 2, "one is made in its place");
    world.delete(&resource, "default", "rc", &DeleteOptions::default());
    assert_eq!(names(&world).len(), 2, "it leaves its pods behind, as it always has");
}

fn stateful_set(world: &mut World, more: Value) {
    let mut spec =
        json!({"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template("db")});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    world.create(
        &sets(),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"}, "spec": spec}),
    );
}

/// <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#deployment-and-scaling-guarantees>
#[test]
fn stateful_pods_start_and_stop_in_order() {
    let mut world = World::new();
    stateful_set(&mut world, json!({}));
    assert_eq!(names(&world), ["db-0"]);
    world.run_pods();
    assert_eq!(names(&world), ["db-0", "db-1"]);
    world.roll();
    assert_eq!(names(&world), ["db-0", "db-1", "db-2"]);
    world.patch(&sets(), "default", "db", json!({"spec": {"replicas": 1}}));
    world.roll();
    assert_eq!(names(&world), ["db-0"]);
    let status = status(&mut world, &sets(), "db");
    assert_eq!((&status["readyReplicas"], &status["currentRevision"]), (&json!(1), &status["updateRevision"]));
}

#[test]
fn an_update_of_a_stateful_set_goes_backwards_to_its_partition() {
    let mut world = World::new();
    stateful_set(&mut world, json!({"podManagementPolicy": "Parallel"}));
    world.roll();
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    let containers = json!([{"name": "c", "image": "new"}]);
    world.patch(
        &sets(),
        "default",
        "db",
        json!({"spec": {"updateStrategy": strategy, "template": {"spec": {"containers": containers}}}}),
    );
    world.roll();
    let images: Vec<Value> = world.list(&pods()).iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, ["i", "new", "new"]);
    let first = status(&mut world, &sets(), "db");
    assert_eq!((&first["updatedReplicas"], &first["currentReplicas"]), (&json!(2), &json!(1)));
    assert_ne!(first["currentRevision"], first["updateRevision"]);
    world.patch(&sets(), "default", "db", json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}));
    world.roll();
    let last = status(&mut world, &sets(), "db");
    assert_eq!((&last["updatedReplicas"], &last["currentRevision"]), (&json!(3), &last["updateRevision"]));
    assert_eq!(world.list(&gvr("apps", "v1", "controllerrevisions")).len(), 2);
}

#[test]
fn claims_of_a_stateful_set_go_as_its_policy_says() {
    let mut world = World::new();
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
        "resources": {"requests": {"storage": "1Gi"}}}});
    let policy = json!({"whenScaled": "Delete", "whenDeleted": "Retain"});
    stateful_set(
        &mut world,
        json!({"volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy, "replicas": 2}),
    );
    world.roll();
    let claims = gvr("", "v1", "persistentvolumeclaims");
    let named =
        |world: &World| -> Vec<Value> { world.list(&claims).iter().map(|claim| claim["metadata"]["name"].clone()).collect() };
    assert_eq!(named(&world), ["data-db-0", "data-db-1"]);
    world.patch(&sets(), "default", "db", json!({"spec": {"replicas": 1}}));
    world.roll();
    assert_eq!(named(&world), ["data-db-0"]);
    world.delete(&sets(), "default", "db", &DeleteOptions::default());
    world.roll();
    assert_eq!((named(&world), names(&world)), (vec![json!("data-db-0")], Vec::<String>::new()));
}

fn node(world: &mut World, name: &str, spec: Value) {
    let now = world.now.rfc3339();
    let ready =
        json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now});
    let metadata = json!({"name": name, "labels": {"rack": name}});
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": {"conditions": [ready]}});
    world.create(&gvr("", "v1", "nodes"), node);
}

fn daemon_set(world: &mut World) {
    let spec = json!({"selector": {"matchLabels": {"app": "d"}}, "template": template("d")});
    world.create(
        &gvr("apps", "v1", "daemonsets"),
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "default"}, "spec": spec}),
    );
}

/// The nodes that daemons are meant for.
fn placed(world: &World) -> Vec<String> {
    let path =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
    let mut on: Vec<String> =
        world.list(&pods()).iter().filter_map(|pod| Some(pod.pointer(path)?.as_str()?.to_owned())).collect();
    on.sort();
    on
}

/// <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled>
#[test]
fn a_daemon_runs_on_every_node_that_bears_it() {
    let mut world = World::new();
    let taint = |key: &str, effect: &str| json!({"taints": [{"key": key, "effect": effect}]});
    node(&mut world, "a", json!({}));
    node(&mut world, "b", json!({"unschedulable": true}));
    node(&mut world, "c", taint("dedicated", "NoSchedule"));
    daemon_set(&mut world);
    assert_eq!(placed(&world), ["a", "b"], "a closed node still gets its daemons, a reserved one does not");
    node(&mut world, "d", json!({}));
    assert_eq!(placed(&world), ["a", "b", "d"]);
    world.patch(
        &gvr("", "v1", "nodes"),
        "",
        "a",
        taint("out", "NoExecute")["taints"].as_array().map_or(json!({}), |t| json!({"spec": {"taints": t}})),
    );
    assert_eq!(placed(&world), ["b", "d"]);
    let status = status(&mut world, &gvr("apps", "v1", "daemonsets"), "d");
    assert_eq!((&status["desiredNumberScheduled"], &status["currentNumberScheduled"]), (&json!(2), &json!(2)));
}

#[test]
fn daemons_are_replaced_one_after_another() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        node(&mut world, name, json!({}));
    }
    daemon_set(&mut world);
    world.roll();
    let containers = json!([{"name": "c", "image": "new"}]);
    world.patch(
        &gvr("apps", "v1", "daemonsets"),
        "default",
        "d",
        json!({"spec": {"template": {"spec": {"containers": containers}}}}),
    );
    let old = world.list(&pods()).iter().filter(|pod| pod["spec"]["containers"][0]["image"] == "i").count();
    assert_eq!(old, 2, "one at a time");
    world.roll();
    let images: Vec<Value> = world.list(&pods()).iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, ["new", "new", "new"]);
    assert_eq!(status(&mut world, &gvr("apps", "v1", "daemonsets"), "d")["updatedNumberScheduled"], 3);
}

fn cron_job(world: &mut World, more: Value) {
    let job = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let mut spec = json!({"schedule": "* * * * *", "jobTemplate": job});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    world.create(
        &gvr("batch", "v1", "cronjobs"),
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "cj", "namespace": "default"}, "spec": spec}),
    );
}

fn cron_status(world: &mut World) -> Value {
    status(world, &gvr("batch", "v1", "cronjobs"), "cj")
}

/// <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>
#[test]
fn a_cron_job_makes_a_job_whenever_it_is_time() {
    let mut world = World::new();
    cron_job(&mut world, json!({"successfulJobsHistoryLimit": 1}));
    for round in 1..=3 {
        world.pass(60);
        let running = world.list(&pods()).into_iter().find(|pod| pod["status"]["phase"] == "Pending").expect("one runs");
        assert_eq!(cron_status(&mut world)["active"].as_array().map(Vec::len), Some(1), "round {round}");
        end(&mut world, running["metadata"]["name"].as_str().expect("a name"), 0);
        let status = cron_status(&mut world);
        assert!(status["active"].is_null() && status["lastSuccessfulTime"].is_string(), "{status}");
        assert_eq!(world.list(&jobs()).len(), 1, "only the last is kept");
    }
}

#[test]
fn jobs_of_one_cron_job_meet_as_its_policy_says() {
    for (policy, wanted) in [("Allow", 3), ("Forbid", 1), ("Replace", 1)] {
        let mut world = World::new();
        cron_job(&mut world, json!({"concurrencyPolicy": policy}));
        world.pass(180);
        let minutes = world.list(&jobs()).len();
        assert_eq!(minutes, wanted, "{policy}");
        assert_eq!(cron_status(&mut world)["active"].as_array().map(Vec::len), Some(wanted), "{policy}");
    }
}

#[test]
fn a_suspended_cron_job_makes_nothing() {
    let mut world = World::new();
    cron_job(&mut world, json!({"suspend": true, "startingDeadlineSeconds": 10}));
    world.pass(150);
    assert_eq!(world.list(&jobs()).len(), 0);
    world.patch(&gvr("batch", "v1", "cronjobs"), "default", "cj", json!({"spec": {"suspend": false}}));
    let late = world.list(&jobs()).len();
    world.pass(60);
    assert_eq!(world.list(&jobs()).len(), late + 1, "what is later than the deadline is left out");
}

/// <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding>
#[test]
fn a_claim_gets_the_smallest_volume_that_fits() {
    let mut world = World::new();
    let (volumes, claims) = (gvr("", "v1", "persistentvolumes"), gvr("", "v1", "persistentvolumeclaims"));
    for (name, size) in [("large", "10Gi"), ("small", "1Gi"), ("middle", "5Gi")] {
        let spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "s",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/x"}});
        world.create(&volumes, json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}));
    }
    let phase = |world: &mut World, name: &str| world.get(&volumes, "", name).expect("it is there")["status"]["phase"].clone();
    assert_eq!(phase(&mut world, "middle"), "Available");
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "s", "resources": {"requests": {"storage": "2Gi"}}});
    world.create(&claims, json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"}, "spec": spec}));
    let claim = world.get(&claims, "default", "c").expect("it is there");
    assert_eq!((&claim["spec"]["volumeName"], &claim["status"]["phase"]), (&json!("middle"), &json!("Bound")));
    assert_eq!((&claim["status"]["capacity"]["storage"], phase(&mut world, "middle")), (&json!("5Gi"), json!("Bound")));
    world.delete(&claims, "default", "c", &DeleteOptions::default());
    assert_eq!(phase(&mut world, "middle"), "Released", "it is not given to anybody else by itself");
    assert_eq!(phase(&mut world, "small"), "Available");
}
