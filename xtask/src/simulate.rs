//! `cargo xtask simulate`: whole clusters under faults, in virtual time. Building is all that is done here; what it prints and
//! understands is in `core/cluster/examples/simulate.rs`.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::shell::{self, cargo, run as run_command};

/// Seeds that CI plays every time...
const FIXED_SEEDS: &str = "150";
/// ...and for how many seconds at most; as long again for seeds that nobody has played before.
const SECONDS: &str = "45";

/// Plays seeds, or a trace.
pub fn run(arguments: &[String]) -> Result<()> {
    build()?;
    run_command(program().args(arguments))
}

/// What CI does.
pub fn check() -> Result<()> {
    build()?;
    let trace = shell::target().join("simulation-trace.json");
    run_command(program().args(["--seeds", FIXED_SEEDS, "--seconds", SECONDS, "--out"]).arg(&trace))?;
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
    run_command(program().args(["--seeds", "1000000", "--from", &fresh, "--seconds", SECONDS, "--out"]).arg(&trace))
}

fn build() -> Result<()> {
    run_command(&mut cargo(["build", "--quiet", "--release", "-p", "wasmkube-cluster", "--example", "simulate"]))
}

fn program() -> Command {
    Command::new(shell::target().join("release/examples/simulate"))
}
