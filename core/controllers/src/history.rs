//! ControllerRevisions: what the templates of StatefulSets and DaemonSets were before.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#revision-history>

use object::order::Order as _;
use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, gvr};
use object::rng::safe_encode;
use object::value::{at, i64_at, set, str_at};
use object::{GroupVersionResource, Result, Value, json};
use store::Object;

use crate::context::Context;
use crate::deployment::template_hash;
use crate::pod_control::{Kind, Selects};

/// How a kind names its revisions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By what the revision keeps.
    Data,
    /// By the template, as ReplicaSets are.
    Template,
}

impl Naming {
    /// The label that says the hash in the name.
    fn label(self) -> &'static str {
        match self {
            Naming::Data => "controller.kubernetes.io/hash",
            Naming::Template => "controller-revision-hash",
        }
    }
}

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
    /// Those there are, with those that a former owner of the same kind has left behind.
    pub fn of(cx: &mut Context<'_>, kind: &Kind, owner: &Object) -> Result<Self> {
        let resource = revisions().group_resource();
        let owned: Vec<Arc<Object>> = cx.owned(&resource, &owner.meta.uid);
        let mut all: Vec<Value> = owned.iter().map(|revision| revision.value()).collect();
        let selector = &owner.view::<Selects>().0;
        if owner.meta.deletion_timestamp.is_none() && !selector.is_empty() {
            let loose = cx.index.uncontrolled(&resource, &owner.key.namespace).filter_map(|key| cx.get(key));
            let loose: Vec<Arc<Object>> =
                loose.filter(|o| selector.matches(&o.meta.labels) && o.meta.deletion_timestamp.is_none()).collect();
            for revision in loose {
                let patch = json!({"metadata": {"ownerReferences": [kind.reference(&owner.value())], "uid": revision.meta.uid}});
                let name = &revision.key.name;
                let taken = cx.client().patch(&revisions(), &owner.key.namespace, name, "", PatchKind::Strategic, patch)?;
                all.push(Arc::unwrap_or_clone(taken));
            }
        }
        all.order_by_key(|revision| (i64_at(revision, &["revision"]).unwrap_or(0), name_of(revision).to_owned()));
        Ok(History { all })
    }

    /// The revision with this name.
    pub fn named(&self, name: &str) -> Option<&Value> {
        self.all.iter().find(|revision| name_of(revision) == name)
    }

    /// The revision of the template as it is now. It is made if there is none, and becomes the newest if an older one has it.
    /// Collisions of names are counted.
    pub fn current(
        &mut self,
        cx: &mut Context<'_>,
        (kind, naming): (&Kind, Naming),
        owner: &Value,
        collisions: &mut i64,
    ) -> Result<Value> {
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
        let namespace = str_at(owner, &["metadata", "namespace"]).to_owned();
        loop {
            let hash = match naming {
                Naming::Data => hash(&data, *collisions),
                Naming::Template => {
                    let template = at(owner, &["spec", "template"]).unwrap_or(&Value::Null);
                    template_hash(template, at(owner, &["status", "collisionCount"]).map(|_| *collisions))
                }
            };
            let name = format!("{}-{hash}", str_at(owner, &["metadata", "name"]));
            let mut labels = at(owner, &["spec", "template", "metadata", "labels"]).cloned().unwrap_or_else(|| json!({}));
            labels[naming.label()] = hash.into();
            let mut metadata = json!({"name": name, "labels": labels, "ownerReferences": [kind.reference(owner)]});
            if let Some(annotations) = at(owner, &["metadata", "annotations"]) {
                metadata["annotations"] = annotations.clone();
            }
            let revision = json!({
                "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": data, "revision": next,
            });
            let made = match cx.client().create(&revisions(), &namespace, revision) {
                Err(error) if error.is_already_exists() => {
                    let there = cx.client().get(&revisions(), &namespace, &name)?;
                    if there.get("data") != Some(&data) {
                        *collisions += 1;
                        if naming == Naming::Template {
                            // The count is told first, and the next look finds another name.
                            return Err(error);
                        }
                        continue;
                    }
                    there
                }
                other => Arc::unwrap_or_clone(other?),
            };
            self.all.push(made.clone());
            return Ok(made);
        }
    }

    /// Deletes the oldest revisions but the newest, beyond as many as are to be kept, if nothing uses them.
    pub fn truncate_old(&self, cx: &mut Context<'_>, owner: &Value, in_use: impl Fn(&str) -> bool) -> Result<()> {
        let old = self.all.len().saturating_sub(1);
        let unused = self.all.iter().take(old).filter(|revision| !in_use(name_of(revision)));
        delete(cx, owner, unused.take(old.saturating_sub(limit_of(owner))))
    }

    /// Deletes the oldest revisions that nothing uses, beyond as many as are to be kept.
    pub fn truncate(&self, cx: &mut Context<'_>, owner: &Value, in_use: impl Fn(&str) -> bool) -> Result<()> {
        let unused: Vec<&Value> = self.all.iter().filter(|revision| !in_use(name_of(revision))).collect();
        let surplus = unused.len().saturating_sub(limit_of(owner));
        delete(cx, owner, unused.into_iter().take(surplus))
    }
}

fn limit_of(owner: &Value) -> usize {
    i64_at(owner, &["spec", "revisionHistoryLimit"]).and_then(|n| usize::try_from(n).ok()).unwrap_or(10)
}

fn delete<'a>(cx: &mut Context<'_>, owner: &Value, unused: impl Iterator<Item = &'a Value>) -> Result<()> {
    for revision in unused {
        let namespace = str_at(owner, &["metadata", "namespace"]);
        match cx.client().delete(&revisions(), namespace, name_of(revision), &DeleteOptions::default()) {
            Err(error) if error.is_not_found() => {}
            other => other?,
        }
    }
    Ok(())
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
