//! The plugins: each rules nodes out (Filter), ranks them (Score), or both. One module per plugin, under Kubernetes' name.

mod devices;
mod hints;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources;
mod node_unschedulable;
mod pod_topology_spread;
mod scores;
mod taint_toleration;
#[cfg(test)]
mod tests;
mod volumes;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use store::Store;

use crate::cache::Cache;
use crate::config::Profile;
use crate::node_info::{NodeInfo, ResourceId, Resources};
use crate::pod_info::{PodInfo, SpreadConstraint, Template};

pub(crate) use devices::{Grant, is_reserved};
pub(crate) use hints::Change;
pub(crate) use node_ports::conflict as ports_conflict;
use scores::MAX_SCORE;

use devices::{Devices, Obstacle};
use inter_pod_affinity::Neighbours;
use pod_topology_spread::Spread;
use volumes::Volumes;
pub(crate) use volumes::{Decision, claim_is_bound};

/// A filter plugin, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plugin {
    /// Cordoned nodes.
    NodeUnschedulable,
    /// The node by its name.
    NodeName,
    /// Taints.
    TaintToleration,
    /// Node selector and affinity.
    NodeAffinity,
    /// Ports of the node.
    NodePorts,
    /// Resources.
    NodeResourcesFit,
    /// Disks and claims that only one may use.
    VolumeRestrictions,
    /// How many volumes a node can have.
    NodeVolumeLimits,
    /// Claims and the reach of volumes.
    VolumeBinding,
    /// Zones of volumes.
    VolumeZone,
    /// Even spreading.
    PodTopologySpread,
    /// Pods near which to be, or not.
    InterPodAffinity,
    /// Devices.
    DynamicResources,
}

impl Plugin {
    /// All of them, in order.
    pub const ALL: [Plugin; 13] = [
        Plugin::NodeUnschedulable,
        Plugin::NodeName,
        Plugin::TaintToleration,
        Plugin::NodeAffinity,
        Plugin::NodePorts,
        Plugin::NodeResourcesFit,
        Plugin::VolumeRestrictions,
        Plugin::NodeVolumeLimits,
        Plugin::VolumeBinding,
        Plugin::VolumeZone,
        Plugin::PodTopologySpread,
        Plugin::InterPodAffinity,
        Plugin::DynamicResources,
    ];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Plugin::NodeUnschedulable => "NodeUnschedulable",
            Plugin::NodeName => "NodeName",
            Plugin::TaintToleration => "TaintToleration",
            Plugin::NodeAffinity => "NodeAffinity",
            Plugin::NodePorts => "NodePorts",
            Plugin::NodeResourcesFit => "NodeResourcesFit",
            Plugin::VolumeRestrictions => "VolumeRestrictions",
            Plugin::NodeVolumeLimits => "NodeVolumeLimits",
            Plugin::VolumeBinding => "VolumeBinding",
            Plugin::VolumeZone => "VolumeZone",
            Plugin::PodTopologySpread => "PodTopologySpread",
            Plugin::InterPodAffinity => "InterPodAffinity",
            Plugin::DynamicResources => "DynamicResources",
        }
    }
}

/// Why a node is ruled out. Making one costs nothing: most are never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// In these words.
    Fixed(&'static str),
    /// Resources that are short, as bits by number; the highest bit stands for too many pods.
    Resources(u64),
    /// In words that were made for it.
    Said(Arc<str>),
}

/// A node is ruled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// By which plugin.
    pub plugin: Plugin,
    /// Why.
    pub reason: Reason,
    /// Whether the departure of pods could change it.
    pub resolvable: bool,
}

impl Rejection {
    fn new(plugin: Plugin, reason: &'static str) -> Self {
        Rejection { plugin, reason: Reason::Fixed(reason), resolvable: true }
    }

    fn unresolvable(plugin: Plugin, reason: &'static str) -> Self {
        Rejection { resolvable: false, ..Rejection::new(plugin, reason) }
    }

    /// In Kubernetes' words; the resources plugin may have several.
    pub fn reasons(&self, resources: &Resources) -> Vec<String> {
        match &self.reason {
            Reason::Fixed(reason) => vec![(*reason).to_owned()],
            Reason::Resources(short) => node_resources::reasons(*short, resources),
            Reason::Said(said) => vec![said.to_string()],
        }
    }
}

/// What preemption says of a node with nobody to push off.
pub(crate) fn no_victims() -> Rejection {
    Rejection::unresolvable(Plugin::NodeResourcesFit, "No preemption victims found for incoming pod")
}

/// Why no node fits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Each node, by slot, and what rules it out.
    pub rejections: Vec<(u32, Rejection)>,
    /// What rules all of them out, whichever they are.
    pub whole: Option<String>,
}

