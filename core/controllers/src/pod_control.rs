//! What all workload controllers do with pods: find those that are theirs, make them from a template, delete them, and say so.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, Preconditions, gvr};
use object::events::EventType;
use object::selector::LabelSelector;
use object::value::{at, str_at};
use object::{GroupResource, Result, Time, Value, json};
use store::{Event, Key, Object, Store, View};

use crate::context::Context;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// So many pods are made or deleted in one reconciliation.
pub const BURST: usize = 500;

/// The pods of the core group.
pub fn pods() -> GroupResource {
    GroupResource::literal("", "pods")
}

/// A kind of object that manages pods.
#[derive(Debug)]
pub struct Kind {
    /// Its API group.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its resource.
    pub resource: &'static str,
    /// Its name in references.
    pub kind: &'static str,
    /// Whether its pods are called as their owner is, and a number.
    pub numbered: bool,
    /// What holds its pods until they are counted, if they are.
    pub finalizer: Option<&'static str>,
}

/// Which pods an object is about: a View, since it is asked for each pod that belongs to nobody.
pub struct Selects(pub LabelSelector);

impl View for Selects {
    fn of(owner: &Value) -> Self {
        Selects(match str_at(owner, &["kind"]) {
            "ReplicationController" => LabelSelector::from_map(&object::meta::string_map(at(owner, &["spec", "selector"]))),
            _ => selector_of(owner),
        })
    }
}

/// The number in a pod's name, if it is called as `owner` is.
pub fn ordinal(owner: &str, pod: &str) -> Option<i64> {
    let number = pod.strip_prefix(owner)?.strip_prefix('-')?;
    number.parse::<i32>().ok().filter(|_| number.bytes().all(|b| b.is_ascii_digit())).map(i64::from)
}

impl Kind {
    /// A kind whose pods have generated names and need not be counted.
    pub const fn new(group: &'static str, version: &'static str, resource: &'static str, kind: &'static str) -> Self {
        Kind { group, version, resource, kind, numbered: false, finalizer: None }
    }

