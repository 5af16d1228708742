//! [sig-node]: pods, ephemeral and init containers, taints, nodes.

use object::value::{at, list_at, str_at};
use object::{Value, json};

use crate::{CORE, World, condition, condition_field, is_deleting, name_of, number, pause_pod};

fn reason(status: &Value) -> &str {
    str_at(status, &["state", "waiting", "reason"])
}

/// Pods should be submitted and removed
#[test]
fn pods_are_submitted_and_removed() {
    let mut world = World::start();
    let watch = world.driver.send("GET", &format!("{CORE}/pods?watch=true&labelSelector=name=foo"), "", "");
    let mut pod = pause_pod("foo");
    pod["spec"]["terminationGracePeriodSeconds"] = 30.into();
    world.create(&format!("{CORE}/pods"), &pod);
    world.wait_for_pod("foo", "Running");
    world.must("DELETE", &format!("{CORE}/pods/foo"), &json!({"gracePeriodSeconds": 30}));
    world.wait_gone(&format!("{CORE}/pods/foo"));
    let events = world.driver.answer(watch).events();
    let kinds: Vec<&str> = events.iter().map(|e| str_at(e, &["type"])).collect();
    assert_eq!(kinds.first(), Some(&"ADDED"));
    assert_eq!(kinds.last(), Some(&"DELETED"));
    let last = &events[events.len() - 1]["object"];
    assert_eq!(last["metadata"]["deletionGracePeriodSeconds"], 0, "the kubelet deletes with no grace");
    assert_ne!(last["spec"]["terminationGracePeriodSeconds"], 0);
    let deleting = events.iter().find(|e| is_deleting(&e["object"])).expect("its deletion was seen");
    assert_eq!(deleting["type"], "MODIFIED");
    assert_eq!(world.pods("name=foo").len(), 0);
}

/// Pods should be updated; Pods should allow activeDeadlineSeconds to be updated
#[test]
fn a_pods_deadline_can_be_shortened() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &pause_pod("p"));
    world.wait_for_pod("p", "Running");
    world.patch(
        &format!("{CORE}/pods/p"),
        &json!({"metadata": {"labels": {"time": "later"}}, "spec": {"activeDeadlineSeconds": 5}}),
    );
    assert_eq!(world.pods("time=later").len(), 1);
    let pod = world.wait_for_pod("p", "Failed");
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    let refused = world.ask("PATCH", &format!("{CORE}/pods/p"), &json!({"spec": {"activeDeadlineSeconds": 50}}));
    assert_eq!(refused.status, 422, "{}", refused.text());
}

/// Pods should run through the lifecycle of Pods and PodStatus; Pods should patch a pod status
#[test]
fn a_pods_status_can_be_written_by_others() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &pause_pod("p"));
    world.wait_for_pod("p", "Running");
    let condition_of = |kind: &str| json!({"status": {"conditions": [{"type": kind, "status": "True", "reason": "Set"}], "message": "Patched by e2e test", "reason": "E2E"}});
    let patched = world.strategic(&format!("{CORE}/pods/p/status"), &condition_of("Extra"));
    assert_eq!(patched["status"]["message"], "Patched by e2e test");
    world.settle(20);
    let pod = world.get(&format!("{CORE}/pods/p"));
    assert_eq!(condition(&pod, "Extra"), "True", "the kubelet leaves others' conditions alone");
    assert_eq!(condition(&pod, "Ready"), "True");
}

/// Pods should run through the lifecycle of Pods and PodStatus: it replaces the image, and at once counts on the pod's being ready.
#[test]
fn a_pod_whose_image_changes_does_not_stop_being_ready() {
    let mut world = World::start();
    let path = format!("{CORE}/pods/p");
    world.create(&format!("{CORE}/pods"), &pause_pod("p"));
    world.wait_for_pod("p", "Running");
    world.strategic(&path, &json!({"spec": {"containers": [{"name": "pause", "image": "httpd:2.4"}]}}));
    let mut restarts = 0;
    while restarts == 0 {
        let pod = world.get(&path);
        assert_eq!((condition(&pod, "Ready"), condition(&pod, "ContainersReady")), ("True", "True"));
        restarts = number(&pod["status"]["containerStatuses"][0], &["restartCount"]);
        world.driver.settle(5);
    }
}

