//! [sig-apps]: Deployments, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets, Jobs, CronJobs, budgets.

use object::value::{at, list_at, str_at};
use object::{Value, json};

use crate::{
    APPS, CORE, World, condition, condition_field, controller_of, is_deleting, name_of, number, pause_pod, template, workload,
};

const BATCH: &str = "/apis/batch/v1/namespaces/default";
const POLICY: &str = "/apis/policy/v1/namespaces/default";

fn deployments(name: &str) -> String {
    format!("{APPS}/deployments/{name}")
}

#[track_caller]
fn wait_complete(world: &mut World, name: &str) -> Value {
    let path = deployments(name);
    world.wait(&format!("deployment {name} is complete"), |w| {
        let d = w.get(&path);
        let wanted = number(&d, &["spec", "replicas"]);
        let all = ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|f| number(&d, &["status", f]) == wanted);
        all && number(&d, &["status", "observedGeneration"]) >= number(&d, &["metadata", "generation"])
    });
    world.get(&path)
}

fn sets(world: &mut World, name: &str) -> Vec<Value> {
    world.items(&format!("{APPS}/replicasets?labelSelector=app={name}"))
}

fn replicas(sets: &[Value], image: &str) -> i64 {
    let of = |s: &&Value| str_at(&s["spec"]["template"]["spec"]["containers"][0], &["image"]) == image;
    sets.iter().filter(of).map(|s| number(s, &["spec", "replicas"])).sum()
}

fn new_image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "httpd", "image": image}]}}}})
}

