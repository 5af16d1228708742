//! ResourceClaims: those that pods want made from a template are made, and a claim that no pod uses any more gives its devices back.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#resourceclaims-templates>

use std::sync::Arc;

use apiserver::{DeleteOptions, PatchKind, Preconditions, gvr};
use object::events::EventType;
use object::value::{at, list_at, set, str_at};
use object::{ApiError, GroupResource, GroupVersionResource, Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// Says for which entry of its pod a claim was made.
const ENTRY: &str = "resource.kubernetes.io/pod-claim-name";
/// Keeps an allocated claim from going away.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

/// Makes claims and takes their devices back.
pub struct ResourceClaimController;

fn claims() -> GroupVersionResource {
    gvr("resource.k8s.io", "v1", "resourceclaims")
}

fn pods() -> GroupResource {
    GroupResource::literal("", "pods")
}

impl Controller for ResourceClaimController {
    fn name(&self) -> &'static str {
        "resource-claim-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == pods() {
            let has = |pod: &&Arc<Object>| pod.view::<PodView>().claims.0;
            let Some(pod) = event.new.as_ref().or(event.old.as_ref()).filter(has) else { return };
            queue.add(key.clone());
            for name in names(&pod.value()) {
                queue.add(Key::new(&claims().group_resource(), &key.namespace, &name));
            }
        } else if key.resource == claims().group_resource() {
            queue.add(key.clone());
            let made_for = event.old.as_ref().filter(|_| event.new.is_none());
            for owner in made_for.map(|claim| claim.meta.owner_references.as_slice()).into_iter().flatten() {
                queue.add(Key::new(&pods(), &key.namespace, &owner.name));
            }
        } else if key.resource == GroupResource::literal("resource.k8s.io", "resourceclaimtemplates") && event.new.is_some() {
            let waiting = |pod: &&Arc<Object>| pod.view::<PodView>().claims.1;
            store.list(&pods(), Some(&key.namespace)).filter(waiting).for_each(|pod| queue.add(pod.key.clone()));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        if key.resource == pods() { pod(cx, &object) } else { claim(cx, &object) }
    }
}

