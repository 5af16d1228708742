//! Objects over time: revisions, reads at a revision, the history that watches follow, and its compaction.
//!
//! Invariants: a revision belongs to exactly one change; the maps are persistent, so a [`Snapshot`] costs nothing and never
//! changes; what was committed is only ever replaced by a later commit. Nothing here knows kinds, users or wire formats.
//! Start reading at [`Store`].
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod object;
mod registry_key;
mod store;
mod young;

pub use crate::object::{Key, Object, View};
pub use registry_key::{registry_key, registry_prefix};
pub use store::{Compacted, Event, Snapshot, Store};

use ::object::Time;

/// How far a part of the control plane got with its slice of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether work is left that could be done at once.
    pub more: bool,
    /// When there will be work if nothing else happens.
    pub wake_at: Option<Time>,
}

impl Progress {
    /// Both together: work is left if either has some; the earlier time wins.
    pub fn and(self, other: Progress) -> Progress {
        let wake_at = match (self.wake_at, other.wake_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Progress { more: self.more || other.more, wake_at }
    }
}
