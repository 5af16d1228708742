//! Reads stored pods. Everything but what is named here is skipped, not parsed.

use std::collections::{BTreeMap, BTreeSet};

use object::scheduling::{
    HostPort, NodeSelector, NodeSelectorTerm, ResourceList, Toleration, deserialize_resource_list, total_requests,
};
use object::value::list_at;
use object::{LabelSelector, Value, json};
use serde::Deserialize;
use serde::de::IgnoredAny;
use store::{Key, Object};

use crate::pod_info::{DeviceEntry, Disk, Group, PodInfo, PodTerm, SpreadConstraint, Template};

/// What CPU (thousandths) a container without a request counts for when nodes are ranked.
const DEFAULT_CPU: i64 = 100;
/// What memory (bytes) a container without a request counts for when nodes are ranked.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

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
    container_statuses: Vec<RawContainerStatus>,
    init_container_statuses: Vec<RawContainerStatus>,
    resource_claim_statuses: Vec<RawClaimStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawContainerStatus {
    name: String,
    #[serde(deserialize_with = "deserialize_resource_list")]
    allocated_resources: ResourceList,
    resources: Option<RawResources>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawClaimStatus {
    name: String,
    resource_claim_name: Option<String>,
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

    fn is_infeasible_resize(&self) -> bool {
        self.r#type == "PodResizePending" && self.reason == "Infeasible"
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawSpec {
    node_name: String,
    scheduler_name: String,
    priority: i64,
    preemption_policy: String,
    scheduling_gates: Vec<RawNamed>,
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
    resource_claims: Vec<RawDeviceEntry>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawDeviceEntry {
    name: String,
    resource_claim_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawVolume {
    name: String,
    persistent_volume_claim: Option<RawClaim>,
    ephemeral: Option<IgnoredAny>,
    csi: Option<RawCsi>,
    image: Option<RawImage>,
    gce_persistent_disk: Option<RawDisk>,
    aws_elastic_block_store: Option<RawDisk>,
    iscsi: Option<RawDisk>,
    rbd: Option<RawDisk>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawCsi {
    driver: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawImage {
    reference: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawDisk {
    pd_name: String,
    #[serde(rename = "volumeID")]
    volume_id: String,
    iqn: String,
    monitors: Vec<String>,
    pool: String,
    image: String,
    read_only: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawClaim {
    claim_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawNamed {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawContainer {
    name: String,
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
    match_label_keys: Vec<String>,
    mismatch_label_keys: Vec<String>,
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

/// A stored pod, whose template has no number yet.
pub(crate) fn read(object: &Object) -> (PodInfo, Template) {
    let raw: RawPod = serde_json::from_slice(&object.bytes).unwrap_or_default();
    let meta = &object.meta;
    let template = template(object, &raw);
    let status = raw.status;
    let pod = PodInfo {
        uid: meta.uid.as_str().into(),
        name: object.key.name.clone(),
        generation: meta.generation,
        ended: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
        node_name: raw.spec.node_name.as_str().into(),
        nominated_node: status.nominated_node_name.as_str().into(),
        preempted: status.conditions.iter().any(RawCondition::is_preemption),
        start_time: status.start_time,
        ..PodInfo::default()
    };
    (pod, template)
}

fn template(object: &Object, raw: &RawPod) -> Template {
    let (spec, meta) = (&raw.spec, &object.meta);
    let Key { namespace, name, .. } = &object.key;
    let requests = requests(raw);
    let scored = |name: &str, default: i64| -> i64 {
        let stated = requests.get(name).copied().unwrap_or(0);
        // A pod that says what it needs as a whole leaves nothing to guess.
        if spec.resources.as_ref().is_some_and(|whole| whole.requests.contains_key(name)) {
            return stated;
        }
        let silent = spec.containers.iter().filter(|c| c.resources.requests.get(name).is_none_or(|a| *a == 0)).count();
        stated.saturating_add(default.saturating_mul(silent as i64))
    };
    let terms = |list: &[RawPodTerm]| -> Vec<PodTerm> { list.iter().map(|t| term(t, namespace, &meta.labels)).collect() };
    let required = |a: &RawPodAffinity| terms(&a.required_during_scheduling_ignored_during_execution);
    let preferred = |a: &RawPodAffinity, sign: i64| -> Vec<(i64, PodTerm)> {
        let list = &a.preferred_during_scheduling_ignored_during_execution;
        list.iter().map(|p| (sign * p.weight, term(&p.pod_affinity_term, namespace, &meta.labels))).collect()
    };
    let affinity = &spec.affinity;
    let images = spec.init_containers.iter().chain(&spec.containers).map(|c| &c.image);
    let images = images.chain(spec.volumes.iter().filter_map(|v| v.image.as_ref().map(|i| &i.reference)));
    Template {
        labels: meta.labels.clone(),
        namespace: namespace.clone(),
        deleting: meta.deletion_timestamp.is_some(),
        controller: meta.owner_references.iter().find(|o| o.controller == Some(true)).map(|o| {
            let text = |s: &str| s.to_owned();
            (text(&o.api_version), text(&o.kind), text(&o.name))
        }),
        priority: spec.priority,
        preempts: spec.preemption_policy != "Never",
        gates: spec.scheduling_gates.iter().map(|g| g.name.clone()).collect(),
        scored: (scored("cpu", DEFAULT_CPU), scored("memory", DEFAULT_MEMORY)),
        claims: spec.volumes.iter().filter_map(|volume| claim(volume, name)).collect(),
        disks: spec.volumes.iter().filter_map(disk).collect(),
        inline_drivers: spec.volumes.iter().filter_map(|v| v.csi.as_ref().map(|csi| csi.driver.clone())).collect(),
        devices: spec.resource_claims.iter().map(|entry| device(entry, &raw.status)).collect(),
        host_ports: host_ports(spec),
        images: images.map(|image| with_tag(image)).collect(),
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
        required_nodes: affinity.node_affinity.required_during_scheduling_ignored_during_execution.clone(),
        scheduler_name: spec.scheduler_name.clone(),
        node_selector: spec.node_selector.clone(),
        tolerations: spec.tolerations.clone(),
        requests,
    }
}

/// What the pod asks for. While it is being resized, what its containers have counts where that is more; what cannot be had
/// does not count.
fn requests(raw: &RawPod) -> ResourceList {
    let (spec, status) = (&raw.spec, &raw.status);
    let infeasible = status.conditions.iter().any(RawCondition::is_infeasible_resize);
    let of = |container: &RawContainer, statuses: &[RawContainerStatus]| -> ResourceList {
        let asked = container.resources.requests.clone();
        let Some(status) = statuses.iter().find(|s| s.name == container.name) else { return asked };
        let actual = status.resources.as_ref().map(|r| &r.requests);
        if status.allocated_resources.is_empty() && actual.is_none_or(BTreeMap::is_empty) {
            return asked;
        }
        let mut most = if infeasible { ResourceList::new() } else { asked };
        for (name, amount) in actual.into_iter().flatten().chain(&status.allocated_resources) {
            let there = most.get(name).copied().unwrap_or(0);
            most.insert(name.clone(), there.max(*amount));
        }
        most
    };
    let init = |c: &RawContainer| (of(c, &status.init_container_statuses), c.restart_policy == "Always");
    total_requests(
        spec.containers.iter().map(|c| of(c, &status.container_statuses)),
        spec.init_containers.iter().map(init),
        spec.resources.as_ref().map(|r| r.requests.clone()),
        &spec.overhead,
    )
}

fn host_ports(spec: &RawSpec) -> BTreeSet<HostPort> {
    let port = |p: &RawPort| {
        let number = if spec.host_network && p.host_port == 0 { p.container_port } else { p.host_port };
        HostPort::new(&p.protocol, &p.host_ip, number)
    };
    let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy == "Always");
    spec.containers.iter().chain(sidecars).flat_map(|c| &c.ports).filter_map(port).collect()
}

fn claim(volume: &RawVolume, pod: &str) -> Option<(String, bool)> {
    match &volume.persistent_volume_claim {
        Some(claim) => Some((claim.claim_name.clone(), false)),
        None => volume.ephemeral.is_some().then(|| (format!("{pod}-{}", volume.name), true)),
    }
}

fn disk(volume: &RawVolume) -> Option<Disk> {
    let of = |kind: &'static str, id: String, read_only: bool| Some(Disk { id: (kind, id), read_only });
    match volume {
        RawVolume { gce_persistent_disk: Some(disk), .. } => of("gcePersistentDisk", disk.pd_name.clone(), disk.read_only),
        // Whether it only reads makes no difference to this one.
        RawVolume { aws_elastic_block_store: Some(disk), .. } => of("awsElasticBlockStore", disk.volume_id.clone(), false),
        RawVolume { iscsi: Some(disk), .. } => of("iscsi", disk.iqn.clone(), disk.read_only),
        RawVolume { rbd: Some(disk), .. } => {
            let pool = if disk.pool.is_empty() { "rbd" } else { &disk.pool };
            of("rbd", format!("{}/{pool}/{}", disk.monitors.join(","), disk.image), disk.read_only)
        }
        _ => None,
    }
}

fn device(entry: &RawDeviceEntry, status: &RawStatus) -> DeviceEntry {
    let made = status.resource_claim_statuses.iter().find(|s| s.name == entry.name);
    DeviceEntry {
        name: entry.name.clone(),
        claim: entry.resource_claim_name.clone(),
        // An entry that is there without a name says that no claim was needed.
        made: made.map(|s| s.resource_claim_name.clone().unwrap_or_default()),
    }
}

fn term(raw: &RawPodTerm, own: &str, labels: &BTreeMap<String, String>) -> PodTerm {
    let mut namespaces: BTreeSet<String> = object::order::set(raw.namespaces.iter().cloned());
    if namespaces.is_empty() && raw.namespace_selector.is_null() {
        namespaces.insert(own.to_owned());
    }
    let wanted = with_keys(&raw.label_selector, &raw.match_label_keys, "In", labels);
    let wanted = with_keys(&wanted, &raw.mismatch_label_keys, "NotIn", labels);
    let group = Group { selector: selector(&wanted), namespaces, namespace_selector: selector(&raw.namespace_selector) };
    PodTerm { group, topology_key: raw.topology_key.clone() }
}

fn constraint(raw: &RawSpread, labels: &BTreeMap<String, String>) -> SpreadConstraint {
    SpreadConstraint {
        max_skew: raw.max_skew,
        topology_key: raw.topology_key.clone(),
        required: raw.when_unsatisfiable != "ScheduleAnyway",
        selector: selector(&with_keys(&raw.label_selector, &raw.match_label_keys, "In", labels)),
        min_domains: raw.min_domains,
        honors_affinity: raw.node_affinity_policy != "Ignore",
        honors_taints: raw.node_taints_policy == "Honor",
    }
}

/// A selector that also asks for (or refuses) the pod's own values of these labels. The API server writes them into the selector
/// too; saying it twice changes nothing.
fn with_keys(selector: &Value, keys: &[String], operator: &str, labels: &BTreeMap<String, String>) -> Value {
    let mut wanted = selector.clone();
    let mut expressions = list_at(&wanted, &["matchExpressions"]).to_vec();
    let own = keys.iter().filter_map(|key| Some((key, labels.get(key)?)));
    expressions.extend(own.map(|(key, value)| json!({"key": key, "operator": operator, "values": [value]})));
    if wanted.is_object() && !expressions.is_empty() {
        wanted["matchExpressions"] = expressions.into();
    }
    wanted
}

/// An image's name as nodes list it: with `:latest` where there is neither tag nor digest.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') { image.to_owned() } else { format!("{image}:latest") }
}

/// A selector that is missing selects nothing.
fn selector(raw: &Value) -> LabelSelector {
    if raw.is_null() {
        LabelSelector::nothing()
    } else {
        LabelSelector::from_json(raw).unwrap_or_else(|_| LabelSelector::nothing())
    }
}
