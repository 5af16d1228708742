//! Drives a cluster without a host: virtual time, requests with their answers, watches, crashes. For tests, examples and
//! traces; what it does outside is what any driver must do.
//!
//! ```
//! use wasmkube_cluster::{Config, driver::Driver};
//! let mut cluster = Driver::start(Config { simulated_nodes: 1, ..Config::default() });
//! cluster.settle(1_000);
//! let node = cluster.get("/api/v1/nodes/sim-0001");
//! assert_eq!(node["kind"], "Node");
//! ```

use std::collections::BTreeMap;

use object::{Bytes, Time, Value};

use crate::cluster::Cluster;
use crate::wire::{CallId, ClientCertificate, Config, Input, Outgoing, Output, Record, Reply, Request, StepInput, StreamId};

/// Where virtual time begins: 2026-01-01T00:00:00Z.
pub const EPOCH: Time = Time(1_767_225_600_000_000);

/// So many steps without time passing mean that something turns in circles.
const MAX_IDLE_STEPS: u32 = 1_000_000;

/// A cluster, its clock and its disk.
pub struct Driver {
    cluster: Cluster,
    config: Config,
    now: Time,
    wake_at: Option<Time>,
    journal: Vec<Record>,
    next_stream: StreamId,
    answers: BTreeMap<StreamId, Answer>,
    trace: Option<Vec<StepInput>>,
    proxied: Vec<Output>,
    calls: Vec<(CallId, Outgoing)>,
}

