//! What is counted of requests, events and the work of the control plane. [`render`] writes it down under Kubernetes' names.
//!
//! Core has no clock. How long an answer took is measured by the host: with each answer it is told as what the request is
//! counted ([`Kind`]), and when somebody asks for the metrics it first says what it has measured.
//!
//! <https://kubernetes.io/docs/reference/instrumentation/metrics/>

pub mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::server::ApiServer;

/// The number under which a kind of request is counted; they begin at 0 and have no gaps.
pub type Kind = u32;

/// Upper bounds of the buckets for how long requests take, in microseconds.
pub const DURATION_BOUNDS: [u64; 23] = [
    5_000, 25_000, 50_000, 100_000, 200_000, 400_000, 600_000, 800_000, 1_000_000, 1_250_000, 1_500_000, 2_000_000, 3_000_000,
    4_000_000, 5_000_000, 6_000_000, 8_000_000, 10_000_000, 15_000_000, 20_000_000, 30_000_000, 45_000_000, 60_000_000,
];

/// Those for the sizes of answers, in bytes.
const SIZE_BOUNDS: [u64; 7] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// Those for the sizes of watch events.
const EVENT_BOUNDS: [u64; 8] = [1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072];

/// Those for how long requests wait for their turn, in microseconds.
const WAIT_BOUNDS: [u64; 13] =
    [0, 5_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 15_000_000, 30_000_000];

/// How many denials are kept.
const MAX_DENIED: usize = 64;

/// What the host has measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How long requests took.
    pub durations: Vec<Durations>,
    /// Of its process: names and values, in Prometheus' units.
    pub process: Vec<(String, f64)>,
}

/// How long the requests of one kind took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    /// Which kind.
    pub kind: Kind,
    /// How many were in each bucket of [`DURATION_BOUNDS`], and last how many above.
    pub counts: Vec<u64>,
    /// All of them together, in microseconds.
    pub sum: u64,
}

/// What a request is counted as. Only what is served has a resource here, so that nobody can make labels up.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// In upper case, as kube-apiserver reports it.
    pub verb: &'static str,
    /// API group.
    pub group: object::Name,
    /// API version.
    pub version: object::Name,
    /// Resource.
    pub resource: object::Name,
    /// Subresource that the resource has.
    pub subresource: String,
    /// `resource`, `namespace`, `cluster`, or nothing.
    pub scope: &'static str,
    /// Whether nothing is to change.
    pub dry_run: bool,
}

/// A count per bucket, the last for what is above all bounds.
#[derive(Clone, Debug)]
struct Histogram<const BOUNDS: usize> {
    counts: [u64; BOUNDS],
    above: u64,
    sum: u64,
}

impl<const BOUNDS: usize> Default for Histogram<BOUNDS> {
    fn default() -> Self {
        Histogram { counts: [0; BOUNDS], above: 0, sum: 0 }
    }
}

impl<const BOUNDS: usize> Histogram<BOUNDS> {
    fn observe(&mut self, bounds: &[u64; BOUNDS], value: u64) {
        let at = bounds.partition_point(|bound| *bound < value);
        match self.counts.get_mut(at) {
            Some(count) => *count += 1,
            None => self.above += 1,
        }
        self.sum = self.sum.saturating_add(value);
    }
}

/// What is counted of one kind of request.
#[derive(Debug, Default)]
struct Counted {
    kind: Kind,
    codes: BTreeMap<u16, u64>,
    sizes: Histogram<7>,
}

/// What a controller has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Keys that were given to it.
    pub added: u64,
    /// Those that it had to try again.
    pub retried: u64,
    /// Keys that wait.
    pub depth: u64,
}

/// Counters of flow control for one schema: it and its level.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    dispatched: u64,
    rejected: BTreeMap<&'static str, u64>,
    waits: Histogram<13>,
}

/// Events of watches by group, version and kind.
#[derive(Debug, Default)]
pub(crate) struct Events(BTreeMap<object::GroupVersionKind, (u64, Histogram<8>)>);

impl Events {
    /// Counts an event that goes to so many watches.
    pub(crate) fn count(&mut self, kind: &object::GroupVersionKind, watches: usize, size: usize) {
        if !self.0.contains_key(kind) {
            self.0.insert(kind.clone(), Default::default());
        }
        let Some((count, sizes)) = self.0.get_mut(kind) else { return };
        *count += watches as u64;
        sizes.observe(&EVENT_BOUNDS, size as u64);
    }
}

