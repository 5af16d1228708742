//! What a new pod is given besides its status.

use object::value::{at, list_at, str_at};
use object::{Value, json};

/// `matchLabelKeys` and `mismatchLabelKeys` of pod affinity and topology spreading become requirements of the label selector
/// beside them, with the values that the pod's own labels have now.
pub(super) fn apply_label_keys(pod: &mut Value) {
    let labels = at(pod, &["metadata", "labels"]).cloned().unwrap_or_default();
    let Some(spec) = pod.get_mut("spec") else { return };
    for term in list_mut(spec, &["topologySpreadConstraints"]) {
        add_requirements(term, &labels);
    }
    for rule in ["podAffinity", "podAntiAffinity"] {
        for term in list_mut(spec, &["affinity", rule, "requiredDuringSchedulingIgnoredDuringExecution"]) {
            add_requirements(term, &labels);
        }
        for preferred in list_mut(spec, &["affinity", rule, "preferredDuringSchedulingIgnoredDuringExecution"]) {
            if let Some(term) = preferred.get_mut("podAffinityTerm") {
                add_requirements(term, &labels);
            }
        }
    }
}

fn list_mut<'a>(value: &'a mut Value, path: &[&str]) -> impl Iterator<Item = &'a mut Value> {
    let found = path.iter().try_fold(value, |value, part| value.get_mut(*part));
    found.and_then(Value::as_array_mut).into_iter().flatten()
}

fn add_requirements(term: &mut Value, labels: &Value) {
    let mut added = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in list_at(term, &[field]).iter().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                added.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    // A selector that is missing selects nothing, and no requirement changes that.
    let Some(selector) = term.get_mut("labelSelector").filter(|s| s.is_object() && !added.is_empty()) else { return };
    let mut all = list_at(selector, &["matchExpressions"]).to_vec();
    // What stands there already was asked for in the same words.
    added.retain(|new| !all.iter().any(|old| str_at(old, &["key"]) == str_at(new, &["key"]) && old == new));
    all.extend(added);
    selector["matchExpressions"] = all.into();
}

/// A resize changes the resources of containers, the other subresource adds debug containers: what else comes along is
/// dropped. Containers that do not fit those that are there are left for validation to refuse.
pub(super) fn keep_the_rest(subresource: &str, old: &Value, new: &mut Value) {
    let mut spec = old.get("spec").cloned().unwrap_or_default();
    if subresource == "resize" {
        for list in ["containers", "initContainers"] {
            let given = list_at(new, &["spec", list]);
            let fits = |(a, b): (&Value, &Value)| str_at(a, &["name"]) == str_at(b, &["name"]);
            let there = list_at(old, &["spec", list]);
            if given.len() != there.len() || !given.iter().zip(there).all(fits) {
                return;
            }
            for (kept, given) in list_mut(&mut spec, &[list]).zip(given) {
                take(kept, given, "resources");
                take(kept, given, "resizePolicy");
            }
        }
    } else {
        take(&mut spec, new.get("spec").unwrap_or(&Value::Null), "ephemeralContainers");
    }
    let owners = at(new, &["metadata", "managedFields"]).cloned();
    *new = old.clone();
    object::value::set(new, &["spec"], spec);
    match owners {
        Some(owners) => object::value::set(new, &["metadata", "managedFields"], owners),
        None => drop(object::value::remove(new, &["metadata", "managedFields"])),
    }
}

/// Makes a member what it is in `from`.
fn take(object: &mut Value, from: &Value, key: &str) {
    match from.get(key) {
        Some(value) => object::value::set(object, &[key], value.clone()),
        None => drop(object::value::remove(object, &[key])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_change_only_what_is_theirs() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {}}]}});
        let mut sent = pod.clone();
        sent["metadata"]["labels"] = json!({"a": "b"});
        sent["spec"]["containers"][0] = json!({"name": "c", "image": "j", "resources": {"limits": {"cpu": "1"}}});
        sent["spec"]["ephemeralContainers"] = json!([{"name": "d"}]);
        let mut resized = pod.clone();
        resized["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}});
        let mut debugged = pod.clone();
        debugged["spec"]["ephemeralContainers"] = json!([{"name": "d"}]);
        for (subresource, wanted) in [("resize", resized), ("ephemeralcontainers", debugged)] {
            let mut new = sent.clone();
            keep_the_rest(subresource, &pod, &mut new);
            assert_eq!(new, wanted, "{subresource}");
        }
    }

    #[test]
    fn label_keys_become_requirements() {
        let term = |extra: Value| {
            let mut term = json!({"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "zone"});
            term.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            term
        };
        for (name, given, expected) in [
            ("match", term(json!({"matchLabelKeys": ["v"]})), json!([{"key": "v", "operator": "In", "values": ["1"]}])),
            ("mismatch", term(json!({"mismatchLabelKeys": ["v"]})), json!([{"key": "v", "operator": "NotIn", "values": ["1"]}])),
            ("a label the pod has not", term(json!({"matchLabelKeys": ["w"]})), Value::Null),
            ("no selector", json!({"topologyKey": "zone", "matchLabelKeys": ["v"]}), Value::Null),
        ] {
            let mut pod = json!({"metadata": {"labels": {"v": "1"}}, "spec": {
                "topologySpreadConstraints": [given.clone()],
                "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [given]}},
            }});
            apply_label_keys(&mut pod);
            let found = |path: &str| pod.pointer(&format!("{path}/labelSelector/matchExpressions")).cloned().unwrap_or_default();
            assert_eq!(found("/spec/topologySpreadConstraints/0"), expected, "{name}");
            let required = "/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0";
            assert_eq!(found(required), expected, "{name}");
        }
    }
}
