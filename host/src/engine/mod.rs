//! What runs core: natively, or as a WASI component. Both answer the same inputs with the same outputs.
//!
//! An engine that failed is poisoned and must be dropped; the [driver](crate::driver) makes a new one from the journal.

pub mod native;
pub mod wasm;

use anyhow::Result;
use cluster::{StepInput, StepOutput};

use crate::install::Install;

/// A running control plane.
pub trait Engine {
    /// Calls `Cluster::step`. An error is a trap (or panic), after which this engine is of no use.
    fn step(&mut self, input: StepInput) -> Result<StepOutput>;
}

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The WASI component in wasmtime.
    #[default]
    Wasm,
    /// Core linked into this program.
    Native,
}

/// Makes engines: the first, and those after a trap.
pub trait Factory: Send {
    /// A control plane that waits for `Configure`.
    fn make(&mut self) -> Result<Box<dyn Engine>>;
}

impl<F: FnMut() -> Result<Box<dyn Engine>> + Send> Factory for F {
    fn make(&mut self) -> Result<Box<dyn Engine>> {
        self()
    }
}

/// The factory of a kind of engine.
pub fn factory(kind: Kind, install: &Install) -> Result<Box<dyn Factory>> {
    match kind {
        Kind::Native => Ok(Box::new(|| Ok(Box::new(native::Native::default()) as Box<dyn Engine>))),
        Kind::Wasm => {
            let component = wasm::load(install)?;
            Ok(Box::new(move || Ok(Box::new(component.instantiate()?) as Box<dyn Engine>)))
        }
    }
}