/// Deployment RollingUpdateDeployment should delete old pods and create new ones
#[test]
fn a_rolling_update_adopts_and_replaces() {
    let mut world = World::start();
    let mut old = workload("ReplicaSet", "roll", 1);
    old["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "3546343826724305832"});
    old["spec"]["template"]["spec"]["containers"][0]["image"] = "old".into();
    world.create(&format!("{APPS}/replicasets"), &old);
    world.wait("the set's pod runs", |w| number(&w.get(&format!("{APPS}/replicasets/roll")), &["status", "readyReplicas"]) == 1);
    world.create(&format!("{APPS}/deployments"), &workload("Deployment", "roll", 1));
    let done = wait_complete(&mut world, "roll");
    assert_eq!(done["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3546343826724305833");
    let sets = sets(&mut world, "roll");
    assert_eq!(sets.len(), 2);
    assert!(sets.iter().all(|s| controller_of(s) == "roll"), "the old set was adopted");
    assert_eq!((replicas(&sets, "old"), replicas(&sets, "httpd:2.4")), (0, 1));
    assert!(sets.iter().all(|s| name_of(s) == "roll" || !str_at(s, &["metadata", "labels", "pod-template-hash"]).is_empty()));
}

/// Deployment RecreateDeployment should delete old pods and create new ones
#[test]
fn recreate_never_runs_old_beside_new() {
    let mut world = World::start();
    let mut deployment = workload("Deployment", "re", 3);
    deployment["spec"]["strategy"] = json!({"type": "Recreate"});
    deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5.into();
    world.create(&format!("{APPS}/deployments"), &deployment);
    wait_complete(&mut world, "re");
    let watch = world.driver.send("GET", &format!("{CORE}/pods?watch=true&labelSelector=app=re"), "", "");
    world.strategic(&deployments("re"), &new_image("nginx"));
    wait_complete(&mut world, "re");
    let mut running = std::collections::BTreeMap::new();
    for event in world.driver.answer(watch).events() {
        let pod = &event["object"];
        let image = str_at(&pod["spec"]["containers"][0], &["image"]).to_owned();
        match event["type"] == "DELETED" || str_at(pod, &["status", "phase"]) != "Running" {
            true => drop(running.remove(name_of(pod))),
            false => drop(running.insert(name_of(pod).to_owned(), image)),
        }
        let images: std::collections::BTreeSet<&String> = running.values().collect();
        assert!(images.len() <= 1, "{running:?}");
    }
}

/// Deployment deployment should delete old replica sets
#[test]
fn old_replica_sets_are_removed() {
    let mut world = World::start();
    let mut deployment = workload("Deployment", "old", 1);
    deployment["spec"]["revisionHistoryLimit"] = 0.into();
    world.create(&format!("{APPS}/deployments"), &deployment);
    wait_complete(&mut world, "old");
    world.strategic(&deployments("old"), &new_image("nginx"));
    wait_complete(&mut world, "old");
    world.wait("one set is left", |w| sets(w, "old").len() == 1);
}

/// Deployment deployment should support rollover
#[test]
fn a_rollover_ends_with_the_newest_template() {
    let mut world = World::start();
    let mut deployment = workload("Deployment", "over", 1);
    deployment["spec"]["minReadySeconds"] = 10.into();
    deployment["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}});
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.invalid/nonexistent:latest".into();
    world.create(&format!("{APPS}/deployments"), &deployment);
    world.settle(5);
    world.strategic(&deployments("over"), &new_image("httpd:2.4"));
    wait_complete(&mut world, "over");
    let sets = sets(&mut world, "over");
    assert_eq!((replicas(&sets, "registry.invalid/nonexistent:latest"), replicas(&sets, "httpd:2.4")), (0, 1));
}

/// Deployment deployment should support proportional scaling
#[test]
fn scaling_in_a_rollout_is_proportional() {
    let mut world = World::start();
    let mut deployment = workload("Deployment", "prop", 10);
    deployment["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}});
    world.create(&format!("{APPS}/deployments"), &deployment);
    wait_complete(&mut world, "prop");
    let bad = "registry.invalid/webserver:404";
    world.strategic(&deployments("prop"), &new_image(bad));
    world.wait("8 old and 5 new", |w| {
        let sets = sets(w, "prop");
        (replicas(&sets, "httpd:2.4"), replicas(&sets, bad)) == (8, 5)
            && number(&w.get(&deployments("prop")), &["status", "availableReplicas"]) == 8
    });
    world.patch(&deployments("prop"), &json!({"spec": {"replicas": 30}}));
    world.wait("20 old and 13 new", |w| {
        let sets = sets(w, "prop");
        (replicas(&sets, "httpd:2.4"), replicas(&sets, bad)) == (20, 13)
    });
}

/// Deployment Deployment should have a working scale subresource; ReplicaSet ...; StatefulSet ...
#[test]
fn scale_subresources_work() {
    let mut world = World::start();
    for (kind, plural) in [("Deployment", "deployments"), ("ReplicaSet", "replicasets"), ("StatefulSet", "statefulsets")] {
        world.create(&format!("{APPS}/{plural}"), &workload(kind, plural, 1));
        let path = format!("{APPS}/{plural}/{plural}");
        world.wait("ready", |w| number(&w.get(&path), &["status", "readyReplicas"]) == 1);
        let mut scale = world.get(&format!("{path}/scale"));
        assert_eq!((number(&scale, &["spec", "replicas"]), number(&scale, &["status", "replicas"])), (1, 1), "{kind}");
        scale["metadata"]["resourceVersion"] = "".into();
        scale["spec"]["replicas"] = 2.into();
        world.must("PUT", &format!("{path}/scale"), &scale);
        assert_eq!(number(&world.get(&path), &["spec", "replicas"]), 2);
        world.patch(&format!("{path}/scale"), &json!({"spec": {"replicas": 4}}));
        world.wait("four are ready", |w| number(&w.get(&path), &["status", "readyReplicas"]) == 4);
    }
}

/// ReplicaSet should adopt matching pods on creation and release no longer matching pods; ReplicationController ...
#[test]
fn controllers_adopt_and_release() {
    for (collection, object) in [
        (format!("{APPS}/replicasets"), workload("ReplicaSet", "adopter", 1)),
        (
            format!("{CORE}/replicationcontrollers"),
            json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "adopter"},
                "spec": {"replicas": 1, "selector": {"app": "adopter"}, "template": template("adopter")}}),
        ),
    ] {
        let mut world = World::start();
        let mut pod = pause_pod("stray");
        pod["metadata"]["labels"] = json!({"app": "adopter"});
        world.create(&format!("{CORE}/pods"), &pod);
        world.create(&collection, &object);
        world.wait("the pod is adopted", |w| controller_of(&w.get(&format!("{CORE}/pods/stray"))) == "adopter");
        world.settle(5);
        assert_eq!(world.pods("app=adopter").len(), 1);
        world.patch(&format!("{CORE}/pods/stray"), &json!({"metadata": {"labels": {"app": "other"}}}));
        world.wait("the pod is released", |w| controller_of(&w.get(&format!("{CORE}/pods/stray"))).is_empty());
        world.wait("another takes its place", |w| w.pods("app=adopter").len() == 1);
    }
}

/// ReplicationController should surface a failure condition on a common issue like exceeded quota
#[test]
fn a_quota_shows_as_a_failure_condition() {
    let mut world = World::start();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "condition-test"}, "spec": {"hard": {"pods": "2"}}});
    world.create(&format!("{CORE}/resourcequotas"), &quota);
    world.wait("the quota is counted", |w| {
        at(&w.get(&format!("{CORE}/resourcequotas/condition-test")), &["status", "hard", "pods"]).is_some()
    });
    let rc = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "condition-test"},
        "spec": {"replicas": 3, "selector": {"app": "condition-test"}, "template": template("condition-test")}});
    world.create(&format!("{CORE}/replicationcontrollers"), &rc);
    let path = format!("{CORE}/replicationcontrollers/condition-test");
    world.wait("it says that it fails", |w| condition(&w.get(&path), "ReplicaFailure") == "True");
    let failing = world.get(&path);
    assert_eq!(condition_field(&failing, "ReplicaFailure", "reason"), "FailedCreate");
    assert_eq!(number(&failing, &["status", "replicas"]), 2);
    world.patch(&path, &json!({"spec": {"replicas": 2}}));
    world.wait("the condition goes", |w| condition(&w.get(&path), "ReplicaFailure").is_empty());
}

