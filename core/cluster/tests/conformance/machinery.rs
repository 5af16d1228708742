//! [sig-api-machinery], [sig-auth]: garbage collection, namespaces, quotas, service accounts.

use object::value::{at, list_at, str_at};
use object::{Value, json};

use crate::{APPS, CORE, World, controller_of, is_deleting, name_of, number, pause_pod, template, workload};

fn rc(name: &str, replicas: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"app": name}, "template": template(name)}})
}

#[track_caller]
fn make_rc(world: &mut World, name: &str, replicas: u32) -> Value {
    world.create(&format!("{CORE}/replicationcontrollers"), &rc(name, replicas));
    let path = format!("{CORE}/replicationcontrollers/{name}");
    world.wait("ready", |w| number(&w.get(&path), &["status", "readyReplicas"]) == i64::from(replicas));
    world.get(&path)
}

/// Garbage collector should delete pods created by rc when not orphaning; should orphan pods created by rc if delete options say so
#[test]
fn deleting_a_controller_takes_or_leaves_its_pods() {
    for (policy, left) in [("Background", 0), ("Orphan", 10)] {
        let mut world = World::start();
        make_rc(&mut world, "simple", 10);
        world.delete_with(&format!("{CORE}/replicationcontrollers/simple"), policy);
        world.wait_gone(&format!("{CORE}/replicationcontrollers/simple"));
        world.settle(30);
        let pods = world.pods("app=simple");
        assert_eq!(pods.len(), left, "{policy}");
        assert!(pods.iter().all(|p| controller_of(p).is_empty()));
    }
}

/// Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so
#[test]
fn a_foreground_deletion_waits_for_the_pods() {
    let mut world = World::start();
    let mut slow = rc("slow", 10);
    slow["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30.into();
    slow["spec"]["template"]["metadata"]["annotations"] = json!({"wasmkube.dev/ignore-sigterm": "true"});
    world.create(&format!("{CORE}/replicationcontrollers"), &slow);
    world.wait("ten run", |w| number(&w.get(&format!("{CORE}/replicationcontrollers/slow")), &["status", "readyReplicas"]) == 10);
    world.delete_with(&format!("{CORE}/replicationcontrollers/slow"), "Foreground");
    world.settle(10);
    let waiting = world.get(&format!("{CORE}/replicationcontrollers/slow"));
    assert!(is_deleting(&waiting), "{waiting}");
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    assert_eq!(world.pods("app=slow").len(), 10);
    world.wait_gone(&format!("{CORE}/replicationcontrollers/slow"));
    assert_eq!(world.pods("app=slow").len(), 0);
}

/// Garbage collector should delete RS created by deployment when not orphaning; should orphan RS created by deployment ...
#[test]
fn deleting_a_deployment_takes_or_leaves_its_set() {
    for (policy, left) in [("Background", 0), ("Orphan", 1)] {
        let mut world = World::start();
        world.create(&format!("{APPS}/deployments"), &workload("Deployment", "gc", 2));
        world.wait("ready", |w| number(&w.get(&format!("{APPS}/deployments/gc")), &["status", "readyReplicas"]) == 2);
        world.delete_with(&format!("{APPS}/deployments/gc"), policy);
        world.wait_gone(&format!("{APPS}/deployments/gc"));
        world.settle(30);
        let sets = world.items(&format!("{APPS}/replicasets"));
        assert_eq!(sets.len(), left, "{policy}");
        assert!(sets.iter().all(|s| list_at(s, &["metadata", "ownerReferences"]).is_empty()));
        assert_eq!(world.pods("app=gc").len(), left * 2);
    }
}

/// Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted
#[test]
fn a_pod_with_another_owner_stays() {
    let mut world = World::start();
    make_rc(&mut world, "to-be-deleted", 10);
    let stays = world.create(&format!("{CORE}/replicationcontrollers"), &rc("to-stay", 0));
    for pod in world.pods("app=to-be-deleted").iter().take(5) {
        let mut owners = list_at(pod, &["metadata", "ownerReferences"]).to_vec();
        owners.push(
            json!({"apiVersion": "v1", "kind": "ReplicationController", "name": "to-stay", "uid": stays["metadata"]["uid"]}),
        );
        world.patch(&format!("{CORE}/pods/{}", name_of(pod)), &json!({"metadata": {"ownerReferences": owners}}));
    }
    world.delete_with(&format!("{CORE}/replicationcontrollers/to-be-deleted"), "Foreground");
    world.wait_gone(&format!("{CORE}/replicationcontrollers/to-be-deleted"));
    world.settle(30);
    let pods = world.pods("app=to-be-deleted");
    assert_eq!(pods.len(), 5);
    assert!(pods.iter().all(|p| !is_deleting(p)));
}

/// Garbage collector should not be blocked by dependency circle
#[test]
fn a_circle_of_owners_is_collected() {
    let mut world = World::start();
    let uids: Vec<Value> = (1..=3)
        .map(|i| world.create(&format!("{CORE}/pods"), &pause_pod(&format!("pod{i}")))["metadata"]["uid"].clone())
        .collect();
    for (pod, owner) in [(1, 3), (2, 1), (3, 2)] {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": format!("pod{owner}"), "uid": uids[owner - 1], "controller": true, "blockOwnerDeletion": true});
        world.patch(&format!("{CORE}/pods/pod{pod}"), &json!({"metadata": {"ownerReferences": [owner]}}));
    }
    world.settle(5);
    world.delete_with(&format!("{CORE}/pods/pod1"), "Foreground");
    world.wait("none is left", |w| w.items(&format!("{CORE}/pods")).is_empty());
}

/// Namespaces should ensure that all pods / services are removed when a namespace is deleted
#[test]
fn a_namespace_takes_everything_with_it() {
    let mut world = World::start();
    world.create("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nsdelete"}}));
    world.wait("its account", |w| w.exists("/api/v1/namespaces/nsdelete/serviceaccounts/default"));
    let mut pod = pause_pod("test-pod");
    pod["metadata"]["namespace"] = "nsdelete".into();
    world.create("/api/v1/namespaces/nsdelete/pods", &pod);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    world.create("/api/v1/namespaces/nsdelete/services", &service);
    world.settle(5);
    world.delete("/api/v1/namespaces/nsdelete");
    world.wait_gone("/api/v1/namespaces/nsdelete");
    world.create("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "nsdelete"}}));
    assert!(
        world.items("/api/v1/namespaces/nsdelete/pods").is_empty()
            && world.items("/api/v1/namespaces/nsdelete/services").is_empty()
    );
}

