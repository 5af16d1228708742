//! ValidatingAdmissionPolicies: says in their status what is wrong with their expressions, once it is known which kinds they
//! are about.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking>

use std::collections::BTreeSet;

use apiserver::{PatchKind, gvr};
use cel::Type;
use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, GroupVersion, GroupVersionKind, Result, Value, json};
use schema::Registry;
use schema::expression::{Checker, Scope, Types, of_type};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const GROUP: &str = "admissionregistration.k8s.io";

/// Whose fields the status is.
const MANAGER: &str = "validatingadmissionpolicy-status";

/// A policy's expressions are checked for this many kinds.
const MOST_KINDS: usize = 10;

/// Keeps policies' status.
pub struct PolicyStatusController;

impl Controller for PolicyStatusController {
    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == GroupResource::literal(GROUP, "validatingadmissionpolicies") {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        let policy = stored.value();
        let generation = i64_at(&policy, &["metadata", "generation"]).unwrap_or(0);
        if i64_at(&policy, &["status", "observedGeneration"]).is_some_and(|observed| observed >= generation) {
            return Ok(());
        }
        let warnings = Subject::new(cx.registry(), &policy, cx.now.0 % 1_000_000 * 1000).warnings(&policy);
        let checking = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
        let status = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": &*key.name}, "status": {"observedGeneration": generation, "typeChecking": checking},
        });
        let policies = gvr(GROUP, "v1", "validatingadmissionpolicies");
        cx.client().managed_by(MANAGER).patch(&policies, "", &key.name, "status", PatchKind::Apply, status).map(drop)
    }
}

/// What a policy is about: its kinds and their types, and that of its parameters.
struct Subject {
    kinds: Vec<(GroupVersionKind, Type)>,
    params: Option<Type>,
}

impl Subject {
    /// Names of types carry a number, so that two of one kind do not have the same name.
    fn new(registry: &Registry, policy: &Value, number: u64) -> Self {
        let of = |kind: &GroupVersionKind| of_type(&format!("{}{number}", kind.kind), registry.kind(kind)?.ty());
        let kinds = kinds(registry, policy).into_iter();
        let kinds = kinds.filter_map(|kind| of(&kind).map(|of| (kind, of))).collect();
        let params = at(policy, &["spec", "paramKind"]).and_then(|kind| {
            let version = GroupVersion::parse(str_at(kind, &["apiVersion"]))?;
            of(&version.kind(str_at(kind, &["kind"])))
        });
        Subject { kinds, params }
    }

    /// What is wrong with each expression.
    fn warnings(&self, policy: &Value) -> Vec<Value> {
        let mut found = Vec::new();
        for (i, validation) in list_at(policy, &["spec", "validations"]).iter().enumerate() {
            for key in ["expression", "messageExpression"] {
                let source = str_at(validation, &[key]);
                let wrong = if source.is_empty() { Vec::new() } else { self.check(policy, source) };
                if !wrong.is_empty() {
                    found.push(json!({"fieldRef": format!("spec.validations[{i}].{key}"), "warning": wrong.join("\n")}));
                }
            }
        }
        found
    }

    /// What is wrong with an expression, for each kind for which something is.
    fn check(&self, policy: &Value, source: &str) -> Vec<String> {
        let scope = Scope { params: self.params.is_some(), authorizer: true, patch: false };
        let wrong = |(kind, object): &(GroupVersionKind, Type)| {
            let types = Types { object: object.clone(), params: self.params.clone().unwrap_or(Type::Dyn) };
            let mut checker = Checker::new(types, true);
            for variable in list_at(policy, &["spec", "variables"]) {
                // Whoever names a variable that is wrong gets one of any type.
                let _ = checker.variable(str_at(variable, &["name"]), str_at(variable, &["expression"]), scope);
            }
            checker.issues(source, scope).err().map(|why| format!("{kind}: {why}\n"))
        };
        self.kinds.iter().filter_map(wrong).collect()
    }
}

/// The kinds that a policy's rules name, without those that a wildcard might mean.
fn kinds(registry: &Registry, policy: &Value) -> Vec<GroupVersionKind> {
    let mut found: BTreeSet<GroupVersionKind> = BTreeSet::new();
    for rule in list_at(policy, &["spec", "matchConstraints", "resourceRules"]) {
        let texts = |key: &str| {
            let mut texts: Vec<&str> = list_at(rule, &[key]).iter().filter_map(Value::as_str).collect();
            texts.sort_unstable();
            texts
        };
        let (groups, versions) = (texts("apiGroups"), texts("apiVersions"));
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        let resources: Vec<&str> = texts("resources").into_iter().filter(|name| !name.contains(['*', '/'])).collect();
        let mut count = 0;
        for (group, version) in groups.iter().flat_map(|group| versions.iter().map(move |version| (*group, *version))) {
            for name in &resources {
                // No group may be any group.
                let named = registry.resources().filter(|resource| {
                    (group.is_empty() || &*resource.gvr.group == group)
                        && &*resource.gvr.version == version
                        && (&*resource.gvr.resource == *name || resource.singular == *name)
                });
                for resource in named {
                    found.insert(resource.kind.clone());
                    count += 1;
                    if count == MOST_KINDS {
                        return found.into_iter().collect();
                    }
                }
            }
        }
    }
    found.into_iter().collect()
}