fn stateful(name: &str, replicas: u32) -> Value {
    let mut set = workload("StatefulSet", name, replicas);
    set["spec"]["serviceName"] = "test".into();
    set
}

/// What probes say of a pod of the set is decided by its annotations: the suite does it with exec.
fn break_pods(set: &mut Value) {
    set["spec"]["template"]["metadata"]["annotations"] = json!({"wasmkube.dev/fail-probes": "readiness"});
    set["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] =
        json!({"httpGet": {"path": "/index.html", "port": 80}, "periodSeconds": 1, "successThreshold": 1, "failureThreshold": 1});
}

/// StatefulSet ... Scaling should happen in predictable order and halt if any stateful pod is unhealthy
#[test]
fn a_stateful_set_scales_in_order_and_halts() {
    let mut world = World::start();
    let watch = world.driver.send("GET", &format!("{CORE}/pods?watch=true&labelSelector=app=ss"), "", "");
    world.create(&format!("{APPS}/statefulsets"), &stateful("ss", 3));
    world.wait("three are ready", |w| number(&w.get(&format!("{APPS}/statefulsets/ss")), &["status", "readyReplicas"]) == 3);
    world.patch(&format!("{APPS}/statefulsets/ss"), &json!({"spec": {"replicas": 0}}));
    world.wait("none is left", |w| {
        w.pods("app=ss").is_empty() && number(&w.get(&format!("{APPS}/statefulsets/ss")), &["status", "replicas"]) == 0
    });
    let events = world.driver.answer(watch).events();
    let names = |kind: &str| -> Vec<String> {
        events.iter().filter(|e| e["type"] == kind).map(|e| name_of(&e["object"]).to_owned()).collect()
    };
    assert_eq!(names("ADDED"), ["ss-0", "ss-1", "ss-2"]);
    assert_eq!(names("DELETED"), ["ss-2", "ss-1", "ss-0"]);
    // An unhealthy first pod holds the second back.
    let mut broken = stateful("halt", 3);
    break_pods(&mut broken);
    world.create(&format!("{APPS}/statefulsets"), &broken);
    world.settle(30);
    assert_eq!(world.pods("app=halt").len(), 1);
}

/// StatefulSet ... Burst scaling should run to completion even with unhealthy pods
#[test]
fn a_parallel_stateful_set_does_not_wait() {
    let mut world = World::start();
    let mut set = stateful("burst", 3);
    set["spec"]["podManagementPolicy"] = "Parallel".into();
    break_pods(&mut set);
    world.create(&format!("{APPS}/statefulsets"), &set);
    world.wait("three are there", |w| w.pods("app=burst").len() == 3);
    world.patch(&format!("{APPS}/statefulsets/burst"), &json!({"spec": {"replicas": 0}}));
    world.wait("none is left", |w| w.pods("app=burst").is_empty());
}

/// StatefulSet ... should perform rolling updates and roll backs of template modifications
#[test]
fn a_stateful_set_rolls_and_rolls_back() {
    let mut world = World::start();
    world.create(&format!("{APPS}/statefulsets"), &stateful("ss2", 3));
    let path = format!("{APPS}/statefulsets/ss2");
    let settled = |w: &mut World| {
        let s = w.get(&path);
        number(&s, &["status", "readyReplicas"]) == 3
            && str_at(&s, &["status", "currentRevision"]) == str_at(&s, &["status", "updateRevision"])
            && number(&s, &["status", "observedGeneration"]) == number(&s, &["metadata", "generation"])
    };
    world.wait("ready", settled);
    let first = world.get(&path)["status"]["currentRevision"].clone();
    world.strategic(&path, &new_image("nginx"));
    world.wait("rolled", settled);
    let second = world.get(&path)["status"]["currentRevision"].clone();
    assert_ne!(first, second);
    for pod in world.pods("app=ss2") {
        assert_eq!(
            (&pod["spec"]["containers"][0]["image"], &pod["metadata"]["labels"]["controller-revision-hash"]),
            (&json!("nginx"), &second)
        );
    }
    world.strategic(&path, &new_image("httpd:2.4"));
    world.wait("rolled back", settled);
    assert_eq!(world.get(&path)["status"]["currentRevision"], first, "an old template is the old revision");
}

/// StatefulSet ... should perform canary updates and phased rolling updates of template modifications
#[test]
fn a_partition_makes_a_canary() {
    let mut world = World::start();
    let mut set = stateful("ss3", 3);
    set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 3}});
    world.create(&format!("{APPS}/statefulsets"), &set);
    let path = format!("{APPS}/statefulsets/ss3");
    world.wait("ready", |w| number(&w.get(&path), &["status", "readyReplicas"]) == 3);
    world.strategic(&path, &new_image("nginx"));
    let images = |w: &mut World| -> Vec<String> {
        w.pods("app=ss3").iter().map(|p| str_at(&p["spec"]["containers"][0], &["image"]).to_owned()).collect()
    };
    world.settle(20);
    assert_eq!(images(&mut world), ["httpd:2.4"; 3], "nothing beyond the partition is touched");
    world.patch(&path, &json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 2}}}}));
    world.wait("the canary", |w| images(w) == ["httpd:2.4", "httpd:2.4", "nginx"]);
    for name in ["ss3-0", "ss3-2"] {
        world.delete(&format!("{CORE}/pods/{name}"));
    }
    world.wait("restored", |w| number(&w.get(&path), &["status", "readyReplicas"]) == 3 && w.pods("app=ss3").len() == 3);
    assert_eq!(images(&mut world), ["httpd:2.4", "httpd:2.4", "nginx"], "restored in the partition's revisions");
    world.patch(&path, &json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}));
    world.wait("all", |w| images(w) == ["nginx"; 3]);
}

