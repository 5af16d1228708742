//! Roles and bindings (`pkg/apis/rbac/validation`).

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, selector};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn role(e: &mut Errors, object: &Value, kind: &str) {
    let list = Path::root("rules");
    for (i, one) in items(field(object, "rules")).iter().enumerate() {
        rule(e, one, kind == "Role", &list.index(i));
    }
    let aggregation = field(object, "aggregationRule");
    if aggregation.is_null() {
        return;
    }
    let path = Path::root("aggregationRule");
    let list = path.child("clusterRoleSelectors");
    let selectors = items(field(aggregation, "clusterRoleSelectors"));
    if selectors.is_empty() {
        e.required(&list, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (i, one) in selectors.iter().enumerate() {
        selector::label_selector(e, one, &list.index(i));
    }
}

fn rule(e: &mut Errors, rule: &Value, namespaced: bool, path: &Path<'_>) {
    let none = |key: &str| items(field(rule, key)).is_empty();
    if none("verbs") {
        e.required(&path.child("verbs"), "verbs must contain at least one value");
    }
    let urls = field(rule, "nonResourceURLs");
    if !none("nonResourceURLs") {
        let at = path.child("nonResourceURLs");
        if namespaced {
            e.invalid(&at, urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if !none("apiGroups") || !none("resources") || !none("resourceNames") {
            e.invalid(&at, urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if none("apiGroups") {
        e.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if none("resources") {
        e.required(&path.child("resources"), "resource rules must supply at least one resource");
    }
}

pub(super) fn binding(e: &mut Errors, object: &Value, old: Option<&Value>, kind: &str) {
    let (reference, path) = (field(object, "roleRef"), Path::root("roleRef"));
    let group = field(reference, "apiGroup");
    if text(group) != GROUP {
        e.unsupported(&path.child("apiGroup"), group, &[GROUP]);
    }
    let kinds: &[&str] = if kind == "ClusterRoleBinding" { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    if !kinds.contains(&text(field(reference, "kind"))) {
        e.unsupported(&path.child("kind"), field(reference, "kind"), kinds);
    }
    match text(field(reference, "name")) {
        "" => e.required(&path.child("name"), ""),
        name => e.name(&path.child("name"), name, names::path_segment),
    }
    let list = Path::root("subjects");
    for (i, one) in items(field(object, "subjects")).iter().enumerate() {
        subject(e, one, kind == "RoleBinding", &list.index(i));
    }
    if old.is_some_and(|old| field(old, "roleRef") != reference) {
        let part = |key: &str| text(deep(reference, &[key]));
        let shown = format!("{{\"APIGroup\":{:?},\"Kind\":{:?},\"Name\":{:?}}}", part("apiGroup"), part("kind"), part("name"));
        e.invalid_shown(&path, &shown, "cannot change roleRef");
    }
}

fn subject(e: &mut Errors, subject: &Value, in_namespace: bool, path: &Path<'_>) {
    let name = text(field(subject, "name"));
    if name.is_empty() {
        e.required(&path.child("name"), "");
    }
    let group = field(subject, "apiGroup");
    match text(field(subject, "kind")) {
        "ServiceAccount" => {
            if !name.is_empty() {
                e.name(&path.child("name"), name, names::dns1123_subdomain);
            }
            if !text(group).is_empty() {
                e.unsupported(&path.child("apiGroup"), group, &[""]);
            }
            if !in_namespace && text(field(subject, "namespace")).is_empty() {
                e.required(&path.child("namespace"), "");
            }
        }
        "User" | "Group" => {
            if text(group) != GROUP {
                e.unsupported(&path.child("apiGroup"), group, &[GROUP]);
            }
        }
        _ => e.unsupported(&path.child("kind"), field(subject, "kind"), &["ServiceAccount", "User", "Group"]),
    }
}
