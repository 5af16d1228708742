//! The setting of the wasm engine for workloads. Precompiled code is accepted only by an engine with equal settings, so
//! this is the one place that has them.

use wasmtime::Config;

/// Settings for compiling and for running workloads.
pub fn config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    // Stack overflow and wild accesses are caught by guard pages; a container's process has the address space to itself.
    config.memory_init_cow(true);
    config
}
