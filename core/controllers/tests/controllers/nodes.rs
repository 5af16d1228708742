//! Nodes that fall silent, and what becomes of their pods.
//!
//! <https://kubernetes.io/docs/concepts/architecture/nodes/>

use crate::support::{World, pods};
use apiserver::gvr;
use object::{GroupVersionResource, Value, json};

fn nodes() -> GroupVersionResource {
    gvr("", "v1", "nodes")
}

fn leases() -> GroupVersionResource {
    gvr("coordination.k8s.io", "v1", "leases")
}

/// A node that has said that it is ready, and has a lease.
fn join(world: &mut World, name: &str, labels: Value) {
    let conditions =
        json!([{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}]);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}});
    world.create(&nodes(), node);
    let meta = json!({"name": name, "namespace": "kube-node-lease"});
    world.create(&leases(), json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": {}}));
    world.patch(&nodes(), "", name, json!({"metadata": {"labels": {"seen": "yes"}}}));
}

/// A sign of life.
fn renew(world: &mut World, name: &str) {
    let spec = json!({"spec": {"holderIdentity": name, "renewTime": world.now.rfc3339_micros()}});
    world.patch(&leases(), "kube-node-lease", name, spec);
}

/// Lets time pass in which these nodes give signs of life.
fn pass(world: &mut World, seconds: u64, alive: &[&str]) {
    for _ in 0..seconds / 10 {
        alive.iter().for_each(|name| renew(world, name));
        world.pass(10);
    }
}

fn pod(world: &mut World, name: &str, node: &str, tolerations: Value) {
    let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "i"}], "tolerations": tolerations});
    let meta = json!({"name": name, "namespace": "default"});
    let made = world.create(&pods(), json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}));
    world.set_ready(&made, true);
}

fn condition(world: &mut World, node: &str, kind: &str) -> Value {
    let node = world.get(&nodes(), "", node).expect("the node");
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == kind).unwrap_or_default()
}

fn taints(world: &mut World, node: &str) -> Vec<String> {
    let node = world.get(&nodes(), "", node).expect("the node");
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let short = |taint: &Value| taint["key"].as_str().unwrap().replace("node.kubernetes.io/", "");
    taints.iter().map(|taint| format!("{}:{}", short(taint), taint["effect"].as_str().unwrap())).collect()
}

