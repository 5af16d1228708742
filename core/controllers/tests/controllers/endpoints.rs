//! EndpointSlices: the addresses behind a Service, a hundred to a slice.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/>

use crate::support::{self, World, pods};
use apiserver::{DeleteOptions, UserInfo, gvr};
use object::{GroupVersionResource, Value, json};

fn slices(world: &World) -> Vec<Value> {
    let mut all = world.list(&gvr("discovery.k8s.io", "v1", "endpointslices"));
    all.retain(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web");
    all.sort_by_key(|slice| std::cmp::Reverse(slice["endpoints"].as_array().map_or(0, Vec::len)));
    all
}

fn services() -> GroupVersionResource {
    gvr("", "v1", "services")
}

fn service(world: &mut World, more: Value) {
    let mut spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let meta = json!({"name": "web", "namespace": "default"});
    world.create(&services(), json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}));
}

/// A pod that runs; without letting anybody look at it.
fn pod(world: &mut World, name: &str, node: &str, ip: &str, port: u16, ready: bool) {
    let admin = UserInfo::new("admin", &["system:masters"]);
    let container = json!({"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": port}]});
    let meta = json!({"name": name, "namespace": "default", "labels": {"app": "web"}});
    let object =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": node, "containers": [container]}});
    let mut client = world.api.client(world.now, &admin);
    let mut made = Value::clone(&client.create(&pods(), "default", object).expect("created"));
    let status = if ready { "True" } else { "False" };
    made["status"] = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": world.now.rfc3339()}]});
    client.update_status(&pods(), "default", name, made).expect("it runs");
}

fn node(world: &mut World, name: &str, zone: &str) {
    let labels = json!({"topology.kubernetes.io/zone": zone});
    world.create(
        &gvr("", "v1", "nodes"),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}),
    );
}

#[test]
fn a_change_of_one_pod_changes_one_slice() {
    let mut world = World::new();
    node(&mut world, "n", "west");
    for n in 0..250 {
        pod(&mut world, &format!("p{n:03}"), "n", &format!("10.0.{}.{}", n / 200, n % 200 + 1), 8080, true);
    }
    service(&mut world, json!({}));
    let revisions = |world: &World| -> Vec<String> {
        slices(world).iter().map(|slice| slice["metadata"]["resourceVersion"].to_string()).collect()
    };
    let sizes =
        |world: &World| -> Vec<usize> { slices(world).iter().map(|s| s["endpoints"].as_array().unwrap().len()).collect() };
    assert_eq!(sizes(&world), [100, 100, 50]);
    let before = revisions(&world);
    world.delete(&pods(), "default", "p000", &DeleteOptions { grace_period_seconds: Some(0), ..Default::default() });
    assert_eq!(sizes(&world), [100, 99, 50]);
    let after = revisions(&world);
    assert_eq!(after.iter().filter(|revision| !before.contains(revision)).count(), 1);
    pod(&mut world, "late", "n", "10.0.9.9", 8080, true);
    world.settle();
    assert_eq!(sizes(&world), [100, 100, 50], "the fullest that has room takes it");
}

/// <https://kubernetes.io/docs/concepts/services-networking/service/#traffic-distribution>
#[test]
fn endpoints_say_for_whom_they_are() {
    let mut world = World::new();
    node(&mut world, "a", "west");
    node(&mut world, "b", "east");
    pod(&mut world, "pa", "a", "10.0.0.1", 8080, true);
    pod(&mut world, "pb", "b", "10.0.0.2", 8080, false);
    service(&mut world, json!({"trafficDistribution": "PreferClose"}));
    let hints = |world: &World| -> Vec<Value> {
        slices(world)[0]["endpoints"].as_array().unwrap().iter().map(|endpoint| endpoint["hints"].clone()).collect()
    };
    assert_eq!(hints(&world), [json!({"forZones": [{"name": "west"}]}), Value::Null], "who is not ready is for nobody");
    world.patch(&services(), "default", "web", json!({"spec": {"trafficDistribution": "PreferSameNode"}}));
    assert_eq!(hints(&world)[0], json!({"forZones": [{"name": "west"}], "forNodes": [{"name": "a"}]}));
    world.patch(&services(), "default", "web", json!({"spec": {"trafficDistribution": null}}));
    assert_eq!(hints(&world), [Value::Null, Value::Null]);
}

