//! Clients that other projects make work with the API: Python's, JavaScript's, Prometheus. Kubernetes' own kubectl has a file of
//! its own, Rust's client a crate.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wasmkube_tests::{Cluster, clients, free_port};

const OPERATORS: &str = "fixtures/operators";

/// The API alone, in the native engine: a client does not see the difference, and it starts at once.
const API: [&str; 3] = ["--control-plane-only", "--engine", "native"];

#[test]
fn python() -> Result<()> {
    let python = clients::python()?;
    let cluster = Cluster::start(&API)?;
    let mut command = clients::command(&cluster, python);
    command.arg(clients::room().join("clients/python/client.py"));
    let printed = clients::run(command.arg(clients::room().join(OPERATORS).join("certificates.yaml")))?;
    ensure!(printed.lines().filter(|line| line.starts_with("ok ")).count() == 11, "{printed}");
    Ok(())
}

#[test]
fn javascript() -> Result<()> {
    let place = clients::node()?;
    let cluster = Cluster::start(&API)?;
    let mut command = clients::command(&cluster, "node");
    command.args(["--test", "client.mjs"]).current_dir(place);
    clients::run(command.env("DEFINITIONS", clients::room().join(OPERATORS).join("databases.yaml")))?;
    Ok(())
}

#[test]
fn kubectl_and_operators() -> Result<()> {
    let cluster = Cluster::start(&API)?;
    let operators = clients::room().join(OPERATORS).display().to_string();
    let created = cluster.kubectl(&["create", "-f", &operators])?;
    ensure!(created.lines().count() == 3, "{created}");
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    let spec = json!({"secretName": "tls", "dnsNames": ["a.example.com"], "issuerRef": {"name": "ca"}});
    let certificate = object("certs.example.com/v1", "Certificate", "web", &spec);
    cluster.kubectl_stdin(&["create", "--validate=strict"], &certificate.to_string())?;
    let ready = r#"{"status":{"conditions":[{"type":"Ready","status":"True","message":"issued"}]}}"#;
    cluster.kubectl(&["patch", "cert", "web", "--type=merge", "--subresource=status", "-p", ready])?;
    cluster.kubectl(&["wait", "--for=condition=Ready", "certificate/web", "--timeout=30s"])?;
    let table = cluster.kubectl(&["get", "cert", "-o", "wide"])?;
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(words[0] == ["NAME", "READY", "SECRET", "ISSUER", "STATUS", "AGE"], "{table}");
    ensure!(words[1][..5] == ["web", "True", "tls", "ca", "issued"], "{table}");
    let all = cluster.kubectl(&["get", "all", "-o", "name"])?;
    ensure!(all.contains("certificate.certs.example.com/web"), "{all}");
    let explained = cluster.kubectl(&["explain", "certificate.spec.issuerRef"])?;
    ensure!(explained.contains("enum: Issuer, ClusterIssuer"), "{explained}");
    let mut unknown = object("certs.example.com/v1", "Certificate", "other", &spec);
    unknown["spec"]["typo"] = json!(1);
    let refused =
        cluster.kubectl_stdin(&["create", "--validate=strict"], &unknown.to_string()).err().context("a typo was accepted")?;
    ensure!(format!("{refused:#}").contains("unknown field \"spec.typo\""), "{refused:#}");
    Ok(())
}

#[test]
fn kubectl_scales_and_selects_custom_resources() -> Result<()> {
    let cluster = Cluster::start(&API)?;
    let definitions = clients::room().join(OPERATORS).join("databases.yaml").display().to_string();
    cluster.kubectl(&["apply", "--server-side", "-f", &definitions])?;
    let spec = json!({"engine": "mysql", "storage": {"size": "10Gi"}, "backup": {"schedule": "daily"}});
    let database = object("data.example.com/v1", "Database", "db", &spec);
    cluster.kubectl_stdin(&["apply", "--server-side"], &database.to_string())?;
    cluster.kubectl(&["scale", "db/db", "--replicas=3"])?;
    let selected = cluster.kubectl(&["get", "db", "--field-selector=spec.engine=mysql,spec.paused=false", "--no-headers"])?;
    ensure!(selected.split_whitespace().take(3).eq(["db", "mysql", "3"]), "{selected}");
    ensure!(cluster.kubectl(&["get", "db", "--field-selector=spec.engine=postgres", "-o", "name"])?.is_empty());
    let old = cluster.kubectl_output(&["get", "databases.v1beta1.data.example.com", "db"])?;
    ensure!(String::from_utf8_lossy(&old.stderr).contains("ends in 2027; use v1"), "{old:?}");
    Ok(())
}

