//! Containers of a pod (`validateContainers` and its relatives).

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{field, probe, resources, volume};

/// All lists of containers. Their names are one name space.
pub(super) fn all(e: &mut Errors, spec: &Value, volumes: &BTreeSet<&str>, path: &Path<'_>) {
    let mut names = BTreeSet::new();
    let containers = items(field(spec, "containers"));
    let list = path.child("containers");
    if containers.is_empty() {
        e.required(&list, "");
    }
    for (i, container) in containers.iter().enumerate() {
        let path = list.index(i);
        common(e, container, volumes, &path);
        unique(e, container, &mut names, &path);
        probe::all(e, container, &path);
        restart_policy(e, container, &path);
    }
    host_ports(e, containers, &list);
    let list = path.child("initContainers");
    for (i, container) in items(field(spec, "initContainers")).iter().enumerate() {
        let path = list.index(i);
        common(e, container, volumes, &path);
        unique(e, container, &mut names, &path);
        init_probes(e, container, &path);
        restart_policy(e, container, &path);
    }
    let list = path.child("ephemeralContainers");
    for (i, container) in items(field(spec, "ephemeralContainers")).iter().enumerate() {
        let path = list.index(i);
        common(e, container, volumes, &path);
        unique(e, container, &mut names, &path);
        let target = field(container, "targetContainerName");
        if !text(target).is_empty() && !containers.iter().any(|c| text(field(c, "name")) == text(target)) {
            e.not_found(&path.child("targetContainerName"), target);
        }
        for key in ["ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if !field(container, key).is_null() {
                e.forbidden(&path.child(key), "cannot be set for an Ephemeral Container");
            }
        }
        if field(container, "resources").as_object().is_some_and(|r| !r.is_empty()) {
            e.forbidden(&path.child("resources"), "cannot be set for an Ephemeral Container");
        }
    }
}

fn unique<'a>(e: &mut Errors, container: &'a Value, seen: &mut BTreeSet<&'a str>, path: &Path<'_>) {
    let name = text(field(container, "name"));
    if !name.is_empty() && !seen.insert(name) {
        e.duplicate(&path.child("name"), &name.into());
    }
}

fn restart_policy(e: &mut Errors, container: &Value, path: &Path<'_>) {
    let policies = ["Always", "Never", "OnFailure"];
    e.one_of_if_any(&path.child("restartPolicy"), field(container, "restartPolicy"), &policies);
}

/// Only init containers that keep running may have probes and a life cycle.
fn init_probes(e: &mut Errors, container: &Value, path: &Path<'_>) {
    if text(field(container, "restartPolicy")) == "Always" {
        probe::all(e, container, path);
        return;
    }
    for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if !field(container, key).is_null() {
            e.forbidden(&path.child(key), "may not be set for init containers without restartPolicy=Always");
        }
    }
}

