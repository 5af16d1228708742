//! Pods and their volumes: where claims let them go, and how claims that wait for their first user get their volumes.

use crate::scheduling_world::World;
use object::value::str_at;
use object::{Value, json};
use wasmkube_cluster::Config;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

fn world(controllers: &[&str], nodes: &[(&str, Value)]) -> World {
    let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
    World::with(Config { controllers, ..Config::default() }, nodes)
}

fn class(world: &mut World, name: &str, provisioner: &str, more: Value) {
    let mut class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"});
    class.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    world.driver.create("/apis/storage.k8s.io/v1/storageclasses", &class);
}

fn claim(world: &mut World, name: &str, class: &str, size: &str, mode: &str) {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
        "spec": {"storageClassName": class, "accessModes": [mode], "resources": {"requests": {"storage": size}}}});
    world.driver.create(CLAIMS, &claim);
}

/// A volume that can be reached from one node.
fn volume(world: &mut World, name: &str, class: &str, size: &str, node: &str) {
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "storageClassName": class, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}, "local": {"path": "/x"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}},
    }});
    world.driver.create("/api/v1/persistentvolumes", &volume);
    world.driver.settle_now();
}

fn uses(claims: &[&str]) -> Value {
    let volume = |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
    json!({"volumes": claims.iter().map(volume).collect::<Vec<_>>()})
}

fn words(nodes: u32, reasons: &str) -> String {
    format!(
        "0/{nodes} nodes are available: {reasons}. no new claims to deallocate, preemption: 0/{nodes} nodes are available: \
         {nodes} Preemption is not helpful for scheduling."
    )
}

#[test]
fn a_claim_gets_the_volume_of_the_node_that_its_first_user_is_given() {
    let mut world = world(&["persistentvolume-binder-controller"], &[("a", json!({})), ("b", json!({}))]);
    class(&mut world, "local", "kubernetes.io/no-provisioner", json!({}));
    claim(&mut world, "data", "local", "1Gi", "ReadWriteOnce");
    let p = world.pod("p", json!({}), uses(&["data"])).place("p");
    assert_eq!(p, words(2, "2 node(s) didn't find available persistent volumes to bind"));
    volume(&mut world, "large", "local", "5Gi", "b");
    world.driver.settle(20_000);
    assert_eq!(world.place("p"), "b");
    let claim = world.driver.get(&format!("{CLAIMS}/data"));
    assert_eq!((str_at(&claim, &["status", "phase"]), str_at(&claim, &["spec", "volumeName"])), ("Bound", "large"));
}

#[test]
fn a_volume_is_asked_for_on_the_chosen_node_and_the_pod_waits_for_it() {
    let mut world = world(&[], &[("a", json!({}))]);
    class(&mut world, "fast", "example.com/disks", json!({}));
    claim(&mut world, "data", "fast", "1Gi", "ReadWriteOnce");
    assert_eq!(world.pod("p", json!({}), uses(&["data"])).place("p"), "", "not bound before its volume is there");
    let asked = world.driver.get(&format!("{CLAIMS}/data"));
    let node = asked.pointer("/metadata/annotations/volume.kubernetes.io~1selected-node").and_then(Value::as_str);
    assert_eq!(node, Some("a"));
    let explained = world.driver.get("/debug/scheduler/namespaces/default/pods/p");
    assert_eq!(str_at(&explained, &["state"]), "Binding");
    let done = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "made"}});
    volume(&mut world, "made", "fast", "1Gi", "a");
    world.driver.request("PATCH", &format!("{CLAIMS}/data"), &done);
    world.driver.settle_now();
    assert_eq!(world.place("p"), "a");
}

#[test]
fn volumes_are_made_where_their_class_allows_it() {
    let zone = |zone: &str| json!({"labels": {"topology.kubernetes.io/zone": zone}});
    let mut world = world(&[], &[("a", zone("x")), ("b", zone("y"))]);
    let only_x = json!([{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["x"]}]}]);
    class(&mut world, "fast", "example.com/disks", json!({"allowedTopologies": only_x}));
    claim(&mut world, "data", "fast", "1Gi", "ReadWriteOnce");
    world.pod("p", json!({}), uses(&["data"]));
    let asked = world.driver.get(&format!("{CLAIMS}/data"));
    let node = asked.pointer("/metadata/annotations/volume.kubernetes.io~1selected-node").and_then(Value::as_str);
    assert_eq!(node, Some("a"));
}

