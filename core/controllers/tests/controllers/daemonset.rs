//! A DaemonSet, told from the outside: <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/>.

use crate::support::{World, name, pods, template};
use apiserver::{DeleteOptions, gvr};
use object::{GroupVersionResource, Value, json};

fn sets() -> GroupVersionResource {
    gvr("apps", "v1", "daemonsets")
}

fn nodes() -> GroupVersionResource {
    gvr("", "v1", "nodes")
}

/// Nodes of these names, and one DaemonSet, `d`.
fn daemons(on: &[&str], more: Value) -> World {
    let mut world = World::new();
    for node in on {
        world.node(node, json!({}));
    }
    let mut spec = json!({"selector": {"matchLabels": {"app": "d"}}, "template": template("d")});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    world.make(&sets(), "DaemonSet", "d", spec);
    world
}

/// The node that a daemon is meant for.
fn target(pod: &Value) -> String {
    let path =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0";
    pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn lives(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
}

/// The nodes that daemons are meant for.
fn placed(world: &World) -> Vec<String> {
    let mut on: Vec<String> = world.list(&pods()).iter().filter(|pod| lives(pod)).map(target).collect();
    on.sort();
    on
}

fn status(world: &mut World) -> Value {
    world.there(&sets(), "d")["status"].clone()
}

fn taint(key: &str, effect: &str) -> Value {
    json!({"taints": [{"key": key, "effect": effect}]})
}

fn update(world: &mut World) {
    let containers = json!([{"name": "c", "image": "new"}]);
    world.patch(&sets(), "default", "d", json!({"spec": {"template": {"spec": {"containers": containers}}}}));
}

fn count(world: &World, image: &str) -> usize {
    world.list(&pods()).iter().filter(|pod| lives(pod) && pod["spec"]["containers"][0]["image"] == image).count()
}

#[test]
fn every_node_that_fits_runs_one_pod() {
    let mut world = daemons(&["a", "b"], json!({}));
    assert_eq!(placed(&world), ["a", "b"]);
    world.node("c", json!({}));
    assert_eq!(placed(&world), ["a", "b", "c"], "a node that joins gets one");
    world.delete(&nodes(), "", "a", &DeleteOptions::default());
    world.pass(45);
    assert_eq!(placed(&world), ["b", "c"], "that of a node that leaves goes");
    world.roll();
    let status = status(&mut world);
    let numbers =
        ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled"];
    assert!(numbers.iter().all(|number| status[number] == 2), "{status}");
}

#[test]
fn it_runs_on_selected_nodes_only() {
    let mut selecting = template("d");
    selecting["spec"]["nodeSelector"] = json!({"rack": "b"});
    let mut world = daemons(&["a", "b"], json!({"template": selecting}));
    assert_eq!(placed(&world), ["b"]);
    world.patch(&nodes(), "", "a", json!({"metadata": {"labels": {"rack": "b"}}}));
    assert_eq!(placed(&world), ["a", "b"], "when labels change it follows");
    world.patch(&nodes(), "", "b", json!({"metadata": {"labels": {"rack": "x"}}}));
    assert_eq!(placed(&world), ["a"]);
}

#[test]
fn daemons_tolerate_what_their_nodes_suffer_from() {
    let mut world = World::new();
    world.node("closed", json!({"unschedulable": true}));
    world.node("full", taint("node.kubernetes.io/disk-pressure", "NoSchedule"));
    world.node("lost", taint("node.kubernetes.io/unreachable", "NoExecute"));
    world.node("reserved", taint("dedicated", "NoSchedule"));
    let mut spec = json!({"selector": {"matchLabels": {"app": "d"}}, "template": template("d")});
    spec["template"]["spec"]["tolerations"] =
        json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]);
    world.make(&sets(), "DaemonSet", "d", spec);
    assert_eq!(placed(&world), ["closed", "full", "lost"]);
    let pod = &world.list(&pods())[0];
    let first = &pod["spec"]["tolerations"][0];
    assert_eq!(*first, json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}), "for ever");
}

#[test]
fn a_taint_keeps_new_daemons_out_or_drives_the_old_away() {
    let mut world = daemons(&["a", "b"], json!({}));
    world.roll();
    world.patch(&nodes(), "", "a", json!({"spec": taint("dedicated", "NoSchedule")}));
    assert_eq!(placed(&world), ["a", "b"], "what runs may stay");
    let counted = status(&mut world);
    assert_eq!((&counted["desiredNumberScheduled"], &counted["numberMisscheduled"]), (&json!(1), &json!(1)));
    world.patch(&nodes(), "", "a", json!({"spec": taint("dedicated", "NoExecute")}));
    assert_eq!(placed(&world), ["b"]);
}

