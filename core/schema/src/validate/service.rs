//! Services, and addresses wherever they stand.

use std::collections::BTreeSet;
use std::net::IpAddr;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, metadata, probe, upgrade};

/// `ParseIPSloppy`: the parts of an address may begin with zeros.
pub(super) fn parse_ip(text: &str) -> Option<IpAddr> {
    let trimmed = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let without_zeros = || text.split('.').map(trimmed).collect::<Vec<_>>().join(".").parse().ok();
    text.parse().ok().or_else(|| without_zeros().filter(IpAddr::is_ipv4))
}

/// `ValidateNonSpecialIP`: addresses at which something else than a node can be reached.
pub(super) fn ordinary_ip(e: &mut Errors, value: &Value, path: &Path<'_>) {
    let Some(ip) = parse_ip(text(value)) else {
        return e.invalid(path, &text(value).into(), "must be a valid IP address");
    };
    let (local, multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets().starts_with(&[224, 0, 0])),
        IpAddr::V6(ip) => (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02),
    };
    if ip.is_unspecified() {
        e.invalid(path, value, &format!("may not be unspecified ({})", text(value)));
    }
    for (special, detail) in [
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        if special {
            e.invalid(path, value, detail);
        }
    }
}

/// As [`ordinary_ip`] for what is behind a Service. Kubernetes refuses loopback addresses here as well; this host gives its
/// pods addresses in 127.0.0.0/8 where it may not make routes, and everything runs on one machine.
pub(super) fn endpoint_ip(e: &mut Errors, value: &Value, path: &Path<'_>) {
    if !matches!(parse_ip(text(value)), Some(IpAddr::V4(ip)) if ip.is_loopback()) {
        ordinary_ip(e, value, path);
    }
}