/// Counters of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: BTreeMap<Labels, Counted>,
    flows: BTreeMap<(Arc<str>, Arc<str>), Flow>,
    /// Writes of the control plane's own parts that were refused: user and code.
    refused: BTreeMap<(String, u16), u64>,
    /// What these parts had no right to, in the words of the refusal.
    denied: BTreeSet<String>,
    work: BTreeMap<&'static str, Work>,
    /// Attempts to place a pod: by the scheduler's name and what came of them.
    attempts: BTreeMap<(String, &'static str), u64>,
    /// Who was believed and who was not.
    pub(crate) authenticated: u64,
    pub(crate) unauthenticated: u64,
    /// Lines of the audit log.
    pub(crate) audit_events: u64,
    measured: Measured,
}

impl Metrics {
    /// Counts a request that was answered with this code and so many bytes.
    pub fn request(&mut self, labels: Labels, code: u16, size: u64) -> Kind {
        let next = Kind::try_from(self.requests.len()).unwrap_or(Kind::MAX);
        let is_read = matches!(labels.verb, "GET" | "LIST");
        let counted = self.requests.entry(labels).or_insert_with(|| Counted { kind: next, ..Counted::default() });
        *counted.codes.entry(code).or_default() += 1;
        if is_read {
            counted.sizes.observe(&SIZE_BOUNDS, size);
        }
        counted.kind
    }

    /// Counts a request that was served after it had waited for so many microseconds.
    pub(crate) fn dispatched(&mut self, schema: &Arc<str>, level: &Arc<str>, waited: u64) {
        let flow = self.flow(schema, level);
        flow.dispatched += 1;
        flow.waits.observe(&WAIT_BOUNDS, waited);
    }

    /// Counts a request that there was no room for.
    pub(crate) fn rejected(&mut self, schema: &Arc<str>, level: &Arc<str>, reason: &'static str) {
        *self.flow(schema, level).rejected.entry(reason).or_default() += 1;
    }

    fn flow(&mut self, schema: &Arc<str>, level: &Arc<str>) -> &mut Flow {
        self.flows.entry((schema.clone(), level.clone())).or_default()
    }

    /// Counts a write of a part of the control plane that was refused.
    pub(crate) fn refused(&mut self, user: &str, code: u16) {
        *self.refused.entry((user.to_owned(), code)).or_default() += 1;
    }
}

impl Metrics {
    /// Keeps what a part of the control plane had no right to: a defect of its role.
    pub(crate) fn denied(&mut self, why: &str) {
        if self.denied.len() < MAX_DENIED {
            self.denied.insert(why.to_owned());
        }
    }
}

impl ApiServer {
    /// What parts of the control plane wanted and had no right to.
    pub fn denials(&self) -> impl Iterator<Item = &str> {
        self.metrics.denied.iter().map(String::as_str)
    }

    /// The host says what it has measured.
    pub fn measured(&mut self, measured: Measured) {
        self.metrics.measured = measured;
    }

    /// A controller has worked on a key.
    pub fn worked(&mut self, controller: &'static str, retried: bool, added: u64, depth: u64) {
        let work = self.metrics.work.entry(controller).or_default();
        work.added = added;
        work.retried += u64::from(retried);
        work.depth = depth;
    }

    /// The scheduler has tried to place a pod: it is `scheduled`, `unschedulable`, or there was an `error`.
    pub fn scheduled(&mut self, profile: &str, result: &'static str) {
        *self.metrics.attempts.entry((profile.to_owned(), result)).or_default() += 1;
    }

    /// Writes of the control plane's own parts that were refused: who wanted them, the code, and how often.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, u16, u64)> {
        self.metrics.refused.iter().map(|((user, code), count)| (user.as_str(), *code, *count))
    }
}

/// The name under which a verb of the API is reported.
pub fn verb(verb: &str, is_apply: bool) -> &'static str {
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if is_apply => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_below_its_bound() {
        let mut histogram = Histogram::<7>::default();
        for value in [0, 1_000, 1_001, 2_000_000_000] {
            histogram.observe(&SIZE_BOUNDS, value);
        }
        assert_eq!((histogram.counts, histogram.above, histogram.sum), ([2, 1, 0, 0, 0, 0, 0], 1, 2_000_002_001));
    }

    #[test]
    fn kinds_are_numbered_without_gaps() {
        let mut metrics = Metrics::default();
        let labels = |verb: &'static str| Labels { verb, ..Labels::default() };
        let kinds = [
            metrics.request(labels("GET"), 200, 1),
            metrics.request(labels("LIST"), 200, 1),
            metrics.request(labels("GET"), 404, 1),
        ];
        assert_eq!(kinds, [0, 1, 0]);
    }
}
