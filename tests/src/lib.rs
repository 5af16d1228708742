//! What crosses crates: a harness that starts the assembled `wasmkube` on ports and directories of its own and drives it
//! with stock kubectl. The tests stand in `tests/`, one file per promise.

pub mod clients;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long a cluster may take to do what it was asked. Far more than it needs: time decides no test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `wasmkube up`. Dropping it stops the process and removes its data.
pub struct Cluster {
    child: Option<Child>,
    data: PathBuf,
    port: u16,
    arguments: Vec<String>,
}

impl Cluster {
    /// Starts with these arguments besides ports and data directory, and waits until the API is ready.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let data = std::env::temp_dir().join(format!("wasmkube-test-{}-{port}", std::process::id()));
        let mut cluster = Cluster { child: None, data, port, arguments: arguments.iter().map(|a| (*a).to_owned()).collect() };
        cluster.launch()?;
        Ok(cluster)
    }

    /// Starts with one node and waits until that is Ready.
    pub fn with_node() -> Result<Self> {
        let cluster = Cluster::start(&[])?;
        cluster.kubectl(&["wait", "--for=condition=Ready", "node", "--all", "--timeout=60s"])?;
        Ok(cluster)
    }

    /// Starts the program again on the same data.
    pub fn launch(&mut self) -> Result<()> {
        let log = std::fs::File::create(self.data.with_extension("log"))?;
        let mut command = Command::new(program()?);
        command
            .arg("up")
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--port", &self.port.to_string(), "--web-port", &free_port()?.to_string()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.child = Some(command.spawn().context("cannot start wasmkube")?);
        self.until("the API to be ready", |c| Ok(c.kubectl(&["get", "--raw", "/readyz"]).is_ok_and(|out| out.contains("ok"))))
    }

    /// Ends the process with this signal and waits for its end.
    pub fn signal(&mut self, signal: &str) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            Command::new("kill").args([signal, &child.id().to_string()]).status()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Kills the process without waiting for its end, as a power cut would.
    pub fn kill_now(&self) -> Result<()> {
        if let Some(child) = &self.child {
            Command::new("kill").args(["-KILL", &child.id().to_string()]).status()?;
        }
        Ok(())
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What the program has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }

    /// Stock kubectl, ready to be given arguments.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", self.data.join("kubeconfig")).env("HOME", &self.data).stdin(Stdio::null());
        command
    }

    /// Runs stock kubectl to a good end and returns what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = self.kubectl_command().args(arguments).output().context("cannot start kubectl")?;
        if !output.status.success() {
            bail!(
                "kubectl {} ended with {}\n{}{}",
                arguments.join(" "),
                output.status,
                text(&output.stdout),
                text(&output.stderr)
            );
        }
        Ok(text(&output.stdout))
    }

    /// Runs stock kubectl and returns whatever came of it.
    pub fn kubectl_output(&self, arguments: &[&str]) -> Result<Output> {
        self.kubectl_command().args(arguments).output().context("cannot start kubectl")
    }

    /// Runs `kubectl … -f -` on this manifest.
    pub fn kubectl_stdin(&self, arguments: &[&str], manifest: &str) -> Result<String> {
        use std::io::Write as _;
        let mut command = self.kubectl_command();
        let mut child = command
            .args(arguments)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no stdin")?.write_all(manifest.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            // `kubectl diff` ends with 1 where there are differences; callers that expect it use `kubectl_output`.
            bail!(
                "kubectl {} ended with {}\n{}{}",
                arguments.join(" "),
                output.status,
                text(&output.stdout),
                text(&output.stderr)
            );
        }
        Ok(text(&output.stdout))
    }

    /// `kubectl get … -o json`.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        Ok(serde_json::from_str(&self.kubectl(&all)?)?)
    }

    /// Asks again until `holds`; fails with the program's log when patience ends.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::from("it never held");
        while Instant::now() < deadline {
            match holds(self) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => last = format!("{error:#}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("waited in vain for {what}: {last}\n{}", self.log())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.signal("-TERM");
        let _ = std::fs::remove_dir_all(&self.data);
        let _ = std::fs::remove_file(self.data.with_extension("log"));
    }
}

/// The assembled program: in `$WASMKUBE_HOME`, where `cargo xtask test` says it is, or in `target/dist`.
pub fn program() -> Result<PathBuf> {
    let home = std::env::var_os("WASMKUBE_HOME")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/dist"), PathBuf::from);
    let program = home.join("wasmkube");
    if !program.is_file() {
        bail!("{} is missing: run `cargo xtask build`, or the tests by `cargo xtask test`", program.display());
    }
    Ok(program)
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
