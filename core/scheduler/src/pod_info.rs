//! The scheduler's view of a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::scheduling::{NodeSelector, NodeSelectorTerm, ResourceList, Toleration, deserialize_resource_list, total_requests};
use object::value::list_at;
use object::{LabelSelector, Value, json};
use serde::Deserialize;
use serde::de::IgnoredAny;
use store::{Key, Object};

/// What CPU (thousandths) a container without a request counts for when nodes are ranked.
const DEFAULT_CPU: i64 = 100;
/// What memory (bytes) a container without a request counts for when nodes are ranked.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// A pod as far as placing it needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodInfo {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// Whether deletion was asked for.
    pub deleting: bool,
    /// Whether it has ended.
    pub ended: bool,
    /// The node it is bound to, or empty.
    pub node_name: String,
    /// Which scheduler is to place it.
    pub scheduler_name: String,
    /// Higher goes first.
    pub priority: i64,
    /// Whether it may push others off a node.
    pub preempts: bool,
    /// Names of gates that hold it back.
    pub gates: Vec<String>,
    /// What it asks of a node.
    pub requests: ResourceList,
    /// CPU it counts for when nodes are ranked.
    pub scored_cpu: i64,
    /// Memory it counts for when nodes are ranked.
    pub scored_memory: i64,
    /// Node labels it asks for.
    pub node_selector: BTreeMap<String, String>,
    /// Nodes it must be on.
    pub required_nodes: Option<NodeSelector>,
    /// Nodes it would like, with weights.
    pub preferred_nodes: Vec<(i64, NodeSelectorTerm)>,
    /// Taints it bears.
    pub tolerations: Vec<Toleration>,
    /// Ports of the node that it takes: protocol, address, port.
    pub host_ports: BTreeSet<(String, String, u16)>,
    /// Images of its containers.
    pub images: Vec<String>,
    /// Pods it must be near.
    pub affinity: Vec<PodTerm>,
    /// Pods it must not be near.
    pub anti_affinity: Vec<PodTerm>,
    /// Pods it would like to be near (or, with negative weight, not).
    pub preferred_pods: Vec<(i64, PodTerm)>,
    /// How evenly its like must be spread.
    pub spread: Vec<SpreadConstraint>,
    /// The node that preemption is making room on for it.
    pub nominated_node: String,
    /// When its kubelet took it; empty before that. As text in UTC, which orders as time does.
    pub start_time: String,
    /// Claims it mounts, and whether each belongs to an ephemeral volume of its own.
    pub claims: Vec<(String, bool)>,
    /// Whether preemption is what ends it.
    pub preempted: bool,
    /// Its controller: API version, kind and name.
    pub controller: Option<(String, String, String)>,
}

/// A term of pod affinity: pods that match, in the same topology domain.
#[derive(Clone, Debug, PartialEq)]
pub struct PodTerm {
    /// Which pods.
    pub selector: LabelSelector,
    /// In which namespaces by name...
    pub namespaces: BTreeSet<String>,
    /// ...or by their labels.
    pub namespace_selector: LabelSelector,
    /// The node label whose value names the domain.
    pub topology_key: String,
}

/// One of `topologySpreadConstraints`.
#[derive(Clone, Debug, PartialEq)]
pub struct SpreadConstraint {
    /// By how much the fullest and the emptiest domain may differ.
    pub max_skew: i64,
    /// The node label whose value names the domain.
    pub topology_key: String,
    /// Whether a node that breaks it is ruled out (or only ranked lower).
    pub required: bool,
    /// Which pods count.
    pub selector: LabelSelector,
    /// With fewer domains, the emptiest counts as having none.
    pub min_domains: Option<i64>,
    /// Whether only nodes count that the pod's node selector and affinity want.
    pub honors_affinity: bool,
    /// Whether only nodes count whose taints the pod bears.
    pub honors_taints: bool,
}

