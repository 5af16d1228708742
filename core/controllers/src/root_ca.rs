//! Root CA publisher: every namespace has a ConfigMap with the certificate authority that pods trust the API by.
//!
//! <https://kubernetes.io/docs/concepts/configuration/configmap/>

use apiserver::gvr;
use object::value::at;
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;
use crate::service_account::{keep, namespace_of};

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as \
    the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// Publishes the certificate authority.
pub struct RootCaPublisher;

impl Controller for RootCaPublisher {
    fn name(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let namespaces = GroupResource::literal("", "namespaces");
        let key = event.key();
        if key.resource == GroupResource::literal("", "configmaps") && &*key.name == NAME {
            // Whoever changes it finds it changed back.
            queue.add(Key::new(&namespaces, "", &key.namespace));
        } else if let Some(key) = namespace_of(event, "configmaps", NAME) {
            queue.add(key);
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let data = json!({"ca.crt": cx.settings.root_ca});
        let wanted = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": NAME, "annotations": {"kubernetes.io/description": DESCRIPTION}},
        });
        let there = cx.get(&Key::new(&GroupResource::literal("", "configmaps"), &key.name, NAME));
        let Some(there) = there else { return keep(cx, key, "configmaps", NAME, wanted) };
        let mut object: Value = there.value();
        let described = at(&object, &["metadata", "annotations", "kubernetes.io/description"]).is_some();
        if object.get("data") == Some(&data) && described || there.meta.deletion_timestamp.is_some() {
            return Ok(());
        }
        object::value::set(&mut object, &["data"], data);
        object::value::set(&mut object, &["metadata", "annotations", "kubernetes.io/description"], DESCRIPTION);
        cx.client().update(&gvr("", "v1", "configmaps"), &key.name, NAME, object).map(drop)
    }
}
