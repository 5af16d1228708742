//! Namespace: empties a namespace that is being deleted, then lets it go.
//!
//! <https://kubernetes.io/docs/tasks/administer-cluster/namespaces/#deleting-a-namespace>

use apiserver::{DeleteOptions, Propagation, gvr};
use object::value::{self, list_at};
use object::{ApiError, GroupResource, GroupVersionResource, Result, Time, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::{Backoff, WorkQueue};

/// Empties namespaces.
pub struct NamespaceController;

/// So long, for each of many objects, a namespace waits until it looks at their changes again.
const MICROS_PER_OBJECT: u64 = 20;
/// Namespaces of so few objects need not wait.
const FEW: usize = 200;

fn namespaces() -> GroupResource {
    GroupResource::literal("", "namespaces")
}

fn pods() -> GroupResource {
    GroupResource::literal("", "pods")
}

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn backoff(&self) -> Backoff {
        Backoff { base_millis: 5, max_millis: 60_000 }
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        let namespace = if key.resource == namespaces() { key.clone() } else { Key::new(&namespaces(), "", &key.namespace) };
        // Whatever changes in a namespace that is going away may be the last thing it waited for.
        if store.get(&namespace).is_some_and(|ns| ns.meta.deletion_timestamp.is_some()) {
            queue.add(namespace);
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(namespace) = cx.get(key).filter(|ns| ns.meta.deletion_timestamp.is_some()) else { return Ok(()) };
        let value = namespace.value();
        if list_at(&value, &["spec", "finalizers"]).is_empty() {
            return Ok(());
        }
        let is_pod = |object: &Arc<Object>| object.key.resource == pods();
        let content = content_of(cx.store(), &key.name);
        if content.len() > FEW {
            cx.queue.hold(key.clone(), Time(cx.now.0 + content.len() as u64 * MICROS_PER_OBJECT));
        }
        let (first, then): (Vec<_>, Vec<_>) = content.into_iter().partition(is_pod);
        let mut errors = delete_all(cx, &first);
        // What pods may need while they end outlives them: their network policies, secrets and so on.
        let left_pods: Vec<_> = first.into_iter().filter_map(|pod| cx.get(&pod.key)).collect();
        let mut left = left_pods;
        if left.is_empty() {
            errors.extend(delete_all(cx, &then));
            left = content_of(cx.store(), &key.name);
        }
        if left.is_empty() && errors.is_empty() {
            let mut empty = value;
            value::set(&mut empty, &["spec", "finalizers"], Vec::<Value>::new());
            let done = cx.client().finalize(&key.name, empty);
            return match done {
                Err(error) if !error.is_not_found() => Err(error),
                _ => Ok(()),
            };
        }
        report(cx, key, &namespace, &left, &errors)?;
        errors.into_iter().next().map_or(Ok(()), |error| Err(Box::new(error)))
    }
}

/// Deletes what is not being deleted yet; what went wrong, once for each resource.
fn delete_all(cx: &mut Context<'_>, objects: &[Arc<Object>]) -> Vec<ApiError> {
    let mut failed: BTreeMap<GroupResource, ApiError> = BTreeMap::new();
    for object in objects.iter().filter(|object| object.meta.deletion_timestamp.is_none()) {
        if let Err(error) = delete(cx, object) {
            failed.entry(object.key.resource.clone()).or_insert(*error);
        }
    }
    failed.into_values().collect()
}

fn content_of(store: &Store, namespace: &str) -> Vec<Arc<Object>> {
    let resources: Vec<&GroupResource> = store.current().resources().filter(|r| **r != namespaces()).collect();
    resources
        .into_iter()
        .flat_map(|resource| store.list(resource, Some(namespace)))
        .filter(|o| &*o.key.namespace == namespace)
        .cloned()
        .collect()
}

fn delete(cx: &mut Context<'_>, object: &Object) -> Result<()> {
    let (group, version) = match object::GroupVersion::parse(object::value::str_at(&object.value(), &["apiVersion"])) {
        Some(version) => (version.group, version.version),
        None => return Ok(()),
    };
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    match cx.client().delete(
        &GroupVersionResource::new(&group, &version, &object.key.resource.resource),
        &object.key.namespace,
        &object.key.name,
        &options,
    ) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Says what the namespace still waits for.
fn report(cx: &mut Context<'_>, key: &Key, namespace: &Object, left: &[Arc<Object>], errors: &[ApiError]) -> Result<()> {
    let finalizers: std::collections::BTreeMap<&str, usize> =
        left.iter().flat_map(|o| &o.meta.finalizers).fold(Default::default(), |mut counts, f| {
            *counts.entry(f.as_str()).or_default() += 1;
            counts
        });
    let mut resources: std::collections::BTreeMap<String, usize> = Default::default();
    for object in left {
        *resources.entry(format!("{}.{}", object.key.resource.resource, object.key.resource.group)).or_default() += 1;
    }
    let listed = |items: Vec<String>| items.join(", ");
    let remaining = listed(resources.iter().map(|(r, n)| format!("{r} has {n} resource instances")).collect());
    let waiting = listed(finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect());
    let condition = |kind: &str, status: bool, reason: &str, message: String| json!({"type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": message});
    let failure = if errors.is_empty() {
        let message = "All content successfully deleted, may be waiting on finalization".to_owned();
        condition("NamespaceDeletionContentFailure", false, "ContentDeleted", message)
    } else {
        let mut told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        told.dedup();
        let all = if told.len() == 1 { told.concat() } else { format!("[{}]", told.join(", ")) };
        let message = format!("Failed to delete all resource types, {} remaining: {all}", errors.len());
        condition("NamespaceDeletionContentFailure", true, "ContentDeletionFailed", message)
    };
    let mut wanted = vec![
        condition(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        ),
        failure,
        if left.is_empty() {
            let message = "All content successfully removed".to_owned();
            condition("NamespaceContentRemaining", false, "ContentRemoved", message)
        } else {
            condition(
                "NamespaceContentRemaining",
                true,
                "SomeResourcesRemain",
                format!("Some resources are remaining: {remaining}"),
            )
        },
    ];
    wanted.push(if finalizers.is_empty() {
        condition(
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        )
    } else {
        condition(
            "NamespaceFinalizersRemaining",
            true,
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {waiting}"),
        )
    });
    let mut value = namespace.value();
    let old = list_at(&value, &["status", "conditions"]).to_vec();
    for condition in &mut wanted {
        let same = old.iter().find(|o| o.get("type") == condition.get("type") && o.get("status") == condition.get("status"));
        let since = same.and_then(|o| o.get("lastTransitionTime").cloned()).unwrap_or_else(|| cx.now.rfc3339().into());
        condition["lastTransitionTime"] = since;
    }
    value::set(&mut value, &["status", "conditions"], wanted);
    value::remove(&mut value, &["metadata", "resourceVersion"]);
    if value.get("status") == namespace.value().get("status") {
        return Ok(());
    }
    match cx.client().update_status(&gvr("", "v1", "namespaces"), "", &key.name, value) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
