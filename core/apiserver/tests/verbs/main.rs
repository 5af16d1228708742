//! The API's verbs as a client outside sees them: requests in, answers and streams out. One module per verb.

mod admission;
mod aggregation;
mod audit;
mod conformance;
mod connect;
mod coverage;
mod create;
mod custom;
mod delete;
mod documents;
mod flow;
mod health;
mod list;
mod metrics;
mod nodes;
mod nonsense;
mod operators;
mod policies;
mod watch;
mod webhooks;

use object::{Time, Value};
use wasmkube_apiserver::message::{Output, Request, StaticToken, StreamId};
use wasmkube_apiserver::{ApiServer, Settings};

/// A server, and the time and streams of its only client.
struct Server {
    api: ApiServer,
    now: Time,
    stream: StreamId,
}

/// Status code and body.
type Answer = (u16, Value);

impl Server {
    fn new() -> Self {
        let mut server = Server::before_start();
        server.api.start(server.now, 0);
        server.api.take_outputs();
        server
    }

    fn before_start() -> Self {
        let token = StaticToken {
            token: "t".into(),
            user: "admin".into(),
            groups: vec!["system:masters".into()],
            ..StaticToken::default()
        };
        let api = ApiServer::new(Settings { tokens: vec![token], history_limit: 100, ..Settings::default() });
        Server { api, now: Time(1_700_000_000_000_000), stream: 0 }
    }

    /// Sends a request; returns everything that comes of it, but for what is only to be counted.
    fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Output> {
        let mut outputs = self.send_raw(method, target, headers, body);
        outputs.retain(|output| !matches!(output, Output::Served { .. }));
        outputs
    }

    /// Sends a request; returns everything that comes of it.
    fn send_raw(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<Output> {
        self.hand_in(method, target, headers, body);
        self.api.take_outputs()
    }

    /// Hands over a request; others may come in the same step.
    fn hand_in(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.stream += 1;
        let mut headers: Vec<_> = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        headers.push(("authorization".to_owned(), "Bearer t".to_owned()));
        let request = Request {
            stream: self.stream,
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: body.to_vec().into(),
            certificate: None,
            peer: String::new(),
        };
        self.api.handle(self.now, request);
    }

    /// Sends JSON; expects one whole answer.
    fn ask(&mut self, method: &str, target: &str, body: Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let outputs = self.send(method, target, &[("content-type", "application/json")], &body);
        answer(&outputs)
    }

    fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, Value::Null)
    }

    fn post(&mut self, target: &str, body: Value) -> Answer {
        self.ask("POST", target, body)
    }
}

fn answer(outputs: &[Output]) -> Answer {
    let found = outputs.iter().find_map(|output| match output {
        Output::Respond { status, body, .. } => Some((*status, serde_json::from_slice(body).unwrap_or(Value::Null))),
        _ => None,
    });
    found.expect("the request is answered at once")
}

/// Event types and names of all streamed pieces.
fn events(outputs: &[Output]) -> Vec<(String, String)> {
    let lines = outputs.iter().filter_map(|o| if let Output::Data { bytes, .. } = o { Some(bytes) } else { None });
    let lines = lines.flat_map(|bytes| bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()));
    lines
        .map(|line| {
            let event: Value = serde_json::from_slice(line).expect("an event is JSON");
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
        })
        .collect()
}

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

fn configmap(name: &str) -> Value {
    object::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"name": name}}, "data": {"k": "v"}})
}
