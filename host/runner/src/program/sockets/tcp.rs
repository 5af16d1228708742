//! `wasi:sockets/tcp`: wasmtime-wasi's sockets with the pod's addresses put in at bind and connect.

use std::net::SocketAddr;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{Host, HostTcpSocket, ShutdownType};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, SocketResult, TcpSocket};

use super::View;

type Socket = Resource<TcpSocket>;

impl Host for View<'_> {}

/// Methods that need no change.
macro_rules! same {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&mut self, socket: Socket, $($argument: $type),*) -> $result {
            HostTcpSocket::$name(&mut self.wasi, socket, $($argument),*)
        })*
    };
}

impl HostTcpSocket for View<'_> {
    async fn start_bind(&mut self, socket: Socket, network: Resource<Network>, address: IpSocketAddress) -> SocketResult<()> {
        let address = self.pod.bind(address.into())?;
        HostTcpSocket::start_bind(&mut self.wasi, socket, network, address.into()).await
    }

    fn start_connect(&mut self, socket: Socket, network: Resource<Network>, address: IpSocketAddress) -> SocketResult<()> {
        let asked = SocketAddr::from(address);
        let address = self.pod.connect(asked, "TCP")?;
        let id = socket.rep();
        HostTcpSocket::start_connect(&mut self.wasi, socket, network, address.into())?;
        if address != asked {
            self.pod.remember(id, asked);
        }
        Ok(())
    }

    async fn start_listen(&mut self, socket: Socket) -> SocketResult<()> {
        HostTcpSocket::start_listen(&mut self.wasi, socket).await
    }

    fn accept(&mut self, socket: Socket) -> SocketResult<(Socket, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        HostTcpSocket::accept(&mut self.wasi, socket)
    }

    fn finish_connect(&mut self, socket: Socket) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        HostTcpSocket::finish_connect(&mut self.wasi, socket)
    }

    fn remote_address(&mut self, socket: Socket) -> SocketResult<IpSocketAddress> {
        let id = socket.rep();
        let address = HostTcpSocket::remote_address(&mut self.wasi, socket)?;
        Ok(self.pod.asked(id).map_or(address, IpSocketAddress::from))
    }

    fn shutdown(&mut self, socket: Socket, how: ShutdownType) -> SocketResult<()> {
        HostTcpSocket::shutdown(&mut self.wasi, socket, how)
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        self.pod.forget(socket.rep());
        HostTcpSocket::drop(&mut self.wasi, socket)
    }

    same! {
        finish_bind() -> SocketResult<()>;
        finish_listen() -> SocketResult<()>;
        local_address() -> SocketResult<IpSocketAddress>;
        is_listening() -> wasmtime::Result<bool>;
        address_family() -> wasmtime::Result<IpAddressFamily>;
        set_listen_backlog_size(value: u64) -> SocketResult<()>;
        keep_alive_enabled() -> SocketResult<bool>;
        set_keep_alive_enabled(value: bool) -> SocketResult<()>;
        keep_alive_idle_time() -> SocketResult<u64>;
        set_keep_alive_idle_time(value: u64) -> SocketResult<()>;
        keep_alive_interval() -> SocketResult<u64>;
        set_keep_alive_interval(value: u64) -> SocketResult<()>;
        keep_alive_count() -> SocketResult<u32>;
        set_keep_alive_count(value: u32) -> SocketResult<()>;
        hop_limit() -> SocketResult<u8>;
        set_hop_limit(value: u8) -> SocketResult<()>;
        receive_buffer_size() -> SocketResult<u64>;
        set_receive_buffer_size(value: u64) -> SocketResult<()>;
        send_buffer_size() -> SocketResult<u64>;
        set_send_buffer_size(value: u64) -> SocketResult<()>;
        subscribe() -> wasmtime::Result<Resource<DynPollable>>;
    }
}

impl wasmtime_wasi::p2::bindings::sockets::network::Host for View<'_> {
    fn convert_error_code(&mut self, error: wasmtime_wasi::p2::SocketError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi.network_error_code(error)
    }
}

impl wasmtime_wasi::p2::bindings::sockets::network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        wasmtime_wasi::p2::bindings::sockets::network::HostNetwork::drop(&mut self.wasi, network)
    }
}
