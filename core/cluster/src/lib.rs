//! Puts core together behind [`Cluster::step`], the only door: API server, controllers, scheduler and simulated nodes.
//!
//! Invariant: equal state, time, seed and inputs give equal outputs, bit for bit, on every target.
//! Start reading at [`wire`], then [`Cluster`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod cluster;
pub mod driver;
mod simulated;
pub mod trace;
pub mod wire;

pub use cluster::Cluster;
pub use controllers::controller_names;
pub use wire::{CallId, Config, Input, Output, Record, Request, StepInput, StepOutput, StreamId};
