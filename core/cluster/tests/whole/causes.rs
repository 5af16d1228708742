//! From an object back to the request that it is there for.

use object::value::{list_at, str_at};
use object::{Value, json};
use wasmkube_cluster::{Config, driver::Driver};

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}},
        },
    })
}

/// A chain in short: who did what to what.
fn told(chain: &Value) -> Vec<String> {
    let link = |link: &Value| {
        let text = |path: &[&str]| str_at(link, path).to_owned();
        let user = text(&["user"]);
        let user = user.rsplit(':').next().unwrap_or_default().to_owned();
        match str_at(link, &["request"]) {
            "" => format!("{user}: {} {} {}", text(&["verb"]), text(&["object", "kind"]), text(&["change"])),
            request => format!("{user}: {request}"),
        }
    };
    chain.as_array().into_iter().flatten().map(link).collect()
}

#[test]
fn a_pod_leads_back_to_the_users_request() {
    let mut driver = Driver::start(Config { simulated_nodes: 1, ..Config::default() });
    driver.settle(3_000);
    driver.create("/apis/apps/v1/namespaces/default/deployments", &deployment());
    driver.settle(3_000);
    let pods = driver.get("/api/v1/namespaces/default/pods");
    let name = str_at(&list_at(&pods, &["items"])[0], &["metadata", "name"]).to_owned();
    let causes = driver.get(&format!("/debug/causes/api/v1/namespaces/default/pods/{name}"));
    let began = [
        "replicaset-controller: create Pod created",
        "deployment-controller: create ReplicaSet created",
        "admin: POST /apis/apps/v1/namespaces/default/deployments",
    ];
    assert_eq!(told(&causes["created"]), began, "{causes}");
    let changed = told(&causes["changed"]);
    assert!(changed.ends_with(&began.map(str::to_owned)), "{changed:?}");
    assert_eq!(changed[0], "sim-0001: patch Pod changed");
    assert!(changed.contains(&"kube-scheduler: create Pod changed".to_owned()), "{changed:?}");
}

#[test]
fn what_is_too_old_is_forgotten_and_what_is_gone_is_not() {
    let mut driver = Driver::start(Config { history_limit: 300, ..Config::default() });
    driver.settle(1_000);
    let path = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    driver.create(path, &map("old"));
    driver.create(path, &map("gone"));
    driver.request("DELETE", &format!("{path}/gone"), &Value::Null);
    let gone = driver.get(&format!("/debug/causes{path}/gone"));
    assert_eq!(told(&gone["changed"]), ["admin: DELETE /api/v1/namespaces/default/configmaps/gone"]);
    for i in 0..300 {
        driver.create(path, &map(&format!("m{i}")));
    }
    let old = driver.get(&format!("/debug/causes{path}/old"));
    assert_eq!(old["changed"][0]["forgotten"], true);
    assert_eq!(driver.request("GET", &format!("/debug/causes{path}/absent"), &Value::Null).status, 404);
}
