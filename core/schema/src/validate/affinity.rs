//! Which nodes and which neighbours a pod wants (`validateAffinity`).

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{field, selector};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(e: &mut Errors, affinity: &Value, path: &Path<'_>) {
    let (node, at) = (field(affinity, "nodeAffinity"), path.child("nodeAffinity"));
    let required = field(node, REQUIRED);
    if !required.is_null() {
        node_selector(e, required, &at.child(REQUIRED));
    }
    let preferred = at.child(PREFERRED);
    for (i, term) in items(field(node, PREFERRED)).iter().enumerate() {
        let path = preferred.index(i);
        weight(e, term, &path);
        // What no label can be is let through here: it only never matches.
        node_selector_term(e, field(term, "preference"), false, &path.child("preference"));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (terms, at) = (field(affinity, kind), path.child(kind));
        let required = at.child(REQUIRED);
        for (i, term) in items(field(terms, REQUIRED)).iter().enumerate() {
            pod_affinity_term(e, term, &required.index(i));
        }
        let preferred = at.child(PREFERRED);
        for (i, term) in items(field(terms, PREFERRED)).iter().enumerate() {
            let path = preferred.index(i);
            weight(e, term, &path);
            pod_affinity_term(e, field(term, "podAffinityTerm"), &path.child("podAffinityTerm"));
        }
    }
}

fn weight(e: &mut Errors, term: &Value, path: &Path<'_>) {
    let weight = field(term, "weight").as_i64().unwrap_or(0);
    if !(1..=100).contains(&weight) {
        e.invalid(&path.child("weight"), &weight.into(), "must be in the range 1-100");
    }
}

/// `ValidateNodeSelector`.
pub(super) fn node_selector(e: &mut Errors, wanted: &Value, path: &Path<'_>) {
    let (terms, list) = (items(field(wanted, "nodeSelectorTerms")), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        e.required(&list, "must have at least one node selector term");
    }
    for (i, term) in terms.iter().enumerate() {
        node_selector_term(e, term, true, &list.index(i));
    }
}

/// `ValidateNodeSelectorTerm`.
fn node_selector_term(e: &mut Errors, term: &Value, strict: bool, path: &Path<'_>) {
    let list = path.child("matchExpressions");
    for (i, expression) in items(field(term, "matchExpressions")).iter().enumerate() {
        node_expression(e, expression, strict, &list.index(i));
    }
    let list = path.child("matchFields");
    for (i, expression) in items(field(term, "matchFields")).iter().enumerate() {
        node_field(e, expression, &list.index(i));
    }
}

fn node_expression(e: &mut Errors, expression: &Value, strict: bool, path: &Path<'_>) {
    let values = items(field(expression, "values"));
    let at = path.child("values");
    match text(field(expression, "operator")) {
        "In" | "NotIn" if values.is_empty() => e.required(&at, "must be specified when `operator` is 'In' or 'NotIn'"),
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            e.forbidden(&at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => e.required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'"),
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        operator => e.invalid(&path.child("operator"), &operator.into(), "not a valid selector operator"),
    }
    e.name(&path.child("key"), text(field(expression, "key")), names::qualified_name);
    for (i, value) in values.iter().enumerate().filter(|_| strict) {
        e.name(&at.index(i), text(value), names::label_value);
    }
}

/// Nodes have one field that can be asked for: their name.
fn node_field(e: &mut Errors, expression: &Value, path: &Path<'_>) {
    let values = items(field(expression, "values"));
    let at = path.child("values");
    match text(field(expression, "operator")) {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => e.required(&at, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"),
        operator => e.invalid(&path.child("operator"), &operator.into(), "not a valid selector operator"),
    }
    match text(field(expression, "key")) {
        "metadata.name" => {
            for (i, value) in values.iter().enumerate() {
                e.name(&at.index(i), text(value), names::dns1123_subdomain);
            }
        }
        key => e.invalid(&path.child("key"), &key.into(), "not a valid field selector key"),
    }
}

fn pod_affinity_term(e: &mut Errors, term: &Value, path: &Path<'_>) {
    let wanted = field(term, "labelSelector");
    selector::label_selector(e, wanted, &path.child("labelSelector"));
    selector::label_selector(e, field(term, "namespaceSelector"), &path.child("namespaceSelector"));
    for namespace in items(field(term, "namespaces")) {
        e.name(&path.child("namespace"), text(namespace), names::dns1123_label);
    }
    label_keys(e, term, wanted, path);
    let key = text(field(term, "topologyKey"));
    if key.is_empty() {
        e.required(&path.child("topologyKey"), "can not be empty");
    }
    e.name(&path.child("topologyKey"), key, names::qualified_name);
}

/// `validateMatchLabelKeysAndMismatchLabelKeys`.
fn label_keys(e: &mut Errors, term: &Value, wanted: &Value, path: &Path<'_>) {
    let (with, without) = (items(field(term, "matchLabelKeys")), items(field(term, "mismatchLabelKeys")));
    for (key, list) in [("matchLabelKeys", with), ("mismatchLabelKeys", without)] {
        let at = path.child(key);
        if !list.is_empty() && wanted.is_null() {
            e.forbidden(&at, "must not be specified when labelSelector is not set");
            continue;
        }
        for (i, key) in list.iter().enumerate() {
            e.name(&at.index(i), text(key), names::qualified_name);
        }
    }
    // The API server has added an expression for each of these keys already: one more is the author's own.
    let mut seen: BTreeSet<&str> =
        field(wanted, "matchLabels").as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
    for expression in items(field(wanted, "matchExpressions")) {
        let key = text(field(expression, "key"));
        if let Some(i) = with.iter().rposition(|k| text(k) == key)
            && seen.contains(key)
        {
            e.invalid(&path.index(i), &key.into(), "exists in both matchLabelKeys and labelSelector");
        }
        seen.insert(key);
    }
    let at = path.child("matchLabelKeys");
    for (i, key) in with.iter().enumerate().filter(|(_, key)| without.contains(key)) {
        e.invalid(&at.index(i), key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}
