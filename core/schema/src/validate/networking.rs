//! Ingresses, their classes, and network policies.

use std::net::IpAddr;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::service::{cidr, parse_cidr, parse_ip};
use super::{deep, field, probe, selector};

pub(super) fn network_policy(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    selector::label_selector(e, field(spec, "podSelector"), &path.child("podSelector"));
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        let list = path.child(rules);
        for (i, rule) in items(field(spec, rules)).iter().enumerate() {
            let path = list.index(i);
            let ports = path.child("ports");
            for (i, port) in items(field(rule, "ports")).iter().enumerate() {
                policy_port(e, port, &ports.index(i));
            }
            let list = path.child(peers);
            for (i, peer) in items(field(rule, peers)).iter().enumerate() {
                policy_peer(e, peer, &list.index(i));
            }
        }
    }
    let (kinds, list) = (field(spec, "policyTypes"), path.child("policyTypes"));
    if items(kinds).len() > 2 {
        return e.invalid(&list, kinds, "may not specify more than two policyTypes");
    }
    for (i, kind) in items(kinds).iter().enumerate() {
        if !matches!(text(kind), "Ingress" | "Egress") {
            e.unsupported(&list.index(i), kind, &["Ingress", "Egress"]);
        }
    }
}

fn policy_port(e: &mut Errors, port: &Value, path: &Path<'_>) {
    e.one_of_if_any(&path.child("protocol"), field(port, "protocol"), &["TCP", "UDP", "SCTP"]);
    let (number, end) = (field(port, "port"), field(port, "endPort"));
    let at = path.child("endPort");
    match (number, end.as_i64()) {
        (Value::Null, Some(_)) => e.invalid(&at, end, "may not be specified when `port` is not specified"),
        (Value::Null, None) => {}
        (Value::String(_), last) => {
            if last.is_some() {
                e.invalid(&at, end, "may not be specified when `port` is non-numeric");
            }
            probe::port(e, number, &path.child("port"));
        }
        (_, last) => {
            probe::port(e, number, &path.child("port"));
            if last.is_some_and(|last| last < number.as_i64().unwrap_or(0)) {
                e.invalid(&at, number, "must be greater than or equal to `port`");
            }
            e.all(&at, end, last.map(names::port_number).unwrap_or_default());
        }
    }
}

fn policy_peer(e: &mut Errors, peer: &Value, path: &Path<'_>) {
    let mut kinds = 0;
    for key in ["podSelector", "namespaceSelector"] {
        if !field(peer, key).is_null() {
            kinds += 1;
            selector::label_selector(e, field(peer, key), &path.child(key));
        }
    }
    let block = field(peer, "ipBlock");
    if !block.is_null() {
        ip_block(e, block, &path.child("ipBlock"));
        if kinds > 0 {
            e.forbidden(path, "may not specify both ipBlock and another peer");
        }
    } else if kinds == 0 {
        e.required(path, "must specify a peer");
    }
}

fn ip_block(e: &mut Errors, block: &Value, path: &Path<'_>) {
    let whole = field(block, "cidr");
    if text(whole).is_empty() {
        return e.required(&path.child("cidr"), "");
    }
    cidr(e, whole, &path.child("cidr"));
    let Some((base, bits)) = parse_cidr(text(whole)) else { return };
    let list = path.child("except");
    for (i, except) in items(field(block, "except")).iter().enumerate() {
        cidr(e, except, &list.index(i));
        let Some((inner, more)) = parse_cidr(text(except)) else { continue };
        if !contains(base, bits, inner) || bits >= more {
            e.invalid(&list.index(i), except, "must be a strict subset of `cidr`");
        }
    }
}

fn contains(base: IpAddr, bits: u32, ip: IpAddr) -> bool {
    let (a, b, width) = match (base, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    (a ^ b).checked_shr(width - bits).unwrap_or(0) == 0
}

pub(super) fn ingress(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let rules = items(field(spec, "rules"));
    let fallback = field(spec, "defaultBackend");
    if rules.is_empty() && fallback.is_null() {
        e.invalid(&path, &Value::Array(Vec::new()), "either `defaultBackend` or `rules` must be specified");
    }
    if !fallback.is_null() {
        backend(e, fallback, &path.child("defaultBackend"));
    }
    let list = path.child("rules");
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let host = text(field(rule, "host"));
        if parse_ip(host).is_some() {
            e.invalid(&path.child("host"), &host.into(), "must be a DNS name, not an IP address");
        }
        host_name(e, host, &path.child("host"));
        let http = path.child("http");
        let paths = http.child("paths");
        if !field(rule, "http").is_null() && items(deep(rule, &["http", "paths"])).is_empty() {
            e.required(&paths, "");
        }
        for (i, one) in items(deep(rule, &["http", "paths"])).iter().enumerate() {
            ingress_path(e, one, &paths.index(i));
        }
    }
    let list = path.child("tls");
    for (i, tls) in items(field(spec, "tls")).iter().enumerate() {
        let path = list.index(i);
        let hosts = path.child("hosts");
        for (i, host) in items(field(tls, "hosts")).iter().enumerate() {
            match text(host) {
                "" => e.name(&hosts.index(i), "", names::dns1123_subdomain),
                host => host_name(e, host, &hosts.index(i)),
            }
        }
        let secret = text(field(tls, "secretName"));
        if !secret.is_empty() {
            e.name(&path.child("secretName"), secret, names::dns1123_subdomain);
        }
    }
    let class = field(spec, "ingressClassName");
    if let Some(class) = class.as_str() {
        e.name(&path.child("ingressClassName"), class, names::dns1123_subdomain);
    }
    const ANNOTATION: &str = "kubernetes.io/ingress.class";
    let annotated = deep(object, &["metadata", "annotations", ANNOTATION]);
    if old.is_none() && !annotated.is_null() && !class.is_null() && annotated != class {
        let annotations = Path::root("annotations");
        e.invalid(&annotations.child(ANNOTATION), annotated, "must match `ingressClassName` when both are specified");
    }
}

