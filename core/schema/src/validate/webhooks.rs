//! Admission webhooks, and what they share with policies: rules, selectors and conditions that say which requests are meant.

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{field, selector};
use crate::expression::{Checker, Returns, Scope, Types};

/// `ValidateValidatingWebhookConfiguration` and `ValidateMutatingWebhookConfiguration`.
pub(super) fn configuration(e: &mut Errors, object: &Value) {
    let list = Path::root("webhooks");
    let mut seen = BTreeSet::new();
    for (i, hook) in items(field(object, "webhooks")).iter().enumerate() {
        let path = list.index(i);
        webhook(e, hook, &path);
        review_versions(e, field(hook, "admissionReviewVersions"), &path.child("admissionReviewVersions"));
        let name = text(field(hook, "name"));
        if !name.is_empty() && !seen.insert(name) {
            e.duplicate(&path.child("name"), &name.into());
        }
    }
}

fn webhook(e: &mut Errors, hook: &Value, path: &Path<'_>) {
    fully_qualified(e, text(field(hook, "name")), &path.child("name"));
    let rules = path.child("rules");
    for (i, stated) in items(field(hook, "rules")).iter().enumerate() {
        rule(e, stated, &rules.index(i));
    }
    e.one_of_if_any(&path.child("failurePolicy"), field(hook, "failurePolicy"), &["Fail", "Ignore"]);
    e.one_of_if_any(&path.child("matchPolicy"), field(hook, "matchPolicy"), &["Equivalent", "Exact"]);
    let effects = field(hook, "sideEffects");
    if effects.is_null() {
        e.required(&path.child("sideEffects"), "must specify one of None, NoneOnDryRun");
    }
    e.one_of_if_any(&path.child("sideEffects"), effects, &["None", "NoneOnDryRun"]);
    let timeout = field(hook, "timeoutSeconds");
    if timeout.as_i64().is_some_and(|t| !(1..=30).contains(&t)) {
        e.invalid(&path.child("timeoutSeconds"), timeout, "the timeout value must be between 1 and 30 seconds");
    }
    for key in ["namespaceSelector", "objectSelector"] {
        selector::label_selector(e, field(hook, key), &path.child(key));
    }
    e.one_of_if_any(&path.child("reinvocationPolicy"), field(hook, "reinvocationPolicy"), &["IfNeeded", "Never"]);
    client_config(e, field(hook, "clientConfig"), &path.child("clientConfig"));
    conditions(e, field(hook, "matchConditions"), false, &path.child("matchConditions"));
}

/// `IsFullyQualifiedName`.
fn fully_qualified(e: &mut Errors, name: &str, path: &Path<'_>) {
    let wrong = names::dns1123_subdomain(name);
    if name.is_empty() {
        e.required(path, "");
    } else if !wrong.is_empty() {
        e.invalid(path, &name.into(), &wrong.join(","));
    } else if name.split('.').count() < 3 {
        e.invalid(path, &name.into(), "should be a domain with at least three segments separated by dots");
    }
}

fn review_versions(e: &mut Errors, versions: &Value, path: &Path<'_>) {
    let list = items(versions);
    if list.is_empty() {
        return e.required(path, "must specify one of v1, v1beta1");
    }
    let mut seen = BTreeSet::new();
    for (i, version) in list.iter().enumerate() {
        if seen.insert(text(version)) {
            e.name(&path.index(i), text(version), names::dns1035_label);
        } else {
            e.invalid(&path.index(i), version, "duplicate version");
        }
    }
    if !seen.contains("v1") && !seen.contains("v1beta1") {
        e.invalid(path, versions, "must include at least one of v1, v1beta1");
    }
}

fn client_config(e: &mut Errors, config: &Value, path: &Path<'_>) {
    let (address, service) = (field(config, "url"), field(config, "service"));
    if address.is_null() == service.is_null() {
        return e.required(path, "exactly one of url or service is required");
    }
    if !address.is_null() {
        return url(e, text(address), &path.child("url"));
    }
    webhook_service(e, service, &path.child("service"));
}

