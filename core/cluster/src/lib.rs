//! Puts core together behind [`Cluster::step`], the only door: API server, controllers, scheduler and simulated nodes.
//!
//! Invariant: equal state, time, seed and inputs give equal outputs, bit for bit, on every target.
//! Start reading at [`wire`], then [`Cluster`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod cluster;
pub mod driver;
mod explanations;
mod leader;
mod simulated;
pub mod simulation;
pub mod trace;
pub mod wire;

pub use cluster::{Cluster, scheduler_profiles};
pub use controllers::controller_names;
pub use store::registry_prefix;
pub use wire::{CallId, Config, Input, Output, Record, Request, StepInput, StepOutput, StreamId};

/// Every built-in resource that is stored, with the prefix of its keys in the journal.
pub fn stored_resources() -> Vec<(object::GroupResource, String)> {
    let registry = schema::Registry::builtin();
    let mut stored: Vec<_> =
        registry.resources().map(|r| (r.storage.resource.clone(), registry_prefix(&r.storage.resource))).collect();
    stored.sort_by(|a, b| a.1.cmp(&b.1));
    stored.dedup_by(|a, b| a.1 == b.1);
    stored
}
