//! Horizontal pod autoscalers: version 1 knows one metric, processor use, and keeps everything else in annotations
//! (`pkg/apis/autoscaling/v1/conversion.go`).

use object::value::{at, object_at};
use object::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Version 1 to 2.
pub(super) fn to_v2(autoscaler: &mut Value) {
    let mut metrics = take_list(autoscaler, METRICS);
    let current = take_list(autoscaler, CURRENT_METRICS);
    let conditions = take_list(autoscaler, CONDITIONS);
    let behavior = take_annotation(autoscaler, BEHAVIOR).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let spec = object_at(autoscaler, &["spec"]);
    let use_of_cpu = match spec.remove("targetCPUUtilizationPercentage") {
        // Without any metric there is a default one.
        None | Some(Value::Null) if metrics.is_empty() => Some(json!(80)),
        None | Some(Value::Null) => None,
        Some(percent) => Some(percent),
    };
    if let Some(percent) = use_of_cpu {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    spec.insert("metrics".to_owned(), Value::Array(metrics));
    if let Some(behavior) = behavior {
        spec.insert("behavior".to_owned(), behavior);
    }
    let status = object_at(autoscaler, &["status"]);
    let mut current = current;
    if let Some(percent) = status.remove("currentCPUUtilizationPercentage") {
        current.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}));
    }
    if status.get("currentReplicas") == Some(&json!(0)) {
        status.remove("currentReplicas");
    }
    status.insert("currentMetrics".to_owned(), if current.is_empty() { Value::Null } else { Value::Array(current) });
    if !conditions.is_empty() {
        status.insert("conditions".to_owned(), Value::Array(conditions));
    }
}

/// Version 2 to 1.
pub(super) fn to_v1(autoscaler: &mut Value) {
    let spec = object_at(autoscaler, &["spec"]);
    let mut metrics = take_array(spec, "metrics");
    let behavior = spec.remove("behavior");
    let cpu = metrics.iter().position(|m| {
        at(m, &["resource", "name"]) == Some(&json!("cpu")) && at(m, &["resource", "target", "averageUtilization"]).is_some()
    });
    if let Some(metric) = cpu.map(|i| metrics.remove(i))
        && let Some(percent) = at(&metric, &["resource", "target", "averageUtilization"])
    {
        spec.insert("targetCPUUtilizationPercentage".to_owned(), percent.clone());
    }
    let status = object_at(autoscaler, &["status"]);
    let mut current = take_array(status, "currentMetrics");
    let conditions = take_array(status, "conditions");
    let used = current.iter().position(|m| at(m, &["resource", "name"]) == Some(&json!("cpu")));
    if let Some(metric) = used.map(|i| current.remove(i))
        && let Some(percent) = at(&metric, &["resource", "current", "averageUtilization"])
    {
        status.insert("currentCPUUtilizationPercentage".to_owned(), percent.clone());
    }
    for count in ["currentReplicas", "desiredReplicas"] {
        status.entry(count).or_insert(json!(0));
    }
    for (key, list) in [(METRICS, metrics), (CURRENT_METRICS, current), (CONDITIONS, conditions)] {
        if !list.is_empty() {
            annotate(autoscaler, key, &Value::Array(list));
        }
    }
    if let Some(behavior) = behavior {
        annotate(autoscaler, BEHAVIOR, &behavior);
    }
}

fn take_array(map: &mut Map<String, Value>, key: &str) -> Vec<Value> {
    match map.remove(key) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn take_annotation(object: &mut Value, key: &str) -> Option<String> {
    let annotations = object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(key)?;
    if annotations.is_empty() {
        object_at(object, &["metadata"]).remove("annotations");
    }
    text.as_str().map(str::to_owned)
}

fn take_list(object: &mut Value, key: &str) -> Vec<Value> {
    take_annotation(object, key).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn annotate(object: &mut Value, key: &str, value: &Value) {
    object_at(object, &["metadata", "annotations"]).insert(key.to_owned(), value.to_string().into());
}
