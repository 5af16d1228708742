//! Rules of apps, networking, rbac, resource and apiextensions.

use object::value::{list_at, object_at, str_at};
use object::{Map, Value, json};

use super::{or_insert, text};

/// A rolling update has parameters; other strategies have none.
pub(super) fn update_strategy(strategy: &mut Map<String, Value>) {
    if text(strategy, "type") == "RollingUpdate" {
        or_insert(strategy, "rollingUpdate", json!({}));
    }
}

/// `SetDefaults_StatefulSet`: templates of claims are whole claims.
pub(super) fn stateful_set(set: &mut Value) {
    let Some(claims) = set.get_mut("spec").and_then(|s| s.get_mut("volumeClaimTemplates")).and_then(Value::as_array_mut) else {
        return;
    };
    for claim in claims.iter_mut().filter(|c| c.is_object()) {
        or_insert(object_at(claim, &[]), "apiVersion", "v1");
        or_insert(object_at(claim, &[]), "kind", "PersistentVolumeClaim");
        or_insert(object_at(claim, &["status"]), "phase", "Pending");
    }
}

/// `Convert_apps_DaemonSet_To_v1_DaemonSet`: the template's generation is kept in an annotation.
pub(super) fn daemon_set(set: &mut Value) {
    let generation = object::value::i64_at(set, &["metadata", "generation"]).unwrap_or(0).max(1);
    let annotations = object_at(set, &["metadata", "annotations"]);
    or_insert(annotations, "deprecated.daemonset.template.generation", generation.to_string());
}

/// `SetDefaults_NetworkPolicy`: the types follow from the rules.
pub(super) fn network_policy_spec(spec: &mut Map<String, Value>) {
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// `SetDefaults_ClusterRoleBinding`, `SetDefaults_RoleBinding`.
pub(super) fn role_ref(role: &mut Map<String, Value>) {
    if text(role, "apiGroup").is_empty() {
        role.insert("apiGroup".to_owned(), RBAC.into());
    }
}

/// `SetDefaults_Subject`.
pub(super) fn subject(subject: &mut Map<String, Value>) {
    if matches!(text(subject, "kind"), "User" | "Group") && text(subject, "apiGroup").is_empty() {
        subject.insert("apiGroup".to_owned(), RBAC.into());
    }
}

/// `SetDefaults_ExactDeviceRequest`, `SetDefaults_DeviceSubRequest`.
pub(super) fn device_request(request: &mut Map<String, Value>) {
    if text(request, "allocationMode") == "ExactCount" {
        or_insert(request, "count", 1);
    }
}

/// `SetDefaults_CustomResourceDefinitionSpec`: names that follow from others.
pub(super) fn custom_resource_definition(definition: &mut Value) {
    let kind = str_at(definition, &["spec", "names", "kind"]).to_owned();
    if kind.is_empty() {
        return;
    }
    let names = object_at(definition, &["spec", "names"]);
    or_insert(names, "singular", kind.to_lowercase());
    or_insert(names, "listKind", format!("{kind}List"));
    // A served API always answers what it holds.
    if list_at(definition, &["spec", "versions"]).is_empty() {
        return;
    }
    or_insert(object_at(definition, &["spec"]), "conversion", json!({"strategy": "None"}));
}
