//! A cluster without nodes: an API server, the controllers, and a hand that plays the kubelet.

use apiserver::{ApiServer, DeleteOptions, PatchKind, UserInfo, gvr};
use object::{GroupVersionResource, Time, Value, json};
use wasmkube_controllers::{Manager, Settings};

/// The API, the controllers and a clock.
pub struct World {
    pub api: ApiServer,
    pub manager: Manager,
    pub now: Time,
    admin: UserInfo,
}

impl Drop for World {
    /// Whatever a test is about: every controller has the rights that it needs.
    fn drop(&mut self) {
        let denials: Vec<&str> = self.api.denials().collect();
        if !std::thread::panicking() {
            assert!(denials.is_empty(), "controllers lack rights: {denials:#?}");
        }
    }
}

impl World {
    pub fn new() -> Self {
        World::with(Settings { root_ca: "CA".into(), ..Settings::default() })
    }

    /// A world whose controllers were told more.
    pub fn with(settings: Settings) -> Self {
        let mut api = ApiServer::new(apiserver::Settings::default());
        let now = Time::from_secs(1_795_000_000);
        api.start(now, 0);
        let manager = Manager::new(settings);
        let mut world = World { api, manager, now, admin: UserInfo::new("admin", &["system:masters"]) };
        world.settle();
        world
    }

