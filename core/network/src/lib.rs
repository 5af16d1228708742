//! The data plane as lookup tables: Services and their names now; NetworkPolicy comes with the network issue.
//!
//! Invariant: pure functions over plain data; whoever connects asks here and does the connecting itself.
//! Start reading at [`services`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![warn(missing_docs)]

pub mod services;
