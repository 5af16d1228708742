//! The smallest changes that would make a pod fit: for each node, what would satisfy the plugins that rule it out; each set of edits
//! is tried against the real filters, and what does not help is not told.
//!
//! Order: fewer edits first; then, edit by edit, what the pod's author can do alone and loses least by (gates, tolerations),
//! labels of a node, uncordoning, requests by the share that has to go, freeing the same, removing pods, relaxing constraints,
//! dropping terms; then the name of the node. Changes of the pod alone that open several nodes are one.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::order::Order as _;
use object::{Value, json};
use store::Store;

use super::Row;
use super::edits::{Edit, Edits, alternatives};
use crate::plugins;
use crate::pod_info::{PodInfo, Template};
use crate::scheduler::Scheduler;

/// Nodes for which changes are tried: those that the fewest plugins rule out.
const MAX_NODES: usize = 64;
/// Changes that are told.
const MAX_CHANGES: usize = 16;
/// So many sets of edits are tried for a node.
const MAX_SETS: usize = 16;
/// With more plugins against it, a node is hopeless.
const MAX_AGAINST: usize = 4;

/// How many edits, which, and on which node if any of them is about one.
type Change = (usize, Vec<Edit>, Arc<str>);

/// The changes that help, as JSON; none where the pod fits somewhere already and nothing holds it back.
pub(super) fn find(scheduler: &mut Scheduler, store: &Store, pod: &Arc<PodInfo>, rows: &[Row]) -> Value {
    let gates = (!pod.gates.is_empty()).then(|| Edit::RemoveGates(pod.gates.clone()));
    if rows.iter().any(Row::fits) {
        let fitting: Vec<&str> = rows.iter().filter(|row| row.fits()).take(MAX_CHANGES).map(|row| &*row.name).collect();
        return gates.map_or(json!([]), |gate| json!([{"edits": [gate.json("")], "nodes": fitting}]));
    }
    let mut hopeful: Vec<(usize, &Row)> =
        rows.iter().map(|row| (row.verdicts.iter().filter(|(_, verdict)| verdict.is_err()).count(), row)).collect();
    hopeful.retain(|(against, _)| *against <= MAX_AGAINST);
    hopeful.order_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    hopeful.truncate(MAX_NODES);
    let mut found: BTreeMap<Change, Vec<Arc<str>>> = BTreeMap::new();
    for (_, row) in hopeful {
        for mut edits in sets(scheduler, pod, row) {
            edits.extend(gates.clone());
            edits.order();
            if fits(scheduler, store, pod, row.slot, &edits) {
                // What concerns the pod alone is the same change on every node.
                let node = if edits.iter().any(Edit::is_of_node) { row.name.clone() } else { "".into() };
                found.entry((edits.len(), edits, node)).or_default().push(row.name.clone());
            }
        }
    }
    let shown = found.into_iter().take(MAX_CHANGES).map(|((_, edits, node), nodes)| {
        let nodes: Vec<&str> = nodes.iter().map(|node| &**node).collect();
        json!({"edits": edits.iter().map(|edit| edit.json(&node)).collect::<Vec<_>>(), "nodes": nodes})
    });
    shown.collect::<Vec<_>>().into()
}

/// Sets of edits that would satisfy all plugins that rule a node out, by their own account.
fn sets(scheduler: &Scheduler, pod: &PodInfo, row: &Row) -> Vec<Edits> {
    let Some(node) = scheduler.cache.at(row.slot) else { return Vec::new() };
    let against = row.verdicts.iter().filter(|(_, verdict)| verdict.is_err()).map(|(plugin, _)| *plugin);
    let each: Option<Vec<Vec<Edits>>> =
        against.map(|plugin| alternatives(plugin, pod, node, &scheduler.cache.resources)).collect();
    let mut sets: Vec<Edits> = vec![Vec::new()];
    for alternatives in each.unwrap_or_default() {
        let with = |set: &Edits| alternatives.iter().map(|more| [set.as_slice(), more].concat()).collect::<Vec<_>>();
        sets = sets.iter().flat_map(with).take(MAX_SETS).collect();
    }
    sets.retain(|set| !set.is_empty());
    sets
}

/// Whether the pod would fit on a node after these edits. Everything is as it was when this is said.
fn fits(scheduler: &mut Scheduler, store: &Store, pod: &Arc<PodInfo>, slot: u32, edits: &[Edit]) -> bool {
    let mut template: Template = (*pod.template).clone();
    let changes_pod = edits.iter().map(|edit| edit.change_pod(&mut template)).fold(false, |any, one| any | one);
    let changed = if changes_pod { scheduler.cache.intern((**pod).clone(), template) } else { pod.clone() };
    let Some(node) = scheduler.cache.at(slot) else { return false };
    let named = |pods: &Vec<String>, other: &Arc<PodInfo>| pods.contains(&format!("{}/{}", other.namespace, other.name));
    let leaves = |other: &&Arc<PodInfo>| edits.iter().any(|e| matches!(e, Edit::Remove(pods) if named(pods, other)));
    let gone: Vec<Arc<PodInfo>> = node.pods.values().filter(leaves).cloned().collect();
    let before = (node.labels.clone(), node.taints.clone(), node.unschedulable, node.allocatable.clone());
    for other in &gone {
        scheduler.cache.take(slot, &other.uid);
    }
    let names = std::mem::take(&mut scheduler.cache.resources);
    scheduler.cache.alter(slot, |node| edits.iter().for_each(|edit| edit.change_node(node, &names)));
    scheduler.cache.resources = names;
    let profile = scheduler.profile(&changed);
    let fits = match scheduler.search.prepare(&changed, &mut scheduler.cache, store, &profile) {
        Ok(ground) => {
            let with = (&ground.prepared, &ground.attached, store);
            plugins::filter_with_nominated(&changed, slot, with, &mut scheduler.cache).is_ok()
        }
        Err(_) => false,
    };
    scheduler.cache.alter(slot, |node| (node.labels, node.taints, node.unschedulable, node.allocatable) = before);
    for other in gone {
        scheduler.cache.put(slot, other);
    }
    fits
}
