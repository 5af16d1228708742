//! The journal on disk: redb, an embedded ACID store in one file.
//!
//! One batch is one transaction and one fsync. After a crash redb returns to the last transaction whose fsync finished.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use cluster::Record;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition};

use super::{Batches, Journal, Result};

/// Key (`/registry/…`) to revision and compact JSON.
const OBJECTS: TableDefinition<&str, (u64, &[u8])> = TableDefinition::new("objects");

/// Facts about the journal itself.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The highest revision ever appended; deletions leave no other trace of theirs.
const REVISION: &str = "revision";

/// The format of the two tables, for those who come later.
const FORMAT: &str = "format";

/// The format this program reads and writes.
const FORMAT_VERSION: u64 = 1;

/// Pages kept in memory. Objects are read once, at start, and live in core after that, so that little is needed.
const CACHE: usize = 16 << 20;

/// An open journal. Only one process can have it open.
pub struct Disk {
    database: Database,
}

impl Disk {
    /// Opens the journal in this file, which is made if it is missing.
    pub fn open(path: &Path) -> Result<Self> {
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create(path)
            .with_context(|| format!("cannot open the journal {}", path.display()))?;
        Disk::prepare(database)
    }

    /// Opens a journal in storage of another kind, for tests that take it away.
    pub fn open_backend(backend: impl StorageBackend) -> Result<Self> {
        Disk::prepare(Database::builder().set_cache_size(CACHE).create_with_backend(backend)?)
    }

    fn prepare(database: Database) -> Result<Self> {
        let transaction = database.begin_write()?;
        {
            transaction.open_table(OBJECTS)?;
            let mut meta = transaction.open_table(META)?;
            let format = meta.get(FORMAT)?.map(|found| found.value());
            match format {
                None => drop(meta.insert(FORMAT, FORMAT_VERSION)?),
                Some(FORMAT_VERSION) => {}
                Some(other) => anyhow::bail!("the journal has format {other}; this program knows {FORMAT_VERSION}"),
            }
        }
        transaction.commit()?;
        Ok(Disk { database })
    }
}

impl Journal for Disk {
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64> {
        let transaction = self.database.begin_read()?;
        let mut batches = Batches::new(visit);
        for entry in transaction.open_table(OBJECTS)?.iter()? {
            let (key, value) = entry?;
            let (revision, value) = value.value();
            batches.push(revision, key.value(), Bytes::copy_from_slice(value))?;
        }
        batches.finish()?;
        Ok(transaction.open_table(META)?.get(REVISION)?.map_or(0, |found| found.value()))
    }

    fn append(&mut self, records: &[Record]) -> Result<()> {
        let Some(last) = records.iter().map(Record::revision).max() else { return Ok(()) };
        let transaction = self.database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for record in records {
                match record {
                    Record::Put { revision, key, value } => drop(objects.insert(key.as_str(), (*revision, &value[..]))?),
                    Record::Delete { key, .. } => drop(objects.remove(key.as_str())?),
                }
            }
            let mut meta = transaction.open_table(META)?;
            let before = meta.get(REVISION)?.map_or(0, |found| found.value());
            if last > before {
                meta.insert(REVISION, last)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
