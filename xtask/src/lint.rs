//! Formatting and clippy.

use anyhow::Result;

use crate::shell::{self, cargo};

/// tidy, formatting and clippy.
pub fn run() -> Result<()> {
    crate::tidy::run()?;
    format()?;
    clippy()
}

/// Formatting of every crate.
pub fn format() -> Result<()> {
    shell::run(&mut cargo(["fmt", "--all", "--check"]))
}

/// Clippy without warnings: all native crates with their tests, then what only builds for wasm.
pub fn clippy() -> Result<()> {
    let wasm = ["wasmkube-browser", "wasmkube-web"];
    let mut native = vec!["clippy".to_owned(), "--quiet".to_owned(), "--workspace".to_owned(), "--all-targets".to_owned()];
    native.extend(wasm.iter().chain(&["wasmkube-wasi-node"]).map(|name| format!("--exclude={name}")));
    native.extend(["--", "-D", "warnings"].map(str::to_owned));
    shell::run(&mut cargo(native))?;
    for name in wasm {
        shell::run(&mut cargo(["clippy", "--quiet", "--target", "wasm32-unknown-unknown", "-p", name, "--", "-D", "warnings"]))?;
    }
    shell::run(&mut cargo(["clippy", "--quiet", "--target", "wasm32-wasip2", "-p", "wasmkube-wasi-node", "--", "-D", "warnings"]))
}