/// `IsValidIP`.
pub(super) fn ip(e: &mut Errors, value: &Value, path: &Path<'_>) {
    if parse_ip(text(value)).is_none() {
        e.invalid(path, &text(value).into(), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

/// `ValidateLoadBalancerStatus`. `service` is the one whose status it is; an Ingress has one too.
pub(super) fn load_balancer_status(e: &mut Errors, status: &Value, service: Option<&Value>) {
    let (status_path, ingress) = (Path::root("status"), field(status, "ingress"));
    let balancer = status_path.child("loadBalancer");
    let list = balancer.child("ingress");
    let kind = service.map(|object| text(deep(object, &["spec", "type"])));
    if kind.is_some_and(|kind| kind != "LoadBalancer") && !items(ingress).is_empty() {
        return e.forbidden(&list, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    for (i, one) in items(ingress).iter().enumerate() {
        let path = list.index(i);
        let (address, mode) = (field(one, "ip"), field(one, "ipMode"));
        if !text(address).is_empty() {
            ip(e, address, &path.child("ip"));
        }
        match (text(address).is_empty(), mode.is_null()) {
            _ if service.is_none() => {}
            (false, true) => e.required(&path.child("ipMode"), "must be specified when `ip` is set"),
            (true, false) => e.forbidden(&path.child("ipMode"), "may not be specified when `ip` is not set"),
            _ => e.one_of_if_any(&path.child("ipMode"), mode, &["Proxy", "VIP"]),
        }
        let name = text(field(one, "hostname"));
        if !name.is_empty() {
            e.name(&path.child("hostname"), name, names::dns1123_subdomain);
            if parse_ip(name).is_some() {
                e.invalid(&path.child("hostname"), &name.into(), "must be a DNS name, not an IP address");
            }
        }
    }
}

/// `ParseCIDRSloppy`: an address, and how many of its bits count.
pub(super) fn parse_cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits) = (parse_ip(address)?, bits.parse::<u32>().ok()?);
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

/// `IsValidCIDR`.
pub(super) fn cidr(e: &mut Errors, value: &Value, path: &Path<'_>) {
    if parse_cidr(text(value)).is_none() {
        e.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}

pub(super) fn service(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let kind = text(field(spec, "type"));
    if let Some(before) = old.map(|old| field(old, "spec")) {
        upgrade::addresses(e, spec, before, &path);
        upgrade::families(e, spec, before, &path);
        let class = field(spec, "loadBalancerClass");
        if kind == "LoadBalancer" && text(field(before, "type")) == kind && class != field(before, "loadBalancerClass") {
            e.invalid(&path.child("loadBalancerClass"), class, "may not change once set");
        }
        if old.is_some() {
            balancer_class(e, spec, &path);
        }
        let health = "healthCheckNodePort";
        if needs_health_check(spec) && needs_health_check(before) && field(spec, health) != field(before, health) {
            e.forbidden(&path.child(health), "field is immutable");
        }
    }
    topology_annotations(e, object);
    let ports = items(field(spec, "ports"));
    let list = path.child("ports");
    if ports.is_empty() && !is_headless(spec) && kind != "ExternalName" {
        e.required(&list, "");
    }
    by_type(e, spec, kind, &path);
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        service_port(e, port, ports.len() > 1, &mut seen, &list.index(i));
    }
    metadata::labels(e, field(spec, "selector"), &path.child("selector"));
    session_affinity(e, spec, &path);
    if kind != "ExternalName" {
        cluster_ips(e, spec, &path);
    }
    let externals = path.child("externalIPs");
    for (i, address) in items(field(spec, "externalIPs")).iter().enumerate() {
        let before = e.len();
        ip(e, address, &externals.index(i));
        if e.len() == before {
            ordinary_ip(e, address, &externals.index(i));
        }
    }
    e.one_of(&path.child("type"), field(spec, "type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    node_ports(e, ports, kind, &list);
    source_ranges(e, object, kind, &path);
    let allocates = field(spec, "allocateLoadBalancerNodePorts");
    if !allocates.is_null() && kind != "LoadBalancer" {
        e.forbidden(&path.child("allocateLoadBalancerNodePorts"), "may only be used when `type` is 'LoadBalancer'");
    }
    balancer_class(e, spec, &path);
    policies(e, spec, kind, &path);
}

pub(super) fn is_headless(spec: &Value) -> bool {
    matches!(items(field(spec, "clusterIPs")), [only] if text(only) == "None")
}

fn needs_health_check(spec: &Value) -> bool {
    text(field(spec, "type")) == "LoadBalancer" && text(field(spec, "externalTrafficPolicy")) == "Local"
}

/// The old and the new name of an annotation say the same.
fn topology_annotations(e: &mut Errors, object: &Value) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let [hints, mode] = [HINTS, MODE].map(|key| deep(object, &["metadata", "annotations", key]));
    if !hints.is_null() && !mode.is_null() && hints != mode {
        let meta = Path::root("metadata");
        let detail = format!("must match annotations[{HINTS}] when both are specified");
        e.invalid(&meta.child("annotations").key(MODE), mode, &detail);
    }
}

fn by_type(e: &mut Errors, spec: &Value, kind: &str, path: &Path<'_>) {
    if matches!(kind, "LoadBalancer" | "NodePort") && is_headless(spec) {
        let detail = format!("may not be set to 'None' for {kind} services");
        e.invalid(&path.child("clusterIPs").index(0), &"None".into(), &detail);
    }
    if kind != "ExternalName" {
        return;
    }
    for key in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let value = field(spec, key);
        if !items(value).is_empty() || value.is_string() {
            e.forbidden(&path.child(key), "may not be set for ExternalName services");
        }
    }
    let name = text(field(spec, "externalName"));
    match name.strip_suffix('.').unwrap_or(name) {
        "" => e.required(&path.child("externalName"), ""),
        name => e.name(&path.child("externalName"), name, names::dns1123_subdomain),
    }
}

fn balancer_class(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let class = field(spec, "loadBalancerClass");
    if class.is_null() {
        return;
    }
    if text(field(spec, "type")) == "LoadBalancer" {
        e.name(&path.child("loadBalancerClass"), text(class), names::qualified_name);
    } else {
        e.forbidden(&path.child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'");
    }
}

fn session_affinity(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let affinity = field(spec, "sessionAffinity");
    e.one_of(&path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let (config, at) = (field(spec, "sessionAffinityConfig"), path.child("sessionAffinityConfig"));
    if text(affinity) == "None" && !config.is_null() {
        e.forbidden(&at, "must not be set when session affinity is None");
    }
    if text(affinity) != "ClientIP" {
        return;
    }
    let client = at.child("clientIP");
    let timeout = deep(config, &["clientIP", "timeoutSeconds"]);
    let missing = "when session affinity type is ClientIP";
    if config.is_null() {
        e.required(&at, missing);
    } else if field(config, "clientIP").is_null() {
        e.required(&client, missing);
    } else if timeout.is_null() {
        e.required(&client.child("timeoutSeconds"), missing);
    } else if timeout.as_i64().is_some_and(|t| !(1..=86_400).contains(&t)) {
        e.invalid(&client.child("timeoutSeconds"), timeout, "must be greater than 0 and less than 86400");
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
    if let Some(protocol) = field(port, "appProtocol").as_str() {
        e.name(&path.child("appProtocol"), protocol, names::qualified_name);
    }
}

/// `ValidateServiceClusterIPsRelatedFields`.
fn cluster_ips(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let (own, list) = (field(spec, "clusterIPs"), path.child("clusterIPs"));
    let (addresses, single) = (items(own), text(field(spec, "clusterIP")));
    match addresses.first() {
        None if !single.is_empty() => e.required(&list, ""),
        Some(_) if single.is_empty() => e.invalid(&list, own, "must be empty when `clusterIP` is not specified"),
        Some(first) if text(first) != single => e.invalid(&list, own, "first value must match `clusterIP`"),
        _ => {}
    }
    let (families, at) = (items(field(spec, "ipFamilies")), path.child("ipFamilies"));
    for (i, family) in families.iter().enumerate() {
        e.one_of(&at.index(i), family, &["IPv4", "IPv6"]);
        if families.iter().take(i).any(|before| before == family) {
            e.duplicate(&at.index(i), family);
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    e.one_of_if_any(&path.child("ipFamilyPolicy"), field(spec, "ipFamilyPolicy"), &policies);
    let before = e.len();
    for (i, address) in addresses.iter().enumerate() {
        if i > 0 || text(address) != "None" {
            ip(e, address, &list.index(i));
        } else if addresses.len() > 1 {
            e.invalid(&list, own, "'None' must be the first and only value");
        }
    }
    let sound = e.len() == before;
    if addresses.len() > 2 {
        e.invalid(&list, own, "may only hold up to 2 values");
    }
    if !sound {
        return;
    }
    let is_v6 = |address: &Value| text(address).contains(':');
    if addresses.len() > 1 && !(addresses.iter().any(is_v6) && addresses.iter().any(|a| !is_v6(a))) {
        e.invalid(&list, own, "may specify no more than one IP for each IP family");
    }
    for (i, (address, family)) in addresses.iter().zip(families).enumerate().filter(|_| !is_headless(spec)) {
        let known = matches!(text(family), "IPv4" | "IPv6");
        if known && (text(family) == "IPv6") != is_v6(address) {
            let detail = format!("expected an {} value as indicated by `ipFamilies[{i}]`", text(family));
            e.invalid(&list.index(i), address, &detail);
        }
    }
}

fn node_ports(e: &mut Errors, ports: &[Value], kind: &str, list: &Path<'_>) {
    let number = |port: &Value, key: &str| field(port, key).as_i64().unwrap_or(0);
    let protocol = |port: &Value| text(field(port, "protocol")).to_owned();
    let with_node_port = || ports.iter().enumerate().filter(|(_, port)| number(port, "nodePort") != 0);
    for (i, _) in with_node_port().filter(|_| kind == "ClusterIP") {
        e.forbidden(&list.index(i).child("nodePort"), "may not be used when `type` is 'ClusterIP'");
    }
    for key in ["nodePort", "port"] {
        let mut seen = BTreeSet::new();
        for (i, port) in ports.iter().enumerate().filter(|(_, port)| key == "port" || number(port, key) != 0) {
            if seen.insert((protocol(port), number(port, key))) {
                continue;
            }
            if key == "nodePort" {
                e.duplicate(&list.index(i).child(key), field(port, key));
                continue;
            }
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{:?},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                protocol(port),
                number(port, "port")
            );
            e.duplicate_shown(&list.index(i), &shown);
        }
    }
}

/// Ranges of clients, in the field or in the annotation it replaced.
fn source_ranges(e: &mut Errors, object: &Value, kind: &str, path: &Path<'_>) {
    const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let ranges = items(deep(object, &["spec", "loadBalancerSourceRanges"]));
    // Kubernetes writes this path so.
    let list = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() {
        if kind != "LoadBalancer" {
            e.forbidden(&list, ONLY);
        }
        for (i, range) in ranges.iter().enumerate() {
            cidr(e, &text(range).trim().into(), &list.index(i));
        }
    } else if let Some(stated) = deep(object, &["metadata", "annotations", ANNOTATION]).as_str() {
        let meta = Path::root("metadata");
        let annotations = meta.child("annotations");
        let at = annotations.key(ANNOTATION);
        if kind != "LoadBalancer" {
            e.forbidden(&at, ONLY);
        }
        for range in stated.trim().split(',').filter(|_| !stated.trim().is_empty()) {
            cidr(e, &range.trim().into(), &at);
        }
    }
}

fn policies(e: &mut Errors, spec: &Value, kind: &str, path: &Path<'_>) {
    let external = field(spec, "externalTrafficPolicy");
    let reachable = matches!(kind, "NodePort" | "LoadBalancer") || !items(field(spec, "externalIPs")).is_empty();
    let at = path.child("externalTrafficPolicy");
    if !text(external).is_empty() && !reachable {
        e.invalid(&at, external, "may only be set for externally-accessible services");
    } else {
        e.one_of_if_any(&at, external, &["Cluster", "Local"]);
    }
    let (health, at) = (field(spec, "healthCheckNodePort"), path.child("healthCheckNodePort"));
    match health.as_i64().unwrap_or(0) {
        0 => {}
        number if needs_health_check(spec) => e.all(&at, health, names::port_number(number)),
        _ => e.invalid(&at, health, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"),
    }
    e.one_of_if_any(&path.child("internalTrafficPolicy"), field(spec, "internalTrafficPolicy"), &["Cluster", "Local"]);
    let near = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    e.one_of_if_any(&path.child("trafficDistribution"), field(spec, "trafficDistribution"), &near);
}