    /// Lets the controllers work until nothing is left to do now.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            if !self.manager.run(&mut self.api, self.now, 100).more {
                return;
            }
        }
        panic!("the controllers do not come to rest");
    }

    /// Lets time pass, doing what becomes due on the way.
    pub fn pass(&mut self, seconds: u64) {
        let end = self.now.plus_secs(seconds);
        loop {
            self.settle();
            let next = self.manager.run(&mut self.api, self.now, 100).wake_at;
            match next {
                Some(at) if at <= end => self.now = at.max(Time(self.now.0 + 1)),
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    pub fn create(&mut self, resource: &GroupVersionResource, object: Value) -> Value {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
        let made = self.api.client(self.now, &self.admin).create(resource, &namespace, object).expect("created");
        self.settle();
        Value::clone(&made)
    }

    pub fn patch(&mut self, resource: &GroupVersionResource, namespace: &str, name: &str, patch: Value) -> Value {
        let done = self
            .api
            .client(self.now, &self.admin)
            .patch(resource, namespace, name, "", PatchKind::Merge, patch)
            .expect("patched");
        self.settle();
        Value::clone(&done)
    }

    pub fn delete(&mut self, resource: &GroupVersionResource, namespace: &str, name: &str, options: &DeleteOptions) {
        self.api.client(self.now, &self.admin).delete(resource, namespace, name, options).expect("deleted");
        self.settle();
    }

    pub fn get(&mut self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<Value> {
        self.api.client(self.now, &self.admin).get(resource, namespace, name).ok()
    }

    pub fn list(&self, resource: &GroupVersionResource) -> Vec<Value> {
        self.api.store().list(&resource.group_resource(), None).map(|o| o.value()).collect()
    }

    /// What was said about an object, as `reason: message`, in the order of its first time.
    pub fn events(&self, name: &str) -> Vec<String> {
        let mut events = self.list(&gvr("", "v1", "events"));
        events.retain(|event| event["involvedObject"]["name"] == name);
        events.sort_by_key(|event| {
            let revision = event["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok());
            (event["firstTimestamp"].to_string(), revision)
        });
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        events.iter().map(|event| format!("{}: {}", text(event, "reason"), text(event, "message"))).collect()
    }

    /// Plays the kubelet: every pod that is not ready runs and is ready now.
    pub fn run_pods(&mut self) {
        for pod in self.list(&gvr("", "v1", "pods")) {
            let (namespace, name) = (pod["metadata"]["namespace"].as_str().unwrap(), pod["metadata"]["name"].as_str().unwrap());
            if self.get(&gvr("", "v1", "pods"), namespace, name).is_none() {
                continue; // What was done to another pod has taken this one away.
            }
            if pod["metadata"]["deletionTimestamp"].is_string() {
                let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
                self.delete(&gvr("", "v1", "pods"), namespace, name, &options);
            } else if pod["status"]["podIP"].is_null() {
                self.set_ready(&pod, true);
            }
        }
        self.settle();
    }

    pub fn set_ready(&mut self, pod: &Value, ready: bool) {
        let (namespace, name) = (pod["metadata"]["namespace"].as_str().unwrap(), pod["metadata"]["name"].as_str().unwrap());
        let condition =
            json!({"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": self.now.rfc3339()});
        let mut changed = pod.clone();
        changed["status"] = json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": [condition], "startTime": self.now.rfc3339()});
        changed["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        self.api.client(self.now, &self.admin).update_status(&gvr("", "v1", "pods"), namespace, name, changed).expect("status");
        self.settle();
    }

    /// Runs pods until a rollout comes to rest.
    pub fn roll(&mut self) {
        for _ in 0..50 {
            let before = self.api.store().revision();
            self.run_pods();
            if self.api.store().revision() == before {
                return;
            }
        }
        panic!("the rollout does not come to rest");
    }
}

pub fn deployment(name: &str, replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}},
    })
}

pub fn deployments() -> GroupVersionResource {
    gvr("apps", "v1", "deployments")
}

pub fn replicasets() -> GroupVersionResource {
    gvr("apps", "v1", "replicasets")
}

pub fn pods() -> GroupVersionResource {
    gvr("", "v1", "pods")
}

impl World {
    /// Tries a write that may be refused.
    pub fn admin(&mut self) -> apiserver::Client<'_> {
        self.api.client(self.now, &self.admin)
    }

    /// An object that must be there.
    pub fn there(&mut self, resource: &GroupVersionResource, name: &str) -> Value {
        self.get(resource, "default", name).unwrap_or_else(|| panic!("no {name} of {resource:?}"))
    }

    /// Names of the objects of a resource in `default`, sorted.
    pub fn names(&self, resource: &GroupVersionResource) -> Vec<String> {
        let mut names: Vec<String> =
            self.list(resource).iter().filter(|o| o["metadata"]["namespace"] == "default").map(name).collect();
        names.sort();
        names
    }

    /// What was said of objects of this kind: type, reason and message of each event, sorted.
    pub fn said(&self, kind: &str) -> Vec<String> {
        let events = self.list(&gvr("", "v1", "events"));
        let of_kind = events.iter().filter(|event| event["involvedObject"]["kind"] == kind);
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let mut said: Vec<String> =
            of_kind.map(|e| format!("{} {}: {}", text(e, "type"), text(e, "reason"), text(e, "message"))).collect();
        said.sort();
        said
    }

    /// Changes the status of a pod as its kubelet would.
    pub fn pod_status(&mut self, name: &str, status: Value) {
        let mut pod = self.there(&pods(), name);
        pod["status"] = status;
        pod["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
        self.admin().update_status(&pods(), "default", name, pod).expect("status");
        self.settle();
    }

    /// Plays the kubelet for one pod that comes to its end now.
    pub fn end(&mut self, name: &str, exit_code: i64) {
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        let terminated = json!({"terminated": {"exitCode": exit_code, "finishedAt": self.now.rfc3339()}});
        let container = json!({"name": "c", "state": terminated, "image": "i", "imageID": "", "ready": false, "restartCount": 0});
        self.pod_status(name, json!({"phase": phase, "containerStatuses": [container]}));
    }

    /// A node that is ready.
    pub fn node(&mut self, name: &str, spec: Value) {
        let now = self.now.rfc3339();
        let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now});
        let metadata = json!({"name": name, "labels": {"rack": name}});
        let node =
            json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": {"conditions": [ready]}});
        self.create(&gvr("", "v1", "nodes"), node);
    }

    /// Makes an object of a group's kind in `default`.
    pub fn make(&mut self, resource: &GroupVersionResource, kind: &str, name: &str, spec: Value) -> Value {
        let version = if resource.group.is_empty() {
            resource.version.to_string()
        } else {
            format!("{}/{}", resource.group, resource.version)
        };
        let metadata = json!({"name": name, "namespace": "default"});
        self.create(resource, json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}))
    }
}

/// The name of an object.
pub fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// A condition of an object's status, null if it has none of this type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.and_then(|all| all.iter().find(|c| c["type"] == kind)).unwrap_or(&Value::Null)
}

/// A template of pods with one container.
pub fn template(app: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}
