//! PodDisruptionBudgets: how many pods of a set are healthy, and how many of them evictions may take.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-budgets>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apiserver::gvr;
use object::events::EventType;
use object::value::{self, at, i64_at, list_at, str_at};
use object::{GroupResource, GroupVersion, OwnerReference, Result, Time, Value, json};
use store::{Event, Key, Object, Store, View};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::Selects;
use crate::queue::WorkQueue;

/// How long an evicted pod may take until its deletion is seen.
const DELETION_TIMEOUT_SECONDS: u64 = 120;
/// How long a pod may be called disrupted without being deleted.
const STALE_SECONDS: u64 = 120;
/// So long, for each of many pods, a budget waits until it looks at their changes again.
const MICROS_PER_POD: u64 = 10;
/// Budgets of so few pods need not wait.
const FEW: u64 = 200;

/// Keeps budgets' status.
pub struct DisruptionController;

fn budgets() -> GroupResource {
    GroupResource::literal("policy", "poddisruptionbudgets")
}

fn pods() -> GroupResource {
    GroupResource::literal("", "pods")
}

/// Since when a pod's status says that it is about to be disrupted, if somebody other than its kubelet says so.
struct Disrupted(Option<Time>);

impl View for Disrupted {
    fn of(pod: &Value) -> Self {
        let mut conditions = list_at(pod, &["status", "conditions"]).iter();
        let said = conditions.find(|c| str_at(c, &["type"]) == "DisruptionTarget" && str_at(c, &["status"]) == "True");
        let said = said.filter(|c| str_at(c, &["reason"]) != "TerminationByKubelet");
        Disrupted(said.and_then(|c| Time::parse(str_at(c, &["lastTransitionTime"]))))
    }
}

/// When what a pod's status says of its disruption will have turned out wrong.
fn stale_at(pod: &Object) -> Option<Time> {
    let ends = pod.meta.deletion_timestamp.is_some() || pod.view::<PodView>().is_terminal();
    pod.view::<Disrupted>().0.filter(|_| !ends).map(|since| since.plus_secs(STALE_SECONDS))
}

