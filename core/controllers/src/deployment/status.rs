//! How far a Deployment is: its status, its conditions, and when it has taken too long.

use std::sync::Arc;

use apiserver::gvr;
use object::value::{self, at, i64_at, list_at, str_at};
use object::{Result, Time, Value, json};

use super::plan::{Plan, conditions, spec_replicas, status_number};
use crate::context::Context;

const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";

/// Kubernetes takes the largest number for "no deadline".
const NO_DEADLINE: i64 = 2_147_483_647;

/// Whether progress is watched at all.
pub fn has_deadline(deployment: &Value) -> bool {
    i64_at(deployment, &["spec", "progressDeadlineSeconds"]).is_some_and(|s| s != NO_DEADLINE)
}

/// The condition of this type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    conditions(object).iter().find(|c| str_at(c, &["type"]) == kind)
}

/// Sets a condition. Where status and reason stay the same nothing changes; the transition time changes with the status.
pub fn set_condition(object: &mut Value, now: Time, kind: &str, status: &str, reason: &str, message: &str) {
    let current = condition(object, kind);
    if current.is_some_and(|c| str_at(c, &["status"]) == status && str_at(c, &["reason"]) == reason) {
        return;
    }
    let since = current.filter(|c| str_at(c, &["status"]) == status).map(|c| str_at(c, &["lastTransitionTime"]).to_owned());
    let new = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": now.rfc3339(),
        "lastTransitionTime": since.unwrap_or_else(|| now.rfc3339()),
    });
    put_condition(object, kind, Some(new));
}

fn put_condition(object: &mut Value, kind: &str, new: Option<Value>) {
    let mut list: Vec<Value> = conditions(object).iter().filter(|c| str_at(c, &["type"]) != kind).cloned().collect();
    list.extend(new);
    if list.is_empty() {
        value::remove(object, &["status", "conditions"]);
    } else {
        value::set(object, &["status", "conditions"], list);
    }
}

