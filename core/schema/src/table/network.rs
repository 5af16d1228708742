//! Services, their endpoints, and ways into the cluster.

use std::collections::BTreeSet;

use object::Value;
use object::value::{i64_at, list_at, str_at};

use super::{Printer, joined, labels, selector, some_of};

pub(super) fn cells(p: &Printer<'_>, group: &str, kind: &str) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("", "Service") => service(p),
        ("", "Endpoints") => vec![p.name(), endpoints(p).into(), p.age()],
        ("discovery.k8s.io", "EndpointSlice") => slice(p),
        ("networking.k8s.io", "Ingress") => ingress(p),
        ("networking.k8s.io", "IngressClass") => {
            let parameters = p.at(&["spec", "parameters"]).map(|r| match str_at(r, &["apiGroup"]) {
                "" => format!("{}/{}", str_at(r, &["kind"]), str_at(r, &["name"])),
                group => format!("{}.{group}/{}", str_at(r, &["kind"]), str_at(r, &["name"])),
            });
            vec![
                p.name(),
                p.text(&["spec", "controller"]).into(),
                parameters.unwrap_or_else(|| "<none>".to_owned()).into(),
                p.age(),
            ]
        }
        ("networking.k8s.io", "NetworkPolicy") => vec![p.name(), selector(p.at(&["spec", "podSelector"])), p.age()],
        ("networking.k8s.io", "ServiceCIDR") => vec![p.name(), joined(&texts(p.list(&["spec", "cidrs"])), ",", ""), p.age()],
        ("networking.k8s.io", "IPAddress") => vec![p.name(), parent(p).into()],
        _ => return None,
    })
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn service(p: &Printer<'_>) -> Vec<Value> {
    let kind = p.text(&["spec", "type"]);
    let internal = p.list(&["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or(p.text(&["spec", "clusterIP"]));
    let mut external = texts(p.list(&["spec", "externalIPs"]));
    let external = match kind {
        "ExternalName" => p.text_or(&["spec", "externalName"], "<none>"),
        "LoadBalancer" => {
            let mut all = balancer(p);
            all.append(&mut external);
            joined(&all, ",", "<pending>")
        }
        _ => joined(&external, ",", "<none>"),
    };
    let ports: Vec<String> = p
        .list(&["spec", "ports"])
        .iter()
        .map(|port| {
            let (number, protocol) = (i64_at(port, &["port"]).unwrap_or(0), str_at(port, &["protocol"]));
            match i64_at(port, &["nodePort"]).unwrap_or(0) {
                0 => format!("{number}/{protocol}"),
                node => format!("{number}:{node}/{protocol}"),
            }
        })
        .collect();
    vec![
        p.name(),
        kind.into(),
        if internal.is_empty() { "<none>".into() } else { internal.into() },
        external,
        joined(&ports, ",", "<none>"),
        p.age(),
        labels(p.at(&["spec", "selector"])),
    ]
}

/// Addresses of the load balancer, sorted and each once.
fn balancer(p: &Printer<'_>) -> Vec<String> {
    let ingress = p.list(&["status", "loadBalancer", "ingress"]).iter();
    let address = |i: &Value| match str_at(i, &["ip"]) {
        "" => str_at(i, &["hostname"]).to_owned(),
        ip => ip.to_owned(),
    };
    ingress.map(address).filter(|a| !a.is_empty()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn host_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn endpoints(p: &Printer<'_>) -> String {
    let mut all = Vec::new();
    for subset in p.list(&["subsets"]) {
        let addresses = list_at(subset, &["addresses"]);
        let ports = list_at(subset, &["ports"]);
        if ports.is_empty() {
            all.extend(addresses.iter().map(|a| str_at(a, &["ip"]).to_owned()));
        }
        for port in ports {
            let number = i64_at(port, &["port"]).unwrap_or(0);
            all.extend(addresses.iter().map(|a| host_port(str_at(a, &["ip"]), number)));
        }
    }
    // Nothing is said of endpoints that are all unready.
    if p.list(&["subsets"]).is_empty() { "<none>".to_owned() } else { some_of(all, 3, ",") }
}

fn slice(p: &Printer<'_>) -> Vec<Value> {
    let number = |port: &Value| i64_at(port, &["port"]).map_or_else(|| "*".to_owned(), |n| n.to_string());
    let ports: Vec<String> = p.list(&["ports"]).iter().map(number).collect();
    let addresses: Vec<String> = p.list(&["endpoints"]).iter().flat_map(|e| texts(list_at(e, &["addresses"]))).collect();
    let shown = |all: Vec<String>| if all.is_empty() { "<unset>".to_owned() } else { some_of(all, 3, ",") };
    vec![p.name(), p.text(&["addressType"]).into(), shown(ports).into(), shown(addresses).into(), p.age()]
}

/// Hosts of the rules; rules without one count only among those that are not shown.
fn hosts(rules: &[Value]) -> String {
    const SHOWN: usize = 3;
    let named = |r: &&Value| !str_at(r, &["host"]).is_empty();
    let hosts: Vec<&str> = rules.iter().filter(named).take(SHOWN).map(|r| str_at(r, &["host"])).collect();
    let full_at = rules.iter().enumerate().filter(|(_, r)| named(r)).nth(SHOWN - 1).map(|(at, _)| at);
    match full_at {
        Some(at) if at + 1 < rules.len() => format!("{} + {} more...", hosts.join(","), rules.len() - SHOWN),
        _ if hosts.is_empty() => "*".to_owned(),
        _ => hosts.join(","),
    }
}

fn ingress(p: &Printer<'_>) -> Vec<Value> {
    let ports = if p.list(&["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
    vec![
        p.name(),
        p.text_or(&["spec", "ingressClassName"], "<none>"),
        hosts(p.list(&["spec", "rules"])).into(),
        joined(&balancer(p), ",", ""),
        ports.into(),
        p.age(),
    ]
}

fn parent(p: &Printer<'_>) -> String {
    let Some(parent) = p.at(&["spec", "parentRef"]) else { return "<none>".to_owned() };
    let mut out = str_at(parent, &["resource"]).to_owned();
    if !str_at(parent, &["group"]).is_empty() {
        out = format!("{out}.{}", str_at(parent, &["group"]));
    }
    if !str_at(parent, &["namespace"]).is_empty() {
        out = format!("{out}/{}", str_at(parent, &["namespace"]));
    }
    format!("{out}/{}", str_at(parent, &["name"]))
}