/// Pod InPlace Resize Container resize pod via the replace endpoint
#[test]
fn a_pod_is_resized_in_place() {
    let mut world = World::start();
    let (path, resize) = (format!("{CORE}/pods/p"), format!("{CORE}/pods/p/resize"));
    let of = |cpu: &str| json!({"requests": {"cpu": cpu, "memory": "35Mi"}});
    let mut pod = pause_pod("p");
    pod["spec"]["containers"][0]["resources"] = of("20m");
    world.create(&format!("{CORE}/pods"), &pod);
    let mut pod = world.wait_for_pod("p", "Running");
    assert_eq!(pod["status"]["containerStatuses"][0]["resources"], of("20m"));
    pod["spec"]["containers"][0]["resources"] = of("30m");
    world.must("PUT", &resize, &pod);
    let is_actuated = |pod: &Value, cpu: &str| {
        let status = &pod["status"]["containerStatuses"][0];
        let has = status["resources"] == of(cpu) && status["allocatedResources"] == of(cpu)["requests"];
        has && pod["status"]["observedGeneration"] == pod["metadata"]["generation"]
    };
    world.wait("actuated", |w| is_actuated(&w.get(&path), "30m"));
    let pod = world.get(&path);
    assert_eq!((&pod["metadata"]["generation"], condition(&pod, "Ready")), (&json!(2), "True"));
    assert_eq!(number(&pod["status"]["containerStatuses"][0], &["restartCount"]), 0);
    assert_eq!(world.get(&resize), pod);
    // More than the node has is not given, and said to be pending until something else is asked for.
    let ask = |w: &mut World, cpu: &str| {
        let patch = json!({"spec": {"containers": [{"name": "pause", "resources": of(cpu)}]}});
        w.strategic(&resize, &patch);
    };
    ask(&mut world, "1k");
    world.wait("infeasible", |w| condition_field(&w.get(&path), "PodResizePending", "reason") == "Infeasible");
    assert_eq!(world.get(&path)["status"]["containerStatuses"][0]["resources"], of("30m"));
    ask(&mut world, "25m");
    world.wait("actuated", |w| is_actuated(&w.get(&path), "25m"));
    assert_eq!(condition(&world.get(&path), "PodResizePending"), "");
}

/// Pods should delete a collection of pods
#[test]
fn a_collection_of_pods_is_deleted() {
    let mut world = World::start();
    for name in ["test-pod-1", "test-pod-2", "test-pod-3"] {
        let mut pod = pause_pod(name);
        pod["metadata"]["labels"] = json!({"type": "Testing"});
        world.create(&format!("{CORE}/pods"), &pod);
    }
    for name in ["test-pod-1", "test-pod-2", "test-pod-3"] {
        world.wait_for_pod(name, "Running");
    }
    world.delete(&format!("{CORE}/pods?labelSelector=type=Testing"));
    world.wait("no pod is left", |w| w.pods("type=Testing").is_empty());
}

/// Ephemeral Containers will start an ephemeral container in an existing pod; ... should update the ephemeral containers
#[test]
fn ephemeral_containers_are_added_to_a_running_pod() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &pause_pod("p"));
    let before = world.wait_for_pod("p", "Running");
    for (i, name) in ["debugger", "debugger2"].into_iter().enumerate() {
        let container = json!({"name": name, "image": "busybox:1.36", "command": ["sleep", "10000"], "stdin": true, "tty": true});
        let patch = json!({"spec": {"ephemeralContainers": [container]}});
        world.strategic(&format!("{CORE}/pods/p/ephemeralcontainers"), &patch);
        world.wait(&format!("{name} runs"), |w| {
            let pod = w.get(&format!("{CORE}/pods/p"));
            let statuses = list_at(&pod, &["status", "ephemeralContainerStatuses"]);
            statuses.iter().any(|s| name_of(&json!({"metadata": s})) == name && at(s, &["state", "running"]).is_some())
        });
        let pod = world.get(&format!("{CORE}/pods/p"));
        assert_eq!(list_at(&pod, &["spec", "ephemeralContainers"]).len(), i + 1);
        assert_eq!(condition(&pod, "Ready"), "True");
        assert_eq!(
            pod["status"]["containerStatuses"][0]["restartCount"],
            before["status"]["containerStatuses"][0]["restartCount"]
        );
    }
}