/// `ValidateWebhookURL`.
fn url(e: &mut Errors, address: &str, path: &Path<'_>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (address, fragment) = address.split_once('#').unwrap_or((address, ""));
    let (address, query) = address.split_once('?').unwrap_or((address, ""));
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if scheme != "https" {
        e.invalid(path, &scheme.into(), &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        e.invalid(path, &host.into(), &format!("host must be specified{FORM}"));
    }
    if let Some(user) = user {
        e.invalid(path, &user.into(), "user information is not permitted in the URL");
    }
    for (part, what) in [(fragment, "fragments are"), (query, "query parameters are")] {
        if !part.is_empty() {
            e.invalid(path, &part.into(), &format!("{what} not permitted in the URL"));
        }
    }
}

/// `ValidateWebhookService`.
pub(super) fn webhook_service(e: &mut Errors, service: &Value, path: &Path<'_>) {
    for key in ["name", "namespace"] {
        if text(field(service, key)).is_empty() {
            e.required(&path.child(key), &format!("service {key} is required"));
        }
    }
    let port = field(service, "port");
    let wrong = names::port_number(port.as_i64().unwrap_or(443));
    if !wrong.is_empty() {
        e.invalid(&path.child("port"), port, &format!("port is not valid: {}", wrong.join(",")));
    }
    let (stated, path) = (field(service, "path"), path.child("path"));
    match text(stated) {
        "" | "/" => {}
        "//" => e.invalid(&path, stated, "segment[0] may not be empty"),
        whole => {
            if !whole.starts_with('/') {
                e.invalid(&path, stated, "must start with a '/'");
            }
            let steps = whole.chars().skip(1).collect::<String>();
            for (i, step) in steps.strip_suffix('/').unwrap_or(&steps).split('/').enumerate() {
                if step.is_empty() {
                    e.invalid(&path, stated, &format!("segment[{i}] may not be empty"));
                    continue;
                }
                for wrong in names::dns1123_subdomain(step) {
                    e.invalid(&path, stated, &format!("segment[{i}]: {wrong}"));
                }
            }
        }
    }
}

/// `validateRuleWithOperations`.
pub(super) fn rule(e: &mut Errors, rule: &Value, path: &Path<'_>) {
    let listed = |e: &mut Errors, key: &str, whose: &str| {
        let (list, path) = (field(rule, key), path.child(key));
        if items(list).is_empty() {
            e.required(&path, "");
        }
        if items(list).len() > 1 && items(list).iter().any(|entry| entry == "*") {
            e.invalid(&path, list, &format!("if '*' is present, must not specify other {whose}"));
        }
    };
    listed(e, "operations", "operations");
    let operations = path.child("operations");
    for (i, operation) in items(field(rule, "operations")).iter().enumerate() {
        e.one_of_if_any(&operations.index(i), operation, &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]);
    }
    listed(e, "apiGroups", "API groups");
    listed(e, "apiVersions", "API versions");
    let versions = path.child("apiVersions");
    for (i, version) in items(field(rule, "apiVersions")).iter().enumerate() {
        if text(version).is_empty() {
            e.required(&versions.index(i), "");
        }
    }
    resources(e, field(rule, "resources"), &path.child("resources"));
    e.one_of_if_any(&path.child("scope"), field(rule, "scope"), &["*", "Cluster", "Namespaced"]);
}

/// `validateResources`.
fn resources(e: &mut Errors, resources: &Value, path: &Path<'_>) {
    let list = items(resources);
    if list.is_empty() {
        e.required(path, "");
    }
    let (mut of_all, mut all_of) = (BTreeSet::new(), BTreeSet::new());
    // Only the last plain name counts: so it is in Kubernetes.
    let mut plain = false;
    for (i, entry) in list.iter().enumerate() {
        let stated = text(entry);
        if stated.is_empty() {
            e.required(&path.index(i), "");
            continue;
        }
        let Some((resource, subresource)) = stated.split_once('/') else {
            plain = stated != "*";
            continue;
        };
        if of_all.contains(resource) {
            e.invalid(&path.index(i), entry, &format!("if '{resource}/*' is present, must not specify {stated}"));
        }
        if all_of.contains(subresource) {
            e.invalid(&path.index(i), entry, &format!("if '*/{subresource}' is present, must not specify {stated}"));
        }
        if subresource == "*" {
            of_all.insert(resource);
        }
        if resource == "*" {
            all_of.insert(subresource);
        }
    }
    if list.len() > 1 && list.iter().any(|entry| entry == "*/*") {
        e.invalid(path, resources, "if '*/*' is present, must not specify other resources");
    }
    if plain && list.iter().any(|entry| entry == "*") {
        e.invalid(path, resources, "if '*' is present, must not specify other resources without subresources");
    }
}

/// `validateMatchConditions`.
pub(super) fn conditions(e: &mut Errors, conditions: &Value, params: bool, path: &Path<'_>) {
    let list = items(conditions);
    if list.len() > 64 {
        e.too_many(path, list.len(), 64);
    }
    let scope = Scope { params, authorizer: true, patch: false };
    let checker = Checker::new(Types::default(), false);
    let mut seen = BTreeSet::new();
    for (i, condition) in list.iter().enumerate() {
        let (path, name) = (path.index(i), text(field(condition, "name")));
        match text(field(condition, "expression")).trim() {
            "" => e.required(&path.child("expression"), ""),
            source => wrong(e, checker.expression(source, scope, Returns::Bool), source, &path.child("expression")),
        }
        match name {
            "" => e.required(&path.child("name"), ""),
            name => e.name(&path.child("name"), name, names::qualified_name),
        }
        if !name.is_empty() && !seen.insert(name) {
            e.duplicate(&path.child("name"), &name.into());
        }
    }
}

/// What is wrong with an expression, if anything is.
pub(super) fn wrong(e: &mut Errors, found: Result<(), String>, stated: &str, path: &Path<'_>) {
    if let Err(why) = found {
        e.invalid(path, &stated.into(), &why);
    }
}
