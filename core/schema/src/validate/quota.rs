//! Quotas and ranges of limits: how much of what there may be.

use std::collections::BTreeSet;

use object::quantity::Quantity;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, resources};

pub(super) fn resource_quota(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    amounts(e, field(spec, "hard"), &path.child("hard"));
    scopes(e, spec, &path.child("scopes"));
    let wanted = field(spec, "scopeSelector");
    if !wanted.is_null() {
        let at = path.child("scopeSelector");
        scope_selector(e, spec, wanted, &at.child("matchExpressions"));
    }
    let sorted = |spec: &Value| -> BTreeSet<String> { items(field(spec, "scopes")).iter().map(|s| text(s).to_owned()).collect() };
    match old {
        Some(old) if sorted(spec) != sorted(field(old, "spec")) => {
            e.invalid(&path.child("scopes"), field(spec, "scopes"), "field is immutable");
        }
        Some(_) => {}
        None => status(e, object),
    }
}

pub(super) fn status(e: &mut Errors, object: &Value) {
    let path = Path::root("status");
    for key in ["hard", "used"] {
        amounts(e, deep(object, &["status", key]), &path.child(key));
    }
}

fn amounts(e: &mut Errors, amounts: &Value, path: &Path<'_>) {
    for (name, amount) in amounts.as_object().into_iter().flatten() {
        let path = path.key(name);
        resources::quota_resource_name(e, name, &path);
        resources::quantity(e, name, amount, &path);
    }
}

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

/// `IsResourceQuotaScopeValidForResource`.
fn counts(scope: &str, resource: &str) -> bool {
    let computed = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"].contains(&resource)
        && scope != "BestEffort";
    match scope {
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ if !SCOPES.contains(&scope) => true,
        _ => resource == "pods" || computed,
    }
}

/// The resources that a quota names and a scope cannot count.
fn uncounted(spec: &Value, scope: &str) -> usize {
    let hard = field(spec, "hard").as_object().into_iter().flatten();
    hard.filter(|(name, _)| resources::is_for_quota(name) && !counts(scope, name)).count()
}

fn scopes(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let all = field(spec, "scopes");
    for scope in items(all) {
        if !SCOPES.contains(&text(scope)) {
            e.invalid(path, all, "unsupported scope");
        }
        for _ in 0..uncounted(spec, text(scope)) {
            e.invalid(path, all, "unsupported scope applied to resource");
        }
    }
    let named: Vec<&str> = items(all).iter().map(text).collect();
    conflicts(e, &named, all, path);
}

fn conflicts(e: &mut Errors, named: &[&str], shown: &Value, path: &Path<'_>) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| named.contains(scope)) {
            e.invalid(path, shown, "conflicting scopes");
        }
    }
}

/// A selector as Go's internal type is written.
fn shown_selector(selector: &Value) -> String {
    let one = |x: &Value| {
        let values = match field(x, "values") {
            Value::Null => "null".to_owned(),
            values => values.to_string(),
        };
        let (scope, operator) = (text(field(x, "scopeName")), text(field(x, "operator")));
        format!("{{\"ScopeName\":{scope:?},\"Operator\":{operator:?},\"Values\":{values}}}")
    };
    let list: Vec<String> = items(field(selector, "matchExpressions")).iter().map(one).collect();
    format!("{{\"MatchExpressions\":[{}]}}", list.join(","))
}

/// `validateScopedResourceSelectorRequirement`; its paths do not say which expression.
fn scope_selector(e: &mut Errors, spec: &Value, wanted: &Value, path: &Path<'_>) {
    let expressions = items(field(wanted, "matchExpressions"));
    for expression in expressions {
        let scope = field(expression, "scopeName");
        if !SCOPES.contains(&text(scope)) {
            e.invalid(&path.child("scopeName"), &text(scope).into(), "unsupported scope");
        }
        for _ in 0..uncounted(spec, text(scope)) {
            e.invalid_shown(path, &shown_selector(wanted), "unsupported scope applied to resource");
        }
        let (operator, values) = (text(field(expression, "operator")), field(expression, "values"));
        let only_exists = !matches!(text(scope), "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&text(scope));
        if only_exists && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                          ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            e.invalid(&path.child("operator"), &operator.into(), detail);
        }
        match operator {
            "In" | "NotIn" if items(values).is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                e.required(&path.child("values"), detail);
            }
            "Exists" | "DoesNotExist" if !items(values).is_empty() => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                e.invalid(&path.child("values"), values, detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => e.invalid(&path.child("operator"), &operator.into(), "not a valid selector operator"),
        }
    }
    let named: Vec<&str> = expressions.iter().map(|x| text(field(x, "scopeName"))).collect();
    conflicts(e, &named, field(spec, "scopes"), path);
}

