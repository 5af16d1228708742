//! Connects components to what happens outside.

mod cluster;
mod timers;

pub use cluster::use_cluster;
pub use timers::{use_now, use_sweep};
