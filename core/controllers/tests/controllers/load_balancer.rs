//! Services of type LoadBalancer: each gets an address of the pool, and gives it back.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer>

use crate::support::World;
use apiserver::gvr;
use object::{GroupVersionResource, Value, json};
use wasmkube_controllers::Settings;

fn services() -> GroupVersionResource {
    gvr("", "v1", "services")
}

/// A world with four addresses to give out.
fn world() -> World {
    let mut world = World::with(Settings { load_balancer_ranges: "192.0.2.8/29".to_owned(), ..Settings::default() });
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    world.create(&gvr("", "v1", "nodes"), node);
    world
}

fn service(name: &str, more: Value) -> Value {
    let mut spec = json!({"type": "LoadBalancer", "ports": [{"port": 80}]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn ingress(world: &mut World, name: &str) -> Value {
    world.get(&services(), "default", name).expect("it is there")["status"]["loadBalancer"].clone()
}

fn at(ip: &str) -> Value {
    json!({"ingress": [{"ip": ip, "ipMode": "VIP"}]})
}

#[test]
fn a_service_has_an_address_while_it_wants_one() {
    let mut world = world();
    world.create(&services(), service("web", json!({})));
    assert_eq!(ingress(&mut world, "web"), at("192.0.2.9"));
    let made = world.get(&services(), "default", "web").unwrap();
    assert_eq!(made["metadata"]["finalizers"], json!(["service.kubernetes.io/load-balancer-cleanup"]));
    world.create(&services(), service("api", json!({})));
    assert_eq!(ingress(&mut world, "api"), at("192.0.2.10"), "no address is given twice");

    world.patch(&services(), "default", "web", json!({"spec": {"type": "ClusterIP"}}));
    assert_eq!(ingress(&mut world, "web"), json!({}));
    let changed = world.get(&services(), "default", "web").unwrap();
    assert_eq!(changed["metadata"]["finalizers"], Value::Null);
    assert_eq!(
        world.events("web"),
        [
            "EnsuringLoadBalancer: Ensuring load balancer",
            "EnsuredLoadBalancer: Ensured load balancer",
            "Type: LoadBalancer -> ClusterIP",
            "DeletingLoadBalancer: Deleting load balancer",
            "DeletedLoadBalancer: Deleted load balancer",
        ]
    );
    world.delete(&services(), "default", "api", &Default::default());
    assert_eq!(world.get(&services(), "default", "api"), None, "the finalizer does not hold it");
    world.create(&services(), service("third", json!({})));
    assert_eq!(ingress(&mut world, "third"), at("192.0.2.9"), "what was given back is given again");
}

#[test]
fn an_address_may_be_asked_for() {
    let mut world = world();
    world.create(&services(), service("web", json!({"loadBalancerIP": "192.0.2.12"})));
    assert_eq!(ingress(&mut world, "web"), at("192.0.2.12"));
    world.create(&services(), service("late", json!({"loadBalancerIP": "192.0.2.12"})));
    assert_eq!(ingress(&mut world, "late"), json!({}));
    world.patch(&services(), "default", "web", json!({"spec": {"loadBalancerIP": "192.0.2.13"}}));
    assert_eq!(ingress(&mut world, "web"), at("192.0.2.13"));
    world.pass(5);
    assert_eq!(ingress(&mut world, "late"), at("192.0.2.12"), "it is free now");
    assert!(world.events("web").contains(&"LoadbalancerIP: 192.0.2.12 -> 192.0.2.13".to_owned()));
}

#[test]
fn a_class_of_its_own_is_left_alone() {
    let mut world = world();
    world.create(&services(), service("web", json!({"loadBalancerClass": "example.com/other"})));
    assert_eq!(ingress(&mut world, "web"), json!({}));
    assert!(world.events("web").is_empty());
}

#[test]
fn who_comes_to_an_empty_pool_waits() {
    let mut world = world();
    for index in 0..7 {
        world.create(&services(), service(&format!("s{index}"), json!({})));
    }
    assert_eq!(ingress(&mut world, "s6"), json!({}));
    let why = "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: \
        no address is free in the pool of 192.0.2.8/29";
    assert_eq!(world.events("s6"), ["EnsuringLoadBalancer: Ensuring load balancer", why]);
    world.delete(&services(), "default", "s2", &Default::default());
    assert_eq!(ingress(&mut world, "s6"), at("192.0.2.11"), "it does not wait for its next try");
}

#[test]
fn a_restart_keeps_addresses() {
    let mut world = world();
    for name in ["a", "b", "c"] {
        world.create(&services(), service(name, json!({})));
    }
    world.delete(&services(), "default", "a", &Default::default());
    let settings = Settings { load_balancer_ranges: "192.0.2.8/29".to_owned(), ..Settings::default() };
    world.manager = wasmkube_controllers::Manager::new(settings);
    world.settle();
    world.create(&services(), service("d", json!({})));
    let all = ["b", "c", "d"].map(|name| ingress(&mut world, name));
    assert_eq!(all, [at("192.0.2.10"), at("192.0.2.11"), at("192.0.2.9")]);
}
