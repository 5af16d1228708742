//! ResourceQuota: what a namespace may hold in all. Usage is counted from the objects themselves (see [`accounts`]), so that a write
//! is judged by what is there and not by a status that may lag; the quota controller writes the same count into the status.
//!
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>

mod accounts;

use std::collections::{BTreeMap, BTreeSet};

use object::quantity::Quantity;
use object::scheduling::pod_quantities;
use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, Result, Value};
use store::View;

use super::{Attributes, Operation};
use crate::server::ApiServer;
pub use accounts::Accounts;

/// Amounts by the name a quota gives them.
pub type Usage = BTreeMap<String, Quantity>;

/// Compute resources that a pod's containers must name when a quota limits them.
const COMPUTE: [(&str, &str, &str); 8] = [
    ("cpu", "requests", "cpu"),
    ("memory", "requests", "memory"),
    ("ephemeral-storage", "requests", "ephemeral-storage"),
    ("requests.cpu", "requests", "cpu"),
    ("requests.memory", "requests", "memory"),
    ("requests.ephemeral-storage", "requests", "ephemeral-storage"),
    ("limits.cpu", "limits", "cpu"),
    ("limits.memory", "limits", "memory"),
];

fn one() -> Quantity {
    Quantity::new(1, object::quantity::Format::DecimalSI)
}

/// Adds amounts to others.
fn add(to: &mut Usage, name: &str, amount: Quantity) {
    let sum = match to.get(name) {
        Some(there) => *there + amount,
        None => amount,
    };
    to.insert(name.to_owned(), sum);
}

/// What one object counts for, computed once per version of it.
#[derive(Default)]
struct Counted {
    pod: Usage,
    pod_scopes: BTreeSet<&'static str>,
    priority_class: String,
    /// The VolumeAttributesClasses that a claim has, asks for or is on its way to.
    attribute_classes: BTreeSet<String>,
    service: Usage,
    claim: Usage,
}

impl View for Counted {
    fn of(object: &Value) -> Self {
        match str_at(object, &["kind"]) {
            "Pod" => Counted {
                pod: pod_usage(object),
                pod_scopes: pod_scopes(object),
                priority_class: str_at(object, &["spec", "priorityClassName"]).to_owned(),
                ..Counted::default()
            },
            "Service" => Counted { service: service_usage(object), ..Counted::default() },
            "PersistentVolumeClaim" => {
                Counted { claim: claim_usage(object), attribute_classes: attribute_classes(object), ..Counted::default() }
            }
            _ => Counted::default(),
        }
    }
}

impl Counted {
    /// The amounts of an object of this resource.
    fn usage(&self, resource: &GroupResource) -> Usage {
        let mut usage = match (&*resource.group, &*resource.resource) {
            ("", "pods") => self.pod.clone(),
            ("", "services") => self.service.clone(),
            ("", "persistentvolumeclaims") => self.claim.clone(),
            ("", name @ ("secrets" | "configmaps" | "replicationcontrollers" | "resourcequotas")) => {
                BTreeMap::from([(name.to_owned(), one())])
            }
            _ => Usage::new(),
        };
        usage.insert(format!("count/{resource}"), one());
        usage
    }

    /// Whether the scopes of a quota's spec take in an object of this resource; most resources are in no scope at all.
    fn in_scope(&self, spec: &Value, resource: &GroupResource) -> bool {
        let claims = self.attribute_classes.len();
        let has = |scope: &str| match scope {
            "VolumeAttributesClass" => claims > 0,
            scope => is_pods(resource) && self.pod_scopes.contains(scope),
        };
        let plain = list_at(spec, &["scopes"]).iter().filter_map(Value::as_str).all(has);
        let selected = list_at(spec, &["scopeSelector", "matchExpressions"]).iter().all(|expression| {
            let values = list_at(expression, &["values"]);
            let class = &self.priority_class;
            match (str_at(expression, &["scopeName"]), str_at(expression, &["operator"])) {
                ("PriorityClass", "In") => values.iter().any(|value| value == class.as_str()),
                ("PriorityClass", "NotIn") => !class.is_empty() && !values.iter().any(|value| value == class.as_str()),
                ("PriorityClass", "Exists") => !class.is_empty(),
                ("PriorityClass", _) => is_pods(resource) && class.is_empty(),
                ("VolumeAttributesClass", operator) => {
                    let listed = self.attribute_classes.iter().any(|class| values.iter().any(|value| value == class.as_str()));
                    is_claims(resource)
                        && match operator {
                            "In" => listed,
                            "NotIn" => claims > 0 && !listed,
                            "Exists" => claims > 0,
                            _ => claims == 0,
                        }
                }
                (scope, _) => has(scope),
            }
        });
        plain && selected
    }
}

