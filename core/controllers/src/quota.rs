//! ResourceQuota: writes what a namespace uses into the status of its quotas.
//!
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>

use apiserver::gvr;
use object::value::at;
use object::{GroupResource, Result, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// With more pods than these a quota waits a little between two looks.
const FEW: usize = 500;
/// So long.
const PAUSE_MILLIS: u64 = 100;

/// Keeps quotas' status.
pub struct ResourceQuotaController;

impl Controller for ResourceQuotaController {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let quotas = GroupResource::literal("", "resourcequotas");
        let namespace = &event.key().namespace;
        if namespace.is_empty() {
            return;
        }
        for quota in store.list(&quotas, Some(namespace)) {
            queue.add(quota.key.clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        // Where there is much, changes come in great numbers, and one look is enough for many of them.
        if cx.store().current().count(&GroupResource::literal("", "pods")) > FEW {
            cx.queue.hold(key.clone(), cx.now.plus_millis(PAUSE_MILLIS));
        }
        let Some(stored) = cx.get(key).filter(|quota| quota.meta.deletion_timestamp.is_none()) else { return Ok(()) };
        let mut object = stored.value();
        let used = cx.api.quota_used(&object);
        let used: object::Map<String, object::Value> = used.into_iter().map(|(name, n)| (name, n.to_string().into())).collect();
        let hard = at(&object, &["spec", "hard"]).cloned().unwrap_or_else(|| json!({}));
        let status = json!({"hard": hard, "used": used});
        if object.get("status") == Some(&status) {
            return Ok(());
        }
        object::value::set(&mut object, &["status"], status);
        cx.client().update_status(&gvr("", "v1", "resourcequotas"), &key.namespace, &key.name, object).map(drop)
    }
}
