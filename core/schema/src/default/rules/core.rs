//! Rules of the core group (`pkg/apis/core/v1/defaults.go`).

use object::value::{at, object_at};
use object::{Map, Value, json};

use super::{or_insert, text};

/// `SetDefaults_Pod`: requests come from limits; ports of the host's network are host ports.
pub(super) fn pod(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
                requests_from_limits(resources);
            }
        }
    }
    if spec.get("resources").is_some_and(|r| r.get("limits").is_some()) {
        pod_requests(spec);
    }
    or_insert(spec, "enableServiceLinks", true);
    // A negative period means at once, with the node's confirmation.
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), 1.into());
    }
}

fn requests_from_limits(resources: &mut Map<String, Value>) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    if limits.is_empty() {
        return;
    }
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (name, quantity) in limits {
            requests.entry(name).or_insert(quantity);
        }
    }
}

/// Requests of the pod as a whole come from its limits where no container requests the resource.
fn pod_requests(spec: &mut Map<String, Value>) {
    let requested = |spec: &Map<String, Value>, name: &str| {
        ["containers", "initContainers"].iter().any(|list| {
            spec.get(*list).and_then(Value::as_array).is_some_and(|containers| {
                containers.iter().any(|c| at(c, &["resources", "requests"]).is_some_and(|r| r.get(name).is_some()))
            })
        })
    };
    let Some(Value::Object(limits)) = spec.get("resources").and_then(|r| r.get("limits")).cloned() else { return };
    for (name, quantity) in limits {
        let wanted = !requested(spec, &name);
        if let Some(resources) = spec.get_mut("resources")
            && wanted
        {
            object_at(resources, &["requests"]).entry(name).or_insert(quantity);
        }
    }
}

/// `SetDefaults_PodSpec`.
pub(super) fn pod_spec(spec: &mut Map<String, Value>) {
    // The account has an old and a new name, and both say the same.
    for (given, other) in [("serviceAccountName", "serviceAccount"), ("serviceAccount", "serviceAccountName")] {
        if let Some(name) = spec.get(given).filter(|name| **name != "").cloned() {
            spec.insert(other.to_owned(), name);
        }
    }
    if spec.get("hostNetwork") != Some(&Value::Bool(true)) {
        return;
    }
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) else { continue };
            for port in ports.iter_mut().filter_map(Value::as_object_mut) {
                if let Some(number) = port.get("containerPort").cloned() {
                    or_insert(port, "hostPort", number);
                }
            }
        }
    }
}

/// `SetDefaults_Container`: an image without a tag, or with `latest`, is pulled each time.
pub(super) fn container(container: &mut Map<String, Value>) {
    let policy = pull_policy(text(container, "image"));
    or_insert(container, "imagePullPolicy", policy);
}

/// `SetDefaults_Volume` for volumes made of an image.
pub(super) fn image_volume(image: &mut Map<String, Value>) {
    let policy = pull_policy(text(image, "reference"));
    or_insert(image, "pullPolicy", policy);
}

fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or("");
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// `Convert_v1_PodStatus_To_core_PodStatus`: the address and the list of addresses agree.
pub(super) fn pod_status(status: &mut Map<String, Value>) {
    let first = status.get("podIPs").and_then(|ips| ips.get(0)).and_then(|ip| ip.get("ip")).cloned();
    match (text(status, "podIP"), first) {
        ("", Some(first)) => drop(status.insert("podIP".to_owned(), first)),
        // Where both are said and differ, the older field counts.
        (address, first) if !address.is_empty() && first.as_ref().and_then(Value::as_str) != Some(address) => {
            let list = json!([{"ip": address}]);
            status.insert("podIPs".to_owned(), list);
        }
        _ => {}
    }
}

/// `SetDefaults_Volume`: a volume of no kind is an empty directory.
pub(super) fn volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
}

/// `SetDefaults_Service`.
pub(super) fn service_spec(spec: &mut Map<String, Value>) {
    if text(spec, "sessionAffinity") == "ClientIP" {
        let config = spec.entry("sessionAffinityConfig").or_insert(Value::Null);
        or_insert(object_at(config, &["clientIP"]), "timeoutSeconds", 10_800);
    } else {
        spec.remove("sessionAffinityConfig");
    }
    let kind = text(spec, "type").to_owned();
    let reachable = matches!(kind.as_str(), "NodePort" | "LoadBalancer")
        || spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if reachable && kind != "ExternalName" {
        or_insert(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        or_insert(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        or_insert(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in items(spec, "ports") {
        let Some(port) = port.as_object_mut() else { continue };
        let unset = port.get("targetPort").is_none_or(|t| matches!(t, Value::Null) || *t == 0 || *t == "");
        if let (true, Some(number)) = (unset, port.get("port").cloned()) {
            port.insert("targetPort".to_owned(), number);
        }
    }
}

/// `SetDefaults_LoadBalancerIngress`, part of `SetDefaults_Service`.
pub(super) fn load_balancer_ingress(ingress: &mut Map<String, Value>) {
    if !text(ingress, "ip").is_empty() {
        or_insert(ingress, "ipMode", "VIP");
    }
}

/// `SetDefaults_LimitRangeItem`: for containers the defaults follow from the bounds.
pub(super) fn limit_range_item(item: &mut Map<String, Value>) {
    if text(item, "type") != "Container" {
        return;
    }
    for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        let Some(Value::Object(values)) = item.get(from).cloned() else { continue };
        if let Value::Object(target) = item.entry(to).or_insert_with(|| json!({})) {
            for (name, quantity) in values {
                target.entry(name).or_insert(quantity);
            }
        }
    }
}

/// `SetDefaults_Namespace`: every namespace can be selected by its name.
pub(super) fn namespace(namespace: &mut Value) {
    let name = object::value::str_at(namespace, &["metadata", "name"]).to_owned();
    if !name.is_empty() {
        object_at(namespace, &["metadata", "labels"]).insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

/// `Convert_v1_Secret_To_core_Secret`: texts become data and win over it.
pub(super) fn secret(secret: &mut Value) {
    let Some(map) = secret.as_object_mut() else { return };
    let Some(Value::Object(texts)) = map.remove("stringData") else { return };
    for (key, value) in texts {
        let encoded = crate::base64::encode(value.as_str().unwrap_or("").as_bytes());
        object_at(secret, &["data"]).insert(key, encoded.into());
    }
}

/// `SetDefaults_PersistentVolumeClaim`.
pub(super) fn persistent_volume_claim(claim: &mut Value) {
    or_insert(object_at(claim, &["status"]), "phase", "Pending");
}

/// `SetDefaults_ReplicationController`: labels and selector come from the template.
pub(super) fn replication_controller(controller: &mut Value) {
    let Some(labels @ Value::Object(_)) = at(controller, &["spec", "template", "metadata", "labels"]).cloned() else { return };
    for path in [["spec", "selector"], ["metadata", "labels"]] {
        if at(controller, &path).and_then(Value::as_object).is_none_or(Map::is_empty) {
            object::value::set(controller, &path, labels.clone());
        }
    }
}

fn items<'a>(map: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Value> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}
