//! Counting pods exactly once: an end is first noted in the status, then the pod's finalizer goes, then it is counted.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers>

use std::collections::BTreeSet;
use std::sync::Arc;

use object::value::{i64_at, list_at, set};
use object::{Result, Value, json};
use store::Object;

use super::policy::{self, Action};
use super::{JOB, Work, indexes, verdict};
use crate::context::Context;
use crate::pod::PodView;
use crate::pod_control;

/// Keeps a pod until its Job has counted it.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// So many ends are noted at once, that the status does not become too large.
const MOST_NOTED: usize = 500;

/// Whether a pod has not been counted yet.
pub fn is_tracked(pod: &Object) -> bool {
    pod.meta.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
}

fn release(cx: &mut Context<'_>, pod: &Object) -> Result<()> {
    pod_control::patch_pod(cx, pod, json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}))
}

/// Deletes a pod that is not wanted any more: it did not fail, so it is not counted.
pub fn drop_pod(cx: &mut Context<'_>, job: &Value, pod: &Object) -> Result<()> {
    if is_tracked(pod) {
        release(cx, pod)?;
    }
    pod_control::delete(cx, job, pod)
}

/// Lets all pods of a finished Job go.
pub fn release_all(cx: &mut Context<'_>, pods: &[Arc<Object>]) -> Result<()> {
    for pod in pods.iter().filter(|pod| is_tracked(pod)) {
        release(cx, pod)?;
    }
    Ok(())
}

/// Lets a pod go whose Job is no more.
pub fn release_orphan(cx: &mut Context<'_>, pod: &Object) -> Result<()> {
    let lives = pod.meta.controller().is_some_and(|owner| {
        let key = store::Key::new(&JOB.resource(), &pod.key.namespace, &owner.name);
        owner.kind != JOB.kind || cx.get(&key).is_some_and(|job| job.meta.uid == owner.uid)
    });
    if lives || !is_tracked(pod) { Ok(()) } else { release(cx, pod) }
}

fn has_succeeded(pod: &Object) -> bool {
    pod.view::<PodView>().phase == "Succeeded"
}

/// Whether a pod has failed. One that is deleted has, where its replacement need not wait for it.
pub fn has_failed(work: &Work<'_>, pod: &Object) -> bool {
    match pod.view::<PodView>().phase.as_str() {
        "Failed" => true,
        "Succeeded" => false,
        _ => pod.meta.deletion_timestamp.is_some() && !work.replaces_only_failed(),
    }
}

