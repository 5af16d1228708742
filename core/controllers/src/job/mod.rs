//! Job: runs pods until enough of them have succeeded, or too many have failed.
//!
//! Pods are counted once: each carries a finalizer that is taken off only after the Job's status has noted its end.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/>

mod indexes;
mod policy;
mod tracking;
mod verdict;

use object::order::Order as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use object::events::EventType;
use object::value::{at, bool_at, i64_at, list_at, object_at, set, str_at};
use object::{Result, Time, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, BURST, Kind, deletion_order, pods};
use crate::queue::{Backoff, WorkQueue};
use indexes::Indexes;
use tracking::{FINALIZER, Tally};

const JOB: Kind = Kind { finalizer: Some(FINALIZER), ..Kind::new("batch", "v1", "jobs", "Job") };

/// The annotation and label that say which index a pod is of.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// First delay before a failed pod is replaced; it doubles up to the last.
const BACKOFF_SECONDS: u64 = 10;
const MAX_BACKOFF_SECONDS: u64 = 600;

/// Runs Jobs.
#[derive(Default)]
pub struct JobController {
    /// Failures of each Job since its last success, and when the last of them was.
    failures: BTreeMap<String, (u32, Time)>,
}

/// A Job, its pods, and what is known of both.
struct Work<'a> {
    key: &'a Key,
    job: &'a Value,
    /// The status as it will be.
    status: Value,
    pods: Vec<Arc<Object>>,
    indexes: Indexes,
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

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == JOB.resource() {
            queue.add(key.clone());
            if event.new.is_none() {
                // Pods that stay behind must not wait for it for ever.
                let tracked = |pod: &&Arc<Object>| pod.meta.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
                store.list(&pods(), Some(&key.namespace)).filter(tracked).for_each(|pod| queue.add(pod.key.clone()));
            }
        } else if key.resource == pods() {
            JOB.pod_changed(store, event, queue);
            let tracked = event.new.as_ref().is_some_and(|pod| pod.meta.finalizers.iter().any(|f| f == FINALIZER));
            if tracked && event.new.as_ref().is_some_and(|pod| pod.meta.controller().is_none()) {
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
        let status = at(&job, &["status"]).cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
        let indexes = Indexes::read(&job, &status);
        let work = Work { key, job: &job, status, pods: claimed, indexes };
        self.sync(cx, work, object.meta.deletion_timestamp.is_some())
    }
}

impl JobController {
    fn sync(&mut self, cx: &mut Context<'_>, mut work: Work<'_>, is_going: bool) -> Result<()> {
        let suspended = bool_at(work.job, &["spec", "suspend"]);
        if !suspended && at(&work.status, &["startTime"]).is_none_or(Value::is_null) {
            work.status["startTime"] = cx.now.rfc3339().into();
        }
        let tally = tracking::count(cx, &mut work)?;
        self.note_failures(cx.now, &work, &tally);
        let verdict = verdict::reach(cx, &work, &tally);
        let mut outcome = Ok(());
        let (active, terminating) = (work.active(), work.terminating());
        let mut count = active.len();
        if let Some(verdict) = &verdict {
            for pod in &active {
                pod_control::delete(cx, work.job, pod)?;
            }
            count = 0;
            verdict.begin(&mut work.status, cx.now);
            if active.is_empty() && terminating == 0 {
                verdict.end(cx, work.job, &mut work.status);
            }
        } else if !is_going {
            self.suspend_or_resume(cx, &mut work, suspended);
            match if suspended { self.stop(cx, &work, &active) } else { self.run(cx, &work, &active, terminating) } {
                Ok(now) => count = now,
                Err(error) => outcome = Err(error),
            }
        }
        let ready = active.iter().filter(|pod| pod.view::<PodView>().ready && count > 0).count();
        work.finish(count, ready, terminating);
        pod_control::write_status(cx, &JOB, work.key, work.job, work.status)?;
        outcome
    }

    /// Failures count for the delay until a pod succeeds.
    fn note_failures(&mut self, now: Time, work: &Work<'_>, tally: &Tally) {
        let uid = str_at(work.job, &["metadata", "uid"]);
        if tally.succeeded > 0 {
            self.failures.remove(uid);
        } else if tally.failed > 0 {
            let known = self.failures.entry(uid.to_owned()).or_insert((0, now));
            *known = (known.0.saturating_add(tally.failed), now);
        }
    }

    fn suspend_or_resume(&self, cx: &mut Context<'_>, work: &mut Work<'_>, suspended: bool) {
        let known = list_at(&work.status, &["conditions"]).iter().find(|c| str_at(c, &["type"]) == "Suspended").cloned();
        let was = known.as_ref().is_some_and(|c| str_at(c, &["status"]) == "True");
        if suspended && !was {
            verdict::set_condition(&mut work.status, ("Suspended", "True", "JobSuspended", "Job suspended"), cx.now);
            object::value::remove(&mut work.status, &["startTime"]);
            cx.event(work.job, EventType::Normal, "Suspended", "Job suspended");
        } else if !suspended && was {
            verdict::set_condition(&mut work.status, ("Suspended", "False", "JobResumed", "Job resumed"), cx.now);
            work.status["startTime"] = cx.now.rfc3339().into();
            cx.event(work.job, EventType::Normal, "Resumed", "Job resumed");
        }
    }