fn attribute_classes(claim: &Value) -> BTreeSet<String> {
    let paths: [&[&str]; 3] = [
        &["spec", "volumeAttributesClassName"],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    paths.iter().map(|path| str_at(claim, path).to_owned()).filter(|class| !class.is_empty()).collect()
}

fn is_terminal(pod: &Value) -> bool {
    matches!(str_at(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

fn pod_usage(pod: &Value) -> Usage {
    let mut usage = Usage::new();
    if is_terminal(pod) {
        return usage;
    }
    usage.insert("pods".to_owned(), one());
    for kind in ["requests", "limits"] {
        for (name, amount) in pod_quantities(pod.get("spec").unwrap_or(&Value::Null), kind) {
            let plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
            if kind == "requests" && plain {
                add(&mut usage, &name, amount);
            }
            if kind == "requests" || plain {
                add(&mut usage, &format!("{kind}.{name}"), amount);
            }
        }
    }
    usage
}

fn pod_scopes(pod: &Value) -> BTreeSet<&'static str> {
    let mut scopes = BTreeSet::new();
    let ends = i64_at(pod, &["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0);
    scopes.insert(if ends { "Terminating" } else { "NotTerminating" });
    let best_effort = object::scheduling::qos_class(pod.get("spec").unwrap_or(&Value::Null)) == "BestEffort";
    scopes.insert(if best_effort { "BestEffort" } else { "NotBestEffort" });
    if !str_at(pod, &["spec", "priorityClassName"]).is_empty() {
        scopes.insert("PriorityClass");
    }
    let across = ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let required = list_at(pod, &["spec", "affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution"]).iter();
        let preferred = list_at(pod, &["spec", "affinity", kind, "preferredDuringSchedulingIgnoredDuringExecution"]).iter();
        let mut terms = required.chain(preferred.filter_map(|weighted| at(weighted, &["podAffinityTerm"])));
        terms.any(|term| !list_at(term, &["namespaces"]).is_empty() || at(term, &["namespaceSelector"]).is_some())
    });
    if across {
        scopes.insert("CrossNamespacePodAffinity");
    }
    scopes
}

fn service_usage(service: &Value) -> Usage {
    let mut usage = BTreeMap::from([("services".to_owned(), one())]);
    let ports = list_at(service, &["spec", "ports"]).len() as i64;
    let count = |n: i64| Quantity::new(n, object::quantity::Format::DecimalSI);
    match str_at(service, &["spec", "type"]) {
        "NodePort" => drop(usage.insert("services.nodeports".to_owned(), count(ports))),
        "LoadBalancer" => {
            usage.insert("services.loadbalancers".to_owned(), one());
            let allocated = list_at(service, &["spec", "ports"]).iter().filter(|port| i64_at(port, &["nodePort"]).is_some());
            let without = at(service, &["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
            usage.insert("services.nodeports".to_owned(), count(if without { allocated.count() as i64 } else { ports }));
        }
        _ => {}
    }
    usage
}

fn claim_usage(claim: &Value) -> Usage {
    let mut usage = BTreeMap::from([("persistentvolumeclaims".to_owned(), one())]);
    let class = str_at(claim, &["spec", "storageClassName"]);
    let storage = at(claim, &["spec", "resources", "requests", "storage"]).and_then(Quantity::from_json);
    if let Some(storage) = &storage {
        usage.insert("requests.storage".to_owned(), *storage);
    }
    if !class.is_empty() {
        usage.insert(format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), one());
        if let Some(storage) = storage {
            usage.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), storage);
        }
    }
    usage
}

/// The limits of a quota.
fn hard(quota: &Value) -> Usage {
    let hard = at(quota, &["spec", "hard"]).and_then(Value::as_object).into_iter().flatten();
    hard.filter_map(|(name, value)| Some((name.clone(), Quantity::from_json(value)?))).collect()
}

/// The resource whose objects count towards a limit of this name.
fn counted_resource(name: &str) -> GroupResource {
    if let Some(counted) = name.strip_prefix("count/") {
        let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
        return GroupResource::new(group, resource);
    }
    let resource = match name {
        "services" | "services.nodeports" | "services.loadbalancers" => "services",
        "secrets" | "configmaps" | "replicationcontrollers" | "resourcequotas" => name,
        "persistentvolumeclaims" | "requests.storage" => "persistentvolumeclaims",
        name if name.contains(".storageclass.storage.k8s.io/") => "persistentvolumeclaims",
        _ => "pods",
    };
    GroupResource::new("", resource)
}

fn is_pods(resource: &GroupResource) -> bool {
    resource.group.is_empty() && &*resource.resource == "pods"
}

fn is_claims(resource: &GroupResource) -> bool {
    resource.group.is_empty() && &*resource.resource == "persistentvolumeclaims"
}

impl ApiServer {
    /// What is used now of each of a quota's limits.
    pub fn quota_used(&mut self, quota: &Value) -> Usage {
        self.quotas.used(&self.store, quota)
    }
}

/// Refuses what would use more than a quota leaves.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    let target = attributes.target;
    let whole = target.subresource.is_empty() || target.subresource == "resize";
    if target.namespace.is_empty() || !whole || attributes.operation == Operation::Delete {
        return Ok(());
    }
    let quotas = GroupResource::literal("", "resourcequotas");
    let resource = target.resource.storage.resource.clone();
    let quotas: Vec<Value> = api.store.list(&quotas, Some(&target.namespace)).map(|quota| quota.value()).collect();
    if quotas.is_empty() {
        return Ok(());
    }
    let counted = Counted::of(object);
    let wanted = counted.usage(&resource);
    let before = attributes.old.map(|old| Counted::of(old).usage(&resource)).unwrap_or_default();
    // Only growth is judged.
    let mut delta = Usage::new();
    for (name, amount) in &wanted {
        let growth = match before.get(name) {
            Some(before) if before >= amount => continue,
            Some(before) => *amount - *before,
            None => *amount,
        };
        delta.insert(name.clone(), growth);
    }
    let takes_in = |quota: &&Value| quota.get("spec").is_some_and(|spec| counted.in_scope(spec, &resource));
    for quota in quotas.iter().filter(takes_in) {
        judge(api, attributes, quota, object, &delta)?;
    }
    Ok(())
}

fn judge(api: &mut ApiServer, attributes: &Attributes<'_>, quota: &Value, object: &Value, delta: &Usage) -> Result<()> {
    let limits = hard(quota);
    let name = str_at(quota, &["metadata", "name"]);
    if attributes.is("", "pods") && attributes.operation == Operation::Create {
        let missing = missing(object, &limits);
        if !missing.is_empty() {
            return Err(attributes.forbidden(&format!("failed quota: {name}: must specify {missing}")));
        }
    }
    if !delta.keys().any(|wanted| limits.contains_key(wanted)) {
        return Ok(());
    }
    let used = api.quota_used(quota);
    let zero = |name: &str| Quantity::new(0, limits[name].format());
    let exceeded: Vec<&String> = delta
        .iter()
        .filter(|(name, amount)| {
            limits.get(*name).is_some_and(|limit| {
                let there = used.get(*name).cloned().unwrap_or_else(|| zero(name));
                there + **amount > *limit
            })
        })
        .map(|(name, _)| name)
        .collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    let show = |amounts: &Usage| {
        let parts = exceeded.iter().map(|name| format!("{name}={}", amounts.get(*name).cloned().unwrap_or_else(|| zero(name))));
        parts.collect::<Vec<_>>().join(",")
    };
    let why = format!("exceeded quota: {name}, requested: {}, used: {}, limited: {}", show(delta), show(&used), show(&limits));
    Err(attributes.forbidden(&why))
}

/// Which limited compute resources the pod's containers do not name, and which containers: `requests.cpu for: a,b`.
fn missing(pod: &Value, limits: &Usage) -> String {
    let mut out = Vec::new();
    for name in limits.keys() {
        let Some((_, kind, resource)) = COMPUTE.iter().find(|(known, ..)| known == name) else { continue };
        let lists = ["containers", "initContainers"];
        let containers = lists.iter().flat_map(|list| list_at(pod, &["spec", list]));
        let silent = containers.filter(|container| at(container, &["resources", kind, resource]).is_none());
        let names: BTreeSet<&str> = silent.map(|container| str_at(container, &["name"])).collect();
        if !names.is_empty() {
            out.push(format!("{name} for: {}", names.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    out.join("; ")
}
