//! Clients that other projects make: where they are installed from their registries, once, and how they are started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::Cluster;

/// This crate's directory in the checkout.
pub fn room() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Python with the packages of `clients/python/requirements.txt`, in an environment of its own below `target`.
pub fn python() -> Result<PathBuf> {
    let wanted = std::fs::read(room().join("clients/python/requirements.txt"))?;
    let place = target().join("clients/python");
    let (python, stamp) = (place.join("bin/python"), place.join("installed"));
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))
        .context("no Python environment: install python3 and python3-venv")?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(room().join("clients/python/requirements.txt")))?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
}

/// The directory of the JavaScript clients, with what its lock file says installed.
pub fn node() -> Result<PathBuf> {
    let place = room().join("clients/node");
    let wanted = std::fs::read(place.join("package-lock.json"))?;
    let stamp = place.join("node_modules/.wasmkube-lock");
    if !std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        run(Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&place))?;
        std::fs::write(stamp, wanted)?;
    }
    Ok(place)
}

/// A command that finds the cluster where Kubernetes' clients look for it.
pub fn command(cluster: &Cluster, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", cluster.data().join("kubeconfig")).env("HOME", cluster.data());
    command
}

/// Runs a command to a good end and returns what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!("{shown} ended with {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    }
    Ok(text(&output.stdout))
}

/// Fails unless this program is on the path.
pub fn need(program: &str, package: &str) -> Result<()> {
    let found = std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    ensure!(found, "{program} is missing: install Debian's {package}");
    Ok(())
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| room().join("../target"), PathBuf::from)
}
