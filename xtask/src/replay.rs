//! Holds recorded conversations of a real kube-apiserver against a fresh server and prints both figures per area.
//!
//! The recordings stand beside the checkout (`../shared/replay`); where they are missing there is nothing to do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// The least share of steps in full agreement, in percent, for the areas that have a floor. It only ever rises.
const FLOORS: [(&str, f64); 14] = [
    ("admission", 98.0),
    ("apply", 99.0),
    ("auth", 97.0),
    ("controllers", 97.0),
    ("crd", 99.0),
    ("crud", 98.5),
    ("defaulting", 99.0),
    ("discovery", 100.0),
    ("fieldvalidation", 99.0),
    ("list-watch", 98.5),
    ("patch", 99.0),
    ("scheduler", 97.0),
    ("table", 97.0),
    ("validation", 99.0),
];

/// A conversation that takes longer than this hangs. Time decides nothing else.
const MOST_SECONDS: &str = "600";

/// `cargo xtask replay [AREA…]`: builds the programs, then replays.
pub fn run(areas: &[String]) -> Result<()> {
    crate::dist::build()?;
    if !replay(areas)? {
        bail!("no recordings at {}", recordings().display());
    }
    Ok(())
}

/// All areas where the recordings are there; says so where they are not.
pub fn summary() -> Result<()> {
    if !replay(&[])? {
        println!("no recordings beside this checkout: skipped");
    }
    Ok(())
}

fn recordings() -> PathBuf {
    shell::root().join("../shared/replay")
}

fn replay(only: &[String]) -> Result<bool> {
    let tool = recordings().join("replay.py");
    if !tool.is_file() {
        return Ok(false);
    }
    let mut areas: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(recordings().join("scenarios"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // `list-watch-03-pagination`: the area is what stands before the number.
        let Some(at) = name.find(|c: char| c.is_ascii_digit()) else { continue };
        areas.entry(name[..at].trim_end_matches('-').to_owned()).or_default().push(path);
    }
    let server = Server::start()?;
    let (mut all, mut agree) = (0usize, 0usize);
    let mut below = Vec::new();
    let mut differing = Vec::new();
    println!("{:<18}{:>7}{:>17}{:>9}", "area", "steps", "code and reason", "in full");
    for (area, mut files) in areas {
        if !only.is_empty() && !only.contains(&area) {
            continue;
        }
        files.sort();
        let (mut steps, mut code, mut same) = (0, 0, 0);
        // One conversation at a time: those about nodes and controllers count what is in the cluster.
        for file in files {
            let result = shell::target().join("replay.json");
            let _ = std::fs::remove_file(&result);
            let mut command = Command::new("timeout");
            command
                .args([MOST_SECONDS, "python3"])
                .arg(&tool)
                .args(["--server", &server.url, "--token", &server.token, "--json"])
                .arg(&result)
                .arg(&file);
            // It exits with 1 where anything differs; what differs is counted below.
            let status = command.stdout(Stdio::null()).status().context("cannot start python3")?;
            let Ok(text) = std::fs::read(&result) else {
                let all = steps_of(&file)?;
                println!("  {}: cut off ({status}), {all} steps", file.file_stem().unwrap_or_default().to_string_lossy());
                steps += all;
                continue;
            };
            for step in serde_json::from_slice::<Vec<serde_json::Value>>(&text)? {
                steps += 1;
                code += usize::from(step["code"] == true);
                same += usize::from(step["same"] == true);
                if step["same"] != true {
                    differing.push(step["step"].as_str().unwrap_or_default().to_owned());
                }
            }
        }
        let share = |n: usize| 100.0 * n as f64 / steps.max(1) as f64;
        println!("{area:<18}{steps:>7}{:>16.1}%{:>8.1}%", share(code), share(same));
        if let Some((_, floor)) = FLOORS.iter().find(|(name, floor)| *name == area && share(same) < *floor) {
            below.push(format!("{area}: {:.1}% in full agreement, {floor}% wanted", share(same)));
        }
        all += steps;
        agree += same;
    }
    println!("{:<18}{all:>7}{:>17}{:>8.1}%", "all", "", 100.0 * agree as f64 / all.max(1) as f64);
    if !differing.is_empty() {
        println!("these differ:\n  {}", differing.join("\n  "));
    }
    if !below.is_empty() {
        bail!("fewer agree than before:\n  {}", below.join("\n  "));
    }
    Ok(true)
}

/// How many steps a conversation has.
fn steps_of(file: &std::path::Path) -> Result<usize> {
    let scenario: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
    Ok(scenario["steps"].as_array().map_or(0, Vec::len))
}

/// A control plane of its own for one command, stopped and removed when dropped.
pub struct Server {
    /// Where the API is.
    pub url: String,
    /// A bearer token of system:masters.
    pub token: String,
    /// The data directory.
    pub data: PathBuf,
    child: Child,
}

impl Server {
    /// A control plane without nodes.
    pub fn start() -> Result<Self> {
        Server::start_with(&["--control-plane-only"])
    }

    /// With these arguments besides ports and data directory.
    pub fn start_with(arguments: &[&str]) -> Result<Self> {
        Server::start_logged(arguments, None)
    }

    /// As [`Server::start_with`], with what it prints in a file.
    pub fn start_logged(arguments: &[&str], log: Option<&std::path::Path>) -> Result<Self> {
        let data = std::env::temp_dir().join(format!("wasmkube-xtask-{}-{}", std::process::id(), free_port()?));
        let (port, web_port) = (free_port()?, free_port()?);
        let mut command = Command::new(shell::dist().join("wasmkube"));
        command.arg("up").arg("--data-dir").arg(&data).args(["--port", &port.to_string(), "--web-port", &web_port.to_string()]);
        command.args(arguments).stdin(Stdio::null());
        match log {
            Some(path) => {
                let file = std::fs::File::create(path)?;
                command.stdout(file.try_clone()?).stderr(file);
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        let child = command.spawn().context("cannot start wasmkube")?;
        let mut server = Server { url: format!("https://127.0.0.1:{port}"), token: String::new(), data, child };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(token) = std::fs::read_to_string(server.data.join("token")) {
                server.token = token.trim().to_owned();
            }
            if !server.token.is_empty() && std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                bail!("wasmkube ended before it served: {status}");
            }
            if Instant::now() > deadline {
                bail!("wasmkube does not serve on {}", server.url);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
