//! Services, ingresses and network policies.

use std::collections::BTreeSet;
use std::net::IpAddr;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, metadata, probe, selector};

/// `IsValidIP`.
pub(super) fn ip(e: &mut Errors, value: &Value, path: &Path<'_>) {
    if text(value).parse::<IpAddr>().is_err() {
        e.invalid(path, &text(value).into(), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

/// `ValidateLoadBalancerStatus`.
pub(super) fn load_balancer_status(e: &mut Errors, status: &Value) {
    let (status_path, ingress) = (Path::root("status"), field(status, "ingress"));
    let balancer = status_path.child("loadBalancer");
    let list = balancer.child("ingress");
    for (i, one) in items(ingress).iter().enumerate() {
        let path = list.index(i);
        if !text(field(one, "ip")).is_empty() {
            ip(e, field(one, "ip"), &path.child("ip"));
        }
        let name = text(field(one, "hostname"));
        if !name.is_empty() {
            e.name(&path.child("hostname"), name, names::dns1123_subdomain);
            if name.parse::<IpAddr>().is_ok() {
                e.invalid(&path.child("hostname"), &name.into(), "must be a DNS name, not an IP address");
            }
        }
        e.one_of_if_any(&path.child("ipMode"), field(one, "ipMode"), &["Proxy", "VIP"]);
    }
}

/// `IsValidCIDR`.
pub(super) fn cidr(e: &mut Errors, value: &Value, path: &Path<'_>) {
    let valid = text(value).split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u32>().is_ok_and(|b| b <= most)
    });
    if !valid {
        e.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}

pub(super) fn service(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let kind = text(field(spec, "type"));
    let ports = items(field(spec, "ports"));
    let list = path.child("ports");
    if ports.is_empty() && text(field(spec, "clusterIP")) != "None" && kind != "ExternalName" {
        e.required(&list, "");
    }
    if kind == "ExternalName" {
        match text(field(spec, "externalName")) {
            "" => e.required(&path.child("externalName"), ""),
            name => {
                let trimmed = name.strip_suffix('.').unwrap_or(name);
                e.all(&path.child("externalName"), &name.into(), names::dns1123_subdomain(trimmed));
            }
        }
    }
    let class = field(spec, "loadBalancerClass");
    if let Some(before) = old.map(|old| field(old, "spec")).filter(|before| text(field(before, "type")) == "LoadBalancer")
        && kind == "LoadBalancer"
        && class != field(before, "loadBalancerClass")
    {
        e.invalid(&path.child("loadBalancerClass"), class, "may not change once set");
    }
    if kind == "LoadBalancer" && !class.is_null() {
        e.name(&path.child("loadBalancerClass"), text(class), names::qualified_name);
    } else if !class.is_null() {
        e.forbidden(&path.child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'");
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        service_port(e, port, ports.len() > 1, &mut seen, &list.index(i));
    }
    metadata::labels(e, field(spec, "selector"), &path.child("selector"));
    e.one_of(&path.child("sessionAffinity"), field(spec, "sessionAffinity"), &["ClientIP", "None"]);
    let timeout = deep(spec, &["sessionAffinityConfig", "clientIP", "timeoutSeconds"]);
    if timeout.as_i64().is_some_and(|t| !(1..=86_400).contains(&t)) {
        let (config, client) = (path.child("sessionAffinityConfig"), "clientIP");
        let at = config.child(client);
        e.invalid(&at.child("timeoutSeconds"), timeout, "must be greater than 0 and less than 86400");
    }
    addresses(e, spec, kind, &path);
    if !kind.is_empty() {
        let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        e.one_of(&path.child("type"), field(spec, "type"), &kinds);
    }
    node_ports(e, ports, kind, &list);
    policies(e, spec, kind, &path);
    if let Some(old) = old {
        fixed_addresses(e, spec, field(old, "spec"), &path);
    }
}

fn service_port<'a>(e: &mut Errors, port: &'a Value, need_name: bool, seen: &mut BTreeSet<&'a str>, path: &Path<'_>) {
    match text(field(port, "name")) {
        "" if need_name => e.required(&path.child("name"), ""),
        "" => {}
        name => {
            e.name(&path.child("name"), name, names::dns1123_label);
            if !seen.insert(name) {
                e.duplicate(&path.child("name"), &name.into());
            }
        }
    }
    let number = field(port, "port").as_i64().unwrap_or(0);
    e.all(&path.child("port"), &number.into(), names::port_number(number));
    e.one_of(&path.child("protocol"), field(port, "protocol"), &["SCTP", "TCP", "UDP"]);
    probe::port(e, field(port, "targetPort"), &path.child("targetPort"));
    let protocol = text(field(port, "appProtocol"));
    if !protocol.is_empty() {
        e.name(&path.child("appProtocol"), protocol, names::qualified_name);
    }
}

fn addresses(e: &mut Errors, spec: &Value, kind: &str, path: &Path<'_>) {
    let list = path.child("clusterIPs");
    let own = items(field(spec, "clusterIPs"));
    if kind == "ExternalName" && !own.is_empty() {
        e.forbidden(&list, "may not be set when `type` is 'ExternalName'");
    }
    for (i, address) in own.iter().enumerate().filter(|(_, a)| text(a) != "None") {
        ip(e, address, &list.index(i));
    }
    let single = field(spec, "clusterIP");
    if own.is_empty() && !matches!(text(single), "" | "None") {
        ip(e, single, &list.index(0));
    }
    let list = path.child("externalIPs");
    for (i, address) in items(field(spec, "externalIPs")).iter().enumerate() {
        ip(e, address, &list.index(i));
    }
}

fn node_ports(e: &mut Errors, ports: &[Value], kind: &str, list: &Path<'_>) {
    let number = |port: &Value, key: &str| field(port, key).as_i64().unwrap_or(0);
    if kind == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, p)| number(p, "nodePort") != 0) {
            e.forbidden(&list.index(i).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let protocol = text(field(port, "protocol"));
        if !seen.insert((protocol, number(port, "port"))) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{protocol:?},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                number(port, "port")
            );
            e.duplicate_shown(&list.index(i), &shown);
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate().filter(|(_, p)| number(p, "nodePort") != 0) {
        if !seen.insert((text(field(port, "protocol")), number(port, "nodePort"))) {
            e.duplicate(&list.index(i).child("nodePort"), field(port, "nodePort"));
        }
    }
}

fn policies(e: &mut Errors, spec: &Value, kind: &str, path: &Path<'_>) {
    let ranges = items(field(spec, "loadBalancerSourceRanges"));
    // Kubernetes writes this path so.
    let list = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && kind != "LoadBalancer" {
        e.forbidden(&list, "may only be used when `type` is 'LoadBalancer'");
    }
    for (i, range) in ranges.iter().enumerate() {
        cidr(e, range, &list.index(i));
    }
    let external = field(spec, "externalTrafficPolicy");
    let reachable = matches!(kind, "NodePort" | "LoadBalancer") || !items(field(spec, "externalIPs")).is_empty();
    let at = path.child("externalTrafficPolicy");
    if !text(external).is_empty() && !reachable {
        e.invalid(&at, external, "may only be set for externally-accessible services");
    } else {
        e.one_of_if_any(&at, external, &["Cluster", "Local"]);
    }
    e.one_of_if_any(&path.child("internalTrafficPolicy"), field(spec, "internalTrafficPolicy"), &["Cluster", "Local"]);
    let families = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    e.one_of_if_any(&path.child("ipFamilyPolicy"), field(spec, "ipFamilyPolicy"), &families);
}

/// Addresses stay as they are while a Service has some.
fn fixed_addresses(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let is_external = |spec: &Value| text(field(spec, "type")) == "ExternalName";
    if is_external(new) || is_external(old) {
        return;
    }
    let list = path.child("clusterIPs");
    let before = items(field(old, "clusterIPs"));
    let after = items(field(new, "clusterIPs"));
    for (i, address) in before.iter().enumerate() {
        if after.get(i).is_some_and(|a| a != address) {
            e.invalid(&list.index(i), field(new, "clusterIPs"), "may not change once set");
        }
    }
}

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
    let list = path.child("policyTypes");
    for (i, kind) in items(field(spec, "policyTypes")).iter().enumerate() {
        e.one_of(&list.index(i), kind, &["Egress", "Ingress"]);
    }
}

