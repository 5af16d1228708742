//! Who has to go so that a more important pod fits. Nodes here are objects only; nothing runs on them.

use object::value::{list_at, str_at};
use object::{Value, json};
use wasmkube_cluster::Config;
use wasmkube_cluster::driver::Driver;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Nodes `a` and `b` with one CPU each, and priority classes `low`, `mid`, `high` and `meek`, which is high but never preempts.
fn world() -> Driver {
    let mut driver = Driver::start(Config { controllers: Vec::new(), ..Config::default() });
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    driver.create("/api/v1/namespaces/default/serviceaccounts", &account);
    for (name, value, policy) in
        [("low", 1, None), ("mid", 5, None), ("high", 10, None), ("meek", 10, Some("Never")), ("top", 20, None)]
    {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "preemptionPolicy": policy});
        driver.create("/apis/scheduling.k8s.io/v1/priorityclasses", &class);
    }
    for name in ["a", "b"] {
        let labels = json!({"kubernetes.io/hostname": name});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        driver.create("/api/v1/nodes", &node);
        driver.request("PATCH", &format!("/api/v1/nodes/{name}"), &json!({"spec": {"taints": null}}));
        let status = json!({"status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}}});
        driver.request("PATCH", &format!("/api/v1/nodes/{name}/status"), &status);
    }
    driver
}

fn pod(driver: &mut Driver, name: &str, class: &str, node: Option<&str>, cpu: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "priorityClassName": class, "terminationGracePeriodSeconds": 0,
            "nodeSelector": node.map(|node| json!({"kubernetes.io/hostname": node})),
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}],
        },
    });
    driver.create(PODS, &pod);
    driver.settle(3_000);
}

fn names(driver: &mut Driver) -> Vec<String> {
    let list = driver.get(PODS);
    list_at(&list, &["items"]).iter().map(|pod| str_at(pod, &["metadata", "name"]).to_owned()).collect()
}

fn node_of(driver: &mut Driver, name: &str) -> String {
    str_at(&driver.get(&format!("{PODS}/{name}")), &["spec", "nodeName"]).to_owned()
}

#[test]
fn the_least_important_go() {
    for (name, pods, newcomer, left) in [
        ("lower priority goes first", vec![("x", "mid", "a", "1"), ("y", "low", "b", "1")], "1", vec!["new", "x"]),
        (
            "fewer go",
            vec![("x", "low", "a", "400m"), ("y", "low", "a", "400m"), ("z", "low", "b", "800m")],
            "1",
            vec!["new", "x", "y"],
        ),
        (
            "those stay that need not go",
            vec![("x", "low", "a", "500m"), ("y", "mid", "a", "400m"), ("z", "high", "b", "1")],
            "500m",
            vec!["new", "y", "z"],
        ),
        ("equals stay", vec![("x", "high", "a", "1"), ("y", "high", "b", "1")], "1", vec!["new", "x", "y"]),
    ] {
        let mut driver = world();
        for (pod_name, class, node, cpu) in pods {
            pod(&mut driver, pod_name, class, Some(node), cpu);
        }
        pod(&mut driver, "new", "high", None, newcomer);
        assert_eq!(names(&mut driver), left, "{name}");
        assert_eq!(node_of(&mut driver, "new").is_empty(), name == "equals stay", "{name}");
    }
}

#[test]
fn budgets_are_spared_where_possible() {
    let mut driver = world();
    pod(&mut driver, "x", "low", Some("a"), "1");
    pod(&mut driver, "y", "mid", Some("b"), "1");
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}});
    driver.create("/apis/policy/v1/namespaces/default/poddisruptionbudgets", &budget);
    pod(&mut driver, "new", "high", None, "1");
    assert_eq!(names(&mut driver), ["new", "x"], "the budget weighs more than the priority");
    pod(&mut driver, "newer", "top", Some("a"), "1");
    assert_eq!(names(&mut driver), ["new", "newer"], "but nothing protects for certain");
}

#[test]
fn what_is_said() {
    let mut driver = world();
    pod(&mut driver, "x", "low", Some("a"), "1");
    pod(&mut driver, "y", "low", Some("b"), "1");
    pod(&mut driver, "meek", "meek", None, "1");
    let meek = driver.get(&format!("{PODS}/meek"));
    let message = |pod: &Value| str_at(&list_at(pod, &["status", "conditions"])[0], &["message"]).to_owned();
    assert_eq!(
        message(&meek),
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, \
         preemption: not eligible due to preemptionPolicy=Never."
    );
    let finalizers = json!({"metadata": {"finalizers": ["wasmkube.dev/hold"]}});
    driver.request("PATCH", &format!("{PODS}/x"), &finalizers);
    pod(&mut driver, "new", "high", Some("a"), "1");
    let (x, new) = (driver.get(&format!("{PODS}/x")), driver.get(&format!("{PODS}/new")));
    let target = list_at(&x, &["status", "conditions"]).iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!(target["reason"], "PreemptionByScheduler");
    assert_eq!(target["message"], "default-scheduler: preempting to accommodate a higher priority pod");
    assert_eq!(new["status"]["nominatedNodeName"], "a");
    assert_eq!(
        message(&new),
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector."
    );
    let events = driver.get("/api/v1/namespaces/default/events");
    let preempted = list_at(&events, &["items"]).iter().find(|e| e["reason"] == "Preempted").unwrap();
    let uid = str_at(&new, &["metadata", "uid"]);
    assert_eq!(str_at(preempted, &["message"]), format!("Preempted by pod {uid} on node a"));
    // While it waits, nobody of lower priority takes the room that was made.
    driver.request("PATCH", &format!("{PODS}/x"), &json!({"metadata": {"finalizers": null}}));
    driver.settle(15_000);
    assert_eq!(node_of(&mut driver, "new"), "a");
}