/// The uids that a status notes as ended and not counted.
fn noted(status: &Value, list: &str) -> BTreeSet<String> {
    list_at(status, &["uncountedTerminatedPods", list]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// How many pods have ended: those that are counted, those that are noted, and those that ended just now.
pub struct Counts {
    pub succeeded: usize,
    pub failed: usize,
    pub new_succeeded: Vec<Arc<Object>>,
    pub new_failed: Vec<Arc<Object>>,
}

impl Counts {
    /// As the status and the pods have it.
    pub fn of(work: &Work<'_>) -> Self {
        let before = |key: &str| i64_at(&work.status, &[key]).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let (known_succeeded, known_failed) = (noted(&work.status, "succeeded"), noted(&work.status, "failed"));
        let tracked = work.pods.iter().filter(|pod| is_tracked(pod) && work.indexes.is_place(pod));
        let new_succeeded: Vec<_> =
            tracked.clone().filter(|pod| has_succeeded(pod) && !known_succeeded.contains(&pod.meta.uid)).cloned().collect();
        let new_failed: Vec<_> =
            tracked.filter(|pod| has_failed(work, pod) && !known_failed.contains(&pod.meta.uid)).cloned().collect();
        let counted = new_failed.iter().filter(|pod| policy::judge(&work.job, pod) != Action::Ignore).count();
        Counts {
            succeeded: before("succeeded") + known_succeeded.len() + new_succeeded.len(),
            failed: before("failed") + known_failed.len() + counted,
            new_succeeded,
            new_failed,
        }
    }
}

/// Whether a pod need not be held any longer, once it is noted.
fn may_go(work: &Work<'_>, pod: &Object) -> bool {
    if work.is_going || work.verdict.is_some() || has_succeeded(pod) {
        return true;
    }
    // The last failure of an index is there until its successor knows of it.
    let is_last = || indexes::index_of(pod).and_then(|i| work.indexes.waiting(i)).is_some_and(|w| w.meta.uid == pod.meta.uid);
    has_failed(work, pod) && !is_last()
}

/// Notes the ends of pods, lets them go, counts them, and ends the Job if it has come to its end.
pub fn track(cx: &mut Context<'_>, work: &mut Work<'_>) -> Result<()> {
    let mut lists = [noted(&work.status, "succeeded"), noted(&work.status, "failed")];
    // Those whose finalizer went although the status could not be written after that.
    let held: BTreeSet<&str> = work.pods.iter().filter(|pod| is_tracked(pod)).map(|pod| pod.meta.uid.as_str()).collect();
    count(&mut work.status, &mut lists, &|uid| held.contains(uid));
    let fails = work.verdict.as_ref().is_some_and(|verdict| !verdict.success);
    let (mut ended, mut indexed, mut is_full) = (Vec::new(), 0, false);
    for pod in work.pods.iter().filter(|pod| is_tracked(pod) && may_go(work, pod)) {
        ended.push(pod.clone());
        let uid = pod.meta.uid.clone();
        if has_succeeded(pod) && !lists[1].contains(&uid) {
            // The list of completed indexes is enough to count them once.
            match work.indexes.is_indexed() {
                true => indexed += 1,
                false => drop(lists[0].insert(uid)),
            }
        } else if (has_failed(work, pod) || fails)
            && work.indexes.is_place(pod)
            && policy::judge(&work.job, pod) != Action::Ignore
        {
            lists[1].insert(uid);
        }
        if indexed + lists[0].len() + lists[1].len() >= MOST_NOTED {
            is_full = true;
            break;
        }
    }
    note(&mut work.status, &lists);
    work.indexes.write(&mut work.status);
    if let Some(verdict) = &work.verdict {
        verdict.begin(&mut work.status, cx.now);
    }
    work.flush(cx)?;
    for pod in &ended {
        release(cx, pod)?;
    }
    let released: BTreeSet<&str> = ended.iter().map(|pod| pod.meta.uid.as_str()).collect();
    count(&mut work.status, &mut lists, &|uid| !released.contains(uid));
    let all_counted = lists.iter().all(BTreeSet::is_empty);
    let verdict = work.verdict.take().filter(|_| !is_full && all_counted && work.terminating == 0);
    if let Some(verdict) = &verdict {
        verdict.end(&mut work.status, cx.now);
    }
    work.flush(cx)?;
    if let Some(verdict) = verdict {
        verdict::announce(cx, work, &verdict);
    }
    if is_full {
        cx.queue.add_now(work.key.clone());
    }
    Ok(())
}

fn note(status: &mut Value, [succeeded, failed]: &[BTreeSet<String>; 2]) {
    let mut uncounted = json!({});
    for (key, list) in [("succeeded", succeeded), ("failed", failed)] {
        if !list.is_empty() {
            uncounted[key] = list.iter().cloned().collect();
        }
    }
    set(status, &["uncountedTerminatedPods"], uncounted);
}

/// Counts those that are noted and no longer held.
fn count(status: &mut Value, lists: &mut [BTreeSet<String>; 2], is_held: &dyn Fn(&str) -> bool) {
    for (key, list) in ["succeeded", "failed"].into_iter().zip(lists.iter_mut()) {
        let before = list.len();
        list.retain(|uid| is_held(uid));
        let more = i64::try_from(before - list.len()).unwrap_or(0);
        if more > 0 {
            set(status, &[key], i64_at(status, &[key]).unwrap_or(0) + more);
        }
    }
    note(status, lists);
}
