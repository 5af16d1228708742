//! Pods and their templates (`ValidatePodSpec`).

use std::collections::{BTreeMap, BTreeSet};

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{affinity, container, deep, field, metadata, resources, scheduling, security, volume, windows};

/// What the containers of a pod need to know of the rest of it.
pub(super) struct Context<'a> {
    /// The volumes that are right, by name.
    pub(super) volumes: BTreeMap<&'a str, &'a Value>,
    /// The names of the pod's claims of resources.
    pub(super) claims: BTreeSet<&'a str>,
    pub(super) grace: Option<i64>,
    pub(super) host_users: bool,
    pub(super) restart_policy: &'a str,
}

/// A new pod (`ValidatePodCreate`).
pub(super) fn pod(e: &mut Errors, object: &Value) {
    metadata_and_spec(e, object);
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    if !items(field(spec, "ephemeralContainers")).is_empty() {
        e.forbidden(&path.child("ephemeralContainers"), "cannot be set on create");
    }
    if !text(field(spec, "nodeName")).is_empty() && !items(field(spec, "schedulingGates")).is_empty() {
        e.forbidden(&path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
}

/// `validatePodMetadataAndSpec`: what holds for pods whenever they are written.
pub(super) fn metadata_and_spec(e: &mut Errors, object: &Value) {
    let (pod, path) = (field(object, "spec"), Path::root("spec"));
    let meta = Path::root("metadata");
    security::annotations(e, deep(object, &["metadata", "annotations"]), pod, &meta.child("annotations"));
    spec(e, pod, object, &path);
    if text(field(pod, "serviceAccountName")).is_empty() {
        let list = path.child("volumes");
        for (i, volume) in items(field(pod, "volumes")).iter().enumerate() {
            let volume_at = list.index(i);
            let projected = volume_at.child("projected");
            let sources = projected.child("sources");
            for (i, source) in items(deep(volume, &["projected", "sources"])).iter().enumerate() {
                if !field(source, "serviceAccountToken").is_null() {
                    let detail = "must not be specified when serviceAccountName is not set";
                    e.forbidden(&sources.index(i).child("serviceAccountToken"), detail);
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for (i, container) in items(field(pod, list)).iter().enumerate() {
            container::trimmed_image(e, container, &path.child(list).index(i));
        }
    }
}

/// `ValidatePodTemplateSpec`.
pub(super) fn template(e: &mut Errors, template: &Value, path: &Path<'_>) {
    let meta = field(template, "metadata");
    metadata::labels(e, field(meta, "labels"), &path.child("labels"));
    metadata::annotations(e, field(meta, "annotations"), &path.child("annotations"));
    let (pod, at) = (field(template, "spec"), path.child("spec"));
    security::annotations(e, field(meta, "annotations"), pod, &path.child("annotations"));
    spec(e, pod, &Value::Null, &at);
    if !items(field(pod, "ephemeralContainers")).is_empty() {
        e.forbidden(&at.child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// All containers, in the order in which Kubernetes visits them: the list they are in, their place there, and they.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    let list = |name: &'static str| items(field(spec, name)).iter().enumerate().map(move |(i, c)| (name, i, c));
    list("initContainers").chain(list("containers")).chain(list("ephemeralContainers"))
}

/// The rules of a spec. `pod` is the pod whose it is, or null in a template.
fn spec(e: &mut Errors, spec: &Value, pod: &Value, path: &Path<'_>) {
    let grace = field(spec, "terminationGracePeriodSeconds");
    if grace.is_null() {
        e.required(&path.child("terminationGracePeriodSeconds"), "");
    }
    let claims = items(field(spec, "resourceClaims"));
    let context = Context {
        volumes: volume::volumes(e, spec, pod, &path.child("volumes")),
        claims: object::order::set(claims.iter().map(|c| text(field(c, "name"))).filter(|name| !name.is_empty())),
        grace: grace.as_i64(),
        host_users: field(spec, "hostUsers") != &Value::Bool(false),
        restart_policy: text(field(spec, "restartPolicy")),
    };
    resources::pod_claims(e, claims, &path.child("resourceClaims"));
    container::all(e, spec, &context, path);
    resources::pod(e, spec, &path.child("resources"));
    host_network(e, spec, !pod.is_null(), path);
    e.one_of(&path.child("restartPolicy"), field(spec, "restartPolicy"), &["Always", "OnFailure", "Never"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    e.one_of(&path.child("dnsPolicy"), field(spec, "dnsPolicy"), &policies);
    metadata::labels(e, field(spec, "nodeSelector"), &path.child("nodeSelector"));
    security::pod(e, spec, path);
    affinity::check(e, field(spec, "affinity"), &path.child("affinity"));
    dns_config(e, spec, &path.child("dnsConfig"));
    scheduling::gates(e, spec, path);
    scheduling::spread(e, field(spec, "topologySpreadConstraints"), &path.child("topologySpreadConstraints"));
    windows::host_process(e, spec, path);
    security::host_users(e, spec, path);
    identity(e, spec, path);
    resources::overhead(e, field(spec, "overhead"), &path.child("overhead"));
    windows::system(e, spec, path);
}

/// On the network of its host a container's ports are the host's (`validatePodHostNetworkDeps`).
fn host_network(e: &mut Errors, spec: &Value, is_pod: bool, path: &Path<'_>) {
    if field(spec, "hostNetwork") != &Value::Bool(true) {
        return;
    }
    let list = path.child("containers");
    for (i, container) in items(field(spec, "containers")).iter().enumerate() {
        let at = list.index(i);
        let ports = at.child("ports");
        for (i, port) in items(field(container, "ports")).iter().enumerate() {
            let number = |key: &str| field(port, key).as_i64().unwrap_or(0);
            let (host, own) = (number("hostPort"), number("containerPort"));
            // In a template the port of the host may still come by default.
            if (is_pod || host != 0) && host != own {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                e.invalid(&ports.index(i).child("hostPort"), &host.into(), detail);
            }
        }
    }
}

/// Names of other things, the texts that become host names, and what comes between them.
fn identity(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let name = |e: &mut Errors, key: &str, rule: fn(&str) -> Vec<String>| {
        let value = text(field(spec, key));
        if !value.is_empty() {
            e.name(&path.child(key), value, rule);
        }
    };
    name(e, "serviceAccountName", names::dns1123_subdomain);
    name(e, "nodeName", names::dns1123_subdomain);
    let deadline = field(spec, "activeDeadlineSeconds");
    if deadline.as_i64().is_some_and(|d| !(1..=i64::from(i32::MAX)).contains(&d)) {
        e.invalid(&path.child("activeDeadlineSeconds"), deadline, "must be between 1 and 2147483647, inclusive");
    }
    name(e, "hostname", names::dns1123_label);
    name(e, "subdomain", names::dns1123_label);
    scheduling::tolerations(e, field(spec, "tolerations"), &path.child("tolerations"));
    let aliases = path.child("hostAliases");
    for (i, alias) in items(field(spec, "hostAliases")).iter().enumerate() {
        let path = aliases.index(i);
        super::service::ip(e, field(alias, "ip"), &path.child("ip"));
        let hosts = path.child("hostnames");
        for (i, host) in items(field(alias, "hostnames")).iter().enumerate() {
            e.name(&hosts.index(i), text(host), names::dns1123_subdomain);
        }
    }
    name(e, "priorityClassName", names::dns1123_subdomain);
    if let Some(class) = field(spec, "runtimeClassName").as_str() {
        e.name(&path.child("runtimeClassName"), class, names::dns1123_subdomain);
    }
    if !field(spec, "preemptionPolicy").is_null() {
        let policy = field(spec, "preemptionPolicy");
        e.one_of(&path.child("preemptionPolicy"), policy, &["PreemptLowerPriority", "Never"]);
    }
}

/// `validatePodDNSConfig`.
fn dns_config(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let config = field(spec, "dnsConfig");
    let (servers, list) = (field(config, "nameservers"), path.child("nameservers"));
    if text(field(spec, "dnsPolicy")) == "None" {
        if config.is_null() {
            return e.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if items(servers).is_empty() {
            return e.required(&list, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if items(servers).len() > 3 {
        e.invalid(&list, servers, "must not have more than 3 nameservers");
    }
    for (i, server) in items(servers).iter().enumerate() {
        super::service::ip(e, server, &list.index(i));
    }
    let (searches, list) = (field(config, "searches"), path.child("searches"));
    if items(searches).len() > 32 {
        e.invalid(&list, searches, "must not have more than 32 search paths");
    }
    let spaces = items(searches).len().saturating_sub(1);
    if items(searches).iter().map(|s| text(s).len()).sum::<usize>() + spaces > 2048 {
        e.invalid(&list, searches, "must not have more than 2048 characters (including spaces) in the search list");
    }
    for (i, search) in items(searches).iter().enumerate().filter(|(_, search)| text(search) != ".") {
        let search = text(search);
        e.name(&list.index(i), search.strip_suffix('.').unwrap_or(search), names::dns1123_subdomain_with_underscore);
    }
    let list = path.child("options");
    for (i, option) in items(field(config, "options")).iter().enumerate() {
        if text(field(option, "name")).is_empty() {
            e.required(&list.index(i), "must not be empty");
        }
    }
}
