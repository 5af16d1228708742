//! The node's own objects: the Node, and the Lease that says it lives.

use std::time::Duration;

use hyper::Method;
use kubelet::Kubelet;
use kubelet::node::{LEASE_NAMESPACE, lease, lease_renewal, object, status};
use object::value::str_at;
use object::{Time, Value, json};

use super::now;
use crate::client::{Client, Error};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// The API may come up after the node.
const PATIENCE: Duration = Duration::from_millis(100);

/// Makes the Node what it is now and returns it.
pub async fn register(client: &Client, kubelet: &Kubelet) -> Value {
    loop {
        match try_register(client, kubelet).await {
            Ok(node) => return node,
            Err(error) => eprintln!("node: cannot register yet: {error}"),
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

async fn try_register(client: &Client, kubelet: &Kubelet) -> Result<Value, Error> {
    let wanted = object(kubelet, now());
    let target = format!("/api/v1/nodes/{}", kubelet.config().node_name);
    match client.json(Method::POST, "/api/v1/nodes", &wanted).await {
        Err(error) if error.code() == 409 => {
            let labels = json!({"metadata": {"labels": wanted["metadata"]["labels"]}});
            client.json_as(Method::PATCH, &target, MERGE, &labels).await?;
        }
        other => drop(other?),
    }
    client.json_as(Method::PATCH, &format!("{target}/status"), STRATEGIC, &json!({"status": wanted["status"]})).await
}

/// Reports the status again.
pub async fn report(client: Client, node: String, status: Value) -> Result<(), Error> {
    let target = format!("/api/v1/nodes/{node}/status");
    client.json_as(Method::PATCH, &target, STRATEGIC, &json!({"status": status})).await.map(drop)
}

/// The status to report.
pub fn status_now(kubelet: &Kubelet, ready_since: Time) -> Value {
    status(kubelet, now(), ready_since)
}

/// Renews the Lease; makes it if it is not there.
pub async fn renew(client: Client, config: kubelet::io::Config, node_uid: String) -> Result<(), Error> {
    let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/leases");
    let target = format!("{collection}/{}", config.node_name);
    match client.json_as(Method::PATCH, &target, MERGE, &lease_renewal(now())).await {
        Err(error) if error.code() == 404 => {
            client.json(Method::POST, &collection, &lease(&config, now(), &node_uid)).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// The identity of a Node object.
pub fn uid(node: &Value) -> String {
    str_at(node, &["metadata", "uid"]).to_owned()
}
