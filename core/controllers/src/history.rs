//! ControllerRevisions: what the templates of StatefulSets and DaemonSets were before.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#revision-history>

use object::order::Order as _;
use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, gvr};
use object::rng::safe_encode;
use object::value::{at, i64_at, set, str_at};
use object::{GroupResource, GroupVersionResource, Result, Value, json};
use store::Object;

use crate::context::Context;
use crate::pod_control::{Kind, selector_of};

const HASH: &str = "controller.kubernetes.io/hash";

fn revisions() -> GroupVersionResource {
    gvr("apps", "v1", "controllerrevisions")
}

/// What a revision keeps: the template, as a patch that puts it back.
fn data_of(owner: &Value) -> Value {
    let mut template = at(owner, &["spec", "template"]).cloned().unwrap_or_default();
    set(&mut template, &["$patch"], "replace");
    json!({"spec": {"template": template}})
}

/// The template that a revision keeps.
pub fn template_of(revision: &Value) -> Value {
    let mut template = at(revision, &["data", "spec", "template"]).cloned().unwrap_or_default();
    object::value::remove(&mut template, &["$patch"]);
    template
}

/// FNV-1, 32 bits, in the letters of generated names: as Kubernetes names revisions.
fn hash(data: &Value, collisions: i64) -> String {
    let text = format!("{}{collisions}", sorted(data));
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| hash.wrapping_mul(16_777_619) ^ u32::from(byte));
    safe_encode(&hash.to_string())
}

/// JSON with sorted keys, which is how Go writes maps.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.order_by_key(|(key, _)| *key);
            let shown: Vec<String> =
                entries.into_iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), sorted(v))).collect();
            format!("{{{}}}", shown.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// The revisions of one owner.
pub struct History {
    /// Oldest first.
    all: Vec<Value>,
}

impl History {
    /// Those there are. An owner that has none yet adopts what one before it, with the same selector, has left.
    pub fn of(cx: &mut Context<'_>, kind: &Kind, owner: &Value) -> Result<Self> {
        let uid = str_at(owner, &["metadata", "uid"]);
        let owned: Vec<Arc<Object>> = cx.owned(&GroupResource::new("apps", "controllerrevisions"), uid);
        let mut all: Vec<Value> = owned.iter().map(|revision| revision.value()).collect();
        if all.is_empty() {
            all = adopt_orphans(cx, kind, owner)?;
        }
        all.order_by_key(|revision| (i64_at(revision, &["revision"]).unwrap_or(0), name_of(revision).to_owned()));
        Ok(History { all })
    }

    /// The revision with this name.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.all.iter().find(|revision| name_of(revision) == name)
    }

    /// The revision of the template as it is now. It is made if there is none, and becomes the newest if an older one has it.
    pub fn current(&mut self, cx: &mut Context<'_>, kind: &Kind, owner: &Value, collisions: i64) -> Result<Value> {
        let data = data_of(owner);
        let next = self.all.iter().filter_map(|revision| i64_at(revision, &["revision"])).max().unwrap_or(0) + 1;
        if let Some(place) = self.all.iter().rposition(|revision| revision.get("data") == Some(&data)) {
            let mut revision = self.all.remove(place);
            if place < self.all.len() {
                set(&mut revision, &["revision"], next);
                let (namespace, name) = (str_at(owner, &["metadata", "namespace"]).to_owned(), name_of(&revision).to_owned());
                revision = Arc::unwrap_or_clone(cx.client().update(&revisions(), &namespace, &name, revision)?);
            }
            self.all.push(revision.clone());
            return Ok(revision);
        }
        let hash = hash(&data, collisions);
        let name = format!("{}-{hash}", str_at(owner, &["metadata", "name"]));
        let mut labels = at(owner, &["spec", "template", "metadata", "labels"]).cloned().unwrap_or_else(|| json!({}));
        labels[HASH] = hash.into();
        let mut metadata = json!({"name": name, "labels": labels, "ownerReferences": [kind.reference(owner)]});
        if let Some(annotations) = at(owner, &["metadata", "annotations"]) {
            metadata["annotations"] = annotations.clone();
        }
        let revision =
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": data, "revision": next});
        let namespace = str_at(owner, &["metadata", "namespace"]).to_owned();
        let made = Arc::unwrap_or_clone(cx.client().create(&revisions(), &namespace, revision)?);
        self.all.push(made.clone());
        Ok(made)
    }

    /// Deletes the oldest revisions that nothing uses, beyond as many as are to be kept.
    pub fn truncate(&self, cx: &mut Context<'_>, owner: &Value, in_use: impl Fn(&str) -> bool) -> Result<()> {
        let limit = i64_at(owner, &["spec", "revisionHistoryLimit"]).and_then(|n| usize::try_from(n).ok()).unwrap_or(10);
        let unused: Vec<&Value> = self.all.iter().filter(|revision| !in_use(name_of(revision))).collect();
        let namespace = str_at(owner, &["metadata", "namespace"]);
        for revision in unused.iter().take(unused.len().saturating_sub(limit)) {
            match cx.client().delete(&revisions(), namespace, name_of(revision), &DeleteOptions::default()) {
                Err(error) if error.is_not_found() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// Makes the owner's what nobody has and its selector means.
fn adopt_orphans(cx: &mut Context<'_>, kind: &Kind, owner: &Value) -> Result<Vec<Value>> {
    if at(owner, &["metadata", "deletionTimestamp"]).is_some() {
        return Ok(Vec::new());
    }
    let namespace = str_at(owner, &["metadata", "namespace"]);
    let selector = selector_of(owner);
    let is_orphan = |o: &&Arc<Object>| {
        o.meta.controller().is_none() && o.meta.deletion_timestamp.is_none() && selector.matches(&o.meta.labels)
    };
    let revisions_of = GroupResource::new("apps", "controllerrevisions");
    let orphans: Vec<Arc<Object>> = cx.store().list(&revisions_of, Some(namespace)).filter(is_orphan).cloned().collect();
    let mut adopted = Vec::new();
    for orphan in orphans {
        let patch = json!({"metadata": {"uid": orphan.meta.uid, "ownerReferences": [kind.reference(owner)]}});
        let taken = cx.client().patch(&revisions(), namespace, &orphan.key.name, "", PatchKind::Strategic, patch)?;
        adopted.push(Arc::unwrap_or_clone(taken));
    }
    Ok(adopted)
}

/// The name of an object.
pub fn name_of(object: &Value) -> &str {
    str_at(object, &["metadata", "name"])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash that kube-controller-manager gave to this template.
    #[test]
    fn revisions_are_named_as_kubernetes_names_them() {
        let container = json!({
            "name": "c", "image": "img:1", "imagePullPolicy": "IfNotPresent", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        });
        let spec = json!({
            "containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "none",
            "securityContext": {}, "terminationGracePeriodSeconds": 30,
        });
        let owner = json!({"spec": {"template": {"metadata": {"labels": {"app": "s"}}, "spec": spec}}});
        assert_eq!(hash(&data_of(&owner), 0), "c85f67c6");
    }
}
