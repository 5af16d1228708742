//! What a pod asks of a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::quantity::Quantity;
use crate::value::{at, list_at, str_at};

/// Amounts by resource name, as integers: `cpu` in thousandths, everything else in units (bytes, pieces).
pub type ResourceList = BTreeMap<String, i64>;

/// Reads a resource list such as `requests` or `allocatable`.
pub fn resource_list(list: Option<&Value>) -> ResourceList {
    let amount = |name: &str, value: &Value| {
        let quantity = Quantity::from_json(value)?;
        Some(if name == "cpu" { quantity.milli_value() } else { quantity.value() })
    };
    list.and_then(Value::as_object)
        .map(|map| map.iter().filter_map(|(name, value)| Some((name.clone(), amount(name, value)?))).collect())
        .unwrap_or_default()
}

/// For fields of decoded structures: reads a resource list as [`resource_list`] does.
pub fn deserialize_resource_list<'de, D: Deserializer<'de>>(from: D) -> Result<ResourceList, D::Error> {
    Ok(resource_list(Option::<Value>::deserialize(from)?.as_ref()))
}

/// What a pod with this `spec` asks of a node.
pub fn pod_requests(spec: &Value) -> ResourceList {
    let requests = |container: &Value| resource_list(at(container, &["resources", "requests"]));
    total_requests(
        list_at(spec, &["containers"]).iter().map(requests),
        list_at(spec, &["initContainers"]).iter().map(|c| (requests(c), str_at(c, &["restartPolicy"]) == "Always")),
        at(spec, &["resources", "requests"]).map(|whole| resource_list(Some(whole))),
        &resource_list(spec.get("overhead")),
    )
}

/// What a pod asks of a node; see [`Parts`]. Of init containers it is said whether they are sidecars.
pub fn total_requests(
    containers: impl Iterator<Item = ResourceList>,
    init_containers: impl Iterator<Item = (ResourceList, bool)>,
    whole: Option<ResourceList>,
    overhead: &ResourceList,
) -> ResourceList {
    let mut total = Parts::new(i64::saturating_add).total(containers, init_containers);
    total.extend(whole.into_iter().flatten());
    add(&mut total, overhead, i64::saturating_add);
    total
}

/// The exact `requests` or `limits` of a pod with this `spec`. Overhead belongs to the limits only of what is limited.
pub fn pod_quantities(spec: &Value, kind: &str) -> BTreeMap<String, Quantity> {
    let amounts = |list: Option<&Value>| -> BTreeMap<String, Quantity> {
        let map = list.and_then(Value::as_object).into_iter().flatten();
        map.filter_map(|(name, value)| Some((name.clone(), Quantity::from_json(value)?))).collect()
    };
    let of = |container: &Value| amounts(at(container, &["resources", kind]));
    let init = list_at(spec, &["initContainers"]).iter().map(|c| (of(c), str_at(c, &["restartPolicy"]) == "Always"));
    let sum = |a: Quantity, b: Quantity| a + b;
    let mut total = Parts::new(sum).total(list_at(spec, &["containers"]).iter().map(of), init);
    total.extend(of(spec));
    let mut overhead = amounts(spec.get("overhead"));
    overhead.retain(|name, _| kind == "requests" || total.contains_key(name));
    add(&mut total, &overhead, sum);
    total
}

/// How the amounts of containers make those of a pod: the sum over main containers and sidecars, or what the greediest moment
/// of the start needs, whichever is more.
struct Parts<A> {
    sum: fn(A, A) -> A,
}

impl<A: Copy + PartialOrd> Parts<A> {
    fn new(sum: fn(A, A) -> A) -> Self {
        Parts { sum }
    }

    fn total(
        &self,
        containers: impl Iterator<Item = BTreeMap<String, A>>,
        init_containers: impl Iterator<Item = (BTreeMap<String, A>, bool)>,
    ) -> BTreeMap<String, A> {
        let (mut total, mut sidecars, mut start) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for amounts in containers {
            add(&mut total, &amounts, self.sum);
        }
        for (mut moment, is_sidecar) in init_containers {
            if is_sidecar {
                add(&mut total, &moment, self.sum);
                add(&mut sidecars, &moment, self.sum);
                moment = sidecars.clone();
            } else {
                add(&mut moment, &sidecars, self.sum);
            }
            most(&mut start, moment);
        }
        most(&mut total, start);
        total
    }
}

