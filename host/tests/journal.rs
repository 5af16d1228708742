//! What a journal promises, held against every engine: a batch is all or nothing, what was acknowledged is there after a
//! crash at any write, and deletions do not take revisions back.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use cluster::Record;
use object::Rng;
use redb::StorageBackend;
use wasmkube::journal::disk::Disk;
use wasmkube::journal::memory::Memory;
use wasmkube::journal::{Journal, LOAD_BATCH};

type Objects = BTreeMap<String, (u64, Bytes)>;

/// A kind of journal that can crash.
trait Crashing {
    /// Opens what survived.
    fn open(&self) -> Result<Box<dyn Journal>>;
    /// Lets the write after `writes` more fail, and every one after it, until [`Crashing::crash`].
    fn fail_after(&self, writes: u64);
    /// The machine stops: what was not synced may or may not have reached the disk, decided by `rng`.
    fn crash(&self, rng: &mut Rng);
}

/// Storage that loses power.
#[derive(Clone, Default)]
struct Platter(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What the disk holds for certain.
    durable: Vec<u8>,
    /// Writes since the last sync, in order.
    unsynced: Vec<Change>,
    /// What the program sees.
    current: Vec<u8>,
    writes_left: Option<u64>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Length(length) => to.resize(*length, 0),
            Change::Write(at, data) => {
                if to.len() < at + data.len() {
                    to.resize(at + data.len(), 0);
                }
                to[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl State {
    fn change(&mut self, change: Change) -> io::Result<()> {
        self.spend()?;
        change.apply(&mut self.current);
        self.unsynced.push(change);
        Ok(())
    }

    fn spend(&mut self) -> io::Result<()> {
        match &mut self.writes_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl Platter {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Platter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Platter")
    }
}

impl StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|state| state.current.len() as u64))
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            let at = offset as usize;
            out.copy_from_slice(state.current.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state| state.change(Change::Length(len as usize)))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            state.spend()?;
            state.durable = state.current.clone();
            state.unsynced.clear();
            Ok(())
        })
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|state| state.change(Change::Write(offset as usize, data.to_vec())))
    }
}

impl Crashing for Platter {
    fn open(&self) -> Result<Box<dyn Journal>> {
        Ok(Box::new(Disk::open_backend(self.clone())?))
    }
    fn fail_after(&self, writes: u64) {
        self.with(|state| state.writes_left = Some(writes));
    }
    fn crash(&self, rng: &mut Rng) {
        self.with(|state| {
            let mut after = state.durable.clone();
            // Disks reorder: each write since the last sync is there or not.
            for change in std::mem::take(&mut state.unsynced) {
                if rng.below(2) == 0 {
                    change.apply(&mut after);
                }
            }
            state.durable = after.clone();
            state.current = after;
            state.writes_left = None;
        });
    }
}

/// Memory whose process is restarted without losing it; a write is one append.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<(Memory, Option<u64>)>>);

impl Journal for Shelf {
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.load(visit)
    }
    fn append(&mut self, records: &[Record]) -> Result<()> {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut shelf.1 {
            Some(0) => anyhow::bail!("the power is off"),
            Some(left) => *left -= 1,
            None => {}
        }
        shelf.0.append(records)
    }
}

impl Crashing for Shelf {
    fn open(&self) -> Result<Box<dyn Journal>> {
        Ok(Box::new(self.clone()))
    }
    fn fail_after(&self, writes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(writes);
    }
    fn crash(&self, _rng: &mut Rng) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
    }
}

fn contents(journal: &mut dyn Journal) -> Result<(Objects, u64)> {
    let mut objects = Objects::new();
    let revision = journal.load(&mut |batch| {
        for record in batch {
            let Record::Put { revision, key, value } = record else { anyhow::bail!("a load says what there is") };
            anyhow::ensure!(objects.last_key_value().is_none_or(|(last, _)| *last < key), "out of order at {key}");
            objects.insert(key, (revision, value));
        }
        Ok(())
    })?;
    Ok((objects, revision))
}

fn apply(objects: &mut Objects, revision: &mut u64, batch: &[Record]) {
    for record in batch {
        *revision = record.revision();
        match record {
            Record::Put { revision, key, value } => drop(objects.insert(key.clone(), (*revision, value.clone()))),
            Record::Delete { key, .. } => drop(objects.remove(key)),
        }
    }
}

fn random_batch(rng: &mut Rng, mut revision: u64) -> Vec<Record> {
    (0..=rng.below(6))
        .map(|_| {
            revision += 1;
            let key = format!("/registry/configmaps/default/{}", rng.below(40));
            if rng.below(4) == 0 {
                Record::Delete { revision, key }
            } else {
                let value = vec![b'a' + rng.below(26) as u8; rng.below(3000) as usize];
                Record::Put { revision, key, value: value.into() }
            }
        })
        .collect()
}

/// Appends at random, crashes at a random write, opens again: what was acknowledged is there, what was in flight is there
/// entirely or not at all.
fn crashes_lose_nothing(make: impl Fn() -> Box<dyn Crashing>) -> Result<()> {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let medium = make();
        let (mut model, mut revision) = (Objects::new(), 0);
        for life in 0..5 {
            let mut journal = medium.open()?;
            medium.fail_after(rng.below(60));
            let mut in_flight = Vec::new();
            for _ in 0..40 {
                let batch = random_batch(&mut rng, revision);
                if journal.append(&batch).is_err() {
                    in_flight = batch;
                    break;
                }
                apply(&mut model, &mut revision, &batch);
            }
            medium.crash(&mut rng);
            drop(journal);
            medium.crash(&mut rng);
            let found = contents(medium.open()?.as_mut())?;
            if found != (model.clone(), revision) {
                apply(&mut model, &mut revision, &in_flight);
                assert_eq!(found, (model.clone(), revision), "seed {seed}, life {life}");
            }
        }
    }
    Ok(())
}

#[test]
fn memory_loses_nothing() -> Result<()> {
    crashes_lose_nothing(|| Box::<Shelf>::default())
}

#[test]
fn disk_loses_nothing() -> Result<()> {
    crashes_lose_nothing(|| Box::<Platter>::default())
}

#[test]
fn large_contents_come_in_batches() -> Result<()> {
    for mut journal in [Platter::default().open()?, Shelf::default().open()?] {
        let value = Bytes::from(vec![b'x'; 1 << 20]);
        for revision in 1..=20 {
            journal.append(&[Record::Put {
                revision,
                key: format!("/registry/secrets/a/{revision:03}"),
                value: value.clone(),
            }])?;
        }
        let mut sizes = Vec::new();
        journal.load(&mut |batch| {
            sizes.push(batch.len());
            Ok(())
        })?;
        assert_eq!((sizes.iter().sum::<usize>(), sizes[0]), (20, LOAD_BATCH >> 20));
    }
    Ok(())
}
