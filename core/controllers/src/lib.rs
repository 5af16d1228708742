//! The controllers: each looks at one kind of object and makes the world like its spec says.
//!
//! Invariants: a controller reads the store, writes only through the API under its own identity, is told a key and never
//! why, and reads everything again each time. Work is done in slices ([`Manager::run`]), so none can hold up requests.
//! Start reading at [`Manager`]; each controller is a module of its own.
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod bootstrap;
mod certificates;
mod cluster_role_aggregation;
mod context;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod garbage;
mod history;
mod horizontal;
mod index;
mod job;
mod load_balancer;
mod manager;
mod namespace;
mod node;
mod pod;
mod pod_control;
mod policy_status;
mod pool;
mod queue;
mod quota;
mod replicaset;
mod resource_claim;
mod root_ca;
mod service_account;
mod service_cidr;
mod statefulset;
mod storage;
mod token;
mod ttl_after_finished;

pub use manager::{Manager, Settings, controller_names};
pub use pod::PodView;
pub use queue::WorkQueue;
pub use storage::PROVISIONER;
