//! Puts core together behind [`Cluster::step`], the only door: API server, controllers, scheduler and simulated nodes.
//!
//! Invariant: equal state, time, seed and inputs give equal outputs, bit for bit, on every target.
//! Start reading at [`wire`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod wire;

pub use wire::{Config, Input, Output, Record, Request, StepInput, StepOutput, StreamId};

use object::Time;

/// A whole control plane.
#[derive(Default)]
pub struct Cluster {}

impl Cluster {
    /// A control plane that waits for [`Input::Configure`].
    pub fn new() -> Self {
        Cluster::default()
    }

    /// Takes what happened, does a bounded amount of work, and says what should happen outside.
    ///
    /// `now` must not go backwards. Answers and watch events must not leave before the `Journal` outputs that stand
    /// before them are durable.
    pub fn step(&mut self, _now: Time, _inputs: Vec<Input>) -> StepOutput {
        StepOutput::default()
    }
}
