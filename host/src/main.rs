//! The program `wasmkube`.

fn main() {}
