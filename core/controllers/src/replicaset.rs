//! ReplicaSets and ReplicationControllers: keep as many pods as their specs say.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/>

use object::order::Order as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use object::value::{at, i64_at, list_at, str_at};
use object::{Result, Time, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, BURST, Kind, deletion_order, pods};
use crate::queue::WorkQueue;

/// Keeps pods as the objects of one kind say.
pub struct ReplicaController {
    name: &'static str,
    kind: &'static Kind,
}

const REPLICA_SET: Kind = Kind::new("apps", "v1", "replicasets", "ReplicaSet");
const REPLICATION_CONTROLLER: Kind = Kind::new("", "v1", "replicationcontrollers", "ReplicationController");

/// So long, for each of many pods, a set waits until it looks at their changes again: looking costs as much for one as for all.
const MICROS_PER_POD: u64 = 10;
/// Sets of so few pods need not wait.
const FEW: u64 = 200;

fn is_active(pod: &Object) -> bool {
    !pod.view::<PodView>().is_terminal() && pod.meta.deletion_timestamp.is_none()
}

impl ReplicaController {
    /// For ReplicaSets.
    pub fn of_sets() -> Self {
        ReplicaController { name: "replicaset-controller", kind: &REPLICA_SET }
    }

    /// For ReplicationControllers, whose selectors are plain maps.
    pub fn of_controllers() -> Self {
        ReplicaController { name: "replication-controller", kind: &REPLICATION_CONTROLLER }
    }

    /// Makes or deletes pods until their number is right, or as many as one reconciliation may.
    fn manage(&self, cx: &mut Context<'_>, object: &Object, set: &Value, active: &[Arc<Object>]) -> Result<()> {
        let wanted = usize::try_from(i64_at(set, &["spec", "replicas"]).unwrap_or(0)).unwrap_or(0);
        let (count, outcome);
        if active.len() < wanted {
            let pod = self.kind.pod_from(set, at(set, &["spec", "template"]).unwrap_or(&Value::Null));
            count = wanted - active.len();
            let mut create = |_| pod_control::create(cx, set, pod.clone()).map(|made| made.is_some());
            outcome = pod_control::slow_start(count.min(BURST), &mut create).1;
        } else {
            count = active.len() - wanted;
            let mut ranked: Vec<&Arc<Object>> = active.iter().collect();
            if count < active.len() && count > 0 {
                let together = pods_on_nodes(cx, object);
                ranked.order_by(|a, b| deletion_order(a, b, &together, cx.now));
            }
            outcome = pod_control::delete_all(cx, set, ranked.into_iter().take(count.min(BURST)));
        }
        if count > BURST && outcome.is_ok() {
            cx.queue.add_now(object.key.clone());
        }
        outcome
    }
}

/// How many pods of the same Deployment, whichever ReplicaSet they are of, run on each node.
fn pods_on_nodes(cx: &Context<'_>, set: &Object) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    let Some(above) = set.meta.controller() else { return counts };
    for related in cx.owned(&REPLICA_SET.resource(), &above.uid) {
        for pod in cx.owned(&pods(), &related.meta.uid).iter().filter(|pod| is_active(pod)) {
            *counts.entry(pod.view::<PodView>().node.clone()).or_default() += 1;
        }
    }
    counts
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
            // What was asked for anew is done at once.
            let generation = |object: &Option<Arc<Object>>| object.as_ref().map(|object| object.meta.generation);
            match generation(&event.old) == generation(&event.new) {
                true => queue.add(key.clone()),
                false => queue.add_now(key.clone()),
            }
        } else if key.resource == pods() {
            self.kind.pod_changed(store, event, queue);
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        let set = object.value();
        let claimed = self.kind.claim(cx, &object, is_active)?;
        let size = claimed.len() as u64;
        if size > FEW {
            cx.queue.hold(key.clone(), Time(cx.now.0 + size * MICROS_PER_POD));
        }
        let (terminating, active): (Vec<_>, Vec<_>) = claimed
            .into_iter()
            .filter(|pod| !pod.view::<PodView>().is_terminal())
            .partition(|pod| pod.meta.deletion_timestamp.is_some());
        let mut done = Ok(());
        if object.meta.deletion_timestamp.is_none() {
            done = self.manage(cx, &object, &set, &active);
        }
        let wanted = i64_at(&set, &["spec", "replicas"]).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let failure = done
            .as_ref()
            .err()
            .filter(|error| !error.is_pending())
            .map(|error| (if active.len() < wanted { "FailedCreate" } else { "FailedDelete" }, error.to_string()));
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
