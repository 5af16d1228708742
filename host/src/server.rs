//! A running host: control plane, front, playground and node agent, started in order and stopped in the reverse one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cluster::Config;
use cluster::wire::StaticToken;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::audit::{AuditLog, AuditOptions};
use crate::caller::{Caller, Identities};
use crate::client::Credentials;
use crate::driver::{self, Driver};
use crate::engine::{self, Kind};
use crate::front::{self, Front};
use crate::install::Install;
use crate::journal::encryption::{Encrypted, Plain};
use crate::journal::{Journal, disk::Disk, memory::Memory};
use crate::limits::Limits;
use crate::node::{self, NodeConfig};
use crate::pki::{self, Pki};
use crate::streams::{STREAM_BUFFER, Streams};
use crate::{kubeconfig, playground, tokens};

/// How long the node agent may take to end its containers.
const NODE_END: Duration = Duration::from_secs(10);

/// Where changes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum JournalKind {
    /// In an embedded ACID store in the data directory.
    #[default]
    Redb,
    /// In memory: gone at the end.
    Memory,
}

/// A range of IPv4 addresses for Services: `10.96.0.0/16`. Its first address is the API's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    base: Ipv4Addr,
    bits: u8,
}

impl ServiceCidr {
    /// The address of the Service `kubernetes`.
    pub fn first(self) -> IpAddr {
        IpAddr::from(Ipv4Addr::from_bits(self.base.to_bits().saturating_add(1)))
    }
}

impl Default for ServiceCidr {
    fn default() -> Self {
        ServiceCidr { base: Ipv4Addr::new(10, 96, 0, 0), bits: 16 }
    }
}

impl std::fmt::Display for ServiceCidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl std::str::FromStr for ServiceCidr {
    type Err = String;