/// Namespaces should apply a finalizer to a Namespace
#[test]
fn a_namespaces_own_finalizers_are_kept() {
    let mut world = World::start();
    world.create("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "e2e-ns"}}));
    let mut namespace = world.get("/api/v1/namespaces/e2e-ns");
    namespace["spec"]["finalizers"] = json!(["e2e.example.com/fakeFinalizer", "kubernetes"]);
    let kept = world.must("PUT", "/api/v1/namespaces/e2e-ns/finalize", &namespace);
    assert_eq!(list_at(&kept, &["spec", "finalizers"]).len(), 2);
}

fn used(world: &mut World, quota: &str, resource: &str) -> String {
    str_at(&world.get(&format!("{CORE}/resourcequotas/{quota}")), &["status", "used", resource]).to_owned()
}

/// ResourceQuota should create a ResourceQuota and capture the life of a pod, service, configMap, secret, replica set ...
#[test]
fn quotas_capture_lives() {
    let mut world = World::start();
    let hard = json!({"pods": "5", "services": "10", "services.nodeports": "1", "services.loadbalancers": "1", "configmaps": "10", "secrets": "10",
        "replicationcontrollers": "10", "persistentvolumeclaims": "10", "count/replicasets.apps": "5", "cpu": "1", "memory": "500Mi",
        "requests.ephemeral-storage": "50Gi", "requests.example.com/dongle": "3", "resourcequotas": "1"});
    world.create(
        &format!("{CORE}/resourcequotas"),
        &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}),
    );
    world.wait("counted", |w| used(w, "q", "resourcequotas") == "1" && used(w, "q", "pods") == "0");
    let mut pod = pause_pod("test-pod");
    let requests = json!({"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"});
    pod["spec"]["containers"][0]["resources"] = json!({"requests": requests, "limits": {"example.com/dongle": "2"}});
    world.create(&format!("{CORE}/pods"), &pod);
    world.wait("the pod counts", |w| {
        (
            used(w, "q", "pods"),
            used(w, "q", "cpu"),
            used(w, "q", "memory"),
            used(w, "q", "requests.ephemeral-storage"),
            used(w, "q", "requests.example.com/dongle"),
        ) == ("1".into(), "500m".into(), "252Mi".into(), "30Gi".into(), "2".into())
    });
    let mut second = pod.clone();
    second["metadata"]["name"] = "fail-pod".into();
    second["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "600m".into();
    assert_eq!(world.ask("POST", &format!("{CORE}/pods"), &second).status, 403);
    let refused = world.ask("PATCH", &format!("{CORE}/pods/test-pod"), &json!({"spec": {"containers": []}}));
    assert_eq!(refused.status, 422);
    world.delete(&format!("{CORE}/pods/test-pod"));
    world.wait("it is released", |w| used(w, "q", "pods") == "0" && used(w, "q", "cpu") == "0");
    let service = |name: &str, kind: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80}]}});
    world.create(&format!("{CORE}/services"), &service("a", "ClusterIP"));
    world.create(&format!("{CORE}/services"), &service("b", "NodePort"));
    assert_eq!(
        world.ask("POST", &format!("{CORE}/services"), &service("c", "LoadBalancer")).status,
        403,
        "its node port is one too many"
    );
    world.wait("services count", |w| used(w, "q", "services") == "3" && used(w, "q", "services.nodeports") == "1");
    for name in ["a", "b"] {
        world.delete(&format!("{CORE}/services/{name}"));
    }
    world.wait("services are released", |w| used(w, "q", "services") == "1" && used(w, "q", "services.nodeports") == "0");
    world.create(&format!("{APPS}/replicasets"), &workload("ReplicaSet", "rs", 0));
    world.wait("sets count", |w| used(w, "q", "count/replicasets.apps") == "1");
}

