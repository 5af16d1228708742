//! Node lifecycle: who was not heard of for long is not known to be ready, and nodes' taints follow from their conditions.
//!
//! <https://kubernetes.io/docs/concepts/architecture/nodes/#node-status>

use std::collections::{BTreeMap, BTreeSet};

use apiserver::{PatchKind, gvr};
use object::events::EventType;
use object::value::{list_at, set, str_at};
use object::{GroupResource, Result, Time, Value, json};
use store::{Event, Key, Object, Store, View};

use super::zones::{Shift, Zones};
use super::{NOT_READY, NodeView, UNREACHABLE, is_taint, nodes, pods, pods_on};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// A node that was not heard of for so long is not known to be ready...
const GRACE_SECONDS: u64 = 50;
/// ...and one that has never said anything, after so long.
const STARTUP_GRACE_SECONDS: u64 = 60;

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Taints this controller keeps in step with conditions: condition, its status, key.
const CONDITION_TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
/// Conditions that are unknown of a node that says nothing.
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Labels that nodes also have under their former names.
const LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// When a lease was renewed.
struct LeaseView(String);

impl View for LeaseView {
    fn of(lease: &Value) -> Self {
        LeaseView(str_at(lease, &["spec", "renewTime"]).to_owned())
    }
}

/// What is known of one node.
struct Known {
    uid: String,
    beat: (String, String),
    /// When that was heard, by this controller's own clock.
    at: Time,
}

/// Watches heartbeats, and taints nodes.
#[derive(Default)]
pub struct NodeLifecycleController {
    known: BTreeMap<String, Known>,
    zones: Zones,
    /// Nodes whose silence is forgiven, because nobody was heard.
    forgiven: BTreeSet<String>,
    /// Nodes whose pods may have to be told that they are not ready.
    suspects: BTreeSet<String>,
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == nodes() {
            queue.add(key.clone());
            let seen = event.new.as_ref().map(|node| (&node.meta, node.view::<NodeView>().is_ready()));
            let add = |name: &str, queue: &mut WorkQueue| queue.add(Key::new(&nodes(), "", name));
            match self.zones.note(&key.name, seen) {
                Shift::None => {}
                Shift::Zone => self.zones.neighbours(&key.name).for_each(|name| add(name, queue)),
                Shift::AllLost => self.zones.nodes().for_each(|name| add(name, queue)),
                Shift::Back => {
                    self.forgiven.extend(self.zones.nodes().map(str::to_owned));
                    self.zones.nodes().for_each(|name| add(name, queue));
                }
            }
        } else if key.resource == GroupResource::literal("coordination.k8s.io", "leases") && &*key.namespace == "kube-node-lease"
        {
            queue.add(Key::new(&nodes(), "", &key.name));
        } else if key.resource == pods()
            && let Some(pod) = &event.new
            && event.old.as_ref().is_none_or(|old| old.view::<PodView>().node != pod.view::<PodView>().node)
            && !pod.view::<PodView>().node.is_empty()
        {
            let node = &pod.view::<PodView>().node;
            self.suspects.insert(node.clone());
            queue.add(Key::new(&nodes(), "", node));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let name = &*key.name;
        let Some(mut node) = cx.get(key) else {
            self.suspects.remove(name);
            if let Some(known) = self.known.remove(name) {
                let about = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": known.uid}});
                let message = format!("Node {name} event: Removing Node {name} from Controller");
                cx.event(&about, EventType::Normal, "RemovingNode", &message);
            }
            return Ok(());
        };
        if self.is_late(cx, &node)
            && let Some(marked) = mark_unknown(cx, &node)?
        {
            self.suspects.insert(name.to_owned());
            node = marked;
        }
        label(cx, &node)?;
        self.taint(cx, &node)?;
        if self.suspects.contains(name) {
            if node.view::<NodeView>().ready.as_deref().is_some_and(|status| status != "True") {
                mark_pods_not_ready(cx, key)?;
            }
            self.suspects.remove(name);
        }
        Ok(())
    }
}

