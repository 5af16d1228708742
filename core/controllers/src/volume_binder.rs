//! Persistent volumes and the claims on them: volumes that are free are given to claims that they fit, and say what they are.
//!
//! There is no storage here that could be made or wiped: a claim that no volume fits waits, and a volume whose claim is gone
//! stays as it is, whatever its reclaim policy.
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#lifecycle-of-a-volume-and-claim>

use std::sync::Arc;

use apiserver::gvr;
use object::events::EventType;
use object::selector::LabelSelector;
use object::value::{at, list_at, object_at, set, str_at};
use object::{GroupResource, GroupVersionResource, Quantity, Result, Value, json};
use store::{Event, Key, Object, Store, View};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const BOUND_BY: &str = "pv.kubernetes.io/bound-by-controller";
const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Gives volumes to claims.
pub struct VolumeBinder;

fn volumes() -> GroupVersionResource {
    gvr("", "v1", "persistentvolumes")
}

fn claims() -> GroupVersionResource {
    gvr("", "v1", "persistentvolumeclaims")
}

/// What a volume offers.
struct Offer {
    class: String,
    mode: String,
    access: Vec<String>,
    capacity: Quantity,
    /// Namespace, name and uid of the claim it is kept for.
    claim: Option<(String, String, String)>,
}

impl View for Offer {
    fn of(volume: &Value) -> Self {
        let claim = at(volume, &["spec", "claimRef"]).filter(|claim| claim.is_object());
        let text = |value: &Value, key: &str| str_at(value, &[key]).to_owned();
        Offer {
            class: str_at(volume, &["spec", "storageClassName"]).to_owned(),
            mode: mode_of(volume),
            access: list_at(volume, &["spec", "accessModes"]).iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            capacity: quantity(at(volume, &["spec", "capacity", "storage"])),
            claim: claim.map(|claim| (text(claim, "namespace"), text(claim, "name"), text(claim, "uid"))),
        }
    }
}

fn mode_of(object: &Value) -> String {
    let mode = str_at(object, &["spec", "volumeMode"]);
    if mode.is_empty() { "Filesystem".to_owned() } else { mode.to_owned() }
}

fn quantity(value: Option<&Value>) -> Quantity {
    value.and_then(Quantity::from_json).unwrap_or_default()
}

impl Controller for VolumeBinder {
    fn name(&self) -> &'static str {
        "persistent-volume-binder"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == volumes().group_resource() {
            queue.add(key.clone());
            // A volume that is free now may be what a claim waits for.
            for claim in store.list(&claims().group_resource(), None) {
                if str_at(&claim.value(), &["status", "phase"]) != "Bound" {
                    queue.add(claim.key.clone());
                }
            }
        } else if key.resource == claims().group_resource() {
            queue.add(key.clone());
            let bound = |object: &Arc<Object>| str_at(&object.value(), &["spec", "volumeName"]).to_owned();
            let names = [&event.old, &event.new].into_iter().flatten().map(bound).filter(|name| !name.is_empty());
            names.for_each(|name| queue.add(Key::new(&volumes().group_resource(), "", &name)));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        if key.resource == claims().group_resource() { claim(cx, &object) } else { volume(cx, &object) }
    }
}

/// Says what a volume is.
fn volume(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let phase = match &object.view::<Offer>().claim {
        None => "Available",
        // It is kept for a claim that has not come yet.
        Some((.., uid)) if uid.is_empty() => "Available",
        Some((namespace, name, uid)) => {
            let claim = cx.get(&Key::new(&claims().group_resource(), namespace, name)).filter(|claim| claim.meta.uid == *uid);
            if claim.is_some() { "Bound" } else { "Released" }
        }
    };
    let mut volume = object.value();
    if str_at(&volume, &["status", "phase"]) == phase {
        return Ok(());
    }
    set(&mut volume, &["status", "phase"], phase);
    set(&mut volume, &["status", "lastPhaseTransitionTime"], cx.now.rfc3339());
    cx.client().update_status(&volumes(), "", &object.key.name, volume).map(drop)
}

/// Gives a claim its volume.
fn claim(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let claim = object.value();
    if object.meta.deletion_timestamp.is_some() {
        return Ok(());
    }
    let wanted = str_at(&claim, &["spec", "volumeName"]);
    if !wanted.is_empty() {
        let Some(volume) = cx.get(&Key::new(&volumes().group_resource(), "", wanted)) else {
            return if is_bound(&claim) { phase(cx, object, claim, "Lost") } else { Ok(()) };
        };
        return match &volume.view::<Offer>().claim {
            Some((.., uid)) if *uid == object.meta.uid => complete(cx, object, claim, &volume),
            Some((namespace, name, uid))
                if !uid.is_empty() || **namespace != *object.key.namespace || **name != *object.key.name =>
            {
                if is_bound(&claim) {
                    phase(cx, object, claim, "Lost")
                } else {
                    Ok(())
                }
            }
            _ => bind(cx, object, claim, &volume),
        };
    }
    let found = find(cx, object, &claim);
    match found {
        Some(volume) => bind(cx, object, claim, &volume),
        None => {
            wait(cx, &claim);
            Ok(())
        }
    }
}

