//! The data plane: a container's sockets are bound to its pod's address, a connection to a Service goes to one of the
//! endpoints that the Service has at that moment, and names are answered from the Service table.
//!
//! No packet is rewritten and no root is needed: wasmtime-wasi's sockets do the work, and the addresses that a container
//! names are translated on their way in.

mod names;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use wasmkube_runner::services::{Answer, Reader, Route};
use wasmkube_runner::spec::Spec;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::SocketResult;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp as wasi_tcp, udp as wasi_udp};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

/// The network as one pod sees it.
pub struct PodNetwork {
    address: Option<IpAddr>,
    namespace: String,
    hostname: String,
    services: Reader,
    turn: u64,
    asked: BTreeMap<u32, SocketAddr>,
}

impl PodNetwork {
    /// The network of the pod that this container belongs to.
    pub fn new(spec: &Spec) -> Self {
        PodNetwork {
            address: spec.address,
            namespace: spec.namespace.clone(),
            hostname: spec.hostname.clone(),
            services: Reader::new(spec.services.clone()),
            // Each container begins at another endpoint, so that many short ones spread as well.
            turn: u64::from(std::process::id()),
            asked: BTreeMap::new(),
        }
    }

    /// What a bind to this address becomes: inside a pod, every address is the pod's.
    fn bind(&self, asked: SocketAddr) -> SocketResult<SocketAddr> {
        let own = self.address.ok_or(ErrorCode::AccessDenied)?;
        if asked.is_ipv4() != own.is_ipv4() {
            return Err(ErrorCode::NotSupported.into());
        }
        let here = asked.ip().is_unspecified() || is_localhost(asked.ip()) || asked.ip() == own;
        if here { Ok(SocketAddr::new(own, asked.port())) } else { Err(ErrorCode::AddressNotBindable.into()) }
    }

    /// What a connection to this address becomes.
    fn connect(&mut self, asked: SocketAddr, protocol: &str) -> SocketResult<SocketAddr> {
        let own = self.address.ok_or(ErrorCode::AccessDenied)?;
        if is_localhost(asked.ip()) && asked.is_ipv4() == own.is_ipv4() {
            return Ok(SocketAddr::new(own, asked.port()));
        }
        self.turn = self.turn.wrapping_add(1);
        match self.services.table().route(asked, protocol, self.turn) {
            Route::To(endpoint) => Ok(endpoint),
            Route::Refused => Err(ErrorCode::ConnectionRefused.into()),
            // The rest of 127.0.0.0/16 is the node's own; pods have addresses beyond it.
            Route::Direct if is_node_local(asked.ip()) => Err(ErrorCode::AccessDenied.into()),
            Route::Direct => Ok(asked),
        }
    }

    fn lookup(&mut self, name: &str) -> Option<Answer> {
        if name.eq_ignore_ascii_case("localhost") || name == self.hostname {
            return self.address.map(Answer::Address);
        }
        self.turn = self.turn.wrapping_add(1);
        self.services.table().lookup(name, &self.namespace, self.turn)
    }

    /// The peer that the container asked for stays its peer's address, as with Kubernetes' own Services.
    fn remember(&mut self, socket: u32, asked: SocketAddr) {
        self.asked.insert(socket, asked);
    }

    fn asked(&self, socket: u32) -> Option<SocketAddr> {
        self.asked.get(&socket).copied()
    }

    fn forget(&mut self, socket: u32) {
        self.asked.remove(&socket);
    }
}

fn is_localhost(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address == std::net::Ipv4Addr::LOCALHOST,
        IpAddr::V6(address) => address.is_loopback(),
    }
}

fn is_node_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [127, 0, _, _]),
        IpAddr::V6(address) => address.is_loopback(),
    }
}

/// The host side of `wasi:sockets` during one call.
pub struct View<'a> {
    wasi: WasiSocketsCtxView<'a>,
    pod: &'a mut PodNetwork,
}

impl<'a> View<'a> {
    /// wasmtime-wasi's sockets and the pod's network together.
    pub fn new(wasi: WasiSocketsCtxView<'a>, pod: &'a mut PodNetwork) -> Self {
        View { wasi, pod }
    }
}

/// Marks [`View`] as what the linked functions work on.
pub struct Sockets;

impl HasData for Sockets {
    type Data<'a> = View<'a>;
}

/// Puts these sockets in place of wasmtime-wasi's.
pub fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> View<'_>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    wasi_tcp::add_to_linker::<T, Sockets>(linker, view)?;
    wasi_udp::add_to_linker::<T, Sockets>(linker, view)?;
    ip_name_lookup::add_to_linker::<T, Sockets>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> PodNetwork {
        PodNetwork::new(&Spec { address: Some([127, 70, 1, 2].into()), hostname: "web-0".to_owned(), ..Spec::default() })
    }

    #[test]
    fn every_address_is_the_pods() {
        let cases = [
            ("anywhere", "0.0.0.0:8080", Some("127.70.1.2:8080")),
            ("localhost", "127.0.0.1:8080", Some("127.70.1.2:8080")),
            ("its own", "127.70.1.2:0", Some("127.70.1.2:0")),
            ("another pod's", "127.70.1.3:8080", None),
            ("the other family", "[::]:8080", None),
        ];
        for (name, asked, want) in cases {
            let got = pod().bind(asked.parse().unwrap()).ok();
            assert_eq!(got, want.map(|want| want.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn connections_leave_the_pod() {
        let cases = [
            ("localhost is the pod", "127.0.0.1:80", Some("127.70.1.2:80")),
            ("the node is out of reach", "127.0.0.2:80", None),
            ("another pod", "127.70.1.3:80", Some("127.70.1.3:80")),
            ("outside", "192.0.2.1:443", Some("192.0.2.1:443")),
        ];
        for (name, asked, want) in cases {
            let got = pod().connect(asked.parse().unwrap(), "TCP").ok();
            assert_eq!(got, want.map(|want| want.parse().unwrap()), "{name}");
        }
        assert_eq!(pod().lookup("web-0"), Some(Answer::Address([127, 70, 1, 2].into())));
    }
}
