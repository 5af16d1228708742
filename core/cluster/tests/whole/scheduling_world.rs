//! A cluster whose nodes are objects only: what runs in it is the scheduler.

use object::value::{list_at, str_at};
use object::{Value, json};
use wasmkube_cluster::Config;
use wasmkube_cluster::driver::Driver;

/// The cluster.
pub struct World {
    /// Its API.
    pub driver: Driver,
}

impl World {
    /// Nodes by name; each with 2 CPUs, 1 GiB and room for 10 pods, and what is given besides.
    pub fn new(nodes: &[(&str, Value)]) -> Self {
        World::with(Config { controllers: Vec::new(), ..Config::default() }, nodes)
    }

    /// With a configuration.
    pub fn with(config: Config, nodes: &[(&str, Value)]) -> Self {
        let mut driver = Driver::start(config);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        driver.create("/api/v1/namespaces/default/serviceaccounts", &account);
        for (name, more) in nodes {
            let mut labels = json!({"kubernetes.io/hostname": name});
            if let Some(given) = more.get("labels").and_then(Value::as_object) {
                labels.as_object_mut().unwrap().extend(given.clone());
            }
            let spec = more.get("spec").cloned().unwrap_or_else(|| json!({}));
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec});
            driver.create("/api/v1/nodes", &node);
            // Without controllers nobody takes away the taint that a new node is given.
            driver.request("PATCH", &format!("/api/v1/nodes/{name}"), &json!({"spec": {"taints": spec.get("taints")}}));
            let status = json!({"status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}}});
            driver.request("PATCH", &format!("/api/v1/nodes/{name}/status"), &status);
        }
        World { driver }
    }

    /// Makes a pod and lets the scheduler do what it can at once.
    pub fn pod(&mut self, name: &str, labels: Value, spec: Value) -> &mut Self {
        let mut full = json!({"containers": [{"name": "c", "image": "i"}]});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": full,
        });
        self.driver.create("/api/v1/namespaces/default/pods", &pod);
        self.driver.settle_now();
        self
    }

    /// The node of a pod, or why it has none.
    pub fn place(&mut self, name: &str) -> String {
        let pod = self.driver.get(&format!("/api/v1/namespaces/default/pods/{name}"));
        let node = str_at(&pod, &["spec", "nodeName"]);
        if !node.is_empty() {
            return node.to_owned();
        }
        let conditions = list_at(&pod, &["status", "conditions"]);
        conditions.iter().find(|c| c["type"] == "PodScheduled").map_or("", |c| str_at(c, &["message"])).to_owned()
    }
}

/// The spec of a pod that asks for so much.
pub fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": amount}}}]})
}
