//! A whole cluster with simulated nodes, from a Deployment to running pods.

use object::value::{list_at, str_at};
use object::{Value, json};
use wasmkube_cluster::Config;
use wasmkube_cluster::driver::Driver;

fn cluster(simulated_nodes: u32) -> Driver {
    let mut driver = Driver::start(Config { simulated_nodes, ..Config::default() });
    driver.settle(2_000);
    driver
}

fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.29", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]},
            },
        },
    })
}

fn pod(name: &str, spec: Value, annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": spec,
    })
}

fn phases(driver: &mut Driver) -> Vec<String> {
    let pods = driver.get("/api/v1/namespaces/default/pods");
    list_at(&pods, &["items"]).iter().map(|p| str_at(p, &["status", "phase"]).to_owned()).collect()
}

fn condition(object: &Value, kind: &str) -> String {
    let list = list_at(object, &["status", "conditions"]);
    list.iter().find(|c| str_at(c, &["type"]) == kind).map_or("", |c| str_at(c, &["status"])).to_owned()
}

/// Reason and message of the events about an object, oldest first, with their counts.
fn events(driver: &mut Driver, name: &str) -> Vec<String> {
    let list = driver.get("/api/v1/namespaces/default/events");
    let about = list_at(&list, &["items"]).iter().filter(|e| str_at(e, &["involvedObject", "name"]) == name);
    let mut lines: Vec<(u64, String)> = about
        .map(|e| {
            let order = str_at(e, &["metadata", "resourceVersion"]).parse().unwrap_or(0);
            (order, format!("{} {}: {}", str_at(e, &["type"]), str_at(e, &["reason"]), str_at(e, &["message"])))
        })
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn simulated_nodes_register_and_become_ready() {
    let mut driver = cluster(3);
    let nodes = driver.get("/api/v1/nodes");
    let ready: Vec<String> = list_at(&nodes, &["items"]).iter().map(|n| condition(n, "Ready")).collect();
    assert_eq!(ready, ["True", "True", "True"]);
    let lease = driver.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/sim-0002");
    assert_eq!(lease["spec"]["holderIdentity"], "sim-0002");
    assert_eq!(lease["metadata"]["ownerReferences"][0]["kind"], "Node");
}

#[test]
fn a_deployment_runs_is_scaled_and_deleted() {
    let mut driver = cluster(3);
    driver.create("/apis/apps/v1/namespaces/default/deployments", &deployment(10));
    driver.settle(5_000);
    assert_eq!(phases(&mut driver), vec!["Running"; 10]);
    let web = driver.get("/apis/apps/v1/namespaces/default/deployments/web");
    assert_eq!(web["status"]["availableReplicas"], 10);
    driver.request("PATCH", "/apis/apps/v1/namespaces/default/deployments/web", &json!({"spec": {"replicas": 2}}));
    driver.settle(5_000);
    assert_eq!(phases(&mut driver), vec!["Running"; 2]);
    driver.request("DELETE", "/apis/apps/v1/namespaces/default/deployments/web", &Value::Null);
    driver.settle(5_000);
    assert_eq!(phases(&mut driver), Vec::<String>::new());
}

#[test]
fn a_pod_tells_its_life_in_events() {
    let mut driver = cluster(1);
    let spec = json!({"containers": [{"name": "c", "image": "busybox:1", "command": ["sleep", "3600"]}]});
    driver.create("/api/v1/namespaces/default/pods", &pod("a", spec, json!({})));
    driver.settle(2_000);
    let events = events(&mut driver, "a");
    assert_eq!(
        events.iter().map(|e| e.split(" in ").next().unwrap_or("")).collect::<Vec<_>>(),
        [
            "Normal Scheduled: Successfully assigned default/a to sim-0001",
            "Normal Pulling: Pulling image \"busybox:1\"",
            "Normal Pulled: Successfully pulled image \"busybox:1\"",
            "Normal Created: Container created",
            "Normal Started: Container started",
        ]
    );
    let pod = driver.get("/api/v1/namespaces/default/pods/a");
    for kind in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&pod, kind), "True", "{kind}");
    }
    assert_eq!(pod["status"]["containerStatuses"][0]["started"], true);
    assert_eq!(pod["status"]["podIP"], "10.244.0.2");
}

