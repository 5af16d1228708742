//! The Service table as runners get it: the node agent writes it to a file, whole, by way of a rename; runners read it when
//! the file has changed. So nobody waits for the agent to connect to a Service, and nothing stops while the agent restarts.

use std::path::PathBuf;
use std::time::SystemTime;

pub use network::services::{Answer, Port, Route, Service, Table};

/// Reads the table from its file when that changes.
#[derive(Debug, Default)]
pub struct Reader {
    path: PathBuf,
    read: Option<(SystemTime, u64)>,
    table: Table,
}

impl Reader {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Reader { path, ..Reader::default() }
    }

    /// The current table; an empty one if there is none.
    pub fn table(&mut self) -> &Table {
        if let Ok(meta) = std::fs::metadata(&self.path) {
            let version = (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), std::os::unix::fs::MetadataExt::ino(&meta));
            if self.read != Some(version)
                && let Ok(bytes) = std::fs::read(&self.path)
                && let Ok(table) = serde_json::from_slice(&bytes)
            {
                self.table = table;
                self.read = Some(version);
            }
        }
        &self.table
    }
}
