//! The class `Core`: a cluster, and the inputs that wait for its next step.

use cluster::Cluster;
use cluster::wire::{ClientCertificate, Config, Input, Output, Record, Request};
use object::Time;
use wasm_bindgen::prelude::*;

use crate::sink::Sink;

/// A control plane and the inputs for its next step. Every method but `step` only queues.
#[wasm_bindgen]
pub struct Core {
    cluster: Cluster,
    inputs: Vec<Input>,
    restored: Vec<Record>,
}

#[wasm_bindgen]
impl Core {
    /// A cluster set up as `config` says: the JSON form of `cluster::Config`, every field optional.
    #[wasm_bindgen(constructor)]
    pub fn new(config: &str) -> Result<Core, JsError> {
        let config: Config = serde_json::from_str(config)?;
        Ok(Core { cluster: Cluster::new(), inputs: vec![Input::Configure(Box::new(config))], restored: Vec::new() })
    }

    /// An object that the journal holds. Call in the order of revisions, before `start`.
    pub fn restore(&mut self, revision: f64, key: String, value: Vec<u8>) {
        self.restored.push(Record::Put { revision: revision as u64, key, value: value.into() });
    }

    /// Everything is restored; the highest revision ever journaled was `revision`.
    pub fn start(&mut self, revision: f64) {
        if !self.restored.is_empty() {
            self.inputs.push(Input::Restore(std::mem::take(&mut self.restored)));
        }
        self.inputs.push(Input::Start { revision: revision as u64 });
    }

    /// An HTTP request. `headers` are lines `name: value`. `subject` is what a client certificate would say, the user in
    /// the first line and its groups in the others; empty, there is no certificate.
    pub fn request(&mut self, stream: f64, method: String, target: String, headers: &str, body: Vec<u8>, subject: &str) {
        let mut subject = subject.lines().map(str::to_owned);
        let certificate = subject.next().map(|common_name| ClientCertificate { common_name, organizations: subject.collect() });
        let headers = header_pairs(headers);
        let stream = stream as u64;
        self.inputs.push(Input::Request(Request {
            stream,
            method,
            target,
            headers,
            body: body.into(),
            certificate,
            peer: String::new(),
        }));
    }

    /// The client of `stream` went away.
    pub fn closed(&mut self, stream: f64) {
        self.inputs.push(Input::Closed(stream as u64));
    }

    /// Runs one step at `now` (microseconds, never backwards) and hands its outputs to `sink`, in order. Returns when
    /// to step again at the latest (`now` if work is left over), or `undefined` if only an input can make work.
    pub fn step(&mut self, now: f64, sink: &Sink) -> Option<f64> {
        let result = self.cluster.step(Time(now as u64), std::mem::take(&mut self.inputs));
        for output in result.outputs {
            match output {
                // A tab has no network of its own.
                Output::Call { call, outgoing } => {
                    let reply = Err(format!("{} cannot be reached from a browser", outgoing.upstream.host));
                    self.inputs.push(Input::Answered { call, reply });
                }
                other => sink.take(other),
            }
        }
        if self.inputs.is_empty() { result.wake_at.map(|at| at.0 as f64) } else { Some(now) }
    }
}

/// Headers from lines `name: value`.
pub(crate) fn header_pairs(lines: &str) -> Vec<(String, String)> {
    lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}
