//! Where pods go, and what is said about those that go nowhere. Nodes here are objects only; nothing runs on them.

use crate::scheduling_world::{World, cpu};
use object::{Value, json};
use wasmkube_cluster::Config;

/// The text that follows the reasons where preemption was thought of and would not help, or found nobody.
const HOPELESS: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

fn refused(nodes: u32, reasons: &str, preemption: &str) -> String {
    format!(
        "0/{nodes} nodes are available: {reasons}. no new claims to deallocate, preemption: 0/{nodes} nodes are available: {nodes} {preemption}."
    )
}

#[test]
fn filters_in_kubernetes_words() {
    let near = |rule: &str| {
        json!({"affinity": {rule: {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"},
        ]}}})
    };
    for (name, node, spec, expected) in [
        ("fits", json!({}), cpu("2"), "n".to_owned()),
        ("too much cpu", json!({}), cpu("3"), refused(1, "1 Insufficient cpu", HOPELESS)),
        ("cordoned", json!({"spec": {"unschedulable": true}}), json!({}), refused(1, "1 node(s) were unschedulable", HOPELESS)),
        (
            "tainted",
            json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
            json!({}),
            refused(1, "1 node(s) had untolerated taint(s)", HOPELESS),
        ),
        (
            "tolerated",
            json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
            json!({"tolerations": [{"key": "k", "operator": "Exists"}]}),
            "n".to_owned(),
        ),
        ("selected", json!({"labels": {"disk": "ssd"}}), json!({"nodeSelector": {"disk": "ssd"}}), "n".to_owned()),
        (
            "not selected",
            json!({}),
            json!({"nodeSelector": {"disk": "ssd"}}),
            refused(1, "1 node(s) didn't match Pod's node affinity/selector", HOPELESS),
        ),
        ("near nobody", json!({}), near("podAffinity"), refused(1, "1 node(s) didn't match pod affinity rules", HOPELESS)),
        ("away from nobody", json!({}), near("podAntiAffinity"), "n".to_owned()),
        (
            "not everywhere",
            json!({}),
            json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "x"}}}]}),
            refused(1, "1 node(s) didn't match pod topology spread constraints (missing required label)", HOPELESS),
        ),
        (
            "a node by name that is not there",
            json!({}),
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["m"]}]},
            ]}}}}),
            refused(1, "1 node(s) didn't satisfy plugin(s) [NodeAffinity]", HOPELESS),
        ),
        (
            "a claim that is not there",
            json!({}),
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
            refused(1, "persistentvolumeclaim \"c\" not found", HOPELESS),
        ),
    ] {
        let mut world = World::new(&[("n", node)]);
        assert_eq!(world.pod("p", json!({}), spec).place("p"), expected, "{name}");
    }
}

#[test]
fn what_is_taken_is_taken() {
    let mut world = World::new(&[("n", json!({}))]);
    world.pod("a", json!({}), cpu("1500m"));
    assert_eq!(world.pod("b", json!({}), cpu("1")).place("b"), refused(1, "1 Insufficient cpu", NO_VICTIMS));
    let port = json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 8080}]}]});
    assert_eq!(world.pod("c", json!({}), port.clone()).place("c"), "n");
    let words = "1 node(s) didn't have free ports for the requested pod ports";
    assert_eq!(world.pod("d", json!({}), port).place("d"), refused(1, words, NO_VICTIMS));
}

#[test]
fn no_nodes_at_all() {
    let mut world = World::new(&[]);
    assert_eq!(world.pod("p", json!({}), json!({})).place("p"), "no nodes available to schedule pods");
}

#[test]
fn emptier_nodes_are_preferred() {
    let mut world = World::new(&[("a", json!({})), ("b", json!({}))]);
    let first = world.pod("p1", json!({}), cpu("500m")).place("p1");
    let second = world.pod("p2", json!({}), cpu("500m")).place("p2");
    assert_ne!(first, second);
}

#[test]
fn preferences_weigh() {
    let mut world = World::new(&[("a", json!({})), ("b", json!({"labels": {"disk": "ssd"}}))]);
    let prefer = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 10, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}},
    ]}}});
    for i in 0..3 {
        let name = format!("p{i}");
        assert_eq!(world.pod(&name, json!({}), prefer.clone()).place(&name), "b");
    }
}

