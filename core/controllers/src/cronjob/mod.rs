//! CronJob: makes a Job whenever its schedule says so.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>

mod jobs;
mod times;

use object::events::EventType;
use object::value::{at, bool_at, i64_at, list_at, set, str_at};
use object::{Result, Time, Value, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod_control::{self, Kind};
use crate::queue::WorkQueue;
use times::Timing;

const CRON_JOB: Kind = Kind::new("batch", "v1", "cronjobs", "CronJob");

/// Runs CronJobs.
pub struct CronJobController;

/// A CronJob and its status as it will be.
struct Work<'a> {
    key: &'a Key,
    cron: &'a Value,
    status: Value,
}

impl Controller for CronJobController {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == CRON_JOB.resource() {
            queue.add(key.clone());
        } else if key.resource == jobs::resource() {
            for owner in [&event.old, &event.new].into_iter().flatten().filter_map(|job| job.meta.controller()) {
                if owner.kind == CRON_JOB.kind {
                    queue.add(Key::new(&CRON_JOB.resource(), &key.namespace, &owner.name));
                }
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        let cron = object.value();
        let status = at(&cron, &["status"]).cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
        let mut work = Work { key, cron: &cron, status };
        let children = jobs::of(cx, &object.meta.uid);
        work.clean_up(cx, &children)?;
        work.look_after(cx, &children);
        let outcome = if object.meta.deletion_timestamp.is_none() { work.start(cx) } else { Ok(()) };
        pod_control::write_status(cx, &CRON_JOB, key, &cron, work.status)?;
        outcome
    }
}

impl Work<'_> {
    fn active(&self) -> &[Value] {
        list_at(&self.status, &["active"])
    }

    fn set_active(&mut self, active: Vec<Value>) {
        if active.is_empty() {
            object::value::remove(&mut self.status, &["active"]);
        } else {
            set(&mut self.status, &["active"], active);
        }
    }

    fn forget(&mut self, uid: &str) {
        let kept = self.active().iter().filter(|job| str_at(job, &["uid"]) != uid).cloned().collect();
        self.set_active(kept);
    }

    fn say(&self, cx: &mut Context<'_>, kind: EventType, reason: &str, message: &str) {
        cx.event(self.cron, kind, reason, message);
    }

    /// Starts the Job whose time has come, and asks to be woken at the next.
    fn start(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let timing = match Timing::read(self.cron) {
            Ok(timing) => timing,
            Err((reason, message)) => {
                self.say(cx, EventType::Warning, reason, &message);
                return Ok(());
            }
        };
        if bool_at(self.cron, &["spec", "suspend"]) {
            return Ok(());
        }
        let missed = timing.missed(cx.now);
        if let Some(next) = timing.next(cx.now) {
            cx.queue.add_at(self.key.clone(), next);
        }
        let Some(missed) = missed else { return Ok(()) };
        if missed.too_many {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.say(cx, EventType::Warning, "TooManyMissedTimes", message);
        }
        let deadline = i64_at(self.cron, &["spec", "startingDeadlineSeconds"]).and_then(|s| u64::try_from(s).ok());
        if deadline.is_some_and(|seconds| missed.at.plus_secs(seconds) < cx.now) {
            let message = format!("Missed scheduled time to start a job: {}", times::rfc1123(missed.at));
            self.say(cx, EventType::Warning, "MissSchedule", &message);
            return Ok(());
        }
        let name = jobs::name_at(self.cron, missed.at);
        let known = self.active().iter().any(|job| str_at(job, &["name"]) == name);
        if known || str_at(&self.status, &["lastScheduleTime"]) == missed.at.rfc3339() {
            return Ok(());
        }
        match str_at(self.cron, &["spec", "concurrencyPolicy"]) {
            "Forbid" if !self.active().is_empty() => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.say(cx, EventType::Normal, "JobAlreadyActive", message);
                return Ok(());
            }
            "Replace" => {
                for job in self.active().to_vec() {
                    jobs::delete(cx, self.cron, self.key, str_at(&job, &["name"]))?;
                    self.forget(str_at(&job, &["uid"]));
                }
            }
            _ => {}
        }
        self.run(cx, &timing, missed.at)
    }

    fn run(&mut self, cx: &mut Context<'_>, timing: &Timing, at: Time) -> Result<()> {
        if let Some(job) = jobs::create(cx, self.cron, timing, at)? {
            let mut active = self.active().to_vec();
            active.push(job);
            self.set_active(active);
            set(&mut self.status, &["lastScheduleTime"], at.rfc3339());
        }
        Ok(())
    }
}