/// No stock kube-scheduler or kube-controller-manager is at hand in the tests: this asks for what they ask for first.
#[test]
fn parts_of_another_control_plane_find_what_they_need() -> Result<()> {
    // The Leases are left to the others, although some controllers of ours go on.
    let parts = ["--disable-scheduler", "--controllers=*,-deployment-controller", "--leader-elect=false"];
    let options = [&parts[..], &["--service-cluster-ip-range=10.50.0.0/16"]].concat();
    let cluster = Cluster::start(&[&API[..], &options].concat())?;
    ensure!(cluster.get(&["service", "kubernetes"])?["spec"]["clusterIP"] == "10.50.0.1");
    let system = ["--namespace", "kube-system"];
    let known = cluster.get(&[&["configmap", "extension-apiserver-authentication"], &system[..]].concat())?;
    for key in ["client-ca-file", "requestheader-client-ca-file"] {
        ensure!(known["data"][key].as_str().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----")), "{known}");
    }
    let tracked = cluster.get(&[&["configmap", "kube-apiserver-legacy-service-account-token-tracking"], &system[..]].concat())?;
    ensure!(tracked["data"]["since"].as_str().is_some_and(|day| day.len() == 10), "{tracked}");
    for (file, user) in [("scheduler.conf", "kube-scheduler"), ("controller-manager.conf", "kube-controller-manager")] {
        let run = |arguments: &[&str]| {
            let mut command = cluster.kubectl_command();
            clients::run(command.env("KUBECONFIG", cluster.data().join(file)).args(arguments).args(system))
        };
        let name = run(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])?;
        ensure!(name == format!("system:{user}"), "{name}");
        run(&["get", "configmap", "extension-apiserver-authentication"])?;
        for what in ["nodes", "pods", "services", "replicasets", "csinodes", "resourceclaims"] {
            run(&["get", what, "--all-namespaces"])?;
        }
        let lease =
            object("coordination.k8s.io/v1", "Lease", user, &json!({"holderIdentity": "other", "leaseDurationSeconds": 15}));
        let path = cluster.data().join("lease.json");
        std::fs::write(&path, lease.to_string())?;
        run(&["create", "-f", &path.display().to_string()])?;
        run(&["replace", "-f", &path.display().to_string()])?;
    }
    Ok(())
}

#[test]
fn a_secret_can_hold_a_token() -> Result<()> {
    let cluster = Cluster::start(&API)?;
    let metadata = json!({"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"});
    cluster.kubectl_stdin(&["create"], &secret.to_string())?;
    let data = |key: &str| format!("-o=go-template={{{{index .data \"{key}\" | base64decode}}}}");
    cluster.until("the token", |c| Ok(c.get(&["secret", "t"])?["data"]["token"].is_string()))?;
    let token = cluster.kubectl(&["get", "secret", "t", &data("token")])?;
    let authority = cluster.data().join("ca.crt");
    std::fs::write(&authority, cluster.kubectl(&["get", "secret", "t", &data("ca.crt")])?)?;
    let server = cluster.kubectl(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
    let mut kubectl = Command::new("kubectl");
    kubectl.env("KUBECONFIG", "/dev/null").env("HOME", cluster.data()).args(["--server", &server, "--token", &token]);
    kubectl.arg(format!("--certificate-authority={}", authority.display())).args(["auth", "whoami"]);
    kubectl.args(["-o", "jsonpath={.status.userInfo.username}"]);
    let name = clients::run(&mut kubectl)?;
    ensure!(name == "system:serviceaccount:default:default", "{name}");
    Ok(())
}

fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_scrapes_the_api() -> Result<()> {
    clients::need("prometheus", "prometheus")?;
    let cluster = Cluster::start(&API)?;
    let port = free_port()?;
    let home = cluster.data().join("prometheus");
    std::fs::create_dir_all(&home)?;
    let config = home.join("prometheus.yml");
    std::fs::write(&config, prometheus_config(&cluster)?)?;
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", home.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let log = std::fs::File::create(home.join("log"))?;
    let _prometheus = Running(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?);
    let server = format!("http://127.0.0.1:{port}");
    let shows = |query: &str, part: &str| {
        cluster.until(&format!("{query} to show {part:?}"), |_| {
            let shown = clients::run(Command::new("promtool").args(["query", "instant", &server, query]))
                .with_context(|| std::fs::read_to_string(home.join("log")).unwrap_or_default())?;
            ensure!(shown.contains(part), "{shown}");
            Ok(true)
        })
    };
    shows("up{job='api'}", "=> 1 @")?;
    cluster.kubectl(&["create", "configmap", "seen"])?;
    shows("apiserver_request_total{resource='configmaps',verb='POST',code='201'} > 0", "=> ")?;
    shows("apiserver_storage_objects{resource='configmaps'} > 1", "=> ")
}

/// Scrapes the API as its administrator. Debian's build discovers nothing through Kubernetes, so the address is given.
fn prometheus_config(cluster: &Cluster) -> Result<String> {
    let kubeconfig = std::fs::read_to_string(cluster.data().join("kubeconfig"))?;
    let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: https://")).context("no server")?;
    let pki = cluster.data().join("pki");
    Ok(format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: api
  scheme: https
  tls_config: {{ca_file: {0}/ca.crt, cert_file: {0}/admin.crt, key_file: {0}/admin.key}}
  static_configs: [{{targets: ['{server}']}}]
",
        pki.display()
    ))
}
