//! Finished Jobs are deleted when their time to live is over.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>

use apiserver::{DeleteOptions, Preconditions, Propagation, gvr};
use object::value::{i64_at, list_at, str_at};
use object::{GroupResource, Result, Time};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::job;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Deletes finished Jobs.
pub struct TtlAfterFinishedController;

impl Controller for TtlAfterFinishedController {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == GroupResource::literal("batch", "jobs") {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key).filter(|object| object.meta.deletion_timestamp.is_none()) else { return Ok(()) };
        let job = object.value();
        let ttl = i64_at(&job, &["spec", "ttlSecondsAfterFinished"]).and_then(|seconds| u64::try_from(seconds).ok());
        let Some(ttl) = ttl.filter(|_| job::is_finished(&job)) else { return Ok(()) };
        let ends = list_at(&job, &["status", "conditions"]).iter();
        let ends = ends.filter(|c| matches!(str_at(c, &["type"]), "Complete" | "Failed") && str_at(c, &["status"]) == "True");
        let Some(end) = ends.filter_map(|c| Time::parse(str_at(c, &["lastTransitionTime"]))).max() else { return Ok(()) };
        let due = end.plus_secs(ttl);
        if due > cx.now {
            cx.queue.add_at(key.clone(), due);
            return Ok(());
        }
        let options = DeleteOptions {
            propagation: Some(Propagation::Foreground),
            preconditions: Preconditions { uid: Some(object.meta.uid.clone()), resource_version: None },
            ..DeleteOptions::default()
        };
        match cx.client().delete(&gvr("batch", "v1", "jobs"), &key.namespace, &key.name, &options) {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            other => other,
        }
    }
}
