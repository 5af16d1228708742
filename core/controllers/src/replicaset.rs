//! ReplicaSet: keeps as many pods as its spec says.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/>

use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, Preconditions, gvr};
use object::events::EventType;
use object::selector::LabelSelector;
use object::value::{self, at, i64_at, list_at, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// So many pods are made or deleted in one reconciliation.
const BURST: usize = 500;

/// Keeps pods as ReplicaSets say.
pub struct ReplicaSetController;

fn replicasets() -> GroupResource {
    GroupResource::new("apps", "replicasets")
}

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

impl Controller for ReplicaSetController {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == replicasets() {
            queue.add(key.clone());
            return;
        }
        if key.resource != pods() {
            return;
        }
        for object in [&event.old, &event.new].into_iter().flatten() {
            match object.meta.controller() {
                Some(owner) if owner.kind == "ReplicaSet" => queue.add(Key::new(&replicasets(), &key.namespace, &owner.name)),
                Some(_) => {}
                None => {
                    // Somebody may want to adopt it.
                    for set in store.list(&replicasets(), Some(&key.namespace)) {
                        if selector_of(&set.value()).matches(&object.meta.labels) {
                            queue.add(set.key.clone());
                        }
                    }
                }
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        let set = object.value();
        let claimed = claim(cx, &object, &set)?;
        let (terminating, active): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .filter(|pod| !pod.view::<PodView>().is_terminal())
            .partition(|pod| pod.meta.deletion_timestamp.is_some());
        let mut failure = None;
        let mut done = Ok(());
        if object.meta.deletion_timestamp.is_none() {
            done = manage(cx, &set, &active, &mut failure);
        }
        // What was just made or deleted is counted at the next look, which the changes themselves bring about.
        update_status(cx, key, &set, &active, terminating.len(), failure.as_ref())?;
        done
    }
}

fn selector_of(set: &Value) -> LabelSelector {
    at(set, &["spec", "selector"]).and_then(|s| LabelSelector::from_json(s).ok()).unwrap_or_else(LabelSelector::nothing)
}

/// The set's pods: those it owns and still selects, and orphans it takes; those it no longer selects are let go.
fn claim(cx: &mut Context<'_>, set_object: &Arc<Object>, set: &Value) -> Result<Vec<Arc<Object>>> {
    let selector = selector_of(set);
    let uid = &set_object.meta.uid;
    let mut claimed = Vec::new();
    for pod in cx.owned(&pods(), uid) {
        if pod.meta.controller().is_none_or(|owner| owner.uid != *uid) {
            continue;
        }
        if selector.matches(&pod.meta.labels) {
            claimed.push(pod);
        } else if set_object.meta.deletion_timestamp.is_none() {
            let patch = json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": uid}], "uid": pod.meta.uid}});
            patch_pod(cx, &pod, patch)?;
        }
    }
    if set_object.meta.deletion_timestamp.is_some() || selector.is_empty() {
        return Ok(claimed);
    }
    let orphans: Vec<Arc<Object>> =
        cx.index.uncontrolled(&pods(), &set_object.key.namespace).filter_map(|key| cx.get(key)).collect();
    for pod in orphans {
        let wanted = selector.matches(&pod.meta.labels) && pod.meta.deletion_timestamp.is_none();
        if wanted && !pod.view::<PodView>().is_terminal() {
            let patch = json!({"metadata": {"ownerReferences": [owner_reference(set, "ReplicaSet")], "uid": pod.meta.uid}});
            patch_pod(cx, &pod, patch)?;
            claimed.extend(cx.get(&pod.key));
        }
    }
    Ok(claimed)
}

fn patch_pod(cx: &mut Context<'_>, pod: &Object, patch: Value) -> Result<()> {
    let done = cx.client().patch(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, "", PatchKind::Strategic, patch);
    match done {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

/// The reference of a controller to what it manages.
pub fn owner_reference(owner: &Value, kind: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "name": str_at(owner, &["metadata", "name"]),
        "uid": str_at(owner, &["metadata", "uid"]), "controller": true, "blockOwnerDeletion": true,
    })
}

/// Makes or deletes pods until their number is right.
fn manage(cx: &mut Context<'_>, set: &Value, active: &[Arc<Object>], failure: &mut Option<(String, String)>) -> Result<()> {
    let wanted = usize::try_from(i64_at(set, &["spec", "replicas"]).unwrap_or(0)).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        let pod = pod_from_template(set);
        let namespace = str_at(set, &["metadata", "namespace"]).to_owned();
        for _ in 0..missing {
            match cx.client().create(&gvr("", "v1", "pods"), &namespace, pod.clone()) {
                Ok(made) => {
                    let message = format!("Created pod: {}", str_at(&made, &["metadata", "name"]));
                    cx.event(set, EventType::Normal, "SuccessfulCreate", &message);
                }
                Err(error) => {
                    // The namespace is going away, and this set with it: nothing to report.
                    if error.details.causes.iter().any(|c| c.reason == object::CauseType::NamespaceTerminating) {
                        return Ok(());
                    }
                    if error.is_pending() {
                        return Err(error);
                    }
                    let message = format!("Error creating: {error}");
                    cx.event(set, EventType::Warning, "FailedCreate", &message);
                    *failure = Some(("FailedCreate".to_owned(), error.to_string()));
                    return Err(error);
                }
            }
        }
        return Ok(());
    }
    let mut ranked: Vec<&Arc<Object>> = active.iter().collect();
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return Ok(());
    }
    let per_node = |pod: &Arc<Object>| active.iter().filter(|p| p.view::<PodView>().node == pod.view::<PodView>().node).count();
    if surplus < active.len() {
        ranked.sort_by_cached_key(|pod| deletion_rank(pod, per_node(pod)));
    }
    for pod in ranked.into_iter().take(surplus) {
        let options = DeleteOptions {
            preconditions: Preconditions { uid: Some(pod.meta.uid.clone()), resource_version: None },
            ..DeleteOptions::default()
        };
        match cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, &options) {
            Ok(()) => cx.event(set, EventType::Normal, "SuccessfulDelete", &format!("Deleted pod: {}", pod.key.name)),
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) if error.is_pending() => return Err(error),
            Err(error) => {
                *failure = Some(("FailedDelete".to_owned(), error.to_string()));
                cx.event(set, EventType::Warning, "FailedDelete", &format!("Error deleting: {error}"));
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Which pods go first: unassigned before assigned, pending before running, not ready before ready, cheaper before
/// dearer, doubled up on a node before alone, ready shorter, more restarts, newer; then by name.
fn deletion_rank(pod: &Object, on_same_node: usize) -> impl Ord + use<> {
    let view = pod.view::<PodView>();
    let phase = match view.phase.as_str() {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let newest_first = |time: Option<object::Time>| std::cmp::Reverse(time.map_or(u64::MAX, |t| t.0));
    (
        !view.node.is_empty(),
        phase,
        view.ready,
        view.deletion_cost,
        std::cmp::Reverse(on_same_node),
        if view.ready { newest_first(view.ready_since) } else { std::cmp::Reverse(0) },
        std::cmp::Reverse(view.restarts),
        newest_first(pod.meta.creation_timestamp),
        pod.key.name.clone(),
    )
}

fn pod_from_template(set: &Value) -> Value {
    let template = at(set, &["spec", "template"]).cloned().unwrap_or_default();
    let mut metadata = json!({
        "generateName": format!("{}-", str_at(set, &["metadata", "name"])),
        "ownerReferences": [owner_reference(set, "ReplicaSet")],
    });
    for key in ["labels", "annotations", "finalizers"] {
        if let Some(given) = at(&template, &["metadata", key]) {
            metadata[key] = given.clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec").cloned().unwrap_or_default()})
}

fn update_status(
    cx: &mut Context<'_>,
    key: &Key,
    set: &Value,
    active: &[Arc<Object>],
    terminating: usize,
    failure: Option<&(String, String)>,
) -> Result<()> {
    let min_ready = i64_at(set, &["spec", "minReadySeconds"]).unwrap_or(0);
    let template_labels = object::meta::string_map(at(set, &["spec", "template", "metadata", "labels"]));
    let labelled = |pod: &&Arc<Object>| template_labels.iter().all(|(k, v)| pod.meta.labels.get(k) == Some(v));
    let ready = active.iter().filter(|pod| pod.view::<PodView>().ready).count();
    let available = active.iter().filter(|pod| pod.view::<PodView>().is_available(min_ready, cx.now)).count();
    let mut status = json!({
        "replicas": active.len(), "fullyLabeledReplicas": active.iter().filter(labelled).count(),
        "readyReplicas": ready, "availableReplicas": available, "terminatingReplicas": terminating,
        "observedGeneration": i64_at(set, &["metadata", "generation"]).unwrap_or(0),
    });
    if let Some(map) = status.as_object_mut() {
        map.retain(|k, v| matches!(k.as_str(), "replicas" | "terminatingReplicas") || *v != 0);
    }
    let mut conditions: Vec<Value> = list_at(set, &["status", "conditions"]).to_vec();
    match failure {
        Some((reason, message)) if conditions.iter().all(|c| str_at(c, &["type"]) != "ReplicaFailure") => {
            conditions.push(json!({
                "type": "ReplicaFailure", "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": cx.now.rfc3339(),
            }))
        }
        None => conditions.retain(|c| str_at(c, &["type"]) != "ReplicaFailure"),
        Some(_) => {}
    }
    if !conditions.is_empty() {
        status["conditions"] = conditions.into();
    }
    if ready > available {
        let next = active.iter().filter_map(|pod| pod.view::<PodView>().available_at(min_ready)).filter(|at| *at > cx.now).min();
        if let Some(at) = next {
            cx.queue.add_at(key.clone(), at);
        }
    }
    if set.get("status") == Some(&status) {
        return Ok(());
    }
    let mut changed = set.clone();
    value::set(&mut changed, &["status"], status);
    value::remove(&mut changed, &["metadata", "resourceVersion"]);
    match cx.client().update_status(&gvr("apps", "v1", "replicasets"), &key.namespace, &key.name, changed) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}
