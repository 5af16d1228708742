//! Counting pods exactly once: an end is first noted in the status, then the pod's finalizer goes, then it is counted.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers>

use std::sync::Arc;

use object::value::{i64_at, list_at, str_at};
use object::{Result, Value, json};
use store::Object;

use super::policy::{self, Action};
use super::{JOB, Work};
use crate::context::Context;
use crate::pod::PodView;
use crate::pod_control;

/// Keeps a pod until its Job has counted it.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// What was counted just now.
#[derive(Default)]
pub struct Tally {
    /// Pods that succeeded.
    pub succeeded: u32,
    /// Pods whose failure counts.
    pub failed: u32,
    /// Why the Job has failed, by its policy for failed pods.
    pub fails_job: Option<String>,
}

fn is_tracked(pod: &Object) -> bool {
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
    let owner = pod.meta.controller().filter(|owner| owner.kind == JOB.kind);
    let lives = owner.is_some_and(|owner| {
        let key = store::Key::new(&JOB.resource(), &pod.key.namespace, &owner.name);
        cx.get(&key).is_some_and(|job| job.meta.uid == owner.uid)
    });
    if lives || !is_tracked(pod) { Ok(()) } else { release(cx, pod) }
}

/// How a pod ended.
enum End {
    Succeeded,
    Failed,
}

/// The end of a pod, if it has come to one. A pod that is deleted has failed, where its replacement need not wait for it.
fn end_of(job: &Value, pod: &Object) -> Option<End> {
    let is_going = pod.meta.deletion_timestamp.is_some();
    match pod.view::<PodView>().phase.as_str() {
        "Succeeded" => Some(End::Succeeded),
        "Failed" => Some(End::Failed),
        _ if is_going && str_at(job, &["spec", "podReplacementPolicy"]) != "Failed" => Some(End::Failed),
        _ => None,
    }
}

/// Counts the pods that have ended since the last time.
pub fn count(cx: &mut Context<'_>, work: &mut Work<'_>) -> Result<Tally> {
    let mut tally = Tally::default();
    let noted = |status: &Value, list: &str| list_at(status, &["uncountedTerminatedPods", list]).to_vec();
    let (mut succeeded, mut failed) = (noted(&work.status, "succeeded"), noted(&work.status, "failed"));
    let mut ended = Vec::new();
    let mut changed = false;
    for pod in work.pods.clone() {
        let Some(end) = end_of(work.job, &pod).filter(|_| is_tracked(&pod)) else { continue };
        let uid = Value::from(pod.meta.uid.as_str());
        match end {
            End::Succeeded => {
                work.indexes.succeeded(&pod);
                if !succeeded.contains(&uid) {
                    succeeded.push(uid);
                    tally.succeeded += 1;
                    changed = true;
                }
            }
            End::Failed => {
                let (action, why) = policy::judge(work.job, &pod);
                work.indexes.failed(&pod, action);
                if action == Action::FailJob {
                    tally.fails_job.get_or_insert(why);
                }
                if action != Action::Ignore && !failed.contains(&uid) {
                    failed.push(uid);
                    tally.failed += 1;
                    changed = true;
                }
            }
        }
        ended.push(pod);
    }
    if ended.is_empty() && succeeded.is_empty() && failed.is_empty() {
        return Ok(tally);
    }
    if changed {
        let mut uncounted = json!({});
        for (key, list) in [("succeeded", &succeeded), ("failed", &failed)] {
            if !list.is_empty() {
                uncounted[key] = list.clone().into();
            }
        }
        work.status["uncountedTerminatedPods"] = uncounted;
        let mut status = work.status.clone();
        work.indexes.write(&mut status);
        for key in ["ready", "terminating"] {
            if status.get(key).is_none() {
                status[key] = 0.into();
            }
        }
        pod_control::write_status(cx, &JOB, work.key, work.job, status)?;
    }
    for pod in &ended {
        release(cx, pod)?;
    }
    for (key, list) in [("succeeded", &succeeded), ("failed", &failed)] {
        let before = i64_at(&work.status, &[key]).unwrap_or(0);
        let more = i64::try_from(list.len()).unwrap_or(0);
        work.status[key] = (before + more).into();
    }
    if work.indexes.is_indexed() {
        work.status["succeeded"] = work.indexes.completed().into();
    }
    work.status["uncountedTerminatedPods"] = json!({});
    // They are not to be counted again below.
    work.pods.retain(|pod| !ended.iter().any(|done| done.key == pod.key));
    Ok(tally)
}