/// An ephemeral container that ends is not started again, and says nothing about its pod.
#[test]
fn an_ephemeral_container_runs_once() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &pause_pod("p"));
    world.wait_for_pod("p", "Running");
    let container = json!({"name": "look", "image": "busybox:1.36", "command": ["false"]});
    world.strategic(&format!("{CORE}/pods/p/ephemeralcontainers"), &json!({"spec": {"ephemeralContainers": [container]}}));
    world.settle(60);
    let pod = world.get(&format!("{CORE}/pods/p"));
    let status = &pod["status"]["ephemeralContainerStatuses"][0];
    assert_eq!((number(status, &["state", "terminated", "exitCode"]), number(status, &["restartCount"])), (1, 0), "{status}");
    assert_eq!((str_at(&pod, &["status", "phase"]), condition(&pod, "Ready")), ("Running", "True"));
}

fn with_init(restart: &str, init: [&str; 2], main: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {
            "restartPolicy": restart,
            "initContainers": [
                {"name": "init1", "image": "busybox", "command": [init[0]]},
                {"name": "init2", "image": "busybox", "command": [init[1]]},
            ],
            "containers": [{"name": "run1", "image": if main.is_empty() { "registry.k8s.io/pause:3.10" } else { "busybox" }, "command": main}],
        },
    })
}

/// InitContainer should invoke init containers on a RestartNever pod
#[test]
fn init_containers_run_before_a_pod_that_ends() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &with_init("Never", ["/bin/true", "/bin/true"], &["/bin/true"]));
    let pod = world.wait_for_pod("p", "Succeeded");
    assert_eq!(condition(&pod, "Initialized"), "True");
    for status in list_at(&pod, &["status", "initContainerStatuses"]) {
        assert!(status["ready"] == true && number(status, &["state", "terminated", "exitCode"]) == 0, "{status}");
    }
}

/// InitContainer should invoke init containers on a RestartAlways pod
#[test]
fn init_containers_run_before_a_pod_that_goes_on() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &with_init("Always", ["/bin/true", "/bin/true"], &[]));
    let pod = world.wait_for_pod("p", "Running");
    assert_eq!(condition(&pod, "Initialized"), "True");
}

/// InitContainer should not start app containers if init containers fail on a RestartAlways pod
#[test]
fn a_failing_init_container_holds_its_pod_back() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &with_init("Always", ["/bin/false", "/bin/true"], &[]));
    world.wait("it was restarted three times", |w| {
        let pod = w.get(&format!("{CORE}/pods/p"));
        list_at(&pod, &["status", "initContainerStatuses"]).first().is_some_and(|s| number(s, &["restartCount"]) >= 3)
    });
    let pod = world.get(&format!("{CORE}/pods/p"));
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(condition_field(&pod, "Initialized", "reason"), "ContainersNotInitialized");
    assert_eq!(condition_field(&pod, "Initialized", "message"), "containers with incomplete status: [init1 init2]");
    assert_eq!(reason(&pod["status"]["containerStatuses"][0]), "PodInitializing");
    assert_eq!(reason(&pod["status"]["initContainerStatuses"][1]), "PodInitializing");
}

/// InitContainer should not start app containers and fail the pod if init containers fail on a RestartNever pod
#[test]
fn a_failing_init_container_fails_a_pod_that_is_not_restarted() {
    let mut world = World::start();
    world.create(&format!("{CORE}/pods"), &with_init("Never", ["/bin/true", "/bin/false"], &[]));
    let pod = world.wait_for_pod("p", "Failed");
    assert_eq!(condition_field(&pod, "Initialized", "reason"), "ContainersNotInitialized");
    assert_eq!(condition_field(&pod, "Initialized", "message"), "containers with incomplete status: [init2]");
    assert!(at(&pod["status"]["containerStatuses"][0], &["state", "waiting"]).is_some(), "{}", pod["status"]);
}

