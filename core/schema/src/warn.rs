//! What clients are warned of although it is accepted (`WarningsOnCreate` and `WarningsOnUpdate` of Kubernetes' strategies).
//!
//! <https://kubernetes.io/blog/2020/09/03/warnings/>

use object::value::{at, list_at, str_at};
use object::{Quantity, Value, names};

use crate::resource::Resource;

/// Volumes of times gone by, and what became of them.
const VOLUMES: [(&str, &str); 12] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("awsElasticBlockStore", ""),
    ("gcePersistentDisk", ""),
    ("azureDisk", ""),
];

/// Labels of nodes that have other names now.
const NODE_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    ("failure-domain.beta.kubernetes.io/region", "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
];

fn node_label(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(old, _)| *old == key).map(|(_, what)| *what)
}

/// What to say of an object that is written through the object's own endpoint. What stood there before is not told again.
pub fn warnings(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<String> {
    if resource.custom.is_some() {
        return Vec::new();
    }
    let mut found = of_object(resource, object, old.is_none());
    if let Some(old) = old {
        let known = of_object(resource, old, false);
        found.retain(|warning| !known.contains(warning));
    }
    found
}

fn of_object(resource: &Resource, object: &Value, is_new: bool) -> Vec<String> {
    let mut out = Vec::new();
    let name = str_at(object, &["metadata", "name"]);
    let template = || at(object, &["spec", "template"]).unwrap_or(&Value::Null);
    match (&*resource.kind.group, &*resource.kind.kind) {
        ("", "Pod") => {
            if is_new {
                host_name(name, "this is used in the Pod's hostname", &mut out);
            }
            pod(object, "", &mut out);
        }
        ("", "PodTemplate") => pod(at(object, &["template"]).unwrap_or(&Value::Null), "template.", &mut out),
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") | ("batch", "Job") | ("", "ReplicationController") => {
            if is_new {
                host_name(name, "this is used in Pod names and hostnames", &mut out);
            }
            pod(template(), "spec.template.", &mut out);
        }
        ("apps", "DaemonSet") => pod(template(), "spec.template.", &mut out),
        ("batch", "CronJob") => {
            if is_new {
                host_name(name, "this is used in Pod names and hostnames", &mut out);
            }
            let template = at(object, &["spec", "jobTemplate", "spec", "template"]).unwrap_or(&Value::Null);
            pod(template, "spec.jobTemplate.spec.template.", &mut out);
        }
        ("", "PersistentVolume") => volume(object, &mut out),
        ("", "PersistentVolumeClaim") => {
            storage_class_annotation(object, &mut out);
            let requests = at(object, &["spec", "resources", "requests"]);
            fractional(requests, "spec.resources.requests", "storage", &mut out);
        }
        ("", "Service") => service(object, &mut out),
        ("storage.k8s.io", "CSIDriver") => csi_driver(object, &mut out),
        ("networking.k8s.io", "Ingress")
            if is_new && object::meta::annotation(object, "kubernetes.io/ingress.class").is_some() =>
        {
            let what = "is deprecated, please use 'spec.ingressClassName' instead";
            out.push(format!("annotation \"kubernetes.io/ingress.class\" {what}"));
        }
        _ => {}
    }
    out
}

fn host_name(name: &str, what: &str, out: &mut Vec<String>) {
    let wrong = names::dns1123_label(name);
    if !wrong.is_empty() {
        let wrong = wrong.join(" ");
        out.push(format!(
            "metadata.name: {what}, which can result in surprising behavior; a DNS label is recommended: [{wrong}]"
        ));
    }
}

