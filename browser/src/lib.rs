//! Core for the browser: the class that the Web Worker of `js/worker.ts` drives.
//!
//! Here lives only the translation between JavaScript values and [`cluster::wire`]; the loop, the clock, the channels
//! to the page and IndexedDB are the worker's. Times are microseconds since 1970 as JavaScript numbers, which hold
//! them exactly until the year 2255; stream ids are whole numbers below 2^53.

mod core;
mod kubectl;
mod sink;

pub use crate::core::Core;

use wasm_bindgen::prelude::*;

#[global_allocator]
static MEMORY: memory::SizeClasses = memory::SizeClasses::new();

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(message: &str);
}

/// Replays a recorded trace (`Vec<StepInput>` in the wire encoding) on a core of its own and gives back the outputs of
/// every step: the same bytes as on any other target.
#[wasm_bindgen(js_name = runTrace)]
pub fn run_trace(trace: &[u8]) -> Result<Vec<u8>, JsError> {
    let trace: Vec<cluster::StepInput> = cluster::wire::decode(trace).map_err(|error| JsError::new(&error.to_string()))?;
    Ok(cluster::trace::run(&trace))
}

/// A panic ends this instance (the browser build aborts); the console and the page should say where it was.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| console_error(&format!("wasmkube core: {info}"))));
}
