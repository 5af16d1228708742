//! Rules of autoscaling (`pkg/apis/autoscaling/v2/defaults.go`).

use object::{Map, Value, json};

use super::or_insert;

/// Without metrics, processor use is kept at 80%.
pub(super) fn spec(spec: &mut Map<String, Value>) {
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec.insert("metrics".to_owned(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
}

/// `SetDefaults_HorizontalPodAutoscalerBehavior`: both directions, as soon as one is given.
pub(super) fn behavior(behavior: &mut Map<String, Value>) {
    let up = json!([
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]);
    let down = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
    for (direction, policies, window) in [("scaleUp", up, Some(0)), ("scaleDown", down, None)] {
        let rules = behavior.entry(direction).or_insert_with(|| json!({}));
        let Some(rules) = rules.as_object_mut() else { continue };
        or_insert(rules, "selectPolicy", "Max");
        if let Some(seconds) = window {
            or_insert(rules, "stabilizationWindowSeconds", seconds);
        }
        or_insert(rules, "policies", policies);
    }
}
