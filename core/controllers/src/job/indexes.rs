//! Indexed Jobs: each completion has a number, and its pods carry it.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::Value;
use object::value::{i64_at, set, str_at};
use store::{Object, View};

use super::manage::INDEX;
use super::policy::{self, Action};
use super::tracking::is_tracked;
use crate::pod::PodView;

/// How often an index has failed before this pod, where each index has a limit of its own.
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// How often it has failed without that being counted.
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// Which indexes have ended, and how.
#[derive(Default)]
pub struct Indexes {
    /// How many there are; none where completions have no numbers.
    total: Option<u32>,
    /// How often one index may fail.
    limit: Option<u64>,
    completed: BTreeSet<u32>,
    failed: BTreeSet<u32>,
    /// The last failures of indexes that have no other pod yet: who follows them takes over their counts.
    waiting: BTreeMap<u32, Arc<Object>>,
}

/// What a pod says of its place.
struct Place {
    index: Option<u32>,
    /// How often its index had failed before, and how often without being counted.
    failures: u64,
    ignored: u64,
}

impl View for Place {
    fn of(pod: &Value) -> Self {
        let number = |key: &str| object::meta::annotation(pod, key).and_then(|text| text.parse().ok());
        Place {
            index: object::meta::annotation(pod, INDEX).and_then(|index| index.parse().ok()),
            failures: number(FAILURES).unwrap_or(0),
            ignored: number(IGNORED).unwrap_or(0),
        }
    }
}

/// The index of a pod.
pub fn index_of(pod: &Object) -> Option<u32> {
    pod.view::<Place>().index
}

/// How often the index of a pod had failed before it, counted or not.
pub fn all_failures(pod: &Object) -> u64 {
    let place = pod.view::<Place>();
    place.failures.saturating_add(place.ignored)
}

impl Indexes {
    /// As a Job's status has them.
    pub fn read(job: &Value, status: &Value) -> Self {
        if str_at(job, &["spec", "completionMode"]) != "Indexed" {
            return Indexes::default();
        }
        let total = i64_at(job, &["spec", "completions"]).and_then(|n| u32::try_from(n).ok());
        let limit = i64_at(job, &["spec", "backoffLimitPerIndex"]).and_then(|n| u64::try_from(n).ok());
        let read = |key: &str| parse(str_at(status, &[key]), total.unwrap_or(0));
        Indexes { total, limit, completed: read("completedIndexes"), failed: read("failedIndexes"), waiting: BTreeMap::new() }
    }

    /// Adds what pods that are not counted yet have come to.
    pub fn look(&mut self, job: &Value, pods: &[Arc<Object>]) {
        let waits = str_at(job, &["spec", "podReplacementPolicy"]) == "Failed";
        let mut active = BTreeSet::new();
        let mut failed = Vec::new();
        for pod in pods {
            let Some(index) = index_of(pod).filter(|index| self.is_valid(*index)) else { continue };
            let is_deleted = pod.meta.deletion_timestamp.is_some();
            match pod.view::<PodView>().phase.as_str() {
                "Succeeded" if is_tracked(pod) => drop(self.completed.insert(index)),
                "Failed" => failed.push((index, pod)),
                "Succeeded" => {}
                _ if !is_deleted => drop(active.insert(index)),
                _ if !waits => failed.push((index, pod)),
                _ => {}
            }
        }
        let Some(limit) = self.limit else { return };
        let failed: Vec<_> = failed.into_iter().filter(|(_, pod)| is_tracked(pod)).collect();
        for (index, pod) in &failed {
            let action = policy::judge(job, pod);
            if action == Action::FailIndex || action != Action::Ignore && pod.view::<Place>().failures >= limit {
                self.failed.insert(*index);
            }
        }
        for (index, pod) in failed {
            if active.contains(&index) || self.completed.contains(&index) || self.failed.contains(&index) {
                continue;
            }
            let known = self.waiting.get(&index).map(|known| all_failures(known));
            if known.is_none_or(|known| all_failures(pod) > known) {
                self.waiting.insert(index, pod.clone());
            }
        }
    }

    /// Whether completions have numbers.
    pub fn is_indexed(&self) -> bool {
        self.total.is_some()
    }

    /// Whether there is such an index.
    pub fn is_valid(&self, index: u32) -> bool {
        self.total.is_some_and(|total| index < total)
    }

    /// Whether a pod has a place that counts.
    pub fn is_place(&self, pod: &Object) -> bool {
        !self.is_indexed() || index_of(pod).is_some_and(|index| self.is_valid(index))
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

    /// The last failure of an index that has no other pod yet.
    pub fn waiting(&self, index: u32) -> Option<&Arc<Object>> {
        self.waiting.get(&index)
    }

    /// Whether these indexes, written as in a status, have all succeeded; and how many of them have.
    pub fn covers(&self, wanted: &str) -> (bool, usize) {
        let wanted = parse(wanted, self.total.unwrap_or(0));
        let there = wanted.intersection(&self.completed).count();
        (there == wanted.len(), there)
    }

    /// What a new pod of an index must say of the failures before it.
    pub fn failures_to_carry(&self, job: &Value, index: u32) -> Vec<(&'static str, u64)> {
        if !self.counts_failures() {
            return Vec::new();
        }
        let Some(last) = self.waiting(index) else { return vec![(FAILURES, 0)] };
        let place = last.view::<Place>();
        let (mut failures, mut ignored) = (place.failures, place.ignored);
        match policy::judge(job, last) {
            Action::Ignore => ignored += 1,
            _ => failures += 1,
        }
        let mut carried = vec![(FAILURES, failures)];
        if ignored > 0 {
            carried.push((IGNORED, ignored));
        }
        carried
    }

    /// The first indexes that have neither ended nor a pod.
    pub fn pending(&self, taken: &BTreeSet<u32>, most: usize) -> Vec<u32> {
        let free = |index: &u32| !taken.contains(index) && !self.completed.contains(index) && !self.failed.contains(index);
        (0..self.total.unwrap_or(0)).filter(free).take(most).collect()
    }

    /// Writes them into a status.
    pub fn write(&self, status: &mut Value) {
        if self.total.is_none() {
            return;
        }
        set(status, &["succeeded"], self.completed.len());
        set(status, &["completedIndexes"], shown(&self.completed));
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