impl NodeLifecycleController {
    /// Listens whether a node has given a sign of life; if not for too long, it is late.
    fn is_late(&mut self, cx: &mut Context<'_>, node: &Object) -> bool {
        let (name, view) = (&*node.key.name, node.view::<NodeView>());
        let lease = Key::new(&GroupResource::literal("coordination.k8s.io", "leases"), "kube-node-lease", name);
        let renewed = cx.store().get(&lease).map(|lease| lease.view::<LeaseView>().0.clone()).unwrap_or_default();
        let beat = (renewed, view.beat.clone());
        let now = cx.now;
        match self.known.get_mut(name) {
            Some(known) if known.uid == node.meta.uid => {
                if known.beat != beat || self.forgiven.remove(name) {
                    (known.beat, known.at) = (beat, now);
                }
            }
            _ => {
                let message = format!("Node {name} event: Registered Node {name} in Controller");
                cx.event(&node.value(), EventType::Normal, "RegisteredNode", &message);
                let at = if view.ready.is_some() { now } else { node.meta.creation_timestamp.unwrap_or(now) };
                self.known.insert(name.to_owned(), Known { uid: node.meta.uid.clone(), beat, at });
            }
        }
        let grace = if view.ready.is_some() { GRACE_SECONDS } else { STARTUP_GRACE_SECONDS };
        let due = self.known.get(name).map_or(now, |known| known.at).plus_secs(grace);
        if due > now {
            cx.queue.add_at(node.key.clone(), due);
        }
        due <= now
    }

    /// Brings a node's taints in step with its conditions and with `spec.unschedulable`.
    fn taint(&mut self, cx: &mut Context<'_>, node: &Object) -> Result<()> {
        let view = node.view::<NodeView>();
        let mut wanted = no_schedule(view);
        if let Some(key) = self.no_execute(cx, node) {
            wanted.push((key, "NoExecute"));
        }
        // A node that has not yet said how it is keeps the taint it was registered with.
        let ours = |taint: &Value| match (str_at(taint, &["key"]), str_at(taint, &["effect"])) {
            (NOT_READY, "NoSchedule") => view.ready.is_some(),
            (NOT_READY | UNREACHABLE, "NoExecute") => true,
            (key, "NoSchedule") => key == UNSCHEDULABLE || CONDITION_TAINTS.iter().any(|(_, _, ours)| *ours == key),
            _ => false,
        };
        let is_wanted = |taint: &Value| wanted.iter().any(|(key, effect)| is_taint(taint, key, effect));
        let mut taints: Vec<Value> = view.taints.iter().filter(|taint| !ours(taint) || is_wanted(taint)).cloned().collect();
        for (key, effect) in wanted {
            if !view.has_taint(key, effect) {
                taints.push(json!({"key": key, "effect": effect, "timeAdded": cx.now.rfc3339()}));
            }
        }
        if taints == view.taints {
            return Ok(());
        }
        let patch = json!({"spec": {"taints": if taints.is_empty() { Value::Null } else { taints.into() }}});
        cx.client().patch(&gvr("", "v1", "nodes"), "", &node.key.name, "", PatchKind::Merge, patch).map(drop)
    }

