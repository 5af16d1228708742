//! wasi-node
