//! Which addresses and node ports are taken. An address is taken while there is an IPAddress object of its name, as on
//! Kubernetes; ports are counted as Services are committed. Nothing is looked through for an allocation.
//!
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/#ip-address-objects>

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, Value, json};
use store::Key;

use crate::server::ApiServer;

/// Who made an IPAddress, in its label `ipaddress.kubernetes.io/managed-by`.
const MANAGED_BY: &str = "ipallocator.k8s.io";

/// Ports that Services have on every node, and how many times each: one port may serve two protocols.
#[derive(Default)]
pub struct NodePorts(BTreeMap<i64, u32>);

impl NodePorts {
    /// Whether a Service has this port.
    pub fn is_taken(&self, port: i64) -> bool {
        self.0.contains_key(&port)
    }

    fn add(&mut self, service: &Value) {
        for port in ports_of(service) {
            *self.0.entry(port).or_insert(0) += 1;
        }
    }

    fn remove(&mut self, service: &Value) {
        for port in ports_of(service) {
            if let Some(times) = self.0.get_mut(&port) {
                *times -= 1;
                if *times == 0 {
                    self.0.remove(&port);
                }
            }
        }
    }
}

/// The ports that a Service has on every node.
pub fn ports_of(service: &Value) -> impl Iterator<Item = i64> {
    let ports = list_at(service, &["spec", "ports"]).iter().filter_map(|port| i64_at(port, &["nodePort"]));
    ports.chain(i64_at(service, &["spec", "healthCheckNodePort"])).filter(|port| *port != 0)
}

fn addresses_of(service: &Value) -> impl Iterator<Item = &str> {
    list_at(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str).filter(|ip| !matches!(*ip, "" | "None"))
}

fn address_key(address: &str) -> Key {
    Key::new(&GroupResource::literal("networking.k8s.io", "ipaddresses"), "", address)
}

/// Whether somebody has this address.
pub fn is_taken(api: &ApiServer, address: &str) -> bool {
    api.store.get(&address_key(address)).is_some()
}

/// Whether this is a key whose commits are to be told to [`changed`].
pub fn is_service(key: &Key) -> bool {
    key.resource.group.is_empty() && &*key.resource.resource == "services"
}

/// A Service was committed: what it has is taken, what it had is free.
pub fn changed(api: &mut ApiServer, old: Option<&Value>, new: Option<&Value>) {
    if let Some(new) = new {
        api.node_ports.add(new);
        for address in addresses_of(new) {
            claim(api, new, address);
        }
    }
    if let Some(old) = old {
        api.node_ports.remove(old);
        let kept: Vec<&str> = new.map(|new| addresses_of(new).collect()).unwrap_or_default();
        for address in addresses_of(old).filter(|address| !kept.contains(address)) {
            release(api, old, address);
        }
    }
}

/// What restored Services have is taken, and what IPAddresses stand for that no Service has is free.
pub fn restored(api: &mut ApiServer) {
    let services: Vec<Value> =
        api.store.list(&GroupResource::literal("", "services"), None).map(|service| service.value()).collect();
    services.iter().for_each(|service| changed(api, None, Some(service)));
    let addresses = address_key("").resource;
    let ours = api.store.list(&addresses, None).filter(|address| {
        address.meta.labels.get("ipaddress.kubernetes.io/managed-by").is_some_and(|manager| **manager == *MANAGED_BY)
    });
    let ours: Vec<Value> = ours.map(|address| address.value()).collect();
    for address in ours {
        let (namespace, name) = parent(&address);
        let ip = str_at(&address, &["metadata", "name"]);
        let service = api.store.get(&Key::new(&GroupResource::literal("", "services"), namespace, name));
        if !service.is_some_and(|service| addresses_of(&service.value()).any(|has| has == ip)) {
            api.commit_removal(&address_key(ip));
        }
    }
}

/// Namespace and name of the Service that an IPAddress is of.
fn parent(address: &Value) -> (&str, &str) {
    (str_at(address, &["spec", "parentRef", "namespace"]), str_at(address, &["spec", "parentRef", "name"]))
}

fn claim(api: &mut ApiServer, service: &Value, address: &str) {
    if is_taken(api, address) {
        return;
    }
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": address, "uid": api.rng.uuid(), "creationTimestamp": api.now.rfc3339(),
            "labels": {"ipaddress.kubernetes.io/ip-family": family, "ipaddress.kubernetes.io/managed-by": MANAGED_BY},
        },
        "spec": {"parentRef": {
            "resource": "services",
            "namespace": str_at(service, &["metadata", "namespace"]), "name": str_at(service, &["metadata", "name"]),
        }},
    });
    api.commit(address_key(address), object);
}

fn release(api: &mut ApiServer, service: &Value, address: &str) {
    let key = address_key(address);
    let Some(object) = api.store.get(&key).map(|object| object.value()) else { return };
    let of = (str_at(service, &["metadata", "namespace"]), str_at(service, &["metadata", "name"]));
    if parent(&object) == of {
        api.commit_removal(&key);
    }
}

/// First address and number of addresses of each range that Services get their addresses from: the configured one, and those
/// of ServiceCIDRs that are ready.
pub fn ranges(api: &ApiServer) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = range(&api.settings.service_cidr).into_iter().collect();
    for object in api.store.list(&GroupResource::literal("networking.k8s.io", "servicecidrs"), None) {
        let object = object.value();
        let conditions = list_at(&object, &["status", "conditions"]);
        let ready = conditions.iter().any(|c| str_at(c, &["type"]) == "Ready" && str_at(c, &["status"]) == "True");
        if ready && at(&object, &["metadata", "deletionTimestamp"]).is_none() {
            let cidrs = list_at(&object, &["spec", "cidrs"]).iter().filter_map(Value::as_str).filter_map(range);
            for cidr in cidrs {
                if !found.contains(&cidr) {
                    found.push(cidr);
                }
            }
        }
    }
    found
}

/// First address and number of addresses of a range.
fn range(cidr: &str) -> Option<(u32, u32)> {
    let (address, bits) = cidr.split_once('/')?;
    let bits: u32 = bits.parse().ok().filter(|b| (8..=30).contains(b))?;
    let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
    let size = 1u32 << (32 - bits);
    Some((address & !(size - 1), size))
}

/// The first address of the range belongs to the `kubernetes` Service.
pub fn first_address(cidr: &str) -> Option<String> {
    range(cidr).map(|(base, _)| Ipv4Addr::from(base + 1).to_string())
}

/// A free address; the lower part of a range is left to Services that name theirs, as long as the upper part has any.
pub fn draw_address(api: &mut ApiServer) -> Option<String> {
    for (base, size) in ranges(api) {
        let named = (size / 16).clamp(16, 256).min(size / 2);
        for (from, to) in [(named, size - 1), (1, named)] {
            let span = to - from;
            let start = api.rng.below(u64::from(span)) as u32;
            let all = (0..span).map(|i| base + from + (start + i) % span).map(|a| Ipv4Addr::from(a).to_string());
            let mut free = all.filter(|address| !is_taken(api, address));
            if let Some(free) = free.next() {
                return Some(free);
            }
        }
    }
    None
}
