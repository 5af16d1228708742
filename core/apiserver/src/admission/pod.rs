//! What pods are given: a service account and its token, a priority, tolerations of short outages.

use object::value::{self, at, list_at, str_at};
use object::{ApiError, GroupResource, Result, Value, json};
use store::Key;

use super::{Attributes, Operation};
use crate::server::ApiServer;

/// Where containers find their service account's token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a token is good for: an hour, and the seconds by which kubelets tell it apart.
const TOKEN_SECONDS: u64 = 3607;
/// How long a pod stays on a node that is not ready or not reachable.
const TOLERATION_SECONDS: u64 = 300;

fn pods() -> GroupResource {
    GroupResource::literal("", "pods")
}

/// ServiceAccount: the account must exist; its token is mounted unless somebody says no.
pub fn service_account(api: &mut ApiServer, attributes: &Attributes<'_>, pod: &mut Value) -> Result<()> {
    let target = attributes.target;
    if !attributes.is("", "pods") || attributes.operation != Operation::Create {
        return Ok(());
    }
    if object::meta::annotation(pod, "kubernetes.io/config.mirror").is_some() {
        return Ok(());
    }
    let given = str_at(pod, &["spec", "serviceAccountName"]);
    let name = if given.is_empty() { "default".to_owned() } else { given.to_owned() };
    value::set(pod, &["spec", "serviceAccountName"], name.as_str());
    value::set(pod, &["spec", "serviceAccount"], name.as_str());
    let key = Key::new(&GroupResource::literal("", "serviceaccounts"), &target.namespace, &name);
    let Some(account) = api.store.get(&key) else {
        let why = format!("error looking up service account {}/{name}: serviceaccount {name:?} not found", target.namespace);
        return Err(ApiError::forbidden(&pods(), str_at(pod, &["metadata", "name"]), &why));
    };
    let account = account.value();
    let automount = [at(pod, &["spec", "automountServiceAccountToken"]), account.get("automountServiceAccountToken")];
    if automount.into_iter().flatten().next() != Some(&Value::Bool(false)) {
        let volume = format!("kube-api-access-{}", api.rng.suffix(5));
        mount_token(pod, &volume);
    }
    if list_at(pod, &["spec", "imagePullSecrets"]).is_empty() && !list_at(&account, &["imagePullSecrets"]).is_empty() {
        value::set(pod, &["spec", "imagePullSecrets"], account["imagePullSecrets"].clone());
    }
    Ok(())
}

fn mount_token(pod: &mut Value, volume: &str) {
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = pod.get_mut("spec").and_then(|s| s.get_mut(list)).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            if list_at(container, &["volumeMounts"]).iter().any(|m| str_at(m, &["mountPath"]) == TOKEN_PATH) {
                continue;
            }
            let mut mounts = list_at(container, &["volumeMounts"]).to_vec();
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
            value::set(container, &["volumeMounts"], mounts);
            mounted = true;
        }
    }
    if mounted {
        let mut volumes = list_at(pod, &["spec", "volumes"]).to_vec();
        volumes.push(json!({"name": volume, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}));
        value::set(pod, &["spec", "volumes"], volumes);
    }
}

/// Priority: a number for the class a pod names, or for the default one.
pub fn priority(api: &mut ApiServer, attributes: &Attributes<'_>, pod: &mut Value) -> Result<()> {
    if !attributes.is("", "pods") || attributes.operation != Operation::Create {
        return Ok(());
    }
    let classes = GroupResource::literal("scheduling.k8s.io", "priorityclasses");
    let named = str_at(pod, &["spec", "priorityClassName"]).to_owned();
    let class = if named.is_empty() {
        let defaults = api.store.list(&classes, None).map(|c| c.value()).filter(|c| value::bool_at(c, &["globalDefault"]));
        defaults.min_by_key(|c| value::i64_at(c, &["value"]))
    } else {
        let Some(class) = api.store.get(&Key::new(&classes, "", &named)) else {
            let why = format!("no PriorityClass with name {named} was found");
            return Err(ApiError::forbidden(&pods(), str_at(pod, &["metadata", "name"]), &why));
        };
        Some(class.value())
    };
    let priority = class.as_ref().and_then(|c| value::i64_at(c, &["value"])).unwrap_or(0);
    if let Some(given) = value::i64_at(pod, &["spec", "priority"]).filter(|given| *given != priority) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed \
             {priority} from the given PriorityClass name"
        );
        return Err(ApiError::forbidden(&pods(), str_at(pod, &["metadata", "name"]), &why));
    }
    if let Some(class) = &class
        && named.is_empty()
    {
        value::set(pod, &["spec", "priorityClassName"], str_at(class, &["metadata", "name"]));
    }
    value::set(pod, &["spec", "priority"], priority);
    if at(pod, &["spec", "preemptionPolicy"]).is_none() {
        let policy = class.as_ref().map_or("", |c| str_at(c, &["preemptionPolicy"]));
        value::set(pod, &["spec", "preemptionPolicy"], if policy.is_empty() { "PreemptLowerPriority" } else { policy });
    }
    Ok(())
}

/// DefaultTolerationSeconds: a short outage of a node does not move its pods.
pub fn default_toleration_seconds(_api: &mut ApiServer, attributes: &Attributes<'_>, pod: &mut Value) -> Result<()> {
    if !attributes.is("", "pods") {
        return Ok(());
    }
    let mut tolerations = list_at(pod, &["spec", "tolerations"]).to_vec();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerates = |t: &Value| {
            let (k, effect) = (str_at(t, &["key"]), str_at(t, &["effect"]));
            (k == key || k.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        };
        if !tolerations.iter().any(tolerates) {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}));
        }
    }
    value::set(pod, &["spec", "tolerations"], tolerations);
    Ok(())
}

/// PodTopologyLabels: a pod says in which zone and region its node is, from the moment it has one.
pub fn topology_labels(api: &mut ApiServer, attributes: &Attributes<'_>, object: &mut Value) -> Result<()> {
    if !attributes.is_part_of("", "pods") || attributes.operation != Operation::Create {
        return Ok(());
    }
    let node = match attributes.target.subresource.as_str() {
        "" => str_at(object, &["spec", "nodeName"]),
        "binding" if str_at(object, &["target", "kind"]) == "Node" => str_at(object, &["target", "name"]),
        _ => return Ok(()),
    };
    if node.is_empty() {
        return Ok(());
    }
    let Some(node) = api.store.get(&Key::new(&GroupResource::literal("", "nodes"), "", node)) else { return Ok(()) };
    for label in ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"] {
        if let Some(value) = node.meta.labels.get(label)
            && at(object, &["metadata", "labels", label]).is_none()
        {
            value::set(object, &["metadata", "labels", label], value.as_str());
        }
    }
    Ok(())
}

/// TaintNodesByCondition: a new node takes no pods until it has said that it is ready.
pub fn taint_nodes_by_condition(_api: &mut ApiServer, attributes: &Attributes<'_>, node: &mut Value) -> Result<()> {
    if !attributes.is("", "nodes") || attributes.operation != Operation::Create {
        return Ok(());
    }
    let mut taints = list_at(node, &["spec", "taints"]).to_vec();
    if !taints.iter().any(|taint| str_at(taint, &["key"]) == "node.kubernetes.io/not-ready") {
        taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
        value::set(node, &["spec", "taints"], taints);
    }
    Ok(())
}
