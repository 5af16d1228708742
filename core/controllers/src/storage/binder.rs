//! Persistent volumes and the claims on them: volumes that are free are given to claims that they fit, provisioners are asked for
//! others, and both say what they are.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::events::EventType;
use object::selector::LabelSelector;
use object::value::{at, object_at, remove, set, str_at};
use object::{Result, Value, json};
use store::{Event, Key, Object, Store};

use super::{
    BETA_STORAGE_PROVISIONER, BOUND_BY, COMPLETED, ClaimView, ClassView, PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER,
    VolumeView, claims, classes, mode_of, quantity, strings, volumes,
};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// Gives volumes to claims.
#[derive(Default)]
pub struct VolumeBinder {
    /// Claims without a volume.
    waiting: BTreeSet<Key>,
    /// Volumes that are kept for nobody, by class.
    free: BTreeMap<String, BTreeSet<Key>>,
    /// Volumes that are kept for a claim, by its namespace and name.
    kept: BTreeMap<(String, String), BTreeSet<Key>>,
}

impl Controller for VolumeBinder {
    fn name(&self) -> &'static str {
        "persistent-volume-binder"
    }

    fn source(&self) -> &'static str {
        "persistentvolume-controller"
    }

    fn changed(&mut self, _store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        let both = || [&event.old, &event.new].into_iter().flatten();
        if key.resource == volumes().group_resource() {
            self.file(event);
            queue.add(key.clone());
            for (namespace, name, _) in both().filter_map(|volume| volume.view::<VolumeView>().claim.as_ref()) {
                queue.add(Key::new(&claims().group_resource(), namespace, name));
            }
            // A volume that is free now may be what a claim waits for.
            if event.new.as_ref().is_some_and(|volume| volume.view::<VolumeView>().claim.is_none()) {
                self.waiting.iter().for_each(|claim| queue.add(claim.clone()));
            }
        } else if key.resource == claims().group_resource() {
            match &event.new {
                Some(claim) if !claim.view::<ClaimView>().completed => drop(self.waiting.insert(key.clone())),
                _ => drop(self.waiting.remove(key)),
            }
            queue.add(key.clone());
            for name in both().map(|claim| &claim.view::<ClaimView>().volume).filter(|name| !name.is_empty()) {
                queue.add(Key::new(&volumes().group_resource(), "", name));
            }
            let kept = self.kept.get(&(key.namespace.to_string(), key.name.to_string()));
            kept.into_iter().flatten().for_each(|volume| queue.add(volume.clone()));
        } else if key.resource == classes() && event.new.is_some() {
            self.waiting.iter().for_each(|claim| queue.add(claim.clone()));
        } else if key.resource == crate::pod_control::pods() && event.old.is_none() != event.new.is_none() || moved(event) {
            for claim in index.claims_of(event).filter(|claim| self.waiting.contains(claim)) {
                queue.add(claim);
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        if key.resource == claims().group_resource() { self.claim(cx, &object) } else { volume(cx, &object) }
    }
}

/// Whether a pod was given its node.
fn moved(event: &Event) -> bool {
    match (&event.old, &event.new) {
        (Some(old), Some(new)) if new.key.resource == crate::pod_control::pods() => {
            old.view::<PodView>().node != new.view::<PodView>().node
        }
        _ => false,
    }
}

impl VolumeBinder {
    fn file(&mut self, event: &Event) {
        let key = event.key();
        for (object, is_new) in [(&event.old, false), (&event.new, true)] {
            let Some(view) = object.as_ref().map(|object| object.view::<VolumeView>()) else { continue };
            let set = match &view.claim {
                None => self.free.entry(view.class.clone()).or_default(),
                Some((namespace, name, _)) => self.kept.entry((namespace.clone(), name.clone())).or_default(),
            };
            let _ = if is_new { set.insert(key.clone()) } else { set.remove(key) };
        }
    }

    /// Gives a claim its volume.
    fn claim(&self, cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
        let view = object.view::<ClaimView>();
        if view.completed {
            return bound_claim(cx, object);
        }
        if !view.volume.is_empty() {
            return wished_claim(cx, object);
        }
        let waits = class_of(cx, view).is_some_and(|class| class.view::<ClassView>().waits);
        if let Some(volume) = self.find(cx, object, waits) {
            return bind(cx, object, &volume);
        }
        if view.class.is_none()
            && let Some(class) = default_class(cx)
        {
            let mut claim = object.value();
            set(&mut claim, &["spec", "storageClassName"], class);
            return cx.client().update(&claims(), &object.key.namespace, &object.key.name, claim).map(drop);
        }
        let claim = object.value();
        if waits && object::meta::annotation(&claim, SELECTED_NODE).is_none() {
            wait_for_consumer(cx, object, &claim)
        } else if view.class().is_empty() {
            let why = "no persistent volumes available for this claim and no storage class is set";
            cx.event(&claim, EventType::Normal, "FailedBinding", why);
            Ok(())
        } else {
            provision(cx, object, claim)
        }
    }

    /// The volume that was kept for this claim, or the smallest that fits it. For one that waits for a pod only the first counts:
    /// the scheduler chooses among the others.
    fn find(&self, cx: &Context<'_>, object: &Object, waits: bool) -> Option<Arc<Object>> {
        let (claim, view) = (object.value(), object.view::<ClaimView>());
        let wanted = quantity(at(&claim, &["spec", "resources", "requests", "storage"]));
        let (mode, access) = (mode_of(&claim), strings(&claim, &["spec", "accessModes"]));
        let kept = self.kept.get(&(object.key.namespace.to_string(), object.key.name.to_string()));
        let kept = kept.into_iter().flatten().filter_map(|key| cx.get(key)).find(|volume| {
            let offer = volume.view::<VolumeView>();
            let mine = offer.claim.as_ref().is_some_and(|(.., uid)| uid.is_empty() || *uid == object.meta.uid);
            mine && offer.mode == mode && offer.capacity >= wanted && offer.attributes_class == view.attributes_class
        });
        if kept.is_some() || waits {
            return kept;
        }
        let selector = at(&claim, &["spec", "selector"]).and_then(|selector| LabelSelector::from_json(selector).ok());
        let fits = |volume: &Arc<Object>| {
            let offer = volume.view::<VolumeView>();
            volume.meta.deletion_timestamp.is_none()
                && offer.phase == "Available"
                && offer.mode == mode
                && offer.attributes_class == view.attributes_class
                && offer.capacity >= wanted
                && access.iter().all(|mode| offer.access.contains(mode))
                && selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta.labels))
        };
        let order = |a: &Arc<Object>, b: &Arc<Object>| {
            let capacity = |volume: &Arc<Object>| volume.view::<VolumeView>().capacity;
            (capacity(a), &a.key.name).partial_cmp(&(capacity(b), &b.key.name)).unwrap_or(std::cmp::Ordering::Equal)
        };
        self.free.get(view.class()).into_iter().flatten().filter_map(|key| cx.get(key)).filter(fits).min_by(order)
    }
}

