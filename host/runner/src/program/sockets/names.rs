//! `wasi:sockets/ip-name-lookup`: Services first, then whatever the node can resolve.

use wasmkube_runner::services::Answer;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{Host, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};

use super::View;

impl Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        let name = match self.pod.lookup(&name) {
            // An address in place of a name resolves to itself.
            Some(Answer::Address(address)) => address.to_string(),
            Some(Answer::Name(alias)) => alias,
            Some(Answer::Nothing) => return Err(ErrorCode::NameUnresolvable.into()),
            None => name,
        };
        self.wasi.resolve_addresses(network, name)
    }
}

impl HostResolveAddressStream for View<'_> {
    fn resolve_next_address(&mut self, stream: Resource<ResolveAddressStream>) -> Result<Option<IpAddress>, SocketError> {
        self.wasi.resolve_next_address(stream)
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        HostResolveAddressStream::subscribe(&mut self.wasi, stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        HostResolveAddressStream::drop(&mut self.wasi, stream)
    }
}
