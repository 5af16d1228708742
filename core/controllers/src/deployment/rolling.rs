//! Moving pods from old ReplicaSets to the new one.

use apiserver::{DeleteOptions, gvr};
use object::order::Order as _;
use object::value::{i64_at, str_at};
use object::{GroupResource, Result, Value};

use super::plan::{Plan, REVISION, number, spec_replicas, status_number};
use super::{sets, status};
use crate::context::Context;
use crate::pod::PodView;

/// RollingUpdate: never more than `maxSurge` above and `maxUnavailable` below the wanted number.
pub fn rolling_update(cx: &mut Context<'_>, plan: &mut Plan) -> Result<()> {
    let Some(new) = sets::sync_new_set(cx, plan, true)? else { return Ok(()) };
    let moved = grow_new(cx, plan, new)? || shrink_old(cx, plan, new)?;
    if !moved && status::is_complete(plan) {
        clean_up(cx, plan)?;
    }
    status::sync(cx, plan, true)
}

/// Recreate: all old pods go before the first new one comes.
pub fn recreate(cx: &mut Context<'_>, plan: &mut Plan) -> Result<()> {
    sets::sync_new_set(cx, plan, false)?;
    let mut shrunk = false;
    for index in plan.active(&plan.old_sets()) {
        shrunk |= plan.scale_set(cx, index, 0)?;
    }
    if shrunk || old_pods_run(cx, plan) {
        return status::sync(cx, plan, true);
    }
    if let Some(new) = sets::sync_new_set(cx, plan, true)? {
        plan.scale_set(cx, new, plan.replicas)?;
    }
    if status::is_complete(plan) {
        clean_up(cx, plan)?;
    }
    status::sync(cx, plan, true)
}

fn grow_new(cx: &mut Context<'_>, plan: &mut Plan, new: usize) -> Result<bool> {
    let size = spec_replicas(&plan.sets[new]);
    if size == plan.replicas {
        // Its size is right; what it knows of the Deployment's may be not.
        return Ok(false);
    }
    let size = if size > plan.replicas { plan.replicas } else { plan.new_set_size(size) };
    plan.scale_set(cx, new, size)
}

fn shrink_old(cx: &mut Context<'_>, plan: &mut Plan, new: usize) -> Result<bool> {
    let old = plan.active(&plan.old_sets());
    if old.is_empty() {
        return Ok(false);
    }
    let min_available = plan.replicas - plan.max_unavailable;
    let new_unavailable = spec_replicas(&plan.sets[new]) - status_number(&plan.sets[new], "availableReplicas");
    let most = plan.total() - min_available - new_unavailable;
    if most <= 0 {
        return Ok(false);
    }
    // Pods that are not available anyway go first.
    let mut removed = 0;
    for index in &old {
        let (size, available) = (spec_replicas(&plan.sets[*index]), status_number(&plan.sets[*index], "availableReplicas"));
        let unhealthy = (size - available).min(most - removed);
        if unhealthy > 0 {
            plan.scale_set(cx, *index, size - unhealthy)?;
            removed += unhealthy;
        }
    }
    // A set that was just made smaller may still say that more are available than it will keep.
    let kept = |set: &Value| status_number(set, "availableReplicas").min(spec_replicas(set));
    let available: i64 = plan.sets.iter().map(kept).sum();
    let mut surplus = available - min_available;
    for index in old {
        let size = spec_replicas(&plan.sets[index]);
        let fewer = surplus.min(size);
        if fewer > 0 {
            plan.scale_set(cx, index, size - fewer)?;
            removed += fewer;
            surplus -= fewer;
        }
    }
    Ok(removed > 0)
}

fn old_pods_run(cx: &Context<'_>, plan: &Plan) -> bool {
    plan.old_sets().iter().any(|index| {
        let uid = str_at(&plan.sets[*index], &["metadata", "uid"]);
        cx.owned(&GroupResource::literal("", "pods"), uid).iter().any(|pod| !pod.view::<PodView>().is_terminal())
    })
}

/// Deletes old, empty ReplicaSets beyond `revisionHistoryLimit`, the oldest revisions first.
pub fn clean_up(cx: &mut Context<'_>, plan: &mut Plan) -> Result<()> {
    let Some(limit) = i64_at(&plan.deployment, &["spec", "revisionHistoryLimit"]) else { return Ok(()) };
    let mut old: Vec<usize> =
        plan.old_sets().into_iter().filter(|i| object::ObjectMeta::of(&plan.sets[*i]).deletion_timestamp.is_none()).collect();
    let surplus = usize::try_from(old.len() as i64 - limit).unwrap_or(0);
    old.order_by_key(|i| number(&plan.sets[*i], REVISION).unwrap_or(0));
    for index in old.into_iter().take(surplus) {
        let set = &plan.sets[index];
        let idle = status_number(set, "replicas") == 0
            && spec_replicas(set) == 0
            && i64_at(set, &["metadata", "generation"]) <= i64_at(set, &["status", "observedGeneration"]);
        if !idle {
            continue;
        }
        let name = str_at(set, &["metadata", "name"]).to_owned();
        let namespace = plan.key.namespace.clone();
        match cx.client().delete(&gvr("apps", "v1", "replicasets"), &namespace, &name, &DeleteOptions::default()) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
