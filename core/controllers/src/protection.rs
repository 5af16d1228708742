//! Storage in use is not deleted: the finalizers of claims and volumes go when no pod, or no claim, uses them any more.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection>

use apiserver::gvr;
use object::value::{list_at, str_at};
use object::{GroupResource, Result, Value};
use store::{Event, Key, Store, View};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// The claims a pod uses.
struct Claims(Vec<String>);

impl View for Claims {
    fn of(pod: &Value) -> Self {
        if matches!(str_at(pod, &["status", "phase"]), "Succeeded" | "Failed") {
            return Claims(Vec::new());
        }
        let pod_name = str_at(pod, &["metadata", "name"]);
        let volumes = list_at(pod, &["spec", "volumes"]).iter();
        Claims(
            volumes
                .filter_map(|volume| match str_at(volume, &["persistentVolumeClaim", "claimName"]) {
                    "" => volume.get("ephemeral").map(|_| format!("{pod_name}-{}", str_at(volume, &["name"]))),
                    name => Some(name.to_owned()),
                })
                .collect(),
        )
    }
}

fn claims() -> GroupResource {
    GroupResource::new("", "persistentvolumeclaims")
}

/// Lets claims go.
pub struct PvcProtectionController;

impl Controller for PvcProtectionController {
    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == claims() {
            queue.add(key.clone());
        } else if key.resource == GroupResource::new("", "pods") {
            let used = [&event.old, &event.new].into_iter().flatten().flat_map(|pod| &pod.view::<Claims>().0);
            for name in used {
                queue.add(Key::new(&claims(), &key.namespace, name));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let pods = GroupResource::new("", "pods");
        let used = cx.store().list(&pods, Some(&key.namespace)).any(|pod| pod.view::<Claims>().0.contains(&key.name.to_string()));
        if used { Ok(()) } else { release(cx, key, "persistentvolumeclaims", "kubernetes.io/pvc-protection") }
    }
}

/// Lets volumes go.
pub struct PvProtectionController;

impl Controller for PvProtectionController {
    fn name(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == GroupResource::new("", "persistentvolumes") {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let bound = cx.get(key).is_some_and(|volume| str_at(&volume.value(), &["status", "phase"]) == "Bound");
        if bound { Ok(()) } else { release(cx, key, "persistentvolumes", "kubernetes.io/pv-protection") }
    }
}

/// Takes the finalizer from an object that is being deleted.
fn release(cx: &mut Context<'_>, key: &Key, resource: &str, finalizer: &str) -> Result<()> {
    let Some(stored) = cx.get(key).filter(|object| object.meta.deletion_timestamp.is_some()) else { return Ok(()) };
    let mut object = stored.value();
    let before = list_at(&object, &["metadata", "finalizers"]).to_vec();
    let kept: Vec<Value> = before.iter().filter(|f| *f != finalizer).cloned().collect();
    if kept.len() == before.len() {
        return Ok(());
    }
    object::value::set(&mut object, &["metadata", "finalizers"], kept);
    cx.client().update(&gvr("", "v1", resource), &key.namespace, &key.name, object).map(drop)
}
