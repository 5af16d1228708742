//! VolumeZone: volumes whose labels name a zone or region are used there.

use store::Object;

use super::Volumes;
use crate::node_info::NodeInfo;
use crate::plugins::{Plugin, Rejection};

/// Labels of volumes and nodes; the older name of each is worth the same.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
];

impl Volumes {
    /// Rules out nodes in other zones. A node that is in no zone is anywhere.
    pub fn filter_zone(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let here = |(name, other): &(&str, &str)| node.labels.get(*name).or_else(|| node.labels.get(*other));
        if self.bound.is_empty() || !LABELS.iter().any(|(name, _)| node.labels.contains_key(*name)) {
            return Ok(());
        }
        let fits = |volume: &Object| {
            LABELS.iter().all(|label| match volume.meta.labels.get(label.0) {
                // A volume in several zones separates them so.
                Some(zones) => here(label).is_some_and(|zone| zones.split("__").any(|one| one == zone)),
                None => true,
            })
        };
        if self.bound.iter().all(|volume| fits(volume)) {
            return Ok(());
        }
        Err(Rejection::unresolvable(Plugin::VolumeZone, "node(s) had no available volume zone"))
    }
}
