//! Encryption at rest: what lies on disk shows nothing, every provider opens what it sealed, keys can be exchanged, and
//! without the right key nothing starts.

use anyhow::Result;
use base64::Engine as _;
use bytes::Bytes;
use cluster::Record;
use wasmkube::journal::Journal;
use wasmkube::journal::disk::Disk;
use wasmkube::journal::encryption::{Encrypted, Plain};
use wasmkube::journal::memory::Memory;

const SECRET: &str = r#"{"apiVersion":"v1","kind":"Secret","data":{"password":"hunter2-correct-horse"}}"#;
const KEY: &str = "/registry/secrets/default/one";

fn put(revision: u64, key: &str, value: &str) -> Record {
    Record::Put { revision, key: key.to_owned(), value: Bytes::from(value.to_owned()) }
}

fn secret(byte: u8, length: usize) -> String {
    base64::engine::general_purpose::STANDARD.encode(vec![byte; length])
}

fn keyed(cipher: &str, keys: &[(&str, u8, usize)]) -> String {
    let keys: Vec<String> =
        keys.iter().map(|(name, byte, n)| format!("{{name: {name}, secret: {}}}", secret(*byte, *n))).collect();
    format!("{{{cipher}: {{keys: [{}]}}}}", keys.join(", "))
}

fn configuration(resources: &str, providers: &[String]) -> String {
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [{resources}]\n  providers: [{}]\n",
        providers.join(", ")
    )
}

/// A journal whose storage outlives it.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Memory>>);

impl Journal for Shared {
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64> {
        self.0.lock().expect("one thread").load(visit)
    }

    fn append(&mut self, records: &[Record]) -> Result<()> {
        self.0.lock().expect("one thread").append(records)
    }
}

fn all(journal: &mut dyn Journal) -> Result<Vec<Record>> {
    let mut found = Vec::new();
    journal.load(&mut |batch| {
        found.extend(batch);
        Ok(())
    })?;
    Ok(found)
}

fn kept(below: &Shared, key: &str) -> Bytes {
    let found = all(&mut below.clone()).expect("memory").into_iter();
    let values = found.filter_map(|record| match record {
        Record::Put { key: at, value, .. } if at == key => Some(value),
        _ => None,
    });
    values.last().expect("it is there")
}

fn encrypted(below: &Shared, configuration: &str) -> Encrypted {
    Encrypted::new(Box::new(below.clone()), configuration).expect("a good configuration")
}

#[test]
fn every_provider_opens_what_it_sealed_and_nobody_else_does() {
    for (cipher, length) in
        [("aescbc", 16), ("aescbc", 24), ("aescbc", 32), ("aesgcm", 16), ("aesgcm", 24), ("aesgcm", 32), ("secretbox", 32)]
    {
        let name = format!("{cipher} {length}");
        let below = Shared::default();
        let mut journal = encrypted(&below, &configuration("secrets", &[keyed(cipher, &[("key1", 1, length)])]));
        let records = vec![put(1, "/registry/configmaps/default/open", "{}"), put(2, KEY, SECRET)];
        journal.append(&records).unwrap();
        assert_eq!(all(&mut journal).unwrap(), records, "{name}");
        let sealed = kept(&below, KEY);
        assert!(sealed.starts_with(format!("k8s:enc:{cipher}:v1:key1:").as_bytes()), "{name}");
        assert_eq!(kept(&below, "/registry/configmaps/default/open"), "{}", "{name}");
        // The same object sealed twice is not the same.
        journal.append(&[put(3, KEY, SECRET)]).unwrap();
        assert_ne!(kept(&below, KEY), sealed, "{name}");
        let mut other = encrypted(&below, &configuration("secrets", &[keyed(cipher, &[("key1", 2, length)])]));
        assert!(all(&mut other).is_err(), "{name}: another key of this name");
        let cut = Bytes::copy_from_slice(&sealed[..sealed.len() - 1]);
        below.clone().append(&[Record::Put { revision: 4, key: KEY.to_owned(), value: cut }]).unwrap();
        assert!(all(&mut journal).is_err(), "{name}: cut short");
    }
}

