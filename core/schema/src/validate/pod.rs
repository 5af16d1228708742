//! Pods and their templates (`ValidatePodSpec`).

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{container, deep, field, metadata, selector, volume};

pub(super) fn pod(e: &mut Errors, object: &Value) {
    spec(e, field(object, "spec"), &Path::root("spec"));
}

/// `ValidatePodTemplateSpec`.
pub(super) fn template(e: &mut Errors, template: &Value, path: &Path<'_>) {
    let meta = field(template, "metadata");
    metadata::labels(e, field(meta, "labels"), &path.child("labels"));
    metadata::annotations(e, field(meta, "annotations"), &path.child("annotations"));
    let (pod, path) = (field(template, "spec"), path.child("spec"));
    spec(e, pod, &path);
    if !items(field(pod, "ephemeralContainers")).is_empty() {
        e.forbidden(&path.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

pub(super) fn spec(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let volumes = volume::volumes(e, field(spec, "volumes"), &path.child("volumes"));
    container::all(e, spec, &volumes, path);
    e.one_of(&path.child("restartPolicy"), field(spec, "restartPolicy"), &["Always", "OnFailure", "Never"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    e.one_of(&path.child("dnsPolicy"), field(spec, "dnsPolicy"), &policies);
    metadata::labels(e, field(spec, "nodeSelector"), &path.child("nodeSelector"));
    security_context(e, field(spec, "securityContext"), &path.child("securityContext"));
    image_pull_secrets(e, field(spec, "imagePullSecrets"), &path.child("imagePullSecrets"));
    affinity(e, field(spec, "affinity"), &path.child("affinity"));
    dns_config(e, spec, path);
    gates(e, spec, path);
    spread(e, field(spec, "topologySpreadConstraints"), &path.child("topologySpreadConstraints"));
    identity(e, spec, path);
    tolerations(e, field(spec, "tolerations"), &path.child("tolerations"));
    let aliases = path.child("hostAliases");
    for (i, alias) in items(field(spec, "hostAliases")).iter().enumerate() {
        let path = aliases.index(i);
        super::service::ip(e, field(alias, "ip"), &path.child("ip"));
        let hosts = path.child("hostnames");
        for (i, host) in items(field(alias, "hostnames")).iter().enumerate() {
            e.name(&hosts.index(i), text(host), names::dns1123_subdomain);
        }
    }
}

/// Names of other things, and the texts that become host names.
fn identity(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let mut name = |key: &str, rule: fn(&str) -> Vec<String>| {
        let value = text(field(spec, key));
        if !value.is_empty() {
            e.name(&path.child(key), value, rule);
        }
    };
    name("serviceAccountName", names::dns1123_subdomain);
    name("nodeName", names::dns1123_subdomain);
    let deadline = field(spec, "activeDeadlineSeconds");
    if deadline.as_i64().is_some_and(|d| !(1..=i64::from(i32::MAX)).contains(&d)) {
        e.invalid(&path.child("activeDeadlineSeconds"), deadline, "must be between 1 and 2147483647, inclusive");
    }
    let mut name = |key: &str, rule: fn(&str) -> Vec<String>| {
        let value = text(field(spec, key));
        if !value.is_empty() {
            e.name(&path.child(key), value, rule);
        }
    };
    name("hostname", names::dns1123_label);
    name("subdomain", names::dns1123_label);
    name("priorityClassName", names::dns1123_subdomain);
    name("runtimeClassName", names::dns1123_subdomain);
    e.one_of_if_any(&path.child("preemptionPolicy"), field(spec, "preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
}

/// Kernel parameters: dots and slashes part them into words.
fn sysctls(e: &mut Errors, sysctls: &Value, path: &Path<'_>) {
    const SHAPE: &str = "must have at most 253 characters and match regex \
        ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let word =
        |word: &str| word.starts_with(outer) && word.ends_with(outer) && word.chars().all(|c| outer(c) || matches!(c, '-' | '_'));
    let mut seen = std::collections::BTreeSet::new();
    for (i, sysctl) in items(sysctls).iter().enumerate() {
        let at = path.index(i);
        let name = text(field(sysctl, "name"));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        } else if name.len() > 253 || !name.split(['.', '/']).all(word) {
            e.invalid(&at.child("name"), &name.into(), SHAPE);
        } else if !seen.insert(name) {
            e.duplicate(&at.child("name"), &name.into());
        }
    }
}

fn security_context(e: &mut Errors, context: &Value, path: &Path<'_>) {
    sysctls(e, field(context, "sysctls"), &path.child("sysctls"));
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        let value = field(context, key);
        if value.as_i64().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
            e.invalid(&path.child(key), value, "must be between 0 and 2147483647, inclusive");
        }
    }
}

fn image_pull_secrets(e: &mut Errors, secrets: &Value, path: &Path<'_>) {
    for (i, secret) in items(secrets).iter().enumerate() {
        if text(field(secret, "name")).is_empty() {
            e.required(&path.index(i).child("name"), "");
        }
    }
}

fn affinity(e: &mut Errors, affinity: &Value, path: &Path<'_>) {
    let at = path.child("nodeAffinity");
    let node = field(affinity, "nodeAffinity");
    let required = field(node, "requiredDuringSchedulingIgnoredDuringExecution");
    if !required.is_null() {
        let at = at.child("requiredDuringSchedulingIgnoredDuringExecution");
        let list = at.child("nodeSelectorTerms");
        let terms = items(field(required, "nodeSelectorTerms"));
        if terms.is_empty() {
            e.required(&list, "must have at least one node selector term");
        }
        for (i, term) in terms.iter().enumerate() {
            node_selector_term(e, term, &list.index(i));
        }
    }
    let preferred = at.child("preferredDuringSchedulingIgnoredDuringExecution");
    for (i, term) in items(field(node, "preferredDuringSchedulingIgnoredDuringExecution")).iter().enumerate() {
        let path = preferred.index(i);
        weight(e, term, &path);
        node_selector_term(e, field(term, "preference"), &path.child("preference"));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (terms, at) = (field(affinity, kind), path.child(kind));
        let required = at.child("requiredDuringSchedulingIgnoredDuringExecution");
        for (i, term) in items(field(terms, "requiredDuringSchedulingIgnoredDuringExecution")).iter().enumerate() {
            pod_affinity_term(e, term, &required.index(i));
        }
        let preferred = at.child("preferredDuringSchedulingIgnoredDuringExecution");
        for (i, term) in items(field(terms, "preferredDuringSchedulingIgnoredDuringExecution")).iter().enumerate() {
            let path = preferred.index(i);
            weight(e, term, &path);
            pod_affinity_term(e, field(term, "podAffinityTerm"), &path.child("podAffinityTerm"));
        }
    }
}

fn weight(e: &mut Errors, term: &Value, path: &Path<'_>) {
    let weight = field(term, "weight");
    if !weight.as_i64().is_some_and(|w| (1..=100).contains(&w)) {
        e.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// `ValidateNodeSelectorTerm`.
pub(super) fn node_selector_term(e: &mut Errors, term: &Value, path: &Path<'_>) {
    for key in ["matchExpressions", "matchFields"] {
        let list = path.child(key);
        for (i, expression) in items(field(term, key)).iter().enumerate() {
            let path = list.index(i);
            let values = items(field(expression, "values"));
            match text(field(expression, "operator")) {
                "In" | "NotIn" if values.is_empty() => {
                    e.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    e.forbidden(&path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
                }
                "Gt" | "Lt" if values.len() != 1 => {
                    e.required(&path.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
                _ => e.invalid(&path.child("operator"), field(expression, "operator"), "not a valid selector operator"),
            }
            e.name(&path.child("key"), text(field(expression, "key")), names::qualified_name);
        }
    }
}

fn pod_affinity_term(e: &mut Errors, term: &Value, path: &Path<'_>) {
    let (found, at) = (field(term, "labelSelector"), path.child("labelSelector"));
    selector::label_selector(e, found, &at);
    selector::label_selector(e, field(term, "namespaceSelector"), &path.child("namespaceSelector"));
    let namespaces = path.child("namespaces");
    for (i, namespace) in items(field(term, "namespaces")).iter().enumerate() {
        e.name(&namespaces.index(i), text(namespace), names::dns1123_label);
    }
    match text(field(term, "topologyKey")) {
        "" => e.required(&path.child("topologyKey"), "can not be empty"),
        key => e.name(&path.child("topologyKey"), key, names::qualified_name),
    }
}

fn dns_config(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let servers = items(deep(spec, &["dnsConfig", "nameservers"]));
    let at = path.child("dnsConfig");
    let list = at.child("nameservers");
    if text(field(spec, "dnsPolicy")) == "None" && servers.is_empty() {
        e.required(&list, "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
    if servers.len() > 3 {
        e.invalid(&list, deep(spec, &["dnsConfig", "nameservers"]), "must not have more than 3 nameservers");
    }
    for (i, server) in servers.iter().enumerate() {
        super::service::ip(e, server, &list.index(i));
    }
}

fn gates(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let list = path.child("readinessGates");
    for (i, gate) in items(field(spec, "readinessGates")).iter().enumerate() {
        e.name(&list.index(i).child("conditionType"), text(field(gate, "conditionType")), names::qualified_name);
    }
    let list = path.child("schedulingGates");
    let mut seen = BTreeSet::new();
    for (i, gate) in items(field(spec, "schedulingGates")).iter().enumerate() {
        let name = text(field(gate, "name"));
        e.name(&list.index(i), name, names::qualified_name);
        if !seen.insert(name) {
            e.duplicate(&list.index(i), &name.into());
        }
    }
}

fn spread(e: &mut Errors, constraints: &Value, path: &Path<'_>) {
    for (i, constraint) in items(constraints).iter().enumerate() {
        let path = path.index(i);
        let skew = field(constraint, "maxSkew");
        if skew.as_i64().unwrap_or(0) <= 0 {
            e.invalid(&path.child("maxSkew"), skew, "must be greater than zero");
        }
        match text(field(constraint, "topologyKey")) {
            "" => e.required(&path.child("topologyKey"), "can not be empty"),
            key => e.name(&path.child("topologyKey"), key, names::qualified_name),
        }
        let action = field(constraint, "whenUnsatisfiable");
        if !matches!(text(action), "DoNotSchedule" | "ScheduleAnyway") {
            e.unsupported(&path.child("whenUnsatisfiable"), action, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        selector::label_selector(e, field(constraint, "labelSelector"), &path.child("labelSelector"));
    }
}

/// `ValidateTolerations`.
pub(super) fn tolerations(e: &mut Errors, tolerations: &Value, path: &Path<'_>) {
    for (i, toleration) in items(tolerations).iter().enumerate() {
        let path = path.index(i);
        let key = text(field(toleration, "key"));
        let (operator, effect) = (field(toleration, "operator"), field(toleration, "effect"));
        if !key.is_empty() {
            e.name(&path.child("key"), key, names::qualified_name);
        } else if text(operator) != "Exists" {
            e.invalid(
                &path.child("operator"),
                &text(operator).into(),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if !field(toleration, "tolerationSeconds").is_null() && text(effect) != "NoExecute" {
            e.invalid(&path.child("effect"), &text(effect).into(), "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match text(operator) {
            "" | "Equal" => e.name(&path.child("operator"), text(field(toleration, "value")), names::label_value),
            "Exists" if !text(field(toleration, "value")).is_empty() => {
                e.invalid(&path.child("operator"), field(toleration, "value"), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            _ => e.unsupported(&path.child("operator"), operator, &["Equal", "Exists"]),
        }
        if !matches!(text(effect), "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            e.unsupported(&path.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}
