//! Recorded lists of inputs, and what a cluster makes of them: the proof that core is the same everywhere.
//!
//! A trace is a `Vec<StepInput>` in the wire encoding. [`run`] feeds it to a new cluster and returns every output, encoded;
//! native core, the WASI component and the browser must all return the same bytes for [`demo_trace`].

use object::{Time, Value, json};

use crate::cluster::Cluster;
use crate::driver::EPOCH;
use crate::wire::{ClientCertificate, Config, Input, Request, StepInput, encode};

/// The outputs of every step of a trace, each encoded and preceded by its length (8 bytes, little endian).
pub fn run(trace: &[StepInput]) -> Vec<u8> {
    let mut cluster = Cluster::new();
    let mut out = Vec::new();
    for step in trace {
        let bytes = encode(&cluster.step(step.now, step.inputs.clone()));
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(&bytes);
    }
    out
}

/// A short name for bytes, to compare and to print: FNV-1a, 64 bits, in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// A minute of a small cluster with three simulated nodes: a Deployment with its Service is created, watched, changed, scaled
/// and deleted; pods crash, do not fit and cannot be pulled; some requests are wrong.
pub fn demo_trace() -> Vec<StepInput> {
    let mut trace = Trace { steps: Vec::new(), now: EPOCH, next_stream: 1 };
    let config = Config { seed: 42, simulated_nodes: 3, ..Config::default() };
    trace.push(vec![Input::Configure(Box::new(config)), Input::Start { revision: 0 }]);
    trace.pass(2_000);
    trace.send("GET", "/api/v1/namespaces/default/pods?watch=true&resourceVersion=0", "", &Value::Null);
    trace.send("GET", "/apis/apps/v1/deployments?watch=true", "", &Value::Null);
    trace.send("POST", "/apis/apps/v1/namespaces/default/deployments", JSON, &deployment());
    trace.send("POST", "/api/v1/namespaces/default/services", JSON, &service());
    trace.pass(5_000);
    for (name, image, command, cpu) in [
        ("crashes", "busybox:1", "false", "10m"),
        ("too-big", "busybox:1", "true", "100"),
        ("no-image", "registry.invalid/none", "true", "10m"),
        ("once", "busybox:1", "echo done", "10m"),
    ] {
        trace.send("POST", "/api/v1/namespaces/default/pods", JSON, &pod(name, image, command, cpu));
    }
    trace.pass(10_000);
    let web = "/apis/apps/v1/namespaces/default/deployments/web";
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:1.29"}]}}}});
    trace.send("PATCH", web, "application/strategic-merge-patch+json", &image);
    trace.pass(10_000);
    trace.send("PATCH", web, "application/merge-patch+json", &json!({"spec": {"replicas": 2}}));
    trace.send("PATCH", web, "application/json-patch+json", &json!([{"op": "test", "path": "/spec/replicas", "value": 9}]));
    trace.send("POST", "/apis/apps/v1/namespaces/default/deployments", JSON, &deployment());
    trace.send("GET", "/api/v1/pods?limit=2", "", &Value::Null);
    trace.send("GET", "/api/v1/nodes/absent", "", &Value::Null);
    trace.send("GET", "/api/v1/namespaces/default/pods/once/log", "", &Value::Null);
    trace.pass(10_000);
    trace.send("DELETE", web, "", &Value::Null);
    trace.pass(10_000);
    trace.push(vec![Input::Closed(1)]);
    trace.pass(13_000);
    trace.steps
}

const JSON: &str = "application/json";

/// How far apart the steps of a trace are while nothing is sent. Fixed, so that a trace is the same list whatever core does.
const TICK_MILLIS: u64 = 50;

struct Trace {
    steps: Vec<StepInput>,
    now: Time,
    next_stream: u64,
}

impl Trace {
    fn push(&mut self, inputs: Vec<Input>) {
        self.steps.push(StepInput { now: self.now, inputs });
    }

    fn pass(&mut self, millis: u64) {
        for _ in 0..millis / TICK_MILLIS {
            self.now = self.now.plus_millis(TICK_MILLIS);
            self.push(Vec::new());
        }
    }

    fn send(&mut self, method: &str, target: &str, content_type: &str, body: &Value) {
        let stream = self.next_stream;
        self.next_stream += 1;
        let headers =
            if content_type.is_empty() { Vec::new() } else { vec![("content-type".to_owned(), content_type.to_owned())] };
        self.push(vec![Input::Request(Request {
            stream,
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: if body.is_null() { String::new() } else { body.to_string() }.into(),
            certificate: Some(ClientCertificate {
                common_name: "admin".to_owned(),
                organizations: vec!["system:masters".to_owned()],
            }),
            peer: String::new(),
        })]);
    }
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 4, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "web", "image": "nginx:1.28", "ports": [{"containerPort": 80}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 2},
                }]},
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    })
}

fn pod(name: &str, image: &str, command: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "OnFailure",
            "containers": [{
                "name": "c", "image": image, "command": ["sh", "-c", command], "resources": {"requests": {"cpu": cpu}},
            }],
        },
    })
}