fn class_of(cx: &Context<'_>, claim: &ClaimView) -> Option<Arc<Object>> {
    cx.get(&Key::new(&classes(), "", claim.class()))
}

/// The newest of the classes that say that they are the default.
fn default_class(cx: &Context<'_>) -> Option<String> {
    let classes = classes();
    let defaults = cx.store().list(&classes, None).filter(|class| class.view::<ClassView>().is_default);
    let newest = defaults.min_by_key(|class| (std::cmp::Reverse(class.meta.creation_timestamp), class.key.name.clone()));
    newest.map(|class| class.key.name.to_string())
}

/// A claim waits for a pod, whose node the scheduler then names.
fn wait_for_consumer(cx: &mut Context<'_>, object: &Arc<Object>, claim: &Value) -> Result<()> {
    let pods: Vec<Arc<Object>> = cx.index.pods_with(&object.key).filter_map(|key| cx.get(key)).collect();
    let unplaced: Vec<&str> = pods.iter().filter(|pod| pod.view::<PodView>().node.is_empty()).map(|pod| &*pod.key.name).collect();
    match unplaced.as_slice() {
        [] => {
            let why = "waiting for first consumer to be created before binding";
            cx.event(claim, EventType::Normal, "WaitForFirstConsumer", why);
        }
        names => {
            let (s, names) = (if names.len() > 1 { "s" } else { "" }, names.join(","));
            let why = format!("waiting for pod{s} {names} to be scheduled");
            cx.event(claim, EventType::Normal, "WaitForPodScheduled", &why);
        }
    }
    Ok(())
}