pub(super) fn limit_range(e: &mut Errors, object: &Value) {
    let spec = Path::root("spec");
    let list = spec.child("limits");
    let mut seen = BTreeSet::new();
    for (i, limit) in items(deep(object, &["spec", "limits"])).iter().enumerate() {
        let path = list.index(i);
        let kind = text(field(limit, "type"));
        let wrong = names::qualified_name(kind);
        if wrong.is_empty() && !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
            e.invalid(&path.child("type"), &kind.into(), "must be a standard limit type or fully qualified");
        }
        e.all(&path.child("type"), &kind.into(), wrong);
        if !seen.insert(kind) {
            e.duplicate(&path.child("type"), &kind.into());
        }
        limit_item(e, limit, kind, &path);
    }
}

fn limit_item(e: &mut Errors, limit: &Value, kind: &str, path: &Path<'_>) {
    let mut all: BTreeSet<&str> = BTreeSet::new();
    for key in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let amounts = field(limit, key).as_object();
        if kind == "Pod" && key.starts_with("default") {
            if amounts.is_some_and(|map| !map.is_empty()) {
                e.forbidden(&path.child(key), "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        let storage = |key: &str| !deep(limit, &[key, "storage"]).is_null();
        if key == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
            let detail = "either minimum or maximum storage value is required, but neither was provided";
            e.required(&path.child("limits"), detail);
        }
        for (name, _) in amounts.into_iter().flatten() {
            let at = path.child(key);
            match kind {
                "Pod" | "Container" => resources::container_resource_name(e, name, &at.key(name)),
                _ => resources::resource_name(e, name, &at.key(name)),
            }
            all.insert(name);
        }
    }
    for name in all {
        order(e, limit, name, kind, path);
        ratio(e, limit, name, path);
        let [low, high] = ["defaultRequest", "default"].map(|key| Quantity::from_json(deep(limit, &[key, name])));
        if let (Some(request), Some(most)) = (low, high)
            && request != most
            && !resources::may_overcommit(name)
            && kind != "Pod"
        {
            let detail = format!("default value {most} must equal to defaultRequest value {request} in {name}");
            e.invalid(&path.child("defaultRequest").key(name), &request.to_string().into(), &detail);
        }
    }
}

fn order(e: &mut Errors, limit: &Value, name: &str, kind: &str, path: &Path<'_>) {
    let amount =
        |key: &str| Quantity::from_json(deep(limit, &[key, name])).filter(|_| kind != "Pod" || !key.starts_with("default"));
    for (low, high, blamed, shown, [first, second]) in ORDER {
        let (Some(a), Some(b), Some(value)) = (amount(low), amount(high), amount(shown)) else { continue };
        if a > b {
            let detail = format!("{first} {a} is greater than {second} {b}");
            e.invalid(&path.child(blamed).key(name), &value.to_string().into(), &detail);
        }
    }
}

/// How many times as much as its request a limit may be.
fn ratio(e: &mut Errors, limit: &Value, name: &str, path: &Path<'_>) {
    let amount = |key: &str| Quantity::from_json(deep(limit, &[key, name]));
    let Some(ratio) = amount("maxLimitRequestRatio") else { return };
    let at = path.child("maxLimitRequestRatio");
    let shown = Value::from(ratio.to_string());
    if ratio.milli_value() < 1_000 {
        e.invalid(&at.key(name), &shown, &format!("ratio {ratio} is less than 1"));
    }
    if let (Some(least), Some(most)) = (amount("min"), amount("max")) {
        let bound = most.as_f64() / least.as_f64();
        if ratio.as_f64() > bound {
            e.invalid(&at.key(name), &shown, &format!("ratio {ratio} is greater than max/min = {bound:.6}"));
        }
    }
}

/// What must not be more than what, which is to blame, whose value is shown, and how the two are called.
const ORDER: [(&str, &str, &str, &str, [&str; 2]); 6] = [
    ("min", "max", "min", "min", ["min value", "max value"]),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", ["min value", "default request value"]),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", ["default request value", "max value"]),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", ["default request value", "default limit value"]),
    ("min", "default", "default", "min", ["min value", "default value"]),
    ("default", "max", "default", "max", ["default value", "max value"]),
];
