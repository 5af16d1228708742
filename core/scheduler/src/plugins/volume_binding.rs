//! VolumeBinding, as far as claims are there already: a pod waits for the claims it names, and goes where the volumes that
//! they are bound to can be reached. It binds nothing.

use object::GroupResource;
use object::Value;
use object::scheduling::{MatchNode, NodeSelector};
use object::value::{at, str_at};
use serde::Deserialize;
use store::{Key, Store, View};

use super::{Plugin, Rejection};
use crate::node_info::NodeInfo;
use crate::pod_info::Template;

/// What a claim says.
struct Claim {
    lost: bool,
    volume: String,
}

impl View for Claim {
    fn of(object: &Value) -> Self {
        let volume = str_at(object, &["spec", "volumeName"]).to_owned();
        Claim { lost: str_at(object, &["status", "phase"]) == "Lost", volume }
    }
}

/// From which nodes a volume can be reached.
struct Reach(Option<NodeSelector>);

impl View for Reach {
    fn of(object: &Value) -> Self {
        let required = at(object, &["spec", "nodeAffinity", "required"]);
        Reach(required.and_then(|required| NodeSelector::deserialize(required).ok()))
    }
}

/// The volumes of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    reach: Vec<NodeSelector>,
    missing: bool,
}

impl Volumes {
    /// Looks the pod's claims up; an error is why no node will do.
    pub fn of(pod: &Template, store: &Store) -> Result<Self, String> {
        let mut found = Volumes::default();
        let (claims, volumes) = (GroupResource::new("", "persistentvolumeclaims"), GroupResource::new("", "persistentvolumes"));
        for (name, ephemeral) in &pod.claims {
            let Some(object) = store.get(&Key::new(&claims, &pod.namespace, name)) else {
                return Err(if *ephemeral {
                    format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
                } else {
                    format!("persistentvolumeclaim {name:?} not found")
                });
            };
            let claim = object.view::<Claim>();
            if claim.lost {
                let volume = &claim.volume;
                return Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
            }
            if object.meta.deletion_timestamp.is_some() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if claim.volume.is_empty() {
                continue;
            }
            match store.get(&Key::new(&volumes, "", &claim.volume)) {
                Some(volume) => found.reach.extend(volume.view::<Reach>().0.clone()),
                None => found.missing = true,
            }
        }
        Ok(found)
    }

    pub(super) fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        if self.missing {
            let reason = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
            return Err(Rejection::unresolvable(Plugin::VolumeBinding, reason));
        }
        if self.reach.iter().any(|selector| !selector.matches(node.fields())) {
            let reason = "node(s) didn't match PersistentVolume's node affinity";
            return Err(Rejection::unresolvable(Plugin::VolumeBinding, reason));
        }
        Ok(())
    }
}
