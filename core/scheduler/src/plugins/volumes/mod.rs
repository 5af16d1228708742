//! The volumes of one pod, and the four plugins that look at them. What a pod's claims are bound to, or could be, is looked up
//! once; the plugins then ask for each node.

mod binding;
mod limits;
mod restrictions;
mod views;
mod zone;

use std::sync::Arc;

use object::order::Order as _;
use object::scheduling::MatchNode as _;
use object::{GroupResource, Quantity};
use store::{Key, Object, Store};

use super::Plugin;
use crate::pod_info::PodInfo;
use views::{Claim, Class, Volume};

pub(crate) use binding::Decision;
pub(super) use restrictions::freed;
pub(crate) use views::claim_is_bound;

/// The volumes of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    /// The volumes that its claims are bound to.
    bound: Vec<Arc<Object>>,
    /// A claim is bound to a volume that is not there.
    missing: bool,
    /// Claims that are bound when their first user has a node.
    delayed: Vec<Delayed>,
    /// Claims that only one pod may use.
    exclusive: Vec<String>,
    /// What it adds to a node's volumes: driver and volume.
    attached: Vec<(String, String)>,
}

/// A claim that waits for its first user, and what could serve it.
#[derive(Clone, Debug)]
struct Delayed {
    claim: Arc<Object>,
    /// Free volumes that fit it wherever they can be reached, the best first.
    candidates: Vec<Arc<Object>>,
    /// Its class, if volumes can be made.
    class: Option<Arc<Object>>,
    /// Free storage by topology, where the driver publishes it.
    capacities: Option<Vec<Arc<Object>>>,
}

fn core(resource: &'static str) -> GroupResource {
    GroupResource::literal("", resource)
}

fn storage(resource: &'static str) -> GroupResource {
    GroupResource::literal("storage.k8s.io", resource)
}

impl Volumes {
    /// Looks the pod's claims up; an error is why no node will do.
    pub fn of(pod: &PodInfo, store: &Store) -> Result<Self, (Plugin, String)> {
        let mut found = Volumes::default();
        let mut immediate = false;
        for (name, ephemeral) in &pod.claims {
            let Some(object) = store.get(&Key::new(&core("persistentvolumeclaims"), &pod.namespace, name)) else {
                let why = if *ephemeral {
                    format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
                } else {
                    format!("persistentvolumeclaim {name:?} not found")
                };
                return Err((Plugin::VolumeBinding, why));
            };
            let claim = object.view::<Claim>();
            if claim.lost {
                let volume = &claim.volume;
                let why = format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}");
                return Err((Plugin::VolumeBinding, why));
            }
            if object.meta.deletion_timestamp.is_some() {
                return Err((Plugin::VolumeBinding, format!("persistentvolumeclaim {name:?} is being deleted")));
            }
            if claim.access.iter().any(|mode| mode == "ReadWriteOncePod") {
                found.exclusive.push(name.clone());
            }
            found.attached.extend(limits::attachment(object, store));
            if claim.is_bound() {
                match store.get(&Key::new(&core("persistentvolumes"), "", &claim.volume)) {
                    Some(volume) => found.bound.push(volume.clone()),
                    None => found.missing = true,
                }
            } else if claim.volume.is_empty() && class_of(claim, store).is_some_and(|class| class.view::<Class>().waits) {
                found.delayed.push(Delayed::of(object, store));
            } else {
                immediate = true;
            }
        }
        if immediate {
            return Err((Plugin::VolumeBinding, "pod has unbound immediate PersistentVolumeClaims".to_owned()));
        }
        // Small claims first, so that large volumes are left for large claims.
        found.delayed.order_by(|a, b| a.wanted().value().cmp(&b.wanted().value()));
        found.attached.extend(pod.inline_drivers.iter().zip(0..).map(|(driver, i)| (driver.clone(), format!("{}/{i}", pod.uid))));
        Ok(found)
    }
}

fn class_of<'a>(claim: &Claim, store: &'a Store) -> Option<&'a Arc<Object>> {
    store.get(&Key::new(&storage("storageclasses"), "", &claim.class))
}

impl Delayed {
    fn of(claim: &Arc<Object>, store: &Store) -> Self {
        let view = claim.view::<Claim>();
        let fits = |volume: &&Arc<Object>| {
            volume.meta.deletion_timestamp.is_none() && volume.view::<Volume>().fits(view, claim, &volume.meta.labels)
        };
        let mut candidates: Vec<Arc<Object>> = store.list(&core("persistentvolumes"), None).filter(fits).cloned().collect();
        // One that is kept for this claim goes before all others, then the smallest.
        fn rank(volume: &Object) -> (bool, i64, &str) {
            let view = volume.view::<Volume>();
            (view.claim.is_none(), view.capacity.value(), &volume.key.name)
        }
        candidates.order_by(|a, b| rank(a).cmp(&rank(b)));
        let class = class_of(view, store).filter(|class| class.view::<Class>().provisions()).cloned();
        let publishes = |class: &Arc<Object>| {
            let driver = store.get(&Key::new(&storage("csidrivers"), "", &class.view::<Class>().provisioner));
            driver.is_some_and(|driver| views::publishes_capacity(driver))
        };
        let of_class = |class: &Arc<Object>| -> Vec<Arc<Object>> {
            let resource = storage("csistoragecapacities");
            let all = store.list(&resource, None);
            all.filter(|capacity| capacity.view::<views::Capacity>().class == *class.key.name).cloned().collect()
        };
        let capacities = class.as_ref().filter(|class| publishes(class)).map(of_class);
        Delayed { claim: claim.clone(), candidates, class, capacities }
    }

    fn wanted(&self) -> Quantity {
        self.claim.view::<Claim>().wanted
    }
}

fn reaches(volume: &Object, node: &crate::node_info::NodeInfo) -> bool {
    volume.view::<Volume>().reach.as_ref().is_none_or(|reach| reach.matches(node.fields()))
}
