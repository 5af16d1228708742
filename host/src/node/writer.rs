//! Writes of pods: each pod's in order, different pods' side by side. A newer status makes an older one that still waits
//! superfluous.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use kubelet::Input;
use kubelet::io::PodRef;
use kubelet::pod::PodUid;
use object::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::client::{Client, Error};

/// What is to be written.
pub enum Write {
    /// A status.
    Status(PodRef, Value),
    /// The pod's end.
    Delete(PodRef),
}

/// Writes pods.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    facts: UnboundedSender<Input>,
    /// A pod that is listed here has a task that writes; the queue holds what that finds next.
    queues: Arc<Mutex<BTreeMap<PodUid, VecDeque<Write>>>>,
}

impl Writer {
    /// A writer that reports failures to `facts`.
    pub fn new(client: Client, facts: UnboundedSender<Input>) -> Self {
        Writer { client, facts, queues: Arc::default() }
    }

    /// Writes as soon as what came before about the same pod is written.
    pub fn write(&self, write: Write) {
        let uid = match &write {
            Write::Status(pod, _) | Write::Delete(pod) => pod.uid.clone(),
        };
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = !queues.contains_key(&uid);
        let queue = queues.entry(uid.clone()).or_default();
        if matches!((&write, queue.back()), (Write::Status(..), Some(Write::Status(..)))) {
            queue.pop_back();
        }
        queue.push_back(write);
        if idle {
            tokio::spawn(self.clone().drain(uid));
        }
    }

    async fn drain(self, uid: PodUid) {
        while let Some(write) = self.next(&uid) {
            let (failure, result) = match write {
                Write::Status(pod, patch) => (Input::StatusFailed(uid.clone()), self.status(&pod, &patch).await),
                Write::Delete(pod) => (Input::DeleteFailed(uid.clone()), self.delete(&pod).await),
            };
            match result {
                Ok(()) => {}
                // The pod is gone, or another has its name: its watch says so too.
                Err(error) if matches!(error.code(), 404 | 409) => {}
                Err(error) => {
                    eprintln!("node: {error}");
                    self.facts.send(failure).ok();
                }
            }
        }
    }

    fn next(&self, uid: &PodUid) -> Option<Write> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let write = queues.get_mut(uid).and_then(VecDeque::pop_front);
        if write.is_none() {
            queues.remove(uid);
        }
        write
    }

    async fn status(&self, pod: &PodRef, patch: &Value) -> Result<(), Error> {
        let target = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
        self.client.json_as(Method::PATCH, &target, "application/strategic-merge-patch+json", patch).await.map(drop)
    }

    async fn delete(&self, pod: &PodRef) -> Result<(), Error> {
        let target = format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name);
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": &*pod.uid},
        });
        self.client.json(Method::DELETE, &target, &options).await.map(drop)
    }
}
