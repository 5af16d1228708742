//! Each controller as one outside sees it: what somebody writes, and what is there after it. One module per controller, which
//! reads as that controller's documentation.
//!
//! All are one binary, because each further one is linked by itself, natively and as a WASI program.

mod bootstrap_tokens;
mod certificates;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod endpoints;
mod garbage;
mod horizontal;
mod job;
mod lifecycle;
mod load_balancer;
mod namespace;
mod nodes;
mod policies;
mod replicaset;
mod replicationcontroller;
mod statefulset;
mod storage;
mod support;
mod ttl_after_finished;
mod volumes;
