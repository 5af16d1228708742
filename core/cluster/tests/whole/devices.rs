//! Pods that ask for devices: claims, templates, classes and the slices in which drivers publish what they have.

use crate::scheduling_world::World;
use object::value::{at, list_at, str_at};
use object::{Value, json};
use wasmkube_cluster::Config;

const CLAIMS: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";

/// Nodes `a` with two small devices and `b` with a small and a large one; class `gpu` is all of them.
fn world() -> World {
    let config = Config { controllers: vec!["resourceclaim-controller".to_owned()], ..Config::default() };
    let mut world = World::with(config, &[("a", json!({})), ("b", json!({}))]);
    for (node, devices) in [("a", [("a0", "small"), ("a1", "small")]), ("b", [("b0", "small"), ("b1", "large")])] {
        let device = |(name, model): (&str, &str)| {
            json!({"name": name, "attributes": {"model": {"string": model}, "driverVersion": {"version": "1.2.3"}},
                "capacity": {"memory": {"value": if model == "large" { "80Gi" } else { "20Gi" }}}})
        };
        let slice = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("slice-{node}")},
            "spec": {"driver": "gpu.example.com", "nodeName": node, "devices": devices.map(device),
                "pool": {"name": node, "generation": 1, "resourceSliceCount": 1}}});
        world.driver.create("/apis/resource.k8s.io/v1/resourceslices", &slice);
    }
    let class = json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"},
        "spec": {"selectors": [{"cel": {"expression": "device.driver == 'gpu.example.com'"}}]}});
    world.driver.create("/apis/resource.k8s.io/v1/deviceclasses", &class);
    world
}

fn request(more: Value) -> Value {
    let mut exactly = json!({"deviceClassName": "gpu"});
    exactly.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"devices": {"requests": [{"name": "r", "exactly": exactly}]}})
}

fn wanting(expression: &str) -> Value {
    request(json!({"selectors": [{"cel": {"expression": expression}}]}))
}

fn claim(world: &mut World, name: &str, spec: &Value) {
    let claim = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    world.driver.create(CLAIMS, &claim);
}

fn pod(world: &mut World, name: &str, claim: &str) -> String {
    let spec = json!({"resourceClaims": [{"name": "dev", "resourceClaimName": claim}]});
    world.pod(name, json!({}), spec);
    world.driver.settle(2_000);
    world.place(name)
}

/// The devices of a claim.
fn devices(world: &mut World, claim: &str) -> Vec<String> {
    let claim = world.driver.get(&format!("{CLAIMS}/{claim}"));
    let results = list_at(&claim, &["status", "allocation", "devices", "results"]);
    results.iter().map(|result| str_at(result, &["device"]).to_owned()).collect()
}

#[test]
fn a_claim_gets_devices_that_it_wants() {
    let model = |model: &str| wanting(&format!("device.attributes['gpu.example.com'].model == '{model}'"));
    for (name, spec, node, given) in [
        ("by an attribute", model("large"), "b", vec!["b1"]),
        ("by capacity", wanting("device.capacity['gpu.example.com'].memory.compareTo(quantity('40Gi')) >= 0"), "b", vec!["b1"]),
        (
            "by version",
            wanting(
                "device.attributes['gpu.example.com'].driverVersion.isGreaterThan(semver('1.0.0')) && device.attributes['gpu.example.com'].model == 'large'",
            ),
            "b",
            vec!["b1"],
        ),
        (
            "two alike",
            json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}],
                "constraints": [{"matchAttribute": "gpu.example.com/model"}]}}),
            "a",
            vec!["a0", "a1"],
        ),
        (
            "two that differ",
            json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}],
                "constraints": [{"distinctAttribute": "gpu.example.com/model"}]}}),
            "b",
            vec!["b0", "b1"],
        ),
        (
            "the first that is there",
            json!({"devices": {"requests": [{"name": "r", "firstAvailable": [
                {"name": "many", "deviceClassName": "gpu", "count": 3},
                {"name": "large", "deviceClassName": "gpu", "selectors": [
                    {"cel": {"expression": "device.attributes['gpu.example.com'].model == 'large'"}}]},
            ]}]}}),
            "b",
            vec!["b1"],
        ),
    ] {
        let mut world = world();
        claim(&mut world, "c", &spec);
        assert_eq!(pod(&mut world, "p", "c"), node, "{name}");
        assert_eq!(devices(&mut world, "c"), given, "{name}");
        let claim = world.driver.get(&format!("{CLAIMS}/c"));
        assert_eq!(str_at(&list_at(&claim, &["status", "reservedFor"])[0], &["name"]), "p", "{name}");
        let there = at(&claim, &["status", "allocation", "nodeSelector", "nodeSelectorTerms"]).unwrap();
        assert_eq!(there[0]["matchFields"][0]["values"], json!([node]), "{name}");
    }
}

