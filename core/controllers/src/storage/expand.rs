//! Expansion: a claim that asks for more gets it, where its class allows that. Others' volumes are left to their own resizers.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims>

use object::events::EventType;
use object::value::{at, list_at, object_at, remove, set};
use object::{Result, Value, json};
use store::{Event, Key, Store};

use super::{ClaimView, ClassView, PROVISIONED_BY, PROVISIONER, VolumeView, claims, classes, quantity, volumes};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Grows volumes.
pub struct VolumeExpander;

fn wanted(claim: &Value) -> Option<&Value> {
    at(claim, &["spec", "resources", "requests", "storage"])
}

impl Controller for VolumeExpander {
    fn name(&self) -> &'static str {
        "expand-controller"
    }

    fn source(&self) -> &'static str {
        "volume_expand"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource != claims().group_resource() {
            return;
        }
        let Some(claim) = event.new.as_ref().filter(|claim| claim.view::<ClaimView>().phase == "Bound") else { return };
        let value = claim.value();
        if quantity(wanted(&value)) > quantity(at(&value, &["status", "capacity", "storage"])) {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        let (mut claim, view) = (object.value(), object.view::<ClaimView>());
        let size = wanted(&claim).cloned().unwrap_or_default();
        let grows = quantity(Some(&size)) > quantity(at(&claim, &["status", "capacity", "storage"]));
        let volume = cx.get(&Key::new(&volumes().group_resource(), "", &view.volume));
        let Some(volume) = volume.filter(|_| grows && view.phase == "Bound") else { return Ok(()) };
        let allowed = cx.get(&Key::new(&classes(), "", view.class())).is_some_and(|class| class.view::<ClassView>().expands);
        let mut value = volume.value();
        if !allowed || object::meta::annotation(&value, PROVISIONED_BY) != Some(PROVISIONER) {
            cx.event(&claim, EventType::Normal, "ExternalExpanding", "waiting for an external controller to expand this PVC");
            return Ok(());
        }
        if quantity(Some(&size)) > volume.view::<VolumeView>().capacity {
            claim = self.begin(cx, key, claim, &size, &view.volume)?;
            set(&mut value, &["spec", "capacity", "storage"], size.clone());
            cx.client().update(&volumes(), "", &view.volume, value)?;
        }
        // A directory has room as soon as somebody says so: no file system has to grow on a node.
        let mut conditions = list_at(&claim, &["status", "conditions"]).to_vec();
        conditions.retain(|condition| condition["type"] != "Resizing");
        match conditions.is_empty() {
            true => drop(remove(&mut claim, &["status", "conditions"])),
            false => set(&mut claim, &["status", "conditions"], conditions),
        }
        set(&mut claim, &["status", "capacity", "storage"], size.clone());
        set(&mut claim, &["status", "allocatedResources", "storage"], size);
        remove(&mut claim, &["status", "allocatedResourceStatuses"]);
        let claim = cx.client().update_status(&claims(), &key.namespace, &key.name, claim)?;
        cx.event(&claim, EventType::Normal, "VolumeResizeSuccessful", "Resize volume succeeded");
        Ok(())
    }
}

impl VolumeExpander {
    /// Says that a claim's volume is about to grow.
    fn begin(&self, cx: &mut Context<'_>, key: &Key, mut claim: Value, size: &Value, volume: &str) -> Result<Value> {
        let mut conditions = list_at(&claim, &["status", "conditions"]).to_vec();
        conditions.retain(|condition| condition["type"] != "Resizing");
        conditions.push(json!({"type": "Resizing", "status": "True", "lastTransitionTime": cx.now.rfc3339()}));
        set(&mut claim, &["status", "conditions"], conditions);
        set(&mut claim, &["status", "allocatedResources", "storage"], size.clone());
        let progress = "ControllerResizeInProgress";
        object_at(&mut claim, &["status", "allocatedResourceStatuses"]).insert("storage".to_owned(), progress.into());
        let claim = cx.client().update_status(&claims(), &key.namespace, &key.name, claim)?;
        cx.event(&claim, EventType::Normal, "Resizing", &format!("External resizer is resizing volume {volume}"));
        Ok(std::sync::Arc::unwrap_or_clone(claim))
    }
}
