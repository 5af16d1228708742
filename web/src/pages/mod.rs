//! Whole pages.

pub mod playground;