impl Controller for DisruptionController {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn source(&self) -> &'static str {
        "controllermanager"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == budgets() {
            queue.add_now(key.clone());
        } else if key.resource == pods() {
            for budget in store.list(&budgets(), Some(&key.namespace)) {
                let selector = &budget.view::<Selects>().0;
                if [&event.old, &event.new].into_iter().flatten().any(|pod| selector.matches(&pod.meta.labels)) {
                    queue.add(budget.key.clone());
                }
            }
            if let Some(at) = event.new.as_ref().and_then(|pod| stale_at(pod)) {
                queue.add_at(key.clone(), at);
            }
        } else if (&*key.resource.group, &*key.resource.resource) == ("", "replicationcontrollers")
            || &*key.resource.group == "apps"
        {
            // What is wanted of a set may have changed.
            let generation = |object: &Option<Arc<Object>>| object.as_ref().map(|object| object.meta.generation);
            if generation(&event.old) != generation(&event.new) {
                store.list(&budgets(), Some(&key.namespace)).for_each(|budget| queue.add(budget.key.clone()));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        if key.resource == pods() {
            return clear_stale(cx, &stored);
        }
        let budget = stored.value();
        let selector = &stored.view::<Selects>().0;
        let resource = pods();
        let all = cx.store().list(&resource, Some(&key.namespace));
        let pods: Vec<Arc<Object>> = all.filter(|pod| selector.matches(&pod.meta.labels)).cloned().collect();
        let size = pods.len() as u64;
        if size > FEW {
            cx.queue.hold(key.clone(), Time(cx.now.0 + size * MICROS_PER_POD));
        }
        if pods.is_empty() {
            cx.event(&budget, EventType::Normal, "NoPods", "No matching pods found");
        }
        let (expected, desired) = match wanted(cx, &budget, &pods) {
            Ok(numbers) => numbers,
            Err(why) => return fail_safe(cx, key, budget, &why),
        };
        let (disrupted, wake) = still_disrupted(cx, &budget, &pods);
        let healthy = pods.iter().filter(|pod| {
            pod.view::<PodView>().ready && pod.meta.deletion_timestamp.is_none() && !disrupted.contains_key(&*pod.key.name)
        });
        let healthy = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
        let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
        let generation = stored.meta.generation;
        let (state, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let mut status = json!({
            "observedGeneration": generation,
            "expectedPods": expected, "desiredHealthy": desired, "currentHealthy": healthy, "disruptionsAllowed": allowed,
            "conditions": [condition(&budget, (state, reason, ""), generation, cx.now)],
        });
        if !disrupted.is_empty() {
            status["disruptedPods"] = json!(disrupted);
        }
        if let Some(at) = wake {
            cx.queue.add_at(key.clone(), at);
        }
        write(cx, key, budget, status)
    }
}

fn write(cx: &mut Context<'_>, key: &Key, mut budget: Value, status: Value) -> Result<()> {
    if budget.get("status") == Some(&status) {
        return Ok(());
    }
    value::set(&mut budget, &["status"], status);
    cx.client().update_status(&gvr("policy", "v1", "poddisruptionbudgets"), &key.namespace, &key.name, budget).map(drop)
}

/// What cannot be counted must not be disrupted.
fn fail_safe(cx: &mut Context<'_>, key: &Key, budget: Value, why: &str) -> Result<()> {
    let message = format!("Failed to calculate the number of expected pods: {why}");
    cx.event(&budget, EventType::Warning, "CalculateExpectedPodCountFailed", &message);
    let mut status = at(&budget, &["status"]).cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    let observed = i64_at(&status, &["observedGeneration"]).unwrap_or(0);
    status["disruptionsAllowed"] = 0.into();
    for number in ["currentHealthy", "desiredHealthy", "expectedPods"] {
        status[number] = i64_at(&status, &[number]).unwrap_or(0).into();
    }
    status["conditions"] = json!([condition(&budget, ("False", "SyncFailed", why), observed, cx.now)]);
    write(cx, key, budget, status)
}

/// Takes back that a pod would be disrupted, after it has not been.
fn clear_stale(cx: &mut Context<'_>, stored: &Object) -> Result<()> {
    let Some(due) = stale_at(stored) else { return Ok(()) };
    if due > cx.now {
        cx.queue.add_at(stored.key.clone(), due);
        return Ok(());
    }
    let mut pod = stored.value();
    let mut conditions = list_at(&pod, &["status", "conditions"]).to_vec();
    let stale = json!({
        "type": "DisruptionTarget", "status": "False", "lastProbeTime": null, "lastTransitionTime": cx.now.rfc3339(),
        "observedGeneration": stored.meta.generation,
    });
    if let Some(said) = conditions.iter_mut().find(|c| str_at(c, &["type"]) == "DisruptionTarget") {
        *said = stale;
    }
    value::set(&mut pod, &["status", "conditions"], conditions);
    cx.client().update_status(&gvr("", "v1", "pods"), &stored.key.namespace, &stored.key.name, pod).map(drop)
}

/// Evicted pods whose deletion has not been seen yet, and when to look again.
fn still_disrupted(cx: &mut Context<'_>, budget: &Value, pods: &[Arc<Object>]) -> (BTreeMap<String, String>, Option<Time>) {
    let mut kept = BTreeMap::new();
    let mut wake: Option<Time> = None;
    let Some(disrupted) = at(budget, &["status", "disruptedPods"]).and_then(Value::as_object) else { return (kept, wake) };
    for pod in pods.iter().filter(|pod| pod.meta.deletion_timestamp.is_none()) {
        let since = disrupted.get(&*pod.key.name).and_then(Value::as_str);
        let Some((text, since)) = since.and_then(|text| Some((text, Time::parse(text)?))) else { continue };
        let until = since.plus_secs(DELETION_TIMEOUT_SECONDS);
        if until < cx.now {
            let namespace = &pod.key.namespace;
            let message = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            cx.event(&pod.value(), EventType::Warning, "NotDeleted", &message);
        } else {
            let again = Time(until.0 + 1);
            wake = Some(wake.map_or(again, |wake| wake.min(again)));
            kept.insert(pod.key.name.to_string(), text.to_owned());
        }
    }
    (kept, wake)
}

/// How many pods there should be, and how many of them must be healthy.
fn wanted(cx: &mut Context<'_>, budget: &Value, pods: &[Arc<Object>]) -> Result<(i64, i64), String> {
    let percent = |value: &Value| value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok());
    let share = |percent: i64, of: i64| (percent.saturating_mul(of) + 99) / 100;
    if let Some(most) = at(budget, &["spec", "maxUnavailable"]) {
        let expected = expected_scale(cx, budget, pods)?;
        let unavailable = percent(most).map_or_else(|| most.as_i64().unwrap_or(0), |percent| share(percent, expected));
        return Ok((expected, (expected - unavailable).max(0)));
    }
    let Some(least) = at(budget, &["spec", "minAvailable"]) else { return Ok((0, 0)) };
    Ok(match percent(least) {
        Some(percent) => {
            let expected = expected_scale(cx, budget, pods)?;
            (expected, share(percent, expected))
        }
        None => (i64::try_from(pods.len()).unwrap_or(i64::MAX), least.as_i64().unwrap_or(0)),
    })
}

/// The sum of what the pods' controllers want, each once. Pods without a controller do not count, and are complained of.
fn expected_scale(cx: &mut Context<'_>, budget: &Value, pods: &[Arc<Object>]) -> Result<i64, String> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    let mut unmanaged = false;
    for pod in pods {
        let Some(owner) = pod.meta.controller() else {
            unmanaged = true;
            continue;
        };
        if known.insert(&owner.uid) {
            let Some((uid, replicas)) = scale_of(cx, owner, &pod.key.namespace)? else {
                return Err(format!("found no controllers for pod {:?}", &*pod.key.name));
            };
            scales.insert(uid, replicas);
        }
    }
    if unmanaged {
        let message = format!(
            "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of the \
             PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \
             \".spec.minAvailable\" field of the PDB to an integer value.",
            shown(at(budget, &["spec", "selector"]).unwrap_or(&Value::Null))
        );
        cx.event(budget, EventType::Warning, "UnmanagedPods", &message);
    }
    Ok(scales.values().sum())
}

/// The controller that a reference leads to (a Deployment stands behind its ReplicaSet) and its replicas.
fn scale_of(cx: &mut Context<'_>, owner: &OwnerReference, namespace: &str) -> Result<Option<(String, i64)>, String> {
    let version = GroupVersion::parse(&owner.api_version).unwrap_or_default();
    let resource = match (&*version.group, &*owner.kind) {
        ("apps" | "extensions", "ReplicaSet") => GroupResource::literal("apps", "replicasets"),
        ("apps", "StatefulSet") => GroupResource::literal("apps", "statefulsets"),
        ("", "ReplicationController") => GroupResource::literal("", "replicationcontrollers"),
        _ => return scale_by_subresource(cx, owner, namespace),
    };
    let known = |cx: &Context<'_>, resource: &GroupResource, owner: &OwnerReference| {
        cx.get(&Key::new(resource, namespace, &owner.name)).filter(|stored| stored.meta.uid == owner.uid)
    };
    let Some(mut stored) = known(cx, &resource, owner) else { return Ok(None) };
    let above = stored.meta.controller().filter(|above| &*resource.resource == "replicasets" && above.kind == "Deployment");
    if let Some(above) = above.cloned() {
        let Some(deployment) = known(cx, &GroupResource::literal("apps", "deployments"), &above) else { return Ok(None) };
        stored = deployment;
    }
    Ok(Some((stored.meta.uid.clone(), i64_at(&stored.value(), &["spec", "replicas"]).unwrap_or(1))))
}

