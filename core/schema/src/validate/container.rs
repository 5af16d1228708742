//! Containers of a pod (`validateContainers` and its relatives).

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::pod::Context;
use super::{environment, field, mounts, probe, resources, security};

/// All lists of containers. Their names are one name space.
pub(super) fn all(e: &mut Errors, spec: &Value, pod: &Context<'_>, path: &Path<'_>) {
    let mut names = BTreeSet::new();
    let containers = items(field(spec, "containers"));
    let list = path.child("containers");
    if containers.is_empty() {
        e.required(&list, "");
    }
    for (i, container) in containers.iter().enumerate() {
        let path = list.index(i);
        common(e, container, pod, &path);
        unique(e, container, &mut names, &path);
        probe::all(e, container, pod.grace, &path);
        restart_policy(e, container, &path);
    }
    host_ports(e, containers, &list);
    let list = path.child("initContainers");
    for (i, container) in items(field(spec, "initContainers")).iter().enumerate() {
        let path = list.index(i);
        common(e, container, pod, &path);
        restart_policy(e, container, &path);
        unique(e, container, &mut names, &path);
        // Each runs alone; the paths of its ports are those of the first.
        host_ports(e, std::slice::from_ref(container), &list);
        init_probes(e, container, pod.grace, &path);
    }
    let list = path.child("ephemeralContainers");
    let others: BTreeSet<&str> = object::order::set(names.iter().copied());
    for (i, container) in items(field(spec, "ephemeralContainers")).iter().enumerate() {
        let path = list.index(i);
        common(e, container, pod, &path);
        trimmed_image(e, container, &path);
        unique(e, container, &mut names, &path);
        ephemeral(e, container, &others, &path);
    }
}

fn unique<'a>(e: &mut Errors, container: &'a Value, seen: &mut BTreeSet<&'a str>, path: &Path<'_>) {
    let name = text(field(container, "name"));
    if !seen.insert(name) {
        e.duplicate(&path.child("name"), &name.into());
    }
}

/// What a container for debugging may not have: nothing must rely on it.
fn ephemeral(e: &mut Errors, container: &Value, others: &BTreeSet<&str>, path: &Path<'_>) {
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    let target = text(field(container, "targetContainerName"));
    if !target.is_empty() && !others.contains(target) {
        e.not_found(&path.child("targetContainerName"), &target.into());
    }
    for key in [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ] {
        let value = field(container, key);
        if !value.is_null() && !value.as_object().is_some_and(|map| key == "resources" && map.is_empty()) {
            e.forbidden(&path.child(key), DETAIL);
        }
    }
    let list = path.child("volumeMounts");
    for (i, mount) in items(field(container, "volumeMounts")).iter().enumerate() {
        for key in ["subPath", "subPathExpr"].into_iter().filter(|key| !text(field(mount, key)).is_empty()) {
            e.forbidden(&list.index(i).child(key), DETAIL);
        }
    }
}

/// `validateContainerRestartPolicy`.
fn restart_policy(e: &mut Errors, container: &Value, path: &Path<'_>) {
    let (policy, rules) = (field(container, "restartPolicy"), items(field(container, "restartPolicyRules")));
    let at = path.child("restartPolicy");
    if policy.is_null() && !rules.is_empty() {
        e.required(&at, "must specify restartPolicy when restart rules are used");
    }
    e.one_of_if_any(&at, policy, &["Always", "Never", "OnFailure"]);
    let list = path.child("restartPolicyRules");
    if rules.len() > 20 {
        e.too_many(&list, rules.len(), 20);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let action = text(field(rule, "action"));
        if action != "Restart" {
            e.unsupported(&path.child("action"), &action.into(), &["Restart"]);
        }
        let (codes, at) = (field(rule, "exitCodes"), path.child("exitCodes"));
        if codes.is_null() {
            e.required(&at, "must be specified");
            continue;
        }
        let operator = text(field(codes, "operator"));
        if !matches!(operator, "In" | "NotIn") {
            e.unsupported(&at.child("operator"), &operator.into(), &["In", "NotIn"]);
        }
        let values = items(field(codes, "values")).len();
        if values > 255 {
            e.too_many(&at.child("values"), values, 255);
        }
    }
}

