//! Changes to a pod or a node that may take away what rules the node out.

use std::sync::Arc;

use object::scheduling::{Effect, NodeSelectorRequirement, NodeSelectorTerm, Operator, Taint, Toleration};
use object::{Value, json};

use crate::node_info::{NodeInfo, PODS, Resources};
use crate::plugins::{Plugin, ports_conflict};
use crate::pod_info::{PodInfo, Template};

/// One change. The order of the variants is the order of preference among equally many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edit {
    /// Gates of the pod are removed.
    RemoveGates(Vec<String>),
    /// The pod is given a toleration of a taint.
    Tolerate(Taint),
    /// Labels of the node are set, or removed.
    Label(Vec<(String, Option<String>)>),
    /// The node takes pods again.
    Uncordon,
    /// The pod asks for less: resource, by how much, and that in thousandths of what it asks for.
    AskForLess(i64, String, i64),
    /// Somebody on the node needs less: resource and how much.
    Free(i64, String, i64),
    /// Pods leave the node.
    Remove(Vec<String>),
    /// A topology spread constraint becomes a wish.
    Relax(String),
    /// A required term is dropped: which, and its topology key.
    Drop(&'static str, String),
}

/// Edits to be made together.
pub(super) type Edits = Vec<Edit>;

/// What would satisfy a plugin that rules the node out; any of these is enough. `None` where nothing would.
pub(super) fn alternatives(plugin: Plugin, pod: &PodInfo, node: &NodeInfo, resources: &Resources) -> Option<Vec<Edits>> {
    let one = |edit: Edit| Some(vec![vec![edit]]);
    match plugin {
        Plugin::NodeUnschedulable => one(Edit::Uncordon),
        Plugin::TaintToleration => {
            let hard = |taint: &&Taint| taint.effect != Effect::PreferNoSchedule;
            let borne = |taint: &&Taint| pod.tolerations.iter().any(|toleration| toleration.tolerates(taint));
            let taints = node.taints.iter().filter(hard).filter(|taint| !borne(taint));
            Some(vec![taints.cloned().map(Edit::Tolerate).collect()])
        }
        Plugin::NodeAffinity => one(Edit::Label(labels(pod, node)?)),
        Plugin::NodePorts => {
            let taken = node.pods.values().filter(|other| ports_conflict(pod, other));
            one(Edit::Remove(taken.map(full_name).collect()))
        }
        Plugin::NodeResourcesFit => resources_edits(pod, node, resources),
        Plugin::PodTopologySpread => {
            let hard = pod.spread.iter().filter(|constraint| constraint.required);
            each_or_all(hard.map(|constraint| Edit::Relax(constraint.topology_key.clone())).collect())
        }
        Plugin::InterPodAffinity => {
            let key = |term: &crate::pod_info::PodTerm| term.topology_key.clone();
            let affinity = pod.affinity.iter().map(|term| Edit::Drop("podAffinity", key(term)));
            each_or_all(affinity.chain(pod.anti_affinity.iter().map(|term| Edit::Drop("podAntiAffinity", key(term)))).collect())
        }
        _ => None,
    }
}

/// Each alone, or else all of them.
fn each_or_all(mut edits: Edits) -> Option<Vec<Edits>> {
    edits.dedup();
    let mut sets: Vec<Edits> = edits.iter().map(|edit| vec![edit.clone()]).collect();
    if edits.len() > 1 {
        sets.push(edits);
    }
    (!sets.is_empty()).then_some(sets)
}

fn full_name(pod: &Arc<PodInfo>) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

/// The labels that the node would need to be wanted by selector and affinity.
fn labels(pod: &Template, node: &NodeInfo) -> Option<Vec<(String, Option<String>)>> {
    let missing = pod.node_selector.iter().filter(|(key, value)| node.labels.get(*key) != Some(value));
    let mut wanted: Vec<_> = missing.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    if let Some(required) = &pod.required_nodes {
        let of_term = |term: &NodeSelectorTerm| -> Option<Vec<(String, Option<String>)>> {
            if !term.match_fields.is_empty() {
                return None;
            }
            term.match_expressions.iter().map(|e| wanted_label(e, node)).collect::<Option<Vec<_>>>().map(|l| l.concat())
        };
        let terms = required.node_selector_terms.iter().filter_map(of_term);
        wanted.extend(terms.min_by_key(Vec::len)?);
    }
    (!wanted.is_empty()).then_some(wanted)
}

fn wanted_label(e: &NodeSelectorRequirement, node: &NodeInfo) -> Option<Vec<(String, Option<String>)>> {
    let has = node.labels.get(&e.key);
    let first = || e.values.first().cloned();
    let number = |step: i64| e.values.first().and_then(|v| v.parse::<i64>().ok()).map(|n| n.saturating_add(step).to_string());
    let value = match e.operator {
        Operator::In if has.is_some_and(|value| e.values.contains(value)) => return Some(Vec::new()),
        Operator::In => Some(first()?),
        Operator::Exists if has.is_some() => return Some(Vec::new()),
        Operator::Exists => Some(String::new()),
        Operator::NotIn if has.is_none_or(|value| !e.values.contains(value)) => return Some(Vec::new()),
        Operator::DoesNotExist if has.is_none() => return Some(Vec::new()),
        Operator::NotIn | Operator::DoesNotExist => None,
        Operator::Gt => Some(number(1)?),
        Operator::Lt => Some(number(-1)?),
    };
    Some(vec![(e.key.clone(), value)])
}

