//! Load on a running server, for `cargo xtask bench`: `load KUBECONFIG PID WHAT`, where PID is the server's, whose CPU time
//! and memory are read, and WHAT is `requests`, `list`, `watches`, `growth`, `scheduling` or `deployment=N`. One line of JSON says
//! how it went.
//!
//! Everything goes over TLS. What it leaves behind is in the namespace `load`.

mod pods;
mod requests;
mod server;
mod volume;
mod watches;

use anyhow::{Context as _, Result, bail};
use hyper::Method;
use serde_json::json;
use wasmkube::client::Client;
use wasmkube::kubeconfig;

/// Where the objects are made.
const COLLECTION: &str = "/api/v1/namespaces/load/configmaps";

#[tokio::main]
async fn main() -> Result<()> {
    let usage = "usage: load KUBECONFIG PID requests|list|watches|growth|scheduling|deployment=PODS";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, pid, what] = arguments.as_slice() else { bail!(usage) };
    let (credentials, _) = kubeconfig::read(&std::fs::read_to_string(path)?, "")?;
    let server = server::Process::new(pid.parse().context(usage)?);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "load"}});
    match Client::new(&credentials)?.json(Method::POST, "/api/v1/namespaces", &namespace).await {
        Ok(_) => {}
        Err(error) if error.code() == 409 => {}
        Err(error) => return Err(error.into()),
    }
    let result = match what.as_str() {
        "requests" => requests::run(&credentials, &server).await?,
        "list" => volume::list(&credentials, &server).await?,
        "watches" => watches::run(&credentials).await?,
        "growth" => volume::growth(&credentials, &server).await?,
        "scheduling" => pods::scheduling(&credentials, &server).await?,
        other => {
            let replicas = other.strip_prefix("deployment=").and_then(|n| n.parse().ok()).context(usage)?;
            pods::deployment(&credentials, &server, replicas).await?
        }
    };
    println!("{result}");
    Ok(())
}
