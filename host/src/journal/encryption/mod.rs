//! Encryption at rest: a journal that keeps what another journal is given, encrypted as the configuration says.
//!
//! Records leave core in clear and enter it in clear; only what lies on disk is sealed. An object written before its resource
//! was encrypted stays as it is until it is written again, as with kube-apiserver (`kubectl get secrets -A -o json | kubectl
//! replace -f -`), and so do free pages of the file below, until they are used again.

mod config;
mod provider;
mod rules;

use std::path::Path;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use cluster::Record;

use super::{Journal, Result};
use rules::Rules;

/// A journal on top of another one.
pub struct Encrypted {
    below: Box<dyn Journal>,
    rules: Rules,
}

impl Encrypted {
    /// Reads the configuration in `file`.
    pub fn open(below: Box<dyn Journal>, file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("error reading encryption provider configuration file {:?}", file.display().to_string()))?;
        Encrypted::new(below, &text).with_context(|| format!("--encryption-provider-config {}", file.display()))
    }

    /// As [`Encrypted::open`], with the configuration itself.
    pub fn new(below: Box<dyn Journal>, configuration: &str) -> Result<Self> {
        Ok(Encrypted { below, rules: Rules::new(config::parse(configuration)?) })
    }

    fn seal(&self, record: &Record) -> Result<Record> {
        let Record::Put { revision, key, value } = record else { return Ok(record.clone()) };
        let writer = self.rules.providers(key).and_then(<[_]>::first);
        let value = match writer {
            Some(provider) => provider.seal(key, value).with_context(|| format!("unable to transform key {key:?}"))?,
            None => value.clone(),
        };
        Ok(Record::Put { revision: *revision, key: key.clone(), value })
    }
}

/// Undoes [`Encrypted::seal`] with whichever key made it. An object that cannot be read is an error, not an absence: a server
/// without its Secrets must not serve.
fn open(rules: &Rules, record: Record) -> Result<Record> {
    let Record::Put { revision, key, value } = record else { return Ok(record) };
    let value = open_value(rules, &key, &value).with_context(|| format!("unable to transform key {key:?}"))?;
    Ok(Record::Put { revision, key, value })
}

fn open_value(rules: &Rules, key: &str, kept: &Bytes) -> Result<Bytes> {
    let Some(providers) = rules.providers(key) else { return provider::Provider::identity().open(key, kept) };
    let mut first = None;
    // Two keys may have one name while they are exchanged.
    for provider in providers.iter().filter(|provider| provider.made(kept)) {
        match provider.open(key, kept) {
            Ok(value) => return Ok(value),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| anyhow!("no matching prefix found: {}", needed(kept))))
}

/// Names the key that would be needed.
fn needed(kept: &[u8]) -> String {
    if !kept.starts_with(provider::MARK) {
        return "the object is not encrypted, and the configuration has no identity provider".to_owned();
    }
    let head = kept.split(|b| *b == b':').take(5).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":");
    format!("it needs the key of {:?}, which the configuration does not have", head.chars().take(200).collect::<String>())
}

impl Journal for Encrypted {
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64> {
        let rules = &self.rules;
        self.below.load(&mut |batch| {
            let opened: Result<Vec<Record>> = batch.into_iter().map(|record| open(rules, record)).collect();
            visit(opened?)
        })
    }

    fn append(&mut self, records: &[Record]) -> Result<()> {
        let sealed: Result<Vec<Record>> = records.iter().map(|record| self.seal(record)).collect();
        self.below.append(&sealed?)
    }
}

/// The journal as it is without a configuration: it reads no encrypted object, and says so rather than lose it.
pub struct Plain(pub Box<dyn Journal>);

impl Journal for Plain {
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64> {
        let identity = provider::Provider::identity();
        self.0.load(&mut |batch| {
            for record in &batch {
                let Record::Put { key, value, .. } = record else { continue };
                identity.open(key, value).with_context(|| format!("unable to transform key {key:?}"))?;
            }
            visit(batch)
        })
    }

    fn append(&mut self, records: &[Record]) -> Result<()> {
        self.0.append(records)
    }
}
