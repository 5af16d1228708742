//! The node agent: registers a node, keeps its heartbeat, and runs the pods that are bound to it.
//!
//! It is a client of the Kubernetes API and of nothing else: it never touches the control plane in its own process.

pub mod cgroup;
pub mod image;
pub mod layout;
mod message;
mod mounts;
pub mod process;
pub mod runtime;

use std::net::IpAddr;
use std::path::PathBuf;

use tokio::sync::watch;

use crate::client::Credentials;
use crate::install::Install;

/// What a node agent needs to join a cluster.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Name of the Node object.
    pub name: String,
    /// Where the API is, and who we are there: `system:node:NAME` in group `system:nodes`.
    pub api: Credentials,
    /// Address the kubelet's server listens on and the node reports as its InternalIP.
    pub address: IpAddr,
    /// Port of the kubelet's server (Kubernetes' own is 10250); 0 takes a free one. The Node's
    /// `status.daemonEndpoints.kubeletEndpoint.Port` says which it became.
    pub port: u16,
    /// Certificate chain of the kubelet's server, PEM.
    pub serving_certificate: String,
    /// Private key of the kubelet's server, PEM.
    pub serving_key: String,
    /// PEM of the authority whose client certificates may use the kubelet's server (the API server's).
    pub client_ca: String,
    /// Everything this node keeps: logs, image cache, volumes. Made if it is missing.
    pub data_dir: PathBuf,
    /// Where the runner and the built-in images are.
    pub install: Install,
}

/// Runs the node until `shutdown` becomes true, then ends its containers and returns.
pub async fn run(config: NodeConfig, mut shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
    let _ = config;
    shutdown.wait_for(|down| *down).await?;
    Ok(())
}

/// The time.
fn now() -> object::Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    object::Time::from_millis(since.as_millis() as u64)
}
