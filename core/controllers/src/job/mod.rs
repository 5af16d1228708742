//! Job: runs pods until enough of them have succeeded, or too many have failed.
//!
//! Pods are counted once: each carries a finalizer that is taken off only after the Job's status has noted its end.
//! [`verdict`] says what a Job comes to, [`manage`] makes and deletes pods, [`tracking`] counts them.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/>

mod backoff;
mod indexes;
mod manage;
mod policy;
mod tracking;
mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

use object::value::{at, bool_at, i64_at, list_at, set, str_at};
use object::{Result, Time, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, Kind, pods};
use crate::queue::{Backoff, WorkQueue};
use backoff::Record;
use indexes::Indexes;
use tracking::{Counts, FINALIZER};
use verdict::Verdict;

const JOB: Kind = Kind { finalizer: Some(FINALIZER), ..Kind::new("batch", "v1", "jobs", "Job") };

/// So long, for each of many pods, a Job waits until it looks at their changes again.
const MICROS_PER_POD: u64 = 10;
/// Jobs of so few pods need not wait.
const FEW: usize = 200;

/// Runs Jobs.
#[derive(Default)]
pub struct JobController {
    /// What failures mean for the next pods, by the Jobs' uids.
    failures: BTreeMap<String, Record>,
}

/// A Job, its pods, and what is known of both.
struct Work<'a> {
    key: &'a Key,
    /// The Job with the status that was written last.
    job: Value,
    /// The status as it will be.
    status: Value,
    pods: Vec<Arc<Object>>,
    indexes: Indexes,
    is_going: bool,
    /// How many pods run and are ready, and how many are on their way out.
    ready: usize,
    terminating: usize,
    /// What the Job comes to, as far as its pods let it.
    verdict: Option<Verdict>,
}

/// Whether a condition of a Job's status is true.
fn has_condition(status: &Value, kind: &str) -> bool {
    list_at(status, &["conditions"]).iter().any(|c| str_at(c, &["type"]) == kind && str_at(c, &["status"]) == "True")
}

/// Whether a Job has come to its end.
pub fn is_finished(job: &Value) -> bool {
    let status = at(job, &["status"]).unwrap_or(&Value::Null);
    has_condition(status, "Complete") || has_condition(status, "Failed")
}

impl Controller for JobController {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn backoff(&self) -> Backoff {
        Backoff { base_millis: 1_000, max_millis: 60_000 }
    }

