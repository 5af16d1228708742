//! A change of size, spread over the ReplicaSets there are, and what a paused Deployment still does.

use object::Result;
use object::order::Order as _;

use super::plan::{DESIRED, MAX, Plan, number, spec_replicas, status_number};
use super::{rolling, sets, status};
use crate::context::Context;

/// Sizes the ReplicaSets without rolling on.
pub fn sync(cx: &mut Context<'_>, plan: &mut Plan) -> Result<()> {
    let new = sets::sync_new_set(cx, plan, false)?;
    resize(cx, plan, new)?;
    if plan.paused {
        rolling::clean_up(cx, plan)?;
    }
    status::sync(cx, plan, false)
}

fn resize(cx: &mut Context<'_>, plan: &mut Plan, new: Option<usize>) -> Result<()> {
    let old = plan.old_sets();
    let active_old = plan.active(&old);
    // With one ReplicaSet at work (or none), it takes the whole size.
    let mut active = active_old.clone();
    active.extend(new.filter(|i| spec_replicas(&plan.sets[*i]) > 0));
    match active.as_slice() {
        [] => {
            if let Some(latest) = new.or_else(|| old.last().copied()) {
                plan.scale_set(cx, latest, plan.replicas)?;
            }
            return Ok(());
        }
        [only] => {
            plan.scale_set(cx, *only, plan.replicas)?;
            return Ok(());
        }
        _ => {}
    }
    // A rollout that is complete but for its old pods only loses those.
    if new.is_some_and(|i| is_saturated(plan, i)) {
        for index in active_old {
            plan.scale_set(cx, index, 0)?;
        }
        return Ok(());
    }
    if plan.recreates {
        return Ok(());
    }
    proportionally(cx, plan, active)
}

fn is_saturated(plan: &Plan, index: usize) -> bool {
    let set = &plan.sets[index];
    spec_replicas(set) == plan.replicas
        && number(set, DESIRED) == Some(plan.replicas)
        && status_number(set, "availableReplicas") == plan.replicas
}

/// Every ReplicaSet keeps its share; the largest takes what is left over.
fn proportionally(cx: &mut Context<'_>, plan: &mut Plan, mut active: Vec<usize>) -> Result<()> {
    let allowed = if plan.replicas > 0 { plan.replicas + plan.max_surge } else { 0 };
    let total: i64 = active.iter().map(|i| spec_replicas(&plan.sets[*i])).sum();
    let to_add = allowed - total;
    // Newer first where pods are added, older first where they are taken away; the larger before the smaller.
    if to_add > 0 {
        active.reverse();
    }
    active.order_by_key(|i| std::cmp::Reverse(spec_replicas(&plan.sets[*i])));
    let mut added = 0;
    let mut sizes = Vec::new();
    for index in &active {
        let size = spec_replicas(&plan.sets[*index]);
        let mut share = 0;
        if to_add != 0 && size != 0 && added != to_add {
            let fraction = fraction(plan, *index);
            share = if to_add > 0 { fraction.min(to_add - added) } else { fraction.max(to_add - added) };
        }
        added += share;
        sizes.push(size + share);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (index, size) in active.into_iter().zip(sizes) {
        plan.scale_set(cx, index, size)?;
    }
    Ok(())
}

/// By how much a ReplicaSet would change if it kept its part of the whole.
fn fraction(plan: &Plan, index: usize) -> i64 {
    let size = spec_replicas(&plan.sets[index]);
    if plan.replicas == 0 {
        return -size;
    }
    // What it was of may stand in an annotation; an adopted one has none.
    let was = number(&plan.sets[index], MAX).filter(|m| *m != 0).unwrap_or(status_number(&plan.deployment, "replicas"));
    if was <= 0 {
        return 0;
    }
    // Rounded to the nearest, halves up.
    (2 * size * (plan.replicas + plan.max_surge) + was).div_euclid(2 * was) - size
}
