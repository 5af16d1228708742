//! Ephemeral volumes: a pod that brings a claim's template gets the claim, and the claim goes with the pod.
//!
//! <https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes>

use object::events::EventType;
use object::value::{at, list_at, str_at};
use object::{ApiError, Reason, Result, json};
use store::{Event, Key, Store};

use super::{PodClaims, claims};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod_control::pods;
use crate::queue::WorkQueue;

/// Makes claims of pods' templates.
pub struct EphemeralVolumeController;

impl Controller for EphemeralVolumeController {
    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }

    fn source(&self) -> &'static str {
        "ephemeral_volume"
    }

    fn changed(&mut self, _store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == pods() && event.old.is_none() {
            if event.new.as_ref().is_some_and(|pod| !pod.view::<PodClaims>().names.is_empty()) {
                queue.add(key.clone());
            }
        } else if key.resource == claims().group_resource() && event.new.is_none() {
            index.pods_with(key).for_each(|pod| queue.add(pod.clone()));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key).filter(|pod| pod.meta.deletion_timestamp.is_none()) else { return Ok(()) };
        let pod = object.value();
        for volume in list_at(&pod, &["spec", "volumes"]) {
            let Some(template) = at(volume, &["ephemeral", "volumeClaimTemplate"]) else { continue };
            let name = format!("{}-{}", key.name, str_at(volume, &["name"]));
            if let Some(claim) = cx.get(&Key::new(&claims().group_resource(), &key.namespace, &name)) {
                if claim.meta.controller().is_some_and(|owner| owner.uid == object.meta.uid) {
                    continue;
                }
                let place = &key.namespace;
                let why = format!("PVC {place}/{name} was not created for pod {place}/{} (pod is not owner)", key.name);
                return Err(ApiError::new(409, Reason::Conflict, why));
            }
            let owner = json!({
                "apiVersion": "v1", "kind": "Pod", "name": &*key.name, "uid": object.meta.uid, "controller": true,
                "blockOwnerDeletion": true,
            });
            let mut metadata = json!({"name": name, "ownerReferences": [owner]});
            for kind in ["labels", "annotations"] {
                if let Some(given) = at(template, &["metadata", kind]) {
                    metadata[kind] = given.clone();
                }
            }
            let spec = template.get("spec").cloned().unwrap_or_default();
            let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec});
            if let Err(error) = cx.client().create(&claims(), &key.namespace, claim) {
                let why = format!("ephemeral volume {}: create PVC {name}: {error}", str_at(volume, &["name"]));
                cx.event(&pod, EventType::Warning, "FailedBinding", &why);
                return Err(error);
            }
        }
        Ok(())
    }
}