/// How many of [`Plugin::ALL`] look at nothing but the pod's template and the Node object.
const FIXED: usize = 4;

/// What is computed once for the pods of a template, and holds until a tally comes or goes.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub profile: Arc<Profile>,
    /// What the pod asks for, by resource.
    requests: Vec<(ResourceId, i64)>,
    /// That of it which the filter looks at.
    asked: Vec<(ResourceId, i64)>,
    /// Resources by which nodes are ranked, with weights.
    ranked: Vec<(ResourceId, i64)>,
    balanced: Vec<(ResourceId, i64)>,
    neighbours: Neighbours,
    spread: Spread,
    named: Option<BTreeSet<String>>,
    /// Which of the plugins after the first [`FIXED`] can rule anything out for such a pod.
    active: Vec<Plugin>,
    /// What the first [`FIXED`] plugins say of each node, by slot: the version of the node, and 1 + what rules it out.
    known: Vec<Cell<(u32, u8)>>,
}

/// The constraints of pods that state none, and whether the system made them up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    /// The constraints.
    pub spread: Vec<SpreadConstraint>,
    /// Nobody configured them.
    pub system: bool,
}

impl Prepared {
    /// Finds the tallies that speak of the pod, or has them counted.
    pub fn of(pod: &PodInfo, cache: &mut Cache, profile: &Arc<Profile>, defaults: &Defaults) -> Self {
        let neighbours = Neighbours::of(pod, cache, profile);
        let spread = Spread::of(pod, &defaults.spread, defaults.system, cache);
        let requests = cache.tallies.get_class(pod.class).map(|class| class.requests.clone()).unwrap_or_default();
        let mut numbered =
            |list: &[(String, i64)]| list.iter().map(|(name, weight)| (cache.resources.id(name), *weight)).collect::<Vec<_>>();
        let concerns = |plugin: &Plugin| match plugin {
            Plugin::NodePorts => !pod.host_ports.is_empty(),
            Plugin::VolumeRestrictions | Plugin::NodeVolumeLimits | Plugin::VolumeBinding | Plugin::VolumeZone => {
                pod.has_volumes()
            }
            Plugin::PodTopologySpread => spread.rules_out(),
            Plugin::InterPodAffinity => neighbours.rule_out(),
            Plugin::DynamicResources => !pod.devices.is_empty(),
            _ => true,
        };
        let filters = |plugin: &Plugin| profile.filters(*plugin) && concerns(plugin);
        Prepared {
            active: Plugin::ALL.iter().skip(FIXED).copied().filter(filters).collect(),
            ranked: numbered(&profile.scoring.resources),
            balanced: numbered(&profile.balanced),
            asked: node_resources::asked(&requests, profile, &cache.resources),
            requests,
            neighbours,
            spread,
            named: node_affinity::named(pod),
            profile: profile.clone(),
            known: vec![Cell::new((u32::MAX, 0)); cache.slots().len()],
        }
    }

    /// Whether it knows all the nodes.
    pub fn is_for(&self, cache: &Cache) -> bool {
        self.known.len() == cache.slots().len()
    }

    /// What rules out every node, whichever it is.
    pub fn contradiction(&self) -> Option<Refused> {
        let none = self.named.as_ref().is_some_and(BTreeSet::is_empty);
        none.then(|| Refused::new(Plugin::NodeAffinity, "pod affinity terms conflict".to_owned()))
    }
}

/// Every node is ruled out, whichever it is.
#[derive(Debug)]
pub(crate) struct Refused {
    /// By which plugin.
    pub plugin: Plugin,
    /// Why.
    pub why: String,
    /// What the pod needs is still to be made: it is held back before any attempt, and nothing is said.
    pub silent: bool,
}

impl Refused {
    fn new(plugin: Plugin, why: String) -> Self {
        Refused { plugin, why, silent: false }
    }
}

/// What one pod needs looked up besides: its volumes and devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attached {
    volumes: Volumes,
    devices: Devices,
}

impl Attached {
    /// Looks them up; an error is what rules out every node.
    pub fn of(pod: &PodInfo, profile: &Profile, store: &Store) -> Result<Self, Refused> {
        let mut attached = Attached::default();
        if profile.filters(Plugin::VolumeBinding) && pod.has_volumes() {
            attached.volumes = Volumes::of(pod, store).map_err(|(plugin, why)| Refused::new(plugin, why))?;
        }
        if profile.filters(Plugin::DynamicResources) && !pod.devices.is_empty() {
            attached.devices = Devices::of(pod, store).map_err(|obstacle| match obstacle {
                Obstacle::Waits(why) => Refused { plugin: Plugin::DynamicResources, why, silent: true },
                Obstacle::Said(why) => Refused::new(Plugin::DynamicResources, why),
            })?;
        }
        Ok(attached)
    }

