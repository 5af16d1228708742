//! ReplicaSets and ReplicationControllers: keep as many pods as their specs say.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/>

use object::order::Order as _;
use std::sync::Arc;

use object::selector::LabelSelector;
use object::value::{at, i64_at, list_at, str_at};
use object::{Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, BURST, Kind, deletion_rank, pods};
use crate::queue::WorkQueue;

/// Keeps pods as the objects of one kind say.
pub struct ReplicaController {
    name: &'static str,
    kind: &'static Kind,
    selector: fn(&Value) -> LabelSelector,
}

const REPLICA_SET: Kind = Kind { group: "apps", version: "v1", resource: "replicasets", kind: "ReplicaSet" };
const REPLICATION_CONTROLLER: Kind =
    Kind { group: "", version: "v1", resource: "replicationcontrollers", kind: "ReplicationController" };

impl ReplicaController {
    /// For ReplicaSets.
    pub fn of_sets() -> Self {
        ReplicaController { name: "replicaset-controller", kind: &REPLICA_SET, selector: pod_control::selector_of }
    }

    /// For ReplicationControllers, whose selectors are plain maps.
    pub fn of_controllers() -> Self {
        let selector = |owner: &Value| LabelSelector::from_map(&object::meta::string_map(at(owner, &["spec", "selector"])));
        ReplicaController { name: "replication-controller", kind: &REPLICATION_CONTROLLER, selector }
    }

    /// Makes or deletes pods until their number is right; a failure is kept for the status.
    fn manage(&self, cx: &mut Context<'_>, set: &Value, active: &[Arc<Object>], failure: &mut Option<Failure>) -> Result<()> {
        let wanted = usize::try_from(i64_at(set, &["spec", "replicas"]).unwrap_or(0)).unwrap_or(0);
        if active.len() < wanted {
            let pod = self.kind.pod_from(set, at(set, &["spec", "template"]).unwrap_or(&Value::Null));
            for _ in 0..(wanted - active.len()).min(BURST) {
                match pod_control::create(cx, set, pod.clone()) {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        if !error.is_pending() {
                            *failure = Some(("FailedCreate", error.to_string()));
                        }
                        return Err(error);
                    }
                }
            }
            return Ok(());
        }
        let mut ranked: Vec<&Arc<Object>> = active.iter().collect();
        let surplus = (active.len() - wanted).min(BURST);
        if surplus == 0 {
            return Ok(());
        }
        let per_node =
            |pod: &Arc<Object>| active.iter().filter(|p| p.view::<PodView>().node == pod.view::<PodView>().node).count();
        if surplus < active.len() {
            ranked.order_by_key(|pod| deletion_rank(pod, per_node(pod)));
        }
        for pod in ranked.into_iter().take(surplus) {
            if let Err(error) = pod_control::delete(cx, set, pod) {
                if !error.is_pending() {
                    *failure = Some(("FailedDelete", error.to_string()));
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Reason and message of what went wrong.
type Failure = (&'static str, String);

impl Controller for ReplicaController {
    fn name(&self) -> &'static str {
        self.name
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == self.kind.resource() {
            queue.add(key.clone());
        } else if key.resource == pods() {
            self.kind.pod_changed(store, event, queue, self.selector);
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        let set = object.value();
        let claimed = self.kind.claim(cx, &object, &set, &(self.selector)(&set))?;
        let (terminating, active): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .filter(|pod| !pod.view::<PodView>().is_terminal())
            .partition(|pod| pod.meta.deletion_timestamp.is_some());
        let mut failure = None;
        let mut done = Ok(());
        if object.meta.deletion_timestamp.is_none() {
            done = self.manage(cx, &set, &active, &mut failure);
        }
        // What was just made or deleted is counted at the next look, which the changes themselves bring about.
        let mut status = status_of(cx, key, &set, &active, failure.as_ref());
        if self.kind.kind == REPLICA_SET.kind {
            status["terminatingReplicas"] = terminating.len().into();
        }
        pod_control::write_status(cx, self.kind, key, &set, status)?;
        done
    }
}

fn status_of(cx: &mut Context<'_>, key: &Key, set: &Value, active: &[Arc<Object>], failure: Option<&Failure>) -> Value {
    let min_ready = i64_at(set, &["spec", "minReadySeconds"]).unwrap_or(0);
    let template_labels = object::meta::string_map(at(set, &["spec", "template", "metadata", "labels"]));
    let labelled = |pod: &&Arc<Object>| template_labels.iter().all(|(k, v)| pod.meta.labels.get(k) == Some(v));
    let ready = active.iter().filter(|pod| pod.view::<PodView>().ready).count();
    let available = active.iter().filter(|pod| pod.view::<PodView>().is_available(min_ready, cx.now)).count();
    let mut status = json!({
        "replicas": active.len(), "fullyLabeledReplicas": active.iter().filter(labelled).count(),
        "readyReplicas": ready, "availableReplicas": available,
        "observedGeneration": i64_at(set, &["metadata", "generation"]).unwrap_or(0),
    });
    if let Some(map) = status.as_object_mut() {
        map.retain(|k, v| k == "replicas" || *v != 0);
    }
    let mut conditions: Vec<Value> = list_at(set, &["status", "conditions"]).to_vec();
    match failure {
        Some((reason, message)) if conditions.iter().all(|c| str_at(c, &["type"]) != "ReplicaFailure") => {
            conditions.push(json!({
                "type": "ReplicaFailure", "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": cx.now.rfc3339(),
            }))
        }
        None => conditions.retain(|c| str_at(c, &["type"]) != "ReplicaFailure"),
        Some(_) => {}
    }
    if !conditions.is_empty() {
        status["conditions"] = conditions.into();
    }
    if ready > available {
        let next = active.iter().filter_map(|pod| pod.view::<PodView>().available_at(min_ready)).filter(|at| *at > cx.now).min();
        if let Some(at) = next {
            cx.queue.add_at(key.clone(), at);
        }
    }
    status
}
