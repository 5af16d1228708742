//! [sig-scheduling]: where pods may go, and who has to leave.

use object::value::{list_at, str_at};
use object::{Value, json};

use crate::{APPS, CORE, World, condition, condition_field, name_of, pause_pod, workload};

fn node_of(pod: &Value) -> &str {
    str_at(pod, &["spec", "nodeName"])
}

#[track_caller]
fn wait_unschedulable(world: &mut World, name: &str) -> String {
    let path = format!("{CORE}/pods/{name}");
    world.wait("it cannot be placed", |w| condition_field(&w.get(&path), "PodScheduled", "reason") == "Unschedulable");
    let pod = world.get(&path);
    condition_field(&pod, "PodScheduled", "message").to_owned()
}

fn with_cpu(name: &str, cpu: &str) -> Value {
    let mut pod = pause_pod(name);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    pod
}

/// SchedulerPredicates validates resource limits of pods that are allowed to run
#[test]
fn too_much_cpu_does_not_fit() {
    let mut world = World::start();
    for i in 0..3 {
        let mut pod = with_cpu(&format!("filler-{i}"), "11");
        pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [format!("sim-000{}", i + 1)]}]}]}}});
        world.create(&format!("{CORE}/pods"), &pod);
        world.wait_for_pod(&format!("filler-{i}"), "Running");
    }
    world.create(&format!("{CORE}/pods"), &with_cpu("additional", "8"));
    assert_eq!(
        wait_unschedulable(&mut world, "additional"),
        "0/3 nodes are available: 3 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: \
         3 No preemption victims found for incoming pod."
    );
    let events = world.events("additional");
    assert!(events[0].starts_with("Warning FailedScheduling: 0/3 nodes are available: 3 Insufficient cpu."), "{events:?}");
    world.delete(&format!("{CORE}/pods/filler-0"));
    world.wait_for_pod("additional", "Running");
}

/// SchedulerPredicates validates that NodeSelector is respected if matching / if not matching
#[test]
fn node_selectors_are_respected() {
    let mut world = World::start();
    let mut pod = pause_pod("restricted");
    pod["spec"]["nodeSelector"] = json!({"label": "nonempty"});
    world.create(&format!("{CORE}/pods"), &pod);
    let message = wait_unschedulable(&mut world, "restricted");
    assert!(message.starts_with("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."), "{message}");
    world.patch("/api/v1/nodes/sim-0002", &json!({"metadata": {"labels": {"label": "nonempty"}}}));
    let pod = world.wait_for_pod("restricted", "Running");
    assert_eq!(node_of(&pod), "sim-0002");
}

/// SchedulerPredicates validates that there exists conflict between pods with same hostPort and protocol but one using 0.0.0.0 hostIP;
/// HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol
#[test]
fn host_ports_conflict_only_where_they_overlap() {
    let mut world = World::start();
    let on = |name: &str, ip: &str, protocol: &str| {
        let mut pod = pause_pod(name);
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "sim-0001"});
        pod["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 8080, "hostPort": 54322, "hostIP": ip, "protocol": protocol}]);
        pod
    };
    for (name, ip, protocol) in [("pod1", "127.0.0.1", "TCP"), ("pod2", "172.18.0.2", "TCP"), ("pod3", "172.18.0.2", "UDP")] {
        world.create(&format!("{CORE}/pods"), &on(name, ip, protocol));
        world.wait_for_pod(name, "Running");
    }
    world.create(&format!("{CORE}/pods"), &on("pod4", "", "TCP"));
    let message = wait_unschedulable(&mut world, "pod4");
    assert!(message.contains("1 node(s) didn't have free ports for the requested pod ports"), "{message}");
}

/// SchedulerPreemption validates basic preemption works; validates lower priority pod preemption by critical pod
#[test]
fn a_critical_pod_preempts_the_least_important() {
    let mut world = World::start();
    for i in 1..=3 {
        let capacity = json!({"status": {"capacity": {"scheduling.k8s.io/foo": "5"}}});
        world.strategic(&format!("/api/v1/nodes/sim-000{i}/status"), &capacity);
        let node = world.get(&format!("/api/v1/nodes/sim-000{i}"));
        assert_eq!(node["status"]["capacity"]["scheduling.k8s.io/foo"], "5");
        let allocatable = json!({"status": {"allocatable": {"scheduling.k8s.io/foo": "5"}}});
        world.strategic(&format!("/api/v1/nodes/sim-000{i}/status"), &allocatable);
    }
    for (name, value) in [("p1", 1), ("p2", 2), ("p3", 3), ("p4", 4)] {
        let class =
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value});
        world.create("/apis/scheduling.k8s.io/v1/priorityclasses", &class);
    }
    let of = |name: &str, class: &str, amount: &str| {
        let mut pod = pause_pod(name);
        pod["spec"]["priorityClassName"] = class.into();
        let resources = json!({"scheduling.k8s.io/foo": amount});
        pod["spec"]["containers"][0]["resources"] = json!({"requests": resources, "limits": resources});
        pod
    };
    for i in 0..3 {
        let class = if i == 0 { "p1" } else { "p4" };
        world.create(&format!("{CORE}/pods"), &of(&format!("pod{i}"), class, "4"));
        world.wait_for_pod(&format!("pod{i}"), "Running");
    }
    let victims_node = node_of(&world.get(&format!("{CORE}/pods/pod0"))).to_owned();
    world.create(&format!("{CORE}/pods"), &of("preemptor", "p2", "4"));
    let pod = world.wait_for_pod("preemptor", "Running");
    assert_eq!(node_of(&pod), victims_node);
    assert!(!world.exists(&format!("{CORE}/pods/pod0")));
    assert!(world.exists(&format!("{CORE}/pods/pod1")) && world.exists(&format!("{CORE}/pods/pod2")));
    // A critical pod may be made in kube-system only; it preempts too.
    let mut critical = of("critical", "system-cluster-critical", "4");
    critical["metadata"]["namespace"] = "kube-system".into();
    world.create("/api/v1/namespaces/kube-system/pods", &critical);
    world.wait("it runs", |w| condition(&w.get("/api/v1/namespaces/kube-system/pods/critical"), "Ready") == "True");
}

