//! The native host: it gives the control plane (core, as a WASI component or natively) a network, a disk and a node.
//!
//! The program is `main.rs`; it only calls [`cli`]. Start reading at [`server`], which puts the parts of a running
//! control plane together. Nothing here decides what Kubernetes would answer: that is core's.

pub mod client;
pub mod install;
pub mod node;