    /// The taint that makes pods leave, when its zone's turn for that has come.
    fn no_execute(&mut self, cx: &mut Context<'_>, node: &Object) -> Option<&'static str> {
        let view = node.view::<NodeView>();
        let key = match view.ready.as_deref() {
            Some("False") => NOT_READY,
            Some("Unknown") => UNREACHABLE,
            _ => return None,
        };
        if self.zones.stopped() {
            return None;
        }
        let already = [NOT_READY, UNREACHABLE].iter().any(|key| view.has_taint(key, "NoExecute"));
        if already {
            return Some(key);
        }
        match self.zones.give_up(&node.key.name, cx.now) {
            Ok(()) => Some(key),
            Err(later) => {
                later.into_iter().for_each(|at| cx.queue.add_at(node.key.clone(), at));
                None
            }
        }
    }
}

fn no_schedule(view: &NodeView) -> Vec<(&'static str, &'static str)> {
    let holds = |kind: &str, status: &str| view.conditions.iter().any(|(k, s)| k == kind && s == status);
    let mut wanted: Vec<_> = CONDITION_TAINTS
        .iter()
        .filter(|(condition, status, _)| holds(condition, status))
        .map(|(_, _, taint)| (*taint, "NoSchedule"))
        .collect();
    if view.unschedulable {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

/// Nobody speaks for the node: what it last said is no longer known to be so. The node as it is then; `None` if that was known.
fn mark_unknown(cx: &mut Context<'_>, node: &Object) -> Result<Option<std::sync::Arc<Object>>> {
    let view = node.view::<NodeView>();
    let is_known = |kind: &str| view.conditions.iter().all(|(k, status)| k != kind || status != "Unknown");
    if !CONDITIONS.iter().any(|kind| is_known(kind)) {
        return Ok(None);
    }
    let mut value = node.value();
    let mut conditions = list_at(&value, &["status", "conditions"]).to_vec();
    let now = cx.now.rfc3339();
    for kind in CONDITIONS {
        match conditions.iter_mut().find(|condition| str_at(condition, &["type"]) == kind) {
            Some(condition) if str_at(condition, &["status"]) == "Unknown" => {}
            Some(condition) => {
                condition["status"] = "Unknown".into();
                condition["reason"] = "NodeStatusUnknown".into();
                condition["message"] = "Kubelet stopped posting node status.".into();
                condition["lastTransitionTime"] = now.as_str().into();
            }
            None => conditions.push(json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.", "lastTransitionTime": now,
                "lastHeartbeatTime": node.meta.creation_timestamp.unwrap_or(cx.now).rfc3339(),
            })),
        }
    }
    set(&mut value, &["status", "conditions"], conditions);
    object::value::remove(&mut value, &["metadata", "resourceVersion"]);
    let value = cx.client().update_status(&gvr("", "v1", "nodes"), "", &node.key.name, value)?;
    if view.is_ready() {
        let message = format!("Node {} status is now: NodeNotReady", node.key.name);
        cx.event(&value, EventType::Normal, "NodeNotReady", &message);
    }
    Ok(cx.get(&node.key))
}

fn mark_pods_not_ready(cx: &mut Context<'_>, key: &Key) -> Result<()> {
    for pod in pods_on(cx, &key.name).iter().filter(|pod| pod.view::<PodView>().ready) {
        let mut value = pod.value();
        let mut conditions = list_at(&value, &["status", "conditions"]).to_vec();
        for condition in conditions.iter_mut().filter(|c| str_at(c, &["type"]) == "Ready") {
            condition["status"] = "False".into();
            condition["lastTransitionTime"] = cx.now.rfc3339().into();
        }
        set(&mut value, &["status", "conditions"], conditions);
        object::value::remove(&mut value, &["metadata", "resourceVersion"]);
        match cx.client().update_status(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, value) {
            Err(error) if !error.is_not_found() => return Err(error),
            Err(_) => {}
            Ok(pod) => cx.event(&pod, EventType::Warning, "NodeNotReady", "Node is not ready"),
        }
    }
    Ok(())
}

/// Keeps the former names of some labels.
fn label(cx: &mut Context<'_>, node: &Object) -> Result<()> {
    let mut labels = json!({});
    for (name, former) in LABELS {
        if let Some(value) = node.meta.labels.get(name)
            && node.meta.labels.get(former) != Some(value)
        {
            labels[former] = value.as_str().into();
        }
    }
    if labels.as_object().is_none_or(|labels| labels.is_empty()) {
        return Ok(());
    }
    let patch = json!({"metadata": {"labels": labels}});
    cx.client().patch(&gvr("", "v1", "nodes"), "", &node.key.name, "", PatchKind::Merge, patch).map(drop)
}