/// Says why a claim waits.
fn wait(cx: &mut Context<'_>, claim: &Value) {
    let class = str_at(claim, &["spec", "storageClassName"]);
    if class.is_empty() {
        let why = "no persistent volumes available for this claim and no storage class is set";
        cx.event(claim, EventType::Normal, "FailedBinding", why);
    } else if cx.get(&Key::new(&GroupResource::new("storage.k8s.io", "storageclasses"), "", class)).is_none() {
        let why = format!("storageclass.storage.k8s.io {class:?} not found");
        cx.event(claim, EventType::Warning, "ProvisioningFailed", &why);
    }
}

fn is_bound(claim: &Value) -> bool {
    object::meta::annotation(claim, COMPLETED).is_some()
}

/// The volume that was kept for this claim, or the smallest that fits it.
fn find(cx: &Context<'_>, object: &Object, claim: &Value) -> Option<Arc<Object>> {
    let class = str_at(claim, &["spec", "storageClassName"]);
    let classes = GroupResource::new("storage.k8s.io", "storageclasses");
    let waits = cx
        .get(&Key::new(&classes, "", class))
        .is_some_and(|class| str_at(&class.value(), &["volumeBindingMode"]) == "WaitForFirstConsumer");
    // The scheduler chooses for such a claim, and says so by keeping a volume for it.
    let kept_only = waits && object::meta::annotation(claim, SELECTED_NODE).is_none();
    let access: Vec<&str> = list_at(claim, &["spec", "accessModes"]).iter().filter_map(Value::as_str).collect();
    let selector = at(claim, &["spec", "selector"]).and_then(|selector| LabelSelector::from_json(selector).ok());
    let wanted = quantity(at(claim, &["spec", "resources", "requests", "storage"]));
    let mode = mode_of(claim);
    let mut fitting: Vec<(bool, Arc<Object>)> = Vec::new();
    for volume in cx.store().list(&volumes().group_resource(), None).filter(|volume| volume.meta.deletion_timestamp.is_none()) {
        let offer = volume.view::<Offer>();
        let reserved = match &offer.claim {
            None => false,
            Some((namespace, name, uid)) => {
                let mine = **namespace == *object.key.namespace && **name == *object.key.name;
                if !mine || !uid.is_empty() && *uid != object.meta.uid {
                    continue;
                }
                true
            }
        };
        let selected = selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta.labels));
        let fits = offer.class == class
            && offer.mode == mode
            && offer.capacity >= wanted
            && access.iter().all(|mode| offer.access.iter().any(|offered| offered == mode));
        if fits && (reserved || selected && !kept_only) {
            fitting.push((!reserved, volume.clone()));
        }
    }
    let order = |(free, volume): &(bool, Arc<Object>), (other_free, other): &(bool, Arc<Object>)| {
        let capacity = |volume: &Arc<Object>| volume.view::<Offer>().capacity;
        (free, capacity(volume), &volume.key.name)
            .partial_cmp(&(other_free, capacity(other), &other.key.name))
            .unwrap_or(std::cmp::Ordering::Equal)
    };
    fitting.into_iter().min_by(order).map(|(_, volume)| volume)
}

fn bind(cx: &mut Context<'_>, object: &Arc<Object>, claim: Value, volume: &Arc<Object>) -> Result<()> {
    let mut value = volume.value();
    let by_us = volume.view::<Offer>().claim.is_none();
    let reference = json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": &*object.key.namespace, "name": &*object.key.name,
        "uid": object.meta.uid, "resourceVersion": object.revision.to_string(),
    });
    set(&mut value, &["spec", "claimRef"], reference);
    if by_us {
        object_at(&mut value, &["metadata", "annotations"]).insert(BOUND_BY.to_owned(), "yes".into());
    }
    cx.client().update(&volumes(), "", &volume.key.name, value)?;
    let Some(volume) = cx.get(&volume.key) else { return Ok(()) };
    complete(cx, object, claim, &volume)
}

/// The claim's side of a binding.
fn complete(cx: &mut Context<'_>, object: &Arc<Object>, mut claim: Value, volume: &Arc<Object>) -> Result<()> {
    let by_us = str_at(&claim, &["spec", "volumeName"]).is_empty();
    if by_us || !is_bound(&claim) {
        set(&mut claim, &["spec", "volumeName"], &*volume.key.name);
        let annotations = object_at(&mut claim, &["metadata", "annotations"]);
        annotations.insert(COMPLETED.to_owned(), "yes".into());
        if by_us {
            annotations.insert(BOUND_BY.to_owned(), "yes".into());
        }
        claim = cx.client().update(&claims(), &object.key.namespace, &object.key.name, claim)?;
    }
    let value = volume.value();
    let before = claim.get("status").cloned();
    for (key, from) in [("accessModes", ["spec", "accessModes"]), ("capacity", ["spec", "capacity"])] {
        if let Some(given) = at(&value, &from) {
            set(&mut claim, &["status", key], given.clone());
        }
    }
    set(&mut claim, &["status", "phase"], "Bound");
    if claim.get("status") == before.as_ref() {
        return Ok(());
    }
    cx.client().update_status(&claims(), &object.key.namespace, &object.key.name, claim).map(drop)
}

fn phase(cx: &mut Context<'_>, object: &Object, mut claim: Value, phase: &str) -> Result<()> {
    if str_at(&claim, &["status", "phase"]) == phase {
        return Ok(());
    }
    set(&mut claim, &["status", "phase"], phase);
    cx.event(&claim, EventType::Warning, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    cx.client().update_status(&claims(), &object.key.namespace, &object.key.name, claim).map(drop)
}
