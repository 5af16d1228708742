//! Why a pod is where it is or nowhere, what would help it, and when it is tried again.

use crate::scheduling_world::{World, cpu};
use object::value::{at, i64_at, list_at, str_at};
use object::{Value, json};

fn explain(world: &mut World, pod: &str) -> Value {
    world.driver.get(&format!("/debug/scheduler/namespaces/default/pods/{pod}"))
}

fn node<'a>(answer: &'a Value, name: &str) -> &'a Value {
    list_at(answer, &["nodes"]).iter().find(|node| str_at(node, &["name"]) == name).unwrap()
}

/// The texts of the first change, and the nodes that it opens.
fn first_change(answer: &Value) -> (Vec<String>, Vec<String>) {
    let change = list_at(answer, &["changes"]).first().cloned().unwrap_or_default();
    let texts = list_at(&change, &["edits"]).iter().map(|edit| str_at(edit, &["text"]).to_owned()).collect();
    let nodes = list_at(&change, &["nodes"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    (texts, nodes)
}

#[test]
fn every_plugin_speaks_of_every_node() {
    let cordoned = json!({"spec": {"unschedulable": true}});
    let mut world = World::new(&[("a", json!({})), ("b", cordoned)]);
    world.pod("p", json!({}), cpu("1"));
    let answer = explain(&mut world, "p");
    assert_eq!((str_at(&answer, &["state"]), str_at(&answer, &["node"])), ("Scheduled", "a"));
    assert_eq!((i64_at(&answer, &["attempts"]), str_at(&answer, &["lastAttempt", "node"])), (Some(1), "a"));
    let (fits, not) = (node(&answer, "a"), node(&answer, "b"));
    assert_eq!((fits["fits"].as_bool(), not["fits"].as_bool()), (Some(true), Some(false)));
    let weighted: i64 = list_at(fits, &["scores"]).iter().filter_map(|score| i64_at(score, &["weighted"])).sum();
    assert_eq!(i64_at(fits, &["total"]), Some(weighted));
    let refused: Vec<&Value> = list_at(not, &["filters"]).iter().filter(|filter| filter["passed"] == json!(false)).collect();
    let said: Vec<(&str, &Value)> = refused.iter().map(|f| (str_at(f, &["plugin"]), &f["reasons"])).collect();
    let taint = &json!(["node(s) had untolerated taint(s)"]);
    let expected = vec![("NodeUnschedulable", json!(["node(s) were unschedulable"]))];
    let without_taint: Vec<(&str, Value)> =
        said.iter().filter(|(_, reasons)| *reasons != taint).map(|(plugin, reasons)| (*plugin, (*reasons).clone())).collect();
    assert_eq!(without_taint, expected);
}

#[test]
fn the_smallest_change_is_found_by_trying() {
    let away = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"},
    ]}}});
    let port = json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    for (name, more, spec, edits, nodes) in [
        ("a label", json!({}), json!({"nodeSelector": {"disk": "ssd"}}), vec!["kubectl label node n disk=ssd"], vec!["n"]),
        (
            "a toleration",
            json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}),
            json!({}),
            vec!["let the pod tolerate the taint k=v:NoSchedule"],
            vec!["n"],
        ),
        ("less cpu", json!({}), cpu("2500m"), vec!["request 1000m less cpu"], vec!["n"]),
        ("a gate", json!({}), json!({"schedulingGates": [{"name": "g"}]}), vec!["remove the scheduling gates g"], vec!["n"]),
        ("a port", json!({}), port.clone(), vec!["remove default/first from n"], vec!["n"]),
        ("a term", json!({}), away, vec!["drop the required podAntiAffinity term on kubernetes.io/hostname"], vec!["n"]),
        (
            "two at once",
            json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}),
            json!({"nodeSelector": {"disk": "ssd"}}),
            vec!["let the pod tolerate the taint k=:NoExecute", "kubectl label node n disk=ssd"],
            vec!["n"],
        ),
        (
            "less of two resources",
            json!({}),
            json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2", "memory": "2Gi"}}}]}),
            vec!["request 500m less cpu", "request 1073741824 less memory"],
            vec!["n"],
        ),
        ("nothing", json!({}), cpu("1"), vec![], vec![]),
    ] {
        let mut world = World::new(&[("n", more)]);
        let mut first = port.clone();
        first["tolerations"] = json!([{"operator": "Exists"}]);
        first["containers"][0]["resources"] = json!({"requests": {"cpu": "500m"}});
        world.pod("first", json!({"app": "db"}), first).pod("p", json!({}), spec);
        assert_eq!(
            first_change(&explain(&mut world, "p")),
            (edits.iter().map(|e| (*e).to_owned()).collect(), nodes.iter().map(|n| (*n).to_owned()).collect()),
            "{name}"
        );
    }
}

#[test]
fn asking_changes_nothing() {
    let mut world = World::new(&[("a", json!({"labels": {"zone": "x"}})), ("b", json!({}))]);
    world.pod("p", json!({"app": "x"}), cpu("1500m")).pod("q", json!({"app": "x"}), cpu("3"));
    let (first, revision) = (explain(&mut world, "q"), world.driver.journal().len());
    for _ in 0..3 {
        explain(&mut world, "p");
        assert_eq!(explain(&mut world, "q"), first);
    }
    assert_eq!(world.driver.journal().len(), revision);
    assert_eq!(world.pod("r", json!({}), cpu("1")).place("r"), if world.place("p") == "a" { "b" } else { "a" });
}

