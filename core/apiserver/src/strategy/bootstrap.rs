//! What every cluster has from its first moment: the system namespaces, the `kubernetes` Service, the system priorities.

use object::value::str_at;
use object::{GroupVersionResource, Time, Value, json};
use store::Key;

use super::allocation::first_address;
use crate::client::gvr;
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::PatchKind;

/// Makes what is missing; what is there already stays as it is.
pub fn run(api: &mut ApiServer, now: Time) {
    let user = UserInfo::apiserver();
    let settings = api.settings().clone();
    let mut create = |group: &'static str, version: &'static str, resource: &'static str, namespace: &str, object: Value| {
        ensure(api, now, &gvr(group, version, resource), namespace, object);
    };
    for name in ["kube-system", "kube-public", "kube-node-lease", "default"] {
        create("", "v1", "namespaces", "", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    for (name, value, description) in [
        (
            "system-cluster-critical",
            2_000_000_000_i64,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
        ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
    ] {
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "description": description, "preemptionPolicy": "PreemptLowerPriority",
        });
        create("scheduling.k8s.io", "v1", "priorityclasses", "", class);
    }
    let mut config = |name: &str, data: Value| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        create("", "v1", "configmaps", "kube-system", object);
    };
    if !settings.client_ca.is_empty() {
        config("extension-apiserver-authentication", authentication(&settings.client_ca, &settings.front_proxy_ca));
    }
    config(
        "kube-apiserver-legacy-service-account-token-tracking",
        json!({"since": now.rfc3339().split('T').next().unwrap_or_default()}),
    );
    kubernetes_service(api, now, &user, &settings.service_cidr, &settings.advertise_address, settings.advertise_port);
}

/// Makes an object that every cluster has, and says whether it did; one that is there already, as after a restart, stays.
fn ensure(api: &mut ApiServer, now: Time, gvr: &GroupVersionResource, namespace: &str, object: Value) -> bool {
    let name = str_at(&object, &["metadata", "name"]).to_owned();
    let missing = api.store.get(&Key::new(&gvr.group_resource(), namespace, &name)).is_none();
    // A refusal is counted as every refusal of our own writes.
    missing && api.client(now, &UserInfo::apiserver()).create(gvr, namespace, object).is_ok()
}

/// How servers beside this one, and kube-scheduler and kube-controller-manager on their own ports, are to identify clients.
///
/// <https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/>
fn authentication(client_ca: &str, front_proxy_ca: &str) -> Value {
    let mut data = json!({"client-ca-file": client_ca});
    if !front_proxy_ca.is_empty() {
        for (key, text) in [
            ("requestheader-client-ca-file", front_proxy_ca),
            ("requestheader-allowed-names", "[\"front-proxy-client\"]"),
            ("requestheader-extra-headers-prefix", "[\"X-Remote-Extra-\"]"),
            ("requestheader-group-headers", "[\"X-Remote-Group\"]"),
            ("requestheader-uid-headers", "[\"X-Remote-Uid\"]"),
            ("requestheader-username-headers", "[\"X-Remote-User\"]"),
        ] {
            data[key] = text.into();
        }
    }
    data
}

/// The API as a Service of its own cluster.
fn kubernetes_service(api: &mut ApiServer, now: Time, user: &UserInfo, cidr: &str, address: &str, port: u16) {
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {
            "clusterIP": first_address(cidr), "type": "ClusterIP",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    let cidrs = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [cidr]},
    });
    let ready = json!({"status": {"conditions": [{
        "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": now.rfc3339(),
    }]}});
    let resource = gvr("networking.k8s.io", "v1", "servicecidrs");
    if ensure(api, now, &resource, "", cidrs) {
        let _ = api.client(now, user).patch(&resource, "", "kubernetes", "status", PatchKind::Merge, ready);
    }
    ensure(api, now, &gvr("", "v1", "services"), "default", service);
    // The address may be another one in this life.
    for (resource, object) in [(gvr("", "v1", "endpoints"), endpoints), (gvr("discovery.k8s.io", "v1", "endpointslices"), slice)]
    {
        if !ensure(api, now, &resource, "default", object.clone()) {
            let _ = api.client(now, user).update(&resource, "default", "kubernetes", object);
        }
    }
}