fn policy_port(e: &mut Errors, port: &Value, path: &Path<'_>) {
    e.one_of_if_any(&path.child("protocol"), field(port, "protocol"), &["SCTP", "TCP", "UDP"]);
    let number = field(port, "port");
    if !number.is_null() {
        probe::port(e, number, &path.child("port"));
    }
    let end = field(port, "endPort");
    if let Some(last) = end.as_i64() {
        match number.as_i64() {
            None if number.is_null() => e.required(&path.child("port"), "must be specified when `endPort` is specified"),
            None => e.invalid(&path.child("port"), number, "`endPort` may not be specified when `port` is non-numeric"),
            Some(first) if last < first => {
                e.invalid(&path.child("endPort"), end, "must be greater than or equal to `port`");
            }
            Some(_) => {}
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
        kinds += 1;
        let at = path.child("ipBlock");
        match text(field(block, "cidr")) {
            "" => e.required(&at.child("cidr"), ""),
            _ => cidr(e, field(block, "cidr"), &at.child("cidr")),
        }
        let list = at.child("except");
        for (i, except) in items(field(block, "except")).iter().enumerate() {
            cidr(e, except, &list.index(i));
        }
        if kinds > 1 {
            e.forbidden(path, "may not specify both ipBlock and another peer");
        }
    }
    if kinds == 0 {
        e.required(path, "must specify a peer");
    }
}

pub(super) fn ingress(e: &mut Errors, object: &Value) {
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
        if host.parse::<IpAddr>().is_ok() {
            e.invalid(&path.child("host"), &host.into(), "must be a DNS name, not an IP address");
        } else if host.contains('*') {
            e.name(&path.child("host"), host, names::wildcard_dns1123_subdomain);
        } else if !host.is_empty() {
            e.name(&path.child("host"), host, names::dns1123_subdomain);
        }
        let http = path.child("http");
        let paths = http.child("paths");
        if !field(rule, "http").is_null() && items(deep(rule, &["http", "paths"])).is_empty() {
            e.required(&paths, "");
        }
        for (i, one) in items(deep(rule, &["http", "paths"])).iter().enumerate() {
            ingress_path(e, one, &paths.index(i));
        }
    }
    let class = text(field(spec, "ingressClassName"));
    if !class.is_empty() {
        e.name(&path.child("ingressClassName"), class, names::dns1123_subdomain);
    }
}

