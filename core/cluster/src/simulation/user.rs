//! Users: each operation is tried until it is answered, as kubectl in a loop would.

use std::collections::BTreeMap;

use object::value::{list_at, str_at};
use object::{Time, Value, json};

use super::http::{JSON, MERGE, Outbox, Reply};
use super::script::Action;

/// How long is waited before an operation is tried again.
const RETRY_MILLIS: u64 = 900;
/// How often an operation is tried.
const MAX_ATTEMPTS: u32 = 30;

/// Everybody who uses the cluster.
#[derive(Default)]
pub struct Users {
    /// What they want to send.
    pub out: Outbox,
    open: BTreeMap<u64, Operation>,
    waiting: BTreeMap<(Time, u64), Operation>,
    sequence: u64,
    /// Answers to writes: so many were done.
    pub done: u64,
    /// So many were refused.
    pub refused: u64,
    /// So many were tried too often.
    pub given_up: u64,
    /// Collected for whoever looks into a run: what was refused and why.
    pub refusals: Vec<String>,
}

#[derive(Clone, Debug)]
struct Operation {
    action: Action,
    attempts: u32,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    First,
    /// A pod was chosen.
    Chosen {
        name: String,
        uid: String,
    },
}

impl Users {
    /// Begins an operation.
    pub fn begin(&mut self, action: Action) {
        self.attempt(Operation { action, attempts: 0, stage: Stage::First });
    }

    /// Whether anything is still going on.
    pub fn busy(&self) -> bool {
        !self.open.is_empty() || !self.waiting.is_empty()
    }

    /// When something is to be tried again.
    pub fn wake(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Tries again what is due.
    pub fn run(&mut self, now: Time) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let operation = entry.remove();
            self.attempt(operation);
        }
    }

    /// Takes an answer.
    pub fn reply(&mut self, now: Time, id: u64, reply: &Reply) {
        let Some(mut operation) = self.open.remove(&id) else { return };
        let (status, body) = reply.json();
        let choosing = matches!(operation.action, Action::Evict { .. } | Action::DeletePod { .. })
            && matches!(operation.stage, Stage::First);
        match status {
            200..300 if choosing => {
                let (Action::Evict { pick, .. } | Action::DeletePod { pick, .. }) = operation.action else { return };
                let pods = list_at(&body, &["items"]);
                if let Some(pod) = pods.get(pick as usize % pods.len().max(1)) {
                    let name = str_at(pod, &["metadata", "name"]).to_owned();
                    operation.stage = Stage::Chosen { name, uid: str_at(pod, &["metadata", "uid"]).to_owned() };
                    self.attempt(operation);
                }
            }
            200..300 => self.done += 1,
            0 | 429 | 500.. => self.later(now, operation),
            409 if matches!(operation.action, Action::Patch { .. }) => self.later(now, operation),
            // Made by an attempt whose answer was lost, or gone already.
            _ if operation.attempts > 1 && matches!(status, 404 | 409) => self.done += 1,
            _ => {
                self.refused += 1;
                self.refusals.push(str_at(&body, &["message"]).to_owned());
            }
        }
    }

    fn later(&mut self, now: Time, operation: Operation) {
        if operation.attempts >= MAX_ATTEMPTS {
            self.given_up += 1;
            return;
        }
        self.sequence += 1;
        self.waiting.insert((now.plus_millis(RETRY_MILLIS), self.sequence), operation);
    }

    fn attempt(&mut self, mut operation: Operation) {
        operation.attempts += 1;
        let out = &mut self.out;
        let id = match (&operation.action, &operation.stage) {
            (Action::Create { path, object }, _) => out.send("POST", path.clone(), JSON, object),
            (Action::Patch { path, patch }, _) => out.send("PATCH", path.clone(), MERGE, patch),
            (Action::Delete { path, propagation }, _) => {
                let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
                out.send("DELETE", path.clone(), JSON, &options)
            }
            (Action::Evict { namespace, .. } | Action::DeletePod { namespace, .. }, Stage::First) => {
                out.get(format!("/api/v1/namespaces/{namespace}/pods"))
            }
            (Action::Evict { namespace, .. }, Stage::Chosen { name, uid }) => {
                let eviction = json!({
                    "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace},
                    "deleteOptions": {"preconditions": {"uid": uid}},
                });
                out.send("POST", format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction"), JSON, &eviction)
            }
            (Action::DeletePod { namespace, .. }, Stage::Chosen { name, uid }) => {
                let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
                out.send("DELETE", format!("/api/v1/namespaces/{namespace}/pods/{name}"), JSON, &options)
            }
            _ => return,
        };
        self.open.insert(id, operation);
    }
}

/// The path below which a resource's objects are, in a namespace or (with an empty one) in the cluster.
pub fn collection(version: &str, namespace: &str, plural: &str) -> String {
    let root = if version.contains('/') { "/apis" } else { "/api" };
    if namespace.is_empty() {
        format!("{root}/{version}/{plural}")
    } else {
        format!("{root}/{version}/namespaces/{namespace}/{plural}")
    }
}

/// An object's kind and names, for messages.
pub fn named(object: &Value) -> String {
    let text = |path: &[&str]| str_at(object, path).to_owned();
    format!("{} {}/{}", text(&["kind"]), text(&["metadata", "namespace"]), text(&["metadata", "name"]))
}
