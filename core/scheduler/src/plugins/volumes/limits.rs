//! NodeVolumeLimits: how many volumes of a CSI driver can be attached to a node, as its CSINode says.

use std::collections::BTreeSet;
use std::sync::Arc;

use object::Value;
use object::value::{i64_at, list_at, str_at};
use store::{Key, Object, Store, View};

use super::views::{Claim, Class, Volume};
use super::{Volumes, class_of, core, storage};
use crate::node_info::NodeInfo;
use crate::plugins::{Plugin, Rejection};

/// Drivers of a node, each with the number of volumes that it can attach.
struct Limits(Vec<(String, i64)>);

impl View for Limits {
    fn of(object: &Value) -> Self {
        let driver = |d: &Value| Some((str_at(d, &["name"]).to_owned(), i64_at(d, &["allocatable", "count"])?));
        Limits(list_at(object, &["spec", "drivers"]).iter().filter_map(driver).collect())
    }
}

/// What a claim attaches: the driver, and its volume or, as long as it has none, itself.
pub(super) fn attachment(claim: &Arc<Object>, store: &Store) -> Option<(String, String)> {
    let view = claim.view::<Claim>();
    if !view.volume.is_empty() {
        let volume = store.get(&Key::new(&core("persistentvolumes"), "", &view.volume))?;
        return volume.view::<Volume>().csi.clone();
    }
    let class = class_of(view, store)?.view::<Class>();
    class.provisions().then(|| (class.provisioner.clone(), format!("{}/{}", claim.key.namespace, claim.key.name)))
}

impl Volumes {
    /// Rules out nodes that could not attach them all.
    pub fn filter_limits(&self, node: &NodeInfo, store: &Store) -> Result<(), Rejection> {
        if self.attached.is_empty() {
            return Ok(());
        }
        let Some(csi) = store.get(&Key::new(&storage("csinodes"), "", &node.name)) else { return Ok(()) };
        for (driver, limit) in &csi.view::<Limits>().0 {
            if !self.attached.iter().any(|(of, _)| of == driver) {
                continue;
            }
            let mut all: BTreeSet<String> = BTreeSet::new();
            if node.with_volumes > 0 {
                for pod in node.pods.values() {
                    let claims =
                        pod.claims.iter().map(|(name, _)| Key::new(&core("persistentvolumeclaims"), &pod.namespace, name));
                    let of_claims = claims.filter_map(|key| attachment(store.get(&key)?, store));
                    all.extend(of_claims.filter(|(of, _)| of == driver).map(|(_, handle)| handle));
                    let inline = pod.inline_drivers.iter().zip(0..).filter(|(of, _)| *of == driver);
                    all.extend(inline.map(|(_, i)| format!("{}/{i}", pod.uid)));
                }
            }
            let before = all.len();
            all.extend(self.attached.iter().filter(|(of, _)| of == driver).map(|(_, handle)| handle.clone()));
            if all.len() > before && all.len() as i64 > *limit {
                return Err(Rejection::new(Plugin::NodeVolumeLimits, "node(s) exceed max volume count"));
            }
        }
        Ok(())
    }
}