fn ingress_path(e: &mut Errors, one: &Value, path: &Path<'_>) {
    let kind = field(one, "pathType");
    let target = field(one, "path");
    match text(kind) {
        "" => e.required(&path.child("pathType"), "pathType must be specified"),
        "Exact" | "Prefix" if !text(target).starts_with('/') => {
            e.invalid(&path.child("path"), target, "must be an absolute path");
        }
        "Exact" | "Prefix" | "ImplementationSpecific" => {}
        _ => e.unsupported(&path.child("pathType"), kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    backend(e, field(one, "backend"), &path.child("backend"));
}

fn backend(e: &mut Errors, backend: &Value, path: &Path<'_>) {
    let service = field(backend, "service");
    match (service.is_null(), field(backend, "resource").is_null()) {
        (false, false) => e.invalid(path, &"".into(), "cannot set both resource and service backends"),
        (true, true) => {
            let at = path.child("service");
            e.required(&at.child("name"), "");
            let port = at.child("port");
            e.required(&port, "port name or number is required");
        }
        (true, false) => {}
        (false, true) => {
            let at = path.child("service");
            match text(field(service, "name")) {
                "" => e.required(&at.child("name"), ""),
                name => e.name(&at.child("name"), name, names::dns1035_label),
            }
            let (name, number) = (text(deep(service, &["port", "name"])), deep(service, &["port", "number"]).as_i64());
            let port = at.child("port");
            match (name, number.unwrap_or(0)) {
                ("", 0) => e.required(&port, "port name or number is required"),
                ("", number) => e.all(&port.child("number"), &number.into(), names::port_number(number)),
                (name, 0) => e.name(&port.child("name"), name, names::port_name),
                _ => e.invalid(&port, &"".into(), "cannot set both port name & port number"),
            }
        }
    }
}