#[test]
fn a_crashing_container_backs_off() {
    let mut driver = cluster(1);
    let spec = json!({"containers": [{"name": "c", "image": "busybox:1", "command": ["false"]}]});
    driver.create("/api/v1/namespaces/default/pods", &pod("a", spec, json!({})));
    driver.settle(15_000);
    let pod = driver.get("/api/v1/namespaces/default/pods/a");
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Error");
    driver.settle(10_000);
    let pod = driver.get("/api/v1/namespaces/default/pods/a");
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(status["restartCount"], 2);
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    let uid = str_at(&pod, &["metadata", "uid"]);
    let message = format!("back-off 20s restarting failed container=c pod=a_default({uid})");
    assert_eq!(status["state"]["waiting"]["message"], message);
    assert_eq!(pod["status"]["phase"], "Running");
}

#[test]
fn what_ends_well_succeeds_and_what_runs_out_of_memory_is_killed() {
    let mut driver = cluster(1);
    let once = |command: Value| json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1", "command": command}]});
    driver.create("/api/v1/namespaces/default/pods", &pod("good", once(json!(["sh", "-c", "echo hi; sleep 1"])), json!({})));
    driver.create("/api/v1/namespaces/default/pods", &pod("bad", once(json!(["false"])), json!({})));
    let oom = json!({"wasmkube.dev/oom-after": "1s"});
    driver.create("/api/v1/namespaces/default/pods", &pod("oom", once(json!(["sleep", "60"])), oom));
    driver.settle(5_000);
    for (name, phase, reason, code) in
        [("good", "Succeeded", "Completed", 0), ("bad", "Failed", "Error", 1), ("oom", "Failed", "OOMKilled", 137)]
    {
        let pod = driver.get(&format!("/api/v1/namespaces/default/pods/{name}"));
        assert_eq!(str_at(&pod, &["status", "phase"]), phase, "{name}");
        let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((end["reason"].as_str(), end["exitCode"].as_i64()), (Some(reason), Some(code)), "{name}");
    }
    assert_eq!(driver.request("GET", "/api/v1/namespaces/default/pods/good/log", &Value::Null).text(), "hi\n");
}

#[test]
fn deletion_waits_for_the_containers() {
    let mut driver = cluster(1);
    let spec = json!({"containers": [{"name": "c", "image": "nginx"}], "terminationGracePeriodSeconds": 5});
    let stubborn = json!({"wasmkube.dev/ignore-sigterm": "true"});
    driver.create("/api/v1/namespaces/default/pods", &pod("a", spec, stubborn));
    driver.settle(1_000);
    driver.request("DELETE", "/api/v1/namespaces/default/pods/a", &Value::Null);
    driver.settle(4_000);
    assert_eq!(driver.get("/api/v1/namespaces/default/pods/a")["kind"], "Pod", "it has five seconds");
    driver.settle(2_000);
    assert_eq!(driver.get("/api/v1/namespaces/default/pods/a")["code"], 404);
}

