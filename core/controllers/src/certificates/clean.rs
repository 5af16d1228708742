//! Cleaning: requests that nobody needs any more are thrown away.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object::value::{list_at, str_at};
use object::{Result, Time, Value};
use store::{Event, Key, Store};

use super::{condition, is_issued, issue, requests, stored};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// After a decision, or a failure.
const DECIDED_SECONDS: u64 = 3600;
/// Without a decision.
const PENDING_SECONDS: u64 = 24 * 3600;

/// Throws requests away.
pub struct CertificateCleaner;

impl Controller for CertificateCleaner {
    fn name(&self) -> &'static str {
        "certificate-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == stored() && event.new.is_some() {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        let Some(end) = end_of(&stored.value(), stored.meta.creation_timestamp.unwrap_or(cx.now)) else { return Ok(()) };
        if end > cx.now {
            cx.queue.add_at(key.clone(), end);
            return Ok(());
        }
        match cx.client().delete(&requests(), "", &key.name, &Default::default()) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

/// When a request is of no more use.
fn end_of(csr: &Value, made: Time) -> Option<Time> {
    if list_at(csr, &["status", "conditions"]).is_empty() {
        return Some(made.plus_secs(PENDING_SECONDS));
    }
    let decided = ["Approved", "Denied", "Failed"].iter().filter_map(|kind| {
        let condition = condition(csr, kind)?;
        Time::parse(str_at(condition, &["lastUpdateTime"])).map(|time| time.plus_secs(DECIDED_SECONDS))
    });
    let expired = is_issued(csr).then(|| {
        let pem = STANDARD.decode(str_at(csr, &["status", "certificate"])).ok()?;
        issue::not_after(&String::from_utf8_lossy(&pem))
    });
    decided.chain(expired.flatten()).min()
}