/// Container Runtime blackbox test when starting a container that exits should run with the expected status
#[test]
fn restart_policies_decide_about_phases() {
    for (policy, code, phase, restarts) in [
        ("Never", 0, "Succeeded", 0),
        ("Never", 1, "Failed", 0),
        ("OnFailure", 0, "Succeeded", 0),
        ("OnFailure", 1, "Running", 2),
        ("Always", 0, "Running", 2),
    ] {
        let mut world = World::start();
        let mut pod = pause_pod("p");
        pod["spec"]["restartPolicy"] = policy.into();
        pod["spec"]["containers"][0]["image"] = "busybox".into();
        pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", format!("sleep 1; exit {code}")]);
        world.create(&format!("{CORE}/pods"), &pod);
        world.wait(policy, |w| {
            let pod = w.get(&format!("{CORE}/pods/p"));
            let status = list_at(&pod, &["status", "containerStatuses"]).first().cloned().unwrap_or_default();
            str_at(&pod, &["status", "phase"]) == phase && number(&status, &["restartCount"]) >= restarts
        });
    }
}

/// A container's own restart policy and rules stand above its pod's (KEP-5307).
#[test]
fn a_containers_own_restart_rules_come_first() {
    let mut world = World::start();
    let mut pod = pause_pod("p");
    pod["spec"]["restartPolicy"] = "Never".into();
    pod["spec"]["containers"][0]["image"] = "busybox".into();
    pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", "exit 42"]);
    pod["spec"]["containers"][0]["restartPolicy"] = "Never".into();
    pod["spec"]["containers"][0]["restartPolicyRules"] =
        json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    world.create(&format!("{CORE}/pods"), &pod);
    world.wait("it was restarted", |w| {
        let pod = w.get(&format!("{CORE}/pods/p"));
        list_at(&pod, &["status", "containerStatuses"]).first().is_some_and(|s| number(s, &["restartCount"]) >= 1)
    });
    assert_eq!(world.get(&format!("{CORE}/pods/p"))["status"]["phase"], "Running");
}

/// Kubelet when scheduling a busybox command that always fails should have an terminated reason; ... be possible to delete
#[test]
fn a_pod_that_always_fails_says_so_and_can_be_deleted() {
    let mut world = World::start();
    let mut pod = pause_pod("bin-false");
    pod["spec"]["containers"][0]["image"] = "busybox".into();
    pod["spec"]["containers"][0]["command"] = json!(["/bin/false"]);
    world.create(&format!("{CORE}/pods"), &pod);
    // The suite looks every four seconds, and only at the present state.
    let seen = (0..75).any(|_| {
        world.settle(4);
        let pod = world.get(&format!("{CORE}/pods/bin-false"));
        let status = list_at(&pod, &["status", "containerStatuses"]).first().cloned().unwrap_or_default();
        str_at(&status, &["state", "terminated", "reason"]) == "Error"
    });
    assert!(seen, "it never shows how it ended");
    world.delete(&format!("{CORE}/pods/bin-false"));
    world.wait_gone(&format!("{CORE}/pods/bin-false"));
}