/// StatefulSet ... Should recreate evicted statefulset
#[test]
fn a_stateful_pod_that_its_node_refused_is_made_again() {
    let mut world = World::start();
    let mut pod = pause_pod("test-pod");
    pod["spec"]["nodeName"] = "sim-0001".into();
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 21017, "hostPort": 21017}]);
    world.create(&format!("{CORE}/pods"), &pod);
    world.wait_for_pod("test-pod", "Running");
    let mut set = stateful("ss", 1);
    set["spec"]["template"]["spec"]["nodeName"] = "sim-0001".into();
    set["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 21017, "hostPort": 21017}]);
    let watch = world.driver.send("GET", &format!("{CORE}/pods?watch=true&fieldSelector=metadata.name=ss-0"), "", "");
    world.create(&format!("{APPS}/statefulsets"), &set);
    world.wait("it was refused and deleted at least once", |w| {
        let events = w.driver.answer(watch).events();
        let failed = events.iter().any(|e| str_at(&e["object"], &["status", "phase"]) == "Failed");
        failed && events.iter().any(|e| e["type"] == "DELETED")
    });
    world.delete(&format!("{CORE}/pods/test-pod"));
    world.wait_for_pod("ss-0", "Running");
}

fn daemon_set(name: &str) -> Value {
    let mut set = workload("DaemonSet", name, 1);
    set["spec"].as_object_mut().map(|spec| spec.remove("replicas"));
    set
}

fn ready_daemons(world: &mut World, name: &str) -> i64 {
    number(&world.get(&format!("{APPS}/daemonsets/{name}")), &["status", "numberReady"])
}

/// Daemon set should run and stop simple daemon; ... should retry creating failed daemon pods
#[test]
fn daemon_pods_come_back() {
    let mut world = World::start();
    world.create(&format!("{APPS}/daemonsets"), &daemon_set("ds"));
    world.wait("one on each node", |w| ready_daemons(w, "ds") == 3);
    let pods = world.pods("app=ds");
    world.delete(&format!("{CORE}/pods/{}", name_of(&pods[0])));
    world.wait("revived", |w| w.pods("app=ds").len() == 3 && ready_daemons(w, "ds") == 3);
    let failing = name_of(&pods[1]).to_owned();
    let mut pod = world.get(&format!("{CORE}/pods/{failing}"));
    pod["status"]["phase"] = "Failed".into();
    world.must("PUT", &format!("{CORE}/pods/{failing}/status"), &pod);
    world.wait_gone(&format!("{CORE}/pods/{failing}"));
    world.wait("three again", |w| w.pods("app=ds").iter().filter(|p| str_at(p, &["status", "phase"]) == "Running").count() == 3);
}