#[test]
fn who_is_not_there_is_not_found() {
    let mut world = World::new(&[]);
    assert_eq!(world.driver.request("GET", "/debug/scheduler/namespaces/default/pods/x", &Value::Null).status, 404);
    assert_eq!(world.driver.request("DELETE", "/debug/scheduler/namespaces/default/pods/x", &Value::Null).status, 405);
}

/// How often a pod has been tried.
fn attempts(world: &mut World, pod: &str) -> i64 {
    world.driver.settle(20_000);
    i64_at(&explain(world, pod), &["attempts"]).unwrap_or(0)
}

#[test]
fn a_pod_is_tried_again_when_and_only_when_something_may_help_it() {
    let path = "/api/v1/nodes/a";
    let label = |world: &mut World, key: &str| {
        world.driver.request("PATCH", path, &json!({"metadata": {"labels": {key: "x"}}}));
    };
    let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"},
    ]}}});
    type Act = fn(&mut World);
    let grow: Act = |w| {
        w.driver.request("PATCH", "/api/v1/nodes/a/status", &json!({"status": {"allocatable": {"cpu": "4"}}}));
    };
    let leave: Act = |w| {
        w.driver.request("DELETE", "/api/v1/namespaces/default/pods/first?gracePeriodSeconds=0", &Value::Null);
    };
    let untaint: Act = |w| {
        w.driver.request("PATCH", "/api/v1/nodes/a", &json!({"spec": {"taints": null}}));
    };
    let config: Act = |w| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
        w.driver.create("/api/v1/namespaces/default/configmaps", &map);
    };
    let db: Act = |w| {
        w.pod("db", json!({"app": "db"}), json!({"tolerations": [{"operator": "Exists"}]}));
    };
    let other: Act = |w| {
        w.pod("other", json!({"app": "other"}), json!({}));
    };
    let relabel: Act = |w| {
        w.driver.request("PATCH", "/api/v1/namespaces/default/pods/first", &json!({"metadata": {"labels": {"x": "y"}}}));
    };
    let tolerate: Act = |w| {
        w.driver.request(
            "PATCH",
            "/api/v1/namespaces/default/pods/p",
            &json!({"spec": {"tolerations": [{"key": "k", "operator": "Exists"}]}}),
        );
    };
    let tainted = || json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    for (name, node, spec, act, tried) in [
        ("waits for cpu, a ConfigMap comes", json!({}), cpu("2"), config, false),
        ("waits for cpu, a pod's labels change", json!({}), cpu("2"), relabel, false),
        ("waits for cpu, a pod comes", json!({}), cpu("2"), other, false),
        ("waits for cpu, a pod leaves", json!({}), cpu("2"), leave, true),
        ("waits for cpu, the node grows", json!({}), cpu("2"), grow, true),
        ("waits for too much cpu, the node grows too little", json!({}), cpu("5"), grow, false),
        ("kept off by a taint, a pod leaves", tainted(), json!({}), leave, false),
        ("kept off by a taint, the node grows", tainted(), json!({}), grow, false),
        ("kept off by a taint, which goes", tainted(), json!({}), untaint, true),
        ("kept off by a taint, and comes to tolerate it", tainted(), json!({}), tolerate, true),
        ("wants company, another pod comes", json!({}), near.clone(), other, false),
        ("wants company, which comes", json!({}), near, db, true),
    ] {
        let mut world = World::new(&[("a", node)]);
        let mut first = cpu("500m");
        first["tolerations"] = json!([{"operator": "Exists"}]);
        world.pod("first", json!({}), first).pod("p", json!({}), spec);
        let before = attempts(&mut world, "p");
        assert_eq!(before, 1, "{name}: tried once when it came");
        label(&mut world, "unrelated");
        assert_eq!(attempts(&mut world, "p"), 1, "{name}: a label that nobody asks for");
        act(&mut world);
        assert_eq!(attempts(&mut world, "p") > 1, tried, "{name}");
    }
}

#[test]
fn a_label_that_is_asked_for_wakes_the_pod() {
    let mut world = World::new(&[("a", json!({}))]);
    world.pod("p", json!({}), json!({"nodeSelector": {"disk": "ssd"}}));
    world.driver.request("PATCH", "/api/v1/nodes/a", &json!({"metadata": {"labels": {"disk": "hdd"}}}));
    assert_eq!(attempts(&mut world, "p"), 1);
    world.driver.request("PATCH", "/api/v1/nodes/a", &json!({"metadata": {"labels": {"disk": "ssd"}}}));
    assert_eq!(attempts(&mut world, "p"), 2);
    assert_eq!(world.place("p"), "a");
    let condition = at(&world.driver.get("/api/v1/namespaces/default/pods/p"), &["status", "conditions"]).cloned();
    assert_eq!(list_at(&condition.unwrap_or_default(), &[])[0]["status"], json!("True"));
}