#[test]
fn free_storage_is_what_the_driver_publishes() {
    let mut world = world(&[], &[("a", json!({}))]);
    class(&mut world, "fast", "disks.example.com", json!({}));
    let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "disks.example.com"},
        "spec": {"storageCapacity": true}});
    world.driver.create("/apis/storage.k8s.io/v1/csidrivers", &driver);
    claim(&mut world, "data", "fast", "10Gi", "ReadWriteOnce");
    let capacity = |size: &str| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity", "metadata": {"name": size.to_lowercase(), "namespace": "default"},
            "storageClassName": "fast", "nodeTopology": {}, "capacity": size})
    };
    let path = "/apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities";
    world.driver.create(path, &capacity("5Gi"));
    let p = world.pod("p", json!({}), uses(&["data"])).place("p");
    assert_eq!(p, words(1, "1 node(s) did not have enough free storage"));
    world.driver.create(path, &capacity("50Gi"));
    world.driver.settle(20_000);
    let explained = world.driver.get("/debug/scheduler/namespaces/default/pods/p");
    assert_eq!(str_at(&explained, &["state"]), "Binding");
}

#[test]
fn what_only_one_may_have() {
    let mut world = world(&[], &[("a", json!({})), ("b", json!({}))]);
    let bound = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "v"}});
    let disk = json!({"volumes": [{"name": "d", "gcePersistentDisk": {"pdName": "disk"}}], "nodeSelector": {"kubernetes.io/hostname": "a"}});
    let mut reading = disk.clone();
    reading["volumes"][0]["gcePersistentDisk"]["readOnly"] = json!(true);
    class(&mut world, "any", "x.example.com", json!({}));
    claim(&mut world, "alone", "any", "1Gi", "ReadWriteOncePod");
    world.driver.create("/api/v1/persistentvolumes", &json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"},
        "spec": {"storageClassName": "any", "accessModes": ["ReadWriteOncePod"], "capacity": {"storage": "1Gi"}, "csi": {"driver": "x.example.com", "volumeHandle": "h"}}}));
    world.driver.request("PATCH", &format!("{CLAIMS}/alone"), &bound);
    world.pod("first", json!({}), uses(&["alone"])).pod("second", json!({}), uses(&["alone"]));
    let second = world.place("second");
    let reason = "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
    assert!(second.starts_with(&format!("0/2 nodes are available: {reason}. ")), "{second}");
    world.pod("writer", json!({}), disk.clone()).pod("reader", json!({}), reading);
    let reader = world.place("reader");
    assert!(reader.contains("1 node(s) had no available disk"), "{reader}");
}

#[test]
fn zones_and_numbers_of_volumes() {
    let zone = |zone: &str| json!({"labels": {"topology.kubernetes.io/zone": zone}});
    let mut world = world(&[], &[("a", zone("x")), ("b", zone("y"))]);
    class(&mut world, "any", "x.example.com", json!({}));
    let limits = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "b"},
        "spec": {"drivers": [{"name": "x.example.com", "nodeID": "b", "allocatable": {"count": 1}}]}});
    world.driver.create("/apis/storage.k8s.io/v1/csinodes", &limits);
    for i in 0..2 {
        let (volume, name) = (format!("v{i}"), format!("c{i}"));
        world.driver.create(
            "/api/v1/persistentvolumes",
            &json!({"apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": volume, "labels": {"topology.kubernetes.io/zone": "y__z"}},
            "spec": {"storageClassName": "any", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
                "csi": {"driver": "x.example.com", "volumeHandle": volume}}}),
        );
        claim(&mut world, &name, "any", "1Gi", "ReadWriteOnce");
        let bound =
            json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": volume}});
        world.driver.request("PATCH", &format!("{CLAIMS}/{name}"), &bound);
    }
    assert_eq!(world.pod("p0", json!({}), uses(&["c0"])).place("p0"), "b");
    let second = world.pod("p1", json!({}), uses(&["c1"])).place("p1");
    let reasons = "0/2 nodes are available: 1 node(s) exceed max volume count, 1 node(s) had no available volume zone. ";
    assert!(second.starts_with(reasons), "{second}");
}