/// Daemon set should run and stop complex daemon
#[test]
fn a_daemon_follows_the_labels_of_nodes() {
    let mut world = World::start();
    let mut set = daemon_set("ds");
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"daemonset-color": "blue"});
    world.create(&format!("{APPS}/daemonsets"), &set);
    world.settle(5);
    assert_eq!(world.pods("app=ds").len(), 0);
    world.patch("/api/v1/nodes/sim-0002", &json!({"metadata": {"labels": {"daemonset-color": "blue"}}}));
    world.wait("one", |w| ready_daemons(w, "ds") == 1);
    world.patch("/api/v1/nodes/sim-0002", &json!({"metadata": {"labels": {"daemonset-color": "green"}}}));
    world.wait("none", |w| w.pods("app=ds").is_empty());
    world.patch(
        &format!("{APPS}/daemonsets/ds"),
        &json!({"spec": {"template": {"spec": {"nodeSelector": {"daemonset-color": "green"}}}, "updateStrategy": {"type": "RollingUpdate"}}}),
    );
    world.wait("one again", |w| ready_daemons(w, "ds") == 1);
}

/// Daemon set should update pod when spec was updated and update strategy is RollingUpdate; ... should rollback without unnecessary restarts
#[test]
fn a_daemon_set_rolls_and_rolls_back_without_restarts() {
    let mut world = World::start();
    world.create(&format!("{APPS}/daemonsets"), &daemon_set("ds"));
    world.wait("ready", |w| ready_daemons(w, "ds") == 3);
    let images = |w: &mut World, image: &str| {
        w.pods("app=ds").iter().filter(|p| !is_deleting(p) && str_at(&p["spec"]["containers"][0], &["image"]) == image).count()
    };
    world.strategic(&format!("{APPS}/daemonsets/ds"), &new_image("nginx"));
    world.wait("updated", |w| images(w, "nginx") == 3 && ready_daemons(w, "ds") == 3);
    let bad = "registry.invalid/foo:non-existent";
    world.strategic(&format!("{APPS}/daemonsets/ds"), &new_image(bad));
    world.wait("one is bad", |w| images(w, bad) == 1);
    world.settle(10);
    let survivors: Vec<String> = world
        .pods("app=ds")
        .iter()
        .filter(|p| p["spec"]["containers"][0]["image"] == "nginx")
        .map(|p| name_of(p).to_owned())
        .collect();
    assert_eq!(survivors.len(), 2, "maxUnavailable is one");
    world.strategic(&format!("{APPS}/daemonsets/ds"), &new_image("nginx"));
    world.wait("rolled back", |w| images(w, "nginx") == 3 && ready_daemons(w, "ds") == 3);
    for name in survivors {
        let pod = world.get(&format!("{CORE}/pods/{name}"));
        assert_eq!(number(&pod["status"]["containerStatuses"][0], &["restartCount"]), 0, "{name} was left alone");
    }
}

/// ControllerRevision should manage the lifecycle of a ControllerRevision
#[test]
fn controller_revisions_live() {
    let mut world = World::start();
    world.create(&format!("{APPS}/daemonsets"), &daemon_set("ds"));
    world.wait("ready", |w| ready_daemons(w, "ds") == 3);
    let list = |w: &mut World| w.items(&format!("{APPS}/controllerrevisions?labelSelector=app=ds"));
    let first = list(&mut world);
    assert_eq!(first.len(), 1);
    world.patch(
        &format!("{APPS}/controllerrevisions/{}", name_of(&first[0])),
        &json!({"metadata": {"labels": {"patched": "yes"}}}),
    );
    let mut second = first[0].clone();
    second["metadata"] = json!({"name": "made-by-hand", "labels": first[0]["metadata"]["labels"], "ownerReferences": first[0]["metadata"]["ownerReferences"]});
    second["revision"] = 2.into();
    world.create(&format!("{APPS}/controllerrevisions"), &second);
    world.wait("two", |w| list(w).len() == 2);
    world.delete(&format!("{APPS}/controllerrevisions/{}", name_of(&first[0])));
    world.wait("the first is gone", |w| {
        !w.exists(&format!("{APPS}/controllerrevisions/{}", name_of(&first[0]))) || list(w).len() <= 2
    });
    world.strategic(&format!("{APPS}/daemonsets/ds"), &new_image("nginx"));
    world.wait("a newer one", |w| list(w).iter().any(|r| number(r, &["revision"]) >= 3));
}

