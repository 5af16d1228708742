//! The value of an object that was just written: kept for a while, then let go.
#![allow(
    clippy::disallowed_types,
    reason = "no thread ever waits for this lock: only a lock makes what can be emptied shareable"
)]

use std::sync::{Arc, Mutex, PoisonError};

use object::Value;

/// A value that is there until it is let go.
#[derive(Default)]
pub(crate) struct Young(Mutex<Option<Arc<Value>>>);

impl Young {
    /// With this value.
    pub fn of(value: Arc<Value>) -> Self {
        Young(Mutex::new(Some(value)))
    }

    /// The value, if it is still there.
    pub fn get(&self) -> Option<Arc<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the value go.
    pub fn let_go(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
