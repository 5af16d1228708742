//! ValidatingAdmissionPolicies: says in their status that their expressions were looked at.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking>

use apiserver::gvr;
use object::value::{self, i64_at};
use object::{GroupResource, Result, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const GROUP: &str = "admissionregistration.k8s.io";

/// Keeps policies' status.
pub struct PolicyStatusController;

impl Controller for PolicyStatusController {
    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == GroupResource::new(GROUP, "validatingadmissionpolicies") {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        let mut policy = stored.value();
        let generation = i64_at(&policy, &["metadata", "generation"]).unwrap_or(0);
        if i64_at(&policy, &["status", "observedGeneration"]) == Some(generation) {
            return Ok(());
        }
        value::set(&mut policy, &["status", "observedGeneration"], generation);
        value::set(&mut policy, &["status", "typeChecking"], json!({}));
        cx.client().update_status(&gvr(GROUP, "v1", "validatingadmissionpolicies"), "", &key.name, policy).map(drop)
    }
}
