//! Garbage collection: what belongs to nobody any more goes, and owners that are deleted in the foreground wait for it.
//!
//! <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, Preconditions, Propagation};
use object::events::EventType;
use object::value::{list_at, str_at};
use object::{GroupVersion, GroupVersionResource, OwnerReference, Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Collects garbage.
#[derive(Default)]
pub struct GarbageCollector {
    /// Owners that wait for their dependents, by their uids.
    waiting: BTreeMap<String, Key>,
    /// Objects whose references are new: they may be wrong from the beginning.
    unchecked: BTreeSet<Key>,
}

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
                self.waiting.remove(&old.meta.uid);
                self.unchecked.remove(&old.key);
                self.wake_owners(old, queue);
            }
            (old, Some(new)) => {
                let owned = !new.meta.owner_references.is_empty();
                let owners_changed = old.as_ref().is_none_or(|old| old.meta.owner_references != new.meta.owner_references);
                let deleting = new.meta.deletion_timestamp.is_some();
                if owned && owners_changed {
                    self.unchecked.insert(new.key.clone());
                }
                if deleting && has(new, "foregroundDeletion") {
                    self.waiting.insert(new.meta.uid.clone(), new.key.clone());
                }
                if owned && owners_changed || deleting && !new.meta.finalizers.is_empty() {
                    queue.add(new.key.clone());
                }
                if let Some(old) = old.as_ref().filter(|_| owners_changed) {
                    self.wake_owners(old, queue);
                }
            }
            (None, None) => {}
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let is_new = self.unchecked.remove(key);
        let Some(object) = cx.get(key) else { return Ok(()) };
        if object.meta.deletion_timestamp.is_some() {
            return finalize(cx, &object);
        }
        if is_new {
            report_elsewhere(cx, &object);
        }
        collect(cx, &object)
    }
}

impl GarbageCollector {
    /// An owner may have waited for this object.
    fn wake_owners(&self, object: &Object, queue: &mut WorkQueue) {
        for key in object.meta.owner_references.iter().filter_map(|owner| self.waiting.get(&owner.uid)) {
            queue.add(key.clone());
        }
    }
}

/// Complains of references to objects of other namespaces, which nobody can own by.
fn report_elsewhere(cx: &mut Context<'_>, object: &Arc<Object>) {
    for owner in &object.meta.owner_references {
        let version = GroupVersion::parse(&owner.api_version);
        let Some(resource) = version.and_then(|v| cx.registry().kind(&v.kind(&owner.kind)).cloned()) else { continue };
        if !resource.namespaced {
            continue;
        }
        let namespaces = object::GroupResource::literal("", "namespaces");
        let is_there = |namespace: &str| {
            let key = Key::new(&resource.storage.resource, namespace, &owner.name);
            cx.store().get(&key).is_some_and(|found| found.meta.uid == owner.uid)
        };
        let here = &object.key.namespace;
        let elsewhere = cx.store().list(&namespaces, None).any(|ns| *ns.key.name != **here && is_there(&ns.key.name));
        if elsewhere && !is_there(here) {
            let shown =
                format!("[{}/{}, namespace: {here}, name: {}, uid: {}]", owner.api_version, owner.kind, owner.name, owner.uid);
            let message = format!("ownerRef {shown} does not exist in namespace {:?}", &**here);
            cx.event(&object.value(), EventType::Warning, "OwnerRefInvalidNamespace", &message);
        }
    }
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
    if !solid.is_empty() {
        if dangling.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        return drop_owners(cx, object, |uid| dangling.iter().chain(&waiting).any(|owner| owner.uid == uid));
    }
    let dependents: Vec<Arc<Object>> = cx.index.dependents(&object.meta.uid).filter_map(|key| cx.get(key)).collect();
    let in_foreground = !waiting.is_empty() && !dependents.is_empty();
    let waits = |dependent: &Arc<Object>| dependent.meta.deletion_timestamp.is_some() && has(dependent, "foregroundDeletion");
    if in_foreground && dependents.iter().any(waits) {
        // They may wait for each other in a circle: this object lets its owners go on.
        unblock_owners(cx, object)?;
    }
    let propagation = match in_foreground {
        true => Propagation::Foreground,
        false if has(object, "orphan") => Propagation::Orphan,
        false if has(object, "foregroundDeletion") => Propagation::Foreground,
        false => Propagation::Background,
    };
    let preconditions = Preconditions { uid: Some(object.meta.uid.clone()), resource_version: None };
    let options = DeleteOptions { propagation: Some(propagation), preconditions, ..DeleteOptions::default() };
    write(cx, object, |cx, gvr, key| cx.client().delete(gvr, &key.namespace, &key.name, &options))
}

/// Changes an object's references to its owners, if it has not changed meanwhile. A merge patch, which custom resources know too.
fn write_owners(cx: &mut Context<'_>, object: &Arc<Object>, owners: Vec<Value>) -> Result<()> {
    let owners = if owners.is_empty() { Value::Null } else { owners.into() };
    let revision = object.revision.to_string();
    let patch = json!({"metadata": {"uid": object.meta.uid, "resourceVersion": revision, "ownerReferences": owners}});
    write(cx, object, |cx, gvr, key| cx.client().patch(gvr, &key.namespace, &key.name, "", PatchKind::Merge, patch).map(drop))
}

fn drop_owners(cx: &mut Context<'_>, object: &Arc<Object>, goes: impl Fn(&str) -> bool) -> Result<()> {
    let value = object.value();
    let owners = list_at(&value, &["metadata", "ownerReferences"]).iter();
    let left = owners.filter(|owner| !goes(str_at(owner, &["uid"]))).cloned().collect();
    write_owners(cx, object, left)
}

fn unblock_owners(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let mut owners = list_at(&object.value(), &["metadata", "ownerReferences"]).to_vec();
    for owner in &mut owners {
        if owner.get("blockOwnerDeletion") == Some(&Value::Bool(true)) {
            owner["blockOwnerDeletion"] = false.into();
        }
    }
    write_owners(cx, object, owners)
}

fn has(object: &Object, finalizer: &str) -> bool {
    object.meta.finalizers.iter().any(|f| f == finalizer)
}

/// Serves the two finalizers of propagation: orphaning dependents, and waiting for them.
fn finalize(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let dependents: Vec<Arc<Object>> = cx.index.dependents(&object.meta.uid).filter_map(|key| cx.get(key)).collect();
    if has(object, "orphan") {
        for dependent in dependents {
            drop_owners(cx, &dependent, |uid| uid == object.meta.uid)?;
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
    let resource = GroupVersionResource::new(&version.group, &version.version, &object.key.resource.resource);
    match action(cx, &resource, &object.key) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
