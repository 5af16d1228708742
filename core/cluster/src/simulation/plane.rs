//! The control plane under test, with its journal: what a host does with a step's outputs, and what a crash leaves.

use std::collections::{BTreeMap, VecDeque};

use object::{Rng, Time};

use crate::wire::{Config, Input, Output, Record};
use crate::{Cluster, driver};

/// What a step had to say, in the order in which it may leave.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<Record>,
    outputs: Vec<Output>,
}

/// So many steps may wait for the journal before the control plane waits too, as in the host.
const MAX_WAITING_STEPS: usize = 64;

/// What was durable at some moment.
#[derive(Clone, Debug, Default)]
pub struct Durable {
    /// By key.
    pub records: BTreeMap<String, Record>,
    /// The highest revision.
    pub revision: u64,
}

impl Durable {
    /// Makes a record durable.
    pub fn append(&mut self, record: Record) {
        self.revision = self.revision.max(record.revision());
        match &record {
            Record::Put { key, .. } => drop(self.records.insert(key.clone(), record)),
            Record::Delete { key, .. } => drop(self.records.remove(key)),
        }
    }
}

/// A control plane and its journal.
pub struct Plane {
    cluster: Option<Cluster>,
    config: Config,
    /// What a crash leaves.
    pub durable: Durable,
    waiting: VecDeque<Batch>,
    /// So many of those that wait are being written, until then.
    writing: Option<(Time, usize)>,
    /// Milliseconds that a transaction takes while the journal is slow, and until when it is.
    slow: (u64, Time),
    /// How far its clock is ahead of the true time, in microseconds.
    ahead: u64,
    last: Time,
    wake_at: Option<Time>,
    /// When the next step can begin: steps take time.
    free_at: Time,
    inputs: Vec<Input>,
    /// The journal says that it has written what it has not.
    pub forgetful: bool,
    rng: Rng,
}

impl Plane {
    /// A control plane that goes on from what is durable.
    pub fn new(config: Config, durable: Durable, seed: u64) -> Self {
        Plane {
            cluster: None,
            config,
            durable,
            waiting: VecDeque::new(),
            writing: None,
            slow: (0, Time(0)),
            ahead: 0,
            last: driver::EPOCH,
            wake_at: None,
            free_at: Time(0),
            inputs: Vec::new(),
            forgetful: false,
            rng: Rng::new(seed),
        }
    }

    /// The cluster, if it is alive.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Its clock.
    pub fn clock(&self, now: Time) -> Time {
        Time(now.0 + self.ahead).max(self.last)
    }

    /// Its clock jumps forwards.
    pub fn jump(&mut self, seconds: u64) {
        self.ahead += seconds * 1_000_000;
    }

    /// From now on the journal is slow.
    pub fn slow_down(&mut self, latency: u64, until: Time) {
        self.slow = (latency, until);
    }

    /// Hands over a fact; it is taken in at the next step.
    pub fn push(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Everything in memory is gone. What was being written may have become durable.
    pub fn crash(&mut self, durable: bool) {
        self.cluster = None;
        self.inputs.clear();
        if let Some((_, count)) = self.writing.take().filter(|_| durable) {
            self.commit(count);
        }
        self.waiting.clear();
    }

    /// Comes back from the journal.
    pub fn start(&mut self, now: Time) {
        let mut cluster = Cluster::new();
        let records = self.durable.records.values().cloned().collect();
        let inputs = vec![
            Input::Configure(Box::new(self.config.clone())),
            Input::Restore(records),
            Input::Start { revision: self.durable.revision },
        ];
        self.last = self.clock(now);
        let out = cluster.step(self.last, inputs);
        self.wake_at = out.wake_at;
        self.cluster = Some(cluster);
        self.keep(out.outputs);
        self.free_at = now;
    }

    /// When there is something to do, in true time.
    pub fn wake(&self, now: Time) -> Option<Time> {
        let written = self.writing.map(|(at, _)| at);
        let step = self.cluster.as_ref().filter(|_| self.waiting.len() < MAX_WAITING_STEPS).and_then(|_| {
            let due = if self.inputs.is_empty() { Time(self.wake_at?.0.saturating_sub(self.ahead)) } else { now };
            Some(due.max(self.free_at))
        });
        match (written, step) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Does what is due; returns what leaves, in order, and whether a step was taken.
    pub fn run(&mut self, now: Time) -> (Vec<Output>, bool) {
        let mut leaving = Vec::new();
        if let Some((_, count)) = self.writing.filter(|(at, _)| *at <= now) {
            self.writing = None;
            leaving = self.commit(count);
        }
        let due = self.wake_at.is_some_and(|at| at <= self.clock(now)) || !self.inputs.is_empty();
        let mut stepped = false;
        if due
            && self.free_at <= now
            && self.waiting.len() < MAX_WAITING_STEPS
            && let Some(cluster) = &mut self.cluster
        {
            self.last = Time(now.0 + self.ahead).max(self.last);
            let out = cluster.step(self.last, std::mem::take(&mut self.inputs));
            self.wake_at = out.wake_at;
            self.keep(out.outputs);
            self.free_at = Time(now.0 + 50 + self.rng.below(1_500));
            stepped = true;
        }
        if self.writing.is_none() && !self.waiting.is_empty() {
            if self.waiting.iter().all(|batch| batch.records.is_empty()) {
                leaving.extend(self.commit(self.waiting.len()));
            } else {
                let slow = if now < self.slow.1 { self.slow.0 * 1_000 } else { 0 };
                let took = 100 + self.rng.below(3_000) + self.rng.below(slow + 1);
                self.writing = Some((Time(now.0 + took), self.waiting.len()));
            }
        }
        (leaving, stepped)
    }

    fn keep(&mut self, outputs: Vec<Output>) {
        let mut batch = Batch::default();
        for output in outputs {
            match output {
                Output::Journal(record) => batch.records.push(record),
                other => batch.outputs.push(other),
            }
        }
        if !batch.records.is_empty() || !batch.outputs.is_empty() {
            self.waiting.push_back(batch);
        }
    }

    /// Makes the records of so many steps durable; what they had to say may leave.
    fn commit(&mut self, count: usize) -> Vec<Output> {
        let mut leaving = Vec::new();
        for batch in self.waiting.drain(..count.min(self.waiting.len())) {
            for (i, record) in batch.records.into_iter().enumerate() {
                if self.forgetful && i == 0 && self.rng.below(4) == 0 {
                    self.durable.revision = record.revision();
                } else {
                    self.durable.append(record);
                }
            }
            leaving.extend(batch.outputs);
        }
        leaving
    }
}
