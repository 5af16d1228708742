//! Ranges of Services' addresses: each is ready once it is seen, and stays until none of its addresses needs it any more.
//!
//! <https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/>

use std::sync::Arc;

use std::net::IpAddr;

use apiserver::{PatchKind, gvr};
use object::value::{list_at, set, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const GROUP: &str = "networking.k8s.io";

fn cidrs() -> GroupResource {
    GroupResource::literal(GROUP, "servicecidrs")
}

fn addresses() -> GroupResource {
    GroupResource::literal(GROUP, "ipaddresses")
}

/// Address and length of a range.
fn range(cidr: &str) -> Option<(IpAddr, u32)> {
    let (base, bits) = cidr.split_once('/')?;
    Some((base.parse().ok()?, bits.parse().ok()?))
}

/// Whether the first `bits` bits of both addresses, of one family, are equal.
fn same_prefix(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    let differ = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= bits
}

fn contains((base, bits): (IpAddr, u32), address: IpAddr) -> bool {
    same_prefix(base, address, bits)
}

/// Whether all of `inner` is in `outer`.
fn covers(outer: (IpAddr, u32), inner: (IpAddr, u32)) -> bool {
    outer.1 <= inner.1 && contains(outer, inner.0)
}

fn ranges(object: &Value) -> Vec<(IpAddr, u32)> {
    list_at(object, &["spec", "cidrs"]).iter().filter_map(Value::as_str).filter_map(range).collect()
}

/// Looks after ServiceCIDRs.
pub struct ServiceCidrController;

impl Controller for ServiceCidrController {
    fn name(&self) -> &'static str {
        "service-cidrs-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let (key, cidrs) = (event.key(), cidrs());
        if key.resource == cidrs {
            queue.add(key.clone());
        } else if key.resource != addresses() || event.new.is_some() {
            return;
        }
        // Another range may take over the addresses of one that is to go, or its last address is gone.
        let waiting = store.list(&cidrs, None).filter(|other| other.meta.deletion_timestamp.is_some());
        waiting.for_each(|other| queue.add(other.key.clone()));
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        let mut object = stored.value();
        let finalizers = list_at(&object, &["metadata", "finalizers"]).to_vec();
        let held = finalizers.iter().any(|finalizer| finalizer == FINALIZER);
        if stored.meta.deletion_timestamp.is_none() {
            if !held {
                let finalizers: Vec<Value> = finalizers.into_iter().chain([json!(FINALIZER)]).collect();
                set(&mut object, &["metadata", "finalizers"], finalizers);
                object = Arc::unwrap_or_clone(cx.client().update(&gvr(GROUP, "v1", "servicecidrs"), "", &key.name, object)?);
            }
            return say(cx, key, &object, ("True", "", "Kubernetes Service CIDR is ready"));
        }
        if !held {
            return Ok(());
        }
        if needed(cx.store(), key, &ranges(&object)) {
            let why = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
            return say(cx, key, &object, ("False", "Terminating", why));
        }
        let rest: Vec<Value> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
        set(&mut object, &["metadata", "finalizers"], rest);
        cx.client().update(&gvr(GROUP, "v1", "servicecidrs"), "", &key.name, object).map(drop)
    }
}

/// Whether an address is in one of these ranges and in none of another ServiceCIDR that stays.
fn needed(store: &Store, key: &Key, mine: &[(IpAddr, u32)]) -> bool {
    let (cidrs, addresses) = (cidrs(), addresses());
    let others = store.list(&cidrs, None).filter(|other| other.key != *key && other.meta.deletion_timestamp.is_none());
    let others: Vec<(IpAddr, u32)> = others.flat_map(|other| ranges(&other.value())).collect();
    let alone: Vec<_> = mine.iter().filter(|range| !others.iter().any(|other| covers(*other, **range))).collect();
    if alone.is_empty() {
        return false;
    }
    let mut taken = store.list(&addresses, None).filter_map(|address| address.key.name.parse::<IpAddr>().ok());
    taken.any(|address| {
        alone.iter().any(|range| contains(**range, address)) && !others.iter().any(|other| contains(*other, address))
    })
}

/// Says whether the range is ready, if it has not been said already.
fn say(cx: &mut Context<'_>, key: &Key, object: &Value, (status, reason, message): (&str, &str, &str)) -> Result<()> {
    let conditions = list_at(object, &["status", "conditions"]);
    if conditions.iter().any(|c| str_at(c, &["type"]) == "Ready" && str_at(c, &["status"]) == status) {
        return Ok(());
    }
    let condition = json!({"type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": cx.now.rfc3339()});
    let patch = json!({"status": {"conditions": [condition]}});
    let resource = gvr(GROUP, "v1", "servicecidrs");
    cx.client().patch(&resource, "", &key.name, "status", PatchKind::Strategic, patch).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_ranges() {
        for (outer, inner, expect) in [
            ("10.96.0.0/12", "10.96.0.0/16", true),
            ("10.96.0.0/16", "10.96.0.0/12", false),
            ("10.96.0.0/16", "10.97.0.0/24", false),
            ("fd00::/64", "fd00::/112", true),
            ("0.0.0.0/0", "10.0.0.0/8", true),
            ("::/0", "10.0.0.0/8", false),
        ] {
            assert_eq!(covers(range(outer).unwrap(), range(inner).unwrap()), expect, "{inner} in {outer}");
        }
    }
}
