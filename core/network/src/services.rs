//! The Service table: which endpoints stand behind a Service's address, and which address a name has.
//!
//! Plain data that a node can write down and its containers' processes can read.
//! <https://kubernetes.io/docs/concepts/services-networking/service/>

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// All Services of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// The cluster's DNS domain.
    pub domain: String,
    /// Services by `NAME.NAMESPACE`.
    pub services: BTreeMap<String, Service>,
}

/// One Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its addresses; none if it is headless.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// The name it stands for, if it is of type ExternalName.
    pub external_name: String,
    /// Addresses of ready pods behind it, for headless Services.
    pub pods: Vec<IpAddr>,
}

/// One port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    /// The Service's port.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Where it leads.
    pub endpoints: Vec<SocketAddr>,
}

/// What a connection to an address becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The address is not a Service's: connect to it as it is.
    Direct,
    /// Connect to this endpoint.
    To(SocketAddr),
    /// The address is a Service's, but the port leads nowhere now: the connection is refused.
    Refused,
}

impl Table {
    /// Where a connection to `address` goes; `turn` spreads connections over the endpoints.
    pub fn route(&self, address: SocketAddr, protocol: &str, turn: u64) -> Route {
        let Some(service) = self.services.values().find(|service| service.addresses.contains(&address.ip())) else {
            return Route::Direct;
        };
        let port = service.ports.iter().find(|port| port.port == address.port() && port.protocol == protocol);
        match port.map(|port| port.endpoints.as_slice()) {
            None | Some([]) => Route::Refused,
            Some(endpoints) => match endpoints.get((turn % endpoints.len() as u64) as usize) {
                Some(endpoint) => Route::To(*endpoint),
                None => Route::Refused,
            },
        }
    }

    /// The address of a name as a pod in `namespace` sees it: `web`, `web.shop`, `web.shop.svc`,
    /// `web.shop.svc.cluster.local`. `None`: no Service has the name.
    pub fn lookup(&self, name: &str, namespace: &str, turn: u64) -> Option<Answer> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let name = name.strip_suffix(&format!(".{}", self.domain)).unwrap_or(&name);
        let name = name.strip_suffix(".svc").unwrap_or(name);
        let key = if name.contains('.') { name.to_owned() } else { format!("{name}.{namespace}") };
        let service = self.services.get(&key)?;
        if !service.external_name.is_empty() {
            return Some(Answer::Name(service.external_name.clone()));
        }
        let all = if service.addresses.is_empty() { &service.pods } else { &service.addresses };
        let at = (turn % all.len().max(1) as u64) as usize;
        Some(all.get(at).map_or(Answer::Nothing, |address| Answer::Address(*address)))
    }
}

/// The answer to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has this address.
    Address(IpAddr),
    /// It is another name's alias.
    Name(String),
    /// It exists and has no address now.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let web = Service {
            addresses: vec![[10, 96, 0, 7].into()],
            ports: vec![
                Port {
                    port: 80,
                    protocol: "TCP".into(),
                    endpoints: vec![([127, 1, 1, 2], 8080).into(), ([127, 1, 1, 3], 8080).into()],
                },
                Port { port: 81, protocol: "TCP".into(), endpoints: Vec::new() },
            ],
            ..Service::default()
        };
        let alias = Service { external_name: "example.org".into(), ..Service::default() };
        let headless = Service { pods: vec![[127, 1, 1, 4].into()], ..Service::default() };
        let services = [("web.shop", web), ("alias.shop", alias), ("db.shop", headless), ("empty.shop", Service::default())];
        let services = services.map(|(name, service)| (name.to_owned(), service)).into();
        Table { domain: "cluster.local".into(), services }
    }

    #[test]
    fn connections_go_to_endpoints() {
        let table = table();
        let cases = [
            ("first", "10.96.0.7:80", 0, Route::To("127.1.1.2:8080".parse().unwrap())),
            ("second", "10.96.0.7:80", 1, Route::To("127.1.1.3:8080".parse().unwrap())),
            ("around", "10.96.0.7:80", 2, Route::To("127.1.1.2:8080".parse().unwrap())),
            ("nobody there", "10.96.0.7:81", 0, Route::Refused),
            ("no such port", "10.96.0.7:82", 0, Route::Refused),
            ("not a Service", "127.1.1.2:8080", 0, Route::Direct),
        ];
        for (name, address, turn, want) in cases {
            assert_eq!(table.route(address.parse().unwrap(), "TCP", turn), want, "{name}");
        }
        assert_eq!(table.route("10.96.0.7:80".parse().unwrap(), "UDP", 0), Route::Refused);
    }

    #[test]
    fn names_are_answered() {
        let table = table();
        let web = Some(Answer::Address([10, 96, 0, 7].into()));
        let cases = [
            ("web", "shop", web.clone()),
            ("web", "default", None),
            ("web.shop", "default", web.clone()),
            ("web.shop.svc", "default", web.clone()),
            ("WEB.shop.svc.cluster.local.", "default", web),
            ("alias", "shop", Some(Answer::Name("example.org".into()))),
            ("db", "shop", Some(Answer::Address([127, 1, 1, 4].into()))),
            ("empty", "shop", Some(Answer::Nothing)),
            ("example.org", "shop", None),
        ];
        for (name, namespace, want) in cases {
            assert_eq!(table.lookup(name, namespace, 0), want, "{name} in {namespace}");
        }
    }
}
