//! Stock kubectl drives a cluster with a real node: what a person types on their first day works.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use wasmkube_tests::Cluster;

const WEB: &str = include_str!("../fixtures/web.yaml");

fn with_web() -> Result<Cluster> {
    let cluster = Cluster::with_node()?;
    let printed = cluster.kubectl_stdin(&["apply"], WEB)?;
    ensure!(printed == "deployment.apps/web created\nservice/web created\n", "{printed}");
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    Ok(cluster)
}

#[test]
fn a_deployment_runs_and_its_service_finds_it() -> Result<()> {
    let cluster = with_web()?;
    let pods = cluster.kubectl(&["get", "pods", "-o", "wide"])?;
    ensure!(pods.lines().filter(|line| line.contains("1/1") && line.contains("Running")).count() == 3, "{pods}");
    cluster.until("three endpoints", |c| {
        let slices = c.get(&["endpointslices", "-l", "kubernetes.io/service-name=web"])?;
        let ready = |e: &&serde_json::Value| e["conditions"]["ready"] == true;
        Ok(slices["items"][0]["endpoints"].as_array().is_some_and(|list| list.iter().filter(ready).count() == 3))
    })?;
    let described = cluster.kubectl(&["describe", "deployment", "web"])?;
    for part in ["3 desired | 3 updated | 3 total | 3 available | 0 unavailable", "NewReplicaSet:   web-", "ScalingReplicaSet"] {
        ensure!(described.contains(part), "no {part:?} in\n{described}");
    }
    let described = cluster.kubectl(&["describe", "pods", "-l", "app=web"])?;
    for part in ["Successfully assigned default/web-", "Started", "image \"wasmkube/http-echo\""] {
        ensure!(described.contains(part), "no {part:?} in\n{described}");
    }
    Ok(())
}

#[test]
fn pods_serve_and_their_logs_can_be_followed() -> Result<()> {
    let cluster = with_web()?;
    let pods = cluster.get(&["pods", "-l", "app=web"])?;
    let name = pods["items"][0]["metadata"]["name"].as_str().context("no pod")?.to_owned();
    let ip = pods["items"][0]["status"]["podIP"].as_str().context("no pod IP")?.to_owned();
    let mut follow = cluster.kubectl_command().args(["logs", "-f", &name]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(follow.stdout.take().context("no stdout")?).lines();
    let answer = get_http(&ip, 8080, "/find-me")?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("/find-me"), "{answer}");
    let found = lines.any(|line| line.is_ok_and(|line| line.contains("/find-me")));
    follow.kill()?;
    follow.wait()?;
    ensure!(found, "the request is not in the followed log");
    let tail = cluster.kubectl(&["logs", &name, "--tail=1"])?;
    ensure!(tail.lines().count() == 1, "{tail}");
    let proxied = cluster.kubectl(&["get", "--raw", "/api/v1/namespaces/default/services/http:web:80/proxy/by-proxy"])?;
    ensure!(proxied.contains("/by-proxy"), "{proxied}");
    let node = pods["items"][0]["spec"]["nodeName"].as_str().context("no node")?;
    let health = cluster.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/healthz")])?;
    ensure!(health.trim() == "ok", "{health}");
    Ok(())
}

#[test]
fn scale_update_undo_and_delete() -> Result<()> {
    let cluster = with_web()?;
    cluster.kubectl(&["scale", "deployment/web", "--replicas=5"])?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    ensure!(cluster.get(&["deployment", "web"])?["status"]["readyReplicas"] == 5);
    cluster.kubectl(&["set", "env", "deployment/web", "GREETING=two"])?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    let history = cluster.kubectl(&["rollout", "history", "deployment/web"])?;
    ensure!(history.contains("1 ") && history.contains("2 "), "{history}");
    cluster.kubectl(&["rollout", "undo", "deployment/web"])?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    let deployment = cluster.get(&["deployment", "web"])?;
    ensure!(deployment["spec"]["template"]["spec"]["containers"][0].get("env").is_none(), "{deployment}");
    ensure!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3", "{deployment}");
    let printed = cluster.kubectl(&["delete", "deployment/web", "service/web"])?;
    ensure!(printed.contains("deployment.apps \"web\" deleted"), "{printed}");
    cluster.until("everything of it to be gone", |c| {
        Ok(c.kubectl(&["get", "pods,replicasets,endpointslices", "-l", "app=web", "-o", "name"])?.is_empty())
    })
}

#[test]
fn explain_api_resources_server_side_apply_and_diff() -> Result<()> {
    let cluster = Cluster::start(&["--control-plane-only"])?;
    let explained = cluster.kubectl(&["explain", "deployment.spec.strategy"])?;
    for part in ["GROUP:      apps", "FIELD: strategy <DeploymentStrategy>", "rollingUpdate\t<RollingUpdateDeployment>"] {
        ensure!(explained.contains(part), "no {part:?} in\n{explained}");
    }
    let resources = cluster.kubectl(&["api-resources"])?;
    for part in ["deployments", "deploy", "endpointslices", "horizontalpodautoscalers", "validatingadmissionpolicies"] {
        ensure!(resources.contains(part), "no {part:?} in\n{resources}");
    }
    let printed = cluster.kubectl_stdin(&["apply", "--server-side"], WEB)?;
    ensure!(printed == "deployment.apps/web serverside-applied\nservice/web serverside-applied\n", "{printed}");
    let managed = cluster.kubectl(&["get", "deployment", "web", "-o", "json", "--show-managed-fields"])?;
    ensure!(managed.contains("\"operation\": \"Apply\"") && managed.contains("k:{\\\"name\\\":\\\"echo\\\"}"), "{managed}");
    let file = cluster.data().join("changed.yaml");
    std::fs::write(&file, WEB.replace("replicas: 3", "replicas: 4"))?;
    let diff = cluster.kubectl_output(&["diff", "-f", &file.display().to_string()])?;
    let text = String::from_utf8_lossy(&diff.stdout).into_owned();
    ensure!(diff.status.code() == Some(1) && text.contains("-  replicas: 3") && text.contains("+  replicas: 4"), "{text}");
    Ok(())
}

#[test]
fn a_watch_shows_what_happens() -> Result<()> {
    let cluster = Cluster::start(&["--control-plane-only"])?;
    let mut watch = cluster.kubectl_command().args(["get", "configmaps", "-w", "--no-headers"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("no stdout")?).lines();
    let root = lines.next().context("nothing listed")??;
    ensure!(root.starts_with("kube-root-ca.crt"), "{root}");
    cluster.kubectl(&["create", "configmap", "seen", "--from-literal=a=b"])?;
    let line = lines.next().context("no event")??;
    watch.kill()?;
    watch.wait()?;
    ensure!(line.starts_with("seen") && line.split_whitespace().nth(1) == Some("1"), "{line}");
    Ok(())
}

fn get_http(ip: &str, port: u16, path: &str) -> Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect((ip, port)).with_context(|| format!("{ip}:{port}"))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {ip}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
