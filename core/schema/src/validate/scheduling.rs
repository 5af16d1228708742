//! Gates, tolerations and topology spread of pods.

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{field, selector};

pub(super) fn gates(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let list = path.child("readinessGates");
    for (i, gate) in items(field(spec, "readinessGates")).iter().enumerate() {
        e.name(&list.index(i).child("conditionType"), text(field(gate, "conditionType")), names::qualified_name);
    }
    let list = path.child("schedulingGates");
    let mut seen = BTreeSet::new();
    for (i, gate) in items(field(spec, "schedulingGates")).iter().enumerate() {
        let name = text(field(gate, "name"));
        e.name(&list.index(i), name, names::qualified_name);
        if !seen.insert(name) {
            e.duplicate(&list.index(i), &name.into());
        }
    }
}

/// `validateTopologySpreadConstraints`.
pub(super) fn spread(e: &mut Errors, constraints: &Value, path: &Path<'_>) {
    let all = items(constraints);
    for (i, constraint) in all.iter().enumerate() {
        let path = path.index(i);
        let skew = field(constraint, "maxSkew").as_i64().unwrap_or(0);
        if skew <= 0 {
            e.invalid(&path.child("maxSkew"), &skew.into(), "must be greater than zero");
        }
        let key = text(field(constraint, "topologyKey"));
        if key.is_empty() {
            e.required(&path.child("topologyKey"), "can not be empty");
        }
        let action = text(field(constraint, "whenUnsatisfiable"));
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            e.unsupported(&path.child("whenUnsatisfiable"), &action.into(), &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let same = |other: &Value| text(field(other, "topologyKey")) == key && text(field(other, "whenUnsatisfiable")) == action;
        if all.iter().skip(i + 1).any(same) {
            let pair = format!("{{{key}, {action}}}");
            e.duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), &pair.into());
        }
        domains(e, field(constraint, "minDomains"), action, &path.child("minDomains"));
        for key in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            e.one_of_if_any(&path.child(key), field(constraint, key), &["Honor", "Ignore"]);
        }
        label_keys(e, constraint, &path.child("matchLabelKeys"));
        selector::label_selector(e, field(constraint, "labelSelector"), &path.child("labelSelector"));
    }
}

fn domains(e: &mut Errors, least: &Value, action: &str, path: &Path<'_>) {
    if least.as_i64().is_some_and(|n| n <= 0) {
        e.invalid(path, least, "must be greater than zero");
    }
    if !least.is_null() && action != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        e.invalid(path, least, &detail);
    }
}

fn label_keys(e: &mut Errors, constraint: &Value, path: &Path<'_>) {
    let (keys, wanted) = (items(field(constraint, "matchLabelKeys")), field(constraint, "labelSelector"));
    if !keys.is_empty() && wanted.is_null() {
        e.forbidden(path, "must not be specified when labelSelector is not set");
    }
    for (i, key) in keys.iter().enumerate() {
        e.name(&path.index(i), text(key), names::qualified_name);
        let named = |expression: &Value| field(expression, "key") == key;
        let labels = field(wanted, "matchLabels");
        if labels.get(text(key)).is_some() || items(field(wanted, "matchExpressions")).iter().any(named) {
            e.invalid(&path.index(i), key, "exists in both matchLabelKeys and labelSelector");
        }
    }
}

/// `ValidateTolerations`.
pub(super) fn tolerations(e: &mut Errors, tolerations: &Value, path: &Path<'_>) {
    for (i, toleration) in items(tolerations).iter().enumerate() {
        let path = path.index(i);
        let key = text(field(toleration, "key"));
        let (operator, value) = (text(field(toleration, "operator")), text(field(toleration, "value")));
        let at = path.child("operator");
        if !key.is_empty() {
            e.name(&path.child("key"), key, names::qualified_name);
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            e.invalid(&at, &operator.into(), detail);
        }
        let effect = text(field(toleration, "effect"));
        if !field(toleration, "tolerationSeconds").is_null() && effect != "NoExecute" {
            e.invalid(&path.child("effect"), &effect.into(), "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator {
            "" | "Equal" => joined(e, &at, value, names::label_value(value)),
            "Exists" if !value.is_empty() => e.invalid(&at, &value.into(), "value must be empty when `operator` is 'Exists'"),
            "Exists" => {}
            _ => e.unsupported(&at, &operator.into(), &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            e.one_of(&path.child("effect"), &effect.into(), &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}

/// All that is wrong with a text in one error.
pub(super) fn joined(e: &mut Errors, path: &Path<'_>, value: &str, wrong: Vec<String>) {
    if !wrong.is_empty() {
        e.invalid(path, &value.into(), &wrong.join(";"));
    }
}
