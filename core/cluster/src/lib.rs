//! Puts core together behind [`Cluster::step`], the only door: API server, controllers, scheduler and simulated nodes.
//!
//! Invariant: equal state, time, seed and inputs give equal outputs, bit for bit, on every target.
//! Start reading at [`wire`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod wire;

pub use wire::{Config, Input, Output, Record, Request, StepInput, StepOutput, StreamId};

use apiserver::{ApiServer, Settings};
use object::Time;

/// A whole control plane.
#[derive(Default)]
pub struct Cluster {
    api: Option<ApiServer>,
}

impl Cluster {
    /// A control plane that waits for [`Input::Configure`].
    pub fn new() -> Self {
        Cluster::default()
    }

    /// Takes what happened, does a bounded amount of work, and says what should happen outside.
    ///
    /// `now` must not go backwards. Answers and watch events must not leave before the `Journal` outputs that stand
    /// before them are durable.
    pub fn step(&mut self, now: Time, inputs: Vec<Input>) -> StepOutput {
        for input in inputs {
            match (input, &mut self.api) {
                (Input::Configure(config), _) => self.api = Some(ApiServer::new(settings(config))),
                (Input::Restore(records), Some(api)) => drop(api.restore(records)),
                (Input::Start { revision }, Some(api)) => api.start(now, revision),
                (Input::Request(request), Some(api)) => api.handle(now, request),
                (Input::Closed(stream), Some(api)) => api.closed(stream),
                (_, None) => {}
            }
        }
        let Some(api) = &mut self.api else { return StepOutput::default() };
        let progress = api.run(now);
        let wake_at = if progress.more { Some(now) } else { progress.wake_at };
        StepOutput { outputs: api.take_outputs(), wake_at }
    }
}

fn settings(config: Config) -> Settings {
    Settings {
        seed: config.seed,
        service_cidr: config.service_cidr,
        tokens: config.tokens,
        advertise_address: config.advertise_address,
        advertise_port: config.advertise_port,
        history_limit: config.history_limit,
    }
}
