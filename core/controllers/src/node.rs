//! Nodes: their pod addresses, their heartbeats, and the pods of those that are gone.
//!
//! <https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller>

use object::order::Order as _;
use std::collections::BTreeMap;

use apiserver::{DeleteOptions, PatchKind, UserInfo, gvr};
use object::events::EventType;
use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, Result, Time, Value, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// A node that was not heard of for so long is not known to be ready.
const GRACE_SECONDS: u64 = 40;
/// Terminated pods beyond this many are deleted, the oldest first.
const TERMINATED_THRESHOLD: usize = 12_500;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
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

fn nodes() -> GroupResource {
    GroupResource::new("", "nodes")
}

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

/// Watches heartbeats, taints nodes, and evicts pods from nodes that are lost.
#[derive(Default)]
pub struct NodeLifecycleController {
    /// When each node was last heard of, by this controller's own clock.
    heard: BTreeMap<String, (String, Time)>,
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == nodes() {
            queue.add(key.clone());
        } else if key.resource == GroupResource::new("coordination.k8s.io", "leases") && &*key.namespace == "kube-node-lease" {
            queue.add(Key::new(&nodes(), "", &key.name));
        } else if key.resource == pods()
            && let Some(pod) = &event.new
            && event.old.as_ref().is_none_or(|old| old.view::<PodView>().node != pod.view::<PodView>().node)
            && !pod.view::<PodView>().node.is_empty()
        {
            queue.add(Key::new(&nodes(), "", &pod.view::<PodView>().node));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else {
            self.heard.remove(&*key.name);
            return Ok(());
        };
        let mut node = object.value();
        let beat = heartbeat(cx, key, &node);
        let heard = self.heard.entry(key.name.to_string()).or_insert_with(|| (beat.clone(), cx.now));
        if heard.0 != beat {
            *heard = (beat, cx.now);
        }
        let late_at = heard.1.plus_secs(GRACE_SECONDS);
        let has_ready = list_at(&node, &["status", "conditions"]).iter().any(|c| str_at(c, &["type"]) == "Ready");
        if late_at <= cx.now && has_ready {
            node = mark_unknown(cx, key, node)?;
        } else if late_at > cx.now {
            cx.queue.add_at(key.clone(), late_at);
        }
        let node = sync_taints(cx, key, node)?;
        evict(cx, key, &node)
    }
}

/// Anything that changes with each sign of life.
fn heartbeat(cx: &Context<'_>, key: &Key, node: &Value) -> String {
    let lease = cx.get(&Key::new(&GroupResource::new("coordination.k8s.io", "leases"), "kube-node-lease", &key.name));
    let renewed = lease.map(|l| str_at(&l.value(), &["spec", "renewTime"]).to_owned()).unwrap_or_default();
    let beats: Vec<&str> = list_at(node, &["status", "conditions"]).iter().map(|c| str_at(c, &["lastHeartbeatTime"])).collect();
    format!("{renewed} {}", beats.join(" "))
}

/// Nobody speaks for the node: what it last said is no longer known to be so, and its pods are not ready.
fn mark_unknown(cx: &mut Context<'_>, key: &Key, mut node: Value) -> Result<Value> {
    let mut conditions = list_at(&node, &["status", "conditions"]).to_vec();
    let known = conditions.iter().any(|c| str_at(c, &["status"]) != "Unknown");
    if !known {
        return Ok(node);
    }
    for condition in &mut conditions {
        if str_at(condition, &["status"]) != "Unknown" && str_at(condition, &["type"]) != "NetworkUnavailable" {
            condition["status"] = "Unknown".into();
            condition["reason"] = "NodeStatusUnknown".into();
            condition["message"] = "Kubelet stopped posting node status.".into();
            condition["lastTransitionTime"] = cx.now.rfc3339().into();
        }
    }
    object::value::set(&mut node, &["status", "conditions"], conditions);
    object::value::remove(&mut node, &["metadata", "resourceVersion"]);
    let node = cx.client().update_status(&gvr("", "v1", "nodes"), "", &key.name, node)?;
    cx.event(&node, EventType::Normal, "NodeNotReady", &format!("Node {} status is now: NodeNotReady", key.name));
    mark_pods_not_ready(cx, key)?;
    Ok(node)
}

fn pods_on(cx: &Context<'_>, node: &str) -> Vec<std::sync::Arc<store::Object>> {
    cx.store().list(&pods(), None).filter(|pod| pod.view::<PodView>().node == node).cloned().collect()
}

