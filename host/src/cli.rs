//! The command line: what `wasmkube` can be told, and what it says while it starts and once it runs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use hyper::Method;
use serde_json::Value;

use crate::audit::AuditOptions;
use crate::client::Client;
use crate::engine::{Kind, wasm};
use crate::install::Install;
use crate::limits::Limits;
use crate::node;
use crate::server::{JournalKind, Options, Server, ServiceCidr};

/// Name of the node that `up` runs.
const NODE: &str = "wasmkube";

/// Addresses of load balancers in a cluster that is not told others: a range of documents, where nobody else is.
const LOAD_BALANCERS: &str = "203.0.113.0/24";

/// How long `up` waits for its node before it says that it is not ready yet.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
#[command(
    name = "wasmkube",
    version,
    about = "Kubernetes' control plane as a WebAssembly program, and a node for WASI workloads"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a one-node cluster and serve until Ctrl-C.
    Up(Box<Up>),
    /// Compile the control plane and the built-in images for this machine.
    Precompile,
    /// Compile one program of an image.
    #[command(hide = true)]
    PrecompileImage {
        /// A component or core module.
        wasm: PathBuf,
        /// Where the code goes.
        output: PathBuf,
    },
    /// Talk to the API of the kubeconfig (`$KUBECONFIG`), as kubectl does.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// The words after `kubectl`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Say which version this is.
    Version,
}

#[derive(Args)]
struct Up {
    /// Holds everything: journal, certificates, logs, `kubeconfig`.
    #[arg(long, default_value = "target/wasmkube", env = "WASMKUBE_DATA_DIR")]
    data_dir: PathBuf,
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1")]
    bind_address: IpAddr,
    /// Port of the API.
    #[arg(long, default_value_t = 6443)]
    port: u16,
    /// Port of the playground.
    #[arg(long, default_value_t = 8001)]
    web_port: u16,
    /// Number of further nodes, whose containers are scripted.
    #[arg(long, default_value_t = 0)]
    simulated_nodes: u32,
    /// No node, no default StorageClass.
    #[arg(long)]
    control_plane_only: bool,
    /// Addresses of Services, as kube-apiserver's option of this name.
    #[arg(long, default_value_t)]
    service_cluster_ip_range: ServiceCidr,
    /// Ports that Services get on every node, as kube-apiserver's option of this name.
    #[arg(long, default_value = "30000-32767", value_parser = port_range)]
    service_node_port_range: (u16, u16),
    /// Addresses for Services of type LoadBalancer, as CIDRs; `none` leaves them to others. Without this option a cluster
    /// with a node has those of 203.0.113.0/24, which are nobody's, and a control plane alone has none.
    #[arg(long, value_name = "CIDRS", value_parser = load_balancer_range)]
    load_balancer_ip_range: Option<String>,
    /// Bearer tokens and whose they are, as kube-apiserver's option of this name: lines of token,user,uid,"group1,group2".
    #[arg(long, value_name = "FILE")]
    token_auth_file: Option<PathBuf>,
    /// Controllers to run, in kube-controller-manager's form: `*` all, `foo` this one, `-foo` not this one.
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,
    /// Whether controllers and scheduler take the Leases of kube-controller-manager and kube-scheduler before they act, as those
    /// programs' option of this name: of several only one acts.
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    leader_elect: bool,
    /// Leave scheduling to another scheduler.
    #[arg(long)]
    disable_scheduler: bool,
    /// How the scheduler places pods: a KubeSchedulerConfiguration.
    #[arg(long, value_name = "FILE")]
    scheduler_config: Option<PathBuf>,
    /// How the control plane runs.
    #[arg(long, value_enum, default_value_t)]
    engine: Kind,
    /// Where changes are kept.
    #[arg(long, value_enum, default_value_t)]
    journal: JournalKind,
    /// Which objects are kept encrypted and with which keys, as kube-apiserver's option of this name.
    #[arg(long, value_name = "FILE")]
    encryption_provider_config: Option<PathBuf>,
    /// Which requests are recorded in the audit log: an audit.k8s.io/v1 Policy.
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    audit_policy_file: Option<PathBuf>,
    /// What of the API is served, as kube-apiserver's option of this name: `group/version=true`, `api/beta=true`.
    #[arg(long, default_value = "", value_parser = runtime_config)]
    runtime_config: String,
    /// How admission plugins are set up: an apiserver.config.k8s.io AdmissionConfiguration. PodSecurity takes one.
    #[arg(long, value_name = "FILE")]
    admission_control_config_file: Option<PathBuf>,
    /// What is tried out, as Kubernetes' option of this name: `MutatingAdmissionPolicy=true`.
    #[arg(long, default_value = "", value_parser = feature_gates)]
    feature_gates: String,
    /// Where the audit log goes; `-` is standard output.
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    audit_log_path: Option<PathBuf>,
    /// Size in MiB from which a file of the audit log is put aside; 0 is 100.
    #[arg(long, default_value_t = 0)]
    audit_log_maxsize: u64,
    /// How many files of the audit log that were put aside are kept; 0 is all.
    #[arg(long, default_value_t = 0)]
    audit_log_maxbackup: u32,
    #[command(flatten)]
    limits: Limits,
}

