//! Tokens in Secrets: a Secret of type `kubernetes.io/service-account-token` gets a token of the service account it names, and
//! ends with it.
//!
//! <https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets>

use apiserver::{DeleteOptions, Preconditions, UserInfo, gvr};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object::value::{self, str_at};
use object::{GroupResource, Result, Value, meta};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const TYPE: &str = "kubernetes.io/service-account-token";
const NAME: &str = "kubernetes.io/service-account.name";
const UID: &str = "kubernetes.io/service-account.uid";

/// Fills Secrets with tokens.
pub struct TokenController;

impl Controller for TokenController {
    fn name(&self) -> &'static str {
        "token-controller"
    }

    /// Kubernetes gives this one controller the rights of all of kube-controller-manager.
    fn user(&self) -> UserInfo {
        UserInfo::new("system:kube-controller-manager", &[])
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let (secrets, key) = (GroupResource::literal("", "secrets"), event.key());
        if key.resource == secrets && event.new.is_some() {
            queue.add(key.clone());
        } else if key.resource == GroupResource::literal("", "serviceaccounts") && (event.old.is_none() || event.new.is_none()) {
            store.list(&secrets, Some(&key.namespace)).for_each(|secret| queue.add(secret.key.clone()));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(there) = cx.get(key).filter(|secret| secret.meta.deletion_timestamp.is_none()) else { return Ok(()) };
        let mut secret = there.value();
        let name = meta::annotation(&secret, NAME).unwrap_or_default().to_owned();
        if str_at(&secret, &["type"]) != TYPE || name.is_empty() {
            return Ok(());
        }
        let account = cx.get(&Key::new(&GroupResource::literal("", "serviceaccounts"), &key.namespace, &name));
        let uid = meta::annotation(&secret, UID).unwrap_or_default();
        let secrets = gvr("", "v1", "secrets");
        let Some(account) = account.filter(|account| uid.is_empty() || account.meta.uid == uid) else {
            let preconditions = Preconditions { uid: Some(there.meta.uid.clone()), resource_version: None };
            let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
            return cx.client().delete(&secrets, &key.namespace, &key.name, &options);
        };
        let mut data = Vec::new();
        if str_at(&secret, &["data", "token"]).is_empty() {
            data.push(("token", cx.client().secret_token(&account, &key.name)));
        }
        for (name, text) in [("ca.crt", cx.settings.root_ca.as_str()), ("namespace", &*key.namespace)] {
            if str_at(&secret, &["data", name]) != STANDARD.encode(text) {
                data.push((name, text.to_owned()));
            }
        }
        if data.is_empty() && !uid.is_empty() {
            return Ok(());
        }
        value::set(&mut secret, &["metadata", "annotations", UID], account.meta.uid.as_str());
        for (name, text) in data {
            value::set(&mut secret, &["data", name], Value::from(STANDARD.encode(text)));
        }
        cx.client().update(&secrets, &key.namespace, &key.name, secret).map(drop)
    }
}
