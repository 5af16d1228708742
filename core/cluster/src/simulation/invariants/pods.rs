//! Invariants of pods: where they are, how they end, who may end them.

use object::value::{at, str_at};
use object::{GroupResource, LabelSelector};
use store::Key;

use super::super::Sabotage;
use super::super::facts::{NodeFacts, PodFacts, tolerates, whole};
use super::{Change, Verdict};

/// A pod that has a node keeps it.
pub fn a_bound_pod_stays(change: &Change<'_>) -> Verdict {
    let Some((old, new)) = change.both() else { return Ok(()) };
    let (old, new) = (&old.view::<PodFacts>().node, &new.view::<PodFacts>().node);
    if !old.is_empty() && old != new { Err(format!("it went from {old} to {new:?}")) } else { Ok(()) }
}

/// Succeeded and Failed are for good.
pub fn an_ended_pod_stays_ended(change: &Change<'_>) -> Verdict {
    let Some((old, new)) = change.both() else { return Ok(()) };
    let (old, new) = (old.view::<PodFacts>(), new.view::<PodFacts>());
    if old.is_terminal() && old.phase != new.phase { Err(format!("it went from {} to {}", old.phase, new.phase)) } else { Ok(()) }
}

/// At the time of its binding a pod tolerates its node, which has room for it.
pub fn a_pod_fits_where_it_is_bound(change: &Change<'_>) -> Verdict {
    let Some(new) = &change.event.new else { return Ok(()) };
    let pod = new.view::<PodFacts>();
    let before = change.event.old.as_ref().map_or("", |old| old.view::<PodFacts>().node.as_str());
    if pod.node.is_empty() || !before.is_empty() {
        return Ok(());
    }
    let key = Key::new(&GroupResource::literal("", "nodes"), "", &pod.node);
    let Some(object) = change.memory.objects.get(&key) else { return Err("its node does not exist".to_owned()) };
    let node = object.view::<NodeFacts>();
    let repels = |taint: &&object::Value| {
        matches!(str_at(taint, &["effect"]), "NoSchedule" | "NoExecute") && !tolerates(&pod.tolerations, taint)
    };
    if let Some(taint) = node.taints.iter().find(repels) {
        return Err(format!("{} has the taint {taint}", pod.node));
    }
    if !pod.node_selector.iter().all(|(k, v)| object.meta.labels.get(k) == Some(v)) {
        return Err(format!("{} has not the labels {:?}", pod.node, pod.node_selector));
    }
    let others = change.memory.on_node.get(&pod.node).into_iter().flatten().filter_map(|key| change.memory.objects.get(key));
    let others: Vec<_> = others.filter(|o| !o.view::<PodFacts>().is_terminal()).collect();
    let app = |o: &store::Object| o.meta.labels.get("app").cloned();
    for other in &others {
        let facts = other.view::<PodFacts>();
        let apart = facts.alone.is_some() && facts.alone == app(new) || pod.alone.is_some() && pod.alone == app(other);
        if apart && other.key.namespace == new.key.namespace {
            return Err(format!("{} is on {} too, which their affinity forbids", other.key.name, pod.node));
        }
        if facts.host_ports.iter().any(|port| pod.host_ports.contains(port)) {
            return Err(format!("{} has taken the same port of {}", other.key.name, pod.node));
        }
    }
    let (mut cpu, mut memory, mut count) = (pod.requests.0, pod.requests.1, 1);
    for other in others.iter().map(|o| o.view::<PodFacts>()) {
        (cpu, memory, count) = (cpu + other.requests.0, memory + other.requests.1, count + 1);
    }
    let mut has = node.allocatable;
    if change.sabotage == Some(Sabotage::SmallNodes) {
        has.0 = 1_500;
    }
    if cpu > has.0 || memory > has.1 || count > has.2 {
        return Err(format!("{} would have {cpu}m, {memory} bytes and {count} pods of {has:?}", pod.node));
    }
    Ok(())
}

/// A healthy pod is evicted only if every budget that covers it had room, and has counted it.
pub fn evictions_honour_budgets(change: &Change<'_>) -> Verdict {
    let Some((old, new)) = change.both() else { return Ok(()) };
    let pod = old.view::<PodFacts>();
    let evicted = !pod.evicted && new.view::<PodFacts>().evicted;
    if !evicted || !pod.ready || pod.is_terminal() || old.meta.deletion_timestamp.is_some() {
        return Ok(());
    }
    let budgets = GroupResource::literal("policy", "poddisruptionbudgets");
    for budget in change.memory.list(&budgets, Some(&new.key.namespace)) {
        let selector = at(whole(budget), &["spec", "selector"]).and_then(|s| LabelSelector::from_json(s).ok());
        if !selector.is_some_and(|s| s.matches(&new.meta.labels)) {
            continue;
        }
        if at(whole(budget), &["status", "disruptedPods", &new.key.name]).is_none() {
            return Err(format!("{:?} has not counted it: {}", budget.key, whole(budget)["status"]));
        }
    }
    Ok(())
}
