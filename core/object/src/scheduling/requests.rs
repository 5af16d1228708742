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

/// What a pod asks of a node: the sum over its main containers and sidecars, or what the greediest moment of its start
/// needs, whichever is more; plus overhead. Of init containers it is said whether they are sidecars. What is asked for
/// the `whole` pod goes before.
pub fn total_requests(
    containers: impl Iterator<Item = ResourceList>,
    init_containers: impl Iterator<Item = (ResourceList, bool)>,
    whole: Option<ResourceList>,
    overhead: &ResourceList,
) -> ResourceList {
    let mut total = ResourceList::new();
    for requests in containers {
        add(&mut total, &requests);
    }
    let mut sidecars = ResourceList::new();
    let mut start = ResourceList::new();
    for (mut moment, is_sidecar) in init_containers {
        if is_sidecar {
            add(&mut total, &moment);
            add(&mut sidecars, &moment);
            moment = sidecars.clone();
        } else {
            add(&mut moment, &sidecars);
        }
        most(&mut start, &moment);
    }
    most(&mut total, &start);
    if let Some(whole) = whole {
        total.extend(whole);
    }
    add(&mut total, overhead);
    total
}

fn add(to: &mut ResourceList, more: &ResourceList) {
    for (name, amount) in more {
        let here = to.entry(name.clone()).or_default();
        *here = here.saturating_add(*amount);
    }
}

fn most(to: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        let here = to.entry(name.clone()).or_default();
        *here = (*here).max(*amount);
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