    fn changed(&mut self, store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == JOB.resource() {
            queue.add(key.clone());
            if let (Some(gone), None) = (&event.old, &event.new) {
                // Pods that stay behind must not wait for it for ever.
                self.failures.remove(&gone.meta.uid);
                let left = index.dependents(&gone.meta.uid).filter(|key| key.resource == pods());
                left.for_each(|key| queue.add(key.clone()));
            }
        } else if key.resource == pods() {
            JOB.pod_changed(store, event, queue);
            if event.new.as_ref().is_some_and(|pod| tracking::is_tracked(pod) && pod.meta.controller().is_none()) {
                queue.add(key.clone());
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        if key.resource == pods() {
            return tracking::release_orphan(cx, &object);
        }
        let job = object.value();
        let foreign = str_at(&job, &["spec", "managedBy"]);
        if !foreign.is_empty() && foreign != "kubernetes.io/job-controller" {
            return Ok(());
        }
        let claimed = JOB.claim(cx, &object, |_| true)?;
        if is_finished(&job) {
            self.failures.remove(&object.meta.uid);
            return tracking::release_all(cx, &claimed);
        }
        if claimed.len() > FEW {
            cx.queue.hold(key.clone(), Time(cx.now.0 + claimed.len() as u64 * MICROS_PER_POD));
        }
        let mut status = at(&job, &["status"]).cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
        if at(&status, &["uncountedTerminatedPods"]).is_none_or(Value::is_null) {
            status["uncountedTerminatedPods"] = json!({});
        }
        let indexes = Indexes::read(&job, &status);
        let is_going = object.meta.deletion_timestamp.is_some();
        let mut work = Work { key, job, status, pods: claimed, indexes, is_going, ready: 0, terminating: 0, verdict: None };
        self.sync(cx, &mut work)
    }
}

impl JobController {
    fn sync(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>) -> Result<()> {
        let suspended = work.is_suspended();
        if !suspended && at(&work.status, &["startTime"]).is_none_or(Value::is_null) {
            work.status["startTime"] = cx.now.rfc3339().into();
        }
        let active = work.active();
        work.ready = active.iter().filter(|pod| pod.view::<PodView>().ready).count();
        work.terminating = work.pods.iter().filter(|pod| is_terminating(pod)).count();
        let mut counts = Counts::of(work);
        let uid = str_at(&work.job, &["metadata", "uid"]).to_owned();
        let record = self.failures.get(&uid).cloned().unwrap_or_default().after(&counts);
        work.indexes.look(&work.job, &work.pods);
        if work.indexes.is_indexed() {
            counts.succeeded = work.indexes.completed();
        }
        work.verdict = verdict::reach(cx, work, &counts);
        let (mut count, mut outcome) = (active.len(), Ok(()));
        if work.verdict.is_some() {
            // They keep their finalizers until they are counted.
            let (removed, done) = work.remove(cx, &active, pod_control::delete);
            if removed != active.len() {
                work.verdict = None;
            }
            (count, outcome) = (active.len() - removed, done);
        } else {
            if !work.is_going {
                (count, outcome) = manage::manage(cx, work, &active, &counts, &record);
            }
            let complete = match i64_at(&work.job, &["spec", "completions"]) {
                None => counts.succeeded > 0 && count == 0,
                Some(completions) => counts.succeeded as i64 >= completions && count == 0,
            };
            if complete {
                work.verdict = Some(Verdict::completed());
            } else if !work.is_going {
                verdict::suspend_or_resume(cx, work, suspended);
            }
        }
        let (ready, terminating) = (work.ready, work.terminating);
        for (key, number) in [("active", count), ("ready", ready), ("terminating", terminating)] {
            set(&mut work.status, &[key], number);
        }
        if record.is_known() {
            self.failures.insert(uid, record);
        } else {
            self.failures.remove(&uid);
        }
        tracking::track(cx, work)?;
        outcome
    }
}

/// Whether a pod is on its way out.
fn is_terminating(pod: &Object) -> bool {
    !pod.view::<PodView>().is_terminal() && pod.meta.deletion_timestamp.is_some()
}

/// How pods are removed.
type Remove = fn(&mut Context<'_>, &Value, &Object) -> Result<()>;

impl Work<'_> {
    fn active(&self) -> Vec<Arc<Object>> {
        let is_active = |pod: &&Arc<Object>| !pod.view::<PodView>().is_terminal() && pod.meta.deletion_timestamp.is_none();
        self.pods.iter().filter(is_active).cloned().collect()
    }

    fn is_suspended(&self) -> bool {
        bool_at(&self.job, &["spec", "suspend"])
    }

    /// Whether a pod is replaced only when it has come to its end.
    fn replaces_only_failed(&self) -> bool {
        str_at(&self.job, &["spec", "podReplacementPolicy"]) == "Failed" || self.job["spec"].get("podFailurePolicy").is_some()
    }

    /// Removes pods and counts them as on their way out; how many, and the first error.
    fn remove(&mut self, cx: &mut Context<'_>, pods: &[Arc<Object>], action: Remove) -> (usize, Result<()>) {
        let (mut removed, mut outcome) = (0, Ok(()));
        for pod in pods {
            match action(cx, &self.job, pod) {
                Ok(()) => {
                    removed += 1;
                    self.ready -= usize::from(pod.view::<PodView>().ready && self.ready > 0);
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.terminating += removed;
        (removed, outcome)
    }

    /// Writes the status, if it changed since it was written last.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let mut status = self.status.clone();
        if let Some(map) = status.as_object_mut() {
            map.retain(|key, value| !matches!(key.as_str(), "active" | "succeeded" | "failed") || *value != 0);
            map.retain(|key, value| key != "completedIndexes" || *value != "");
        }
        if let Some(written) = pod_control::store_status(cx, &JOB, self.key, &self.job, status)? {
            self.job = Arc::unwrap_or_clone(written);
        }
        Ok(())
    }
}
