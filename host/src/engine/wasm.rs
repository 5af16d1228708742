//! The control plane as a WASI component in wasmtime, precompiled for this machine.
//!
//! The component gets what a program needs to print, and nothing else: instantiation fails for one that asks for more.
//! Compiling happens only in [`precompile`]; a running host loads machine code from a mapped file.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use cluster::wire;
use cluster::{StepInput, StepOutput};
use wasmtime::component::{Component, Linker, ResourceTable, TypedFunc};
use wasmtime::{Config, Store};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::bindings::{cli, sync};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::Engine;
use crate::install::Install;

/// Machine stack of the control plane, in bytes. Deeply nested objects need some; serde_json bounds the nesting.
const STACK: usize = 4 << 20;

/// Seed of hash maps in the guest.
const HASH_SEED: u64 = 0x7761_736d_6b75_6265;

/// The engine's settings; precompiled code only loads under the settings it was compiled with.
fn config() -> Config {
    let mut config = Config::new();
    config
        // The control plane never waits: without this, a call costs a quarter.
        .concurrency_support(false)
        .max_wasm_stack(STACK)
        .async_stack_size(2 * STACK)
        // One memory per process and 4 GiB of it: growth never moves it and no access needs a check.
        .memory_reservation(4 << 30)
        .cranelift_opt_level(wasmtime::OptLevel::Speed);
    config
}

/// Compiles a component for this machine and writes the result beside it (or wherever `output` says).
pub fn precompile(component: &Path, output: &Path) -> Result<()> {
    let engine = wasmtime::Engine::new(&config()).map_err(ours)?;
    let source = std::fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    let code =
        engine.precompile_component(&source).map_err(ours).with_context(|| format!("cannot compile {}", component.display()))?;
    // By way of a rename: a host that runs now keeps the file it has mapped.
    let fresh = output.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&fresh, code).with_context(|| format!("cannot write {}", fresh.display()))?;
    std::fs::rename(&fresh, output).with_context(|| format!("cannot write {}", output.display()))
}

/// A compiled control plane, from which any number of instances can be made.
pub struct Loaded {
    linker: Linker<Printing>,
    component: Component,
}

/// Loads the installation's precompiled control plane.
pub fn load(install: &Install) -> Result<Loaded> {
    let path = install.control_plane_precompiled();
    let engine = wasmtime::Engine::new(&config()).map_err(ours)?;
    // SAFETY: the file is machine code that this process will run, and is trusted as the program itself is: it lies beside
    // it, was written by `wasmkube precompile`, and wasmtime refuses what another version or other settings produced.
    let component = unsafe { Component::deserialize_file(&engine, &path) }
        .map_err(ours)
        .with_context(|| format!("cannot load {} (`wasmkube precompile` makes it)", path.display()))?;
    Ok(Loaded { linker: linker(&engine).map_err(ours)?, component })
}

/// The interfaces that printing to stderr takes in Rust's standard library.
fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Printing>> {
    let mut linker = Linker::<Printing>::new(engine);
    let l = &mut linker;
    cli::environment::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Printing::cli)?;
    sync::io::error::add_to_linker::<_, Table>(l, |state| &mut state.table)?;
    sync::io::poll::add_to_linker::<_, Table>(l, |state| &mut state.table)?;
    sync::io::streams::add_to_linker::<_, Table>(l, |state| &mut state.table)?;
    // Hash maps of the standard library ask for this; core has none, but a decoder it uses may. A constant keeps equal inputs
    // at equal outputs; what comes in is bounded, so that chosen keys cannot do much harm.
    l.instance("wasi:random/insecure-seed@0.2.6")?.func_wrap("insecure-seed", |_, ()| Ok(((HASH_SEED, !HASH_SEED),)))?;
    Ok(linker)
}

/// The engine's error, with its causes and the guest's stack, as one text.
fn ours(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// What printing needs to remember.
struct Printing {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Printing {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

struct Table;

impl wasmtime::component::HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

impl Loaded {
    /// A new control plane that waits for `Configure`.
    pub fn instantiate(&self) -> Result<Wasm> {
        let context = WasiCtxBuilder::new().inherit_stderr().build();
        let mut store = Store::new(self.linker.engine(), Printing { context, table: ResourceTable::new() });
        let instance = self.linker.instantiate(&mut store, &self.component).map_err(ours)?;
        let step = instance.get_typed_func(&mut store, "step").map_err(ours)?;
        Ok(Wasm { store, step })
    }

    /// Names of the interfaces the component imports.
    pub fn imports(&self) -> Vec<String> {
        self.component.component_type().imports(self.linker.engine()).map(|(name, _)| name.to_owned()).collect()
    }
}

/// `step`. A shorter lifetime than the one named here will do for each call.
type Func = TypedFunc<(&'static [u8],), (Vec<u8>,)>;

/// An instance of the control plane.
pub struct Wasm {
    store: Store<Printing>,
    step: Func,
}

impl Wasm {
    /// Calls the component's `step` with an encoded message.
    pub fn call(&mut self, input: &[u8]) -> Result<Vec<u8>> {
        let (output,) = self.step.call(&mut self.store, (input,)).map_err(ours).context("the control plane trapped")?;
        Ok(output)
    }
}

impl Engine for Wasm {
    fn step(&mut self, input: StepInput) -> Result<StepOutput> {
        wire::decode(&self.call(&wire::encode(&input))?).context("the control plane returned no StepOutput")
    }
}