#[test]
fn pods_with_other_numbers_for_a_port_have_slices_of_their_own() {
    let mut world = World::new();
    node(&mut world, "n", "west");
    pod(&mut world, "new", "n", "10.0.0.1", 8080, true);
    pod(&mut world, "old", "n", "10.0.0.2", 9090, false);
    service(&mut world, json!({"clusterIP": "None", "publishNotReadyAddresses": true}));
    let found = slices(&world);
    let mut ports: Vec<i64> = found.iter().filter_map(|slice| slice["ports"][0]["port"].as_i64()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [8080, 9090]);
    assert!(found.iter().all(|slice| slice["endpoints"][0]["conditions"]["ready"] == true), "it wants those who are not ready");
    let labels = &found[0]["metadata"]["labels"];
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert_eq!(labels["service.kubernetes.io/headless"], "");
    assert!(found[0]["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"].is_string());
}

/// <https://kubernetes.io/docs/concepts/services-networking/service/#over-capacity-endpoints>
#[test]
fn endpoints_hold_a_thousand_addresses() {
    let mut world = World::new();
    node(&mut world, "n", "west");
    for n in 0..1001 {
        pod(&mut world, &format!("p{n:04}"), "n", &format!("10.0.{}.{}", n / 200, n % 200 + 1), 8080, n > 0);
    }
    service(&mut world, json!({}));
    let endpoints = |world: &mut World| world.get(&gvr("", "v1", "endpoints"), "default", "web").expect("they are there");
    let mark = "endpoints.kubernetes.io/over-capacity";
    let made = endpoints(&mut world);
    assert_eq!(made["metadata"]["annotations"][mark], "truncated");
    let subset = &made["subsets"][0];
    assert_eq!((subset["addresses"].as_array().map(Vec::len), &subset["notReadyAddresses"]), (Some(1000), &Value::Null));
    world.delete(&pods(), "default", "p0007", &DeleteOptions { grace_period_seconds: Some(0), ..Default::default() });
    let made = endpoints(&mut world);
    assert_eq!(made["metadata"]["annotations"][mark], Value::Null);
    assert_eq!(made["subsets"][0]["notReadyAddresses"].as_array().map(Vec::len), Some(1));
}

#[test]
fn slices_that_others_edit_are_put_right() {
    let mut world = World::new();
    node(&mut world, "n", "west");
    pod(&mut world, "p", "n", "10.0.0.1", 8080, true);
    service(&mut world, json!({}));
    world.settle();
    let found = slices(&world);
    let [slice] = found.as_slice() else { panic!("{found:?}") };
    let mut edited = slice.clone();
    edited["endpoints"] = json!([{"addresses": ["10.9.9.9"], "conditions": {"ready": true}}]);
    let name = support::name(slice);
    world.admin().update(&gvr("discovery.k8s.io", "v1", "endpointslices"), "default", &name, edited).unwrap();
    world.settle();
    assert_eq!(slices(&world)[0]["endpoints"], slice["endpoints"]);
}

#[test]
fn slices_of_a_former_service_go() {
    let mut world = World::new();
    node(&mut world, "n", "west");
    pod(&mut world, "p", "n", "10.0.0.1", 8080, true);
    service(&mut world, json!({}));
    world.settle();
    let options = DeleteOptions { propagation: Some(apiserver::Propagation::Orphan), ..DeleteOptions::default() };
    world.delete(&services(), "default", "web", &options);
    world.settle();
    let left = slices(&world);
    assert_eq!(left.len(), 1, "orphaned");
    service(&mut world, json!({"clusterIP": "None"}));
    world.settle();
    let now = slices(&world);
    assert_eq!(now.len(), 1);
    assert_ne!(now[0]["metadata"]["uid"], left[0]["metadata"]["uid"]);
}