#[test]
fn an_image_that_cannot_be_had() {
    let mut driver = cluster(1);
    let spec = json!({"containers": [{"name": "c", "image": "registry.invalid/app"}]});
    driver.create("/api/v1/namespaces/default/pods", &pod("a", spec, json!({})));
    driver.settle(900);
    let waiting = |driver: &mut Driver| {
        let pod = driver.get("/api/v1/namespaces/default/pods/a");
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(waiting(&mut driver), "ErrImagePull");
    driver.settle(2_000);
    assert_eq!(waiting(&mut driver), "ImagePullBackOff");
    let events = events(&mut driver, "a");
    assert!(events.iter().any(|e| e == "Normal BackOff: Back-off pulling image \"registry.invalid/app\""), "{events:?}");
}

#[test]
fn init_containers_run_in_order_and_sidecars_beside() {
    let mut driver = cluster(1);
    let spec = json!({
        "initContainers": [
            {"name": "first", "image": "busybox", "command": ["sleep", "2"]},
            {"name": "side", "image": "nginx", "restartPolicy": "Always"},
            {"name": "second", "image": "busybox", "command": ["sleep", "2"]},
        ],
        "containers": [{"name": "c", "image": "nginx"}],
    });
    driver.create("/api/v1/namespaces/default/pods", &pod("a", spec, json!({})));
    driver.settle(1_000);
    let running = |driver: &mut Driver| -> Vec<String> {
        let pod = driver.get("/api/v1/namespaces/default/pods/a");
        let all = [list_at(&pod, &["status", "initContainerStatuses"]), list_at(&pod, &["status", "containerStatuses"])].concat();
        all.iter().filter(|c| c["state"].get("running").is_some()).map(|c| str_at(c, &["name"]).to_owned()).collect()
    };
    assert_eq!(running(&mut driver), ["first"]);
    driver.settle(2_000);
    assert_eq!(running(&mut driver), ["side", "second"]);
    driver.settle(3_000);
    assert_eq!(running(&mut driver), ["side", "c"]);
}

#[test]
fn probes_decide_readiness_and_restarts() {
    let mut driver = cluster(1);
    let get = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1});
    let spec = json!({"containers": [{"name": "c", "image": "nginx", "readinessProbe": get}]});
    driver.create("/api/v1/namespaces/default/pods", &pod("slow", spec, json!({"wasmkube.dev/ready-after": "3s"})));
    let live = json!({"containers": [{"name": "c", "image": "nginx", "livenessProbe": {
        "httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 2,
    }}]});
    driver.create("/api/v1/namespaces/default/pods", &pod("ill", live, json!({"wasmkube.dev/fail-probes": "liveness"})));
    driver.settle(2_000);
    let slow = driver.get("/api/v1/namespaces/default/pods/slow");
    assert_eq!((condition(&slow, "Ready").as_str(), condition(&slow, "Initialized").as_str()), ("False", "True"));
    driver.settle(4_000);
    let slow = driver.get("/api/v1/namespaces/default/pods/slow");
    assert_eq!(condition(&slow, "Ready"), "True");
    let ill = driver.get("/api/v1/namespaces/default/pods/ill");
    assert!(ill["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(1));
    let events = events(&mut driver, "ill");
    assert!(events.iter().any(|e| e == "Normal Killing: Container c failed liveness probe, will be restarted"), "{events:?}");
    assert!(events.iter().any(|e| e == "Warning Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 503"));
}

#[test]
fn a_pod_that_fits_nowhere_says_why_and_runs_once_there_is_room() {
    let mut driver = cluster(2);
    let big = json!({"containers": [{"name": "c", "image": "nginx", "resources": {"requests": {"cpu": "9"}}}]});
    for name in ["a", "b", "c"] {
        driver.create("/api/v1/namespaces/default/pods", &pod(name, big.clone(), json!({})));
    }
    driver.settle(2_000);
    assert_eq!(phases(&mut driver), ["Running", "Running", "Pending"]);
    let waiting = driver.get("/api/v1/namespaces/default/pods/c");
    let scheduled = list_at(&waiting, &["status", "conditions"]).iter().find(|c| c["type"] == "PodScheduled").cloned();
    assert_eq!(
        scheduled.as_ref().map(|c| str_at(c, &["message"])),
        Some(
            "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: \
             2 No preemption victims found for incoming pod."
        )
    );
    driver.request("DELETE", "/api/v1/namespaces/default/pods/a", &Value::Null);
    driver.settle(3_000);
    assert_eq!(phases(&mut driver), ["Running", "Running"]);
}

#[test]
fn a_crash_of_the_control_plane_restarts_no_history() {
    let mut driver = cluster(2);
    driver.create("/apis/apps/v1/namespaces/default/deployments", &deployment(4));
    driver.settle(5_000);
    let before = driver.get("/api/v1/namespaces/default/pods");
    driver.crash();
    driver.settle(10_000);
    let after = driver.get("/api/v1/namespaces/default/pods");
    let names = |list: &Value| -> Vec<String> {
        list_at(list, &["items"]).iter().map(|p| str_at(p, &["metadata", "name"]).to_owned()).collect()
    };
    assert_eq!(names(&before), names(&after));
    assert_eq!(phases(&mut driver), vec!["Running"; 4]);
}

#[test]
fn a_label_given_to_a_node_draws_pods_there() {
    let mut driver = cluster(2);
    driver.request("PATCH", "/api/v1/nodes/sim-0002", &json!({"metadata": {"labels": {"disk": "ssd"}}}));
    let spec = json!({"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "nginx"}]});
    driver.create("/api/v1/namespaces/default/pods", &pod("a", spec, json!({})));
    driver.settle(2_000);
    let pod = driver.get("/api/v1/namespaces/default/pods/a");
    assert_eq!((str_at(&pod, &["spec", "nodeName"]), str_at(&pod, &["status", "phase"])), ("sim-0002", "Running"));
}
