//! The node agent: registers a node, keeps its heartbeat, and runs the pods that are bound to it.
//!
//! It is a client of the Kubernetes API and of nothing else: it never touches the control plane in its own process.

mod addresses;
mod agent;
pub mod cgroup;
mod events;
pub mod image;
pub mod layout;
mod logs;
mod machine;
mod message;
mod mounts;
mod probe;
pub mod process;
mod reflect;
mod register;
pub mod runtime;
mod server;
mod services;
mod volumes;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kubelet::{Input, Kubelet};
use tokio::sync::{mpsc, watch};

use crate::client::{Client, Credentials};
use crate::install::Install;
use addresses::Addresses;
use agent::{Agent, Fact};
use cgroup::Cgroups;
use events::Events;
use image::Images;
use layout::Layout;
use reflect::reflect;
use runtime::Runtime;
use server::Server;
use services::{Kind, Services};
use writer::Writer;

/// How long containers have to end when the node stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What a node agent needs to join a cluster.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Name of the Node object.
    pub name: String,
    /// Where the API is, and who we are there: `system:node:NAME` in group `system:nodes`.
    pub api: Credentials,
    /// Who the data plane is there: `system:kube-proxy`, which may read Services and their endpoints; kubelets may not.
    pub proxy_api: Credentials,
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
    /// Taints that the Node is registered with.
    pub taints: Vec<serde_json::Value>,
}

/// Runs the node until `shutdown` becomes true, then ends its containers and returns.
///
/// A node that is stopped this way leaves nothing running: with its control plane in the same process, nobody could reach
/// its pods. When it comes back, they are started again and count as restarted. A node that was killed leaves its
/// containers running, and takes them over when it comes back.
pub async fn run(config: NodeConfig, mut shutdown: watch::Receiver<bool>) -> Result<()> {
    let (inputs, inbox) = mpsc::unbounded_channel();
    let (facts, news) = mpsc::unbounded_channel();
    let (questions, asked) = mpsc::channel(64);
    let listener = tokio::net::TcpListener::bind((config.address, config.port))
        .await
        .with_context(|| format!("the kubelet's server cannot listen on {}:{}", config.address, config.port))?;
    let tls = server::tls(&config)?;
    let mut agent = assemble(&config, listener.local_addr()?.port(), inputs)?;
    let runtime = agent.runtime.clone();
    take_over(&mut agent);

    let mut tasks = tokio::task::JoinSet::new();
    let server = Server { questions, layout: agent.layout.clone(), runtime: runtime.clone() };
    tasks.spawn(Arc::new(server).serve(listener, tls));
    let node = tokio::select! {
        node = register::register(&agent.client, &agent.kubelet) => node,
        _ = shutdown.wait_for(|down| *down) => return Ok(()),
    };
    agent.ready_since = now();
    tasks.spawn(heartbeat(agent.client.clone(), agent.kubelet.config().clone(), register::uid(&node)));
    watch_all(&mut tasks, &agent.client, &Client::new(&config.proxy_api)?, &config.name, &facts);
    facts.send(Fact::Node(node)).ok();

    let down = async {
        shutdown.wait_for(|down| *down).await.ok();
    };
    agent.run(inbox, news, asked, down).await;
    tasks.shutdown().await;
    runtime.stop_all(STOP_PATIENCE).await;
    Ok(())
}

fn assemble(config: &NodeConfig, port: u16, inputs: mpsc::UnboundedSender<Input>) -> Result<Agent> {
    let data_dir = std::path::absolute(&config.data_dir)?;
    std::fs::create_dir_all(&data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let layout = Layout::new(&data_dir);
    let client = Client::new(&config.api)?;
    let addresses = Addresses::of(&config.name, &data_dir);
    let (cgroups, reason) = Cgroups::find(&cgroup_name(&data_dir));
    if let Some(reason) = reason {
        eprintln!("node: no cgroups here ({reason}): containers have memory limits inside the engine only");
    }
    let images = Images::open(&layout.images(), &config.install)?;
    let runtime = Runtime::new(layout.clone(), config.install.runner(), images.clone(), cgroups, inputs.clone());
    let kubelet = Kubelet::new(kubelet::io::Config {
        node_name: config.name.clone(),
        addresses: vec![config.address.to_string()],
        port,
        pod_cidr: addresses.cidr(),
        taints: config.taints.clone(),
        ..machine::config()
    });
    Ok(Agent {
        kubelet,
        layout,
        runtime: Arc::new(runtime),
        images,
        addresses,
        events: Events::new(client.clone(), &config.name),
        writer: Writer::new(client.clone(), inputs.clone()),
        client,
        inputs,
        pods: BTreeMap::new(),
        ended: BTreeSet::new(),
        services: Services::default(),
        watched: BTreeMap::new(),
        services_due: None,
        ready_since: now(),
    })
}

/// Takes over what a node agent before this one left.
fn take_over(agent: &mut Agent) {
    let found = agent.runtime.found();
    for pod in &found {
        // The address of a pod that has ended can be another's.
        let alive = pod.containers.iter().any(|container| container.exit.is_none());
        if let Some(address) = pod.ips.first().filter(|_| alive) {
            agent.addresses.keep(&pod.uid, address);
        }
    }
    agent.kubelet.handle(now(), Input::Found(found));
}

/// Watches everything that the node must know.
fn watch_all(
    tasks: &mut tokio::task::JoinSet<()>,
    client: &Client,
    proxy: &Client,
    node: &str,
    facts: &mpsc::UnboundedSender<Fact>,
) {
    let pods = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
    let tell = facts.clone();
    tasks.spawn(reflect(client.clone(), pods, move |news| drop(tell.send(Fact::Pods(news)))));
    for (kind, target) in [(Kind::Services, "/api/v1/services"), (Kind::Slices, "/apis/discovery.k8s.io/v1/endpointslices")] {
        let tell = facts.clone();
        let tell = move |news| drop(tell.send(Fact::Services(kind, news)));
        tasks.spawn(reflect(proxy.clone(), target.to_owned(), tell));
    }
}

/// Says again and again that the node lives.
async fn heartbeat(client: Client, config: kubelet::io::Config, node_uid: String) {
    let mut every = tokio::time::interval(Duration::from_secs(kubelet::node::LEASE_RENEW_SECONDS));
    loop {
        every.tick().await;
        if let Err(error) = register::renew(client.clone(), config.clone(), node_uid.clone()).await {
            eprintln!("node: cannot renew the lease: {error}");
        }
    }
}

/// Name of this node's cgroup, its own among all wasmkube nodes of the machine.
fn cgroup_name(data_dir: &Path) -> String {
    let digest = image::hex_digest(data_dir.display().to_string().as_bytes());
    format!("wasmkube-{}", digest.get(..12).unwrap_or_default())
}

/// The time.
fn now() -> object::Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    object::Time::from_millis(since.as_millis() as u64)
}