fn runtime_config(text: &str) -> Result<String, String> {
    cluster::wire::check_runtime_config(text).map(|()| text.to_owned())
}

fn feature_gates(text: &str) -> Result<String, String> {
    cluster::wire::check_feature_gates(text).map(|()| text.to_owned())
}

/// `203.0.113.0/24,2001:db8::/64`, or `none`.
fn load_balancer_range(text: &str) -> Result<String, String> {
    if text == "none" {
        return Ok(String::new());
    }
    for range in text.split(',') {
        let (base, bits) = range.split_once('/').ok_or("an address and a length are needed, as in 203.0.113.0/24")?;
        let base: IpAddr = base.parse().map_err(|_| format!("{base:?} is not an address"))?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        bits.parse::<u8>().ok().filter(|bits| *bits <= most).ok_or_else(|| format!("{bits:?} is not a length"))?;
    }
    Ok(text.to_owned())
}

/// `30000-32767`.
fn port_range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').ok_or("two ports are needed, as in 30000-32767")?;
    let port =
        |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| format!("{text:?} is not a port"));
    let (first, last) = (port(first)?, port(last)?);
    if first > last { Err(format!("{first} is greater than {last}")) } else { Ok((first, last)) }
}

/// What a file's AdmissionConfiguration says of PodSecurity, as JSON.
fn pod_security(path: &Path) -> anyhow::Result<String> {
    let read = |path: &Path| -> anyhow::Result<serde_json::Value> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        serde_saphyr::from_str(&text).with_context(|| format!("cannot read {shown}"))
    };
    let config = read(path)?;
    anyhow::ensure!(config["kind"] == "AdmissionConfiguration", "{}: this is no AdmissionConfiguration", path.display());
    let mut found = String::new();
    for plugin in config["plugins"].as_array().into_iter().flatten() {
        let name = plugin["name"].as_str().unwrap_or_default();
        anyhow::ensure!(name == "PodSecurity", "{}: the plugin {name:?} takes no configuration", path.display());
        let config = match plugin["path"].as_str().filter(|file| !file.is_empty()) {
            Some(file) => read(&path.parent().unwrap_or(path).join(file))?,
            None => plugin["configuration"].clone(),
        };
        found = config.to_string();
        cluster::wire::check_pod_security(&found).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?;
    }
    Ok(found)
}

/// A file's KubeSchedulerConfiguration as JSON.
fn scheduler_config(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let config: serde_json::Value = serde_saphyr::from_str(&text).with_context(|| format!("cannot read {shown}"))?;
    let config = config.to_string();
    cluster::scheduler_profiles(&config).map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
    Ok(config)
}