impl PodTerm {
    /// Whether `pod` is one of those that the term speaks of; `namespace` are the labels of its namespace.
    pub fn selects(&self, pod: &PodInfo, namespace: &BTreeMap<String, String>) -> bool {
        self.selector.matches(&pod.labels)
            && (self.namespaces.contains(&*pod.namespace) || self.namespace_selector.matches(namespace))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPod {
    spec: RawSpec,
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawStatus {
    phase: String,
    nominated_node_name: String,
    start_time: String,
    conditions: Vec<RawCondition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawCondition {
    r#type: String,
    status: String,
    reason: String,
}

impl RawCondition {
    fn is_preemption(&self) -> bool {
        self.r#type == "DisruptionTarget" && self.status == "True" && self.reason == "PreemptionByScheduler"
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    node_name: String,
    scheduler_name: String,
    priority: i64,
    preemption_policy: String,
    scheduling_gates: Vec<RawGate>,
    containers: Vec<RawContainer>,
    init_containers: Vec<RawContainer>,
    #[serde(deserialize_with = "deserialize_resource_list")]
    overhead: ResourceList,
    resources: Option<RawResources>,
    node_selector: BTreeMap<String, String>,
    affinity: RawAffinity,
    tolerations: Vec<Toleration>,
    topology_spread_constraints: Vec<RawSpread>,
    host_network: bool,
    volumes: Vec<RawVolume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawVolume {
    name: String,
    persistent_volume_claim: Option<RawClaim>,
    ephemeral: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawClaim {
    claim_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawGate {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawContainer {
    image: String,
    resources: RawResources,
    ports: Vec<RawPort>,
    restart_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawResources {
    #[serde(deserialize_with = "deserialize_resource_list")]
    requests: ResourceList,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPort {
    host_port: u16,
    container_port: u16,
    #[serde(rename = "hostIP")]
    host_ip: String,
    protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawAffinity {
    node_affinity: RawNodeAffinity,
    pod_affinity: RawPodAffinity,
    pod_anti_affinity: RawPodAffinity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawNodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    preferred_during_scheduling_ignored_during_execution: Vec<RawPreferredNode>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPreferredNode {
    weight: i64,
    preference: NodeSelectorTerm,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPodAffinity {
    required_during_scheduling_ignored_during_execution: Vec<RawPodTerm>,
    preferred_during_scheduling_ignored_during_execution: Vec<RawPreferredPods>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPreferredPods {
    weight: i64,
    pod_affinity_term: RawPodTerm,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawPodTerm {
    label_selector: Value,
    namespaces: Vec<String>,
    namespace_selector: Value,
    topology_key: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpread {
    max_skew: i64,
    topology_key: String,
    when_unsatisfiable: String,
    label_selector: Value,
    min_domains: Option<i64>,
    match_label_keys: Vec<String>,
    node_affinity_policy: String,
    node_taints_policy: String,
}

impl PodInfo {
    /// Whether it cares which pods are near, so that the rank of others depends on it.
    pub fn has_affinity(&self) -> bool {
        !(self.affinity.is_empty() && self.preferred_pods.is_empty())
    }

    /// Whether `self` is to be spared rather than `other`: the higher priority, then the longer life.
    pub fn is_more_important(&self, other: &PodInfo) -> bool {
        // A pod that has not begun to run counts as beginning now.
        let start = |pod: &PodInfo| (pod.start_time.is_empty(), pod.start_time.clone());
        (other.priority, start(self)) < (self.priority, start(other))
    }

    /// Reads a stored pod. Everything but what is named here is skipped, not parsed.
    pub fn of(object: &Object) -> PodInfo {
        let raw: RawPod = serde_json::from_slice(&object.bytes).unwrap_or_default();
        let (spec, meta) = (raw.spec, &object.meta);
        let Key { namespace, name, .. } = &object.key;
        let all = || spec.containers.iter().chain(&spec.init_containers);
        let requests = total_requests(
            spec.containers.iter().map(|c| c.resources.requests.clone()),
            spec.init_containers.iter().map(|c| (c.resources.requests.clone(), c.restart_policy == "Always")),
            spec.resources.as_ref().map(|r| r.requests.clone()),
            &spec.overhead,
        );
        let scored = |name: &str, default: i64| -> i64 {
            let stated = requests.get(name).copied().unwrap_or(0);
            let silent = spec.containers.iter().filter(|c| c.resources.requests.get(name).is_none_or(|a| *a == 0)).count();
            stated.saturating_add(default.saturating_mul(silent as i64))
        };
        let terms = |list: &[RawPodTerm]| -> Vec<PodTerm> { list.iter().map(|t| term(t, namespace)).collect() };
        let required = |a: &RawPodAffinity| terms(&a.required_during_scheduling_ignored_during_execution);
        let preferred = |a: &RawPodAffinity, sign: i64| -> Vec<(i64, PodTerm)> {
            let list = &a.preferred_during_scheduling_ignored_during_execution;
            list.iter().map(|p| (sign * p.weight, term(&p.pod_affinity_term, namespace))).collect()
        };
        let affinity = &spec.affinity;
        PodInfo {
            uid: meta.uid.as_str().into(),
            generation: meta.generation,
            labels: meta.labels.clone(),
            deleting: meta.deletion_timestamp.is_some(),
            ended: matches!(raw.status.phase.as_str(), "Succeeded" | "Failed"),
            nominated_node: raw.status.nominated_node_name,
            preempted: raw.status.conditions.iter().any(RawCondition::is_preemption),
            start_time: raw.status.start_time,
            controller: meta.owner_references.iter().find(|o| o.controller == Some(true)).map(|o| {
                let text = |s: &str| s.to_owned();
                (text(&o.api_version), text(&o.kind), text(&o.name))
            }),
            priority: spec.priority,
            preempts: spec.preemption_policy != "Never",
            gates: spec.scheduling_gates.iter().map(|g| g.name.clone()).collect(),
            scored_cpu: scored("cpu", DEFAULT_CPU),
            scored_memory: scored("memory", DEFAULT_MEMORY),
            claims: spec.volumes.iter().filter_map(|volume| claim(volume, name)).collect(),
            host_ports: host_ports(&spec),
            images: all().map(|c| with_tag(&c.image)).collect(),
            affinity: required(&affinity.pod_affinity),
            anti_affinity: required(&affinity.pod_anti_affinity),
            preferred_pods: [preferred(&affinity.pod_affinity, 1), preferred(&affinity.pod_anti_affinity, -1)].concat(),
            spread: spec.topology_spread_constraints.iter().map(|raw| constraint(raw, &meta.labels)).collect(),
            preferred_nodes: affinity
                .node_affinity
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .map(|p| (p.weight, p.preference.clone()))
                .collect(),
            required_nodes: spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution,
            namespace: namespace.clone(),
            name: name.clone(),
            node_name: spec.node_name,
            scheduler_name: spec.scheduler_name,
            node_selector: spec.node_selector,
            tolerations: spec.tolerations,
            requests,
        }
    }
}

fn host_ports(spec: &RawSpec) -> BTreeSet<(String, String, u16)> {
    let port = |p: &RawPort| {
        let number = if spec.host_network && p.host_port == 0 { p.container_port } else { p.host_port };
        let protocol = if p.protocol.is_empty() { "TCP" } else { &p.protocol };
        let ip = if p.host_ip.is_empty() { "0.0.0.0" } else { &p.host_ip };
        (number > 0).then(|| (protocol.to_owned(), ip.to_owned(), number))
    };
    spec.containers.iter().flat_map(|c| &c.ports).filter_map(port).collect()
}

fn claim(volume: &RawVolume, pod: &str) -> Option<(String, bool)> {
    match &volume.persistent_volume_claim {
        Some(claim) => Some((claim.claim_name.clone(), false)),
        None => volume.ephemeral.is_some().then(|| (format!("{pod}-{}", volume.name), true)),
    }
}

fn term(raw: &RawPodTerm, own: &str) -> PodTerm {
    let mut namespaces: BTreeSet<String> = object::order::set(raw.namespaces.iter().cloned());
    if namespaces.is_empty() && raw.namespace_selector.is_null() {
        namespaces.insert(own.to_owned());
    }
    PodTerm {
        selector: selector(&raw.label_selector),
        namespaces,
        namespace_selector: selector(&raw.namespace_selector),
        topology_key: raw.topology_key.clone(),
    }
}

fn constraint(raw: &RawSpread, labels: &BTreeMap<String, String>) -> SpreadConstraint {
    let mut wanted = raw.label_selector.clone();
    let keys = raw.match_label_keys.iter().filter_map(|key| Some((key, labels.get(key)?)));
    let mut expressions = list_at(&wanted, &["matchExpressions"]).to_vec();
    expressions.extend(keys.map(|(key, value)| json!({"key": key, "operator": "In", "values": [value]})));
    if wanted.is_object() && !expressions.is_empty() {
        wanted["matchExpressions"] = expressions.into();
    }
    SpreadConstraint {
        max_skew: raw.max_skew,
        topology_key: raw.topology_key.clone(),
        required: raw.when_unsatisfiable != "ScheduleAnyway",
        selector: selector(&wanted),
        min_domains: raw.min_domains,
        honors_affinity: raw.node_affinity_policy != "Ignore",
        honors_taints: raw.node_taints_policy == "Honor",
    }
}

/// An image's name as nodes list it: with `:latest` where there is neither tag nor digest.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// A selector that is missing selects nothing.
fn selector(raw: &Value) -> LabelSelector {
    if raw.is_null() {
        LabelSelector::nothing()
    } else {
        LabelSelector::from_json(raw).unwrap_or_else(|_| LabelSelector::nothing())
    }
}