/// The claims of a pod, by name.
fn names(pod: &Value) -> Vec<String> {
    let named = list_at(pod, &["spec", "resourceClaims"]).iter().map(|entry| str_at(entry, &["resourceClaimName"]));
    let made = list_at(pod, &["status", "resourceClaimStatuses"]).iter().map(|status| str_at(status, &["resourceClaimName"]));
    named.chain(made).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn is_done(pod: &Object) -> bool {
    matches!(str_at(&pod.value(), &["status", "phase"]), "Succeeded" | "Failed")
}

/// Makes the claims that a pod has templates for.
fn pod(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let pod = object.value();
    if object.meta.deletion_timestamp.is_some() || is_done(object) {
        return Ok(());
    }
    let mut statuses = list_at(&pod, &["status", "resourceClaimStatuses"]).to_vec();
    let mut more = false;
    for entry in list_at(&pod, &["spec", "resourceClaims"]) {
        let (name, template) = (str_at(entry, &["name"]), str_at(entry, &["resourceClaimTemplateName"]));
        let known = statuses.iter().any(|status| {
            let claim = Key::new(&claims().group_resource(), &object.key.namespace, str_at(status, &["resourceClaimName"]));
            str_at(status, &["name"]) == name && cx.get(&claim).is_some()
        });
        if template.is_empty() || known {
            continue;
        }
        let made = match find(cx, object, name) {
            Some(made) => made,
            None => match make(cx, object, name, template) {
                Ok(made) => made,
                Err(error) => {
                    let message = format!("PodResourceClaim {name}: {error}");
                    cx.event(&pod, EventType::Warning, "FailedResourceClaimCreation", &message);
                    return Err(error);
                }
            },
        };
        statuses.retain(|status| str_at(status, &["name"]) != name);
        statuses.push(json!({"name": name, "resourceClaimName": made}));
        more = true;
    }
    if !more {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": object.meta.uid}, "status": {"resourceClaimStatuses": statuses}});
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    cx.client().patch(&gvr("", "v1", "pods"), namespace, name, "status", PatchKind::Strategic, patch).map(drop)
}

/// The claim that was made for an entry of a pod already.
fn find(cx: &Context<'_>, pod: &Object, entry: &str) -> Option<String> {
    let owned = cx.owned(&claims().group_resource(), &pod.meta.uid);
    let mine = owned
        .iter()
        .find(|claim| claim.meta.deletion_timestamp.is_none() && object::meta::annotation(&claim.value(), ENTRY) == Some(entry));
    mine.map(|claim| claim.key.name.to_string())
}

fn make(cx: &mut Context<'_>, pod: &Object, entry: &str, template: &str) -> Result<String> {
    let Key { namespace, name, .. } = &pod.key;
    let templates = GroupResource::literal("resource.k8s.io", "resourceclaimtemplates");
    let stored = cx.get(&Key::new(&templates, namespace, template));
    let template = stored.ok_or_else(|| ApiError::not_found(&templates, template))?.value();
    let mut claim = json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {
            "generateName": format!("{name}-{entry}-"), "namespace": &**namespace,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Pod", "name": &**name, "uid": pod.meta.uid, "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": at(&template, &["spec", "spec"]).cloned().unwrap_or_default(),
    });
    for part in ["labels", "annotations"] {
        if let Some(given) = at(&template, &["spec", "metadata", part]) {
            set(&mut claim, &["metadata", part], given.clone());
        }
    }
    set(&mut claim, &["metadata", "annotations", ENTRY], entry);
    let made = cx.client().create(&claims(), namespace, claim)?;
    Ok(str_at(&made, &["metadata", "name"]).to_owned())
}

/// Forgets pods that have ended; a claim that nobody uses gives its devices back, and goes if it was made for one of those.
fn claim(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let mut claim = object.value();
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    let mut used = list_at(&claim, &["status", "reservedFor"]).to_vec();
    let before = used.len();
    used.retain(|user| {
        let pod = cx.get(&Key::new(&pods(), namespace, str_at(user, &["name"])));
        str_at(user, &["resource"]) != "pods" || pod.is_some_and(|pod| pod.meta.uid == str_at(user, &["uid"]) && !is_done(&pod))
    });
    let allocated = at(&claim, &["status", "allocation"]).is_some_and(Value::is_object);
    let free = used.is_empty() && allocated && (before > 0 || object.meta.deletion_timestamp.is_some());
    if used.len() != before || free {
        set(&mut claim, &["status", "reservedFor"], used.clone());
        if free {
            set(&mut claim, &["status", "allocation"], Value::Null);
        }
        claim = std::sync::Arc::unwrap_or_clone(cx.client().update_status(&claims(), namespace, name, claim)?);
    }
    let protected = object.meta.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    if used.is_empty() && protected && (free || !allocated) {
        let kept: Vec<&String> = object.meta.finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        set(&mut claim, &["metadata", "finalizers"], json!(kept));
        match cx.client().update(&claims(), namespace, name, claim) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    // Made for a pod that has ended: nobody will use it again.
    let owner = object.meta.owner_references.iter().find(|owner| owner.controller == Some(true) && owner.kind == "Pod");
    let ended = owner.is_some_and(|owner| {
        let pod = cx.get(&Key::new(&pods(), namespace, &owner.name));
        pod.is_some_and(|pod| pod.meta.uid == owner.uid && is_done(&pod))
    });
    if used.is_empty() && ended && object.meta.deletion_timestamp.is_none() {
        let preconditions = Preconditions { uid: Some(object.meta.uid.clone()), ..Preconditions::default() };
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        return cx.client().delete(&claims(), namespace, name, &options);
    }
    Ok(())
}
