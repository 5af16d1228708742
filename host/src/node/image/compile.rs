//! From WebAssembly to machine code, in a process of its own: the compiler's memory is gone when it is done, and a program
//! that makes it fail fails alone.

use std::fs;
use std::hash::{Hash as _, Hasher};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
use wasmkube_runner::engine;

use crate::install::Install;

/// The subcommand of `wasmkube` that compiles one program.
pub const SUBCOMMAND: &str = "precompile-image";

/// Starts compilers.
#[derive(Clone, Debug)]
pub struct Compiler {
    version: String,
}

impl Compiler {
    /// A compiler for the engine that runners of this installation have.
    pub fn new() -> Result<Self> {
        let engine = wasmtime::Engine::new(&engine::config()).map_err(ours)?;
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Compiler { version: format!("{:016x}", hasher.finish()) })
    }

    /// Differs where code of one engine would not run in the other.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Compiles `wasm` into `output` in a process of its own.
    pub async fn compile(&self, wasm: &Path, output: &Path) -> Result<()> {
        let program = std::env::current_exe().context("cannot find the running program")?;
        let mut command = tokio::process::Command::new(program);
        command.arg(SUBCOMMAND).arg(wasm).arg(output).kill_on_drop(true).stdin(std::process::Stdio::null());
        let done = command.output().await.context("cannot start the compiler")?;
        if !done.status.success() {
            let text = String::from_utf8_lossy(&done.stderr);
            bail!("cannot compile it: {}", text.trim().trim_start_matches("Error: "));
        }
        Ok(())
    }
}

/// Compiles a component, or a core module after making a component of it. This is what [`SUBCOMMAND`] does.
pub fn precompile(wasm: &Path, output: &Path) -> Result<()> {
    let bytes = fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let component = match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => bytes,
        Some(b"\0asm\x01\0\0\0") => adapt(&bytes)?,
        _ => bail!("it is not a WebAssembly component or module"),
    };
    let engine = wasmtime::Engine::new(&engine::config()).map_err(ours)?;
    let code = engine.precompile_component(&component).map_err(ours)?;
    let fresh = output.with_extension("new");
    fs::write(&fresh, code).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, output)?;
    Ok(())
}

/// Compiles all built-in images.
pub fn precompile_built_in(install: &Install) -> Result<()> {
    for entry in fs::read_dir(install.images()).into_iter().flatten().flatten() {
        let wasm = entry.path();
        if wasm.extension().is_some_and(|extension| extension == "wasm") {
            precompile(&wasm, &wasm.with_extension("cwasm"))?;
        }
    }
    Ok(())
}

/// Makes a component of a WASI 0.1 program.
fn adapt(module: &[u8]) -> Result<Vec<u8>> {
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.adapter(NAME, ADAPTER))
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| anyhow::anyhow!("it is a core module that cannot be made a component: {error:#}"))
}

fn ours(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

/// A hash that is the same in every process.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
