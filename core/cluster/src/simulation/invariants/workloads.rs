//! Invariants of workloads: how many pods they may have, and which.

use std::sync::Arc;

use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, Value};
use store::{Key, Object};

use super::super::check::Memory;
use super::super::facts::{PodFacts, number, share, whole};
use super::{Change, Verdict};

/// The controller of an object, if it is of this kind and still there.
fn controller<'a>(change: &Change<'a>, object: &Object, kind: &str, resource: (&str, &str)) -> Option<&'a Arc<Object>> {
    let owner = object.meta.controller().filter(|owner| owner.kind == kind)?;
    let key = Key::new(&GroupResource::new(resource.0, resource.1), &object.key.namespace, &owner.name);
    change.memory.objects.get(&key).filter(|found| found.meta.uid == owner.uid)
}

/// Whether a pod counts as one that its controller has.
pub fn is_active(pod: &Arc<Object>) -> bool {
    !pod.view::<PodFacts>().is_terminal() && pod.meta.deletion_timestamp.is_none()
}

fn pods_of<'a>(memory: &'a Memory, uid: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
    memory
        .owned(uid)
        .filter(move |o| &*o.key.resource.resource == "pods" && o.meta.controller().is_some_and(|owner| owner.uid == uid))
}

/// A ReplicaSet does not make more pods than it should have.
pub fn a_set_has_no_surplus(change: &Change<'_>) -> Verdict {
    let Some(pod) = change.created() else { return Ok(()) };
    let Some(set) = controller(change, pod, "ReplicaSet", ("apps", "replicasets")) else { return Ok(()) };
    let active = 1 + pods_of(change.memory, &set.meta.uid).filter(|p| is_active(p)).count() as i64;
    let wanted = number(set, &["spec", "replicas"]);
    if active > wanted { Err(format!("{} has {active} pods and wants {wanted}", set.key.name)) } else { Ok(()) }
}

struct Rollout<'a> {
    deployment: &'a Arc<Object>,
    /// ReplicaSets as they were, and as they are.
    before: Vec<&'a Arc<Object>>,
    after: Vec<&'a Arc<Object>>,
}

fn rollout<'a>(change: &Change<'a>) -> Option<Rollout<'a>> {
    let new = change.event.new.as_ref()?;
    let deployment = controller(change, new, "Deployment", ("apps", "deployments"))?;
    let before: Vec<&Arc<Object>> = change
        .memory
        .owned(&deployment.meta.uid)
        .filter(|o| {
            &*o.key.resource.resource == "replicasets" && o.meta.controller().is_some_and(|c| c.uid == deployment.meta.uid)
        })
        .collect();
    let mut after: Vec<&Arc<Object>> = before.iter().copied().filter(|o| o.key != new.key).collect();
    after.push(new);
    Some(Rollout { deployment, before, after })
}

fn is_rolling(deployment: &Arc<Object>) -> bool {
    str_at(whole(deployment), &["spec", "strategy", "type"]) == "RollingUpdate"
}

/// The ReplicaSets of a Deployment together are not made larger than `replicas` and `maxSurge` allow.
pub fn a_rollout_keeps_to_max_surge(change: &Change<'_>) -> Verdict {
    let Some(Rollout { deployment, before, after }) = rollout(change) else { return Ok(()) };
    let spec = whole(deployment);
    let replicas = number(deployment, &["spec", "replicas"]);
    let surge = if is_rolling(deployment) {
        share(at(spec, &["spec", "strategy", "rollingUpdate", "maxSurge"]), replicas, 0, true)
    } else {
        0
    };
    let sum = |sets: &[&Arc<Object>]| sets.iter().map(|set| number(set, &["spec", "replicas"])).sum::<i64>();
    let (old, new) = (sum(&before), sum(&after));
    // A set that is adopted brings what it has.
    let own = change.event.new.as_ref().map_or(0, |set| number(set, &["spec", "replicas"]));
    let grown = change.event.old.as_ref().map_or(own > 0, |set| own > number(set, &["spec", "replicas"]));
    if grown && new > old && new > replicas + surge {
        return Err(format!("{new} pods are wanted, {replicas} and {surge} more are allowed"));
    }
    Ok(())
}

/// A rolling update does not take away available pods beyond `maxUnavailable`.
pub fn a_rollout_keeps_to_max_unavailable(change: &Change<'_>) -> Verdict {
    let Some(Rollout { deployment, before, after }) = rollout(change) else { return Ok(()) };
    if !is_rolling(deployment) {
        return Ok(());
    }
    let spec = whole(deployment);
    let replicas = number(deployment, &["spec", "replicas"]);
    let rolling = |field: &str| at(spec, &["spec", "strategy", "rollingUpdate", field]);
    let surge = share(rolling("maxSurge"), replicas, 0, true);
    let mut unavailable = share(rolling("maxUnavailable"), replicas, 0, false).min(replicas);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    let wanted = |sets: &[&Arc<Object>]| sets.iter().map(|set| number(set, &["spec", "replicas"])).sum::<i64>();
    let kept = |sets: &[&Arc<Object>]| {
        let of = |set: &&Arc<Object>| number(set, &["spec", "replicas"]).min(number(set, &["status", "availableReplicas"]));
        sets.iter().map(of).sum::<i64>()
    };
    let (old, new) = (kept(&before), kept(&after));
    let scaled = change.both().is_some_and(|(a, b)| number(a, &["spec", "replicas"]) > number(b, &["spec", "replicas"]));
    if scaled && new < old && new < replicas - unavailable && wanted(&before) <= replicas + surge {
        return Err(format!("{new} of {old} available pods stay, {replicas} less {unavailable} must"));
    }
    Ok(())
}

