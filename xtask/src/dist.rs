//! Builds every part and assembles them in `target/dist`, the layout `wasmkube` is installed in:
//! the program, the runner, the control plane as a component (plain and precompiled), the built-in images, the page.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::shell::{self, cargo, run};
use crate::web;

/// The built-in images: their names under `wasmkube/`, which are also those of their crates' programs.
const IMAGES: [&str; 3] = ["hello", "http-echo", "stress"];

/// Builds everything and returns the directory of the result.
pub fn build() -> Result<PathBuf> {
    let dist = shell::dist();
    std::fs::create_dir_all(dist.join("images"))?;
    programs(&dist)?;
    control_plane(&dist)?;
    images(&dist)?;
    precompile(&dist)?;
    step("playground", || web::build(&dist.join("web"), true))?;
    Ok(dist)
}

/// Builds everything and becomes `wasmkube up` with these arguments.
pub fn up(arguments: &[String]) -> Result<()> {
    let dist = build()?;
    let mut command = std::process::Command::new(dist.join("wasmkube"));
    command.arg("up").args(arguments);
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).context("cannot start wasmkube")
}

/// The native programs. The runner is built by a cargo of its own: in one build with the host its wasmtime would get the
/// compiler that it must not have.
pub fn programs(dist: &Path) -> Result<()> {
    step("wasmkube (control plane host, node agent, kubectl)", || {
        run(&mut cargo(["build", "--quiet", "--release", "-p", "wasmkube"]))
    })?;
    step("wasmkube-runner (one per container)", || run(&mut cargo(["build", "--quiet", "--release", "-p", "wasmkube-runner"])))?;
    for program in ["wasmkube", "wasmkube-runner"] {
        install(&shell::target().join("release").join(program), &dist.join(program))?;
    }
    Ok(())
}

fn control_plane(dist: &Path) -> Result<()> {
    step("control plane as a WASI component", || {
        run(&mut cargo(["build", "--quiet", "--profile", "wasi", "--target", "wasm32-wasip2", "-p", "wasmkube-wasi-node"]))
    })?;
    install(&shell::target().join("wasm32-wasip2/wasi/wasmkube_wasi_node.wasm"), &dist.join("control-plane.wasm"))
}

fn images(dist: &Path) -> Result<()> {
    step("built-in images", || {
        let packages: Vec<String> = IMAGES.iter().map(|name| format!("--package=wasmkube-image-{name}")).collect();
        run(cargo(["build", "--quiet", "--release", "--target", "wasm32-wasip2"]).args(packages))
    })?;
    for name in IMAGES {
        let built = shell::target().join("wasm32-wasip2/release").join(format!("wasmkube-image-{name}.wasm"));
        install(&built, &dist.join("images").join(format!("{name}.wasm")))?;
    }
    Ok(())
}

fn precompile(dist: &Path) -> Result<()> {
    step("precompiling", || run(std::process::Command::new(dist.join("wasmkube")).arg("precompile")))
}

/// Says what is being done, does it, and says how long it took.
fn step(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("    building {what}");
    let start = Instant::now();
    work()?;
    let seconds = start.elapsed().as_secs_f32();
    if seconds >= 1.0 {
        eprintln!("             done in {seconds:.0} s");
    }
    Ok(())
}

/// Copies where the content differs, by way of a rename, so that a running program is not written over.
fn install(from: &Path, to: &Path) -> Result<()> {
    let new = std::fs::read(from).with_context(|| format!("{} was not built", from.display()))?;
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let fresh = to.with_extension("new");
    std::fs::copy(from, &fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
    std::fs::rename(&fresh, to)?;
    Ok(())
}