#[test]
fn pods_of_a_kind_keep_apart_or_spread() {
    let mut world = World::new(&[("a", json!({})), ("b", json!({}))]);
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"},
    ]}}});
    let db = json!({"app": "db"});
    let first = world.pod("p1", db.clone(), apart.clone()).place("p1");
    let second = world.pod("p2", db.clone(), apart.clone()).place("p2");
    assert_ne!(first, second);
    let words = "2 node(s) didn't match pod anti-affinity rules";
    assert_eq!(world.pod("p3", db.clone(), apart).place("p3"), refused(2, words, NO_VICTIMS));
    // One that has no terms of its own is kept away by those that have.
    let words = "2 node(s) didn't satisfy existing pods anti-affinity rules";
    assert_eq!(world.pod("p4", db, json!({})).place("p4"), refused(2, words, NO_VICTIMS));
}

#[test]
fn namespaces_are_chosen_by_their_labels() {
    let mut world = World::new(&[("a", json!({})), ("b", json!({}))]);
    world.pod("db", json!({"app": "db"}), json!({"nodeSelector": {"kubernetes.io/hostname": "a"}}));
    let near = |labels: Value| {
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
            "labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname",
            "namespaceSelector": {"matchLabels": labels},
        }]}}})
    };
    assert_eq!(world.pod("p", json!({}), near(json!({"kubernetes.io/metadata.name": "default"}))).place("p"), "a");
    let words = "2 node(s) didn't match pod affinity rules";
    assert_eq!(world.pod("q", json!({}), near(json!({"team": "x"}))).place("q"), refused(2, words, HOPELESS));
    world.driver.request("PATCH", "/api/v1/namespaces/default", &json!({"metadata": {"labels": {"team": "x"}}}));
    world.driver.settle(2_000);
    assert_eq!(world.place("q"), "a", "a namespace got the label");
}

#[test]
fn the_pods_of_a_service_spread_by_themselves() {
    let mut world = World::new(&[("a", json!({})), ("b", json!({}))]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    world.driver.create("/api/v1/namespaces/default/services", &service);
    let web = json!({"app": "web"});
    let first = world.pod("p1", web.clone(), cpu("10m")).place("p1");
    // The other node is fuller by far, but the two of a kind weigh more.
    let other = if first == "a" { "b" } else { "a" };
    let mut full = cpu("200m");
    full["nodeSelector"] = json!({"kubernetes.io/hostname": other});
    world.pod("filler", json!({}), full);
    assert_eq!(world.pod("p2", web, cpu("10m")).place("p2"), other);
}

#[test]
fn gates_hold_a_pod_until_they_are_gone() {
    let mut world = World::new(&[("n", json!({}))]);
    world.pod("p", json!({}), json!({"schedulingGates": [{"name": "wait"}]}));
    assert_eq!(world.place("p"), "Scheduling is blocked due to non-empty scheduling gates");
    let path = "/api/v1/namespaces/default/pods/p";
    world.driver.request("PATCH", path, &json!({"spec": {"schedulingGates": null}}));
    world.driver.settle_now();
    assert_eq!(world.place("p"), "n");
}

#[test]
fn a_new_node_helps_those_who_wait() {
    let mut world = World::new(&[]);
    world.pod("p", json!({}), json!({}));
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "late"}});
    world.driver.create("/api/v1/nodes", &node);
    world.driver.request("PATCH", "/api/v1/nodes/late", &json!({"spec": {"taints": null}}));
    world.driver.request("PATCH", "/api/v1/nodes/late/status", &json!({"status": {"allocatable": {"pods": "1"}}}));
    world.driver.settle(2_000);
    assert_eq!(world.place("p"), "late");
}

#[test]
fn profiles_place_pods_each_in_its_way() {
    let config = json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": [
        {},
        {"schedulerName": "pack", "plugins": {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit"}]}},
         "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}]},
    ]});
    let mut world = World::with(
        Config { controllers: Vec::new(), scheduler_config: config.to_string(), ..Config::default() },
        &[("a", json!({})), ("b", json!({}))],
    );
    let by = |scheduler: &str| {
        let mut spec = cpu("200m");
        spec["schedulerName"] = json!(scheduler);
        spec
    };
    let first = world.pod("p1", json!({}), by("pack")).place("p1");
    for name in ["p2", "p3"] {
        assert_eq!(world.pod(name, json!({}), by("pack")).place(name), first, "packed");
    }
    assert_ne!(world.pod("q", json!({}), by("default-scheduler")).place("q"), first, "spread");
    assert_eq!(world.pod("r", json!({}), by("nobody")).place("r"), "", "not ours");
}
