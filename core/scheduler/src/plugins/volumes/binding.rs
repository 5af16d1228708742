//! VolumeBinding: a pod goes where the volumes of its claims can be reached, or where volumes can be found or made for claims
//! that wait for their first user.

use std::sync::Arc;

use store::{Key, Object};

use super::views::{Capacity, Claim, Class};
use super::{Delayed, Volumes, reaches};
use crate::node_info::NodeInfo;
use crate::plugins::{Plugin, Rejection};

/// What is to be done about a pod's claims before it can be bound to a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decision {
    /// Claims and the volumes that are given to them.
    pub bind: Vec<(Arc<Object>, Arc<Object>)>,
    /// Claims for which volumes are to be made.
    pub provision: Vec<Key>,
}

impl Decision {
    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }

    /// All the claims it is about.
    pub fn claims(&self) -> impl Iterator<Item = &Key> {
        self.bind.iter().map(|(claim, _)| &claim.key).chain(&self.provision)
    }
}

const NOTHING_TO_BIND: &str = "node(s) didn't find available persistent volumes to bind";

impl Volumes {
    /// What has to be done so that the pod can use its volumes on a node; or why it cannot.
    pub fn decide(&self, node: &NodeInfo) -> Result<Decision, Rejection> {
        let refused = |reason| Rejection::unresolvable(Plugin::VolumeBinding, reason);
        if self.missing {
            return Err(refused("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"));
        }
        if self.bound.iter().any(|volume| !reaches(volume, node)) {
            return Err(refused("node(s) didn't match PersistentVolume's node affinity"));
        }
        let mut decision = Decision::default();
        for delayed in &self.delayed {
            let selected = &delayed.claim.view::<Claim>().selected_node;
            // A volume is being made for it already; nothing else will do.
            if !selected.is_empty() {
                if **selected != *node.name {
                    return Err(refused(NOTHING_TO_BIND));
                }
                decision.provision.push(delayed.claim.key.clone());
                continue;
            }
            let free =
                |volume: &&Arc<Object>| reaches(volume, node) && !decision.bind.iter().any(|(_, taken)| taken.key == volume.key);
            if let Some(volume) = delayed.candidates.iter().find(free) {
                decision.bind.push((delayed.claim.clone(), volume.clone()));
                continue;
            }
            delayed.can_be_made(node).map_err(refused)?;
            decision.provision.push(delayed.claim.key.clone());
        }
        Ok(decision)
    }
}

impl Delayed {
    fn can_be_made(&self, node: &NodeInfo) -> Result<(), &'static str> {
        let allowed = self.class.as_ref().is_some_and(|class| class.view::<Class>().allows(&node.labels));
        if !allowed {
            return Err(NOTHING_TO_BIND);
        }
        let wanted = self.wanted();
        let has = |capacity: &Arc<Object>| capacity.view::<Capacity>().has(wanted, &node.labels);
        match &self.capacities {
            Some(capacities) if !capacities.iter().any(has) => Err("node(s) did not have enough free storage"),
            _ => Ok(()),
        }
    }
}
