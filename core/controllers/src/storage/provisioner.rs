//! A provisioner of directories, as kind and minikube have one: it makes a volume for each claim of its classes, grows it, and
//! unmakes it. It talks to the rest of the control plane as every external provisioner does, through claims and volumes.
//!
//! <https://kubernetes.io/docs/concepts/storage/dynamic-provisioning/>

use apiserver::UserInfo;
use object::events::EventType;
use object::value::{at, list_at, set, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Object, Store};

use super::{
    COMPLETED, ClaimView, ClassView, PROVISIONED_BY, SELECTED_NODE, STORAGE_PROVISIONER, VolumeView, claims, classes, volumes,
};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Its name in StorageClasses.
pub const PROVISIONER: &str = "wasmkube.dev/hostpath";
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// Makes volumes.
pub struct Provisioner;

impl Controller for Provisioner {
    fn name(&self) -> &'static str {
        "hostpath-provisioner"
    }

    /// A real one would bring a role of its own; this one needs no more than what binds its volumes.
    fn user(&self) -> UserInfo {
        UserInfo::service_account("kube-system", "persistent-volume-binder")
    }

    fn source(&self) -> &'static str {
        PROVISIONER
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        let wanted = match &event.new {
            Some(claim) if key.resource == claims().group_resource() => claim.view::<ClaimView>().volume.is_empty(),
            Some(_) => key.resource == volumes().group_resource(),
            None => false,
        };
        if wanted {
            queue.add(key.clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        if key.resource == volumes().group_resource() { volume(cx, &object) } else { claim(cx, &object) }
    }
}

/// Makes the volume of a claim that waits for one of ours.
fn claim(cx: &mut Context<'_>, object: &Object) -> Result<()> {
    let claim = object.value();
    let said = |name: &str| object::meta::annotation(&claim, name);
    if said(STORAGE_PROVISIONER) != Some(PROVISIONER) || said(COMPLETED).is_some() || object.meta.deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = format!("pvc-{}", object.meta.uid);
    let there = cx.get(&Key::new(&volumes().group_resource(), "", &name)).is_some();
    let Some(class) = cx.get(&Key::new(&classes(), "", object.view::<ClaimView>().class())) else { return Ok(()) };
    let node = said(SELECTED_NODE);
    if there || node.is_none() && class.view::<ClassView>().waits {
        return Ok(());
    }
    let (namespace, claim_name) = (&*object.key.namespace, &*object.key.name);
    let start = format!("External provisioner is provisioning volume for claim \"{namespace}/{claim_name}\"");
    cx.event(&claim, EventType::Normal, "Provisioning", &start);
    if at(&claim, &["spec", "selector"]).is_some() {
        let why =
            format!("failed to provision volume with StorageClass {:?}: claim.Spec.Selector is not supported", class.key.name);
        cx.event(&claim, EventType::Warning, "ProvisioningFailed", &why);
        return Ok(());
    }
    let volume = volume_for(cx, object, &claim, &class, node);
    match cx.client().create(&volumes(), "", volume) {
        Err(error) if !error.is_already_exists() => {
            let why = format!("failed to provision volume with StorageClass {:?}: {error}", class.key.name);
            cx.event(&claim, EventType::Warning, "ProvisioningFailed", &why);
            Err(error)
        }
        _ => {
            cx.event(&claim, EventType::Normal, "ProvisioningSucceeded", &format!("Successfully provisioned volume {name}"));
            Ok(())
        }
    }
}

fn volume_for(cx: &Context<'_>, object: &Object, claim: &Value, class: &Object, node: Option<&str>) -> Value {
    let (namespace, claim_name, uid) = (&*object.key.namespace, &*object.key.name, &object.meta.uid);
    let (view, value) = (class.view::<ClassView>(), class.value());
    let size = at(claim, &["spec", "resources", "requests", "storage"]).cloned().unwrap_or_default();
    let reference = json!({
        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace, "name": claim_name, "uid": uid,
        "resourceVersion": object.revision.to_string(),
    });
    let path = format!("{}/pvc-{uid}_{namespace}_{claim_name}", cx.settings.volume_dir);
    let mut spec = json!({
        "capacity": {"storage": size}, "accessModes": list_at(claim, &["spec", "accessModes"]), "claimRef": reference,
        "persistentVolumeReclaimPolicy": view.reclaim, "storageClassName": &*class.key.name,
        "hostPath": {"path": path, "type": "DirectoryOrCreate"},
    });
    for (from, path) in [(claim, "volumeMode"), (claim, "volumeAttributesClassName")] {
        if let Some(given) = at(from, &["spec", path]) {
            spec[path] = given.clone();
        }
    }
    if let Some(options) = value.get("mountOptions") {
        spec["mountOptions"] = options.clone();
    }
    if let Some(node) = node {
        let stored = cx.get(&Key::new(&GroupResource::literal("", "nodes"), "", node));
        let host = stored.and_then(|node| node.meta.labels.get("kubernetes.io/hostname").cloned()).unwrap_or(node.to_owned());
        let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]});
        spec["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [term]}});
    }
    let mut metadata = json!({"name": format!("pvc-{uid}"), "annotations": {PROVISIONED_BY: PROVISIONER}});
    if view.reclaim == "Delete" {
        metadata["finalizers"] = json!([FINALIZER]);
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec})
}

/// Unmakes a volume that nobody has any more. Its finalizer follows its policy.
fn volume(cx: &mut Context<'_>, object: &Object) -> Result<()> {
    let mut volume = object.value();
    if object::meta::annotation(&volume, PROVISIONED_BY) != Some(PROVISIONER) {
        return Ok(());
    }
    let deletes = str_at(&volume, &["spec", "persistentVolumeReclaimPolicy"]) == "Delete";
    let finalizers = list_at(&volume, &["metadata", "finalizers"]).to_vec();
    let held = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    let released = object.view::<VolumeView>().phase == "Released";
    if object.meta.deletion_timestamp.is_none() {
        if deletes && released {
            return match cx.client().delete(&volumes(), "", &object.key.name, &Default::default()) {
                Err(error) if !error.is_not_found() => Err(error),
                _ => Ok(()),
            };
        }
        if deletes == held {
            return Ok(());
        }
    } else if !held || deletes && !released {
        return Ok(());
    }
    let adds = deletes && object.meta.deletion_timestamp.is_none();
    let mut kept: Vec<Value> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    kept.extend(adds.then(|| json!(FINALIZER)));
    set(&mut volume, &["metadata", "finalizers"], kept);
    cx.client().update(&volumes(), "", &object.key.name, volume).map(drop)
}
