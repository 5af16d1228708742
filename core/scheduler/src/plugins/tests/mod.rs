//! What each plugin says, case by case. Nodes and pods are written as on Kubernetes; a verdict is the empty text where a node fits,
//! and ends in `(for good)` where the departure of pods would not help.

mod neighbours;
mod nodes;
mod resources;
mod spread;

use std::sync::Arc;

use object::{GroupResource, Value, json};
use store::{Key, Object, Store};

use super::{Attached, Defaults, Plugin, Prepared, Trial};
use crate::cache::Cache;
use crate::config::Profile;
use crate::pod_info::PodInfo;

/// A cluster at one moment.
pub(super) struct World {
    cache: Cache,
    store: Store,
    profile: Arc<Profile>,
    placed: u32,
}

fn stored(resource: &str, value: &Value) -> Object {
    let text = |name: &str| object::value::str_at(value, &["metadata", name]).to_owned();
    Object::new(Key::new(&GroupResource::new("", resource), &text("namespace"), &text("name")), 1, value)
}

fn pod(name: &str, namespace: &str, labels: &Value, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace, "uid": format!("{namespace}/{name}"), "labels": labels}, "spec": spec})
}

impl World {
    /// Nodes with names and labels, each with 4 CPUs, 8 GiB and places for 10 pods; what is given besides replaces that.
    pub fn new(nodes: &[(&str, Value)]) -> Self {
        World::with(json!([{}]), nodes)
    }

    /// With profiles of a configuration, of which the first counts.
    pub fn with(profiles: Value, nodes: &[(&str, Value)]) -> Self {
        let config =
            json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": profiles});
        let profile = Arc::new(Profile::read(&config).unwrap().remove(0));
        let mut world = World { cache: Cache::default(), store: Store::new(0), profile, placed: 0 };
        for (name, more) in nodes {
            let mut labels = json!({"kubernetes.io/hostname": name});
            if let Some(given) = more.get("labels").and_then(Value::as_object) {
                labels.as_object_mut().unwrap().extend(given.clone());
            }
            let allocatable = more.get("allocatable").cloned();
            let allocatable = allocatable.unwrap_or_else(|| json!({"cpu": "4", "memory": "8Gi", "pods": "10"}));
            let node = json!({"metadata": {"name": name, "labels": labels}, "spec": more.get("spec"),
                "status": {"allocatable": allocatable, "images": more.get("images").unwrap_or(&json!([]))}});
            let node = stored("nodes", &without_nulls(node));
            world.cache.node_changed(&node.key.name, &node);
        }
        world
    }

    /// A namespace with labels.
    pub fn namespace(mut self, name: &str, labels: Value) -> Self {
        let namespace = stored("namespaces", &json!({"metadata": {"name": name, "labels": labels}}));
        self.cache.namespace_changed(&namespace.key.name, Some(&namespace));
        self
    }

    /// A pod that runs on a node, in the namespace `default` unless its labels name one in `namespace`.
    pub fn runs(mut self, node: &str, labels: Value, mut spec: Value) -> Self {
        spec["nodeName"] = node.into();
        self.placed += 1;
        let namespace = labels.get("namespace").and_then(Value::as_str).unwrap_or("default").to_owned();
        let object = stored("pods", &pod(&format!("placed-{}", self.placed), &namespace, &labels, &spec));
        let info = self.cache.read(&object);
        self.cache.place(&object.key, info);
        self
    }

    fn try_pod<T>(&mut self, labels: &Value, spec: &Value, look: impl FnOnce(&Trial<'_>, &[u32]) -> T) -> T {
        let info: Arc<PodInfo> = self.cache.read(&stored("pods", &pod("new", "default", labels, spec)));
        let profile = self.profile.clone();
        let prepared = Prepared::of(&info, &mut self.cache, &profile, &Defaults::default());
        let attached = Attached::of(&info, &profile, &self.store).unwrap();
        let mut slots: Vec<u32> = self.cache.order().to_vec();
        slots.sort_by_key(|slot| self.cache.at(*slot).map(|node| node.name.clone()));
        let trial = Trial { pod: &info, prepared: &prepared, attached: &attached, cache: &self.cache, store: &self.store };
        look(&trial, &slots)
    }

    /// What a plugin says of each node, by name, for a new pod.
    pub fn filter(&mut self, plugin: Plugin, labels: &Value, spec: &Value) -> Vec<String> {
        self.try_pod(labels, spec, |trial, slots| {
            let verdict = |slot: &u32| match trial.run(plugin, trial.cache.at(*slot).unwrap()) {
                Ok(()) => String::new(),
                Err(rejection) => {
                    let reasons = rejection.reasons(&trial.cache.resources).join("; ");
                    if rejection.resolvable { reasons } else { format!("{reasons} (for good)") }
                }
            };
            slots.iter().map(verdict).collect()
        })
    }

    /// What a plugin scores for each node, by name: as it is, and from 0 to 100. Empty where the plugin has nothing to say.
    pub fn score(&mut self, plugin: &str, labels: &Value, spec: &Value) -> (Vec<i64>, Vec<i64>) {
        self.try_pod(labels, spec, |trial, slots| {
            let columns = trial.columns(slots, slots.len() as u32, true);
            let column = columns.into_iter().find(|column| column.plugin == plugin);
            column.map(|column| (column.raw, column.normalized)).unwrap_or_default()
        })
    }
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    value
}
