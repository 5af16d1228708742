//! Autoscalers (`v2`, as they are stored) and disruption budgets.

use object::Value;
use object::quantity::Quantity;

use super::errors::{Errors, Path, items, text};
use super::{deep, field, selector};

pub(super) fn autoscaler(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let (least, most) = (field(spec, "minReplicas"), field(spec, "maxReplicas"));
    let most_value = most.as_i64().unwrap_or(0);
    if least.as_i64().is_some_and(|n| n < 1) {
        e.invalid(&path.child("minReplicas"), least, "must be greater than or equal to 1");
    }
    if most_value < 1 {
        e.invalid(&path.child("maxReplicas"), &most_value.into(), "must be greater than 0");
    }
    if least.as_i64().is_some_and(|n| most_value < n) {
        e.invalid(&path.child("maxReplicas"), &most_value.into(), "must be greater than or equal to `minReplicas`");
    }
    target(e, field(spec, "scaleTargetRef"), &path.child("scaleTargetRef"));
    let list = path.child("metrics");
    let metrics = items(field(spec, "metrics"));
    for (i, one) in metrics.iter().enumerate() {
        metric(e, one, &list.index(i));
    }
    let countable = |m: &Value| matches!(text(field(m, "type")), "Object" | "External");
    if least.as_i64() == Some(0) && !metrics.iter().any(countable) {
        e.forbidden(&list, "must specify at least one Object or External metric to support scaling to zero replicas");
    }
    let behavior = path.child("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        let rules = deep(spec, &["behavior", direction]);
        if !rules.is_null() {
            scaling_rules(e, rules, &behavior.child(direction));
        }
    }
}

fn target(e: &mut Errors, target: &Value, path: &Path<'_>) {
    reference(e, target, path);
    let version = text(field(target, "apiVersion"));
    if !version.contains('/') && text(field(target, "kind")) != "ReplicationController" {
        e.invalid(&path.child("apiVersion"), &version.into(), "apiVersion must specify API group");
    }
}

/// `ValidateCrossVersionObjectReference`.
fn reference(e: &mut Errors, target: &Value, path: &Path<'_>) {
    for key in ["kind", "name"] {
        match text(field(target, key)) {
            "" => e.required(&path.child(key), ""),
            name => e.name(&path.child(key), name, object::names::path_segment),
        }
    }
}

/// Sources of metrics as they are looked at: the field and the type that goes with it.
const SOURCES: [(&str, &str); 5] = [
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];

fn metric(e: &mut Errors, metric: &Value, path: &Path<'_>) {
    let kind = field(metric, "type");
    let expected = SOURCES.iter().find(|(_, of)| *of == text(kind)).map(|(key, _)| *key);
    let known = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    if text(kind).is_empty() {
        e.required(&path.child("type"), "must specify a metric source type");
    }
    if expected.is_none() {
        e.unsupported(&path.child("type"), &text(kind).into(), &known);
    }
    let present: Vec<&str> = SOURCES.iter().map(|(key, _)| *key).filter(|key| !field(metric, key).is_null()).collect();
    if let Some(first) = present.first() {
        source(e, first, field(metric, first), &path.child(first));
    }
    match expected {
        Some(key) if field(metric, key).is_null() => {
            e.required(&path.child(key), "must populate information for the given metric source");
        }
        Some(_) => {}
        // Kubernetes says so twice: once for the type, once for the source that follows from it.
        None => e.unsupported(&path.child("type"), &text(kind).into(), &known),
    }
    if present.len() != 1 {
        for key in present.iter().filter(|key| Some(**key) != expected) {
            e.forbidden(&path.child(key), "must populate the given metric source only");
        }
    }
}

fn source(e: &mut Errors, kind: &str, source: &Value, path: &Path<'_>) {
    let (stated, at) = (field(source, "target"), path.child("target"));
    let has = |key: &str| !field(stated, key).is_null();
    if kind.to_lowercase().ends_with("resource") {
        for (key, what) in [("name", "a resource name"), ("container", "a container")] {
            if text(field(source, key)).is_empty() && (key == "name" || kind == "containerResource") {
                e.required(&path.child(key), &format!("must specify {what}"));
            }
        }
        metric_target(e, stated, &at);
        match (has("averageUtilization"), has("averageValue")) {
            (false, false) => {
                let detail = "must set either a target raw value or a target utilization";
                e.required(&at.child("averageUtilization"), detail);
            }
            (true, true) => {
                let detail = "may not set both a target raw value and a target utilization";
                e.forbidden(&at.child("averageValue"), detail);
            }
            _ => {}
        }
        return;
    }
    if kind == "object" {
        reference(e, field(source, "describedObject"), &path.child("describedObject"));
    }
    let metric = path.child("metric");
    match text(deep(source, &["metric", "name"])) {
        "" => e.required(&metric.child("name"), "must specify a metric name"),
        name => e.name(&metric.child("name"), name, object::names::path_segment),
    }
    metric_target(e, stated, &at);
    if kind == "pods" {
        if !is_positive(field(stated, "averageValue")) {
            e.required(&at.child("averageValue"), "must specify a positive target averageValue");
        }
        return;
    }
    match (has("value"), has("averageValue")) {
        (false, false) => {
            e.required(&at.child("averageValue"), "must set either a target value for metric or a per-pod target");
        }
        (true, true) => {
            let key = if kind == "object" { "averageValue" } else { "value" };
            e.forbidden(&at.child(key), "may not set both a target value for metric and a per-pod target");
        }
        _ => {}
    }
}