#[test]
fn a_rolling_update_replaces_as_many_at_a_time_as_may_be_unavailable() {
    for (most, left) in [(json!(1), 3), (json!("50%"), 2)] {
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}});
        let mut world = daemons(&["a", "b", "c", "d"], json!({"updateStrategy": strategy}));
        world.roll();
        update(&mut world);
        assert_eq!(count(&world, "i"), left, "{most}");
        world.roll();
        assert_eq!((count(&world, "new"), count(&world, "i")), (4, 0), "{most}");
    }
}

#[test]
fn daemons_that_do_not_serve_are_replaced_first_and_are_no_loss() {
    let mut world = daemons(&["a", "b", "c"], json!({}));
    world.roll();
    let broken = world.list(&pods()).into_iter().find(|pod| target(pod) == "b").expect("it runs");
    world.set_ready(&broken, false);
    update(&mut world);
    assert_eq!(count(&world, "i"), 1, "the broken one, and one more");
}

#[test]
fn with_a_surge_the_new_daemon_comes_before_the_old_one_goes() {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let mut world = daemons(&["a", "b"], json!({"updateStrategy": strategy}));
    world.roll();
    update(&mut world);
    assert_eq!((count(&world, "i"), count(&world, "new")), (2, 1));
    world.run_pods();
    assert_eq!(count(&world, "i"), 1, "once the new one serves");
    world.roll();
    assert_eq!((count(&world, "new"), count(&world, "i")), (2, 0));
}

#[test]
fn with_on_delete_daemons_are_replaced_when_somebody_deletes_them() {
    let mut world = daemons(&["a", "b"], json!({"updateStrategy": {"type": "OnDelete"}}));
    world.roll();
    update(&mut world);
    world.roll();
    assert_eq!(count(&world, "i"), 2);
    let first = name(&world.list(&pods())[0]);
    world.delete(&pods(), "default", &first, &DeleteOptions::default());
    world.roll();
    assert_eq!((count(&world, "i"), count(&world, "new")), (1, 1));
    assert_eq!(status(&mut world)["updatedNumberScheduled"], 1);
}

#[test]
fn a_failed_daemon_is_replaced_at_once_and_then_later_and_later() {
    let mut world = daemons(&["a"], json!({}));
    for delay in [0, 1, 2, 4] {
        let pod = name(&world.list(&pods())[0]);
        world.end(&pod, 1);
        if delay > 0 {
            assert_eq!(name(&world.list(&pods())[0]), pod, "not before {delay} seconds");
        }
        world.pass(delay);
        world.run_pods();
        let left = world.names(&pods());
        assert!(left.len() == 1 && left[0] != pod, "after {delay} seconds");
    }
    let said = world.said("DaemonSet");
    assert!(
        said.iter().any(|event| event.starts_with("Warning FailedDaemonPod: Found failed daemon pod default/d-")),
        "{said:?}"
    );
}

#[test]
fn a_daemon_that_ends_well_is_started_again() {
    let mut world = daemons(&["a"], json!({}));
    let pod = name(&world.list(&pods())[0]);
    world.end(&pod, 0);
    world.run_pods();
    assert_ne!(world.names(&pods()), [pod]);
    let said = world.said("DaemonSet");
    assert!(said.iter().any(|event| event.starts_with("Normal SucceededDaemonPod: Found succeeded daemon pod default/d-")));
}

#[test]
fn its_revisions_carry_the_hash_that_its_pods_carry() {
    let mut world = daemons(&["a"], json!({"revisionHistoryLimit": 1}));
    world.roll();
    let hash = world.list(&pods())[0]["metadata"]["labels"]["controller-revision-hash"].clone();
    let revision = world.list(&gvr("apps", "v1", "controllerrevisions")).remove(0);
    assert_eq!(revision["metadata"]["labels"]["controller-revision-hash"], hash);
    assert_eq!(name(&revision), format!("d-{}", hash.as_str().unwrap_or_default()));
    for round in 0..3 {
        let containers = json!([{"name": "c", "image": format!("i:{round}")}]);
        world.patch(&sets(), "default", "d", json!({"spec": {"template": {"spec": {"containers": containers}}}}));
        world.roll();
    }
    assert_eq!(world.list(&gvr("apps", "v1", "controllerrevisions")).len(), 2);
}

#[test]
fn a_daemon_counts_as_available_after_its_minimum_time() {
    let mut world = daemons(&["a"], json!({"minReadySeconds": 20}));
    world.roll();
    assert_eq!(status(&mut world)["numberUnavailable"], 1);
    world.pass(20);
    let status = status(&mut world);
    assert_eq!((&status["numberAvailable"], &status["numberUnavailable"]), (&json!(1), &Value::Null));
}