/// `validateContainerCommon`.
fn common(e: &mut Errors, container: &Value, volumes: &BTreeSet<&str>, path: &Path<'_>) {
    match text(field(container, "name")) {
        "" => e.required(&path.child("name"), ""),
        name => e.name(&path.child("name"), name, names::dns1123_label),
    }
    let image = field(container, "image");
    if text(image).is_empty() {
        e.required(&path.child("image"), "");
    } else if text(image).trim() != text(image) {
        e.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
    let policy = field(container, "terminationMessagePolicy");
    e.one_of(&path.child("terminationMessagePolicy"), policy, &["File", "FallbackToLogsOnError"]);
    ports(e, field(container, "ports"), &path.child("ports"));
    environment(e, field(container, "env"), &path.child("env"));
    environment_from(e, field(container, "envFrom"), &path.child("envFrom"));
    mounts(e, field(container, "volumeMounts"), volumes, &path.child("volumeMounts"));
    let policy = field(container, "imagePullPolicy");
    e.one_of(&path.child("imagePullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
    resources::container(e, field(container, "resources"), &path.child("resources"));
    let context = field(container, "securityContext");
    let at = path.child("securityContext");
    for key in ["runAsUser", "runAsGroup"] {
        let value = field(context, key);
        if value.as_i64().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
            e.invalid(&at.child(key), value, "must be between 0 and 2147483647, inclusive");
        }
    }
    if field(context, "allowPrivilegeEscalation") == &Value::Bool(false) && field(context, "privileged") == &Value::Bool(true) {
        e.invalid_shown(&at, "\"\"", "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
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

fn environment(e: &mut Errors, env: &Value, path: &Path<'_>) {
    for (i, variable) in items(env).iter().enumerate() {
        let path = path.index(i);
        match text(field(variable, "name")) {
            "" => e.required(&path.child("name"), ""),
            name => e.name(&path.child("name"), name, names::env_var_name),
        }
        let from = field(variable, "valueFrom");
        if !from.is_null() {
            value_from(e, from, text(field(variable, "value")), &path.child("valueFrom"));
        }
    }
}

fn value_from(e: &mut Errors, from: &Value, value: &str, path: &Path<'_>) {
    let mut sources = 0;
    let mut each = |key: &str| {
        let source = field(from, key);
        sources += usize::from(!source.is_null());
        Some(source).filter(|s| !s.is_null())
    };
    if let Some(source) = each("fieldRef") {
        volume::field_ref(e, source, &ENVIRONMENT_FIELDS, &path.child("fieldRef"));
    }
    if let Some(source) = each("resourceFieldRef")
        && text(field(source, "resource")).is_empty()
    {
        let at = path.child("resourceFieldRef");
        e.required(&at.child("resource"), "");
    }
    for key in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(source) = each(key) {
            let at = path.child(key);
            e.name(&at.child("name"), text(field(source, "name")), names::dns1123_subdomain);
            match text(field(source, "key")) {
                "" => e.required(&at.child("key"), ""),
                key => e.name(&at.child("key"), key, names::config_map_key),
            }
        }
    }
    each("fileKeyRef");
    match (sources, value.is_empty()) {
        (0, _) => {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            e.invalid(path, &"".into(), detail);
        }
        (_, false) => e.invalid(path, &"".into(), "may not be specified when `value` is not empty"),
        (1, true) => {}
        _ => e.invalid(path, &"".into(), "may not have more than one field specified at a time"),
    }
}

const ENVIRONMENT_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn environment_from(e: &mut Errors, sources: &Value, path: &Path<'_>) {
    for (i, source) in items(sources).iter().enumerate() {
        let path = path.index(i);
        let prefix = text(field(source, "prefix"));
        if !prefix.is_empty() {
            e.name(&path.child("prefix"), prefix, names::env_var_name);
        }
        let mut found = 0;
        for key in ["configMapRef", "secretRef"] {
            let reference = field(source, key);
            if !reference.is_null() {
                found += 1;
                let at = path.child(key);
                e.name(&at.child("name"), text(field(reference, "name")), names::dns1123_subdomain);
            }
        }
        match found {
            0 => e.invalid(&path, &"".into(), "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => e.invalid(&path, &"".into(), "may not have more than one field specified at a time"),
        }
    }
}

fn mounts(e: &mut Errors, mounts: &Value, volumes: &BTreeSet<&str>, path: &Path<'_>) {
    let mut seen = BTreeSet::new();
    for (i, mount) in items(mounts).iter().enumerate() {
        let at = path.index(i);
        let name = text(field(mount, "name"));
        if name.is_empty() {
            e.required(&at.child("name"), "");
        } else if !volumes.contains(name) {
            e.not_found(&at.child("name"), &name.into());
        }
        let target = text(field(mount, "mountPath"));
        if target.is_empty() {
            e.required(&at.child("mountPath"), "");
        }
        if !seen.insert(target) {
            e.invalid(&at.child("mountPath"), &target.into(), "must be unique");
        }
        // Kubernetes leaves the index out of this path.
        volume::local_path(e, text(field(mount, "subPath")), &path.child("subPath"));
    }
}
