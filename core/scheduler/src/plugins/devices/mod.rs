//! DynamicResources: pods that ask for devices by claims go where these devices are. Devices are chosen with the node and written
//! into the claim before the pod is bound.
//!
//! Covered: requests with `exactly` (counts and all) and `firstAvailable`, selectors of requests and classes, constraints on equal
//! and different attributes, admin access, claims that several pods share. Not covered: partitionable devices, device taints,
//! shared capacity.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/>

mod allocate;
mod inventory;
mod views;

use std::sync::Arc;

use object::scheduling::MatchNode as _;
use object::value::at;
use object::{GroupResource, Value};
use store::{Key, Object, Store};

use super::{Plugin, Rejection};
use crate::node_info::NodeInfo;
use crate::pod_info::{PodInfo, Template};
use allocate::Allocator;
use inventory::Inventory;
use views::ClaimView;

/// So many pods can use a claim.
const MAX_USERS: usize = 256;

fn group(resource: &'static str) -> GroupResource {
    GroupResource::literal("resource.k8s.io", resource)
}

/// The claims of one pod, and the devices that could serve them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Devices {
    /// Claims that have their devices.
    allocated: Vec<Arc<Object>>,
    /// Those that have not.
    open: Vec<Arc<Object>>,
    allocator: Option<Arc<Allocator>>,
}

/// What is to be written into a claim before the pod is bound.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The claim.
    pub claim: Arc<Object>,
    /// Its `status.allocation`, if it has none yet.
    pub allocation: Option<Value>,
}

/// Why a pod's claims keep it from every node.
pub(crate) enum Obstacle {
    /// The claims are still to be made: nothing is said of it.
    Waits(String),
    /// In these words.
    Said(String),
}

/// The names of the claims of a pod: an entry without a claim of its own name gets one made.
fn claim_names(pod: &Template) -> Result<Vec<&str>, Obstacle> {
    let mut names = Vec::new();
    for entry in &pod.devices {
        match (&entry.claim, &entry.made) {
            (Some(name), _) => names.push(name.as_str()),
            // Said to need none.
            (None, Some(made)) if made.is_empty() => {}
            (None, Some(made)) => names.push(made.as_str()),
            (None, None) => {
                let why = format!("waiting for dynamic resource controller to create the resourceclaim {:?}", entry.name);
                return Err(Obstacle::Waits(why));
            }
        }
    }
    Ok(names)
}

impl Devices {
    /// Looks the pod's claims and the devices up.
    pub fn of(pod: &PodInfo, store: &Store) -> Result<Self, Obstacle> {
        let mut found = Devices::default();
        for name in claim_names(pod)? {
            let Some(claim) = store.get(&Key::new(&group("resourceclaims"), &pod.namespace, name)) else {
                return Err(Obstacle::Waits(format!("resourceclaim {name:?} not found")));
            };
            if claim.meta.deletion_timestamp.is_some() {
                return Err(Obstacle::Waits(format!("resourceclaim {name:?} is being deleted")));
            }
            let view = claim.view::<ClaimView>();
            if view.allocation.is_none() {
                found.open.push(claim.clone());
                continue;
            }
            let mine = view.users.iter().any(|user| *user == *pod.uid);
            if !mine && view.users.len() >= MAX_USERS {
                return Err(Obstacle::Said("resourceclaim in use".to_owned()));
            }
            found.allocated.push(claim.clone());
        }
        if !found.open.is_empty() {
            let inventory = Inventory::of(store);
            let allocator = Allocator::of(&found.open, inventory, store).map_err(Obstacle::Said)?;
            found.allocator = Some(Arc::new(allocator));
        }
        Ok(found)
    }

    /// Rules out nodes where the devices are not.
    pub fn filter(&self, node: &NodeInfo) -> Result<(), Rejection> {
        for claim in &self.allocated {
            let reach = claim.view::<ClaimView>().reach.as_ref();
            if reach.is_some_and(|reach| !reach.matches(node.fields())) {
                return Err(Rejection::unresolvable(Plugin::DynamicResources, "resourceclaim not available on the node"));
            }
        }
        match &self.allocator {
            Some(allocator) if allocator.allocate(node).is_none() => {
                Err(Rejection::new(Plugin::DynamicResources, "cannot allocate all claims"))
            }
            _ => Ok(()),
        }
    }

    /// What has to be written for a node that passed.
    pub fn grants(&self, node: &NodeInfo) -> Vec<Grant> {
        let has = |claim: &Arc<Object>| Grant { claim: claim.clone(), allocation: None };
        let mut grants: Vec<Grant> = self.allocated.iter().map(has).collect();
        let made = self.allocator.as_ref().and_then(|allocator| allocator.allocate(node)).unwrap_or_default();
        for (claim, allocation) in self.open.iter().zip(made) {
            grants.push(Grant { claim: claim.clone(), allocation: Some(allocation) });
        }
        grants
    }
}

/// Whether a claim is reserved for a pod already.
pub(crate) fn is_reserved(claim: &Object, uid: &str) -> bool {
    claim.view::<ClaimView>().users.iter().any(|user| user == uid)
}

/// `spec.devices` of a claim, or of a request's part.
fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}