/// While a Deployment is paused it cannot be late.
pub fn check_paused(cx: &mut Context<'_>, plan: &mut Plan) -> Result<()> {
    if !has_deadline(&plan.deployment) {
        return Ok(());
    }
    let current = condition(&plan.deployment, "Progressing");
    let reason = current.map(|c| str_at(c, &["reason"]).to_owned()).unwrap_or_default();
    if reason == DEADLINE_EXCEEDED {
        return Ok(());
    }
    let mut changed = plan.deployment.clone();
    match (plan.paused, reason == "DeploymentPaused") {
        (true, false) => {
            set_condition(&mut changed, cx.now, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        }
        (false, true) => {
            set_condition(&mut changed, cx.now, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
        }
        _ => return Ok(()),
    }
    write(cx, plan, changed)
}

/// Whether all pods are new, and available.
pub fn is_complete(plan: &Plan) -> bool {
    let status = calculated(plan);
    complete(plan, &status)
}

fn complete(plan: &Plan, status: &Value) -> bool {
    let number = |key: &str| i64_at(status, &[key]).unwrap_or(0);
    number("updatedReplicas") == plan.replicas
        && number("replicas") == plan.replicas
        && number("availableReplicas") == plan.replicas
}

/// The numbers of the status, from the ReplicaSets.
fn calculated(plan: &Plan) -> Value {
    let sum = |key: &str| plan.sets.iter().map(|set| status_number(set, key)).sum::<i64>();
    let available = sum("availableReplicas");
    let new = plan.new_set().map(|i| &plan.sets[i]);
    let mut status = json!({
        "observedGeneration": i64_at(&plan.deployment, &["metadata", "generation"]).unwrap_or(0),
        "replicas": sum("replicas"),
        "updatedReplicas": new.map_or(0, |set| status_number(set, "replicas")),
        "readyReplicas": sum("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": (plan.sets.iter().map(spec_replicas).sum::<i64>() - available).max(0),
    });
    if let Some(map) = status.as_object_mut() {
        map.retain(|_, number| *number != 0);
        // Unknown as long as one of them has not counted yet.
        if plan.sets.iter().all(|set| at(set, &["status", "terminatingReplicas"]).is_some()) {
            map.insert("terminatingReplicas".to_owned(), sum("terminatingReplicas").into());
        }
        for kept in ["collisionCount", "conditions"] {
            if let Some(old) = at(&plan.deployment, &["status", kept]) {
                map.insert(kept.to_owned(), old.clone());
            }
        }
    }
    status
}

/// Brings the status up to date; `progress` also judges whether the rollout gets ahead.
pub fn sync(cx: &mut Context<'_>, plan: &Plan, progress: bool) -> Result<()> {
    let mut changed = plan.deployment.clone();
    value::set(&mut changed, &["status"], calculated(plan));
    let available = i64_at(&changed, &["status", "availableReplicas"]).unwrap_or(0);
    if available >= plan.replicas - plan.max_unavailable {
        let message = "Deployment has minimum availability.";
        set_condition(&mut changed, cx.now, "Available", "True", "MinimumReplicasAvailable", message);
    } else {
        let message = "Deployment does not have minimum availability.";
        set_condition(&mut changed, cx.now, "Available", "False", "MinimumReplicasUnavailable", message);
    }
    if progress {
        judge_progress(cx, plan, &mut changed);
        report_failure(plan, &mut changed);
    }
    write_status(cx, plan, changed)
}

/// Takes over what went wrong with the new ReplicaSet, or with an old one.
fn report_failure(plan: &Plan, changed: &mut Value) {
    let failure_of = |index: &usize| {
        let conditions = list_at(&plan.sets[*index], &["status", "conditions"]).iter();
        conditions.clone().find(|c| str_at(c, &["type"]) == "ReplicaFailure")
    };
    let Some(failure) = plan.new_set().iter().chain(&plan.old_sets()).find_map(failure_of) else {
        return put_condition(changed, "ReplicaFailure", None);
    };
    let of = |key: &str| str_at(failure, &[key]);
    let current = condition(changed, "ReplicaFailure");
    if current.is_some_and(|c| str_at(c, &["status"]) == of("status") && str_at(c, &["reason"]) == of("reason")) {
        return;
    }
    let since = of("lastTransitionTime");
    let new = json!({
        "type": "ReplicaFailure", "status": of("status"), "reason": of("reason"), "message": of("message"),
        "lastUpdateTime": since, "lastTransitionTime": since,
    });
    put_condition(changed, "ReplicaFailure", Some(new));
}

fn judge_progress(cx: &mut Context<'_>, plan: &Plan, changed: &mut Value) {
    if !has_deadline(&plan.deployment) {
        put_condition(changed, "Progressing", None);
        return;
    }
    let number = |object: &Value, key: &str| i64_at(object, &["status", key]).unwrap_or(0);
    let current = condition(&plan.deployment, "Progressing").cloned();
    let reason = current.as_ref().map(|c| str_at(c, &["reason"]).to_owned()).unwrap_or_default();
    let settled = number(changed, "replicas") == number(changed, "updatedReplicas") && reason == NEW_SET_AVAILABLE;
    if settled {
        return;
    }
    let name = match plan.new_set() {
        Some(i) => format!("ReplicaSet {:?}", str_at(&plan.sets[i], &["metadata", "name"])),
        None => format!("Deployment {:?}", &*plan.key.name),
    };
    let old = &plan.deployment;
    let status = changed.get("status").cloned().unwrap_or_default();
    let fewer_old = |o: &Value| number(o, "replicas") - number(o, "updatedReplicas");
    let progressing = number(changed, "updatedReplicas") > number(old, "updatedReplicas")
        || fewer_old(changed) < fewer_old(old)
        || number(changed, "readyReplicas") > number(old, "readyReplicas")
        || number(changed, "availableReplicas") > number(old, "availableReplicas");
    if complete(plan, &status) {
        let message = format!("{name} has successfully progressed.");
        set_condition(changed, cx.now, "Progressing", "True", NEW_SET_AVAILABLE, &message);
    } else if progressing {
        let since = current.filter(|c| str_at(c, &["status"]) == "True").map(|c| str_at(&c, &["lastTransitionTime"]).to_owned());
        let new = json!({
            "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": format!("{name} is progressing."),
            "lastUpdateTime": cx.now.rfc3339(), "lastTransitionTime": since.unwrap_or_else(|| cx.now.rfc3339()),
        });
        put_condition(changed, "Progressing", Some(new));
    } else if let Some(deadline) = deadline(old, current.as_ref()) {
        if deadline <= cx.now || reason == DEADLINE_EXCEEDED {
            let message = format!("{name} has timed out progressing.");
            set_condition(changed, cx.now, "Progressing", "False", DEADLINE_EXCEEDED, &message);
        } else {
            cx.queue.add_at(plan.key.clone(), deadline);
        }
    }
}

/// When the rollout is late, if nothing happens before.
fn deadline(deployment: &Value, progressing: Option<&Value>) -> Option<Time> {
    let condition = progressing.filter(|c| str_at(c, &["reason"]) != NEW_SET_AVAILABLE)?;
    let seconds = u64::try_from(i64_at(deployment, &["spec", "progressDeadlineSeconds"])?).ok()?;
    // Late is who has not moved for longer than the deadline, and times have whole seconds.
    Some(Time::parse(str_at(condition, &["lastUpdateTime"]))?.plus_secs(seconds + 1))
}

/// Writes a changed Deployment through its status, if it changed, and works on with what came of it.
pub fn write(cx: &mut Context<'_>, plan: &mut Plan, changed: Value) -> Result<()> {
    if changed == plan.deployment {
        return Ok(());
    }
    let namespace = plan.key.namespace.clone();
    plan.deployment = Arc::unwrap_or_clone(cx.client().update_status(
        &gvr("apps", "v1", "deployments"),
        &namespace,
        &plan.key.name,
        changed,
    )?);
    Ok(())
}

fn write_status(cx: &mut Context<'_>, plan: &Plan, changed: Value) -> Result<()> {
    if changed.get("status") == plan.deployment.get("status") {
        return Ok(());
    }
    cx.client().update_status(&gvr("apps", "v1", "deployments"), &plan.key.namespace, &plan.key.name, changed).map(drop)
}
