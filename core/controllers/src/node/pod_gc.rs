//! Pod garbage: pods whose node is gone for good, pods that end without ever having had one, pods of nodes that are out of
//! service, and ended pods beyond a threshold.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection>

use std::collections::BTreeMap;
use std::sync::Arc;

use object::order::Order as _;
use object::{Result, Time};
use store::{Event, Key, Object, Store};

use super::{NodeView, delete, nodes, patch_status, pods, pods_on};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// Terminated pods beyond this many are deleted, the oldest first.
const TERMINATED_THRESHOLD: usize = 12_500;
/// A node must be gone for so long before its pods are.
const QUARANTINE_SECONDS: u64 = 40;

/// Collects pods.
#[derive(Default)]
pub struct PodGarbageCollector {
    /// Names of nodes that are not there, and since when.
    missing: BTreeMap<String, Time>,
}

impl Controller for PodGarbageCollector {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == nodes() {
            let taints = |node: &Arc<Object>| node.view::<NodeView>().is_out_of_service();
            if event.new.is_none() || event.new.as_ref().is_some_and(taints) || self.missing.contains_key(&*key.name) {
                queue.add(key.clone());
            }
        } else if key.resource == pods()
            && let Some(pod) = &event.new
        {
            let view = pod.view::<PodView>();
            if view.is_terminal() && store.current().count(&pods()) > TERMINATED_THRESHOLD {
                queue.add(Key::new(&pods(), "", ""));
            }
            let ends = pod.meta.deletion_timestamp.is_some();
            if view.node.is_empty() && ends {
                queue.add(key.clone());
            } else if !view.node.is_empty() {
                let node = Key::new(&nodes(), "", &view.node);
                let suspect = |node: &Arc<Object>| ends && node.view::<NodeView>().is_out_of_service();
                if store.get(&node).is_none_or(suspect) {
                    queue.add(node);
                }
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        if key.resource == pods() {
            if key.name.is_empty() {
                return collect_terminated(cx);
            }
            let ends = |pod: &Arc<Object>| pod.meta.deletion_timestamp.is_some() && pod.view::<PodView>().node.is_empty();
            return cx.get(key).filter(ends).map_or(Ok(()), |pod| collect(cx, &pod, None));
        }
        if let Some(node) = cx.get(key) {
            self.missing.remove(&*key.name);
            let view = node.view::<NodeView>();
            if !view.is_ready() && view.is_out_of_service() {
                for pod in pods_on(cx, &key.name).iter().filter(|pod| pod.meta.deletion_timestamp.is_some()) {
                    collect(cx, pod, None)?;
                }
            }
            return Ok(());
        }
        let orphans = pods_on(cx, &key.name);
        if orphans.is_empty() {
            self.missing.remove(&*key.name);
            return Ok(());
        }
        let due = self.missing.entry(key.name.to_string()).or_insert(cx.now).plus_secs(QUARANTINE_SECONDS);
        if due > cx.now {
            cx.queue.add_at(key.clone(), due);
            return Ok(());
        }
        for pod in orphans {
            collect(cx, &pod, Some(("DeletionByPodGC", "PodGC: node no longer exists")))?;
        }
        self.missing.remove(&*key.name);
        Ok(())
    }
}

/// Ends a pod that nobody else will end: one that has not ended has failed. A reason makes that a disruption.
fn collect(cx: &mut Context<'_>, pod: &Object, why: Option<(&str, &str)>) -> Result<()> {
    if !pod.view::<PodView>().is_terminal() {
        patch_status(cx, pod, Some("Failed"), why)?;
    }
    delete(cx, pod, Some(0))
}

fn collect_terminated(cx: &mut Context<'_>) -> Result<()> {
    let mut ended: Vec<_> = cx.store().list(&pods(), None).filter(|p| p.view::<PodView>().is_terminal()).cloned().collect();
    let surplus = ended.len().saturating_sub(TERMINATED_THRESHOLD);
    ended.order_by_key(|p| (p.meta.creation_timestamp, p.key.clone()));
    for pod in ended.into_iter().take(surplus) {
        collect(cx, &pod, None)?;
    }
    Ok(())
}