/// ConfigMap/Secrets/Downward API/Pods ... as env vars; Variable Expansion should allow composing env vars into new env vars, ...
/// substituting values in a container's command
#[test]
fn a_container_can_print_its_environment() {
    let mut world = World::start();
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"data-1": "value-1"}});
    world.create(&format!("{CORE}/configmaps"), &config);
    let mut pod = pause_pod("p");
    pod["spec"]["restartPolicy"] = "Never".into();
    pod["spec"]["containers"] = json!([{
        "name": "env-test", "image": "busybox", "command": ["sh", "-c", "env; FOO=wrong echo \"$(FOO)!\""],
        "env": [
            {"name": "FOO", "value": "foo"}, {"name": "BAR", "value": "$(FOO);;bar"},
            {"name": "DATA", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "data-1"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    }]);
    world.create(&format!("{CORE}/pods"), &pod);
    let pod = world.wait_for_pod("p", "Succeeded");
    let log = world.ask("GET", &format!("{CORE}/pods/p/log"), &Value::Null).text();
    let node = format!("NODE={}", str_at(&pod, &["spec", "nodeName"]));
    for line in ["FOO=foo", "BAR=foo;;bar", "DATA=value-1", &node, "CPU=16", "KUBERNETES_SERVICE_PORT=443", "foo!"] {
        assert!(log.lines().any(|l| l == line), "{line} in {log}");
    }
}

/// Container Runtime blackbox test on terminated container should report termination message ...
#[test]
fn last_words_come_from_a_file_or_from_the_log_of_a_failure() {
    for (name, command, path, policy, phase, message) in [
        ("custom", "/bin/echo -n DONE > /dev/custom", "/dev/custom", "File", "Succeeded", "DONE"),
        ("failed", "/bin/echo -n DONE; /bin/false", "/dev/termination-log", "FallbackToLogsOnError", "Failed", "DONE"),
        ("fine", "/bin/echo -n DONE; /bin/true", "/dev/termination-log", "FallbackToLogsOnError", "Succeeded", ""),
        (
            "file",
            "echo -n OK > /dev/termination-log; echo DONE",
            "/dev/termination-log",
            "FallbackToLogsOnError",
            "Succeeded",
            "OK",
        ),
    ] {
        let mut world = World::start();
        let mut pod = pause_pod("p");
        pod["spec"]["restartPolicy"] = "Never".into();
        pod["spec"]["containers"] = json!([{
            "name": "c", "image": "busybox", "command": ["/bin/sh", "-c"], "args": [command],
            "terminationMessagePath": path, "terminationMessagePolicy": policy,
        }]);
        world.create(&format!("{CORE}/pods"), &pod);
        let pod = world.wait_for_pod("p", phase);
        let state = &pod["status"]["containerStatuses"][0]["state"];
        assert_eq!(str_at(state, &["terminated", "message"]), message, "{name}");
    }
}

/// NoExecuteTaintManager Single Pod removing taint cancels eviction
#[test]
fn removing_a_taint_cancels_an_eviction() {
    let mut world = World::start();
    let taint = json!({"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"});
    let mut pod = pause_pod("p");
    pod["spec"]["tolerations"] =
        json!([{"key": taint["key"], "value": taint["value"], "effect": "NoExecute", "tolerationSeconds": 60}]);
    world.create(&format!("{CORE}/pods"), &pod);
    let pod = world.wait_for_pod("p", "Running");
    let node = format!("/api/v1/nodes/{}", str_at(&pod, &["spec", "nodeName"]));
    world.patch(&node, &json!({"spec": {"taints": [taint]}}));
    world.stays("the pod is tolerated", 40, |w| w.exists(&format!("{CORE}/pods/p")));
    world.patch(&node, &json!({"spec": {"taints": null}}));
    world.stays("the pod is left alone", 60, |w| w.exists(&format!("{CORE}/pods/p")));
}

/// NoExecuteTaintManager Multiple Pods evicts pods with minTolerationSeconds
#[test]
fn taints_evict_after_the_shortest_toleration() {
    let mut world = World::start();
    let taint = json!({"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"});
    let tolerates =
        |seconds: i64| json!({"key": taint["key"], "value": taint["value"], "effect": "NoExecute", "tolerationSeconds": seconds});
    for (name, tolerations) in [("a", json!([tolerates(20)])), ("b", json!([tolerates(60)])), ("c", json!([]))] {
        let mut pod = pause_pod(name);
        pod["spec"]["tolerations"] = tolerations;
        pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "sim-0001"});
        world.create(&format!("{CORE}/pods"), &pod);
        world.wait_for_pod(name, "Running");
    }
    world.patch("/api/v1/nodes/sim-0001", &json!({"spec": {"taints": [taint]}}));
    let left = |world: &mut World, seconds: u64| -> Vec<String> {
        world.settle(seconds);
        ["a", "b", "c"].iter().filter(|n| world.exists(&format!("{CORE}/pods/{n}"))).map(|n| (*n).to_owned()).collect()
    };
    assert_eq!(left(&mut world, 10), ["a", "b"]);
    assert_eq!(left(&mut world, 15), ["b"]);
    assert_eq!(left(&mut world, 60), Vec::<String>::new());
}

