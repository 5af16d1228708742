//! What all workload controllers do with pods: find those that are theirs, make them from a template, delete them, and say so.

use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, Preconditions, gvr};
use object::events::EventType;
use object::selector::LabelSelector;
use object::value::{at, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// So many pods are made or deleted in one reconciliation.
pub const BURST: usize = 500;

/// The pods of the core group.
pub fn pods() -> GroupResource {
    GroupResource::new("", "pods")
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
}

impl Kind {
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
    pub fn pod_changed(&self, store: &Store, event: &Event, queue: &mut WorkQueue, selector: fn(&Value) -> LabelSelector) {
        let namespace = &event.key().namespace;
        for pod in [&event.old, &event.new].into_iter().flatten() {
            match pod.meta.controller() {
                Some(owner) if owner.kind == self.kind => queue.add(Key::new(&self.resource(), namespace, &owner.name)),
                Some(_) => {}
                None => {
                    for candidate in store.list(&self.resource(), Some(namespace)) {
                        if selector(&candidate.value()).matches(&pod.meta.labels) {
                            queue.add(candidate.key.clone());
                        }
                    }
                }
            }
        }
    }

    /// The pods of `owner`: those it controls and still selects, and orphans it takes; those it no longer selects are let go.
    pub fn claim(
        &self,
        cx: &mut Context<'_>,
        owner_object: &Arc<Object>,
        owner: &Value,
        selector: &LabelSelector,
    ) -> Result<Vec<Arc<Object>>> {
        let uid = &owner_object.meta.uid;
        let is_going = owner_object.meta.deletion_timestamp.is_some();
        let mut claimed = Vec::new();
        for pod in cx.owned(&pods(), uid) {
            if pod.meta.controller().is_none_or(|owner| owner.uid != *uid) {
                continue;
            }
            if selector.matches(&pod.meta.labels) {
                claimed.push(pod);
            } else if !is_going {
                let patch = json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": uid}], "uid": pod.meta.uid}});
                patch_pod(cx, &pod, patch)?;
            }
        }
        if is_going || selector.is_empty() {
            return Ok(claimed);
        }
        let orphans: Vec<Arc<Object>> =
            cx.index.uncontrolled(&pods(), &owner_object.key.namespace).filter_map(|key| cx.get(key)).collect();
        for pod in orphans {
            let wanted = selector.matches(&pod.meta.labels) && pod.meta.deletion_timestamp.is_none();
            if wanted && !pod.view::<PodView>().is_terminal() {
                let patch = json!({"metadata": {"ownerReferences": [self.reference(owner)], "uid": pod.meta.uid}});
                patch_pod(cx, &pod, patch)?;
                claimed.extend(cx.get(&pod.key));
            }
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
pub fn create(cx: &mut Context<'_>, owner: &Value, pod: Value) -> Result<Option<Value>> {
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

/// Which pods go first: unassigned before assigned, pending before running, not ready before ready, cheaper before
/// dearer, doubled up on a node before alone, ready shorter, more restarts, newer; then by name.
pub fn deletion_rank(pod: &Object, on_same_node: usize) -> impl Ord + use<> {
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

/// Writes an object's status if it changed. An object that is gone needs none.
pub fn write_status(cx: &mut Context<'_>, kind: &Kind, key: &Key, owner: &Value, status: Value) -> Result<()> {
    if owner.get("status") == Some(&status) {
        return Ok(());
    }
    let mut changed = owner.clone();
    object::value::set(&mut changed, &["status"], status);
    object::value::remove(&mut changed, &["metadata", "resourceVersion"]);
    match cx.client().update_status(&gvr(kind.group, kind.version, kind.resource), &key.namespace, &key.name, changed) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}
