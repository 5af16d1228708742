//! Bootstrap tokens: those whose time is over are deleted, and the ConfigMap that a new node reads first is signed with each that
//! may sign it.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>

use std::collections::BTreeMap;

use apiserver::gvr;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use object::value::{at, object_at, str_at};
use object::{GroupResource, Result, Time, Value, json};
use sha2::{Digest as _, Sha256};
use store::{Event, Key, Object, Store, View};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const TYPE: &str = "bootstrap.kubernetes.io/token";
const SYSTEM: &str = "kube-system";
const PUBLIC: &str = "kube-public";
const CLUSTER_INFO: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";

fn secrets() -> GroupResource {
    GroupResource::literal("", "secrets")
}

fn config_maps() -> GroupResource {
    GroupResource::literal("", "configmaps")
}

/// What a Secret says of a token.
struct TokenView {
    is_token: bool,
    id: String,
    secret: String,
    signs: bool,
    expiration: String,
}

impl View for TokenView {
    fn of(secret: &Value) -> Self {
        let text = |key: &str| {
            let bytes = STANDARD.decode(str_at(secret, &["data", key])).unwrap_or_default();
            String::from_utf8(bytes).unwrap_or_default()
        };
        TokenView {
            is_token: str_at(secret, &["type"]) == TYPE,
            id: text("token-id"),
            secret: text("token-secret"),
            signs: text("usage-bootstrap-signing") == "true",
            expiration: text("expiration"),
        }
    }
}

fn is_token(object: &Object) -> bool {
    object.key.resource == secrets() && &*object.key.namespace == SYSTEM && object.view::<TokenView>().is_token
}

/// Deletes tokens whose time is over.
pub struct TokenCleaner;

impl Controller for TokenCleaner {
    fn name(&self) -> &'static str {
        "token-cleaner"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.new.as_ref().is_some_and(|secret| is_token(secret)) {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(secret) = cx.get(key).filter(|secret| is_token(secret)) else { return Ok(()) };
        let expiration = &secret.view::<TokenView>().expiration;
        if expiration.is_empty() {
            return Ok(());
        }
        // A time that nobody can read is over.
        let end = Time::parse(expiration).unwrap_or(cx.now);
        if end > cx.now {
            cx.queue.add_at(key.clone(), end);
            return Ok(());
        }
        match cx.client().delete(&gvr("", "v1", "secrets"), &key.namespace, &key.name, &Default::default()) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Signs `cluster-info`.
pub struct BootstrapSigner;

impl Controller for BootstrapSigner {
    fn name(&self) -> &'static str {
        "bootstrap-signer"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        let is_info = key.resource == config_maps() && &*key.namespace == PUBLIC && &*key.name == CLUSTER_INFO;
        if is_info || [&event.old, &event.new].into_iter().flatten().any(|secret| is_token(secret)) {
            queue.add(Key::new(&config_maps(), PUBLIC, CLUSTER_INFO));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        let mut info = stored.value();
        let Some(content) = at(&info, &["data", KUBECONFIG]).and_then(Value::as_str).map(str::to_owned) else { return Ok(()) };
        let tokens = secrets();
        let signing = cx.store().list(&tokens, Some(SYSTEM)).filter(|secret| is_token(secret)).map(|s| s.view::<TokenView>());
        let usable = signing.filter(|token| {
            let over = !token.expiration.is_empty() && Time::parse(&token.expiration).is_none_or(|end| end <= cx.now);
            token.signs && !over && !token.id.is_empty() && !token.secret.is_empty()
        });
        let wanted: BTreeMap<String, String> =
            usable.map(|t| (format!("{SIGNATURE}{}", t.id), detached(&content, &t.id, &t.secret))).collect();
        let data = object_at(&mut info, &["data"]);
        let before = data.clone();
        data.retain(|name, _| !name.starts_with(SIGNATURE) || wanted.contains_key(name));
        wanted.into_iter().for_each(|(name, signature)| drop(data.insert(name, signature.into())));
        if *data == before {
            return Ok(());
        }
        cx.client().update(&gvr("", "v1", "configmaps"), PUBLIC, CLUSTER_INFO, info).map(drop)
    }
}

/// A JSON Web Signature (HS256) without its payload.
fn detached(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac(secret.as_bytes(), signed.as_bytes())))
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    let hashed: [u8; 32];
    let key = if key.len() > block.len() {
        hashed = Sha256::digest(key).into();
        &hashed[..]
    } else {
        key
    };
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard() {
        // RFC 4231, cases 1, 2 and 6.
        for (key, message, expected) in [
            (vec![0x0b; 20], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            let text: String = hmac(&key, message).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, expected);
        }
        let signature = detached("content", "abcdef", "0123456789abcdef");
        assert!(signature.starts_with("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9.."), "{signature}");
    }
}
