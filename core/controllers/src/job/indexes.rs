//! Indexed Jobs: each completion has a number, and its pods carry it.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode>

use std::collections::BTreeSet;
use std::sync::Arc;

use object::Value;
use object::value::{i64_at, set, str_at};
use store::{Object, View};

use super::INDEX;
use super::policy::Action;

/// How often an index has failed before this pod, where each index has a limit of its own.
pub const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";

/// Which indexes have ended, and how.
#[derive(Default)]
pub struct Indexes {
    /// How many there are; none where completions have no numbers.
    total: Option<u32>,
    /// How often one index may fail.
    limit: Option<i64>,
    completed: BTreeSet<u32>,
    failed: BTreeSet<u32>,
}

/// What a pod says of its place.
struct Place {
    index: Option<u32>,
    /// How often its index had failed before.
    failures: Option<i64>,
}

impl View for Place {
    fn of(pod: &Value) -> Self {
        Place {
            index: object::meta::annotation(pod, INDEX).and_then(|index| index.parse().ok()),
            failures: object::meta::annotation(pod, FAILURES).and_then(|count| count.parse().ok()),
        }
    }
}

/// The index of a pod.
fn index_of(pod: &Object) -> Option<u32> {
    pod.view::<Place>().index
}

impl Indexes {
    /// As a Job's status has them.
    pub fn read(job: &Value, status: &Value) -> Self {
        if str_at(job, &["spec", "completionMode"]) != "Indexed" {
            return Indexes::default();
        }
        let total = i64_at(job, &["spec", "completions"]).and_then(|n| u32::try_from(n).ok());
        let limit = i64_at(job, &["spec", "backoffLimitPerIndex"]);
        let read = |key: &str| parse(str_at(status, &[key]), total.unwrap_or(0));
        Indexes { total, limit, completed: read("completedIndexes"), failed: read("failedIndexes") }
    }

    /// Whether completions have numbers.
    pub fn is_indexed(&self) -> bool {
        self.total.is_some()
    }

    /// Whether each index has its own limit of failures.
    pub fn counts_failures(&self) -> bool {
        self.limit.is_some()
    }

    /// How many indexes have succeeded.
    pub fn completed(&self) -> usize {
        self.completed.len()
    }

    /// How many indexes have failed for good.
    pub fn failed_count(&self) -> usize {
        self.failed.len()
    }

    /// Whether every index has ended.
    pub fn are_done(&self) -> bool {
        self.total.is_some_and(|total| self.completed.len() + self.failed.len() >= total as usize)
    }

    /// Whether these indexes, written as in a status, have all succeeded; and how many of them have.
    pub fn covers(&self, wanted: &str) -> (bool, usize) {
        let wanted = parse(wanted, self.total.unwrap_or(0));
        let there = wanted.intersection(&self.completed).count();
        (there == wanted.len(), there)
    }

    /// A pod has succeeded.
    pub fn succeeded(&mut self, pod: &Object) {
        if let (Some(total), Some(index)) = (self.total, index_of(pod))
            && index < total
        {
            self.completed.insert(index);
        }
    }

    /// A pod has failed: its index has, if it may not be tried again.
    pub fn failed(&mut self, pod: &Object, action: Action) {
        let (Some(limit), Some(index)) = (self.limit, index_of(pod)) else { return };
        let before = pod.view::<Place>().failures.unwrap_or(0);
        if action == Action::FailIndex || action != Action::Ignore && before + 1 > limit {
            self.failed.insert(index);
        }
    }

    /// How often an index has failed by now.
    pub fn failures_of(&self, pods: &[Arc<Object>], index: u32) -> i64 {
        let of_index = pods.iter().filter(|pod| index_of(pod) == Some(index));
        let counts = of_index.filter_map(|pod| Some(pod.view::<Place>().failures? + 1));
        counts.max().unwrap_or(0)
    }

    /// The first indexes that have neither ended nor a pod.
    pub fn pending(&self, active: &[Arc<Object>], most: usize) -> Vec<u32> {
        let taken: BTreeSet<u32> = object::order::set(active.iter().filter_map(|pod| index_of(pod)));
        let free = |index: &u32| !taken.contains(index) && !self.completed.contains(index) && !self.failed.contains(index);
        (0..self.total.unwrap_or(0)).filter(free).take(most).collect()
    }

    /// Writes them into a status.
    pub fn write(&self, status: &mut Value) {
        if self.total.is_none() {
            return;
        }
        if !self.completed.is_empty() {
            set(status, &["completedIndexes"], shown(&self.completed));
        }
        if self.limit.is_some() {
            set(status, &["failedIndexes"], shown(&self.failed));
        }
    }
}

/// `0-2,4`: ranges of three and more with a dash.
fn shown(indexes: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let shown = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

fn parse(text: &str, total: u32) -> BTreeSet<u32> {
    let mut out = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            out.extend((first..=last.min(total.saturating_sub(1))).take(total as usize));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_as_ranges() {
        for (text, canonical) in
            [("", ""), ("0", "0"), ("0,1", "0,1"), ("0-2", "0-2"), ("0,1,2,4", "0-2,4"), ("3-9", "3,4"), ("x,1-", "")]
        {
            assert_eq!(shown(&parse(text, 5)), canonical, "{text}");
        }
    }
}
