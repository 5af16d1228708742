//! Whether a Job has come to its end, and what its conditions say of it.

use object::events::EventType;
use object::value::{at, i64_at, list_at, set, str_at};
use object::{Time, Value, json};

use super::tracking::Tally;
use super::{Work, has_condition};
use crate::context::Context;
use crate::pod::PodView;

/// How a Job ends. First a condition says what will be, and when its pods are gone another says that it is.
pub struct Verdict {
    success: bool,
    reason: String,
    message: String,
}

const COMPLETIONS: &str = "Reached expected number of succeeded pods";
const BACKOFF: &str = "Job has reached the specified backoff limit";

impl Verdict {
    fn failure(reason: &str, message: &str) -> Option<Self> {
        Some(Verdict { success: false, reason: reason.to_owned(), message: message.to_owned() })
    }

    fn success(reason: &str, message: &str) -> Option<Self> {
        Some(Verdict { success: true, reason: reason.to_owned(), message: message.to_owned() })
    }

    /// Says what the Job will come to.
    pub fn begin(&self, status: &mut Value, now: Time) {
        let kind = if self.success { "SuccessCriteriaMet" } else { "FailureTarget" };
        set_condition(status, (kind, "True", &self.reason, &self.message), now);
    }

    /// Says what the Job has come to.
    pub fn end(&self, cx: &mut Context<'_>, job: &Value, status: &mut Value) {
        let kind = if self.success { "Complete" } else { "Failed" };
        set_condition(status, (kind, "True", &self.reason, &self.message), cx.now);
        if self.success {
            set(status, &["completionTime"], cx.now.rfc3339());
            cx.event(job, EventType::Normal, "Completed", "Job completed");
        } else {
            cx.event(job, EventType::Warning, &self.reason, &self.message);
        }
    }
}

/// Sets a condition; its time changes with its status.
pub fn set_condition(status: &mut Value, (kind, state, reason, message): (&str, &str, &str, &str), now: Time) {
    let mut conditions = list_at(status, &["conditions"]).to_vec();
    let now = now.rfc3339();
    let condition = json!({
        "type": kind, "status": state, "reason": reason, "message": message, "lastProbeTime": now, "lastTransitionTime": now,
    });
    match conditions.iter_mut().find(|c| str_at(c, &["type"]) == kind) {
        Some(there) if str_at(there, &["status"]) == state => {}
        Some(there) => *there = condition,
        None => conditions.push(condition),
    }
    set(status, &["conditions"], conditions);
}

/// The end a Job has reached, if it has. Asks to be woken at its deadline.
pub fn reach(cx: &mut Context<'_>, work: &Work<'_>, tally: &Tally) -> Option<Verdict> {
    // What was said once stays.
    for (kind, success) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
        if has_condition(&work.status, kind) {
            let said = list_at(&work.status, &["conditions"]).iter().find(|c| str_at(c, &["type"]) == kind)?;
            let (reason, message) = (str_at(said, &["reason"]).to_owned(), str_at(said, &["message"]).to_owned());
            return Some(Verdict { success, reason, message });
        }
    }
    if let Some(why) = &tally.fails_job {
        return Verdict::failure("PodFailurePolicy", why);
    }
    let spec = |key: &str| i64_at(work.job, &["spec", key]);
    let count = |key: &str| i64_at(&work.status, &[key]).unwrap_or(0);
    if let Some(limit) = spec("backoffLimit").filter(|_| !work.indexes.counts_failures())
        && (count("failed") > limit || restarts_exceed(work, limit))
    {
        return Verdict::failure("BackoffLimitExceeded", BACKOFF);
    }
    if let Some(seconds) = spec("activeDeadlineSeconds")
        && let Some(start) = at(&work.status, &["startTime"]).and_then(Value::as_str).and_then(Time::parse)
    {
        let due = start.plus_secs(u64::try_from(seconds).unwrap_or(0));
        if due <= cx.now {
            return Verdict::failure("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        cx.queue.add_at(work.key.clone(), due);
    }
    if work.indexes.is_indexed() {
        let failed = i64::try_from(work.indexes.failed_count()).unwrap_or(i64::MAX);
        if spec("maxFailedIndexes").is_some_and(|most| failed > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Verdict::failure("MaxFailedIndexesExceeded", message);
        }
        if failed > 0 && work.indexes.are_done() {
            return Verdict::failure("FailedIndexes", "Job has failed indexes");
        }
        if let Some(rule) = success_rule(work) {
            return Verdict::success("SuccessPolicy", &format!("Matched rules at index {rule}"));
        }
    }
    let complete = match spec("completions") {
        None => count("succeeded") > 0 && work.active().is_empty(),
        Some(completions) => count("succeeded") >= completions,
    };
    let suspended = at(work.job, &["spec", "suspend"]) == Some(&Value::Bool(true));
    if complete && !suspended { Verdict::success("CompletionsReached", COMPLETIONS) } else { None }
}

/// Containers that are started again in place count by their restarts.
fn restarts_exceed(work: &Work<'_>, limit: i64) -> bool {
    if str_at(work.job, &["spec", "template", "spec", "restartPolicy"]) != "OnFailure" {
        return false;
    }
    let restarts: i64 = work
        .active()
        .iter()
        .filter(|pod| matches!(pod.view::<PodView>().phase.as_str(), "Running" | "Pending"))
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
    list_at(work.job, &["spec", "successPolicy", "rules"]).iter().position(|rule| {
        let count = i64_at(rule, &["succeededCount"]).and_then(|n| usize::try_from(n).ok());
        match (str_at(rule, &["succeededIndexes"]), count) {
            ("", None) => false,
            ("", Some(count)) => work.indexes.completed() >= count,
            (indexes, None) => work.indexes.covers(indexes).0,
            (indexes, Some(count)) => work.indexes.covers(indexes).1 >= count,
        }
    })
}
