//! The simulator: whole clusters in one thread and virtual time, under faults, with invariants that are looked at at every
//! step. A seed decides everything.
//!
//! ```text
//!   script ─▶ world ─▶ users, watching clients, nodes ─▶ network ─▶ plane (Cluster::step, journal)
//!                └───────────── check ◀── every change, answer, event and container ──────────┘
//! ```
//!
//! [`generate`](generate()) makes a [`Script`] of a seed, [`Simulator::run`] plays it, [`minimise`](minimise()) finds what of it is needed
//! to fail. The control plane is what hosts run, [`crate::Cluster`]; nodes are real kubelets over the scripted runtime, outside
//! of it. Nothing in the control plane knows that it is simulated, and nothing here is part of it.
//!
//! Start reading at `world` (what happens when) and `invariants` (what must hold).

mod check;
mod facts;
mod generate;
mod http;
mod invariants;
mod minimise;
mod network;
mod node;
mod plane;
mod reflector;
mod script;
mod user;
mod watched;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use check::Violation;
pub use generate::generate;
pub use minimise::minimise;
pub use script::{Action, FAULTS, Script, Step};
pub use world::Outcome;

/// Something deliberately wrong: what the simulator is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The journal says that it has written what it has not.
    ForgetfulJournal,
    /// The network swallows events of watches.
    SwallowedEvents,
    /// Nodes say that containers have ended, and let them run.
    LyingNode,
    /// Nodes are taken to be smaller than they say.
    SmallNodes,
}

/// The sabotages by name.
pub const SABOTAGES: [(&str, Sabotage); 4] = [
    ("forgetful-journal", Sabotage::ForgetfulJournal),
    ("swallowed-events", Sabotage::SwallowedEvents),
    ("lying-node", Sabotage::LyingNode),
    ("small-nodes", Sabotage::SmallNodes),
];

/// The names of all invariants.
pub fn invariants() -> impl Iterator<Item = &'static str> {
    invariants::INVARIANTS.iter().map(|invariant| invariant.name)
}

/// Plays scripts.
pub struct Simulator {
    genesis: plane::Durable,
    /// What is deliberately wrong.
    pub sabotage: Option<Sabotage>,
    tell: bool,
}

impl Default for Simulator {
    fn default() -> Self {
        Simulator::new(false)
    }
}

impl Simulator {
    /// A simulator that breaks nothing on purpose; `tell` says whether its runs tell what happens.
    pub fn new(tell: bool) -> Self {
        Simulator { genesis: world::genesis(), sabotage: None, tell }
    }

    /// Plays a script. A panic of the control plane is a violation like others.
    pub fn run(&self, script: &Script) -> Outcome {
        let play = || world::World::new(script, &self.genesis, self.sabotage, self.tell).run();
        catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
            let what = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            let violation = Violation { invariant: "the-control-plane-does-not-panic".to_owned(), what };
            Outcome { violation: Some(violation), ..Outcome::default() }
        })
    }
}
