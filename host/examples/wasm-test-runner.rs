//! Runs a WASI 0.2 program, for `cargo test --target wasm32-wasip2`: the tests of core as a WebAssembly program must see.
//!
//! usage: wasm-test-runner PROGRAM.wasm [ARGUMENTS]

use std::process::ExitCode;

use wasmtime::Result;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::error::Context as _;
use wasmtime::{Config, Engine, OptLevel, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

struct State {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.context, table: &mut self.table }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let mut config = Config::new();
    // Compiled once and run once: the time of both counts.
    config.cranelift_opt_level(OptLevel::None);
    let engine = Engine::new(&config)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(program) = arguments.first() else { wasmtime::bail!("usage: wasm-test-runner PROGRAM.wasm [ARGUMENTS]") };
    let component = Component::from_file(&engine, program).with_context(|| program.clone())?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    let context = WasiCtxBuilder::new().inherit_stdio().inherit_env().args(&arguments).build();
    let mut store = Store::new(&engine, State { context, table: ResourceTable::new() });
    let command = Command::instantiate(&mut store, &component, &linker)?;
    match command.wasi_cli_run().call_run(&mut store) {
        Ok(done) => Ok(done.is_ok()),
        // `std::process::exit` arrives as a trap that carries the code.
        Err(error) => match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            Some(exit) => Ok(exit.0 == 0),
            None => Err(error),
        },
    }
}
