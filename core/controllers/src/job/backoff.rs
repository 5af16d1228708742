//! When failed pods are replaced: later and later, counted from the end of the last that failed since one succeeded.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy>

use object::value::{i64_at, list_at, str_at};
use object::{Time, Value};
use store::{Object, View};

use super::tracking::Counts;

/// First delay before a failed pod is replaced; it doubles up to the last.
const FIRST_SECONDS: u64 = 10;
const LAST_SECONDS: u64 = 600;

/// When a pod came to its end: when the last of its containers did, or else when it was not ready any more or was deleted.
#[derive(Clone, Copy)]
struct Finished(Time);

impl View for Finished {
    fn of(pod: &Value) -> Self {
        let time = |value: &Value, path: &[&str]| Time::parse(str_at(value, path));
        let statuses = list_at(pod, &["status", "containerStatuses"]).iter();
        let ends: Option<Vec<Time>> = statuses.map(|status| time(status, &["state", "terminated", "finishedAt"])).collect();
        let of_containers = ends.and_then(|ends| ends.into_iter().max());
        let not_ready = || {
            let mut conditions = list_at(pod, &["status", "conditions"]).iter();
            let ready = conditions.find(|c| str_at(c, &["type"]) == "Ready" && str_at(c, &["status"]) == "False")?;
            time(ready, &["lastTransitionTime"])
        };
        let deleted = || {
            let grace = i64_at(pod, &["metadata", "deletionGracePeriodSeconds"]).and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
            Some(Time(time(pod, &["metadata", "deletionTimestamp"])?.0.saturating_sub(grace.saturating_mul(1_000_000))))
        };
        let made = || time(pod, &["metadata", "creationTimestamp"]);
        Finished(of_containers.or_else(not_ready).or_else(deleted).or_else(made).unwrap_or_default())
    }
}

/// When a pod came to its end.
pub fn finished_at(pod: &Object) -> Time {
    pod.view::<Finished>().0
}

/// When a pod may be replaced that is the last of so many failures.
pub fn due(failures: u64, last: Time) -> Time {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    last.plus_secs(FIRST_SECONDS.saturating_mul(1 << doublings).min(LAST_SECONDS))
}

/// The failures of a Job since its last success.
#[derive(Clone, Debug, Default)]
pub struct Record {
    failures: u64,
    last: Option<Time>,
}

impl Record {
    /// Whether there were any.
    pub fn is_known(&self) -> bool {
        self.failures > 0
    }

    /// With what has ended since.
    pub fn after(mut self, counts: &Counts) -> Self {
        let last_success = counts.new_succeeded.iter().map(|pod| finished_at(pod)).max();
        let mut failed: Vec<Time> = counts.new_failed.iter().map(|pod| finished_at(pod)).collect();
        if let Some(success) = last_success {
            self = Record::default();
            failed.retain(|at| *at > success);
        }
        self.failures = self.failures.saturating_add(failed.len() as u64);
        self.last = failed.into_iter().max().or(self.last);
        self
    }

    /// When the next pod may be made.
    pub fn due(&self) -> Option<Time> {
        self.last.filter(|_| self.failures > 0).map(|last| due(self.failures, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_from_ten_seconds_to_ten_minutes() {
        let end = Time::from_secs(1000);
        for (failures, seconds) in [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (100, 600)] {
            assert_eq!(due(failures, end), end.plus_secs(seconds), "{failures}");
        }
    }
}