fn mark_pods_not_ready(cx: &mut Context<'_>, key: &Key) -> Result<()> {
    for pod in pods_on(cx, &key.name).iter().filter(|p| p.view::<PodView>().ready) {
        let mut value = pod.value();
        let mut conditions = list_at(&value, &["status", "conditions"]).to_vec();
        for condition in conditions.iter_mut().filter(|c| str_at(c, &["type"]) == "Ready") {
            condition["status"] = "False".into();
            condition["lastTransitionTime"] = cx.now.rfc3339().into();
        }
        object::value::set(&mut value, &["status", "conditions"], conditions);
        object::value::remove(&mut value, &["metadata", "resourceVersion"]);
        match cx.client().update_status(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, value) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Brings the node's taints in step with its conditions and with `spec.unschedulable`.
fn sync_taints(cx: &mut Context<'_>, key: &Key, node: Value) -> Result<Value> {
    let conditions = list_at(&node, &["status", "conditions"]);
    let holds =
        |kind: &str, status: &str| conditions.iter().any(|c| str_at(c, &["type"]) == kind && str_at(c, &["status"]) == status);
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (condition, status, taint) in CONDITION_TAINTS {
        if holds(condition, status) {
            wanted.push((taint, "NoSchedule"));
            if condition == "Ready" {
                wanted.push((taint, "NoExecute"));
            }
        }
    }
    if object::value::bool_at(&node, &["spec", "unschedulable"]) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let old = list_at(&node, &["spec", "taints"]);
    let ours = |taint: &Value| {
        let key = str_at(taint, &["key"]);
        // A node that has not yet said how it is keeps the taint it was registered with.
        let undecided = key == NOT_READY && conditions.iter().all(|c| str_at(c, &["type"]) != "Ready");
        (CONDITION_TAINTS.iter().any(|(_, _, k)| *k == key) || key == UNSCHEDULABLE) && !undecided
    };
    let is =
        |taint: &Value, (key, effect): &(&str, &str)| str_at(taint, &["key"]) == *key && str_at(taint, &["effect"]) == *effect;
    let mut taints: Vec<Value> = old.iter().filter(|t| !ours(t) || wanted.iter().any(|w| is(t, w))).cloned().collect();
    for want in &wanted {
        if !taints.iter().any(|t| is(t, want)) {
            taints.push(json!({"key": want.0, "effect": want.1, "timeAdded": cx.now.rfc3339()}));
        }
    }
    if taints == old {
        return Ok(node);
    }
    let patch = json!({"spec": {"taints": if taints.is_empty() { Value::Null } else { taints.into() }}});
    cx.client().patch(&gvr("", "v1", "nodes"), "", &key.name, "", PatchKind::Merge, patch)
}

/// Deletes pods that do not tolerate a NoExecute taint, when their tolerance is over.
fn evict(cx: &mut Context<'_>, key: &Key, node: &Value) -> Result<()> {
    let taints: Vec<Value> =
        list_at(node, &["spec", "taints"]).iter().filter(|t| str_at(t, &["effect"]) == "NoExecute").cloned().collect();
    if taints.is_empty() {
        return Ok(());
    }
    for pod in pods_on(cx, &key.name).into_iter().filter(|p| p.meta.deletion_timestamp.is_none()) {
        match eviction_time(&taints, &pod.view::<PodView>().tolerations, cx.now) {
            None => {}
            Some(at) if at > cx.now => cx.queue.add_at(key.clone(), at),
            Some(_) => {
                let value = pod.value();
                let message = format!("Marking for deletion Pod {}/{}", pod.key.namespace, pod.key.name);
                cx.event(&value, EventType::Normal, "TaintManagerEviction", &message);
                match cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, &DeleteOptions::default()) {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// When a pod with these tolerations must leave; `None` if it may stay.
fn eviction_time(taints: &[Value], tolerations: &[Value], now: Time) -> Option<Time> {
    let tolerates = |toleration: &&Value, taint: &Value| {
        let (key, effect) = (str_at(toleration, &["key"]), str_at(toleration, &["effect"]));
        let exists = str_at(toleration, &["operator"]) == "Exists";
        let value = exists || str_at(toleration, &["value"]) == str_at(taint, &["value"]);
        (key.is_empty() && exists || key == str_at(taint, &["key"]) && value) && (effect.is_empty() || effect == "NoExecute")
    };
    taints
        .iter()
        .filter_map(|taint| {
            let added = Time::parse(str_at(taint, &["timeAdded"])).unwrap_or(now);
            let matching: Vec<&Value> = tolerations.iter().filter(|t| tolerates(t, taint)).collect();
            if matching.is_empty() {
                return Some(now);
            }
            let seconds = matching.iter().filter_map(|t| i64_at(t, &["tolerationSeconds"])).min()?;
            Some(added.plus_secs(u64::try_from(seconds).unwrap_or(0)))
        })
        .min()
}

/// Gives every node its part of the cluster's pod addresses.
pub struct NodeIpamController;

impl Controller for NodeIpamController {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    /// It has no role of its own: it works with that of the node controller, as on Kubernetes.
    fn user(&self) -> UserInfo {
        UserInfo::service_account("kube-system", "node-controller")
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == nodes() && event.old.is_none() {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(node) = cx.get(key) else { return Ok(()) };
        if !cx.settings.allocate_node_cidrs || at(&node.value(), &["spec", "podCIDR"]).is_some() {
            return Ok(());
        }
        let used: Vec<String> =
            cx.store().list(&nodes(), None).map(|n| str_at(&n.value(), &["spec", "podCIDR"]).to_owned()).collect();
        let Some(free) = subnets(&cx.settings.cluster_cidr).find(|cidr| !used.contains(cidr)) else {
            cx.event(
                &node.value(),
                EventType::Normal,
                "CIDRNotAvailable",
                &format!("Node {} status is now: CIDRNotAvailable", key.name),
            );
            return Ok(());
        };
        let patch = json!({"spec": {"podCIDR": free, "podCIDRs": [free]}});
        cx.client().patch(&gvr("", "v1", "nodes"), "", &key.name, "", PatchKind::Strategic, patch).map(drop)
    }
}

/// The /24 networks of an IPv4 range, in order.
fn subnets(cidr: &str) -> impl Iterator<Item = String> {
    let (address, bits) = cidr.split_once('/').unwrap_or((cidr, "32"));
    let base: u32 = address.parse::<std::net::Ipv4Addr>().map(u32::from).unwrap_or(0);
    let bits: u32 = bits.parse().unwrap_or(32);
    let count = if bits <= 24 { 1u32 << (24 - bits.min(24)).min(20) } else { 0 };
    (0..count).map(move |i| format!("{}/24", std::net::Ipv4Addr::from(base.wrapping_add(i << 8))))
}

/// Deletes pods whose node is gone for good, and terminated ones beyond a threshold.
pub struct PodGarbageCollector;

impl Controller for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == nodes() && event.new.is_none() {
            queue.add(key.clone());
        } else if key.resource == pods()
            && event.new.as_ref().is_some_and(|p| p.view::<PodView>().is_terminal())
            && store.current().count(&pods()) > TERMINATED_THRESHOLD
        {
            queue.add(Key::new(&pods(), "", ""));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        if key.resource == pods() {
            return collect_terminated(cx);
        }
        if cx.get(key).is_some() {
            return Ok(());
        }
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        for pod in pods_on(cx, &key.name) {
            match cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, &options) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn collect_terminated(cx: &mut Context<'_>) -> Result<()> {
    let mut ended: Vec<_> = cx.store().list(&pods(), None).filter(|p| p.view::<PodView>().is_terminal()).cloned().collect();
    let surplus = ended.len().saturating_sub(TERMINATED_THRESHOLD);
    ended.order_by_key(|p| (p.meta.creation_timestamp, p.key.clone()));
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    for pod in ended.into_iter().take(surplus) {
        match cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, &options) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_get_networks_in_order() {
        assert_eq!(subnets("10.244.0.0/16").take(2).collect::<Vec<_>>(), ["10.244.0.0/24", "10.244.1.0/24"]);
        assert_eq!(subnets("10.244.0.0/16").count(), 256);
        assert_eq!(subnets("10.244.0.0/30").count(), 0);
    }

    #[test]
    fn tolerance_ends() {
        let now = Time::from_secs(1000);
        let taints = [json!({"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": Time::from_secs(900).rfc3339()})];
        let tolerates = |seconds: Value| {
            [json!({"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds})]
        };
        assert_eq!(eviction_time(&taints, &[], now), Some(now));
        assert_eq!(eviction_time(&taints, &tolerates(json!(300)), now), Some(Time::from_secs(1200)));
        assert_eq!(eviction_time(&taints, &tolerates(Value::Null), now), None);
    }
}