/// What is short can be asked for less, or be freed as far as the node has it; places for pods can only be freed.
fn resources_edits(pod: &Template, node: &NodeInfo, resources: &Resources) -> Option<Vec<Edits>> {
    let (mut less, mut free, mut large_enough) = (Edits::new(), Edits::new(), true);
    for (name, wanted) in pod.requests.iter().filter(|(_, wanted)| **wanted > 0) {
        let Some(id) = resources.find(name) else { continue };
        let has = node.allocatable.get(id);
        let missing = wanted - (has - node.requested.get(id));
        if missing > 0 {
            let share = missing.saturating_mul(1000) / wanted;
            // Less than nothing cannot be asked for.
            if missing <= *wanted {
                less.push(Edit::AskForLess(share, name.clone(), missing));
            }
            free.push(Edit::Free(share, name.clone(), missing));
            large_enough &= has >= *wanted;
        }
    }
    let places = node.pods.len() as i64 + 1 - node.allocatable.get(PODS);
    if places > 0 {
        let place = Edit::Free(1000, "pods".to_owned(), places);
        less.push(place.clone());
        free.push(place);
    }
    let possible = free.len() == less.len();
    let sets: Vec<Edits> =
        [(less, possible), (free, large_enough)].into_iter().filter(|(_, can)| *can).map(|(set, _)| set).collect();
    (!sets.is_empty()).then_some(sets)
}

impl Edit {
    /// Makes the change to a pod's template; says whether it is one.
    pub fn change_pod(&self, pod: &mut Template) -> bool {
        match self {
            Edit::RemoveGates(_) => pod.gates.clear(),
            Edit::Tolerate(taint) => pod.tolerations.push(Toleration {
                key: taint.key.clone(),
                operator: if taint.value.is_empty() { "Exists" } else { "Equal" }.to_owned(),
                value: taint.value.clone(),
                effect: Some(taint.effect),
                toleration_seconds: None,
            }),
            Edit::AskForLess(_, name, by) => {
                if let Some(amount) = pod.requests.get_mut(name) {
                    *amount -= by;
                }
            }
            Edit::Relax(key) => {
                for constraint in pod.spread.iter_mut().filter(|constraint| constraint.topology_key == *key) {
                    constraint.required = false;
                }
            }
            Edit::Drop("podAffinity", key) => pod.affinity.retain(|term| term.topology_key != *key),
            Edit::Drop(_, key) => pod.anti_affinity.retain(|term| term.topology_key != *key),
            _ => return false,
        }
        true
    }

    /// Makes the change to a node.
    pub fn change_node(&self, node: &mut NodeInfo, resources: &Resources) {
        match self {
            Edit::Label(labels) => {
                for (key, value) in labels {
                    match value {
                        Some(value) => node.labels.insert(key.clone(), value.clone()),
                        None => node.labels.remove(key),
                    };
                }
            }
            Edit::Uncordon => {
                node.unschedulable = false;
                // The taint goes with it.
                node.taints.retain(|taint| taint.key != "node.kubernetes.io/unschedulable");
            }
            Edit::Free(_, name, amount) => {
                if let Some(id) = resources.find(name) {
                    node.allocatable.add(id, *amount);
                }
            }
            _ => {}
        }
    }

    /// In JSON, with a sentence for people.
    pub fn json(&self, node: &str) -> Value {
        let shown = |name: &str, amount: i64| if name == "cpu" { format!("{amount}m") } else { amount.to_string() };
        match self {
            Edit::RemoveGates(gates) => {
                json!({"kind": "RemoveGates", "gates": gates, "text": format!("remove the scheduling gates {}", gates.join(", "))})
            }
            Edit::Tolerate(taint) => {
                let text = format!("let the pod tolerate the taint {}={}:{:?}", taint.key, taint.value, taint.effect);
                json!({"kind": "Tolerate", "taint": taint, "text": text})
            }
            Edit::Label(labels) => {
                let each: Vec<String> = labels
                    .iter()
                    .map(|(key, value)| value.as_ref().map_or_else(|| format!("{key}-"), |value| format!("{key}={value}")))
                    .collect();
                json!({"kind": "LabelNode", "node": node, "labels": each, "text": format!("kubectl label node {node} {}", each.join(" "))})
            }
            Edit::Uncordon => json!({"kind": "Uncordon", "node": node, "text": format!("kubectl uncordon {node}")}),
            Edit::AskForLess(_, name, by) => {
                let amount = shown(name, *by);
                json!({"kind": "RequestLess", "resource": name, "by": amount, "text": format!("request {amount} less {name}")})
            }
            Edit::Free(_, name, by) => {
                let amount = shown(name, *by);
                json!({"kind": "Free", "node": node, "resource": name, "amount": amount, "text": format!("free {amount} {name} on {node}")})
            }
            Edit::Remove(pods) => {
                json!({"kind": "RemovePods", "node": node, "pods": pods, "text": format!("remove {} from {node}", pods.join(", "))})
            }
            Edit::Relax(key) => {
                let text = format!("make the topology spread constraint on {key} ScheduleAnyway");
                json!({"kind": "RelaxSpread", "topologyKey": key, "text": text})
            }
            Edit::Drop(what, key) => {
                let text = format!("drop the required {what} term on {key}");
                json!({"kind": "DropTerm", "term": what, "topologyKey": key, "text": text})
            }
        }
    }

    /// Whether it is about the node, and not about the pod.
    pub fn is_of_node(&self) -> bool {
        matches!(self, Edit::Label(_) | Edit::Uncordon | Edit::Free(..) | Edit::Remove(_))
    }
}