    /// What has to be done for the pod's volumes before it is bound to this node.
    pub fn decision(&self, node: &NodeInfo) -> Decision {
        self.volumes.decide(node).unwrap_or_default()
    }

    /// What has to be written into the pod's claims on devices before it is bound to this node.
    pub fn grants(&self, node: &NodeInfo) -> Vec<Grant> {
        self.devices.grants(node)
    }
}

/// A pod, and all that is needed to say where it fits.
#[derive(Clone, Copy)]
pub(crate) struct Trial<'a> {
    pub pod: &'a PodInfo,
    pub prepared: &'a Prepared,
    pub attached: &'a Attached,
    pub cache: &'a Cache,
    pub store: &'a Store,
}

impl Trial<'_> {
    /// What one plugin says of a node.
    pub fn run(&self, plugin: Plugin, node: &NodeInfo) -> Result<(), Rejection> {
        let Prepared { profile, .. } = self.prepared;
        if !profile.filters(plugin) {
            return Ok(());
        }
        let pod: &Template = self.pod;
        match plugin {
            Plugin::NodeUnschedulable => node_unschedulable::filter(pod, node),
            Plugin::NodeName => node_name::filter(&self.pod.node_name, node),
            Plugin::TaintToleration => taint_toleration::filter(pod, node),
            Plugin::NodeAffinity => node_affinity::filter(pod, node, profile),
            Plugin::NodePorts => node_ports::filter(pod, node),
            Plugin::NodeResourcesFit => node_resources::filter(&self.prepared.asked, node),
            Plugin::VolumeRestrictions => self.attached.volumes.filter_restrictions(pod, node, self.cache),
            Plugin::NodeVolumeLimits => self.attached.volumes.filter_limits(node, self.store),
            Plugin::VolumeBinding => self.attached.volumes.decide(node).map(drop),
            Plugin::VolumeZone => self.attached.volumes.filter_zone(node),
            Plugin::PodTopologySpread => self.prepared.spread.filter(self.cache, node),
            Plugin::InterPodAffinity => self.prepared.neighbours.filter(self.cache, node),
            Plugin::DynamicResources => self.attached.devices.filter(node),
        }
    }

    /// Whether the pod can run on the node; if not, the first reason.
    pub fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        self.fixed(node)?;
        self.prepared.active.iter().try_for_each(|plugin| self.run(*plugin, node))
    }

    /// What nothing but a change of the Node object can alter, remembered per node.
    fn fixed(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let known = self.prepared.known.get(node.slot as usize);
        if known.is_some_and(|known| known.get() == (node.version, 1)) {
            return Ok(());
        }
        self.absent(node)?;
        Plugin::ALL.iter().take(FIXED).try_for_each(|plugin| self.run(*plugin, node))?;
        if let Some(known) = known {
            known.set((node.version, 1));
        }
        Ok(())
    }

    /// Whether the pod's own words leave the node out before any plugin looks at it.
    pub fn absent(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let left_out = self.prepared.named.as_ref().is_some_and(|names| !names.contains(&*node.name));
        if left_out && self.prepared.profile.filters(Plugin::NodeAffinity) {
            return Err(Rejection::unresolvable(Plugin::NodeAffinity, "node(s) didn't satisfy plugin(s) [NodeAffinity]"));
        }
        Ok(())
    }
}

/// Whether the pod can run on the node, also when those come for whom room is being made there and who go before it.
pub(crate) fn filter_with_nominated(
    pod: &PodInfo,
    slot: u32,
    (prepared, attached, store): (&Prepared, &Attached, &Store),
    cache: &mut Cache,
) -> Result<(), Rejection> {
    let Some(node) = cache.at(slot) else { return Err(no_victims()) };
    if cache.has_nominated() {
        let goes_first =
            |other: &Arc<PodInfo>| other.uid != pod.uid && other.priority >= pod.priority && !node.pods.contains_key(&other.uid);
        let expected: Vec<Arc<PodInfo>> =
            cache.nominated(&node.name).map(|(_, other)| other.clone()).filter(goes_first).collect();
        if !expected.is_empty() {
            for other in &expected {
                cache.put(slot, other.clone());
            }
            let trial = Trial { pod, prepared, attached, cache, store };
            let fuller = cache.at(slot).map_or(Ok(()), |node| trial.filter(node));
            for other in &expected {
                cache.take(slot, &other.uid);
            }
            fuller?;
        }
    }
    let trial = Trial { pod, prepared, attached, cache, store };
    cache.at(slot).map_or(Ok(()), |node| trial.filter(node))
}