    /// Kubernetes takes ranges of at most 20 bits of addresses; below 8 addresses there would be nothing to give out.
    fn from_str(text: &str) -> Result<Self, String> {
        let (base, bits) = text.split_once('/').ok_or("an address and a length are needed, as in 10.96.0.0/16")?;
        let base: Ipv4Addr = base.parse().map_err(|_| format!("{base:?} is not an IPv4 address"))?;
        let bits: u8 = bits.parse().map_err(|_| format!("{bits:?} is not a number"))?;
        if !(12..=29).contains(&bits) {
            return Err(format!("the length must be between 12 and 29, not {bits}"));
        }
        if base.to_bits().trailing_zeros() < u32::from(32 - bits) {
            return Err(format!("{base} is not the first address of a range of length {bits}"));
        }
        Ok(ServiceCidr { base, bits })
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Holds everything; made if it is missing.
    pub data_dir: PathBuf,
    /// Address to serve on.
    pub bind: IpAddr,
    /// Port of the API; 0 takes a free one.
    pub port: u16,
    /// Port of the playground; 0 takes a free one, `None` serves none.
    pub web_port: Option<u16>,
    /// Addresses of Services.
    pub service_cidr: ServiceCidr,
    /// First and last of the ports that Services get on every node.
    pub service_node_ports: (u16, u16),
    /// Addresses for Services of type LoadBalancer; empty for none.
    pub load_balancer_ip_range: String,
    /// Whether controllers and scheduler act only while they hold their Leases.
    pub leader_elect: bool,
    /// Whether a new cluster has a default StorageClass.
    pub default_storage_class: bool,
    /// Bearer tokens, in kube-apiserver's form.
    pub token_auth_file: Option<PathBuf>,
    /// Further nodes on the scripted runtime.
    pub simulated_nodes: u32,
    /// Name of the node this host runs; `None` for a control plane without one.
    pub node: Option<String>,
    /// Which controllers run, in kube-controller-manager's form.
    pub controllers: Vec<String>,
    /// Whether the built-in scheduler runs.
    pub scheduler: bool,
    /// The scheduler's configuration as JSON; empty for none.
    pub scheduler_config: String,
    /// What of the API is served, in kube-apiserver's form.
    pub runtime_config: String,
    /// What is tried out, in Kubernetes' form.
    pub feature_gates: String,
    /// A PodSecurityConfiguration as JSON, or nothing.
    pub pod_security: String,
    /// How core runs.
    pub engine: Kind,
    /// Where changes are kept.
    pub journal: JournalKind,
    /// Which objects are kept encrypted: a file with an EncryptionConfiguration.
    pub encryption: Option<PathBuf>,
    /// The audit log, if there is to be one.
    pub audit: Option<AuditOptions>,
    /// How much is taken on at once.
    pub limits: Limits,
    /// Where the parts of the program are.
    pub install: Install,
}

impl Options {
    /// A control plane without a node, on free ports of this machine, with everything else as it is by default; it forgets all
    /// when it ends.
    pub fn passing(data_dir: PathBuf, install: Install) -> Self {
        Options {
            data_dir,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            web_port: None,
            service_cidr: ServiceCidr::default(),
            service_node_ports: (30000, 32767),
            load_balancer_ip_range: String::new(),
            leader_elect: true,
            default_storage_class: false,
            token_auth_file: None,
            simulated_nodes: 0,
            node: None,
            controllers: vec!["*".to_owned()],
            scheduler: true,
            scheduler_config: String::new(),
            runtime_config: String::new(),
            feature_gates: String::new(),
            pod_security: String::new(),
            engine: Kind::Native,
            journal: JournalKind::Memory,
            encryption: None,
            audit: None,
            limits: Limits::default(),
            install,
        }
    }
}

/// A host that serves.
pub struct Server {
    /// Where the API is.
    pub api: SocketAddr,
    /// Where the playground is.
    pub web: Option<SocketAddr>,
    /// The kubeconfig.
    pub kubeconfig: PathBuf,
    /// The administrator, for this program's own requests.
    pub admin: Credentials,
    driver: Driver,
    audit: Option<AuditLog>,
    node: Option<JoinHandle<Result<()>>>,
    served: Vec<JoinHandle<()>>,
    node_shutdown: watch::Sender<bool>,
    shutdown: watch::Sender<bool>,
    shutdown_delay: Duration,
    failed: watch::Receiver<bool>,
}

impl Server {
    /// Starts everything; returns when the API serves. The node joins a little later.
    pub async fn start(options: Options) -> Result<Self> {
        let data = &options.data_dir;
        std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
        let listener = listen(options.bind, options.port, "--port").await?;
        let api = listener.local_addr()?;
        let web = match options.web_port {
            Some(port) => Some(listen(options.bind, port, "--web-port").await?),
            None => None,
        };
        let web_address = web.as_ref().map(TcpListener::local_addr).transpose()?;

        let pki = Pki::open(&data.join("pki"))?;
        let config = configuration(&options, &pki, api)?;
        let names = pki::api_server_names(options.bind, options.service_cidr.first(), &config.cluster_domain);
        let tls = front::tls(&pki.api_server(names)?, pki.authority())?;

        let (inputs, inbox) = driver::channel();
        let notify = inputs.clone();
        let (calls, called) = tokio::sync::mpsc::unbounded_channel();
        let streams = Streams::new(std::sync::Arc::new(move |input| notify.send(input)), STREAM_BUFFER, calls);
        let audit = options.audit.as_ref().map(AuditLog::open).transpose()?;
        if let Some(log) = &audit {
            streams.audit_to(log.clone());
        }
        let caller = Caller::new(inputs.clone(), Identities::of(&pki)?);
        tokio::spawn(caller.clone().run(called));
        let (failing, failed) = watch::channel(false);
        let driver = {
            let (streams, inputs, options) = (streams.clone(), inputs.clone(), options.clone());
            let start = move || {
                let factory = engine::factory(options.engine, &options.install)?;
                let on_failure = Box::new(move || {
                    let _ = failing.send(true);
                });
                Driver::start(config, factory, journal(&options)?, (inputs, inbox), streams, on_failure)
            };
            tokio::task::spawn_blocking(start).await.context("the start broke off")??
        };

        let (shutdown, down) = watch::channel(false);
        let shutdown_delay = options.limits.shutdown_delay_duration;
        let front = Front::new(inputs, streams, caller, options.limits.clone());
        let mut served = vec![tokio::spawn(front.serve(listener, tls, down.clone()))];
        if let Some(listener) = web {
            served.push(tokio::spawn(playground::serve(listener, options.install.web(), down)));
        }
        let url = format!("https://{}", local(api));
        let admin = pki.admin()?;
        let kubeconfig = data.join("kubeconfig");
        pki::write_private(&kubeconfig, &kubeconfig::write(&url, pki.authority(), &admin))?;
        // For parts of the control plane that run beside this program, under kubeadm's names.
        for (file, user) in [("controller-manager.conf", pki.controller_manager()?), ("scheduler.conf", pki.scheduler()?)] {
            pki::write_private(&data.join(file), &kubeconfig::write(&url, pki.authority(), &user))?;
        }
        let admin = credentials(&url, &pki, &admin);

        let (node_shutdown, node_down) = watch::channel(false);
        let node = match &options.node {
            Some(name) => Some(tokio::spawn(node::run(node_config(name, &url, &pki, &options)?, node_down))),
            None => None,
        };
        Ok(Server {
            audit,
            api,
            web: web_address,
            kubeconfig,
            admin,
            driver,
            node,
            served,
            node_shutdown,
            shutdown,
            shutdown_delay,
            failed,
        })
    }

