//! Everything that a cluster does by itself is done with the rights of somebody's role: nobody is ever refused for want of one.

use object::{Value, json};
use wasmkube_cluster::Config;
use wasmkube_cluster::driver::Driver;

fn pod_spec(seconds: u32) -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", format!("sleep {seconds}")]}],
    })
}

fn template(app: &str, spec: Value) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": spec})
}

fn workload(kind: &str, name: &str, more: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template(name, pod_spec(100_000))});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn fill(cluster: &mut Driver, namespace: &str) {
    let apps = format!("/apis/apps/v1/namespaces/{namespace}");
    let core = format!("/api/v1/namespaces/{namespace}");
    let batch = format!("/apis/batch/v1/namespaces/{namespace}");
    cluster.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}));
    cluster.settle(1_000);
    cluster.create(&format!("{apps}/deployments"), &workload("Deployment", "web", json!({"replicas": 3})));
    cluster.create(&format!("{apps}/daemonsets"), &workload("DaemonSet", "agent", json!({})));
    let claims = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    let set = json!({"replicas": 2, "serviceName": "db", "volumeClaimTemplates": claims});
    cluster.create(&format!("{apps}/statefulsets"), &workload("StatefulSet", "db", set));
    let mut short = pod_spec(1);
    short["restartPolicy"] = "Never".into();
    let job = json!({"template": template("job", short.clone()), "ttlSecondsAfterFinished": 5});
    cluster.create(&format!("{batch}/jobs"), &json!({"metadata": {"name": "once"}, "spec": job}));
    let cron = json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template("cron", short)}}});
    cluster.create(&format!("{batch}/cronjobs"), &json!({"metadata": {"name": "often"}, "spec": cron}));
    let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    cluster.create(&format!("{core}/services"), &service);
    let quota = json!({"metadata": {"name": "all"}, "spec": {"hard": {"pods": "50"}}});
    cluster.create(&format!("{core}/resourcequotas"), &quota);
    let controller = json!({"replicas": 1, "selector": {"app": "old"}, "template": template("old", pod_spec(100_000))});
    cluster.create(&format!("{core}/replicationcontrollers"), &json!({"metadata": {"name": "old"}, "spec": controller}));
    let budget = json!({"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    cluster.create(&format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"), &budget);
}

#[test]
fn nobody_lacks_a_right() {
    let mut cluster = Driver::start(Config { simulated_nodes: 2, ..Config::default() });
    cluster.settle(5_000);
    let volume = json!({
        "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/disk"},
            "persistentVolumeReclaimPolicy": "Delete",
        },
    });
    cluster.create("/api/v1/persistentvolumes", &volume);
    fill(&mut cluster, "busy");
    cluster.settle(150_000);
    let pods = cluster.get("/api/v1/namespaces/busy/pods");
    assert!(pods["items"].as_array().is_some_and(|pods| pods.len() >= 6), "the scenario makes pods: {}", pods["items"]);
    let deployment = "/apis/apps/v1/namespaces/busy/deployments/web";
    let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}}}});
    assert_eq!(cluster.request("PATCH", deployment, &change).status, 200);
    cluster.settle(60_000);
    assert_eq!(cluster.request("DELETE", "/api/v1/nodes/sim-0002", &Value::Null).status, 200);
    cluster.settle(120_000);
    assert_eq!(cluster.request("DELETE", "/api/v1/namespaces/busy", &Value::Null).status, 200);
    cluster.settle(120_000);
    assert_eq!(cluster.request("GET", "/api/v1/namespaces/busy", &Value::Null).status, 404);
    let metrics = cluster.request("GET", "/metrics", &Value::Null).text();
    assert!(
        metrics.contains("scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"}"),
        "{metrics}"
    );
    let api = cluster.cluster().api().expect("a server");
    let denials: Vec<&str> = api.denials().collect();
    assert!(denials.is_empty(), "{denials:#?}");
}