fn job(name: &str, spec: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec});
    if at(&job, &["spec", "template"]).is_none() {
        job["spec"]["template"] = json!({"metadata": {"labels": {"e2e": name}}, "spec": {"restartPolicy": "Never",
            "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "1000000"]}]}});
    }
    job
}

/// Job should adopt matching orphans and release non-matching pods; Job should delete a job
#[test]
fn a_job_adopts_releases_and_goes() {
    let mut world = World::start();
    world.create(&format!("{BATCH}/jobs"), &job("adopt", json!({"parallelism": 2, "completions": 2, "backoffLimit": 4})));
    world.wait("two run", |w| {
        w.pods("job-name=adopt").iter().filter(|p| str_at(p, &["status", "phase"]) == "Running").count() == 2
    });
    let name = name_of(&world.pods("job-name=adopt")[0]).to_owned();
    world.patch(&format!("{CORE}/pods/{name}"), &json!({"metadata": {"ownerReferences": null}}));
    world.wait("adopted again", |w| controller_of(&w.get(&format!("{CORE}/pods/{name}"))) == "adopt");
    world.patch(&format!("{CORE}/pods/{name}"), &json!({"metadata": {"labels": null}}));
    world.wait("released", |w| controller_of(&w.get(&format!("{CORE}/pods/{name}"))).is_empty());
    world.delete_with(&format!("{BATCH}/jobs/adopt"), "Background");
    world.wait_gone(&format!("{BATCH}/jobs/adopt"));
    world.wait("its pods are gone", |w| w.pods("job-name=adopt").is_empty());
    assert!(world.exists(&format!("{CORE}/pods/{name}")), "what was released stays");
}

/// Job should create pods for an Indexed job with completion indexes and specified hostname
#[test]
fn an_indexed_job_gives_each_pod_its_index() {
    let mut world = World::start();
    let mut indexed = job("idx", json!({"parallelism": 2, "completions": 4, "completionMode": "Indexed", "backoffLimit": 4}));
    indexed["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sh", "-c", "sleep 1; exit 0"]);
    world.create(&format!("{BATCH}/jobs"), &indexed);
    world.wait("complete", |w| condition(&w.get(&format!("{BATCH}/jobs/idx")), "Complete") == "True");
    let done = world.get(&format!("{BATCH}/jobs/idx"));
    assert_eq!(done["status"]["completedIndexes"], "0-3");
    let mut indexes: Vec<String> = world
        .pods("job-name=idx")
        .iter()
        .map(|p| {
            let index = str_at(p, &["metadata", "annotations", "batch.kubernetes.io/job-completion-index"]).to_owned();
            assert_eq!(str_at(p, &["spec", "hostname"]), format!("idx-{index}"));
            let env = list_at(&p["spec"]["containers"][0], &["env"]);
            assert!(env.iter().any(|e| e["name"] == "JOB_COMPLETION_INDEX"));
            index
        })
        .collect();
    indexes.sort();
    assert_eq!(indexes, ["0", "1", "2", "3"]);
}

/// Job should allow to use the pod failure policy on exit code to fail the job early
#[test]
fn a_pod_failure_policy_fails_a_job_early() {
    let mut world = World::start();
    let mut failing = job(
        "early",
        json!({"backoffLimit": 6, "podFailurePolicy": {"rules": [{"action": "FailJob",
        "onExitCodes": {"containerName": "c", "operator": "In", "values": [1]}}]}}),
    );
    failing["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sh", "-c", "exit 1"]);
    world.create(&format!("{BATCH}/jobs"), &failing);
    world.wait("failed", |w| condition(&w.get(&format!("{BATCH}/jobs/early")), "Failed") == "True");
    assert_eq!(condition_field(&world.get(&format!("{BATCH}/jobs/early")), "Failed", "reason"), "PodFailurePolicy");
}

/// A task that fails when it is run for the first time where it is, as the suite writes it.
const FAIL_ONCE: &str = "\n if [[ -r /data/foo ]]\n then\n exit 0\n else\n touch /data/foo\n exit 1\n fi\n";
const FAIL_ODD: &str = "\n if [ $(expr ${JOB_COMPLETION_INDEX} % 2) -ne 0 ]; then\n exit 1\n else\n exit 0\n fi\n";

