//! The native host: it gives the control plane (core, as a WASI component or natively) a network, a disk and a node.
//!
//! The program is `main.rs`; it only calls [`cli`]. Start reading at [`server`], which puts the parts of a running
//! control plane together. Nothing here decides what Kubernetes would answer: that is core's.

pub mod audit;
pub mod caller;
pub mod cli;
pub mod client;
pub mod driver;
pub mod engine;
pub mod front;
pub mod install;
pub mod journal;
pub mod kubeconfig;
pub mod kubectl;
pub mod limits;
pub mod measure;
pub mod node;
pub mod pki;
pub mod playground;
pub mod server;
pub mod streams;
mod tokens;
