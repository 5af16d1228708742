//! ServiceAccount: every namespace has one named `default`.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>

use apiserver::gvr;
use object::{GroupResource, Result, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Keeps `default` service accounts.
pub struct ServiceAccountController;

impl Controller for ServiceAccountController {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        namespace_of(event, "serviceaccounts", "default").into_iter().for_each(|key| queue.add(key));
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        keep(cx, key, "serviceaccounts", "default", account)
    }
}

/// The namespace that must be looked at: a new or changed one, or the one that just lost the named object.
pub fn namespace_of(event: &Event, resource: &'static str, name: &str) -> Option<Key> {
    let namespaces = GroupResource::literal("", "namespaces");
    let key = event.key();
    if key.resource == namespaces {
        return event.new.is_some().then(|| key.clone());
    }
    let lost = event.new.is_none() && key.resource == GroupResource::literal("", resource) && &*key.name == name;
    lost.then(|| Key::new(&namespaces, "", &key.namespace))
}

/// Makes an object in an active namespace, if it is missing.
pub fn keep(cx: &mut Context<'_>, namespace: &Key, resource: &'static str, name: &str, object: object::Value) -> Result<()> {
    let active = cx.get(namespace).is_some_and(|ns| ns.meta.deletion_timestamp.is_none());
    let there = cx.store().get(&Key::new(&GroupResource::literal("", resource), &namespace.name, name)).is_some();
    if !active || there {
        return Ok(());
    }
    match cx.client().create(&gvr("", "v1", resource), &namespace.name, object) {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}