fn add<A: Copy>(to: &mut BTreeMap<String, A>, more: &BTreeMap<String, A>, sum: fn(A, A) -> A) {
    for (name, amount) in more {
        let there = to.get(name).copied();
        to.insert(name.clone(), there.map_or(*amount, |there| sum(there, *amount)));
    }
}

fn most<A: Copy + PartialOrd>(to: &mut BTreeMap<String, A>, other: BTreeMap<String, A>) {
    for (name, amount) in other {
        if to.get(&name).is_none_or(|there| *there < amount) {
            to.insert(name, amount);
        }
    }
}

/// The quality-of-service class of a pod with this `spec`: `Guaranteed`, `Burstable` or `BestEffort`. Only cpu and memory
/// count, and amounts of zero do not.
pub fn qos_class(spec: &Value) -> &'static str {
    let containers = || list_at(spec, &["containers"]).iter().chain(list_at(spec, &["initContainers"]));
    let amounts = |container: &Value, which: &str| -> ResourceList {
        let mut list = resource_list(at(container, &["resources", which]));
        list.retain(|name, amount| matches!(name.as_str(), "cpu" | "memory") && *amount > 0);
        list
    };
    let whole = spec.get("resources").filter(|r| r.get("requests").is_some() || r.get("limits").is_some());
    let parts: Vec<(ResourceList, ResourceList)> = match whole {
        Some(_) => vec![(amounts(spec, "requests"), amounts(spec, "limits"))],
        None => containers().map(|c| (amounts(c, "requests"), amounts(c, "limits"))).collect(),
    };
    if parts.iter().all(|(requests, limits)| requests.is_empty() && limits.is_empty()) {
        "BestEffort"
    } else if parts.iter().all(|(requests, limits)| limits.len() == 2 && requests.iter().all(|(n, a)| limits.get(n) == Some(a))) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asks(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> Value {
        json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn requests_are_the_greediest_moment() {
        for (name, spec, milli) in [
            ("sum of the main containers", json!({"containers": [asks("100m"), asks("0.2")]}), 300),
            ("a greedy init container", json!({"containers": [asks("100m")], "initContainers": [asks("1"), asks("500m")]}), 1000),
            ("a sidecar runs beside", json!({"containers": [asks("100m")], "initContainers": [sidecar("50m")]}), 150),
            (
                "an init container after a sidecar runs beside it",
                json!({"containers": [asks("100m")], "initContainers": [sidecar("50m"), asks("1")]}),
                1050,
            ),
            ("overhead", json!({"containers": [asks("100m")], "overhead": {"cpu": "10m"}}), 110),
            ("for the whole pod", json!({"containers": [asks("100m")], "resources": {"requests": {"cpu": "2"}}}), 2000),
        ] {
            assert_eq!(pod_requests(&spec).get("cpu"), Some(&milli), "{name}");
        }
    }

    #[test]
    fn quantities_are_exact() {
        let limits = json!({"cpu": "1", "memory": "1Gi"});
        let spec = json!({
            "containers": [{"resources": {"limits": limits}}],
            "initContainers": [{"restartPolicy": "Always", "resources": {"limits": {"cpu": "500m"}}}],
            "resources": {"limits": {"memory": "3Gi"}},
            "overhead": {"cpu": "1m", "ephemeral-storage": "1"},
        });
        let shown: Vec<String> = pod_quantities(&spec, "limits").iter().map(|(name, q)| format!("{name}={q}")).collect();
        assert_eq!(shown, ["cpu=1501m", "memory=3Gi"]);
    }

    #[test]
    fn quality_of_service() {
        let container = |resources: Value| json!({"containers": [{"resources": resources}]});
        for (name, spec, class) in [
            ("nothing asked", container(json!({})), "BestEffort"),
            ("zero is nothing", container(json!({"requests": {"cpu": "0"}})), "BestEffort"),
            ("a request", container(json!({"requests": {"cpu": "1"}})), "Burstable"),
            ("one limit only", container(json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})), "Burstable"),
            (
                "limits equal requests",
                container(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}})),
                "Guaranteed",
            ),
            (
                "limits above requests",
                container(json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})),
                "Burstable",
            ),
        ] {
            assert_eq!(qos_class(&spec), class, "{name}");
        }
    }
}
