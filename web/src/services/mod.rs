//! All I/O of the page.

pub mod api;
pub mod bridge;
pub mod reflector;
pub mod shell;