/// Does what the arguments say.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(arguments) => up(*arguments),
        Command::Precompile => precompile(),
        Command::PrecompileImage { wasm, output } => node::image::compile::precompile(&wasm, &output),
        Command::Kubectl { arguments } => match kubectl(&arguments) {
            Ok(code) => return ExitCode::from(u8::try_from(code).unwrap_or(1)),
            Err(error) => Err(error),
        },
        Command::Version => {
            println!("wasmkube {} (Kubernetes v1.35)", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn kubectl(arguments: &[String]) -> Result<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(crate::kubectl::run(arguments))
}

fn precompile() -> Result<()> {
    let install = Install::find()?;
    node::image::compile::precompile_built_in(&install)?;
    wasm::precompile(&install.control_plane(), &install.control_plane_precompiled())
}

/// Compiles the control plane in a process of its own where what is installed cannot be loaded: compiling takes memory that
/// a process never gives back.
fn ensure_precompiled(install: &Install) -> Result<()> {
    if wasm::load(install).is_ok() {
        return Ok(());
    }
    eprintln!("  compiling the control plane for this machine (once)");
    let program = std::env::current_exe().context("cannot find the running program")?;
    let status = std::process::Command::new(program).arg("precompile").env("WASMKUBE_HOME", install.home()).status()?;
    anyhow::ensure!(status.success(), "cannot compile the control plane");
    Ok(())
}

fn up(arguments: Up) -> Result<()> {
    let begin = Instant::now();
    let names = cluster::controller_names();
    // A name with a slip would leave a controller running beside the one that is to take its place.
    if let Some(unknown) = arguments.controllers.iter().find(|c| *c != "*" && !names.contains(&c.strip_prefix('-').unwrap_or(c)))
    {
        anyhow::bail!("--controllers: {unknown:?} is not in the list of known controllers: {}", names.join(", "));
    }
    let mut controllers = arguments.controllers;
    if !arguments.control_plane_only && controllers == ["*"] {
        // What kubeadm adds to the defaults, so that new nodes can join.
        controllers.extend(["bootstrap-signer-controller", "token-cleaner-controller"].map(str::to_owned));
    }
    let install = Install::find()?;
    if arguments.engine == Kind::Wasm {
        ensure_precompiled(&install)?;
    }
    let data_dir = std::path::absolute(&arguments.data_dir)?;
    let options = Options {
        data_dir: data_dir.clone(),
        bind: arguments.bind_address,
        port: arguments.port,
        web_port: Some(arguments.web_port),
        service_cidr: arguments.service_cluster_ip_range,
        service_node_ports: arguments.service_node_port_range,
        load_balancer_ip_range: arguments.load_balancer_ip_range.unwrap_or_else(|| match arguments.control_plane_only {
            true => String::new(),
            false => LOAD_BALANCERS.to_owned(),
        }),
        leader_elect: arguments.leader_elect,
        default_storage_class: !arguments.control_plane_only,
        token_auth_file: arguments.token_auth_file,
        simulated_nodes: arguments.simulated_nodes,
        node: (!arguments.control_plane_only).then(|| NODE.to_owned()),
        controllers,
        scheduler: !arguments.disable_scheduler,
        scheduler_config: arguments.scheduler_config.as_deref().map(scheduler_config).transpose()?.unwrap_or_default(),
        engine: arguments.engine,
        journal: arguments.journal,
        encryption: arguments.encryption_provider_config,
        runtime_config: arguments.runtime_config,
        feature_gates: arguments.feature_gates,
        pod_security: arguments.admission_control_config_file.as_deref().map(pod_security).transpose()?.unwrap_or_default(),
        audit: arguments.audit_policy_file.zip(arguments.audit_log_path).map(|(policy, path)| AuditOptions {
            policy,
            path,
            max_size: arguments.audit_log_maxsize,
            max_backup: arguments.audit_log_maxbackup,
        }),
        limits: arguments.limits,
        install,
    };
    options.limits.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        let mut end = std::pin::pin!(end_signal()?);
        let has_node = options.node.is_some();
        let nodes = options.simulated_nodes + u32::from(has_node);
        let mut server = Server::start(options).await?;
        eprintln!("  control plane   serves after {} ms", begin.elapsed().as_millis());
        let signalled = tokio::select! {
            () = end.as_mut() => true,
            ready = nodes_ready(&server, nodes) => {
                match ready {
                    Ok(()) if nodes > 0 => eprintln!("  {nodes} node{}          ready after {} ms",
                        if nodes == 1 { " " } else { "s" }, begin.elapsed().as_millis()),
                    Ok(()) => {}
                    Err(error) => eprintln!("  warning: {error:#}"),
                }
                false
            }
        };
        if !signalled {
            summary(&server, has_node, arguments.simulated_nodes, arguments.engine);
            tokio::select! {
                () = end.as_mut() => {}
                () = server.failed() => {}
            }
        }
        eprintln!("  stopping");
        server.stop().await
    })
}

/// SIGINT or SIGTERM.
fn end_signal() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Waits until this many nodes are Ready.
async fn nodes_ready(server: &Server, wanted: u32) -> Result<()> {
    let client = Client::new(&server.admin)?;
    let deadline = Instant::now() + NODE_PATIENCE;
    loop {
        if wanted == 0 {
            return Ok(());
        }
        let list = client.json(Method::GET, "/api/v1/nodes", &Value::Null).await;
        let nodes = list.as_ref().ok().and_then(|list| list["items"].as_array().cloned()).unwrap_or_default();
        let ready = nodes.iter().filter(|node| is_ready(node)).count();
        if ready >= wanted as usize {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{ready} of {wanted} nodes are ready; `kubectl describe nodes` says more");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn summary(server: &Server, has_node: bool, simulated: u32, engine: Kind) {
    let engine = match engine {
        Kind::Wasm => "as WebAssembly",
        Kind::Native => "natively",
    };
    println!("\n  API             https://{}   (control plane runs {engine})", server.api);
    if let Some(web) = server.web {
        println!("  playground      http://{web}");
    }
    match (has_node, simulated) {
        (true, 0) => println!("  node            {NODE}, for pods of WASI images"),
        (true, n) => println!("  nodes           {NODE}, for pods of WASI images, and {n} simulated"),
        (false, 0) => println!("  nodes           none"),
        (false, n) => println!("  nodes           {n} simulated"),
    }
    let data = server.kubeconfig.parent().unwrap_or(std::path::Path::new("/"));
    println!("  data            {}   (bearer token of the administrator: token)", data.display());
    println!("\nNext:\n  export KUBECONFIG={}", server.kubeconfig.display());
    println!("  kubectl get nodes");
    if simulated > 0 {
        println!("  kubectl create deployment web --image=nginx --replicas=3\n  kubectl get pods -o wide");
    } else if has_node {
        println!("  kubectl create deployment web --image=wasmkube/http-echo --replicas=3\n  kubectl get pods -o wide");
    } else {
        println!("  kubectl create configmap greeting --from-literal=hello=world\n  kubectl get configmaps");
    }
    println!("\nCtrl-C stops it; the same --data-dir goes on where it was.");
}