/// A pod, or a template of pods at `prefix`.
fn pod(pod: &Value, prefix: &str, out: &mut Vec<String>) {
    let spec = at(pod, &["spec"]).unwrap_or(&Value::Null);
    let map = |path: &[&str]| at(spec, path).and_then(Value::as_object).into_iter().flatten();
    for (key, _) in map(&["nodeSelector"]) {
        if let Some(what) = node_label(key) {
            out.push(format!("{prefix}spec.nodeSelector[{key}]: {what}"));
        }
    }
    affinity(spec, prefix, out);
    for (i, constraint) in list_at(spec, &["topologySpreadConstraints"]).iter().enumerate() {
        let path = format!("{prefix}spec.topologySpreadConstraints[{i}]");
        if let Some(what) = node_label(str_at(constraint, &["topologyKey"])) {
            out.push(format!("{path}.topologyKey: {what}"));
        }
        if at(constraint, &["labelSelector"]).is_none_or(Value::is_null) {
            out.push(format!("{path}.labelSelector: a null labelSelector results in matching no pod"));
        }
    }
    annotations(pod, prefix, out);
    pull_secrets(spec, prefix, out);
    for (i, volume) in list_at(spec, &["volumes"]).iter().enumerate() {
        for (kind, what) in VOLUMES.iter().filter(|(kind, what)| !what.is_empty() && volume.get(*kind).is_some()) {
            // Go's name of the field, in JSON.
            let shown = if *kind == "storageos" { "storageOS" } else { kind };
            out.push(format!("{prefix}spec.volumes[{i}].{shown}: {what}"));
        }
        let template = at(volume, &["ephemeral", "volumeClaimTemplate", "spec", "resources", "requests"]);
        let path = format!("{prefix}spec.volumes[{i}].ephemeral.volumeClaimTemplate.spec.resources.requests");
        fractional(template, &path, "storage", out);
    }
    if at(spec, &["terminationGracePeriodSeconds"]).and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        out.push(format!(
            "{prefix}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in list_at(spec, &[list]).iter().enumerate() {
            let path = format!("{prefix}spec.{list}[{i}]");
            for kind in ["limits", "requests"] {
                for resource in ["memory", "ephemeral-storage"] {
                    fractional(at(container, &["resources", kind]), &format!("{path}.resources.{kind}"), resource, out);
                }
            }
            let mut seen = std::collections::BTreeSet::new();
            for (j, env) in list_at(container, &["env"]).iter().enumerate() {
                let name = str_at(env, &["name"]);
                if !seen.insert(name) {
                    let what = "which may be dropped when using apply";
                    out.push(format!("{path}.env[{j}]: hides previous definition of {name:?}, {what}"));
                }
            }
        }
    }
    ports(spec, prefix, out);
}