/// Node Lifecycle should run through the lifecycle of a node
#[test]
fn a_node_is_made_and_removed_by_hand() {
    let mut world = World::start();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake", "labels": {"e2e": "yes"}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "reason": "Fake", "message": "x"}]}});
    world.create("/api/v1/nodes", &node);
    world.patch("/api/v1/nodes/fake", &json!({"metadata": {"labels": {"patched": "yes"}}}));
    assert_eq!(world.items("/api/v1/nodes?labelSelector=patched=yes").len(), 1);
    let mut node = world.get("/api/v1/nodes/fake");
    node["metadata"]["labels"]["updated"] = "yes".into();
    world.must("PUT", "/api/v1/nodes/fake", &node);
    world.delete("/api/v1/nodes/fake");
    world.wait_gone("/api/v1/nodes/fake");
}

/// A kubelet refuses a pod that was bound to it by hand and whose host port is taken, as the suite's StatefulSet test needs.
#[test]
fn a_taken_host_port_is_refused_by_the_node() {
    let mut world = World::start();
    for name in ["first", "second"] {
        let mut pod = pause_pod(name);
        pod["spec"]["nodeName"] = "sim-0001".into();
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 21017, "hostPort": 21017}]);
        world.create(&format!("{CORE}/pods"), &pod);
        world.settle(2);
    }
    let second = world.wait_for_pod("second", "Failed");
    assert_eq!(second["status"]["reason"], "NodePorts");
    assert_eq!(world.get(&format!("{CORE}/pods/first"))["status"]["phase"], "Running");
}

/// Variable Expansion should verify that a failing subpath expansion can be modified during the lifecycle of a container
#[test]
fn a_failing_subpath_can_be_mended() {
    let mut world = World::start();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": {}},
        "spec": {
            "volumes": [{"name": "workdir1", "emptyDir": {}}],
            "containers": [{
                "name": "dapi", "image": "busybox", "command": ["sh", "-c", "tail -f /dev/null"],
                "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['mysubpath']"}}}],
                "volumeMounts": [{"name": "workdir1", "mountPath": "/subpath_mount", "subPathExpr": "$(NONE)/$(POD_NAME)"}],
            }],
        },
    });
    world.create(&format!("{CORE}/pods"), &pod);
    world.stays("it does not run", 20, |w| str_at(&w.get(&format!("{CORE}/pods/p")), &["status", "phase"]) == "Pending");
    let pod = world.get(&format!("{CORE}/pods/p"));
    assert_eq!(reason(&pod["status"]["containerStatuses"][0]), "CreateContainerConfigError");
}

/// Pods Extended (pod generation) custom-set generation on new pods and graceful delete
#[test]
fn a_pod_that_is_deleted_is_still_seen_on_its_way() {
    let mut world = World::start();
    let path = format!("{CORE}/pods/p");
    let mut pod = pause_pod("p");
    pod["metadata"]["generation"] = json!(100);
    world.create(&format!("{CORE}/pods"), &pod);
    assert_eq!(number(&world.wait_for_pod("p", "Running"), &["metadata", "generation"]), 1);
    world.delete(&format!("{path}?gracePeriodSeconds=60"));
    // A client that may ask twenty times a second, and a busy network.
    world.driver.settle(200);
    let pod = world.get(&path);
    assert!(is_deleting(&pod), "{pod}");
    assert_eq!(number(&pod, &["metadata", "generation"]), 2);
    world.wait_gone(&path);
}
