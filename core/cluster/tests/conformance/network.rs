//! [sig-network]: Services and their endpoints.

use object::value::{at, list_at, str_at};
use object::{Value, json};

use crate::{CORE, World, controller_of, pause_pod};

const DISCOVERY: &str = "/apis/discovery.k8s.io/v1/namespaces/default";

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

fn server(name: &str, port_name: &str, port: u16) -> Value {
    let mut pod = pause_pod(name);
    pod["metadata"]["labels"] = json!({"app": "svc"});
    pod["spec"]["containers"][0]["ports"] = json!([{"name": port_name, "containerPort": port}]);
    pod
}

/// `pod:port` of every ready endpoint.
fn endpoints(world: &mut World, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for slice in world.items(&format!("{DISCOVERY}/endpointslices?labelSelector=kubernetes.io/service-name={name}")) {
        for endpoint in list_at(&slice, &["endpoints"]).iter().filter(|e| e["conditions"]["ready"] == true) {
            for port in list_at(&slice, &["ports"]).iter().filter(|p| at(p, &["port"]).is_some()) {
                out.push(format!("{}:{}", str_at(endpoint, &["targetRef", "name"]), port["port"]));
            }
        }
    }
    out.sort();
    out
}

fn legacy_endpoints(world: &mut World, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for subset in list_at(&world.get(&format!("{CORE}/endpoints/{name}")), &["subsets"]) {
        for address in list_at(subset, &["addresses"]) {
            for port in list_at(subset, &["ports"]) {
                out.push(format!("{}:{}", str_at(address, &["targetRef", "name"]), port["port"]));
            }
        }
    }
    out.sort();
    out
}

/// Services should serve a basic endpoint from pods; ... multiport endpoints from pods
#[test]
fn services_follow_their_pods() {
    let mut world = World::start();
    let ports =
        json!([{"name": "portname1", "port": 80, "targetPort": "p1"}, {"name": "portname2", "port": 81, "targetPort": "p2"}]);
    world.create(&format!("{CORE}/services"), &service("multi", json!({"selector": {"app": "svc"}, "ports": ports})));
    world.settle(2);
    assert_eq!(endpoints(&mut world, "multi"), Vec::<String>::new());
    for (add, name, wanted) in [
        (Some(("p1", 100)), "pod1", vec!["pod1:100"]),
        (Some(("p2", 101)), "pod2", vec!["pod1:100", "pod2:101"]),
        (None, "pod1", vec!["pod2:101"]),
        (None, "pod2", vec![]),
    ] {
        match add {
            Some((port, number)) => drop(world.create(&format!("{CORE}/pods"), &server(name, port, number))),
            None => world.delete(&format!("{CORE}/pods/{name}")),
        }
        world.wait(&format!("{wanted:?}"), |w| endpoints(w, "multi") == wanted && legacy_endpoints(w, "multi") == wanted);
    }
}

/// EndpointSlice should create and delete Endpoints and EndpointSlices for a Service with a selector specified
#[test]
fn endpoints_come_and_go_with_a_service() {
    let mut world = World::start();
    world.create(
        &format!("{CORE}/services"),
        &service("empty", json!({"selector": {"does-not-match-anything": "x"}, "ports": [{"port": 80}]})),
    );
    let slices = format!("{DISCOVERY}/endpointslices?labelSelector=kubernetes.io/service-name=empty");
    world.wait("both", |w| w.exists(&format!("{CORE}/endpoints/empty")) && w.items(&slices).len() == 1);
    assert_eq!(controller_of(&world.items(&slices)[0]), "empty");
    world.delete(&format!("{CORE}/services/empty"));
    world.wait("neither", |w| !w.exists(&format!("{CORE}/endpoints/empty")) && w.items(&slices).is_empty());
}

/// EndpointSlice should have Endpoints and EndpointSlices pointing to API Server; Services should provide secure master service
#[test]
fn the_api_has_a_service() {
    let mut world = World::start();
    let kubernetes = world.get(&format!("{CORE}/services/kubernetes"));
    assert_eq!(kubernetes["spec"]["ports"][0]["name"], "https");
    assert!(!list_at(&world.get(&format!("{CORE}/endpoints/kubernetes")), &["subsets"]).is_empty());
    let slices = world.items(&format!("{DISCOVERY}/endpointslices?labelSelector=kubernetes.io/service-name=kubernetes"));
    assert!(!list_at(&slices[0], &["endpoints"]).is_empty());
}

/// EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete
#[test]
fn endpoints_made_by_hand_are_mirrored() {
    let mut world = World::start();
    world.create(&format!("{CORE}/services"), &service("custom", json!({"ports": [{"name": "example", "port": 80}]})));
    let mut endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "custom"},
        "subsets": [{"ports": [{"port": 80}], "addresses": [{"ip": "10.1.2.3"}]}]});
    world.create(&format!("{CORE}/endpoints"), &endpoints);
    let slices = format!("{DISCOVERY}/endpointslices?labelSelector=kubernetes.io/service-name=custom");
    let mirrored = |w: &mut World, address: &str| {
        let list = w.items(&slices);
        list.len() == 1 && list[0]["endpoints"][0]["addresses"] == json!([address]) && controller_of(&list[0]) == "custom"
    };
    world.wait("mirrored", |w| mirrored(w, "10.1.2.3"));
    endpoints["subsets"][0]["addresses"] = json!([{"ip": "10.2.3.4"}]);
    world.must("PUT", &format!("{CORE}/endpoints/custom"), &endpoints);
    world.wait("updated", |w| mirrored(w, "10.2.3.4"));
    world.delete(&format!("{CORE}/endpoints/custom"));
    world.wait("gone", |w| w.items(&slices).is_empty());
}

/// Services should be able to change the type from ExternalName to ClusterIP, NodePort, and back
#[test]
fn services_change_their_types() {
    let mut world = World::start();
    let path = format!("{CORE}/services/s");
    world.create(&format!("{CORE}/services"), &service("s", json!({"type": "ExternalName", "externalName": "foo.example.com"})));
    assert_eq!(str_at(&world.get(&path), &["spec", "clusterIP"]), "");
    for (kind, has_node_port) in [("ClusterIP", false), ("NodePort", true)] {
        let mut object = world.get(&path);
        object["spec"]["type"] = kind.into();
        object["spec"].as_object_mut().map(|spec| spec.remove("externalName"));
        object["spec"]["ports"] = json!([{"port": 80, "name": "http", "protocol": "TCP"}]);
        let made = world.must("PUT", &path, &object);
        assert_ne!(str_at(&made, &["spec", "clusterIP"]), "");
        assert_eq!(at(&made["spec"]["ports"][0], &["nodePort"]).is_some(), has_node_port, "{kind}");
        let mut object = made;
        object["spec"]["type"] = "ExternalName".into();
        object["spec"]["externalName"] = "foo.example.com".into();
        for field in ["clusterIP", "clusterIPs"] {
            object["spec"].as_object_mut().map(|spec| spec.remove(field));
        }
        object["spec"]["ports"][0].as_object_mut().map(|port| port.remove("nodePort"));
        let back = world.must("PUT", &path, &object);
        assert_eq!(str_at(&back, &["spec", "clusterIP"]), "", "{back}");
    }
}

/// Services should complete a service status lifecycle
#[test]
fn a_services_status_is_written() {
    let mut world = World::start();
    world.create(&format!("{CORE}/services"), &service("lb", json!({"type": "ClusterIP", "ports": [{"port": 80}]})));
    let path = format!("{CORE}/services/lb");
    let patch = json!({"metadata": {"annotations": {"patched": "true"}}, "status": {"conditions": [{"type": "StatusPatched", "status": "True",
        "reason": "E2E", "message": "Set from e2e test", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let patched = world.patch(&format!("{path}/status"), &patch);
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
    assert_eq!(patched["status"]["conditions"][0]["type"], "StatusPatched");
}

/// Service endpoints latency should not be very high
#[test]
fn endpoints_follow_at_once() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &server("pod1", "p", 80));
    world.wait_for_pod("pod1", "Running");
    for i in 0..20 {
        world.create(
            &format!("{CORE}/services"),
            &service(&format!("latency-{i}"), json!({"selector": {"app": "svc"}, "ports": [{"port": 80}]})),
        );
        world.driver.settle(1_000);
        assert_eq!(endpoints(&mut world, &format!("latency-{i}")), ["pod1:80"]);
    }
}
