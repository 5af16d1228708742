//! Admission policies and what binds them.

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, selector, webhooks};
use crate::expression::{Checker, Returns, Scope, Types};

/// `ValidateValidatingAdmissionPolicy`.
pub(super) fn validating(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let known = head(e, spec, &path);
    let (validations, annotations) = (items(field(spec, "validations")), items(field(spec, "auditAnnotations")));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        e.required(&path.child("validations"), detail);
        e.required(&path.child("auditAnnotations"), detail);
        return;
    }
    let list = path.child("validations");
    for (i, stated) in validations.iter().enumerate() {
        validation(e, stated, &known, &list.index(i));
    }
    let list = path.child("auditAnnotations");
    if annotations.len() > 20 {
        // Kubernetes quotes its internal type, which has no JSON names.
        let part = |a: &Value| format!("{{\"Key\":{},\"ValueExpression\":{}}}", quoted(a, "key"), quoted(a, "valueExpression"));
        let shown: Vec<String> = annotations.iter().map(part).collect();
        e.invalid_shown(&list, &format!("[{}]", shown.join(",")), "must not have more than 20 auditAnnotations");
    }
    let mut seen = BTreeSet::new();
    for (i, stated) in annotations.iter().enumerate() {
        let path = list.index(i);
        annotation(e, stated, text(deep(object, &["metadata", "name"])), &known, &path);
        if !seen.insert(text(field(stated, "key"))) {
            e.duplicate(&path.child("key"), field(stated, "key"));
        }
    }
}

fn quoted(of: &Value, key: &str) -> String {
    Value::from(text(field(of, key))).to_string()
}

/// What the expressions of a policy know.
struct Known {
    checker: Checker,
    scope: Scope,
}

impl Known {
    /// What is wrong with an expression, if anything is; `stated` is shown.
    fn check(&self, e: &mut Errors, source: &str, stated: &str, returns: Returns, path: &Path<'_>) {
        webhooks::wrong(e, self.checker.expression(source, self.scope, returns), stated, path);
    }
}

/// What validating and mutating policies have in common; what their expressions know.
fn head(e: &mut Errors, spec: &Value, path: &Path<'_>) -> Known {
    stated(e, spec, "failurePolicy", &["Fail", "Ignore"], path);
    let kind = field(spec, "paramKind");
    if !kind.is_null() {
        param_kind(e, kind, &path.child("paramKind"));
    }
    let (constraints, at) = (field(spec, "matchConstraints"), path.child("matchConstraints"));
    if constraints.is_null() {
        e.required(&at, "");
    } else {
        match_resources(e, constraints, &at);
        if items(field(constraints, "resourceRules")).is_empty() {
            e.required(&at.child("resourceRules"), "");
        }
    }
    webhooks::conditions(e, field(spec, "matchConditions"), !kind.is_null(), &path.child("matchConditions"));
    let list = path.child("variables");
    let variables = items(field(spec, "variables"));
    let scope = Scope { params: !kind.is_null(), authorizer: true, patch: false };
    let mut known = Known { checker: Checker::new(Types::default(), !variables.is_empty()), scope };
    for (i, stated) in variables.iter().enumerate() {
        variable(e, stated, &mut known, &list.index(i));
    }
    known
}

/// A choice that has to be there.
fn stated(e: &mut Errors, of: &Value, key: &str, supported: &[&str], path: &Path<'_>) {
    match field(of, key) {
        Value::Null => e.required(&path.child(key), ""),
        value => e.one_of_if_any(&path.child(key), value, supported),
    }
}

fn param_kind(e: &mut Errors, kind: &Value, path: &Path<'_>) {
    let (stated, at) = (field(kind, "apiVersion"), path.child("apiVersion"));
    let (group, version) = text(stated).split_once('/').unwrap_or(("", text(stated)));
    if text(stated).is_empty() {
        e.required(&at, "");
    } else if version.contains('/') {
        e.invalid(&at, stated, &format!("unexpected GroupVersion string: {}", text(stated)));
    } else {
        let wrong = names::dns1123_subdomain(group);
        if !group.is_empty() && !wrong.is_empty() {
            e.invalid(&at, &group.into(), &wrong.join(","));
        }
        let wrong = names::dns1035_label(version);
        if version.is_empty() {
            e.invalid(&at, stated, "version must be specified");
        } else if !wrong.is_empty() {
            e.invalid(&at, &version.into(), &wrong.join(","));
        }
    }
    let (name, at) = (field(kind, "kind"), path.child("kind"));
    let wrong = names::dns1035_label(&text(name).to_ascii_lowercase());
    if text(name).is_empty() {
        e.required(&at, "");
    } else if !wrong.is_empty() {
        e.invalid(&at, name, &format!("may have mixed case, but should otherwise match: {}", wrong.join(",")));
    }
}