    /// Waits until the control plane or the node agent has failed for good.
    pub async fn failed(&mut self) {
        let node = async {
            match &mut self.node {
                Some(node) => {
                    drop(node.await.map(|result| result.inspect_err(|e| eprintln!("error: the node agent failed: {e:#}"))))
                }
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = node => true,
            _ = self.failed.wait_for(|failed| *failed) => false,
        };
        if ended {
            // Awaited to its end, which may be done once only.
            self.node = None;
        }
    }

    /// Ends the node's containers, says that it is not ready any more, closes the listeners, lets requests finish, and makes durable what they did.
    pub async fn stop(mut self) -> Result<()> {
        let _ = self.node_shutdown.send(true);
        if let Some(node) = &mut self.node
            && tokio::time::timeout(NODE_END, node).await.is_err()
        {
            eprintln!("warning: the node agent did not end in {} s", NODE_END.as_secs());
        }
        self.driver.inputs().end();
        tokio::time::sleep(self.shutdown_delay).await;
        let _ = self.shutdown.send(true);
        for task in self.served {
            drop(task.await);
        }
        let audit = self.audit;
        let stop = move || {
            let stopped = self.driver.stop();
            if let Some(log) = audit {
                log.flush();
            }
            stopped
        };
        tokio::task::spawn_blocking(stop).await.context("the end broke off")?
    }
}

/// Waits for the host's end.
pub async fn down(shutdown: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to tell, which is the end too.
    drop(shutdown.wait_for(|down| *down).await);
}

async fn listen(address: IpAddr, port: u16, option: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind((address, port)).await;
    listener.with_context(|| format!("cannot serve on {address}:{port} (another port: {option})"))
}

/// An address that reaches a socket from this machine.
fn local(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port()) } else { address }
}

fn journal(options: &Options) -> Result<Box<dyn Journal>> {
    let below: Box<dyn Journal> = match options.journal {
        JournalKind::Redb => Box::new(Disk::open(&options.data_dir.join("journal.redb"))?),
        JournalKind::Memory => Box::new(Memory::default()),
    };
    Ok(match &options.encryption {
        Some(file) => Box::new(Encrypted::open(below, file)?),
        None => Box::new(Plain(below)),
    })
}

