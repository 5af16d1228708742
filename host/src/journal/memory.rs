//! A journal that lasts as long as the process: for clusters one throws away, and as the model of the others in tests.

use std::collections::BTreeMap;

use bytes::Bytes;
use cluster::Record;

use super::{Batches, Journal, Result};

/// Everything in one map. It still serves to start a trapped engine again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    objects: BTreeMap<String, (u64, Bytes)>,
    revision: u64,
}

impl Journal for Memory {
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64> {
        let mut batches = Batches::new(visit);
        for (key, (revision, value)) in &self.objects {
            batches.push(*revision, key, value.clone())?;
        }
        batches.finish()?;
        Ok(self.revision)
    }

    fn append(&mut self, records: &[Record]) -> Result<()> {
        for record in records {
            self.revision = self.revision.max(record.revision());
            match record {
                Record::Put { revision, key, value } => {
                    self.objects.insert(key.clone(), (*revision, value.clone()));
                }
                Record::Delete { key, .. } => {
                    self.objects.remove(key);
                }
            }
        }
        Ok(())
    }
}