/// SchedulerPreemption PreemptionExecutionPath runs ReplicaSets to verify preemption running path
#[test]
fn replica_sets_preempt_each_other_in_the_order_of_their_priorities() {
    let mut world = World::start();
    let amount = json!({"status": {"capacity": {"example.com/fakecpu": "1000"}, "allocatable": {"example.com/fakecpu": "1000"}}});
    world.strategic("/api/v1/nodes/sim-0001/status", &amount);
    for value in 1..=4 {
        let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": format!("p{value}")}, "value": value});
        world.create("/apis/scheduling.k8s.io/v1/priorityclasses", &class);
    }
    let set = |value: u32, replicas: u32, each: u32| {
        let name = format!("rs-{value}");
        let mut set = workload("ReplicaSet", &name, replicas);
        set["spec"]["template"]["spec"]["priorityClassName"] = format!("p{value}").into();
        set["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "sim-0001"});
        let amount = json!({"example.com/fakecpu": each.to_string()});
        set["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": amount, "limits": amount});
        set
    };
    for (value, replicas, each) in [(1, 5, 100), (2, 4, 100), (3, 2, 100)] {
        if value < 3 {
            world.create(&format!("{APPS}/replicasets"), &set(value, replicas, each));
            world.settle(3);
        }
    }
    world.create(&format!("{APPS}/replicasets"), &set(3, 4, 200));
    let path = format!("{APPS}/replicasets/rs-3");
    world.wait("the most important runs", |w| w.get(&path)["status"]["readyReplicas"] == 4);
    let running = |w: &mut World, name: &str| {
        w.pods(&format!("app={name}")).iter().filter(|p| str_at(p, &["status", "phase"]) == "Running").count()
    };
    assert_eq!((running(&mut world, "rs-1"), running(&mut world, "rs-2")), (0, 2), "the least important went first");
}

/// SchedulerPreemption PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods
#[test]
fn a_priority_class_keeps_its_value() {
    let mut world = World::start();
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    world.create(
        classes,
        &json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "p1"}, "value": 1}),
    );
    world.patch(&format!("{classes}/p1"), &json!({"description": "updated"}));
    let refused = world.ask("PATCH", &format!("{classes}/p1"), &json!({"value": 9}));
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("may not be changed in an update."), "{}", refused.text());
}

/// LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied
#[test]
fn limit_ranges_give_defaults() {
    let mut world = World::start();
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limit-range"}, "spec": {"limits": [{
        "type": "Container", "min": {"cpu": "50m", "memory": "100Mi", "ephemeral-storage": "100Gi"}, "max": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
        "default": {"cpu": "500m", "memory": "500Mi", "ephemeral-storage": "500Gi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi", "ephemeral-storage": "200Gi"}}]}});
    world.create(&format!("{CORE}/limitranges"), &range);
    let made = world.create(&format!("{CORE}/pods"), &pause_pod("defaults"));
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(
        resources,
        &json!({"limits": {"cpu": "500m", "ephemeral-storage": "500Gi", "memory": "500Mi"},
        "requests": {"cpu": "100m", "ephemeral-storage": "200Gi", "memory": "200Mi"}})
    );
    let refused = world.ask("POST", &format!("{CORE}/pods"), &with_cpu("small", "10m"));
    assert_eq!(refused.status, 403, "{}", refused.text());
}

/// Pods with scheduling gates are left alone until the last gate is gone (KEP-3521).
#[test]
fn gates_hold_pods_back() {
    let mut world = World::start();
    let mut pod = pause_pod("gated");
    pod["spec"]["schedulingGates"] = json!([{"name": "example.com/foo"}, {"name": "example.com/bar"}]);
    world.create(&format!("{CORE}/pods"), &pod);
    world.settle(5);
    let path = format!("{CORE}/pods/gated");
    assert_eq!(condition_field(&world.get(&path), "PodScheduled", "reason"), "SchedulingGated");
    world.patch(&path, &json!({"spec": {"schedulingGates": [{"name": "example.com/bar"}]}}));
    world.settle(5);
    assert_eq!(node_of(&world.get(&path)), "");
    world.patch(&path, &json!({"spec": {"schedulingGates": null}}));
    let pod = world.wait_for_pod("gated", "Running");
    assert_eq!(list_at(&pod, &["spec", "schedulingGates"]).len(), 0);
    assert_eq!(name_of(&pod), "gated");
}
