//! How pods are spread that do not say how: over nodes and zones with their like, where that can be had.

use object::value::at;
use object::{GroupResource, LabelSelector, Value, json};
use store::{Event, Key, Store, View};

use crate::config::Profile;
use crate::plugins::Defaults;
use crate::pod_info::{PodInfo, SpreadConstraint};

/// Kubernetes' own constraints: topology key and skew.
const SYSTEM: [(&str, i64); 2] = [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)];

/// What a Service selects.
struct Selected {
    labels: Value,
    selector: LabelSelector,
}

impl View for Selected {
    fn of(object: &Value) -> Self {
        let labels = at(object, &["spec", "selector"]).cloned().unwrap_or_default();
        let chosen = object::meta::string_map(Some(&labels));
        let selector = if chosen.is_empty() { LabelSelector::nothing() } else { LabelSelector::from_map(&chosen) };
        Selected { labels, selector }
    }
}

/// The constraints of a pod without any: its like are those that its Services and its controller select.
pub(crate) fn constraints(pod: &PodInfo, store: &Store, profile: &Profile) -> Defaults {
    let system = profile.spread.is_none();
    if !pod.spread.is_empty() {
        return Defaults::default();
    }
    let mut labels = json!({});
    for service in store.list(&GroupResource::literal("", "services"), Some(&pod.namespace)) {
        let selected = service.view::<Selected>();
        if selected.selector.matches(&pod.labels)
            && let (Some(all), Some(more)) = (labels.as_object_mut(), selected.labels.as_object())
        {
            all.extend(more.clone());
        }
    }
    let (more, expressions) = of_controller(pod, store);
    if let (Some(all), Some(more)) = (labels.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    let selector = json!({"matchLabels": labels, "matchExpressions": expressions});
    let spread = match LabelSelector::from_json(&selector) {
        Ok(selector) if !selector.is_empty() => match &profile.spread {
            Some(list) => list.iter().map(|c| SpreadConstraint { selector: selector.clone(), ..c.clone() }).collect(),
            None => SYSTEM.iter().map(|(key, skew)| soft(key, *skew, &selector)).collect(),
        },
        _ => Vec::new(),
    };
    Defaults { spread, system }
}

/// Whether a change may alter what [`constraints`] finds.
pub(crate) fn concerns(event: &Event) -> bool {
    let GroupResource { group, resource } = &event.key().resource;
    match (&**group, &**resource) {
        ("", "services") => match (&event.old, &event.new) {
            (Some(old), Some(new)) => old.view::<Selected>().labels != new.view::<Selected>().labels,
            _ => true,
        },
        ("", "replicationcontrollers") | ("apps", "replicasets" | "statefulsets") => match (&event.old, &event.new) {
            (Some(old), Some(new)) => old.meta.generation != new.meta.generation,
            _ => true,
        },
        _ => false,
    }
}

/// Labels and expressions by which the pod's controller selects it.
fn of_controller(pod: &PodInfo, store: &Store) -> (Value, Value) {
    let nothing = (json!({}), json!([]));
    let Some((version, kind, name)) = &pod.controller else { return nothing };
    let (group, resource) = match (version.as_str(), kind.as_str()) {
        ("v1", "ReplicationController") => ("", "replicationcontrollers"),
        ("apps/v1", "ReplicaSet") => ("apps", "replicasets"),
        ("apps/v1", "StatefulSet") => ("apps", "statefulsets"),
        _ => return nothing,
    };
    let key = Key::new(&GroupResource::new(group, resource), &pod.namespace, name);
    let Some(object) = store.get(&key) else { return nothing };
    let Selector(selector) = object.view::<Selector>();
    if group.is_empty() {
        return (selector.clone(), json!([]));
    }
    let part = |name: &str, default: Value| selector.get(name).cloned().unwrap_or(default);
    (part("matchLabels", json!({})), part("matchExpressions", json!([])))
}

/// The selector of a workload.
struct Selector(Value);

impl View for Selector {
    fn of(object: &Value) -> Self {
        Selector(at(object, &["spec", "selector"]).cloned().unwrap_or_default())
    }
}

fn soft(key: &str, max_skew: i64, selector: &LabelSelector) -> SpreadConstraint {
    SpreadConstraint {
        max_skew,
        topology_key: key.to_owned(),
        required: false,
        selector: selector.clone(),
        min_domains: None,
        honors_affinity: true,
        honors_taints: false,
    }
}
