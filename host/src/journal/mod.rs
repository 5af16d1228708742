//! What makes changes last: the journal is the set of all objects as of the last durable batch.
//!
//! A batch is all or nothing, and [`Journal::append`] returns only when it is durable. The order of writes, group commit and
//! recovery are the [driver](crate::driver)'s; an engine here only stores.

pub mod disk;
pub mod encryption;
pub mod memory;

use cluster::Record;

/// A failure to read or write. The host stops on it: a control plane that cannot remember must not answer.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

/// How much a batch handed to the visitor of [`Journal::load`] holds at most, in bytes of values (one object may exceed it).
pub const LOAD_BATCH: usize = 8 << 20;

/// A durable map of objects.
pub trait Journal: Send {
    /// Hands everything to `visit` in batches, as `Put`s in the order of keys, and returns the highest revision ever
    /// appended (0 for a new journal).
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64>;

    /// Makes these changes durable, all or none of them, in their order.
    fn append(&mut self, records: &[Record]) -> Result<()>;
}

/// Collects records into batches of about [`LOAD_BATCH`].
struct Batches<'a> {
    visit: &'a mut dyn FnMut(Vec<Record>) -> Result<()>,
    batch: Vec<Record>,
    size: usize,
}

impl<'a> Batches<'a> {
    fn new(visit: &'a mut dyn FnMut(Vec<Record>) -> Result<()>) -> Self {
        Batches { visit, batch: Vec::new(), size: 0 }
    }

    fn push(&mut self, revision: u64, key: &str, value: bytes::Bytes) -> Result<()> {
        self.size += value.len();
        self.batch.push(Record::Put { revision, key: key.to_owned(), value });
        if self.size < LOAD_BATCH {
            return Ok(());
        }
        self.size = 0;
        (self.visit)(std::mem::take(&mut self.batch))
    }

    fn finish(self) -> Result<()> {
        if self.batch.is_empty() { Ok(()) } else { (self.visit)(self.batch) }
    }
}
