//! What Kubernetes' conformance suite asks of a control plane whose nodes are hollow: each test follows the suite's
//! description of the test that its comment names, in virtual time, with simulated nodes.
//!
//! Tests that need a program to run inside a container (files, networking, exec) are elsewhere or nowhere.

mod apps;
mod machinery;
mod network;
mod node;
mod operations;
mod scheduling;

use object::value::{at, i64_at, list_at, str_at};
use object::{Value, json};
use wasmkube_cluster::Config;
use wasmkube_cluster::driver::{Answer, Driver};

const CORE: &str = "/api/v1/namespaces/default";
const APPS: &str = "/apis/apps/v1/namespaces/default";

/// A cluster of three simulated nodes.
pub struct World {
    pub driver: Driver,
}

impl World {
    /// A cluster that has come to rest.
    pub fn start() -> Self {
        let mut driver = Driver::start(Config { simulated_nodes: 3, ..Config::default() });
        driver.settle(2_000);
        World { driver }
    }

    pub fn get(&mut self, path: &str) -> Value {
        self.driver.get(path)
    }

    pub fn create(&mut self, collection: &str, object: &Value) -> Value {
        self.driver.create(collection, object)
    }

    /// Any request; the answer may be a refusal.
    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        self.driver.request(method, path, body)
    }

    /// A request that must succeed.
    pub fn must(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body);
        assert!(answer.status < 300, "{method} {path}: {}", answer.text());
        answer.json()
    }

    pub fn patch(&mut self, path: &str, patch: &Value) -> Value {
        self.must("PATCH", path, patch)
    }

    /// A strategic merge patch.
    pub fn strategic(&mut self, path: &str, patch: &Value) -> Value {
        let stream = self.driver.send("PATCH", path, "application/strategic-merge-patch+json", patch.to_string());
        let answer = self.driver.answer(stream);
        assert!(answer.status < 300, "PATCH {path}: {}", answer.text());
        answer.json()
    }

    pub fn delete(&mut self, path: &str) {
        self.must("DELETE", path, &Value::Null);
    }

    /// Deletes with a propagation policy.
    pub fn delete_with(&mut self, path: &str, policy: &str) {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        self.must("DELETE", path, &options);
    }

    pub fn items(&mut self, collection: &str) -> Vec<Value> {
        list_at(&self.get(collection), &["items"]).to_vec()
    }

    pub fn pods(&mut self, selector: &str) -> Vec<Value> {
        self.items(&format!("{CORE}/pods?labelSelector={selector}"))
    }

    pub fn exists(&mut self, path: &str) -> bool {
        self.ask("GET", path, &Value::Null).status == 200
    }

    pub fn settle(&mut self, seconds: u64) {
        self.driver.settle(seconds * 1_000);
    }

    /// Lets time pass until it holds, for five minutes at most: the suite's own patience.
    #[track_caller]
    pub fn wait(&mut self, what: &str, mut holds: impl FnMut(&mut World) -> bool) {
        for _ in 0..1_200 {
            self.driver.settle_now();
            if holds(self) {
                return;
            }
            self.driver.settle(250);
        }
        panic!("{what}: did not happen within five minutes");
    }

    /// Holds now and goes on holding for some seconds.
    #[track_caller]
    pub fn stays(&mut self, what: &str, seconds: u64, mut holds: impl FnMut(&mut World) -> bool) {
        for second in 0..seconds {
            assert!(holds(self), "{what}: not any more after {second} s");
            self.settle(1);
        }
    }

    #[track_caller]
    pub fn wait_for_pod(&mut self, name: &str, phase: &str) -> Value {
        let path = format!("{CORE}/pods/{name}");
        self.wait(&format!("pod {name} is {phase}"), |w| {
            let pod = w.get(&path);
            str_at(&pod, &["status", "phase"]) == phase && (phase != "Running" || condition(&pod, "Ready") == "True")
        });
        self.get(&path)
    }

    #[track_caller]
    pub fn wait_gone(&mut self, path: &str) {
        self.wait(&format!("{path} is gone"), |w| !w.exists(path));
    }

    /// `type reason: message` of the events about an object.
    pub fn events(&mut self, name: &str) -> Vec<String> {
        let events = self.items(&format!("{CORE}/events?fieldSelector=involvedObject.name={name}"));
        events
            .iter()
            .map(|e| format!("{} {}: {}", str_at(e, &["type"]), str_at(e, &["reason"]), str_at(e, &["message"])))
            .collect()
    }
}

/// Status of a condition.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    condition_field(object, kind, "status")
}

pub fn condition_field<'a>(object: &'a Value, kind: &str, field: &str) -> &'a str {
    let found = list_at(object, &["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == kind);
    found.map_or("", |c| str_at(c, &[field]))
}

pub fn name_of(object: &Value) -> &str {
    str_at(object, &["metadata", "name"])
}

pub fn number(object: &Value, path: &[&str]) -> i64 {
    i64_at(object, path).unwrap_or(0)
}

pub fn is_deleting(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
}

pub fn controller_of(object: &Value) -> String {
    let owners = list_at(object, &["metadata", "ownerReferences"]);
    owners.iter().find(|o| o["controller"] == true).map_or(String::new(), |o| str_at(o, &["name"]).to_owned())
}

/// A pod that runs until it is stopped.
pub fn pause_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10"}]},
    })
}

/// The template of pods that serve.
pub fn template(label: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": label}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "httpd", "image": "httpd:2.4"}]},
    })
}

pub fn workload(kind: &str, name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name)},
    })
}