/// What the scale of any other kind says.
fn scale_by_subresource(cx: &mut Context<'_>, owner: &OwnerReference, namespace: &str) -> Result<Option<(String, i64)>, String> {
    let version = GroupVersion::parse(&owner.api_version).unwrap_or_default();
    let found = cx.registry().kind(&version.kind(&owner.kind)).map(|resource| resource.gvr.clone());
    let Some(resource) = found else {
        return Err(format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version));
    };
    match cx.client().scale(&resource, namespace, &owner.name) {
        Ok(scale) if str_at(&scale, &["metadata", "uid"]) == owner.uid => {
            Ok(Some((owner.uid.clone(), i64_at(&scale, &["spec", "replicas"]).unwrap_or(0))))
        }
        Ok(_) => Ok(None),
        Err(error) if error.is_not_found() && error.details.name == owner.name => Ok(None),
        Err(error) if error.is_not_found() => {
            Err(format!("{} does not implement the scale subresource", resource.group_resource()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A selector as Go prints it.
fn shown(selector: &Value) -> String {
    let labels = object::meta::string_map(at(selector, &["matchLabels"]));
    let labels: String = labels.iter().map(|(key, value)| format!("{key}: {value},")).collect();
    let requirements = list_at(selector, &["matchExpressions"]).iter().map(|rule| {
        let values: Vec<&str> = list_at(rule, &["values"]).iter().filter_map(Value::as_str).collect();
        let (key, operator) = (str_at(rule, &["key"]), str_at(rule, &["operator"]));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    });
    let requirements: String = requirements.collect();
    let list = format!("MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},");
    format!("&LabelSelector{{MatchLabels:map[string]string{{{labels}}},{list}}}")
}

/// The one condition of a budget; its time changes with its status.
fn condition(budget: &Value, (status, reason, message): (&str, &str, &str), generation: i64, now: Time) -> Value {
    let before = list_at(budget, &["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "DisruptionAllowed");
    let since = before.filter(|c| str_at(c, &["status"]) == status).map(|c| str_at(c, &["lastTransitionTime"]).to_owned());
    json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": since.unwrap_or_else(|| now.rfc3339()),
    })
}