fn scripted(name: &str, spec: Value, restart: &str, script: &str, volume: Value) -> Value {
    let mut job = job(name, spec);
    job["spec"]["template"]["spec"] = json!({
        "restartPolicy": restart,
        "volumes": [volume],
        "containers": [{
            "name": "c", "image": "busybox", "command": ["/bin/sh", "-c"], "args": [script],
            "volumeMounts": [{"mountPath": "/data", "name": "data"}],
        }],
    });
    job
}

/// Job should run a job to completion when tasks sometimes fail and are locally restarted; ... execute all indexes despite some
/// failing when using backoffLimitPerIndex; ... terminate job execution when the number of failed indexes exceeds maxFailedIndexes;
/// ... mark indexes as failed when the FailIndex action is matched in podFailurePolicy; ... with successPolicy ...
#[test]
fn jobs_of_failing_tasks_end_as_their_rules_say() {
    let of_index = |more: Value| {
        let mut spec = json!({"parallelism": 2, "completions": 4, "completionMode": "Indexed"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let fail_index = json!({"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}]});
    for (name, spec, restart, script, ends, completed, failed) in [
        ("local", json!({"parallelism": 2, "completions": 4}), "OnFailure", FAIL_ONCE, "Complete CompletionsReached", "", ""),
        ("per-index", of_index(json!({"backoffLimitPerIndex": 1})), "Never", FAIL_ODD, "Failed FailedIndexes", "0,2", "1,3"),
        (
            "too-many",
            of_index(json!({"parallelism": 1, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0})),
            "Never",
            "exit 1",
            "Failed MaxFailedIndexesExceeded",
            "",
            "0",
        ),
        (
            "fail-index",
            of_index(json!({"backoffLimitPerIndex": 1, "podFailurePolicy": fail_index})),
            "Never",
            FAIL_ODD,
            "Failed FailedIndexes",
            "0,2",
            "1,3",
        ),
        (
            "indexes",
            of_index(json!({"successPolicy": {"rules": [{"succeededIndexes": "0"}]}})),
            "Never",
            FAIL_ODD,
            "Complete SuccessPolicy",
            "0",
            "",
        ),
        (
            "count",
            of_index(json!({"successPolicy": {"rules": [{"succeededCount": 1}]}})),
            "Never",
            FAIL_ODD,
            "Complete SuccessPolicy",
            "0",
            "",
        ),
    ] {
        let mut world = World::start();
        world.create(&format!("{BATCH}/jobs"), &scripted(name, spec, restart, script, json!({"name": "data", "emptyDir": {}})));
        let path = format!("{BATCH}/jobs/{name}");
        let (kind, reason) = ends.split_once(' ').unwrap();
        world.wait(name, |w| condition(&w.get(&path), kind) == "True");
        let done = world.get(&path);
        assert_eq!(condition_field(&done, kind, "reason"), reason, "{name}");
        assert_eq!(str_at(&done, &["status", "completedIndexes"]), completed, "{name}");
        assert_eq!(str_at(&done, &["status", "failedIndexes"]), failed, "{name}");
        assert_eq!((&done["status"]["ready"], &done["status"]["terminating"]), (&json!(0), &json!(0)), "{name}");
    }
}

/// Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition
#[test]
fn evicted_pods_of_a_job_find_what_they_left_on_their_node() {
    let mut world = World::start();
    let ignore = json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]});
    let spec =
        json!({"parallelism": 3, "completions": 3, "completionMode": "Indexed", "backoffLimit": 2, "podFailurePolicy": ignore});
    let script = "if [[ -r /data/foo-$JOB_COMPLETION_INDEX ]]\n then\n exit 0\n fi\n touch /data/foo-$JOB_COMPLETION_INDEX\n sleep 1000000";
    let volume = json!({"name": "data", "hostPath": {"path": "/tmp/job-e2e", "type": "DirectoryOrCreate"}});
    let mut job = scripted("evicted", spec, "Never", script, volume);
    job["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "sim-0002"});
    world.create(&format!("{BATCH}/jobs"), &job);
    world.wait("three run", |w| number(&w.get(&format!("{BATCH}/jobs/evicted")), &["status", "ready"]) == 3);
    for pod in world.pods("job-name=evicted") {
        let name = name_of(&pod);
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        world.must("POST", &format!("{CORE}/pods/{name}/eviction"), &eviction);
    }
    world.wait("complete", |w| condition(&w.get(&format!("{BATCH}/jobs/evicted")), "Complete") == "True");
    assert_eq!(world.get(&format!("{BATCH}/jobs/evicted"))["status"]["completedIndexes"], "0-2");
}

/// Job should manage the lifecycle of a job
#[test]
fn a_suspended_job_waits_and_goes_on() {
    let mut world = World::start();
    world.create(&format!("{BATCH}/jobs"), &job("wait", json!({"parallelism": 2, "completions": 2, "suspend": true})));
    let path = format!("{BATCH}/jobs/wait");
    world.wait("it says so", |w| condition(&w.get(&path), "Suspended") == "True");
    assert_eq!(world.pods("job-name=wait").len(), 0);
    world.patch(&path, &json!({"metadata": {"labels": {"patched": "yes"}}, "spec": {"suspend": false}}));
    world.wait("two run", |w| number(&w.get(&path), &["status", "ready"]) == 2);
    assert_eq!(condition(&world.get(&path), "Suspended"), "False");
    world.delete_with(&format!("{BATCH}/jobs?labelSelector=patched=yes"), "Background");
    world.wait_gone(&path);
}

fn cron_job(name: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {"schedule": "*/1 * * * ?", "concurrencyPolicy": policy, "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "busybox", "command": ["sleep", "300"]}]}}}}},
    })
}

/// CronJob should schedule multiple jobs concurrently; ... when ForbidConcurrent; ... when ReplaceConcurrent; ... when suspended
#[test]
fn cron_jobs_keep_their_concurrency_policies() {
    for (policy, after_three_minutes) in [("Allow", 3), ("Forbid", 1), ("Replace", 1)] {
        let mut world = World::start();
        world.create(&format!("{BATCH}/cronjobs"), &cron_job("cron", policy));
        world.settle(195);
        let jobs = world.items(&format!("{BATCH}/jobs"));
        let active = world.get(&format!("{BATCH}/cronjobs/cron"));
        assert_eq!(list_at(&active, &["status", "active"]).len(), after_three_minutes, "{policy}: {active}");
        assert_eq!(jobs.len(), after_three_minutes, "{policy}");
    }
    let mut world = World::start();
    let mut suspended = cron_job("cron", "Allow");
    suspended["spec"]["suspend"] = true.into();
    world.create(&format!("{BATCH}/cronjobs"), &suspended);
    world.settle(180);
    assert_eq!(world.items(&format!("{BATCH}/jobs")).len(), 0);
}

fn budget(spec: Value) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "foo"}, "spec": spec})
}

