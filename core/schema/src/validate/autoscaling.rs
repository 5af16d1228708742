//! Autoscalers (`v2`, as they are stored) and disruption budgets.

use object::Value;

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
    for key in ["kind", "name"] {
        match text(field(target, key)) {
            "" => e.required(&path.child(key), ""),
            name => e.name(&path.child(key), name, object::names::path_segment),
        }
    }
    let version = text(field(target, "apiVersion"));
    if !version.contains('/') && text(field(target, "kind")) != "ReplicationController" {
        e.invalid(&path.child("apiVersion"), &version.into(), "apiVersion must specify API group");
    }
}

fn metric(e: &mut Errors, metric: &Value, path: &Path<'_>) {
    let kind = field(metric, "type");
    let source = match text(kind) {
        "" => return e.required(&path.child("type"), "must specify a metric source type"),
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => {
            // Kubernetes says so twice: once for the type, once for the source that follows from it.
            let known = ["ContainerResource", "External", "Object", "Pods", "Resource"];
            e.unsupported(&path.child("type"), kind, &known);
            return e.unsupported(&path.child("type"), kind, &known);
        }
    };
    let found = field(metric, source);
    let at = path.child(source);
    if found.is_null() {
        return e.required(&at, "must populate information for the given metric source");
    }
    let target = at.child("target");
    let has = |key: &str| !deep(found, &["target", key]).is_null();
    if source.to_lowercase().ends_with("resource") {
        if text(field(found, "name")).is_empty() {
            e.required(&at.child("name"), "must specify a resource name");
        }
        match (has("averageUtilization"), has("averageValue")) {
            (false, false) => {
                let detail = "must set either a target raw value or a target utilization";
                e.required(&target.child("averageUtilization"), detail);
            }
            (true, true) => {
                let detail = "may not set both a target raw value and a target utilization";
                e.forbidden(&target.child("averageValue"), detail);
            }
            _ => {}
        }
        let percent = deep(found, &["target", "averageUtilization"]);
        if percent.as_i64().is_some_and(|p| p < 1) {
            e.invalid(&target.child("averageUtilization"), percent, "must be greater than 0");
        }
    } else if !has("value") && !has("averageValue") {
        e.required(&target.child("averageValue"), "must set either a target value for metric or a per-pod target");
    }
}

fn scaling_rules(e: &mut Errors, rules: &Value, path: &Path<'_>) {
    let window = field(rules, "stabilizationWindowSeconds");
    e.not_negative(&path.child("stabilizationWindowSeconds"), window);
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