fn host_name(e: &mut Errors, host: &str, path: &Path<'_>) {
    if host.contains('*') {
        e.name(path, host, names::wildcard_dns1123_subdomain);
    } else if !host.is_empty() {
        e.name(path, host, names::dns1123_subdomain);
    }
}

fn ingress_path(e: &mut Errors, one: &Value, path: &Path<'_>) {
    let (kind, at) = (field(one, "pathType"), path.child("path"));
    let target = text(field(one, "path"));
    let mut wrong = |detail: String| e.invalid(&at, &target.into(), &detail);
    match text(kind) {
        _ if kind.is_null() => return e.required(&path.child("pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !target.starts_with('/') {
                wrong("must be an absolute path".to_owned());
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| target.contains(part)) {
                wrong(format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].into_iter().filter(|end| target.ends_with(end)) {
                wrong(format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => {
            if !target.is_empty() && !target.starts_with('/') {
                wrong("must be an absolute path".to_owned());
            }
        }
        _ => e.unsupported(&path.child("pathType"), kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(e, field(one, "backend"), &path.child("backend"));
}

fn backend(e: &mut Errors, backend: &Value, path: &Path<'_>) {
    let (service, resource) = (field(backend, "service"), field(backend, "resource"));
    match (service.is_null(), resource.is_null()) {
        (false, false) => e.invalid(path, &"".into(), "cannot set both resource and service backends"),
        (true, true) => e.invalid(path, &"".into(), "resource or service backend is required"),
        (true, false) => reference(e, resource, &path.child("resource")),
        (false, true) => {
            let at = path.child("service");
            match text(field(service, "name")) {
                "" => e.required(&at.child("name"), ""),
                name => e.name(&at.child("name"), name, names::dns1035_label),
            }
            let (name, number) = (text(deep(service, &["port", "name"])), deep(service, &["port", "number"]).as_i64());
            let port = at.child("port");
            match (name, number.unwrap_or(0)) {
                ("", 0) => e.required(path, "port name or number is required"),
                ("", number) => e.all(&port.child("number"), &number.into(), names::port_number(number)),
                (name, 0) => e.name(&port.child("name"), name, names::port_name),
                _ => e.invalid(path, &"".into(), "cannot set both port name & port number"),
            }
        }
    }
}

/// `validateIngressTypedLocalObjectReference`.
fn reference(e: &mut Errors, reference: &Value, path: &Path<'_>) {
    if let Some(group) = field(reference, "apiGroup").as_str() {
        e.name(&path.child("apiGroup"), group, names::dns1123_subdomain);
    }
    for key in ["kind", "name"] {
        match text(field(reference, key)) {
            "" => e.required(&path.child(key), &format!("{key} is required")),
            name => e.name(&path.child(key), name, names::path_segment),
        }
    }
}

pub(super) fn ingress_class(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let controller = field(spec, "controller");
    let at = path.child("controller");
    if let Some(old) = old {
        e.immutable(&at, controller, deep(old, &["spec", "controller"]));
    }
    if text(controller).len() > 250 {
        e.too_long(&at, 250);
    }
    e.domain_path(&at, text(controller));
    let (parameters, at) = (field(spec, "parameters"), path.child("parameters"));
    if parameters.is_null() {
        return;
    }
    reference(e, parameters, &at);
    let (scope, namespace) = (field(parameters, "scope"), field(parameters, "namespace"));
    e.one_of(&at.child("scope"), scope, &["Cluster", "Namespace"]);
    match (text(scope), namespace.as_str()) {
        ("Namespace", None) => e.required(&at.child("namespace"), "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", Some(name)) => e.name(&at.child("namespace"), name, names::dns1123_label),
        ("Cluster", Some(_)) => e.forbidden(&at.child("namespace"), "`parameters.scope` is set to 'Cluster'"),
        _ => {}
    }
}

/// An address belongs to something.
pub(super) fn address(e: &mut Errors, object: &Value) {
    let (spec, parent) = (Path::root("spec"), deep(object, &["spec", "parentRef"]));
    let path = spec.child("parentRef");
    if parent.is_null() {
        return e.required(&path, "");
    }
    let group = text(field(parent, "group"));
    if !group.is_empty() {
        e.name(&path.child("group"), group, names::dns1123_subdomain);
    }
    for key in ["resource", "name", "namespace"] {
        match text(field(parent, key)) {
            "" if key == "namespace" => {}
            "" => e.required(&path.child(key), ""),
            name => e.name(&path.child(key), name, names::path_segment),
        }
    }
}
