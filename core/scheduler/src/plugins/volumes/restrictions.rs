//! VolumeRestrictions: disks that only one pod may mount, or only one of those that write, and claims for one pod alone.

use super::Volumes;
use crate::cache::Cache;
use crate::node_info::NodeInfo;
use crate::plugins::{Plugin, Rejection};
use crate::pod_info::Template;

impl Volumes {
    /// Rules out nodes where a disk of the pod's is taken, and all nodes while another pod uses a claim that is for one.
    pub fn filter_restrictions(&self, pod: &Template, node: &NodeInfo, cache: &Cache) -> Result<(), Rejection> {
        if node.with_volumes > 0 && !pod.disks.is_empty() && node.pods.values().any(|other| conflict(pod, other)) {
            return Err(Rejection::new(Plugin::VolumeRestrictions, "node(s) had no available disk"));
        }
        if self.exclusive.iter().any(|claim| cache.claim_users(&pod.namespace, claim) > 0) {
            let reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
            return Err(Rejection::new(Plugin::VolumeRestrictions, reason));
        }
        Ok(())
    }
}

/// Whether two pods cannot mount their disks on one node.
pub(super) fn conflict(pod: &Template, other: &Template) -> bool {
    pod.disks.iter().any(|disk| other.disks.iter().any(|d| d.id == disk.id && !(d.read_only && disk.read_only)))
}

/// Whether the departure of `other` can help.
pub(in crate::plugins) fn freed(pod: &Template, other: &Template) -> bool {
    let shared = pod.namespace == other.namespace && pod.claims.iter().any(|(c, _)| other.claims.iter().any(|(o, _)| o == c));
    shared || conflict(pod, other)
}