#[test]
fn what_is_taken_is_taken_until_its_user_is_gone() {
    let mut world = world();
    let all = request(json!({"count": 2}));
    for name in ["x", "y", "z"] {
        claim(&mut world, name, &all);
    }
    let (first, second) = (pod(&mut world, "px", "x"), pod(&mut world, "py", "y"));
    assert_ne!(first, second);
    let third = pod(&mut world, "pz", "z");
    assert!(third.starts_with("0/2 nodes are available: 2 cannot allocate all claims. "), "{third}");
    world.driver.request("DELETE", "/api/v1/namespaces/default/pods/px?gracePeriodSeconds=0", &Value::Null);
    world.driver.settle(20_000);
    assert!(devices(&mut world, "x").is_empty(), "given back");
    assert_eq!(world.place("pz"), first);
}

#[test]
fn pods_that_share_a_claim_go_where_its_devices_are() {
    let mut world = world();
    claim(&mut world, "c", &wanting("device.attributes['gpu.example.com'].model == 'large'"));
    for name in ["p", "q"] {
        assert_eq!(pod(&mut world, name, "c"), "b");
    }
    let elsewhere =
        json!({"resourceClaims": [{"name": "dev", "resourceClaimName": "c"}], "nodeSelector": {"kubernetes.io/hostname": "a"}});
    let refused = world.pod("r", json!({}), elsewhere).place("r");
    assert!(refused.contains("1 node(s) didn't match Pod's node affinity/selector"), "{refused}");
    assert!(
        refused.contains("2 Preemption is not helpful") || refused.contains("resourceclaim not available on the node"),
        "{refused}"
    );
}

#[test]
fn a_template_makes_a_claim_for_each_pod_and_it_goes_with_it() {
    let mut world = world();
    let template = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "t", "namespace": "default"},
        "spec": {"metadata": {"labels": {"from": "t"}}, "spec": request(json!({}))}});
    let spec = json!({"resourceClaims": [{"name": "dev", "resourceClaimTemplateName": "t"}]});
    world.pod("p", json!({}), spec);
    assert_eq!(world.place("p"), "", "held back before any attempt");
    world.driver.create("/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates", &template);
    world.driver.settle(20_000);
    assert_ne!(world.place("p"), "");
    let list = world.driver.get(CLAIMS);
    let [made] = list_at(&list, &["items"]) else { panic!("{list}") };
    assert!(str_at(made, &["metadata", "name"]).starts_with("p-dev-"), "{made}");
    assert_eq!(str_at(made, &["metadata", "labels", "from"]), "t");
    assert_eq!(str_at(made, &["metadata", "annotations", "resource.kubernetes.io/pod-claim-name"]), "dev");
    let pod = world.driver.get("/api/v1/namespaces/default/pods/p");
    let status = &list_at(&pod, &["status", "resourceClaimStatuses"])[0];
    assert_eq!(str_at(status, &["resourceClaimName"]), str_at(made, &["metadata", "name"]));
    world.driver.request("PATCH", "/api/v1/namespaces/default/pods/p/status", &json!({"status": {"phase": "Succeeded"}}));
    world.driver.settle(20_000);
    assert!(list_at(&world.driver.get(CLAIMS), &["items"]).is_empty(), "its pod has ended");
}

#[test]
fn a_class_that_is_not_there() {
    let mut world = world();
    claim(&mut world, "c", &json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "none"}}]}}));
    let refused = pod(&mut world, "p", "c");
    assert!(refused.starts_with("0/2 nodes are available: request r: device class none does not exist. "), "{refused}");
}
