//! Gives pods their nodes, as kube-scheduler does: a queue, filter plugins that rule nodes out, score plugins that rank the
//! rest, and the words for why a pod cannot be placed.
//!
//! Invariants: it reads the store, writes only through the API as `system:kube-scheduler`, and what it knows of nodes follows
//! from the store's events alone, so it can be thrown away and built again at any time. Scores are integers and ties are
//! broken by a seeded generator: equal inputs choose equal nodes.
//! Start reading at [`Scheduler`]; each plugin is a module of [`plugins`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod cache;
mod claims;
mod config;
mod defaults;
mod explanation;

mod follow;
mod node_info;
mod placer;
pub mod plugins;
mod pod_info;
mod pod_raw;
mod preemption;
mod queue;
mod scheduler;
mod search;
mod tallies;
mod tally;
mod topology;
mod words;
mod writes;

pub use config::Profile;
pub use node_info::NodeInfo;
pub use placer::Placer;
pub use pod_info::{PodInfo, Template};
pub use scheduler::{Scheduler, Settings};
