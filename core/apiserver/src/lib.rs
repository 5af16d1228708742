//! The API: a request goes through a pipeline of named steps (see [`edge`] and [`write`]), the same for clients outside and
//! for the controllers inside.
//!
//! Invariants: every write is authenticated and carries its user; a request that fails changes nothing; nothing that
//! arrives can panic. A kind is data (the schema room); what only one kind does stands in [`strategy`].
//! Start reading at [`ApiServer`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod admission;
mod aggregation;
pub mod audit;
mod auth;
mod calls;
mod causes;
mod client;
mod convert;
mod edge;
pub mod features;
mod flow;
mod health;
mod identity;
pub mod message;
pub mod metrics;
mod server;
mod strategy;
mod upstream;
mod watch;
mod write;

pub use client::{Client, gvr};
pub use edge::deadline::parse_duration;
pub use features::Features;
pub use health::HostHealth;
pub use identity::UserInfo;
pub use schema::runtime_config::RuntimeConfig;
pub use server::{ApiServer, Settings};
pub use write::{DeleteOptions, PatchKind, Preconditions, Propagation, WriteOptions};
