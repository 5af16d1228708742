//! What the node agent and the program `wasmkube-runner` share: the description of a container, the format of its log,
//! the Service table, and the setting of the wasm engine.
//!
//! The program is `main.rs`. It runs one container and contains no compiler; what it runs was precompiled with
//! [`engine::config`]. Nothing here knows the Kubernetes API.

#[cfg(feature = "engine")]
pub mod engine;
pub mod log;
pub mod services;
pub mod spec;
