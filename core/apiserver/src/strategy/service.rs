//! Services: addresses and node ports from the configured ranges.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/>

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use object::value::{self, at, i64_at, list_at, str_at};
use object::{ApiError, Cause, GroupVersionKind, Result, Value, json};

use super::allocation;
use crate::server::ApiServer;

/// Gives a Service what its type needs. `old` is the Service before an update.
pub fn allocate(api: &mut ApiServer, old: Option<&Value>, service: &mut Value) -> Result<()> {
    let kind = str_at(service, &["spec", "type"]).to_owned();
    if let Some(old) = old {
        drop_type_dependent(old, service);
    }
    if kind == "ExternalName" {
        return Ok(());
    }
    families(service)?;
    cluster_ip(api, old, service)?;
    health_check_port(api, service);
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        node_ports(api, old, service)?;
    }
    Ok(())
}

/// Fields that go with a type, and which types those are.
const OF_TYPES: [(&str, &[&str]); 8] = [
    ("clusterIP", &["ClusterIP", "LoadBalancer", "NodePort"]),
    ("clusterIPs", &["ClusterIP", "LoadBalancer", "NodePort"]),
    ("ipFamilies", &["ClusterIP", "LoadBalancer", "NodePort"]),
    ("ipFamilyPolicy", &["ClusterIP", "LoadBalancer", "NodePort"]),
    ("externalTrafficPolicy", &["LoadBalancer", "NodePort"]),
    ("healthCheckNodePort", &["LoadBalancer"]),
    ("allocateLoadBalancerNodePorts", &["LoadBalancer"]),
    ("loadBalancerClass", &["LoadBalancer"]),
];

/// A Service that changes its type loses what its former type gave it, unless the client says something else of it.
fn drop_type_dependent(old: &Value, new: &mut Value) {
    let (before, after) = (str_at(old, &["spec", "type"]), str_at(new, &["spec", "type"]).to_owned());
    for (name, types) in OF_TYPES {
        let lost = types.contains(&before) && !types.contains(&after.as_str());
        if lost && at(old, &["spec", name]) == at(new, &["spec", name]) {
            value::remove(new, &["spec", name]);
        }
    }
    let on_nodes = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    if on_nodes(before) && !on_nodes(&after) {
        let mut ports = list_at(new, &["spec", "ports"]).to_vec();
        ports.iter_mut().for_each(|p| drop(value::remove(p, &["nodePort"])));
        value::set(new, &["spec", "ports"], ports);
    }
}

