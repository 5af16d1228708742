//! Attach and detach: a CSI volume that a pod's node needs gets a VolumeAttachment, which the driver's attacher acts on; a node's
//! status says what is attached.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apiserver::{PatchKind, gvr};
use object::events::EventType;
use object::value::{at, bool_at, list_at, str_at};
use object::{GroupResource, Result, Time, Value, json};
use sha2::{Digest as _, Sha256};
use store::{Event, Key, Object, Store, View};

use super::{ClaimView, PodClaims, VolumeView, claims, volumes};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::node::NodeView;
use crate::pod::PodView;
use crate::pod_control::pods;
use crate::queue::WorkQueue;

/// A node that does not answer keeps its volumes for so long.
const FORCE_SECONDS: u64 = 360;
/// Kubelets that leave attaching to this controller say so.
const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
const GROUP: &str = "storage.k8s.io";
/// Names of attachments that this controller makes: this, and a digest of the volume, its driver and the node.
const PREFIX: &str = "csi-";

fn nodes() -> GroupResource {
    GroupResource::literal("", "nodes")
}

fn attachments() -> GroupResource {
    GroupResource::literal(GROUP, "volumeattachments")
}

/// Whether an attachment has a name that this controller gives.
fn is_own(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What an attachment says.
struct AttachmentView {
    node: String,
    volume: String,
    attached: bool,
    error: String,
}

impl View for AttachmentView {
    fn of(attachment: &Value) -> Self {
        AttachmentView {
            node: str_at(attachment, &["spec", "nodeName"]).to_owned(),
            volume: str_at(attachment, &["spec", "source", "persistentVolumeName"]).to_owned(),
            attached: bool_at(attachment, &["status", "attached"]),
            error: str_at(attachment, &["status", "attachError", "message"]).to_owned(),
        }
    }
}

/// A volume that a pod on a node needs.
struct Need {
    volume: Arc<Object>,
    pod: Arc<Object>,
}

/// Attaches and detaches.
#[derive(Default)]
pub struct AttachDetachController {
    by_node: BTreeMap<String, BTreeSet<Key>>,
    by_volume: BTreeMap<String, BTreeSet<Key>>,
    /// Nodes that wait for another to let go of a volume.
    blocked: BTreeSet<String>,
    /// Since when nobody needs what is attached.
    idle: BTreeMap<Key, Time>,
    /// What was said of attachments.
    said: BTreeMap<Key, String>,
}

impl Controller for AttachDetachController {
    fn name(&self) -> &'static str {
        "attachdetach-controller"
    }

    fn changed(&mut self, store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        let node = |name: &str| Key::new(&nodes(), "", name);
        if key.resource == attachments() {
            // Others make attachments too; this controller touches only those it made itself, in this life or an earlier one.
            if !is_own(&key.name) {
                return;
            }
            for (object, is_new) in [(&event.old, false), (&event.new, true)] {
                let Some(view) = object.as_ref().map(|object| object.view::<AttachmentView>()) else { continue };
                for (map, name) in [(&mut self.by_node, &view.node), (&mut self.by_volume, &view.volume)] {
                    let set = map.entry(name.clone()).or_default();
                    let _ = if is_new { set.insert(key.clone()) } else { set.remove(key) };
                }
                queue.add(node(&view.node));
            }
            if event.new.is_none() {
                self.said.remove(key);
                self.idle.remove(key);
                std::mem::take(&mut self.blocked).iter().for_each(|name| queue.add(node(name)));
            }
        } else if key.resource == nodes() {
            if self.by_node.contains_key(&*key.name) || event.old.is_none() {
                queue.add(key.clone());
            }
        } else if key.resource == pods() {
            let uses = [&event.old, &event.new].into_iter().flatten().filter(|pod| !pod.view::<PodClaims>().names.is_empty());
            for pod in uses.map(|pod| pod.view::<PodView>()).filter(|pod| !pod.node.is_empty()) {
                queue.add(node(&pod.node));
            }
        } else if key.resource == claims().group_resource() {
            let placed = index.pods_with(key).filter_map(|pod| store.get(pod)).map(|pod| &pod.view::<PodView>().node);
            placed.filter(|name| !name.is_empty()).for_each(|name| queue.add(node(name)));
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let there = cx.get(key);
        let managed = there.as_ref().is_some_and(|node| object::meta::annotation(&node.value(), MANAGED).is_some());
        let needs = if managed { needs(cx, &key.name) } else { BTreeMap::new() };
        let attached: Vec<Arc<Object>> =
            self.by_node.get(&*key.name).into_iter().flatten().filter_map(|key| cx.get(key)).collect();
        for attachment in &attached {
            let view = attachment.view::<AttachmentView>();
            match needs.get(&view.volume) {
                Some(need) => {
                    self.idle.remove(&attachment.key);
                    self.say(cx, attachment, need);
                }
                None => self.detach(cx, attachment, there.as_ref())?,
            }
        }
        for (name, need) in &needs {
            if !attached.iter().any(|attachment| attachment.view::<AttachmentView>().volume == *name) {
                self.attach(cx, &key.name, need)?;
            }
        }
        there.map_or(Ok(()), |node| report(cx, &node, &attached))
    }
}

/// The CSI volumes that the pods on a node need, and that have to be attached.
fn needs(cx: &Context<'_>, node: &str) -> BTreeMap<String, Need> {
    let mut needs = BTreeMap::new();
    for pod in cx.index.pods_on(node).filter_map(|key| cx.get(key)).filter(|pod| !pod.view::<PodView>().is_terminal()) {
        for name in &pod.view::<PodClaims>().names {
            let claim = cx.get(&Key::new(&claims().group_resource(), &pod.key.namespace, name));
            let Some(claim) = claim.filter(|claim| claim.view::<ClaimView>().completed) else { continue };
            let volume = cx.get(&Key::new(&volumes().group_resource(), "", &claim.view::<ClaimView>().volume));
            let Some(volume) = volume else { continue };
            let Some((driver, _)) = &volume.view::<VolumeView>().csi else { continue };
            let driver = cx.get(&Key::new(&GroupResource::literal(GROUP, "csidrivers"), "", driver));
            let required = driver.is_none_or(|driver| at(&driver.value(), &["spec", "attachRequired"]) != Some(&json!(false)));
            if required {
                needs.entry(volume.key.name.to_string()).or_insert(Need { volume, pod: pod.clone() });
            }
        }
    }
    needs
}

impl AttachDetachController {
    fn attach(&mut self, cx: &mut Context<'_>, node: &str, need: &Need) -> Result<()> {
        let (name, view) = (&*need.volume.key.name, need.volume.view::<VolumeView>());
        let Some((driver, handle)) = &view.csi else { return Ok(()) };
        let alone = view.access.iter().all(|mode| mode.starts_with("ReadWriteOnce"));
        let elsewhere = self.by_volume.get(name).is_some_and(|set| !set.is_empty());
        if alone && elsewhere {
            self.blocked.insert(node.to_owned());
            let why = format!(
                "Multi-Attach error for volume {name:?} Volume is already exclusively attached to one node and can't be attached \
                 to another"
            );
            cx.event(&need.pod.value(), EventType::Warning, "FailedAttachVolume", &why);
            return Ok(());
        }
        let digest: String = Sha256::digest(format!("{handle}{driver}{node}")).iter().map(|byte| format!("{byte:02x}")).collect();
        let attachment = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": format!("{PREFIX}{digest}")},
            "spec": {"attacher": driver, "nodeName": node, "source": {"persistentVolumeName": name}},
        });
        match cx.client().create(&gvr(GROUP, "v1", "volumeattachments"), "", attachment) {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        }
    }

    /// Nobody on the node needs it any more. It stays while the kubelet has it mounted, unless the node is lost.
    fn detach(&mut self, cx: &mut Context<'_>, attachment: &Object, node: Option<&Arc<Object>>) -> Result<()> {
        if attachment.meta.deletion_timestamp.is_some() {
            return Ok(());
        }
        let volume = cx.get(&Key::new(&volumes().group_resource(), "", &attachment.view::<AttachmentView>().volume));
        let in_use = node.zip(volume.as_ref()).is_some_and(|(node, volume)| {
            let name = unique_name(volume).unwrap_or_default();
            list_at(&node.value(), &["status", "volumesInUse"]).iter().any(|used| *used == name)
        });
        if let Some(node) = node.filter(|_| in_use) {
            let view = node.view::<NodeView>();
            let since = *self.idle.entry(attachment.key.clone()).or_insert(cx.now);
            let due = since.plus_secs(FORCE_SECONDS);
            if !view.is_out_of_service() && (view.is_ready() || due > cx.now) {
                if due > cx.now {
                    cx.queue.add_at(node.key.clone(), due);
                }
                return Ok(());
            }
        }
        match cx.client().delete(&gvr(GROUP, "v1", "volumeattachments"), "", &attachment.key.name, &Default::default()) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells a pod what came of an attachment, once.
    fn say(&mut self, cx: &mut Context<'_>, attachment: &Object, need: &Need) {
        let view = attachment.view::<AttachmentView>();
        let (kind, reason, message) = if view.attached {
            let message = format!("AttachVolume.Attach succeeded for volume {:?} ", view.volume);
            (EventType::Normal, "SuccessfulAttachVolume", message)
        } else if !view.error.is_empty() {
            let message = format!("AttachVolume.Attach failed for volume {:?} : {}", view.volume, view.error);
            (EventType::Warning, "FailedAttachVolume", message)
        } else {
            return;
        };
        if self.said.insert(attachment.key.clone(), message.clone()).as_ref() != Some(&message) {
            cx.event(&need.pod.value(), kind, reason, &message);
        }
    }
}

/// The name of a volume to nodes.
fn unique_name(volume: &Object) -> Option<String> {
    volume.view::<VolumeView>().csi.as_ref().map(|(driver, handle)| format!("kubernetes.io/csi/{driver}^{handle}"))
}

/// Says in a node's status what is attached to it.
fn report(cx: &mut Context<'_>, node: &Object, attached: &[Arc<Object>]) -> Result<()> {
    let names = attached.iter().filter(|attachment| attachment.view::<AttachmentView>().attached).filter_map(|attachment| {
        let volume = cx.get(&Key::new(&volumes().group_resource(), "", &attachment.view::<AttachmentView>().volume))?;
        Some(json!({"name": unique_name(&volume)?, "devicePath": ""}))
    });
    let list: Vec<Value> = names.collect();
    if list_at(&node.value(), &["status", "volumesAttached"]) == list.as_slice() {
        return Ok(());
    }
    let list = if list.is_empty() { Value::Null } else { list.into() };
    let patch = json!({"status": {"volumesAttached": list}});
    cx.client().patch(&gvr("", "v1", "nodes"), "", &node.key.name, "status", PatchKind::Merge, patch).map(drop)
}
