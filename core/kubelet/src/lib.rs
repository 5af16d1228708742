//! The life of a pod on a node: Kubernetes' kubelet as a pure state machine.
//!
//! Facts go in ([`Input`]: a pod was bound here, a container exited, a probe failed), wishes come out ([`Output`]: start this
//! container, pull that image, write this status), and the machine says when time alone will change something. The host's node agent and
//! the simulated nodes drive the same machine; only the runtime under it differs.
//!
//! Invariant: nothing here performs anything. No I/O, no clock, no API client; what is not an input is not known.
//! Start reading at [`io`] (the boundary), then `worker` (one pod) and `container` (one container).
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod admission;
mod backoff;
mod container;
mod env;
pub mod io;
mod kubelet;
pub mod node;
mod node_state;
pub mod pod;
mod probe;
mod resize;
pub mod scripted;
mod status;
mod volume;
mod worker;

pub use io::{Config, Input, Output};
pub use kubelet::Kubelet;
pub use pod::Pod;