/// Asks the class's provisioner for a volume.
fn provision(cx: &mut Context<'_>, object: &Arc<Object>, mut claim: Value) -> Result<()> {
    let view = object.view::<ClaimView>();
    let Some(class) = class_of(cx, view) else {
        let why = format!("storageclass.storage.k8s.io {:?} not found", view.class());
        cx.event(&claim, EventType::Warning, "ProvisioningFailed", &why);
        return Ok(());
    };
    let provisioner = &class.view::<ClassView>().provisioner;
    if provisioner.starts_with("kubernetes.io/") {
        let why = format!("no volume plugin matched name: {provisioner}");
        cx.event(&claim, EventType::Warning, "ProvisioningFailed", &why);
        return Ok(());
    }
    let annotations = object_at(&mut claim, &["metadata", "annotations"]);
    if annotations.get(STORAGE_PROVISIONER).and_then(Value::as_str) != Some(provisioner) {
        for name in [STORAGE_PROVISIONER, BETA_STORAGE_PROVISIONER] {
            annotations.insert(name.to_owned(), provisioner.as_str().into());
        }
        claim = Arc::unwrap_or_clone(cx.client().update(&claims(), &object.key.namespace, &object.key.name, claim)?);
    }
    let why = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    cx.event(&claim, EventType::Normal, "ExternalProvisioning", &why);
    Ok(())
}

/// A claim that names its volume.
fn wished_claim(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let view = object.view::<ClaimView>();
    let Some(volume) = cx.get(&Key::new(&volumes().group_resource(), "", &view.volume)) else { return Ok(()) };
    let offer = volume.view::<VolumeView>();
    match &offer.claim {
        None => {
            let claim = object.value();
            let access = strings(&claim, &["spec", "accessModes"]);
            let wanted = quantity(at(&claim, &["spec", "resources", "requests", "storage"]));
            let why = if offer.capacity < wanted {
                "requested PV is too small"
            } else if offer.class != view.class() {
                "storageClassName does not match"
            } else if offer.mode != mode_of(&claim) {
                "incompatible volumeMode"
            } else if !access.iter().all(|mode| offer.access.contains(mode)) {
                "incompatible accessMode"
            } else {
                return bind(cx, object, &volume);
            };
            let why = format!("Cannot bind to requested volume {:?}: {why}", view.volume);
            cx.event(&claim, EventType::Warning, "VolumeMismatch", &why);
            Ok(())
        }
        Some((namespace, name, uid)) => {
            let mine = **namespace == *object.key.namespace && **name == *object.key.name;
            if mine && (uid.is_empty() || *uid == object.meta.uid) { bind(cx, object, &volume) } else { Ok(()) }
        }
    }
}

