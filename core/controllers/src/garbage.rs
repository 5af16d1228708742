//! Garbage collection: what belongs to nobody any more goes, and owners that are deleted in the foreground wait for it.
//!
//! <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>

use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, Preconditions, Propagation, gvr};
use object::value::str_at;
use object::{GroupVersion, GroupVersionResource, OwnerReference, Result, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Collects garbage.
pub struct GarbageCollector;

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn source(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn changed(&mut self, _store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue) {
        match (&event.old, &event.new) {
            (Some(old), None) => {
                index.dependents(&old.meta.uid).for_each(|key| queue.add(key.clone()));
                // An owner may have waited for it.
                add_owners(old, queue);
            }
            (_, Some(new)) => {
                let owned = !new.meta.owner_references.is_empty();
                let owners_changed = event.old.as_ref().is_none_or(|old| old.meta.owner_references != new.meta.owner_references);
                let deleting = new.meta.deletion_timestamp.is_some();
                if owned && owners_changed || deleting && !new.meta.finalizers.is_empty() {
                    queue.add(new.key.clone());
                }
                if let Some(old) = event.old.as_ref().filter(|_| owners_changed) {
                    add_owners(old, queue);
                }
            }
            (None, None) => {}
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        if object.meta.deletion_timestamp.is_some() {
            return finalize(cx, &object);
        }
        collect(cx, &object)
    }
}

fn add_owners(object: &Object, queue: &mut WorkQueue) {
    for owner in &object.meta.owner_references {
        queue.add(owner_key(owner, &object.key.namespace, ""));
    }
}

/// Kinds whose plural is not their lower-case name with an `s`, among those that own others.
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if let Some(stem) = lower.strip_suffix('y').filter(|s| !s.ends_with(['a', 'e', 'o'])) {
        return format!("{stem}ies");
    }
    if lower.ends_with('s') || lower.ends_with('x') || lower.ends_with("ch") { format!("{lower}es") } else { format!("{lower}s") }
}

/// Where an owner would be stored: in the namespace of its dependent, or in none.
fn owner_key(owner: &OwnerReference, namespace: &str, _uid: &str) -> Key {
    let group = GroupVersion::parse(&owner.api_version).map(|v| v.group).unwrap_or_default();
    let resource = object::GroupResource::new(&group, &plural(&owner.kind));
    Key::new(&resource, if is_cluster_scoped(&owner.kind) { "" } else { namespace }, &owner.name)
}

fn is_cluster_scoped(kind: &str) -> bool {
    matches!(
        kind,
        "Node"
            | "Namespace"
            | "PersistentVolume"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "CustomResourceDefinition"
            | "StorageClass"
    )
}

/// What a reference to an owner leads to.
enum Owner {
    /// The owner is there.
    There(Arc<Object>),
    /// It is certainly gone.
    Gone,
    /// Its kind is not served here, or it cannot be an owner of this object: nothing may be deleted for its sake.
    Unknown,
}

/// Follows a reference. Only the registry knows which resource a kind is; a guess could delete what must be kept.
fn find_owner(cx: &Context<'_>, owner: &OwnerReference, namespace: &str) -> Owner {
    let version = GroupVersion::parse(&owner.api_version);
    let Some(resource) = version.and_then(|v| cx.api.registry().kind(&v.kind(&owner.kind)).cloned()) else {
        return Owner::Unknown;
    };
    if resource.namespaced && namespace.is_empty() {
        return Owner::Unknown;
    }
    let key = Key::new(&resource.storage.resource, if resource.namespaced { namespace } else { "" }, &owner.name);
    match cx.get(&key).filter(|found| found.meta.uid == owner.uid) {
        Some(found) => Owner::There(found),
        None => Owner::Gone,
    }
}

/// Deletes an object whose owners are all gone; drops references to some that are gone.
fn collect(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let owners = &object.meta.owner_references;
    if owners.is_empty() {
        return Ok(());
    }
    let mut solid = Vec::new();
    let mut dangling = Vec::new();
    let mut waiting = Vec::new();
    for owner in owners {
        match find_owner(cx, owner, &object.key.namespace) {
            Owner::Gone => dangling.push(owner),
            Owner::There(found) if found.meta.deletion_timestamp.is_some() && has(&found, "foregroundDeletion") => {
                waiting.push(owner)
            }
            Owner::There(_) | Owner::Unknown => solid.push(owner),
        }
    }
    let uid = Some(object.meta.uid.clone());
    let preconditions = Preconditions { uid, resource_version: None };
    if !solid.is_empty() {
        if dangling.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        let gone: Vec<_> = dangling.iter().chain(&waiting).map(|o| json!({"$patch": "delete", "uid": o.uid})).collect();
        let patch = json!({"metadata": {"uid": object.meta.uid, "ownerReferences": gone}});
        return write(cx, object, |cx, gvr, key| {
            cx.client().patch(gvr, &key.namespace, &key.name, "", PatchKind::Strategic, patch).map(drop)
        });
    }
    let blocks = waiting.iter().any(|o| o.block_owner_deletion == Some(true));
    let has_dependents = cx.index.dependents(&object.meta.uid).next().is_some();
    let propagation = match (waiting.is_empty(), has_dependents) {
        (false, true) if blocks => Propagation::Foreground,
        _ if has(object, "orphan") => Propagation::Orphan,
        _ if has(object, "foregroundDeletion") => Propagation::Foreground,
        _ => Propagation::Background,
    };
    let options = DeleteOptions { propagation: Some(propagation), preconditions, ..DeleteOptions::default() };
    write(cx, object, |cx, gvr, key| cx.client().delete(gvr, &key.namespace, &key.name, &options))
}

fn has(object: &Object, finalizer: &str) -> bool {
    object.meta.finalizers.iter().any(|f| f == finalizer)
}

/// Serves the two finalizers of propagation: orphaning dependents, and waiting for them.
fn finalize(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let dependents: Vec<Arc<Object>> = cx.index.dependents(&object.meta.uid).filter_map(|key| cx.get(key)).collect();
    if has(object, "orphan") {
        for dependent in dependents {
            let patch = json!({"metadata": {"uid": dependent.meta.uid, "ownerReferences": [{"$patch": "delete", "uid": object.meta.uid}]}});
            write(cx, &dependent, |cx, gvr, key| {
                cx.client().patch(gvr, &key.namespace, &key.name, "", PatchKind::Strategic, patch).map(drop)
            })?;
        }
        return remove_finalizer(cx, object, "orphan");
    }
    if has(object, "foregroundDeletion") {
        let blocking = |o: &OwnerReference| o.uid == object.meta.uid && o.block_owner_deletion == Some(true);
        if !dependents.iter().any(|d| d.meta.owner_references.iter().any(blocking)) {
            return remove_finalizer(cx, object, "foregroundDeletion");
        }
        for dependent in dependents.iter().filter(|d| d.meta.deletion_timestamp.is_none()) {
            cx.queue.add(dependent.key.clone());
        }
    }
    Ok(())
}

fn remove_finalizer(cx: &mut Context<'_>, object: &Arc<Object>, finalizer: &str) -> Result<()> {
    let left: Vec<&String> = object.meta.finalizers.iter().filter(|f| *f != finalizer).collect();
    let patch = json!({"metadata": {"resourceVersion": object.revision.to_string(), "finalizers": left}});
    write(cx, object, |cx, gvr, key| cx.client().patch(gvr, &key.namespace, &key.name, "", PatchKind::Merge, patch).map(drop))
}

/// Runs a write on an object in the version it is stored in; that it is gone is as good.
fn write(
    cx: &mut Context<'_>,
    object: &Arc<Object>,
    action: impl FnOnce(&mut Context<'_>, &GroupVersionResource, &Key) -> Result<()>,
) -> Result<()> {
    let version = GroupVersion::parse(str_at(&object.value(), &["apiVersion"])).unwrap_or_default();
    let resource = gvr(&version.group, &version.version, &object.key.resource.resource);
    match action(cx, &resource, &object.key) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
