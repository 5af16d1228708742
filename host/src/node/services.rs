//! What a node knows of Services: the table that runners read, and the environment that pods begin with.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kubelet::io::{ServiceEnv, ServiceEnvPort};
use object::Value;
use object::value::{at, str_at};
use wasmkube_runner::services::{Port, Service, Table};

use super::reflect::News;

/// Services and EndpointSlices as the API has them.
#[derive(Debug, Default)]
pub struct Services {
    services: BTreeMap<String, Value>,
    slices: BTreeMap<String, Value>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Services.
    Services,
    /// EndpointSlices.
    Slices,
}

impl Services {
    /// Takes news.
    pub fn update(&mut self, kind: Kind, news: News) {
        let map = if kind == Kind::Services { &mut self.services } else { &mut self.slices };
        match news {
            News::All(all) => *map = all.into_iter().map(|object| (key(&object), object)).collect(),
            News::Changed(object) => {
                map.insert(key(&object), object);
            }
            News::Gone(object) => {
                map.remove(&key(&object));
            }
        }
    }

    /// For environment variables.
    pub fn environment(&self) -> Arc<Vec<ServiceEnv>> {
        let all = self.services.values().filter_map(|service| {
            let cluster_ip = str_at(service, &["spec", "clusterIP"]);
            if matches!(cluster_ip, "" | "None") {
                return None;
            }
            let ports = list(service, &["spec", "ports"]).map(|port| ServiceEnvPort {
                name: str_at(port, &["name"]).to_owned(),
                port: number(port, "port"),
                protocol: protocol(port),
            });
            Some(ServiceEnv {
                namespace: str_at(service, &["metadata", "namespace"]).to_owned(),
                name: str_at(service, &["metadata", "name"]).to_owned(),
                cluster_ip: cluster_ip.to_owned(),
                ports: ports.collect(),
            })
        });
        Arc::new(all.collect())
    }

    /// For runners.
    pub fn table(&self, domain: &str) -> Table {
        let services = self.services.values().map(|service| {
            let (namespace, name) = (str_at(service, &["metadata", "namespace"]), str_at(service, &["metadata", "name"]));
            (format!("{name}.{namespace}"), self.service(namespace, name, service))
        });
        Table { domain: domain.to_owned(), services: services.collect() }
    }

    fn service(&self, namespace: &str, name: &str, service: &Value) -> Service {
        let slices: Vec<&Value> = self
            .slices
            .values()
            .filter(|slice| {
                str_at(slice, &["metadata", "namespace"]) == namespace
                    && str_at(slice, &["metadata", "labels", "kubernetes.io/service-name"]) == name
            })
            .collect();
        let ports = list(service, &["spec", "ports"]).map(|port| Port {
            port: number(port, "port"),
            protocol: protocol(port),
            endpoints: slices.iter().flat_map(|slice| endpoints(slice, str_at(port, &["name"]))).collect(),
        });
        let mut addresses: Vec<IpAddr> =
            list(service, &["spec", "clusterIPs"]).filter_map(|ip| ip.as_str()?.parse().ok()).collect();
        if addresses.is_empty() {
            addresses.extend(str_at(service, &["spec", "clusterIP"]).parse::<IpAddr>());
        }
        Service {
            addresses,
            ports: ports.collect(),
            external_name: str_at(service, &["spec", "externalName"]).to_owned(),
            pods: slices.iter().flat_map(|slice| ready(slice)).collect(),
        }
    }
}

/// Where a slice's port of this name leads.
fn endpoints(slice: &Value, name: &str) -> Vec<SocketAddr> {
    let port = list(slice, &["ports"]).find(|port| str_at(port, &["name"]) == name).map(|port| number(port, "port"));
    match port {
        Some(port) if port > 0 => ready(slice).into_iter().map(|address| SocketAddr::new(address, port)).collect(),
        _ => Vec::new(),
    }
}

/// Addresses of a slice that may get traffic.
fn ready(slice: &Value) -> Vec<IpAddr> {
    list(slice, &["endpoints"])
        .filter(|endpoint| at(endpoint, &["conditions", "ready"]).and_then(Value::as_bool) != Some(false))
        .flat_map(|endpoint| list(endpoint, &["addresses"]))
        .filter_map(|address| address.as_str()?.parse().ok())
        .collect()
}

fn key(object: &Value) -> String {
    format!("{}/{}", str_at(object, &["metadata", "namespace"]), str_at(object, &["metadata", "name"]))
}

fn list<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> {
    at(value, path).and_then(Value::as_array).into_iter().flatten()
}

fn number(value: &Value, name: &str) -> u16 {
    value.get(name).and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

fn protocol(port: &Value) -> String {
    match str_at(port, &["protocol"]) {
        "" => "TCP".to_owned(),
        protocol => protocol.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use object::json;

    use super::*;

    #[test]
    fn the_table_follows_the_api() {
        let mut services = Services::default();
        let service = json!({"metadata": {"namespace": "shop", "name": "web"}, "spec": {
            "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{"name": "http", "port": 80}]}});
        let slice = json!({"metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": ["127.70.0.2"], "conditions": {"ready": true}},
                          {"addresses": ["127.70.0.3"], "conditions": {"ready": false}}]});
        services.update(Kind::Services, News::All(vec![service.clone()]));
        services.update(Kind::Slices, News::Changed(slice.clone()));
        let table = services.table("cluster.local");
        let web = table.services.get("web.shop").unwrap();
        assert_eq!(web.ports[0].endpoints, ["127.70.0.2:8080".parse().unwrap()]);
        assert_eq!(web.addresses, ["10.96.0.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(services.environment()[0].cluster_ip, "10.96.0.7");
        services.update(Kind::Slices, News::Gone(slice));
        assert!(services.table("").services["web.shop"].ports[0].endpoints.is_empty());
        services.update(Kind::Services, News::Gone(service));
        assert!(services.table("").services.is_empty());
    }
}
