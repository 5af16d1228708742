//! Changes of the resources of a pod that runs: whether the node grants them, and what its containers keep until then.
//!
//! A worker never sees resources that were not granted: it goes on with the pod as it was admitted (the kubelet's allocation).

use std::sync::Arc;

use object::Time;
use object::scheduling::ResourceList;

use crate::admission;
use crate::io::Config;
use crate::pod::{Container, Pod, Resources};

/// A change that the node cannot make now: the condition `PodResizePending`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pending {
    /// `Infeasible` or `Deferred`.
    pub reason: &'static str,
    pub message: String,
    /// Since when it is so.
    pub since: Time,
    /// The pod with the change, as the API has it.
    pub wanted: Arc<Pod>,
}

/// Whether a newer version of a pod asks for other resources than it has.
pub(crate) fn is_wanted(has: &Pod, newer: &Pod) -> bool {
    containers(newer).any(|c| granted(has, c).is_some_and(|resources| *resources != c.resources))
}

/// Whether the node has room for the change beside `others`.
pub(crate) fn grant<'a>(
    newer: &Arc<Pod>,
    others: impl Iterator<Item = (&'a Pod, &'a ResourceList)>,
    config: &Config,
    now: Time,
) -> Result<(), Pending> {
    let pending = |reason, message| Pending { reason, message, since: now, wanted: newer.clone() };
    let (wanted, has) = (admission::requests(newer), admission::integers(&config.allocatable));
    let amount = |list: &ResourceList, name: &str| list.get(name).copied().unwrap_or(0);
    if let Some(name) = ["memory", "cpu"].into_iter().find(|name| amount(&wanted, name) > amount(&has, name)) {
        let (requested, capacity) = (amount(&wanted, name), amount(&has, name));
        let message = format!("Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}");
        return Err(pending("Infeasible", message));
    }
    let mut used = ResourceList::new();
    for (_, requests) in others {
        for (name, amount) in requests {
            *used.entry(name.clone()).or_default() += amount;
        }
    }
    for name in ["cpu", "memory"] {
        let (requested, taken, capacity) = (amount(&wanted, name), amount(&used, name), amount(&has, name));
        if requested > 0 && taken.saturating_add(requested) > capacity {
            return Err(pending("Deferred", admission::too_little(name, requested, taken, capacity).message));
        }
    }
    Ok(())
}

/// A newer version of a pod with the resources that it has.
pub(crate) fn without(has: &Pod, newer: &Pod) -> Arc<Pod> {
    let mut pod = newer.clone();
    for container in pod.spec.containers.iter_mut().chain(&mut pod.spec.init_containers) {
        if let Some(resources) = granted(has, container) {
            container.resources = resources.clone();
        }
    }
    Arc::new(pod)
}

/// Whether the container must be started anew for its new resources.
pub(crate) fn restarts(config: &Config, newer: &Container, has: &Resources) -> bool {
    let changed = |name: &str| {
        let of = |r: &Resources| (r.requests.get(name).cloned(), r.limits.get(name).cloned());
        of(has) != of(&newer.resources)
    };
    let asks = |name: &str| newer.resize_policy.iter().any(|p| p.resource_name == name && p.restart_policy == "RestartContainer");
    ["cpu", "memory"].into_iter().any(|name| changed(name) && (asks(name) || !config.resizes_in_place))
}

/// What a container of this name has in `pod`.
pub(crate) fn granted<'a>(pod: &'a Pod, container: &Container) -> Option<&'a Resources> {
    containers(pod).find(|c| c.name == container.name).map(|c| &c.resources)
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.containers.iter().chain(&pod.spec.init_containers)
}