/// `validateMatchResources`.
fn match_resources(e: &mut Errors, wanted: &Value, path: &Path<'_>) {
    stated(e, wanted, "matchPolicy", &["Equivalent", "Exact"], path);
    for key in ["namespaceSelector", "objectSelector"] {
        match field(wanted, key) {
            Value::Null => e.required(&path.child(key), ""),
            stated => selector::label_selector(e, stated, &path.child(key)),
        }
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        let list = path.child(key);
        for (i, rule) in items(field(wanted, key)).iter().enumerate() {
            let path = list.index(i);
            let names = path.child("resourceNames");
            let mut seen = BTreeSet::new();
            for (i, name) in items(field(rule, "resourceNames")).iter().enumerate() {
                e.name(&names.index(i), text(name), names::path_segment);
                if !seen.insert(text(name)) {
                    e.duplicate(&names.index(i), name);
                }
            }
            webhooks::rule(e, rule, &path);
        }
    }
}

fn variable(e: &mut Errors, variable: &Value, known: &mut Known, path: &Path<'_>) {
    let (name, at) = (text(field(variable, "name")), path.child("name"));
    let start = |c: char| c == '_' || c.is_ascii_alphabetic();
    if name.trim().is_empty() {
        e.required(&at, "name is not specified");
    } else if !name.starts_with(start) || !name.chars().all(|c| start(c) || c.is_ascii_digit()) || cel::is_reserved(name) {
        e.invalid(&at, &name.into(), "name is not a valid CEL identifier");
    }
    let (source, at) = (text(field(variable, "expression")), path.child("expression"));
    if source.trim().is_empty() {
        e.required(&at, "expression is not specified");
    } else {
        let found = known.checker.variable(name, source, known.scope);
        webhooks::wrong(e, found, source, &at);
    }
}

fn validation(e: &mut Errors, validation: &Value, known: &Known, path: &Path<'_>) {
    let (source, at) = (text(field(validation, "expression")), path.child("expression"));
    if source.trim().is_empty() {
        e.required(&at, "expression is not specified");
    } else {
        known.check(e, source, source, Returns::Bool, &at);
    }
    let (source, at) = (field(validation, "messageExpression"), path.child("messageExpression"));
    if !text(source).trim().is_empty() {
        let scope = Scope { authorizer: false, ..known.scope };
        webhooks::wrong(e, known.checker.expression(text(source), scope, Returns::Text), text(source), &at);
    } else if !text(source).is_empty() {
        e.invalid(&at, source, "must be non-empty if specified");
    }
    let (message, at) = (field(validation, "message"), path.child("message"));
    let trimmed = text(message).trim();
    if trimmed.is_empty() && !text(message).is_empty() {
        e.invalid(&at, message, "message must be non-empty if specified");
    } else if trimmed.contains(['\n', '\r']) {
        e.invalid(&at, message, "message must not contain line breaks");
    }
    let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    e.one_of_if_any(&path.child("reason"), field(validation, "reason"), &reasons);
}

fn annotation(e: &mut Errors, annotation: &Value, policy: &str, known: &Known, path: &Path<'_>) {
    let (key, at) = (text(field(annotation, "key")), path.child("key"));
    if policy.is_empty() {
        e.invalid(&at, &key.into(), "requires metadata.name be non-empty");
    } else {
        e.name(&at, &format!("{policy}/{key}"), names::qualified_name);
    }
    let (stated, at) = (text(field(annotation, "valueExpression")), path.child("valueExpression"));
    match stated.trim() {
        "" => e.required(&at, "valueExpression is not specified"),
        source if source.len() > 5 * 1024 => e.required(&at, "must not exceed 5120 bytes in length"),
        source => known.check(e, source, stated, Returns::TextOrNull, &at),
    }
}

