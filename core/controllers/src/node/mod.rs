//! Nodes: their heartbeats, the taints that follow from them, the pods that must leave, and the addresses nodes give to pods.
//!
//! <https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller>

mod ipam;
mod lifecycle;
mod pod_gc;
mod taint_eviction;
mod ttl;
mod zones;

use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, gvr};
use object::value::{bool_at, list_at, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Object, View};

use crate::context::Context;

pub use ipam::NodeIpamController;
pub use lifecycle::NodeLifecycleController;
pub use pod_gc::PodGarbageCollector;
pub use taint_eviction::TaintEvictionController;
pub use ttl::TtlController;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

fn nodes() -> GroupResource {
    GroupResource::literal("", "nodes")
}

fn pods() -> GroupResource {
    GroupResource::literal("", "pods")
}

/// What these controllers read of a node.
pub struct NodeView {
    /// The status of its Ready condition, if it has one.
    pub ready: Option<String>,
    /// Anything that changes with each sign of life in its status.
    beat: String,
    /// Types and status of its conditions.
    conditions: Vec<(String, String)>,
    /// Its taints.
    pub taints: Vec<Value>,
    unschedulable: bool,
    /// Its part of the pods' addresses.
    cidr: String,
}

impl View for NodeView {
    fn of(node: &Value) -> Self {
        let conditions = list_at(node, &["status", "conditions"]);
        let ready = conditions.iter().find(|c| str_at(c, &["type"]) == "Ready");
        let text = |c: &Value, key: &str| str_at(c, &[key]).to_owned();
        NodeView {
            ready: ready.map(|c| text(c, "status")),
            beat: ready.map(|c| text(c, "lastHeartbeatTime") + &text(c, "lastTransitionTime")).unwrap_or_default(),
            conditions: conditions.iter().map(|c| (text(c, "type"), text(c, "status"))).collect(),
            taints: list_at(node, &["spec", "taints"]).to_vec(),
            unschedulable: bool_at(node, &["spec", "unschedulable"]),
            cidr: str_at(node, &["spec", "podCIDR"]).to_owned(),
        }
    }
}

impl NodeView {
    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready.as_deref() == Some("True")
    }

    /// Whether somebody has said that it is out of service, so that its pods and volumes need not be waited for.
    pub fn is_out_of_service(&self) -> bool {
        self.taints.iter().any(|taint| str_at(taint, &["key"]) == OUT_OF_SERVICE)
    }

    fn has_taint(&self, key: &str, effect: &str) -> bool {
        self.taints.iter().any(|taint| is_taint(taint, key, effect))
    }

    fn no_execute(&self) -> impl Iterator<Item = &Value> {
        self.taints.iter().filter(|taint| str_at(taint, &["effect"]) == "NoExecute")
    }
}

fn is_taint(taint: &Value, key: &str, effect: &str) -> bool {
    str_at(taint, &["key"]) == key && str_at(taint, &["effect"]) == effect
}

/// The pods that are bound to a node.
fn pods_on(cx: &Context<'_>, node: &str) -> Vec<Arc<Object>> {
    cx.index.pods_on(node).filter_map(|key| cx.get(key)).collect()
}

/// Says in a pod's status that it has failed, and why it is disrupted. One that is gone needs to know nothing.
fn patch_status(cx: &mut Context<'_>, pod: &Object, phase: Option<&str>, why: Option<(&str, &str)>) -> Result<()> {
    let mut status = json!({});
    if let Some(phase) = phase {
        status["phase"] = phase.into();
    }
    if let Some((reason, message)) = why {
        let mut condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
            "lastProbeTime": null, "lastTransitionTime": cx.now.rfc3339(),
        });
        if let Some(generation) = object::value::i64_at(&pod.value(), &["metadata", "generation"]) {
            condition["observedGeneration"] = generation.into();
        }
        status["conditions"] = json!([condition]);
    }
    let (namespace, name) = (&pod.key.namespace, &pod.key.name);
    let patch = json!({"metadata": {"uid": pod.meta.uid}, "status": status});
    match cx.client().patch(&gvr("", "v1", "pods"), namespace, name, "status", PatchKind::Strategic, patch) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes a pod, which may be gone already.
fn delete(cx: &mut Context<'_>, pod: &Object, grace_period_seconds: Option<i64>) -> Result<()> {
    let options = DeleteOptions { grace_period_seconds, ..DeleteOptions::default() };
    match cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, &options) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