fn is_positive(value: &Value) -> bool {
    Quantity::from_json(value).is_some_and(|q| q.sign() > 0)
}

/// `validateMetricTarget`.
fn metric_target(e: &mut Errors, target: &Value, path: &Path<'_>) {
    let kind = field(target, "type");
    match text(kind) {
        "" => {
            e.required(&path.child("type"), "must specify a metric target type");
            e.invalid(&path.child("type"), &"".into(), "must be either Utilization, Value, or AverageValue");
        }
        "Utilization" | "Value" | "AverageValue" => {}
        _ => e.invalid(&path.child("type"), kind, "must be either Utilization, Value, or AverageValue"),
    }
    for key in ["value", "averageValue"] {
        let value = field(target, key);
        if !value.is_null() && !is_positive(value) {
            let shown = Quantity::from_json(value).unwrap_or_default().to_string();
            e.invalid(&path.child(key), &shown.into(), "must be positive");
        }
    }
    let percent = field(target, "averageUtilization");
    if percent.as_i64().is_some_and(|p| p < 1) {
        e.invalid(&path.child("averageUtilization"), percent, "must be greater than 0");
    }
}

fn scaling_rules(e: &mut Errors, rules: &Value, path: &Path<'_>) {
    let window = field(rules, "stabilizationWindowSeconds");
    if window.as_i64().is_some_and(|w| w < 0) {
        e.invalid(&path.child("stabilizationWindowSeconds"), window, "must be greater than or equal to zero");
    }
    if window.as_i64().is_some_and(|w| w > 3_600) {
        e.invalid(&path.child("stabilizationWindowSeconds"), window, "must be less than or equal to 3600");
    }
    e.one_of_if_any(&path.child("selectPolicy"), field(rules, "selectPolicy"), &["Disabled", "Max", "Min"]);
    let list = path.child("policies");
    let policies = items(field(rules, "policies"));
    if policies.is_empty() {
        e.required(&list, "must specify at least one Policy");
    }
    for (i, policy) in policies.iter().enumerate() {
        let path = list.index(i);
        if !matches!(text(field(policy, "type")), "Pods" | "Percent") {
            e.unsupported(&path.child("type"), field(policy, "type"), &["Percent", "Pods"]);
        }
        let positive = |e: &mut Errors, key: &str, most: Option<i64>| {
            let number = field(policy, key).as_i64().unwrap_or(0);
            if number <= 0 {
                e.invalid(&path.child(key), &number.into(), "must be greater than zero");
            } else if let Some(most) = most.filter(|m| number > *m) {
                e.invalid(&path.child(key), &number.into(), &format!("must be less than or equal to {most}"));
            }
        };
        positive(e, "value", None);
        positive(e, "periodSeconds", Some(1_800));
    }
    if let Some(tolerance) = Quantity::from_json(field(rules, "tolerance")).filter(|t| t.sign() < 0) {
        e.invalid(&path.child("tolerance"), &tolerance.to_string().into(), super::errors::NOT_NEGATIVE);
    }
}

pub(super) fn disruption_budget(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let (least, most) = (field(spec, "minAvailable"), field(spec, "maxUnavailable"));
    if !least.is_null() && !most.is_null() {
        let shown = format!(
            "{{\"MinAvailable\":{least},\"Selector\":{},\"MaxUnavailable\":{most},\"UnhealthyPodEvictionPolicy\":{}}}",
            field(spec, "selector"),
            field(spec, "unhealthyPodEvictionPolicy")
        );
        e.invalid_shown(&path, &shown, "minAvailable and maxUnavailable cannot be both set");
    }
    for (key, value) in [("minAvailable", least), ("maxUnavailable", most)] {
        e.int_or_percent(&path.child(key), value);
        e.at_most_100_percent(&path.child(key), value);
    }
    selector::label_selector(e, field(spec, "selector"), &path.child("selector"));
    let policy = field(spec, "unhealthyPodEvictionPolicy");
    e.one_of_if_any(&path.child("unhealthyPodEvictionPolicy"), policy, &["AlwaysAllow", "IfHealthyBudget"]);
}
