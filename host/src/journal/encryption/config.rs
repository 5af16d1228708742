//! `EncryptionConfiguration` of `apiserver.config.k8s.io/v1`: reading it, and refusing what kube-apiserver refuses.
//!
//! <https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/>

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::provider::{Cipher, Provider};
use super::rules::{Pattern, Rule};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Configuration {
    kind: String,
    api_version: String,
    #[serde(default)]
    resources: Vec<Resources>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Named>,
}

/// One element of `providers`; exactly one of the fields may be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    identity: Option<Identity>,
    aescbc: Option<Keys>,
    aesgcm: Option<Keys>,
    secretbox: Option<Keys>,
    kms: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

/// Reads a configuration. No message shows any part of a key.
pub fn parse(text: &str) -> Result<Vec<Rule>> {
    let read: Configuration = serde_saphyr::from_str(text).map_err(|_| {
        // The reader's own words may quote the line, and the line may hold a key.
        anyhow::anyhow!("error decoding encryption provider configuration: it is not an EncryptionConfiguration")
    })?;
    ensure!(
        read.kind == "EncryptionConfiguration" && read.api_version == "apiserver.config.k8s.io/v1",
        "no kind {:?} is registered for version {:?}",
        read.kind,
        read.api_version
    );
    ensure!(!read.resources.is_empty(), "resources: Required value: at least one resource is required");
    read.resources.into_iter().enumerate().map(|(at, entry)| rule(entry).with_context(|| format!("resources[{at}]"))).collect()
}

fn rule(entry: Resources) -> Result<Rule> {
    ensure!(!entry.resources.is_empty(), "resources: Required value: at least one resource is required");
    ensure!(!entry.providers.is_empty(), "providers: Required value: at least one provider is required");
    let mut patterns: Vec<Pattern> = Vec::new();
    for (at, text) in entry.resources.iter().enumerate() {
        let pattern = Pattern::parse(text).with_context(|| format!("resources[{at}]: Invalid value: {text:?}"))?;
        ensure!(
            !patterns.contains(&pattern),
            "resources[{at}]: Invalid value: {text:?}: the same resource cannot be specified multiple times"
        );
        patterns.push(pattern);
    }
    let masked = patterns.iter().any(|a| patterns.iter().any(|b| a != b && a.covers(b)));
    ensure!(
        !masked,
        "resources: Invalid value: using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked"
    );
    let mut providers = Vec::new();
    for (at, named) in entry.providers.into_iter().enumerate() {
        provider(named, &mut providers).with_context(|| format!("providers[{at}]"))?;
    }
    Ok(Rule { patterns, providers })
}

fn provider(named: Named, into: &mut Vec<Provider>) -> Result<()> {
    let Named { identity, aescbc, aesgcm, secretbox, kms } = named;
    ensure!(kms.is_none(), "kms: this server speaks to no key management service");
    let said = usize::from(identity.is_some()) + [&aescbc, &aesgcm, &secretbox].into_iter().flatten().count();
    match said {
        0 => bail!("Required value: at least one provider is required"),
        1 => {}
        _ => bail!(
            "Invalid value: more than one provider specified in a single element, should split into different list elements"
        ),
    }
    if identity.is_some() {
        into.push(Provider::identity());
        return Ok(());
    }
    let ciphers = [(Cipher::AesCbc, aescbc), (Cipher::AesGcm, aesgcm), (Cipher::SecretBox, secretbox)];
    for (cipher, keys) in ciphers.into_iter().filter_map(|(cipher, keys)| Some((cipher, keys?))) {
        let name = cipher.name();
        ensure!(!keys.keys.is_empty(), "{name}.keys: Required value: at least one key is required");
        for (at, key) in keys.keys.into_iter().enumerate() {
            into.push(self::key(cipher, key).with_context(|| format!("{name}.keys[{at}]"))?);
        }
    }
    Ok(())
}

fn key(cipher: Cipher, key: Key) -> Result<Provider> {
    ensure!(!key.name.is_empty(), "name: Required value: name is a mandatory field for a key");
    ensure!(!key.name.contains(':'), "name: Invalid value: a key's name must not contain ':'");
    ensure!(!key.secret.is_empty(), "secret: Required value: secret is a mandatory field for a key");
    let Ok(secret) = STANDARD.decode(&key.secret) else { bail!("secret: Invalid value: secrets must be base64 encoded") };
    let lengths = cipher.key_lengths();
    ensure!(
        lengths.contains(&secret.len()),
        "secret: Invalid value: secret is not of the expected length, got {}, expected one of {lengths:?}",
        secret.len()
    );
    Ok(Provider::keyed(cipher, &key.name, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(entry: &str) -> String {
        let text = format!("kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{entry}]\n");
        parse(&text).map(|_| ()).map_err(|error| format!("{error:#}")).err().unwrap_or_default()
    }

    #[test]
    fn what_is_refused() {
        let secret = STANDARD.encode([7; 32]);
        let keyed = |name: &str| format!("{{{name}: {{keys: [{{name: k, secret: {secret}}}]}}}}");
        for (name, entry, part) in [
            ("taken", format!("{{resources: [secrets], providers: [{}, {{identity: {{}}}}]}}", keyed("aescbc")), ""),
            ("no resources", "{resources: [], providers: [{identity: {}}]}".to_owned(), "at least one resource"),
            ("no providers", "{resources: [secrets]}".to_owned(), "at least one provider"),
            ("twice", "{resources: [secrets, secrets], providers: [{identity: {}}]}".to_owned(), "multiple times"),
            ("masked", "{resources: [secrets, '*.'], providers: [{identity: {}}]}".to_owned(), "overlapping"),
            ("star", "{resources: ['*'], providers: [{identity: {}}]}".to_owned(), "use '*.'"),
            ("capitals", "{resources: [Secrets], providers: [{identity: {}}]}".to_owned(), "capital letters"),
            ("kms", "{resources: [secrets], providers: [{kms: {name: x}}]}".to_owned(), "key management"),
            ("short", "{resources: [secrets], providers: [{aesgcm: {keys: [{name: k, secret: YWJj}]}}]}".to_owned(), "got 3"),
            ("no base64", "{resources: [secrets], providers: [{aesgcm: {keys: [{name: k, secret: '!'}]}}]}".to_owned(), "base64"),
            (
                "no name",
                format!("{{resources: [secrets], providers: [{{aesgcm: {{keys: [{{secret: {secret}}}]}}}}]}}"),
                "mandatory",
            ),
            ("unknown field", "{resources: [secrets], providers: [{rot13: {}}]}".to_owned(), "not an EncryptionConfiguration"),
        ] {
            let refused = refusal(&entry);
            assert!(if part.is_empty() { refused.is_empty() } else { refused.contains(part) }, "{name}: {refused}");
            assert!(!refused.contains(&secret), "{name}: {refused}");
        }
        assert!(parse("kind: Config\napiVersion: v1\nresources: []").is_err());
    }
}
