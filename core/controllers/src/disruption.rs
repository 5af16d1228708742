//! PodDisruptionBudgets: how many pods of a set are healthy, and how many of them evictions may take.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-budgets>

use std::collections::BTreeMap;

use apiserver::gvr;
use object::selector::LabelSelector;
use object::value::{self, at, i64_at, list_at, str_at};
use object::{GroupResource, Result, Time, Value, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// How long an evicted pod may take until its deletion is seen.
const DELETION_TIMEOUT_SECONDS: u64 = 120;

/// Keeps budgets' status.
pub struct DisruptionController;

fn budgets() -> GroupResource {
    GroupResource::new("policy", "poddisruptionbudgets")
}

impl Controller for DisruptionController {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == budgets() {
            queue.add(key.clone());
            return;
        }
        let scales = matches!(
            (&*key.resource.group, &*key.resource.resource),
            ("", "pods" | "replicationcontrollers") | ("apps", "deployments" | "replicasets" | "statefulsets")
        );
        if scales {
            for budget in store.list(&budgets(), Some(&key.namespace)) {
                queue.add(budget.key.clone());
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key).filter(|budget| budget.meta.deletion_timestamp.is_none()) else { return Ok(()) };
        let mut budget = stored.value();
        let pods = selected(cx.store(), &budget, &key.namespace);
        let (disrupted, wake) = still_disrupted(&budget, &pods, cx.now);
        let (expected, desired) = wanted(cx.store(), &budget, &pods);
        let healthy = pods.iter().filter(|pod| is_healthy(pod, &disrupted)).count() as i64;
        let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
        let mut status = json!({
            "observedGeneration": i64_at(&budget, &["metadata", "generation"]).unwrap_or(0),
            "expectedPods": expected, "desiredHealthy": desired, "currentHealthy": healthy, "disruptionsAllowed": allowed,
            "conditions": [condition(&budget, allowed, cx.now)],
        });
        if !disrupted.is_empty() {
            status["disruptedPods"] = json!(disrupted);
        }
        if let Some(at) = wake {
            cx.queue.add_at(key.clone(), at);
        }
        if budget.get("status") == Some(&status) {
            return Ok(());
        }
        value::set(&mut budget, &["status"], status);
        cx.client().update_status(&gvr("policy", "v1", "poddisruptionbudgets"), &key.namespace, &key.name, budget).map(drop)
    }
}

/// The pods a budget is about.
fn selected(store: &Store, budget: &Value, namespace: &str) -> Vec<Value> {
    let selector = at(budget, &["spec", "selector"]).and_then(|selector| LabelSelector::from_json(selector).ok());
    let Some(selector) = selector else { return Vec::new() };
    let pods = GroupResource::new("", "pods");
    let matching = store.list(&pods, Some(namespace)).filter(|pod| selector.matches(&pod.meta.labels));
    matching.map(|pod| pod.value()).collect()
}

/// Evicted pods whose deletion has not been seen yet, and when to look again.
fn still_disrupted(budget: &Value, pods: &[Value], now: Time) -> (BTreeMap<String, String>, Option<Time>) {
    let mut kept = BTreeMap::new();
    let mut wake: Option<Time> = None;
    for (name, since) in at(budget, &["status", "disruptedPods"]).and_then(Value::as_object).into_iter().flatten() {
        let there = pods
            .iter()
            .any(|pod| str_at(pod, &["metadata", "name"]) == name && at(pod, &["metadata", "deletionTimestamp"]).is_none());
        let Some(since) = since.as_str().and_then(Time::parse).filter(|_| there) else { continue };
        let until = since.plus_secs(DELETION_TIMEOUT_SECONDS);
        if until > now {
            wake = Some(wake.map_or(until, |wake| wake.min(until)));
            kept.insert(name.clone(), since.rfc3339());
        }
    }
    (kept, wake)
}

fn is_healthy(pod: &Value, disrupted: &BTreeMap<String, String>) -> bool {
    let ready = list_at(pod, &["status", "conditions"])
        .iter()
        .any(|c| str_at(c, &["type"]) == "Ready" && str_at(c, &["status"]) == "True");
    ready && at(pod, &["metadata", "deletionTimestamp"]).is_none() && !disrupted.contains_key(str_at(pod, &["metadata", "name"]))
}

/// How many pods there should be, and how many of them must be healthy.
fn wanted(store: &Store, budget: &Value, pods: &[Value]) -> (i64, i64) {
    let percent = |value: &Value| value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    let share = |percent: i64, of: i64| (percent.saturating_mul(of) + 99) / 100;
    if let Some(most) = at(budget, &["spec", "maxUnavailable"]) {
        let expected = expected_scale(store, pods);
        let unavailable = percent(most).map_or_else(|| most.as_i64().unwrap_or(0), |percent| share(percent, expected));
        return (expected, (expected - unavailable).max(0));
    }
    match at(budget, &["spec", "minAvailable"]) {
        Some(least) => match percent(least) {
            Some(percent) => {
                let expected = expected_scale(store, pods);
                (expected, share(percent, expected))
            }
            None => (pods.len() as i64, least.as_i64().unwrap_or(0)),
        },
        None => (pods.len() as i64, 0),
    }
}

/// The sum of what the pods' controllers want, each once.
fn expected_scale(store: &Store, pods: &[Value]) -> i64 {
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    for pod in pods {
        if let Some((uid, replicas)) = controller_scale(store, pod) {
            scales.insert(uid, replicas);
        }
    }
    scales.values().sum()
}

/// The controller of a pod (a Deployment stands behind its ReplicaSet) and its replicas.
fn controller_scale(store: &Store, object: &Value) -> Option<(String, i64)> {
    let owner = list_at(object, &["metadata", "ownerReferences"]).iter().find(|owner| value::bool_at(owner, &["controller"]))?;
    let resource = match (str_at(owner, &["apiVersion"]), str_at(owner, &["kind"])) {
        ("apps/v1", "ReplicaSet") => GroupResource::new("apps", "replicasets"),
        ("apps/v1", "Deployment") => GroupResource::new("apps", "deployments"),
        ("apps/v1", "StatefulSet") => GroupResource::new("apps", "statefulsets"),
        ("v1", "ReplicationController") => GroupResource::new("", "replicationcontrollers"),
        _ => return None,
    };
    let key = Key::new(&resource, str_at(object, &["metadata", "namespace"]), str_at(owner, &["name"]));
    let stored = store.get(&key).filter(|stored| stored.meta.uid == str_at(owner, &["uid"]))?;
    let controller = stored.value();
    if &*resource.resource == "replicasets"
        && let Some(above) = controller_scale(store, &controller)
    {
        return Some(above);
    }
    Some((stored.meta.uid.to_string(), i64_at(&controller, &["spec", "replicas"]).unwrap_or(1)))
}

fn condition(budget: &Value, allowed: i64, now: Time) -> Value {
    let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let before = list_at(budget, &["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "DisruptionAllowed");
    let since = before.filter(|c| str_at(c, &["status"]) == status).map(|c| str_at(c, &["lastTransitionTime"]).to_owned());
    json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
        "observedGeneration": i64_at(budget, &["metadata", "generation"]).unwrap_or(0),
        "lastTransitionTime": since.unwrap_or_else(|| now.rfc3339()),
    })
}
