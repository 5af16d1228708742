//! Deployment: rolls from one ReplicaSet to the next.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/>
//!
//! [`sets`] finds and makes ReplicaSets, [`rolling`] and [`recreate`] move pods from old to new, [`scale`] spreads a change
//! of size over all of them, [`status`] says how far it is.

mod hash;
mod plan;
mod rolling;
mod scale;
mod sets;
mod status;

use std::sync::Arc;

use object::{GroupResource, Result};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod_control::Kind;
use crate::queue::WorkQueue;
pub use hash::template_hash;
use plan::Plan;

const DEPLOYMENT: Kind = Kind::new("apps", "v1", "deployments", "Deployment");

/// Rolls Deployments.
pub struct DeploymentController;

fn deployments() -> GroupResource {
    GroupResource::literal("apps", "deployments")
}

fn replicasets() -> GroupResource {
    GroupResource::literal("apps", "replicasets")
}

impl Controller for DeploymentController {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == deployments() {
            queue.add(key.clone());
        } else if key.resource == replicasets() {
            for object in [&event.old, &event.new].into_iter().flatten() {
                match object.meta.controller() {
                    Some(owner) if owner.kind == "Deployment" => queue.add(Key::new(&deployments(), &key.namespace, &owner.name)),
                    Some(_) => {}
                    None => store.list(&deployments(), Some(&key.namespace)).for_each(|d| queue.add(d.key.clone())),
                }
            }
        } else if key.resource == GroupResource::literal("", "pods") && event.new.is_none() {
            // Recreate waits for the last old pod to be gone.
            let owner = event.old.as_ref().and_then(|pod| pod.meta.controller().cloned());
            let set = owner.filter(|o| o.kind == "ReplicaSet").map(|o| Key::new(&replicasets(), &key.namespace, &o.name));
            if let Some(owner) = set.and_then(|key| store.get(&key)).and_then(|set| set.meta.controller()) {
                queue.add(Key::new(&deployments(), &key.namespace, &owner.name));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        sync(cx, &object)
    }
}

fn sync(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let mut plan = Plan::new(cx, object)?;
    if object.meta.deletion_timestamp.is_some() {
        return status::sync(cx, &plan, false);
    }
    status::check_paused(cx, &mut plan)?;
    if plan.paused {
        return scale::sync(cx, &mut plan);
    }
    if plan.is_scaling_event() {
        return scale::sync(cx, &mut plan);
    }
    if plan.recreates { rolling::recreate(cx, &mut plan) } else { rolling::rolling_update(cx, &mut plan) }
}
