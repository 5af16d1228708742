//! Whether a Job has come to its end, and what its conditions say of it.

use object::events::EventType;
use object::value::{at, i64_at, list_at, set, str_at};
use object::{Time, Value, json};

use super::policy::{self, Action};
use super::tracking::{self, Counts};
use super::{Work, has_condition};
use crate::context::Context;
use crate::pod::PodView;

/// How a Job ends. First a condition says what will be, and when its pods are gone another says that it is.
pub struct Verdict {
    pub success: bool,
    reason: String,
    message: String,
}

impl Verdict {
    fn failure(reason: &str, message: &str) -> Option<Self> {
        Some(Verdict { success: false, reason: reason.to_owned(), message: message.to_owned() })
    }

    /// As many pods have succeeded as were to.
    pub fn completed() -> Self {
        let message = "Reached expected number of succeeded pods".to_owned();
        Verdict { success: true, reason: "CompletionsReached".to_owned(), message }
    }

    /// Says what the Job will come to.
    pub fn begin(&self, status: &mut Value, now: Time) {
        let kind = if self.success { "SuccessCriteriaMet" } else { "FailureTarget" };
        if !has_condition(status, kind) {
            set_condition(status, (kind, "True", &self.reason, &self.message), now);
        }
    }

    /// Says what the Job has come to.
    pub fn end(&self, status: &mut Value, now: Time) {
        let kind = if self.success { "Complete" } else { "Failed" };
        set_condition(status, (kind, "True", &self.reason, &self.message), now);
        if self.success {
            set(status, &["completionTime"], now.rfc3339());
        }
    }
}

/// Tells of a Job's end.
pub fn announce(cx: &mut Context<'_>, work: &Work<'_>, verdict: &Verdict) {
    if !verdict.success {
        return cx.event(&work.job, EventType::Warning, &verdict.reason, &verdict.message);
    }
    let succeeded = i64_at(&work.status, &["succeeded"]).unwrap_or(0);
    if i64_at(&work.job, &["spec", "completions"]).is_some_and(|completions| succeeded > completions) {
        let message = "Too many succeeded pods running after completion count reached";
        cx.event(&work.job, EventType::Warning, "TooManySucceededPods", message);
    }
    cx.event(&work.job, EventType::Normal, "Completed", "Job completed");
}

/// Sets a condition, and says whether that changes anything. What was never true need not be said to be false.
fn set_condition(status: &mut Value, (kind, state, reason, message): (&str, &str, &str, &str), now: Time) -> bool {
    let mut conditions = list_at(status, &["conditions"]).to_vec();
    let now = now.rfc3339();
    let condition = json!({
        "type": kind, "status": state, "reason": reason, "message": message, "lastProbeTime": now, "lastTransitionTime": now,
    });
    let said = |there: &Value| ["status", "reason", "message"].map(|key| str_at(there, &[key]).to_owned());
    match conditions.iter_mut().find(|c| str_at(c, &["type"]) == kind) {
        Some(there) if said(there) == [state, reason, message] => return false,
        Some(there) => *there = condition,
        None if state == "False" => return false,
        None => conditions.push(condition),
    }
    set(status, &["conditions"], conditions);
    true
}

/// Says that a Job is suspended, or not any more.
pub fn suspend_or_resume(cx: &mut Context<'_>, work: &mut Work<'_>, suspended: bool) {
    if suspended {
        if set_condition(&mut work.status, ("Suspended", "True", "JobSuspended", "Job suspended"), cx.now) {
            object::value::remove(&mut work.status, &["startTime"]);
            cx.event(&work.job, EventType::Normal, "Suspended", "Job suspended");
        }
    } else if set_condition(&mut work.status, ("Suspended", "False", "JobResumed", "Job resumed"), cx.now) {
        // The time in which it was suspended does not count.
        work.status["startTime"] = cx.now.rfc3339().into();
        cx.event(&work.job, EventType::Normal, "Resumed", "Job resumed");
    }
}

/// The end a Job has reached, if it has. Asks to be woken at its deadline.
pub fn reach(cx: &mut Context<'_>, work: &Work<'_>, counts: &Counts) -> Option<Verdict> {
    // What was said once stays.
    for (kind, success) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
        if has_condition(&work.status, kind) {
            let said = list_at(&work.status, &["conditions"]).iter().find(|c| str_at(c, &["type"]) == kind)?;
            let (reason, message) = (str_at(said, &["reason"]).to_owned(), str_at(said, &["message"]).to_owned());
            return Some(Verdict { success, reason, message });
        }
    }
    let failed = work.pods.iter().filter(|pod| tracking::has_failed(work, pod));
    let mut judged = failed.map(|pod| policy::judge(&work.job, pod));
    if let Some(Action::FailJob(why)) = judged.find(|action| matches!(action, Action::FailJob(_))) {
        return Verdict::failure("PodFailurePolicy", &why);
    }
    let spec = |key: &str| i64_at(&work.job, &["spec", key]);
    if let Some(limit) = spec("backoffLimit")
        && (i64::try_from(counts.failed).unwrap_or(i64::MAX) > limit || restarts_exceed(work, limit))
    {
        return Verdict::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
    }
    if let Some(seconds) = spec("activeDeadlineSeconds").filter(|_| !work.is_suspended())
        && let Some(start) = at(&work.status, &["startTime"]).and_then(Value::as_str).and_then(Time::parse)
    {
        let due = start.plus_secs(u64::try_from(seconds).unwrap_or(0));
        if due <= cx.now {
            return Verdict::failure("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        cx.queue.add_at(work.key.clone(), due);
    }
    if work.indexes.counts_failures() {
        let failed = i64::try_from(work.indexes.failed_count()).unwrap_or(i64::MAX);
        if spec("maxFailedIndexes").is_some_and(|most| failed > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Verdict::failure("MaxFailedIndexesExceeded", message);
        }
        if failed > 0 && work.indexes.are_done() {
            return Verdict::failure("FailedIndexes", "Job has failed indexes");
        }
    }
    let rule = success_rule(work)?;
    Some(Verdict { success: true, reason: "SuccessPolicy".to_owned(), message: format!("Matched rules at index {rule}") })
}

/// Containers that are started again in place count by their restarts.
fn restarts_exceed(work: &Work<'_>, limit: i64) -> bool {
    if str_at(&work.job, &["spec", "template", "spec", "restartPolicy"]) != "OnFailure" {
        return false;
    }
    let running = work.pods.iter().filter(|pod| matches!(pod.view::<PodView>().phase.as_str(), "Running" | "Pending"));
    let restarts: i64 = running
        .map(|pod| {
            let pod = pod.value();
            let lists = ["containerStatuses", "initContainerStatuses"];
            let statuses = lists.into_iter().flat_map(|list| list_at(&pod, &["status", list]));
            statuses.filter_map(|status| i64_at(status, &["restartCount"])).sum::<i64>()
        })
        .sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

/// The first rule of `spec.successPolicy` that holds.
fn success_rule(work: &Work<'_>) -> Option<usize> {
    if work.indexes.completed() == 0 {
        return None;
    }
    list_at(&work.job, &["spec", "successPolicy", "rules"]).iter().position(|rule| {
        let count = i64_at(rule, &["succeededCount"]).and_then(|n| usize::try_from(n).ok());
        match (str_at(rule, &["succeededIndexes"]), count) {
            ("", None) => false,
            ("", Some(count)) => work.indexes.completed() >= count,
            (indexes, None) => work.indexes.covers(indexes).0,
            (indexes, Some(count)) => work.indexes.covers(indexes).1 >= count,
        }
    })
}