#[test]
fn aesgcm_holds_a_value_to_its_key() {
    let configure = |cipher| configuration("secrets", &[keyed(cipher, &[("key1", 1, 32)])]);
    // kube-apiserver binds only this cipher's values to where they are kept.
    for (cipher, moved) in [("aesgcm", false), ("secretbox", true), ("aescbc", true)] {
        let below = Shared::default();
        let mut journal = encrypted(&below, &configure(cipher));
        journal.append(&[put(1, KEY, SECRET)]).unwrap();
        let value = kept(&below, KEY);
        below.clone().append(&[Record::Put { revision: 2, key: "/registry/secrets/default/two".to_owned(), value }]).unwrap();
        assert_eq!(all(&mut journal).is_ok(), moved, "{cipher}");
    }
}

#[test]
fn keys_are_exchanged_and_missing_ones_are_named() {
    let below = Shared::default();
    let identity = "{identity: {}}".to_owned();
    let old = keyed("aescbc", &[("old", 1, 32)]);
    let both = keyed("aescbc", &[("new", 2, 32), ("old", 1, 32)]);
    below.clone().append(&[put(1, KEY, SECRET)]).unwrap();

    // Turned on: what was written in clear needs identity at the end.
    let refused = all(&mut encrypted(&below, &configuration("secrets", std::slice::from_ref(&old)))).unwrap_err();
    assert!(format!("{refused:#}").contains("no identity provider"), "{refused:#}");
    let mut journal = encrypted(&below, &configuration("secrets", &[old.clone(), identity.clone()]));
    assert_eq!(all(&mut journal).unwrap(), [put(1, KEY, SECRET)]);
    journal.append(&[put(2, KEY, SECRET)]).unwrap();
    assert!(kept(&below, KEY).starts_with(b"k8s:enc:aescbc:v1:old:"));

    // A new key before the old one writes; both read.
    let mut journal = encrypted(&below, &configuration("secrets", &[both]));
    assert_eq!(all(&mut journal).unwrap(), [put(2, KEY, SECRET)]);
    journal.append(&[put(3, KEY, SECRET)]).unwrap();
    assert!(kept(&below, KEY).starts_with(b"k8s:enc:aescbc:v1:new:"));

    for (name, configuration, part) in [
        (
            "the old key alone",
            configuration("secrets", &[old, identity.clone()]),
            "identity transformer tried to read encrypted data",
        ),
        ("another provider", configuration("secrets", &[keyed("secretbox", &[("new", 2, 32)])]), "k8s:enc:aescbc:v1:new"),
        ("another resource", configuration("configmaps", std::slice::from_ref(&identity)), "identity transformer"),
    ] {
        let refused = format!("{:#}", all(&mut encrypted(&below, &configuration)).unwrap_err());
        assert!(refused.contains(part) && refused.contains(KEY), "{name}: {refused}");
    }
    let refused = format!("{:#}", all(&mut Plain(Box::new(below.clone()))).unwrap_err());
    assert!(refused.contains("identity transformer tried to read encrypted data"), "{refused}");

    // Turned off again: identity writes, the key still reads.
    let mut journal = encrypted(&below, &configuration("secrets", &[identity, keyed("aescbc", &[("new", 2, 32)])]));
    // An identity provider in front takes everything for its own, but hands on what it cannot read.
    assert_eq!(all(&mut journal).unwrap(), [put(3, KEY, SECRET)]);
    journal.append(&[put(4, KEY, SECRET)]).unwrap();
    assert_eq!(kept(&below, KEY), SECRET);
}

#[test]
fn no_file_shows_a_secret() {
    let dir = std::env::temp_dir().join(format!("wasmkube-encryption-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("journal.redb");
    let open = |configuration: &str| Encrypted::new(Box::new(Disk::open(&file).unwrap()), configuration).unwrap();
    let on = configuration("'*.*'", &[keyed("aesgcm", &[("key1", 1, 32)])]);
    let contains = |needle: &str| {
        let bytes = std::fs::read(&file).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    open(&on).append(&[put(1, KEY, SECRET), put(2, "/registry/example.com/widgets/a/b", SECRET)]).unwrap();
    assert!(contains("k8s:enc:aesgcm:v1:key1:"));
    assert!(!contains("hunter2"));
    assert_eq!(all(&mut open(&on)).unwrap().len(), 2);
    // The search finds what is there.
    Disk::open(&file).unwrap().append(&[put(3, KEY, SECRET)]).unwrap();
    assert!(contains("hunter2"));
    std::fs::remove_dir_all(&dir).unwrap();
}