/// A claim that was bound: its volume must still be there, and its own.
fn bound_claim(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let view = object.view::<ClaimView>();
    if view.volume.is_empty() {
        let why = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lose(cx, object, "ClaimLost", why);
    }
    let Some(volume) = cx.get(&Key::new(&volumes().group_resource(), "", &view.volume)) else {
        return lose(cx, object, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    match &volume.view::<VolumeView>().claim {
        None => bind(cx, object, &volume),
        Some((.., uid)) if *uid == object.meta.uid => complete(cx, object, &volume),
        Some((namespace, name, uid)) if uid.is_empty() && **namespace == *object.key.namespace && **name == *object.key.name => {
            bind(cx, object, &volume)
        }
        Some(_) => {
            let why = "Two claims are bound to the same volume, this one is bound incorrectly";
            lose(cx, object, "ClaimMisbound", why)
        }
    }
}

fn bind(cx: &mut Context<'_>, object: &Arc<Object>, volume: &Arc<Object>) -> Result<()> {
    let offer = volume.view::<VolumeView>();
    if offer.claim.as_ref().is_none_or(|(.., uid)| *uid != object.meta.uid) {
        let mut value = volume.value();
        let reference = json!({
            "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": &*object.key.namespace, "name": &*object.key.name,
            "uid": object.meta.uid, "resourceVersion": object.revision.to_string(),
        });
        set(&mut value, &["spec", "claimRef"], reference);
        if offer.claim.is_none() {
            object_at(&mut value, &["metadata", "annotations"]).insert(BOUND_BY.to_owned(), "yes".into());
        }
        cx.client().update(&volumes(), "", &volume.key.name, value)?;
    }
    let Some(volume) = cx.get(&volume.key) else { return Ok(()) };
    volume_phase(cx, &volume, "Bound", "")?;
    complete(cx, object, &volume)
}

/// The claim's side of a binding.
fn complete(cx: &mut Context<'_>, object: &Arc<Object>, volume: &Arc<Object>) -> Result<()> {
    let (mut claim, view) = (object.value(), object.view::<ClaimView>());
    let by_us = view.volume.is_empty();
    if by_us || !view.completed {
        set(&mut claim, &["spec", "volumeName"], &*volume.key.name);
        let annotations = object_at(&mut claim, &["metadata", "annotations"]);
        annotations.insert(COMPLETED.to_owned(), "yes".into());
        if by_us {
            annotations.insert(BOUND_BY.to_owned(), "yes".into());
        }
        claim = Arc::unwrap_or_clone(cx.client().update(&claims(), &object.key.namespace, &object.key.name, claim)?);
    }
    let value = volume.value();
    let before = claim.get("status").cloned();
    if let Some(modes) = at(&value, &["spec", "accessModes"]) {
        set(&mut claim, &["status", "accessModes"], modes.clone());
    }
    // Once it is bound, what it says of its size is its file system's: whoever grows that says so.
    if str_at(&claim, &["status", "phase"]) != "Bound" {
        if let Some(capacity) = at(&value, &["spec", "capacity"]) {
            set(&mut claim, &["status", "capacity"], capacity.clone());
        }
        if let Some(class) = at(&value, &["spec", "volumeAttributesClassName"]) {
            set(&mut claim, &["status", "currentVolumeAttributesClassName"], class.clone());
        }
    }
    set(&mut claim, &["status", "phase"], "Bound");
    if claim.get("status") == before.as_ref() {
        return Ok(());
    }
    cx.client().update_status(&claims(), &object.key.namespace, &object.key.name, claim).map(drop)
}

fn lose(cx: &mut Context<'_>, object: &Object, reason: &str, why: &str) -> Result<()> {
    if object.view::<ClaimView>().phase == "Lost" {
        return Ok(());
    }
    let mut claim = object.value();
    remove(&mut claim, &["status"]);
    set(&mut claim, &["status", "phase"], "Lost");
    let claim = cx.client().update_status(&claims(), &object.key.namespace, &object.key.name, claim)?;
    cx.event(&claim, EventType::Warning, reason, why);
    Ok(())
}

/// Says what a volume is, and lets it go when its claim is gone.
fn volume(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let view = object.view::<VolumeView>();
    let Some((namespace, name, uid)) = &view.claim else { return volume_phase(cx, object, "Available", "") };
    if uid.is_empty() {
        // It is kept for a claim that has not come yet.
        return volume_phase(cx, object, "Available", "");
    }
    let claim = cx.get(&Key::new(&claims().group_resource(), namespace, name)).filter(|claim| claim.meta.uid == *uid);
    let Some(claim) = claim else {
        if !matches!(view.phase.as_str(), "Released" | "Failed") {
            volume_phase(cx, object, "Released", "")?;
        }
        return reclaim(cx, object);
    };
    let bound = &claim.view::<ClaimView>().volume;
    if bound.is_empty() {
        if mode_of(&claim.value()) != view.mode {
            let value = object.value();
            let why = format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {name:?} due to incompatible volumeMode."
            );
            cx.event(&value, EventType::Warning, "VolumeMismatch", &why);
        }
        return Ok(());
    }
    if **bound == *object.key.name {
        return volume_phase(cx, object, "Bound", "");
    }
    // Its claim went another way.
    let value = object.value();
    if object::meta::annotation(&value, PROVISIONED_BY).is_some() && policy(&value) == "Delete" {
        if !matches!(view.phase.as_str(), "Released" | "Failed") {
            volume_phase(cx, object, "Released", "")?;
        }
        return reclaim(cx, object);
    }
    unbind(cx, object, value)
}

fn unbind(cx: &mut Context<'_>, object: &Object, mut value: Value) -> Result<()> {
    if object::meta::annotation(&value, BOUND_BY).is_some() {
        remove(&mut value, &["spec", "claimRef"]);
        remove(&mut value, &["metadata", "annotations", BOUND_BY]);
    } else {
        remove(&mut value, &["spec", "claimRef", "uid"]);
    }
    cx.client().update(&volumes(), "", &object.key.name, value)?;
    cx.get(&object.key).map_or(Ok(()), |volume| volume_phase(cx, &volume, "Available", ""))
}

fn policy(volume: &Value) -> &str {
    match str_at(volume, &["spec", "persistentVolumeReclaimPolicy"]) {
        "" => "Retain",
        said => said,
    }
}

/// Nobody has a volume any more: its policy says what becomes of it. Who made it also unmakes it.
fn reclaim(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<()> {
    let value = object.value();
    if policy(&value) != "Delete" || object.view::<VolumeView>().phase == "Failed" {
        return Ok(());
    }
    if object::meta::annotation(&value, PROVISIONED_BY).is_some_and(|by| !by.starts_with("kubernetes.io/")) {
        return Ok(());
    }
    let why = match str_at(&value, &["spec", "hostPath", "path"]) {
        "" => {
            format!("error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched", object.key.name)
        }
        path if path.strip_prefix("/tmp/").is_some_and(|rest| !rest.is_empty()) => {
            return match cx.client().delete(&volumes(), "", &object.key.name, &Default::default()) {
                Err(error) if !error.is_not_found() => Err(error),
                _ => Ok(()),
            };
        }
        path => format!("host_path deleter only supports /tmp/.+ but received provided {path}"),
    };
    let Some(released) = cx.get(&object.key) else { return Ok(()) };
    volume_phase(cx, &released, "Failed", &why)?;
    cx.event(&value, EventType::Warning, "VolumeFailedDelete", &why);
    Ok(())
}

fn volume_phase(cx: &mut Context<'_>, object: &Object, phase: &str, message: &str) -> Result<()> {
    if object.view::<VolumeView>().phase == phase {
        return Ok(());
    }
    let mut volume = object.value();
    set(&mut volume, &["status", "phase"], phase);
    set(&mut volume, &["status", "lastPhaseTransitionTime"], cx.now.rfc3339());
    match message {
        "" => drop(remove(&mut volume, &["status", "message"])),
        said => set(&mut volume, &["status", "message"], said),
    }
    cx.client().update_status(&volumes(), "", &object.key.name, volume).map(drop)
}