    /// Where its objects are kept.
    pub fn resource(&self) -> GroupResource {
        GroupResource::new(self.group, self.resource)
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The reference of one of its objects to what that manages.
    pub fn reference(&self, owner: &Value) -> Value {
        json!({
            "apiVersion": self.api_version(), "kind": self.kind, "name": str_at(owner, &["metadata", "name"]),
            "uid": str_at(owner, &["metadata", "uid"]), "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// Adds the objects that a changed pod concerns: its owner, or all that may want to adopt it.
    pub fn pod_changed(&self, store: &Store, event: &Event, queue: &mut WorkQueue) {
        let namespace = &event.key().namespace;
        let labels_stay = match (&event.old, &event.new) {
            (Some(old), Some(new)) => old.meta.labels == new.meta.labels && old.meta.controller() == new.meta.controller(),
            _ => false,
        };
        for pod in [&event.old, &event.new].into_iter().flatten() {
            match pod.meta.controller() {
                Some(owner) if owner.kind == self.kind => queue.add(Key::new(&self.resource(), namespace, &owner.name)),
                Some(_) => {}
                None if labels_stay || event.new.is_none() => {}
                None => {
                    for candidate in store.list(&self.resource(), Some(namespace)) {
                        if candidate.view::<Selects>().0.matches(&pod.meta.labels) {
                            queue.add(candidate.key.clone());
                        }
                    }
                }
            }
        }
    }

    /// The pods of `owner` among those that `counts` is for: those it controls and still selects, and orphans it takes; those
    /// it no longer selects are let go.
    pub fn claim(&self, cx: &mut Context<'_>, owner: &Object, counts: impl Fn(&Object) -> bool) -> Result<Vec<Arc<Object>>> {
        let uid = owner.meta.uid.as_str();
        let selector = &owner.view::<Selects>().0;
        let is_going = owner.meta.deletion_timestamp.is_some();
        let is_named = |pod: &Object| !self.numbered || ordinal(&owner.key.name, &pod.key.name).is_some();
        let mut claimed = Vec::new();
        for pod in cx.owned(&pods(), uid) {
            if pod.meta.controller().is_none_or(|owner| owner.uid != uid) {
                continue;
            }
            if selector.matches(&pod.meta.labels) {
                claimed.push(pod);
            } else if !is_going && counts(&pod) {
                let mut metadata = json!({"ownerReferences": [{"$patch": "delete", "uid": uid}], "uid": pod.meta.uid});
                if let Some(finalizer) = self.finalizer {
                    metadata["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
                }
                patch_pod(cx, &pod, json!({"metadata": metadata}))?;
            }
        }
        if is_going || selector.is_empty() {
            return Ok(claimed);
        }
        let resource = pods();
        let loose = cx.index.uncontrolled(&resource, &owner.key.namespace).filter_map(|key| cx.get(key));
        let orphans: Vec<Arc<Object>> = loose
            .filter(|pod| selector.matches(&pod.meta.labels) && pod.meta.deletion_timestamp.is_none())
            .filter(|pod| counts(pod) && is_named(pod))
            .collect();
        for pod in orphans {
            let mut metadata = json!({"ownerReferences": [self.reference(&owner.value())], "uid": pod.meta.uid});
            if let Some(finalizer) = self.finalizer {
                metadata["finalizers"] = json!([finalizer]);
            }
            patch_pod(cx, &pod, json!({"metadata": metadata}))?;
            claimed.extend(cx.get(&pod.key));
        }
        Ok(claimed)
    }

    /// A pod of `owner` from its template, still without a name.
    pub fn pod_from(&self, owner: &Value, template: &Value) -> Value {
        let mut metadata = json!({
            "generateName": format!("{}-", str_at(owner, &["metadata", "name"])), "ownerReferences": [self.reference(owner)],
        });
        for key in ["labels", "annotations", "finalizers"] {
            if let Some(given) = at(template, &["metadata", key]) {
                metadata[key] = given.clone();
            }
        }
        let spec = template.get("spec").cloned().unwrap_or_default();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    }
}

/// The selector of an object of the groups apps and batch.
pub fn selector_of(owner: &Value) -> LabelSelector {
    at(owner, &["spec", "selector"]).and_then(|s| LabelSelector::from_json(s).ok()).unwrap_or_else(LabelSelector::nothing)
}

/// Changes a pod; one that is gone needs no change.
pub fn patch_pod(cx: &mut Context<'_>, pod: &Object, patch: Value) -> Result<()> {
    let done = cx.client().patch(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, "", PatchKind::Strategic, patch);
    match done {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

/// Makes a pod of `owner` and says so. `None` if the namespace is going away, and `owner` with it.
pub fn create(cx: &mut Context<'_>, owner: &Value, pod: Value) -> Result<Option<Arc<Value>>> {
    let namespace = str_at(owner, &["metadata", "namespace"]).to_owned();
    match cx.client().create(&gvr("", "v1", "pods"), &namespace, pod) {
        Ok(made) => {
            let message = format!("Created pod: {}", str_at(&made, &["metadata", "name"]));
            cx.event(owner, EventType::Normal, "SuccessfulCreate", &message);
            Ok(Some(made))
        }
        Err(error) if error.is_pending() => Err(error),
        Err(error) if error.details.causes.iter().any(|c| c.reason == object::CauseType::NamespaceTerminating) => Ok(None),
        Err(error) => {
            cx.event(owner, EventType::Warning, "FailedCreate", &format!("Error creating: {error}"));
            Err(error)
        }
    }
}

/// Deletes a pod of `owner` and says so.
pub fn delete(cx: &mut Context<'_>, owner: &Value, pod: &Object) -> Result<()> {
    let options = DeleteOptions {
        preconditions: Preconditions { uid: Some(pod.meta.uid.clone()), resource_version: None },
        ..DeleteOptions::default()
    };
    match cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, &options) {
        Ok(()) => {
            cx.event(owner, EventType::Normal, "SuccessfulDelete", &format!("Deleted pod: {}", pod.key.name));
            Ok(())
        }
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) if error.is_pending() => Err(error),
        Err(error) => {
            cx.event(owner, EventType::Warning, "FailedDelete", &format!("Error deleting: {error}"));
            Err(error)
        }
    }
}

/// Deletes pods; one that cannot be deleted does not keep the others. Returns the first error.
pub fn delete_all<'a>(cx: &mut Context<'_>, owner: &Value, pods: impl Iterator<Item = &'a Arc<Object>>) -> Result<()> {
    let mut outcome = Ok(());
    for pod in pods {
        outcome = outcome.and(delete(cx, owner, pod));
    }
    outcome
}

/// Does something so many times in batches of one, two, four and so on, until one of a batch fails or says `false`: what must
/// fail fails a few times and not five hundred. Returns how often it was done, and the first error.
pub fn slow_start(count: usize, action: &mut dyn FnMut(usize) -> Result<bool>) -> (usize, Result<()>) {
    let (mut done, mut tried, mut batch) = (0, 0, 1);
    while tried < count {
        let mut outcome = Ok(());
        for i in tried..count.min(tried + batch) {
            match action(i) {
                Ok(true) => done += 1,
                Ok(false) => return (done, outcome),
                Err(error) if error.is_pending() => return (done, Err(error)),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        if outcome.is_err() {
            return (done, outcome);
        }
        tried += batch;
        batch *= 2;
    }
    (done, Ok(()))
}

/// How many more or less this is worth for a pod of this age: ages count by their order of magnitude.
fn magnitude(since: Time, now: Time) -> u32 {
    now.0.saturating_sub(since.0).saturating_mul(1000).checked_ilog2().map_or(0, |log| log + 1)
}

/// Of two times the younger first, ages of one magnitude by the pods' uids, so that it is not always the same pods that go.
fn younger_first(a: (&Object, Option<Time>), b: (&Object, Option<Time>), now: Time) -> Ordering {
    match (a.1, b.1) {
        (a, b) if a == b => Ordering::Equal,
        (Some(x), Some(y)) => magnitude(x, now).cmp(&magnitude(y, now)).then_with(|| a.0.meta.uid.cmp(&b.0.meta.uid)),
        (x, y) => x.is_some().cmp(&y.is_some()),
    }
}

/// Which of two pods goes first: unassigned before assigned, pending before running, not ready before ready, cheaper before
/// dearer, doubled up on a node before alone, ready shorter, more restarts, newer.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset>
pub fn deletion_order(a: &Object, b: &Object, on_node: &BTreeMap<String, u32>, now: Time) -> Ordering {
    let (x, y) = (a.view::<PodView>(), b.view::<PodView>());
    let phase = |view: &PodView| match view.phase.as_str() {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let together = |view: &PodView| on_node.get(&view.node).copied().unwrap_or(0);
    (!x.node.is_empty())
        .cmp(&!y.node.is_empty())
        .then_with(|| phase(x).cmp(&phase(y)))
        .then_with(|| x.ready.cmp(&y.ready))
        .then_with(|| x.deletion_cost.cmp(&y.deletion_cost))
        .then_with(|| together(y).cmp(&together(x)))
        .then_with(|| {
            let both = x.ready && y.ready;
            if both { younger_first((a, x.ready_since), (b, y.ready_since), now) } else { Ordering::Equal }
        })
        .then_with(|| y.restarts.cmp(&x.restarts))
        .then_with(|| younger_first((a, a.meta.creation_timestamp), (b, b.meta.creation_timestamp), now))
}

/// Writes an object's status if it changed. An object that is gone needs none.
pub fn write_status(cx: &mut Context<'_>, kind: &Kind, key: &Key, owner: &Value, status: Value) -> Result<()> {
    store_status(cx, kind, key, owner, status).map(drop)
}

/// Writes an object's status if it changed; the object as it is then, if it was written.
pub fn store_status(cx: &mut Context<'_>, kind: &Kind, key: &Key, owner: &Value, status: Value) -> Result<Option<Arc<Value>>> {
    if owner.get("status") == Some(&status) {
        return Ok(None);
    }
    let mut changed = owner.clone();
    object::value::set(&mut changed, &["status"], status);
    object::value::remove(&mut changed, &["metadata", "resourceVersion"]);
    match cx.client().update_status(&gvr(kind.group, kind.version, kind.resource), &key.namespace, &key.name, changed) {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}