/// `ValidateValidatingAdmissionPolicyBinding`.
pub(super) fn validating_binding(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    binding_head(e, spec, &path);
    // The name is written so in Kubernetes.
    let resources = field(spec, "matchResources");
    if !resources.is_null() {
        match_resources(e, resources, &path.child("matchResouces"));
    }
    let (actions, at) = (field(spec, "validationActions"), path.child("validationActions"));
    let mut seen = BTreeSet::new();
    for (i, action) in items(actions).iter().enumerate() {
        e.one_of_if_any(&at.index(i), action, &["Audit", "Deny", "Warn"]);
        if !seen.insert(text(action)) {
            e.duplicate(&at.index(i), action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response \
                      and headers serves no purpose)";
        e.invalid(&at, actions, detail);
    }
    if seen.is_empty() {
        e.required(&at, "at least one validation action is required");
    }
}

/// The policy that is bound, and its parameters.
fn binding_head(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    match text(field(spec, "policyName")) {
        "" => e.required(&path.child("policyName"), ""),
        name => e.name(&path.child("policyName"), name, names::dns1123_subdomain),
    }
    let (reference, path) = (field(spec, "paramRef"), path.child("paramRef"));
    if reference.is_null() {
        return;
    }
    let (name, selected) = (text(field(reference, "name")), field(reference, "selector"));
    if !name.is_empty() {
        e.name(&path.child("name"), name, names::path_segment);
        if !selected.is_null() {
            e.forbidden(&path.child("name"), "name and selector are mutually exclusive");
        }
    }
    if !selected.is_null() {
        selector::label_selector(e, selected, &path.child("selector"));
        if !name.is_empty() {
            e.forbidden(&path.child("selector"), "name and selector are mutually exclusive");
        }
    } else if name.is_empty() {
        e.required(&path, "one of name or selector must be specified");
    }
    let action = field(reference, "parameterNotFoundAction");
    e.one_of(&path.child("parameterNotFoundAction"), action, &["Deny", "Allow"]);
}

/// `ValidateMutatingAdmissionPolicy`.
pub(super) fn mutating(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let Known { checker, scope } = head(e, spec, &path);
    let known = Known { checker, scope: Scope { patch: true, ..scope } };
    let constraints = path.child("matchConstraints");
    operations(e, field(spec, "matchConstraints"), &constraints);
    let (mutations, list) = (items(field(spec, "mutations")), path.child("mutations"));
    if mutations.is_empty() {
        e.required(&list, "mutations must contain at least one item");
    }
    for (i, stated) in mutations.iter().enumerate() {
        mutation(e, stated, &known, &list.index(i));
    }
    e.one_of(&path.child("reinvocationPolicy"), field(spec, "reinvocationPolicy"), &["IfNeeded", "Never"]);
}

/// What is deleted cannot be changed.
fn operations(e: &mut Errors, wanted: &Value, path: &Path<'_>) {
    let rules = path.child("resourceRules");
    for operation in items(field(wanted, "resourceRules")).iter().flat_map(|rule| items(field(rule, "operations"))) {
        e.one_of_if_any(&rules.child("operations"), operation, &["*", "CONNECT", "CREATE", "UPDATE"]);
    }
}

fn mutation(e: &mut Errors, mutation: &Value, known: &Known, path: &Path<'_>) {
    let kinds = [("ApplyConfiguration", "applyConfiguration", Returns::Object), ("JSONPatch", "jsonPatch", Returns::Patches)];
    let stated = field(mutation, "patchType");
    let Some((kind, own, returns)) = kinds.into_iter().find(|(kind, ..)| *kind == text(stated)) else {
        return e.one_of(&path.child("patchType"), stated, &kinds.map(|(kind, ..)| kind));
    };
    let (patch, at) = (field(mutation, own), path.child(own));
    if patch.is_null() {
        e.required(&at, &format!("must be specified when patchType is {kind}"));
    } else {
        match text(field(patch, "expression")).trim() {
            "" => e.required(&at.child("expression"), ""),
            source => known.check(e, source, source, returns, &at.child("expression")),
        }
    }
    for (_, other, _) in kinds.into_iter().filter(|(_, key, _)| *key != own && !field(mutation, key).is_null()) {
        let shown = format!("{{{other}}}");
        e.invalid(&path.child(other), &shown.into(), &format!("must not be specified when patchType is {kind}"));
    }
}

/// `ValidateMutatingAdmissionPolicyBinding`.
pub(super) fn mutating_binding(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    binding_head(e, spec, &path);
    let (resources, at) = (field(spec, "matchResources"), path.child("matchResources"));
    if !resources.is_null() {
        match_resources(e, resources, &at);
        operations(e, resources, &at);
    }
}

/// `ValidateValidatingAdmissionPolicyStatusUpdate`.
pub(super) fn status(e: &mut Errors, object: &Value) {
    let root = Path::root("status");
    let (list, checking) = (deep(object, &["status", "typeChecking", "expressionWarnings"]), root.child("typeChecking"));
    let path = checking.child("expressionWarnings");
    for (i, warning) in items(list).iter().enumerate() {
        let path = path.index(i);
        for key in ["warning", "fieldRef"] {
            let stated = text(field(warning, key));
            if stated.is_empty() || key == "fieldRef" && stated.trim().is_empty() {
                e.required(&path.child(key), "");
            }
        }
    }
}