fn affinity(spec: &Value, prefix: &str, out: &mut Vec<String>) {
    const IN_FORCE: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const WANTED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let node = at(spec, &["affinity", "nodeAffinity"]).unwrap_or(&Value::Null);
    let mut terms: Vec<(String, &Value)> = Vec::new();
    for (i, term) in list_at(node, &[IN_FORCE, "nodeSelectorTerms"]).iter().enumerate() {
        terms.push((format!("{IN_FORCE}.nodeSelectorTerms[{i}]"), term));
    }
    for (i, term) in list_at(node, &[WANTED]).iter().enumerate() {
        terms.push((format!("{WANTED}[{i}].preference"), at(term, &["preference"]).unwrap_or(&Value::Null)));
    }
    for (path, term) in terms {
        for (j, expression) in list_at(term, &["matchExpressions"]).iter().enumerate() {
            let key = str_at(expression, &["key"]);
            if let Some(what) = node_label(key) {
                out.push(format!("{prefix}spec.affinity.nodeAffinity.{path}.matchExpressions[{j}].key: {key} is {what}"));
            }
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let of = at(spec, &["affinity", kind]).unwrap_or(&Value::Null);
        let required = list_at(of, &[IN_FORCE]).iter().enumerate().map(|(i, term)| (format!("{IN_FORCE}[{i}]"), Some(term)));
        let preferred = list_at(of, &[WANTED]).iter().enumerate();
        let preferred = preferred.map(|(i, term)| (format!("{WANTED}[{i}].podAffinityTerm"), at(term, &["podAffinityTerm"])));
        for (path, term) in required.chain(preferred) {
            if term.is_some_and(|term| at(term, &["labelSelector"]).is_none_or(Value::is_null)) {
                let what = "a null labelSelector results in matching no pod";
                out.push(format!("{prefix}spec.affinity.{kind}.{path}.labelSelector: {what}"));
            }
        }
    }
}

fn annotations(pod: &Value, prefix: &str, out: &mut Vec<String>) {
    for (key, _) in at(pod, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten() {
        let what = match key.as_str() {
            "seccomp.security.alpha.kubernetes.io/pod" => "non-functional in v1.27+; use the \"seccompProfile\" field instead",
            key if key.starts_with("container.seccomp.security.alpha.kubernetes.io/") => {
                "non-functional in v1.27+; use the \"seccompProfile\" field instead"
            }
            key if key.starts_with("container.apparmor.security.beta.kubernetes.io/") => {
                "deprecated since v1.30; use the \"appArmorProfile\" field instead"
            }
            "security.alpha.kubernetes.io/sysctls" | "security.alpha.kubernetes.io/unsafe-sysctls" => {
                "non-functional in v1.11+; use the \"sysctls\" field instead"
            }
            _ => continue,
        };
        out.push(format!("{prefix}metadata.annotations[{key}]: {what}"));
    }
}

fn pull_secrets(spec: &Value, prefix: &str, out: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, secret) in list_at(spec, &["imagePullSecrets"]).iter().enumerate() {
        let name = str_at(secret, &["name"]);
        let path = format!("{prefix}spec.imagePullSecrets[{i}].name");
        if name.is_empty() {
            out.push(format!("{path}: invalid empty name {name:?}"));
        } else if !seen.insert(name) {
            out.push(format!("{path}: duplicate name {name:?}"));
        }
    }
}

/// Ports that stand twice in a pod.
fn ports(spec: &Value, prefix: &str, out: &mut Vec<String>) {
    let mut seen: Vec<(String, &Value)> = Vec::new();
    for (i, container) in list_at(spec, &["containers"]).iter().enumerate() {
        for (j, port) in list_at(container, &["ports"]).iter().enumerate() {
            let path = format!("{prefix}spec.containers[{i}].ports[{j}]");
            let of = |port: &Value| {
                (
                    at(port, &["containerPort"]).cloned(),
                    at(port, &["protocol"]).cloned(),
                    at(port, &["hostPort"]).cloned(),
                    at(port, &["hostIP"]).cloned(),
                )
            };
            if let Some((other, _)) = seen.iter().find(|(_, other)| of(other) == of(port)) {
                out.push(format!("{path}: duplicate port definition with {other}"));
            }
            seen.push((path, port));
        }
    }
}

/// Amounts of bytes that are no whole number.
fn fractional(amounts: Option<&Value>, path: &str, resource: &str, out: &mut Vec<String>) {
    let Some(text) = amounts.and_then(|amounts| amounts.get(resource)).and_then(Value::as_str) else { return };
    let whole = Quantity::parse(text).is_some_and(|amount| amount.is_integer());
    if !whole {
        out.push(format!("{path}[{resource}]: fractional byte value {text:?} is invalid, must be an integer"));
    }
}

fn storage_class_annotation(object: &Value, out: &mut Vec<String>) {
    if object::meta::annotation(object, "volume.beta.kubernetes.io/storage-class").is_some() {
        let what = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        out.push(format!("metadata.annotations[volume.beta.kubernetes.io/storage-class]: {what}"));
    }
}

fn volume(object: &Value, out: &mut Vec<String>) {
    storage_class_annotation(object, out);
    if str_at(object, &["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
        out.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to \
             use dynamic provisioning."
                .to_owned(),
        );
    }
    for (kind, what) in VOLUMES.iter().filter(|(kind, what)| !what.is_empty() && at(object, &["spec", kind]).is_some()) {
        let shown = if *kind == "storageos" { "storageOS" } else { kind };
        out.push(format!("spec.{shown}: {what}"));
    }
}

fn service(object: &Value, out: &mut Vec<String>) {
    let kind = str_at(object, &["spec", "type"]);
    if kind != "ExternalName" && !str_at(object, &["spec", "externalName"]).is_empty() {
        out.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
}

fn csi_driver(object: &Value, out: &mut Vec<String>) {
    let requests = !list_at(object, &["spec", "tokenRequests"]).is_empty();
    if requests && at(object, &["spec", "serviceAccountTokenInSecrets"]).is_none_or(Value::is_null) {
        out.push(
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging \
             of tokens in volume attributes"
                .to_owned(),
        );
    }
}
