//! The node itself in the API: registration, status, and the Lease that says it lives.

use std::collections::BTreeMap;

use object::{Time, Value, json};

use crate::io::Config;
use crate::kubelet::Kubelet;
use crate::pod::Quantities;

/// Seconds for which a Lease says that the node lives.
pub const LEASE_SECONDS: u32 = 40;
/// How often the Lease is renewed.
pub const LEASE_RENEW_SECONDS: u64 = 10;
/// How often an unchanged status is reported.
pub const STATUS_REPORT_SECONDS: u64 = 300;
/// The namespace of node Leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The labels that this node has: everyone's and its own.
pub fn labels(config: &Config) -> BTreeMap<String, String> {
    let mut labels = config.labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", &config.node_name),
        ("kubernetes.io/os", &config.os),
        ("kubernetes.io/arch", &config.arch),
        ("beta.kubernetes.io/os", &config.os),
        ("beta.kubernetes.io/arch", &config.arch),
    ] {
        labels.insert(key.to_owned(), value.clone());
    }
    labels
}

/// The Node object to register with.
pub fn object(kubelet: &Kubelet, now: Time) -> Value {
    let config = kubelet.config();
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.node_name, "labels": labels(config)},
        "spec": {},
        "status": status(kubelet, now, now),
    });
    if !config.taints.is_empty() {
        node["spec"]["taints"] = Value::Array(config.taints.clone());
    }
    if !config.pod_cidr.is_empty() {
        node["spec"]["podCIDR"] = config.pod_cidr.as_str().into();
        node["spec"]["podCIDRs"] = json!([config.pod_cidr]);
    }
    node
}

/// The node's status: a strategic merge patch of its `status` subresource puts it there (under the key `status`).
/// `ready_since` is when the node became Ready.
pub fn status(kubelet: &Kubelet, now: Time, ready_since: Time) -> Value {
    let config = kubelet.config();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now.rfc3339(), "lastTransitionTime": ready_since.rfc3339(),
        })
    };
    let mut addresses: Vec<Value> =
        config.addresses.iter().map(|address| json!({"type": "InternalIP", "address": address})).collect();
    addresses.push(json!({"type": "Hostname", "address": config.node_name}));
    let images: Vec<Value> =
        kubelet.images().take(50).map(|(name, info)| json!({"names": [&**name], "sizeBytes": info.size})).collect();
    let mut status = json!({
        "capacity": amounts(&config.capacity),
        "allocatable": amounts(&config.allocatable),
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "addresses": addresses,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "nodeInfo": {
            "machineID": config.machine_id,
            "systemUUID": config.machine_id,
            "bootID": config.boot_id,
            "kernelVersion": config.kernel_version,
            "osImage": config.os_image,
            "containerRuntimeVersion": config.runtime_version,
            "kubeletVersion": config.kubelet_version,
            "kubeProxyVersion": "",
            "operatingSystem": config.os,
            "architecture": config.arch,
        },
    });
    if !images.is_empty() {
        status["images"] = Value::Array(images);
    }
    status
}

/// The Lease to create in [`LEASE_NAMESPACE`]. `node_uid` makes the Node its owner once it is known.
pub fn lease(config: &Config, now: Time, node_uid: &str) -> Value {
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": config.node_name, "namespace": LEASE_NAMESPACE},
        "spec": {"holderIdentity": config.node_name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now.rfc3339_micros()},
    });
    if !node_uid.is_empty() {
        lease["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": config.node_name, "uid": node_uid}]);
    }
    lease
}

/// The merge patch that renews the Lease.
pub fn lease_renewal(now: Time) -> Value {
    json!({"spec": {"renewTime": now.rfc3339_micros()}})
}

fn amounts(list: &Quantities) -> BTreeMap<&str, String> {
    list.iter().map(|(name, amount)| (name.as_str(), amount.to_string())).collect()
}
