//! Node IPAM: every node gets its part of the cluster's pod addresses, one after another.
//!
//! <https://kubernetes.io/docs/concepts/cluster-administration/networking/>

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use apiserver::{PatchKind, UserInfo, gvr};
use object::events::EventType;
use object::{Result, json};
use store::{Event, Key, Store};

use super::{NodeView, nodes};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Length of a node's part.
const NODE_BITS: u32 = 24;

/// Gives every node its part.
pub struct NodeIpamController {
    parts: Parts,
    held: BTreeMap<String, u32>,
    /// Nodes that found nothing free.
    waiting: BTreeSet<String>,
}

impl NodeIpamController {
    /// A controller that gives out parts of this range.
    pub fn new(cidr: &str) -> Self {
        NodeIpamController { parts: Parts::new(cidr), held: BTreeMap::new(), waiting: BTreeSet::new() }
    }
}

impl Controller for NodeIpamController {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    /// It has no role of its own: it works with that of the node controller, as on Kubernetes.
    fn user(&self) -> UserInfo {
        UserInfo::service_account("kube-system", "node-controller")
    }

    fn source(&self) -> &'static str {
        "cidrAllocator"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource != nodes() {
            return;
        }
        let Some(node) = &event.new else {
            self.waiting.remove(&*key.name);
            if let Some(part) = self.held.remove(&*key.name) {
                self.parts.used.remove(&part);
                // Somebody may have waited for it.
                self.waiting.iter().for_each(|name| queue.add(Key::new(&nodes(), "", name)));
            }
            return;
        };
        let cidr = &node.view::<NodeView>().cidr;
        if let Some(part) = self.parts.number(cidr) {
            self.parts.used.insert(part);
            self.held.insert(key.name.to_string(), part);
        } else if cidr.is_empty() {
            queue.add(key.clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(node) = cx.get(key) else { return Ok(()) };
        if !cx.settings.allocate_node_cidrs || !node.view::<NodeView>().cidr.is_empty() {
            return Ok(());
        }
        let Some(part) = self.parts.next_free() else {
            let message = format!("Node {} status is now: CIDRNotAvailable", key.name);
            cx.event(&node.value(), EventType::Normal, "CIDRNotAvailable", &message);
            self.waiting.insert(key.name.to_string());
            return Ok(());
        };
        let cidr = self.parts.text(part);
        let patch = json!({"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}});
        cx.client().patch(&gvr("", "v1", "nodes"), "", &key.name, "", PatchKind::Strategic, patch)?;
        self.waiting.remove(&*key.name);
        self.held.insert(key.name.to_string(), part);
        self.parts.used.insert(part);
        self.parts.next = part + 1;
        Ok(())
    }
}

/// The parts of an IPv4 range.
#[derive(Debug)]
struct Parts {
    base: u32,
    count: u32,
    used: BTreeSet<u32>,
    /// Where the search for the next free one begins: what was given back rests for a while.
    next: u32,
}

impl Parts {
    fn new(cidr: &str) -> Self {
        let (address, bits) = cidr.split_once('/').unwrap_or((cidr, "32"));
        let bits: u32 = bits.parse().unwrap_or(32);
        let base = address.parse::<Ipv4Addr>().map_or(0, Ipv4Addr::to_bits);
        let count = if bits <= NODE_BITS { 1 << (NODE_BITS - bits).min(20) } else { 0 };
        Parts { base, count, used: BTreeSet::new(), next: 0 }
    }

    fn next_free(&self) -> Option<u32> {
        if self.used.len() as u64 >= u64::from(self.count) {
            return None;
        }
        (self.next..self.count).chain(0..self.next.min(self.count)).find(|part| !self.used.contains(part))
    }

    fn text(&self, part: u32) -> String {
        format!("{}/{NODE_BITS}", Ipv4Addr::from_bits(self.base.wrapping_add(part << (32 - NODE_BITS))))
    }

    fn number(&self, cidr: &str) -> Option<u32> {
        let (address, _) = cidr.split_once('/')?;
        let offset = address.parse::<Ipv4Addr>().ok()?.to_bits().checked_sub(self.base)?;
        Some(offset >> (32 - NODE_BITS)).filter(|part| *part < self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_given_out_in_order_and_rest_when_given_back() {
        let mut parts = Parts::new("10.244.0.0/22");
        let mut given = Vec::new();
        while let Some(part) = parts.next_free() {
            parts.used.insert(part);
            parts.next = part + 1;
            given.push(parts.text(part));
            if part == 2 {
                parts.used.remove(&0);
            }
        }
        assert_eq!(given, ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24", "10.244.0.0/24"]);
        assert_eq!((parts.number("10.244.3.0/24"), parts.number("10.245.0.0/24"), parts.number("")), (Some(3), None, None));
        assert_eq!(Parts::new("10.244.0.0/30").next_free(), None);
    }
}
