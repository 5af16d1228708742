//! `wasi:sockets/udp`: as for TCP; a datagram to a Service goes to one of its endpoints.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram, IncomingDatagramStream,
    OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::{DynPollable, SocketResult, UdpSocket};

use super::View;

type Socket = Resource<UdpSocket>;
type Incoming = Resource<IncomingDatagramStream>;
type Outgoing = Resource<OutgoingDatagramStream>;

impl Host for View<'_> {}

/// Methods that need no change.
macro_rules! same {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&mut self, socket: Socket, $($argument: $type),*) -> $result {
            HostUdpSocket::$name(&mut self.wasi, socket, $($argument),*)
        })*
    };
}

impl HostUdpSocket for View<'_> {
    async fn start_bind(&mut self, socket: Socket, network: Resource<Network>, address: IpSocketAddress) -> SocketResult<()> {
        let address = self.pod.bind(address.into())?;
        HostUdpSocket::start_bind(&mut self.wasi, socket, network, address.into()).await
    }

    async fn stream(&mut self, socket: Socket, remote: Option<IpSocketAddress>) -> SocketResult<(Incoming, Outgoing)> {
        let remote = match remote {
            Some(address) => Some(self.pod.connect(address.into(), "UDP")?.into()),
            None => None,
        };
        HostUdpSocket::stream(&mut self.wasi, socket, remote).await
    }

    same! {
        finish_bind() -> SocketResult<()>;
        local_address() -> SocketResult<IpSocketAddress>;
        remote_address() -> SocketResult<IpSocketAddress>;
        address_family() -> wasmtime::Result<IpAddressFamily>;
        unicast_hop_limit() -> SocketResult<u8>;
        set_unicast_hop_limit(value: u8) -> SocketResult<()>;
        receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(value: u64) -> SocketResult<()>;
        send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(value: u64) -> SocketResult<()>;
        subscribe() -> wasmtime::Result<Resource<DynPollable>>;
        drop() -> wasmtime::Result<()>;
    }
}

impl HostIncomingDatagramStream for View<'_> {
    fn receive(&mut self, stream: Incoming, most: u64) -> SocketResult<Vec<IncomingDatagram>> {
        self.wasi.receive(stream, most)
    }

    fn subscribe(&mut self, stream: Incoming) -> wasmtime::Result<Resource<DynPollable>> {
        HostIncomingDatagramStream::subscribe(&mut self.wasi, stream)
    }

    fn drop(&mut self, stream: Incoming) -> wasmtime::Result<()> {
        HostIncomingDatagramStream::drop(&mut self.wasi, stream)
    }
}

impl HostOutgoingDatagramStream for View<'_> {
    fn check_send(&mut self, stream: Outgoing) -> SocketResult<u64> {
        self.wasi.check_send(stream)
    }

    fn send(&mut self, stream: Outgoing, mut datagrams: Vec<OutgoingDatagram>) -> SocketResult<u64> {
        for datagram in &mut datagrams {
            if let Some(address) = datagram.remote_address {
                datagram.remote_address = Some(self.pod.connect(address.into(), "UDP")?.into());
            }
        }
        self.wasi.send(stream, datagrams)
    }

    fn subscribe(&mut self, stream: Outgoing) -> wasmtime::Result<Resource<DynPollable>> {
        HostOutgoingDatagramStream::subscribe(&mut self.wasi, stream)
    }

    async fn drop(&mut self, stream: Outgoing) -> wasmtime::Result<()> {
        HostOutgoingDatagramStream::drop(&mut self.wasi, stream).await
    }
}