/// ResourceQuota should verify ResourceQuota with best effort scope; ... with terminating scopes
#[test]
fn quota_scopes_choose_pods() {
    let mut world = World::start();
    for (name, scope) in
        [("best", "BestEffort"), ("not-best", "NotBestEffort"), ("ending", "Terminating"), ("lasting", "NotTerminating")]
    {
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": {"pods": "5"}, "scopes": [scope]}});
        world.create(&format!("{CORE}/resourcequotas"), &quota);
    }
    world.create(&format!("{CORE}/pods"), &pause_pod("best-effort"));
    let counts = |w: &mut World| ["best", "not-best", "ending", "lasting"].map(|q| used(w, q, "pods"));
    world.wait("best effort and lasting", |w| counts(w) == ["1", "0", "0", "1"]);
    world.delete(&format!("{CORE}/pods/best-effort"));
    world.wait("released", |w| counts(w) == ["0", "0", "0", "0"]);
    let mut pod = pause_pod("burstable");
    pod["spec"]["activeDeadlineSeconds"] = 3600.into();
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "500m"}});
    world.create(&format!("{CORE}/pods"), &pod);
    world.wait("burstable and ending", |w| counts(w) == ["0", "1", "1", "0"]);
}

/// ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace
#[test]
fn the_root_certificate_is_in_every_namespace() {
    let mut world = World::start();
    let path = format!("{CORE}/configmaps/kube-root-ca.crt");
    let original = world.get(&path)["data"].clone();
    world.delete(&path);
    world.wait("made again", |w| w.exists(&path));
    world.patch(&path, &json!({"data": {"ca.crt": null, "foo": "bar"}}));
    world.wait("put right", |w| w.get(&path)["data"] == original);
}

/// ServiceAccounts should mount an API token into pods; ... should allow opting out of API token automount
#[test]
fn tokens_are_mounted_unless_somebody_opts_out() {
    let mut world = World::start();
    for (account, automount) in [("mount", true), ("nomount", false)] {
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}, "automountServiceAccountToken": automount});
        world.create(&format!("{CORE}/serviceaccounts"), &object);
    }
    for (account, pods_say, mounted) in [
        ("default", None, true),
        ("mount", None, true),
        ("nomount", None, false),
        ("default", Some(true), true),
        ("nomount", Some(true), true),
        ("default", Some(false), false),
        ("mount", Some(false), false),
    ] {
        let mut pod = pause_pod(&format!("pod-{account}-{pods_say:?}").to_lowercase().replace(['(', ')'], ""));
        pod["spec"]["serviceAccountName"] = account.into();
        if let Some(wanted) = pods_say {
            pod["spec"]["automountServiceAccountToken"] = wanted.into();
        }
        let made = world.create(&format!("{CORE}/pods"), &pod);
        let has = list_at(&made["spec"]["containers"][0], &["volumeMounts"])
            .iter()
            .any(|m| m["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount");
        assert_eq!(has, mounted, "{account} {pods_say:?}");
    }
}

/// Aggregated and status lifecycles: Namespaces should apply changes to a namespace status
#[test]
fn a_namespaces_status_is_written() {
    let mut world = World::start();
    let patch = json!({"metadata": {"annotations": {"e": "x"}}, "status": {"conditions": [{"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}]}});
    let patched = world.patch("/api/v1/namespaces/default/status", &patch);
    assert!(list_at(&patched, &["status", "conditions"]).iter().any(|c| c["type"] == "StatusPatch"));
    assert_eq!(str_at(&patched, &["status", "phase"]), "Active");
    assert!(at(&patched, &["metadata", "annotations", "e"]).is_some());
}

/// Lease lease API should be available
#[test]
fn a_lease_may_have_begun_with_the_calendar() {
    let mut world = World::start();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let spec = |holder: &str, acquired: &str| json!({"holderIdentity": holder, "leaseDurationSeconds": 30, "acquireTime": acquired, "leaseTransitions": 0});
    let first = spec("holder", "0001-01-01T00:00:02.000000Z");
    let lease =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lease"}, "spec": first.clone()});
    assert_eq!(world.create(leases, &lease)["spec"], first);
    let second = spec("holder2", "0001-01-01T00:00:20.000000Z");
    world.strategic(&format!("{leases}/lease"), &json!({"spec": second.clone()}));
    assert_eq!(world.get(&format!("{leases}/lease"))["spec"], second);
}