fn configuration(options: &Options, pki: &Pki, api: SocketAddr) -> Result<Config> {
    let mut seed = [0; 8];
    random(&mut seed)?;
    Ok(Config {
        // A new one in every life: names and uids must not come again.
        seed: u64::from_le_bytes(seed),
        simulated_nodes: options.simulated_nodes,
        controllers: options.controllers.clone(),
        scheduler: options.scheduler,
        scheduler_config: options.scheduler_config.clone(),
        runtime_config: options.runtime_config.clone(),
        feature_gates: options.feature_gates.clone(),
        pod_security: options.pod_security.clone(),
        advertise_address: local(api).ip().to_string(),
        advertise_port: api.port(),
        tokens: tokens(options)?,
        service_account_key: pki.service_account_key()?,
        root_ca: pki.authority().to_owned(),
        signing_key: pki.authority_key()?,
        front_proxy_ca: pki.front_proxy_authority()?,
        service_cidr: options.service_cidr.to_string(),
        allocate_node_cidrs: options.node.is_some() || options.simulated_nodes > 0,
        load_balancer_ip_range: options.load_balancer_ip_range.clone(),
        leader_elect: options.leader_elect,
        default_storage_class: options.default_storage_class,
        volume_dir: options.data_dir.join("volumes").display().to_string(),
        service_node_ports: options.service_node_ports,
        max_requests_inflight: options.limits.max_requests_inflight,
        max_mutating_requests_inflight: options.limits.max_mutating_requests_inflight,
        request_timeout_seconds: options.limits.request_timeout_seconds(),
        min_request_timeout_seconds: options.limits.min_request_timeout,
        audit_policy: options.audit.as_ref().map(AuditOptions::policy).transpose()?.unwrap_or_default(),
        ..Config::default()
    })
}

/// Those of the file that was named, and the administrator's.
fn tokens(options: &Options) -> Result<Vec<StaticToken>> {
    let mut tokens = options.token_auth_file.as_deref().map(tokens::read).transpose()?.unwrap_or_default();
    tokens.push(StaticToken {
        token: admin_token(&options.data_dir.join("token"))?,
        user: "kubernetes-admin".to_owned(),
        uid: String::new(),
        groups: vec!["system:masters".to_owned()],
    });
    Ok(tokens)
}

/// The administrator's bearer token, for tools that take no certificate; made at first start.
fn admin_token(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
        _ => {
            let mut bytes = [0; 24];
            random(&mut bytes)?;
            let token: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            pki::write_private(path, &token)?;
            Ok(token)
        }
    }
}

fn random(bytes: &mut [u8]) -> Result<()> {
    crate::client::provider().secure_random.fill(bytes).map_err(|_| anyhow::anyhow!("the system has no randomness"))
}

fn credentials(url: &str, pki: &Pki, pair: &pki::Pair) -> Credentials {
    Credentials {
        server: url.to_owned(),
        ca: pki.authority().to_owned(),
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        token: String::new(),
    }
}

fn node_config(name: &str, url: &str, pki: &Pki, options: &Options) -> Result<NodeConfig> {
    let address = IpAddr::from([127, 0, 0, 1]);
    let serving = pki.node_server(name, address)?;
    Ok(NodeConfig {
        name: name.to_owned(),
        api: credentials(url, pki, &pki.node_client(name)?),
        proxy_api: credentials(url, pki, &pki.proxy_client()?),
        address,
        port: 0,
        serving_certificate: serving.certificate,
        serving_key: serving.key,
        client_ca: pki.authority().to_owned(),
        data_dir: options.data_dir.join("node"),
        install: options.install.clone(),
        taints: if options.simulated_nodes > 0 { vec![wasm_only()] } else { Vec::new() },
    })
}

/// Keeps pods of ordinary images off a node that runs WASI programs only, where there are others to run them.
fn wasm_only() -> serde_json::Value {
    serde_json::json!({"key": "kubernetes.io/arch", "value": "wasm32-wasip2", "effect": "NoSchedule"})
}
