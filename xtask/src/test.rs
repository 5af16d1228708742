//! Every check there is, in an order that fails early: cheap ones first.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::shell::{self, cargo, run as run_command};
use crate::{dist, lint, replay, simulate, tidy, web};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 11] = [
    ("tidy", tidy::run),
    ("fmt", lint::format),
    ("clippy", lint::clippy),
    ("core", core),
    ("core-wasm", core_wasm),
    ("simulate", simulate::check),
    ("build", build),
    ("host", host),
    ("e2e", end_to_end),
    ("browser", browser),
    ("replay", replay::summary),
];

/// Runs all steps, or those named after `--only`.
pub fn run(arguments: &[String]) -> Result<()> {
    let only: Vec<&str> = match arguments {
        [] => Vec::new(),
        [flag, names @ ..] if flag == "--only" && !names.is_empty() => names.iter().map(String::as_str).collect(),
        _ => bail!("usage: cargo xtask test [--only STEP…]"),
    };
    if let Some(unknown) = only.iter().find(|name| !STEPS.iter().any(|(step, _)| step == *name)) {
        bail!("no step {unknown:?}");
    }
    let mut times = Vec::new();
    for (name, step) in STEPS {
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        println!("\n== {name}");
        let start = Instant::now();
        step()?;
        times.push(format!("{name} {:.0} s", start.elapsed().as_secs_f32()));
    }
    println!("\nall checks passed: {}", times.join(", "));
    Ok(())
}

/// Unit and integration tests of core, its decoders under mutated input, xtask and the page's state, natively.
fn core() -> Result<()> {
    run_command(&mut cargo(["test", "--quiet"]))?;
    run_command(&mut cargo(["test", "--quiet", "-p", "xtask", "-p", "wasmkube-web", "-p", "wasmkube-test-decoders"]))
}

/// The same tests of core as WASI programs.
fn core_wasm() -> Result<()> {
    // A part of the host, so that the wasm engine is built once for all steps.
    run_command(&mut cargo(["build", "--quiet", "--release", "-p", "wasmkube", "--example", "wasm-test-runner"]))?;
    let runner = shell::target().join("release/examples/wasm-test-runner");
    run_command(
        cargo(["test", "--quiet", "--target", "wasm32-wasip2", "--lib", "--tests"])
            .env("CARGO_TARGET_WASM32_WASIP2_RUNNER", runner),
    )
}

fn build() -> Result<()> {
    dist::build().map(drop)
}

/// Tests of the native programs; in release, so that the wasm engine is built once for them and for `up`.
fn host() -> Result<()> {
    run_command(cargo(["test", "--quiet", "--release", "-p", "wasmkube"]).env("WASMKUBE_HOME", shell::dist()))?;
    run_command(cargo(["test", "--quiet", "--release", "-p", "wasmkube-runner"]).env("WASMKUBE_HOME", shell::dist()))
}

/// Stock kubectl, and other projects' clients, against the assembled program.
fn end_to_end() -> Result<()> {
    if !shell::has("kubectl") {
        bail!("kubectl is missing: install it (Kubernetes' own, 1.32 or later) and put it on the path");
    }
    need("prometheus", "prometheus")?;
    need("python3", "python3-venv")?;
    run_command(
        cargo(["test", "--quiet", "--release", "-p", "wasmkube-tests", "-p", "wasmkube-test-operator", "--", "--test-threads=1"])
            .env("WASMKUBE_HOME", shell::dist()),
    )
}

/// The page in a real browser.
fn browser() -> Result<()> {
    need("chromium", "chromium")?;
    web::browser_test(&shell::dist().join("web"))
}

/// A program, installed from Debian's packages where that is possible without asking.
fn need(program: &str, package: &str) -> Result<()> {
    if shell::has(program) {
        return Ok(());
    }
    if shell::has("apt-get") && std::env::var_os("CI").is_some() {
        run_command(Command::new("apt-get").args(["update", "-qq"]))?;
        return run_command(Command::new("apt-get").args(["install", "-y", "-qq", "--no-install-recommends", package]));
    }
    bail!("{program} is missing: `apt-get install {package}` (or set CI=true to have it installed)");
}
