//! Events about pods. Repetitions count up instead of filling the list, and nobody waits for one to be written.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Method;
use kubelet::io::PodEvent;
use object::{Time, Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::now;
use crate::client::Client;

/// Events that may wait; more are dropped, as in Kubernetes.
const WAITING: usize = 1000;
/// Repetitions that are remembered, and for how many seconds.
const REMEMBERED: usize = 4096;
const REPEAT_SECONDS: u64 = 600;

/// Writes events.
#[derive(Clone)]
pub struct Events {
    queue: Sender<(Time, PodEvent)>,
}

impl Events {
    /// A recorder for the kubelet of this node.
    pub fn new(client: Client, node: &str) -> Self {
        let (queue, waiting) = channel(WAITING);
        tokio::spawn(write_all(client, node.to_owned(), waiting));
        Events { queue }
    }

    /// Records an event.
    pub fn record(&self, event: PodEvent) {
        // A full queue means that the API is away or slow; events are not worth waiting for.
        self.queue.try_send((now(), event)).ok();
    }
}

type Key = (Arc<str>, String, &'static str, String);

struct Written {
    name: String,
    count: u64,
    last: Time,
}

async fn write_all(client: Client, node: String, mut waiting: Receiver<(Time, PodEvent)>) {
    let mut written: BTreeMap<Key, Written> = BTreeMap::new();
    let mut serial = now().millis_since(Time::from_millis(0));
    while let Some((at, event)) = waiting.recv().await {
        let key = (event.pod.uid.clone(), event.field_path.clone(), event.reason, event.message.clone());
        let collection = format!("/api/v1/namespaces/{}/events", event.pod.namespace);
        if let Some(old) = written.get_mut(&key)
            && at.secs_since(old.last) < REPEAT_SECONDS
        {
            let patch = json!({"count": old.count + 1, "lastTimestamp": at.rfc3339()});
            let target = format!("{collection}/{}", old.name);
            if client.json_as(Method::PATCH, &target, "application/merge-patch+json", &patch).await.is_ok() {
                (old.count, old.last) = (old.count + 1, at);
                continue;
            }
        }
        serial += 1;
        let name = format!("{}.{serial:016x}", event.pod.name);
        if client.json(Method::POST, &collection, &object(&event, &name, &node, at)).await.is_ok() {
            if written.len() >= REMEMBERED {
                written.clear();
            }
            written.insert(key, Written { name, count: 1, last: at });
        }
    }
}

fn object(event: &PodEvent, name: &str, node: &str, at: Time) -> Value {
    let mut involved = json!({
        "apiVersion": "v1", "kind": "Pod", "namespace": event.pod.namespace, "name": event.pod.name, "uid": &*event.pod.uid,
    });
    if !event.field_path.is_empty() {
        involved["fieldPath"] = event.field_path.as_str().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": event.pod.namespace, "name": name},
        "involvedObject": involved,
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "message": event.message,
        "source": {"component": "kubelet", "host": node},
        "reportingComponent": "kubelet",
        "reportingInstance": node,
        "firstTimestamp": at.rfc3339(),
        "lastTimestamp": at.rfc3339(),
        "count": 1,
    })
}
