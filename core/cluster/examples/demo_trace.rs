//! Writes the demo trace and what native core makes of it, for the tests on other targets to compare with.
//!
//! `cargo run -p wasmkube-cluster --example demo_trace -- DIRECTORY` makes `trace.bin` and `outputs.bin` there.

use std::path::PathBuf;

use wasmkube_cluster::{trace, wire};

// An example may write files; core may not.
#[allow(clippy::disallowed_methods)]
fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let trace = trace::demo_trace();
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("trace.bin"), wire::encode(&trace))?;
    std::fs::write(directory.join("outputs.bin"), trace::run(&trace))
}
