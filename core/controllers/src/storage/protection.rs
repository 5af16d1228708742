//! Storage in use is not deleted: the finalizers of claims, volumes and classes of attributes go when nobody uses them any more.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection>

use apiserver::gvr;
use object::value::list_at;
use object::{GroupVersionResource, Result, Value, json};
use store::{Event, Key, Store};

use super::{ClaimView, VolumeView, claims, volumes};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

const VAC_FINALIZER: &str = "kubernetes.io/vac-protection";

/// Lets claims go.
pub struct PvcProtectionController;

impl Controller for PvcProtectionController {
    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn changed(&mut self, _store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == claims().group_resource() {
            queue.add(key.clone());
        } else if key.resource == crate::pod_control::pods() {
            let uses = event.new.as_ref().is_some_and(|pod| {
                let view = pod.view::<PodView>();
                !view.is_terminal() && !view.node.is_empty()
            });
            if !uses {
                index.claims_of(event).for_each(|claim| queue.add(claim));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        // A kubelet starts no pod whose claim is being deleted: only those that were placed hold it.
        let mut pods = cx.index.pods_with(key).filter_map(|pod| cx.store().get(pod));
        let used = pods.any(|pod| {
            let view = pod.view::<PodView>();
            !view.is_terminal() && !view.node.is_empty()
        });
        if used { Ok(()) } else { release(cx, key, &claims(), "kubernetes.io/pvc-protection") }
    }
}

/// Lets volumes go.
pub struct PvProtectionController;

impl Controller for PvProtectionController {
    fn name(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == volumes().group_resource() {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let bound = cx.get(key).is_some_and(|volume| volume.view::<VolumeView>().phase == "Bound");
        if bound { Ok(()) } else { release(cx, key, &volumes(), "kubernetes.io/pv-protection") }
    }
}

/// Lets VolumeAttributesClasses go; it also gives them the finalizer.
pub struct VacProtectionController;

fn attributes_classes() -> GroupVersionResource {
    gvr("storage.k8s.io", "v1", "volumeattributesclasses")
}

impl Controller for VacProtectionController {
    fn name(&self) -> &'static str {
        "volumeattributesclass-protection-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        let resource = attributes_classes().group_resource();
        if key.resource == resource {
            queue.add(key.clone());
        } else if let Some(old) = &event.old {
            let name = match () {
                () if key.resource == claims().group_resource() => &old.view::<ClaimView>().attributes_class,
                () if key.resource == volumes().group_resource() => &old.view::<VolumeView>().attributes_class,
                () => return,
            };
            if !name.is_empty() {
                queue.add(Key::new(&resource, "", name));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        if stored.meta.deletion_timestamp.is_none() {
            let mut class = stored.value();
            let mut finalizers = list_at(&class, &["metadata", "finalizers"]).to_vec();
            if finalizers.iter().any(|finalizer| finalizer == VAC_FINALIZER) {
                return Ok(());
            }
            finalizers.push(json!(VAC_FINALIZER));
            object::value::set(&mut class, &["metadata", "finalizers"], finalizers);
            return cx.client().update(&attributes_classes(), "", &key.name, class).map(drop);
        }
        // Only a class that is to go is looked for.
        let (claims, volumes) = (claims().group_resource(), volumes().group_resource());
        let used = cx.store().list(&claims, None).any(|claim| *claim.view::<ClaimView>().attributes_class == *key.name)
            || cx.store().list(&volumes, None).any(|volume| *volume.view::<VolumeView>().attributes_class == *key.name);
        if used { Ok(()) } else { release(cx, key, &attributes_classes(), VAC_FINALIZER) }
    }
}

/// Takes the finalizer from an object that is being deleted.
fn release(cx: &mut Context<'_>, key: &Key, resource: &GroupVersionResource, finalizer: &str) -> Result<()> {
    let Some(stored) = cx.get(key).filter(|object| object.meta.deletion_timestamp.is_some()) else { return Ok(()) };
    let mut object = stored.value();
    let before = list_at(&object, &["metadata", "finalizers"]).to_vec();
    let kept: Vec<Value> = before.iter().filter(|f| *f != finalizer).cloned().collect();
    if kept.len() == before.len() {
        return Ok(());
    }
    object::value::set(&mut object, &["metadata", "finalizers"], kept);
    cx.client().update(resource, &key.namespace, &key.name, object).map(drop)
}