    fn stop(&self, cx: &mut Context<'_>, work: &Work<'_>, active: &[Arc<Object>]) -> Result<usize> {
        for pod in active {
            tracking::drop_pod(cx, work.job, pod)?;
        }
        Ok(0)
    }

    /// Makes or deletes pods until as many run as should; returns how many do.
    fn run(&self, cx: &mut Context<'_>, work: &Work<'_>, active: &[Arc<Object>], terminating: usize) -> Result<usize> {
        let spec = |key: &str| i64_at(work.job, &["spec", key]).and_then(|n| usize::try_from(n).ok());
        let parallelism = spec("parallelism").unwrap_or(1);
        let succeeded = work.count("succeeded");
        let wanted = match spec("completions") {
            None if succeeded > 0 => active.len().min(parallelism),
            None => parallelism,
            Some(completions) => parallelism.min(completions.saturating_sub(succeeded)),
        };
        // Pods on their way out take a place where only failed ones are replaced.
        let waits = str_at(work.job, &["spec", "podReplacementPolicy"]) == "Failed";
        let there = active.len() + if waits { terminating } else { 0 };
        if active.len() > wanted {
            let mut ranked: Vec<&Arc<Object>> = active.iter().collect();
            ranked.order_by(|a, b| deletion_order(a, b, &BTreeMap::new(), cx.now));
            let surplus = active.len() - wanted;
            for pod in ranked.into_iter().take(surplus) {
                tracking::drop_pod(cx, work.job, pod)?;
            }
            return Ok(wanted);
        }
        if there >= wanted {
            return Ok(active.len());
        }
        if let Some((failures, last)) = self.failures.get(str_at(work.job, &["metadata", "uid"])) {
            let delay = BACKOFF_SECONDS.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(MAX_BACKOFF_SECONDS);
            let due = last.plus_secs(delay);
            if due > cx.now {
                cx.queue.add_at(work.key.clone(), due);
                return Ok(active.len());
            }
        }
        let missing = (wanted - there).min(BURST);
        let mut made = 0;
        let indexes: Vec<Option<u32>> = if work.indexes.is_indexed() {
            work.indexes.pending(active, missing).into_iter().map(Some).collect()
        } else {
            vec![None; missing]
        };
        for index in indexes {
            match pod_control::create(cx, work.job, work.new_pod(index))? {
                Some(_) => made += 1,
                None => break,
            }
        }
        Ok(active.len() + made)
    }
}

impl Work<'_> {
    fn active(&self) -> Vec<Arc<Object>> {
        let is_active = |pod: &&Arc<Object>| !pod.view::<PodView>().is_terminal() && pod.meta.deletion_timestamp.is_none();
        self.pods.iter().filter(is_active).cloned().collect()
    }

    /// How many pods are on their way out.
    fn terminating(&self) -> usize {
        let is_going = |pod: &&Arc<Object>| !pod.view::<PodView>().is_terminal() && pod.meta.deletion_timestamp.is_some();
        self.pods.iter().filter(is_going).count()
    }

    fn count(&self, what: &str) -> usize {
        i64_at(&self.status, &[what]).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
    }

    /// A pod, with its place among the others where places have numbers.
    fn new_pod(&self, index: Option<u32>) -> Value {
        let mut pod = JOB.pod_from(self.job, at(self.job, &["spec", "template"]).unwrap_or(&Value::Null));
        let mut finalizers = list_at(&pod, &["metadata", "finalizers"]).to_vec();
        finalizers.push(FINALIZER.into());
        set(&mut pod, &["metadata", "finalizers"], finalizers);
        let Some(index) = index else { return pod };
        let name = str_at(self.job, &["metadata", "name"]);
        set(&mut pod, &["metadata", "generateName"], format!("{name}-{index}-"));
        for map in ["labels", "annotations"] {
            object_at(&mut pod, &["metadata", map]).insert(INDEX.to_owned(), index.to_string().into());
        }
        if self.indexes.counts_failures() {
            let failures = self.indexes.failures_of(&self.pods, index);
            let annotations = object_at(&mut pod, &["metadata", "annotations"]);
            annotations.insert(indexes::FAILURES.to_owned(), failures.to_string().into());
        }
        if str_at(&pod, &["spec", "hostname"]).is_empty() {
            set(&mut pod, &["spec", "hostname"], format!("{name}-{index}"));
        }
        let path = format!("metadata.labels['{INDEX}']");
        let variable = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}});
        for list in ["initContainers", "containers"] {
            for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let mut env = list_at(container, &["env"]).to_vec();
                if env.iter().all(|known| str_at(known, &["name"]) != "JOB_COMPLETION_INDEX") {
                    env.push(variable.clone());
                    set(container, &["env"], env);
                }
            }
        }
        pod
    }

    /// Completes the status with what was counted.
    fn finish(&mut self, active: usize, ready: usize, terminating: usize) {
        self.indexes.write(&mut self.status);
        for (key, number) in [("active", active), ("ready", ready), ("terminating", terminating)] {
            set(&mut self.status, &[key], number);
        }
        if let Some(status) = self.status.as_object_mut() {
            status.retain(|key, value| !matches!(key.as_str(), "active" | "succeeded" | "failed") || *value != 0);
            status.entry("uncountedTerminatedPods").or_insert_with(|| json!({}));
        }
    }
}