/// What a stream has received.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// HTTP status; 0 as long as there is none.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body so far.
    pub body: Vec<u8>,
    /// Whether it is complete.
    pub ended: bool,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The lines of the body as JSON: the events of a watch.
    pub fn events(&self) -> Vec<Value> {
        self.body.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

impl Driver {
    /// A new cluster, started at [`EPOCH`].
    pub fn start(config: Config) -> Self {
        let mut driver = Driver {
            cluster: Cluster::new(),
            config: config.clone(),
            now: EPOCH,
            wake_at: None,
            journal: Vec::new(),
            next_stream: 1,
            answers: BTreeMap::new(),
            trace: None,
            proxied: Vec::new(),
            calls: Vec::new(),
        };
        driver.step(vec![Input::Configure(Box::new(config)), Input::Start { revision: 0 }]);
        driver
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The cluster, to look into.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Everything that was made durable, in order.
    pub fn journal(&self) -> &[Record] {
        &self.journal
    }

    /// Wishes for a kubelet outside, which nobody here fulfils.
    pub fn proxied(&self) -> &[Output] {
        &self.proxied
    }

    /// Questions to servers outside that nobody has answered with [`Driver::reply`].
    pub fn take_calls(&mut self) -> Vec<(CallId, Outgoing)> {
        std::mem::take(&mut self.calls)
    }

    /// Gives the control plane what came of a question.
    pub fn reply(&mut self, call: CallId, reply: Reply) {
        self.step(vec![Input::Answered { call, reply }]);
    }

    /// From now on keeps what goes into the cluster.
    pub fn record(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// What went into the cluster since [`Driver::record`].
    pub fn take_trace(&mut self) -> Vec<StepInput> {
        self.trace.take().unwrap_or_default()
    }

    /// One step, now.
    pub fn step(&mut self, inputs: Vec<Input>) {
        if let Some(trace) = &mut self.trace {
            trace.push(StepInput { now: self.now, inputs: inputs.clone() });
        }
        let out = self.cluster.step(self.now, inputs);
        self.wake_at = out.wake_at;
        for output in out.outputs {
            self.take(output);
        }
    }

    /// Steps until nothing is left to do without time passing.
    pub fn settle_now(&mut self) {
        for _ in 0..MAX_IDLE_STEPS {
            if self.wake_at.is_none_or(|at| at > self.now) {
                return;
            }
            self.step(Vec::new());
        }
        panic!("the cluster does not come to rest");
    }

    /// Lets `millis` pass, with a step at each time that the cluster asks for.
    pub fn settle(&mut self, millis: u64) {
        let end = self.now.plus_millis(millis);
        self.settle_now();
        while let Some(at) = self.wake_at.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step(Vec::new());
            self.settle_now();
        }
        self.now = end;
    }

    /// Lets time pass until `done` holds, for at most `millis`; says whether it did.
    pub fn settle_until(&mut self, millis: u64, mut done: impl FnMut(&mut Driver) -> bool) -> bool {
        let end = self.now.plus_millis(millis);
        loop {
            self.settle_now();
            if done(self) {
                return true;
            }
            match self.wake_at.filter(|at| *at <= end) {
                Some(at) => self.now = self.now.max(at),
                None => return false,
            }
            self.step(Vec::new());
        }
    }

    /// Sends a request as `system:masters` and steps once; the answer is in [`Driver::answer`].
    pub fn send(&mut self, method: &str, target: &str, content_type: &str, body: impl Into<Bytes>) -> StreamId {
        let headers = vec![("content-type".to_owned(), content_type.to_owned()), ("user-agent".to_owned(), "driver".to_owned())];
        self.send_with(method, target, headers, body)
    }

    /// As [`Driver::send`], with any headers (names in lower case).
    pub fn send_with(&mut self, method: &str, target: &str, headers: Vec<(String, String)>, body: impl Into<Bytes>) -> StreamId {
        let stream = self.next_stream;
        self.next_stream += 1;
        self.step(vec![Input::Request(Request {
            stream,
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: body.into(),
            certificate: Some(ClientCertificate {
                common_name: "admin".to_owned(),
                organizations: vec!["system:masters".to_owned()],
            }),
            peer: String::new(),
        })]);
        stream
    }

    /// What a stream has received so far.
    pub fn answer(&self, stream: StreamId) -> Answer {
        self.answers.get(&stream).cloned().unwrap_or_default()
    }

    /// Ends a stream from the client's side.
    pub fn close(&mut self, stream: StreamId) {
        self.answers.remove(&stream);
        self.step(vec![Input::Closed(stream)]);
    }

    /// Sends a request with a JSON body and returns the whole answer.
    pub fn request(&mut self, method: &str, target: &str, body: &Value) -> Answer {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let stream = self.send(method, target, kind, body);
        self.answers.remove(&stream).unwrap_or_default()
    }

    /// GET, as JSON.
    pub fn get(&mut self, target: &str) -> Value {
        self.request("GET", target, &Value::Null).json()
    }

    /// POST; what is refused panics with the reason.
    pub fn create(&mut self, target: &str, object: &Value) -> Value {
        let answer = self.request("POST", target, object);
        assert!(answer.status < 300, "POST {target}: {}", answer.text());
        answer.json()
    }

    /// Loses everything but the journal, and starts again from it.
    pub fn crash(&mut self) {
        let revision = self.journal.iter().map(Record::revision).max().unwrap_or(0);
        let mut last: BTreeMap<String, Record> = BTreeMap::new();
        for record in &self.journal {
            match record {
                Record::Put { key, .. } => drop(last.insert(key.clone(), record.clone())),
                Record::Delete { key, .. } => drop(last.remove(key)),
            }
        }
        let mut records: Vec<Record> = last.into_values().collect();
        records.sort_by_key(Record::revision);
        self.cluster = Cluster::new();
        self.answers.clear();
        let config = self.config.clone();
        self.step(vec![Input::Configure(Box::new(config)), Input::Restore(records), Input::Start { revision }]);
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Journal(record) => self.journal.push(record),
            Output::Audit(_) | Output::Served { .. } => {}
            Output::Respond { stream, status, headers, body } => {
                self.answers.insert(stream, Answer { status, headers, body: body.to_vec(), ended: true });
            }
            Output::Open { stream, status, headers } => {
                self.answers.insert(stream, Answer { status, headers, ..Answer::default() });
            }
            Output::Data { streams, bytes } => {
                for stream in streams {
                    if let Some(answer) = self.answers.get_mut(&stream) {
                        answer.body.extend_from_slice(&bytes);
                    }
                }
            }
            Output::End(stream) => {
                if let Some(answer) = self.answers.get_mut(&stream) {
                    answer.ended = true;
                }
            }
            Output::Call { call, outgoing } => self.calls.push((call, outgoing)),
            elsewhere @ Output::Forward { .. } => self.proxied.push(elsewhere),
        }
    }
}