/// The number at the end of a name.
fn ordinal(name: &str) -> Option<i64> {
    name.rsplit('-').next()?.parse().ok()
}

/// A StatefulSet makes pods only within its range; in order, each after those before it are ready.
pub fn a_stateful_set_goes_in_order(change: &Change<'_>) -> Verdict {
    let Some(pod) = change.created() else { return Ok(()) };
    let Some(set) = controller(change, pod, "StatefulSet", ("apps", "statefulsets")) else { return Ok(()) };
    let Some(own) = ordinal(&pod.key.name) else { return Err("it has no number".to_owned()) };
    let start = number(set, &["spec", "ordinals", "start"]);
    let replicas = number(set, &["spec", "replicas"]);
    if own < start || own >= start + replicas {
        return Err(format!("{own} is not in {start}..{}", start + replicas));
    }
    if str_at(whole(set), &["spec", "podManagementPolicy"]) == "Parallel" {
        return Ok(());
    }
    for before in start..own {
        let key = Key::new(&pod.key.resource, &pod.key.namespace, &format!("{}-{before}", set.key.name));
        let ready =
            change.memory.objects.get(&key).is_some_and(|p| p.view::<PodFacts>().ready && p.meta.deletion_timestamp.is_none());
        if !ready {
            return Err(format!("{} is not ready", key.name));
        }
    }
    Ok(())
}

/// The node that a daemon's pod is made for.
fn daemon_node(pod: &Value) -> Option<&str> {
    let terms =
        at(pod, &["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"])?;
    let field = terms.get(0)?.get("matchFields")?.get(0)?;
    field.get("values")?.get(0)?.as_str()
}

/// A DaemonSet without surge makes no second pod for a node.
pub fn one_daemon_per_node(change: &Change<'_>) -> Verdict {
    let Some(pod) = change.created() else { return Ok(()) };
    let Some(set) = controller(change, pod, "DaemonSet", ("apps", "daemonsets")) else { return Ok(()) };
    let surge = at(whole(set), &["spec", "updateStrategy", "rollingUpdate", "maxSurge"]);
    if surge.is_some_and(|s| s.as_i64() != Some(0)) {
        return Ok(());
    }
    let node = daemon_node(whole(pod));
    let other = pods_of(change.memory, &set.meta.uid).find(|p| is_active(p) && daemon_node(whole(p)) == node);
    match other {
        Some(other) => Err(format!("{} is for {node:?} already", other.key.name)),
        None => Ok(()),
    }
}

/// A Job never says that more pods have succeeded than have, nor fewer than before.
pub fn a_job_counts_its_pods(change: &Change<'_>) -> Verdict {
    let Some(new) = &change.event.new else { return Ok(()) };
    let says = number(new, &["status", "succeeded"]);
    let seen = change.memory.succeeded.get(&new.meta.uid).map_or(0, |pods| pods.len() as i64);
    if says > seen {
        return Err(format!("it counts {says} succeeded pods of {seen}"));
    }
    let Some((old, _)) = change.both() else { return Ok(()) };
    for field in ["succeeded", "failed"] {
        let before = number(old, &["status", field]);
        if number(new, &["status", field]) < before {
            return Err(format!("{field} fell from {before}"));
        }
    }
    Ok(())
}

/// No two active pods of a Job stand for the same index.
pub fn job_indexes_are_unique(change: &Change<'_>) -> Verdict {
    let Some(pod) = change.created() else { return Ok(()) };
    let (Some(owner), Some(index)) = (pod.meta.controller(), &pod.view::<PodFacts>().index) else { return Ok(()) };
    let mut others = pods_of(change.memory, &owner.uid).filter(|p| is_active(p));
    match others.find(|p| p.view::<PodFacts>().index.as_ref() == Some(index)) {
        Some(other) => Err(format!("{} has the index {index} too", other.key.name)),
        None => Ok(()),
    }
}

/// Whether a Job has ended.
pub fn is_finished(job: &Arc<Object>) -> bool {
    list_at(whole(job), &["status", "conditions"])
        .iter()
        .any(|c| matches!(str_at(c, &["type"]), "Complete" | "Failed") && str_at(c, &["status"]) == "True")
}

/// A CronJob that forbids concurrency begins no Job while another goes on.
pub fn a_forbidding_cron_job_has_one_job(change: &Change<'_>) -> Verdict {
    let Some(job) = change.created() else { return Ok(()) };
    let Some(cron) = controller(change, job, "CronJob", ("batch", "cronjobs")) else { return Ok(()) };
    if str_at(whole(cron), &["spec", "concurrencyPolicy"]) != "Forbid" {
        return Ok(());
    }
    let mut others = change.memory.owned(&cron.meta.uid);
    match others.find(|o| &*o.key.resource.resource == "jobs" && !is_finished(o)) {
        Some(other) => Err(format!("{} still goes on", other.key.name)),
        None => Ok(()),
    }
}

/// How many replicas an object asks for.
pub fn replicas(object: &Arc<Object>) -> i64 {
    i64_at(whole(object), &["spec", "replicas"]).unwrap_or(1)
}
