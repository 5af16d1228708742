//! What every other room talks about: JSON objects and their metadata, group/version/kind names, errors as Kubernetes
//! Status, time, seeded randomness, quantities, selectors, JSONPath and the schema-free patch formats.
//!
//! Invariant: no I/O, no clock, no randomness of its own; nothing here knows a kind by name ([`scheduling`] reads pod specs).
//! Start reading at [`meta`] and [`error`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod cron;
pub mod der;
pub mod error;
pub mod events;
pub mod gvk;
pub mod jsonpath;
pub mod meta;
mod name;
pub mod names;
pub mod order;
pub mod patch;
pub mod quantity;
pub mod rng;
pub mod scheduling;
pub mod selector;
pub mod syntax;
pub mod time;
pub mod value;
pub mod yaml;
pub mod zone;

pub use bytes::Bytes;
pub use error::{ApiError, Cause, CauseType, Reason, Result};
pub use gvk::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use jsonpath::JsonPath;
pub use meta::{ObjectMeta, OwnerReference};
pub use name::Name;
pub use quantity::Quantity;
pub use rng::Rng;
pub use selector::{FieldSelector, LabelSelector};
pub use serde_json::{Map, Value, json};
pub use time::Time;
