//! What invariants read of objects: an own reading, which shares nothing with that of controllers and scheduler.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::value::{at, i64_at, list_at, str_at};
use object::{Quantity, Value};
use store::{Object, View};

/// A pod.
#[derive(Clone, Debug, Default)]
pub struct PodFacts {
    /// Its node.
    pub node: String,
    /// `status.phase`.
    pub phase: String,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Thousandths of CPU, and bytes, that it asks for.
    pub requests: (i64, i64),
    /// Tolerations.
    pub tolerations: Vec<Value>,
    /// `spec.nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// It has scheduling gates, or terms that only the scheduler understands.
    pub demanding: bool,
    /// The API evicted it.
    pub evicted: bool,
    /// `batch.kubernetes.io/job-completion-index`.
    pub index: Option<String>,
    /// It is made to fail, or never to be ready.
    pub hopeless: bool,
    /// Its addresses.
    pub ip: String,
    /// Ports of its node that it takes.
    pub host_ports: Vec<i64>,
    /// It will not be on one node with pods that have this label.
    pub alone: Option<String>,
}

impl View for PodFacts {
    fn of(pod: &Value) -> Self {
        let conditions = list_at(pod, &["status", "conditions"]);
        let has = |kind: &str, status: &str| {
            conditions.iter().any(|c| str_at(c, &["type"]) == kind && str_at(c, &["status"]) == status)
        };
        let amount =
            |container: &Value, name: &str| at(container, &["resources", "requests", name]).and_then(Quantity::from_json);
        let containers = list_at(pod, &["spec", "containers"]);
        let cpu = containers.iter().filter_map(|c| amount(c, "cpu")).map(|q| q.milli_value()).sum();
        let memory = containers.iter().filter_map(|c| amount(c, "memory")).map(|q| q.value()).sum();
        let note = |key: &str| object::meta::annotation(pod, key);
        let images = containers.iter().any(|c| str_at(c, &["image"]).contains("does-not-exist"));
        let evicted = conditions
            .iter()
            .any(|c| str_at(c, &["type"]) == "DisruptionTarget" && str_at(c, &["reason"]) == "EvictionByEvictionAPI");
        PodFacts {
            node: str_at(pod, &["spec", "nodeName"]).to_owned(),
            phase: str_at(pod, &["status", "phase"]).to_owned(),
            ready: has("Ready", "True"),
            requests: (cpu, memory),
            tolerations: list_at(pod, &["spec", "tolerations"]).to_vec(),
            node_selector: object::meta::string_map(at(pod, &["spec", "nodeSelector"])),
            demanding: !list_at(pod, &["spec", "schedulingGates"]).is_empty()
                || containers.iter().any(|c| !list_at(c, &["ports"]).is_empty())
                || at(pod, &["spec", "affinity"]).is_some_and(|a| a.as_object().is_some_and(|a| !a.is_empty()))
                || !list_at(pod, &["spec", "topologySpreadConstraints"]).is_empty()
                || list_at(pod, &["spec", "volumes"]).iter().any(|v| v.get("persistentVolumeClaim").is_some()),
            evicted,
            index: note("batch.kubernetes.io/job-completion-index").map(str::to_owned),
            hopeless: images || note("wasmkube.dev/exit-code").is_some() || note("wasmkube.dev/fail-probes").is_some(),
            ip: str_at(pod, &["status", "podIP"]).to_owned(),
            host_ports: containers.iter().flat_map(|c| list_at(c, &["ports"])).filter_map(|p| i64_at(p, &["hostPort"])).collect(),
            alone: list_at(pod, &["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"])
                .first()
                .map(|term| str_at(term, &["labelSelector", "matchLabels", "app"]).to_owned()),
        }
    }
}

impl PodFacts {
    /// Whether it ran to its end.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// Taints.
    pub taints: Vec<Value>,
    /// Thousandths of CPU, bytes, and pods that it has.
    pub allocatable: (i64, i64, i64),
    /// Whether it is Ready.
    pub ready: bool,
    /// Its addresses for pods.
    pub cidr: String,
}

impl View for NodeFacts {
    fn of(node: &Value) -> Self {
        let amount = |name: &str| at(node, &["status", "allocatable", name]).and_then(Quantity::from_json);
        let conditions = list_at(node, &["status", "conditions"]);
        NodeFacts {
            unschedulable: object::value::bool_at(node, &["spec", "unschedulable"]),
            taints: list_at(node, &["spec", "taints"]).to_vec(),
            allocatable: (
                amount("cpu").map_or(0, |q| q.milli_value()),
                amount("memory").map_or(0, |q| q.value()),
                amount("pods").map_or(0, |q| q.value()),
            ),
            ready: conditions.iter().any(|c| str_at(c, &["type"]) == "Ready" && str_at(c, &["status"]) == "True"),
            cidr: str_at(node, &["spec", "podCIDR"]).to_owned(),
        }
    }
}

/// An object's whole JSON, parsed once.
pub struct Whole(pub Value);

impl View for Whole {
    fn of(object: &Value) -> Self {
        Whole(object.clone())
    }
}

/// The JSON of an object.
pub fn whole(object: &Arc<Object>) -> &Value {
    &object.view::<Whole>().0
}

/// A number of an object, 0 if it is not there.
pub fn number(object: &Arc<Object>, path: &[&str]) -> i64 {
    i64_at(whole(object), path).unwrap_or(0)
}

/// Whether tolerations bear a taint.
pub fn tolerates(tolerations: &[Value], taint: &Value) -> bool {
    tolerations.iter().any(|toleration| {
        let (key, effect) = (str_at(toleration, &["key"]), str_at(toleration, &["effect"]));
        let exists = str_at(toleration, &["operator"]) == "Exists";
        let key_fits = if key.is_empty() { exists } else { key == str_at(taint, &["key"]) };
        let value_fits = exists || str_at(toleration, &["value"]) == str_at(taint, &["value"]);
        key_fits && value_fits && (effect.is_empty() || effect == str_at(taint, &["effect"]))
    })
}

/// The share that an integer or a percentage is of a number.
pub fn share(value: Option<&Value>, of: i64, default: i64, up: bool) -> i64 {
    match value {
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            if up { (of * percent + 99) / 100 } else { of * percent / 100 }
        }
        Some(value) => value.as_i64().unwrap_or(default),
        None => default,
    }
}