/// Only init containers that keep running may have probes and a life cycle.
fn init_probes(e: &mut Errors, container: &Value, grace: Option<i64>, path: &Path<'_>) {
    if text(field(container, "restartPolicy")) == "Always" {
        probe::all(e, container, grace, path);
        return;
    }
    for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if !field(container, key).is_null() {
            e.forbidden(&path.child(key), "may not be set for init containers without restartPolicy=Always");
        }
    }
}

/// What holds for containers of pods, and not for those of templates.
pub(super) fn trimmed_image(e: &mut Errors, container: &Value, path: &Path<'_>) {
    let image = field(container, "image");
    if text(image).trim() != text(image) {
        e.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
}

/// `validateContainerCommon`.
fn common(e: &mut Errors, container: &Value, pod: &Context<'_>, path: &Path<'_>) {
    match text(field(container, "name")) {
        "" => e.required(&path.child("name"), ""),
        name => e.name(&path.child("name"), name, names::dns1123_label),
    }
    if text(field(container, "image")).is_empty() {
        e.required(&path.child("image"), "");
    }
    let policy = field(container, "terminationMessagePolicy");
    e.one_of(&path.child("terminationMessagePolicy"), policy, &["File", "FallbackToLogsOnError"]);
    ports(e, field(container, "ports"), &path.child("ports"));
    environment::variables(e, field(container, "env"), &path.child("env"));
    environment::sources(e, field(container, "envFrom"), &path.child("envFrom"));
    mounts::check(e, container, &pod.volumes, path);
    let policy = field(container, "imagePullPolicy");
    e.one_of(&path.child("imagePullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
    resources::container(e, field(container, "resources"), Some(&pod.claims), &path.child("resources"));
    resize_policy(e, field(container, "resizePolicy"), pod.restart_policy, &path.child("resizePolicy"));
    security::container(e, field(container, "securityContext"), pod.host_users, &path.child("securityContext"));
}

/// `validateResizePolicy`; most of its paths do not say which item.
fn resize_policy(e: &mut Errors, policies: &Value, of_pod: &str, path: &Path<'_>) {
    let mut seen = BTreeSet::new();
    for (i, policy) in items(policies).iter().enumerate() {
        let resource = field(policy, "resourceName");
        if !seen.insert(text(resource)) {
            e.duplicate(&path.index(i), resource);
        }
        e.one_of(path, resource, &["cpu", "memory"]);
        let restart = field(policy, "restartPolicy");
        e.one_of(path, restart, &["NotRequired", "RestartContainer"]);
        if of_pod == "Never" && text(restart) != "NotRequired" {
            e.invalid(path, &text(restart).into(), "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

fn ports(e: &mut Errors, ports: &Value, path: &Path<'_>) {
    let mut seen = BTreeSet::new();
    for (i, port) in items(ports).iter().enumerate() {
        let path = path.index(i);
        let name = text(field(port, "name"));
        if !name.is_empty() {
            let found = names::port_name(name);
            if found.is_empty() && !seen.insert(name) {
                e.duplicate(&path.child("name"), &name.into());
            }
            e.all(&path.child("name"), &name.into(), found);
        }
        match field(port, "containerPort").as_i64().unwrap_or(0) {
            0 => e.required(&path.child("containerPort"), ""),
            number => e.all(&path.child("containerPort"), &number.into(), names::port_number(number)),
        }
        match field(port, "hostPort").as_i64().unwrap_or(0) {
            0 => {}
            number => e.all(&path.child("hostPort"), &number.into(), names::port_number(number)),
        }
        e.one_of(&path.child("protocol"), field(port, "protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

/// Two containers of a pod cannot have the same port of the host.
fn host_ports(e: &mut Errors, containers: &[Value], path: &Path<'_>) {
    let mut seen = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        let list = path.child("ports");
        for (i, port) in items(field(container, "ports")).iter().enumerate() {
            let number = field(port, "hostPort").as_i64().unwrap_or(0);
            let key = format!("{}/{}/{number}", text(field(port, "protocol")), text(field(port, "hostIP")));
            if number != 0 && !seen.insert(key.clone()) {
                e.duplicate(&list.index(i).child("hostPort"), &key.into());
            }
        }
    }
}