fn cluster_ip(api: &mut ApiServer, old: Option<&Value>, service: &mut Value) -> Result<()> {
    let mut given = str_at(service, &["spec", "clusterIP"]).to_owned();
    if given.is_empty() {
        given = list_at(service, &["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    let kept = old.map(|o| str_at(o, &["spec", "clusterIP"])).filter(|ip| !ip.is_empty()).map(str::to_owned);
    let ip = match (given.as_str(), kept) {
        ("", Some(kept)) => kept,
        ("", None) => {
            allocation::draw_address(api).ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))?
        }
        ("None", _) => "None".to_owned(),
        (asked, Some(kept)) if asked == kept => kept,
        (asked, _) => {
            reserve(api, service, asked)?;
            asked.to_owned()
        }
    };
    value::set(service, &["spec", "clusterIP"], ip.as_str());
    value::set(service, &["spec", "clusterIPs"], json!([ip]));
    // Endpoints that somebody else writes may be of both families.
    let selects = at(service, &["spec", "selector"]).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    let free = ip == "None" && !selects;
    if at(service, &["spec", "ipFamilyPolicy"]).is_none() {
        let policy =
            if free && list_at(service, &["spec", "ipFamilies"]).len() != 1 { "RequireDualStack" } else { "SingleStack" };
        value::set(service, &["spec", "ipFamilyPolicy"], policy);
    }
    let both = free && str_at(service, &["spec", "ipFamilyPolicy"]) != "SingleStack";
    if list_at(service, &["spec", "ipFamilies"]).is_empty() {
        value::set(service, &["spec", "ipFamilies"], if both { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
    }
    Ok(())
}

fn invalid(service: &Value, cause: Cause) -> Box<ApiError> {
    ApiError::invalid(&GroupVersionKind::new("", "v1", "Service"), str_at(service, &["metadata", "name"]), vec![cause])
}

/// This cluster has IPv4 only, which Services without endpoints of their own need not mind.
fn families(service: &Value) -> Result<()> {
    let selects = at(service, &["spec", "selector"]).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
    if str_at(service, &["spec", "clusterIP"]) == "None" && !selects {
        return Ok(());
    }
    if str_at(service, &["spec", "ipFamilyPolicy"]) == "RequireDualStack" {
        let why = "this cluster is not configured for dual-stack services";
        return Err(invalid(service, Cause::invalid("spec.ipFamilyPolicy", &json!("RequireDualStack"), why)));
    }
    match list_at(service, &["spec", "ipFamilies"]).iter().enumerate().find(|(_, family)| *family == "IPv6") {
        Some((i, family)) => {
            let why = "not configured on this cluster";
            Err(invalid(service, Cause::invalid(format!("spec.ipFamilies[{i}]"), family, why)))
        }
        None => Ok(()),
    }
}

/// A load balancer that must find the nodes with local endpoints asks them on a port of its own.
fn health_check_port(api: &mut ApiServer, service: &mut Value) {
    let needed =
        str_at(service, &["spec", "type"]) == "LoadBalancer" && str_at(service, &["spec", "externalTrafficPolicy"]) == "Local";
    let has = i64_at(service, &["spec", "healthCheckNodePort"]).is_some_and(|port| port != 0);
    if !needed {
        value::remove(service, &["spec", "healthCheckNodePort"]);
    } else if !has && let Some(port) = draw_port(api, &BTreeSet::new()) {
        value::set(service, &["spec", "healthCheckNodePort"], port);
    }
}

/// A free port of the range that is not among those `drawn` before.
fn draw_port(api: &mut ApiServer, drawn: &BTreeSet<i64>) -> Option<i64> {
    let (first, last) = api.settings.service_node_ports;
    let (first, span) = (i64::from(first), i64::from(last) - i64::from(first) + 1);
    let start = api.rng.below(span.unsigned_abs()) as i64;
    let mut all = (0..span).map(|k| first + (start + k) % span);
    all.find(|port| !api.node_ports.is_taken(*port) && !drawn.contains(port))
}

fn reserve(api: &ApiServer, service: &Value, asked: &str) -> Result<()> {
    if asked.parse::<std::net::IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return Err(invalid(service, Cause::invalid("spec.clusterIPs[0]", &json!(asked), why)));
    }
    let ranges = allocation::ranges(api);
    let usable = |ip: Ipv4Addr| ranges.iter().any(|(base, size)| (base + 1..base + size - 1).contains(&u32::from(ip)));
    let why = match asked.parse::<Ipv4Addr>() {
        Ok(ip) if usable(ip) => {
            if !allocation::is_taken(api, asked) {
                return Ok(());
            }
            format!("failed to allocate IP {asked}: provided IP is already allocated")
        }
        _ => format!("failed to allocate IP {asked}: the provided network does not match the current range"),
    };
    Err(invalid(service, Cause::invalid("spec.clusterIPs", &json!([asked]), &why)))
}

fn node_ports(api: &mut ApiServer, old: Option<&Value>, service: &mut Value) -> Result<()> {
    // What the Service has already is its own; what it gets now it cannot get twice.
    let own: BTreeSet<i64> = object::order::set(old.into_iter().flat_map(allocation::ports_of));
    let mut used: BTreeSet<i64> = object::order::set(i64_at(service, &["spec", "healthCheckNodePort"]));
    // A load balancer may do without ports on the nodes.
    let optional = str_at(service, &["spec", "type"]) == "LoadBalancer"
        && at(service, &["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
    let mut ports = list_at(service, &["spec", "ports"]).to_vec();
    let before: Vec<Value> = old.map(|o| list_at(o, &["spec", "ports"]).to_vec()).unwrap_or_default();
    // One port of the Service with two protocols has one port on the nodes.
    let mut by_port: BTreeMap<i64, i64> = BTreeMap::new();
    for (i, port) in ports.iter_mut().enumerate() {
        let kept = before
            .iter()
            .find(|b| ["port", "protocol"].iter().all(|k| b.get(k) == port.get(k)))
            .and_then(|b| i64_at(b, &["nodePort"]));
        let asked = i64_at(port, &["nodePort"]).filter(|n| *n != 0).or(kept);
        let of_port = i64_at(port, &["port"]).unwrap_or(0);
        let shared = by_port.get(&of_port).copied().filter(|shared| asked.is_none_or(|asked| asked == *shared));
        let number = match (shared, asked) {
            (Some(shared), _) => shared,
            (None, Some(asked)) => {
                if let Some(why) = port_fault(api, asked, &own, &used) {
                    return Err(invalid(service, Cause::invalid(format!("spec.ports[{i}].nodePort"), &json!(asked), &why)));
                }
                asked
            }
            (None, None) if optional => continue,
            (None, None) => {
                let drawn = draw_port(api, &used);
                drawn.ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?
            }
        };
        used.insert(number);
        by_port.insert(of_port, number);
        value::set(port, &["nodePort"], number);
    }
    value::set(service, &["spec", "ports"], ports);
    Ok(())
}

/// Why a Service cannot have this port on the nodes, if it cannot.
fn port_fault(api: &ApiServer, port: i64, own: &BTreeSet<i64>, used: &BTreeSet<i64>) -> Option<String> {
    let (first, last) = api.settings.service_node_ports;
    if !(i64::from(first)..=i64::from(last)).contains(&port) {
        return Some(format!("provided port is not in the valid range. The range of valid ports is {first}-{last}"));
    }
    let taken = used.contains(&port) || (api.node_ports.is_taken(port) && !own.contains(&port));
    taken.then(|| "provided port is already allocated".to_owned())
}