/// DisruptionController should block an eviction until the PDB is updated to allow it
#[test]
fn an_eviction_waits_for_its_budget() {
    let mut world = World::start();
    world.create(
        &format!("{POLICY}/poddisruptionbudgets"),
        &budget(json!({"minAvailable": 3, "selector": {"matchLabels": {"app": "rs"}}})),
    );
    world.create(&format!("{APPS}/replicasets"), &workload("ReplicaSet", "rs", 3));
    let path = format!("{POLICY}/poddisruptionbudgets/foo");
    world.wait("three are healthy", |w| number(&w.get(&path), &["status", "currentHealthy"]) == 3);
    let pod = name_of(&world.pods("app=rs")[0]).to_owned();
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}});
    let refused = world.ask("POST", &format!("{CORE}/pods/{pod}/eviction"), &eviction);
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(refused.json()["details"]["causes"][0]["reason"], "DisruptionBudget");
    world.patch(&path, &json!({"spec": {"minAvailable": 2}}));
    world.wait("one may go", |w| number(&w.get(&path), &["status", "disruptionsAllowed"]) == 1);
    world.must("POST", &format!("{CORE}/pods/{pod}/eviction"), &eviction);
    world.wait_gone(&format!("{CORE}/pods/{pod}"));
}

/// DisruptionController should observe PodDisruptionBudget status updated
#[test]
fn a_budget_counts() {
    let mut world = World::start();
    world.create(
        &format!("{POLICY}/poddisruptionbudgets"),
        &budget(json!({"minAvailable": "50%", "selector": {"matchLabels": {"app": "d"}}})),
    );
    world.create(&format!("{APPS}/deployments"), &workload("Deployment", "d", 5));
    world.wait("counted", |w| {
        let b = w.get(&format!("{POLICY}/poddisruptionbudgets/foo"));
        let of = |field: &str| number(&b, &["status", field]);
        (of("expectedPods"), of("currentHealthy"), of("desiredHealthy"), of("disruptionsAllowed")) == (5, 5, 3, 2)
    });
}