/// <https://kubernetes.io/docs/reference/node/node-status/#heartbeats>
#[test]
fn a_silent_node_is_not_known_to_be_ready() {
    let mut world = World::new();
    join(&mut world, "a", json!({}));
    join(&mut world, "b", json!({}));
    pod(&mut world, "web", "a", json!([]));
    pass(&mut world, 40, &["b"]);
    assert_eq!(condition(&mut world, "a", "Ready")["status"], "True", "fifty seconds are not over");
    pass(&mut world, 20, &["b"]);
    let ready = condition(&mut world, "a", "Ready");
    assert_eq!([&ready["status"], &ready["reason"]], ["Unknown", "NodeStatusUnknown"]);
    assert_eq!(ready["message"], "Kubelet stopped posting node status.");
    let pressure = condition(&mut world, "a", "DiskPressure");
    assert_eq!([&pressure["status"], &pressure["reason"]], ["Unknown", "NodeStatusNeverUpdated"]);
    assert_eq!(taints(&mut world, "a"), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
    assert_eq!(condition(&mut world, "b", "Ready")["status"], "True");
    let web = world.get(&pods(), "default", "web").expect("it has 300 seconds");
    assert_eq!(web["status"]["conditions"][0]["status"], "False");
    assert!(world.events("web").contains(&"NodeNotReady: Node is not ready".to_owned()));
    let said =
        ["RegisteredNode: Node a event: Registered Node a in Controller", "NodeNotReady: Node a status is now: NodeNotReady"];
    assert_eq!(world.events("a"), said);
}

/// <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions>
#[test]
fn pods_leave_when_their_tolerance_is_over() {
    let mut world = World::new();
    join(&mut world, "a", json!({}));
    join(&mut world, "b", json!({}));
    let for_ever = json!([{"operator": "Exists"}]);
    pod(&mut world, "web", "a", json!([]));
    pod(&mut world, "agent", "a", for_ever);
    pass(&mut world, 60 + 280, &["b"]);
    let web = world.get(&pods(), "default", "web").expect("its 300 seconds are not over");
    assert_eq!(web["metadata"]["deletionTimestamp"], Value::Null);
    pass(&mut world, 20, &["b"]);
    let web = world.get(&pods(), "default", "web").expect("nobody has said that it has ended");
    assert!(web["metadata"]["deletionTimestamp"].is_string());
    let target = web["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "DisruptionTarget");
    let target = target.expect("it says why");
    assert_eq!(
        [&target["reason"], &target["message"]],
        ["DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"]
    );
    assert!(world.events("web").contains(&"TaintManagerEviction: Marking for deletion Pod default/web".to_owned()));
    let agent = world.get(&pods(), "default", "agent").expect("it tolerates everything");
    assert_eq!(agent["metadata"]["deletionTimestamp"], Value::Null);
}

#[test]
fn pods_stay_when_their_node_comes_back_in_time() {
    let mut world = World::new();
    join(&mut world, "a", json!({}));
    join(&mut world, "b", json!({}));
    pod(&mut world, "web", "a", json!([]));
    pass(&mut world, 100, &["b"]);
    assert_eq!(taints(&mut world, "a").len(), 2);
    renew(&mut world, "a");
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let mut node = world.get(&nodes(), "", "a").unwrap();
    node["status"]["conditions"] = ready;
    let admin = apiserver::UserInfo::new("admin", &["system:masters"]);
    world.api.client(world.now, &admin).update_status(&nodes(), "", "a", node).expect("it speaks");
    world.settle();
    assert_eq!(taints(&mut world, "a"), [""; 0]);
    assert!(world.events("web").contains(&"TaintManagerEviction: Cancelling deletion of Pod default/web".to_owned()));
}

#[test]
fn a_taint_without_tolerance_acts_at_once() {
    let mut world = World::new();
    join(&mut world, "a", json!({}));
    pod(&mut world, "web", "a", json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}]));
    pod(&mut world, "other", "a", json!([]));
    world.patch(&nodes(), "", "a", json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}));
    let deleted = |world: &mut World, name: &str| {
        world.get(&pods(), "default", name).is_none_or(|pod| pod["metadata"]["deletionTimestamp"].is_string())
    };
    assert!(deleted(&mut world, "other") && !deleted(&mut world, "web"));
    world.pass(31);
    assert!(deleted(&mut world, "web"), "a taint that does not say since when counts from when it was seen");
}

/// <https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction>
#[test]
fn nodes_of_a_zone_are_given_up_one_after_another() {
    let mut world = World::new();
    let names = ["a", "b", "c", "d", "e"];
    names.iter().for_each(|name| join(&mut world, name, json!({"topology.kubernetes.io/zone": "west"})));
    pass(&mut world, 50, &["c", "d", "e"]);
    let evicted = |world: &mut World| names.iter().filter(|name| taints(world, name).len() == 2).count();
    assert_eq!(evicted(&mut world), 1);
    pass(&mut world, 10, &["c", "d", "e"]);
    assert_eq!(evicted(&mut world), 2);
    pass(&mut world, 100, &["e"]);
    assert_eq!(evicted(&mut world), 3, "the third goes before the zone is disrupted, and then a small zone keeps what it has");
    world.pass(100);
    assert_eq!(evicted(&mut world), 0, "when all are silent it is not they who failed");
}

/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection>
#[test]
fn pods_of_a_node_that_is_gone_go_after_a_while() {
    let mut world = World::new();
    join(&mut world, "a", json!({}));
    pod(&mut world, "web", "a", json!([]));
    world.delete(&nodes(), "", "a", &Default::default());
    world.pass(39);
    assert!(world.get(&pods(), "default", "web").is_some());
    world.pass(2);
    assert!(world.get(&pods(), "default", "web").is_none());
}

#[test]
fn a_node_learns_how_long_it_may_keep_what_it_read_and_its_part_of_the_addresses() {
    let mut world = World::new();
    join(&mut world, "a", json!({"kubernetes.io/os": "wasi"}));
    join(&mut world, "b", json!({}));
    let node = world.get(&nodes(), "", "a").unwrap();
    assert_eq!(node["metadata"]["annotations"]["node.alpha.kubernetes.io/ttl"], "0");
    assert_eq!(node["metadata"]["labels"]["beta.kubernetes.io/os"], "wasi");
    assert_eq!(node["spec"]["podCIDR"], "10.244.0.0/24");
    assert_eq!(world.get(&nodes(), "", "b").unwrap()["spec"]["podCIDRs"], json!(["10.244.1.0/24"]));
}
