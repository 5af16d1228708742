//! MutatingAdmissionPolicy: changes to objects, one policy after another.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/>

use std::sync::Arc;

use cel::Compiled;
use object::value::{list_at, str_at};
use object::{Cause, CauseType, Reason, Result, Value};
use schema::Resource;
use schema::types::Type;
use store::{Object, View};

use super::super::Attributes;
use super::expressions::{Asker, Evaluation, PER_POLICY, Subject, hold, read};
use super::patches::Patch;
use super::{GROUP, Stated, bound, params};
use crate::server::ApiServer;

/// A policy with its expressions read, once per version of it.
struct Policy {
    ignores_failures: bool,
    runs_again: bool,
    variables: Vec<(String, Compiled)>,
    conditions: Vec<Compiled>,
    mutations: Vec<Patch>,
}

impl View for Policy {
    fn of(policy: &Value) -> Self {
        let list = |key: &str| list_at(policy, &["spec", key]).iter();
        let expression = |of: &Value| read(str_at(of, &["expression"]));
        Policy {
            ignores_failures: str_at(policy, &["spec", "failurePolicy"]) == "Ignore",
            runs_again: str_at(policy, &["spec", "reinvocationPolicy"]) == "IfNeeded",
            variables: list("variables").map(|v| (str_at(v, &["name"]).to_owned(), expression(v))).collect(),
            conditions: list("matchConditions").map(expression).collect(),
            mutations: list("mutations").map(Patch::of).collect(),
        }
    }
}

/// A policy, as a binding puts it to work with one set of parameters.
struct Invocation {
    policy: Arc<Object>,
    binding: String,
    resource: Arc<Resource>,
    params: Value,
}

/// What went wrong.
#[derive(Default)]
struct Failures(Vec<(String, Option<Reason>)>);

impl Failures {
    fn add(&mut self, policy: &Object, binding: Option<&str>, why: &str, reason: Option<Reason>) {
        if policy.view::<Policy>().ignores_failures {
            return;
        }
        let name = &*policy.key.name;
        let message = match binding {
            Some(binding) => format!("policy '{name}' with binding '{binding}' denied request: {why}"),
            None => format!("policy {name:?} denied request: {why}"),
        };
        self.0.push((message, reason));
    }

    fn result(self, attributes: &Attributes<'_>) -> Result<()> {
        let Some((message, reason)) = self.0.first() else { return Ok(()) };
        let mut error = attributes.forbidden("admission request denied by policy");
        error.message.clone_from(message);
        if let Some(reason) = reason {
            error.reason = *reason;
        }
        let cause = |(message, _)| Cause { reason: CauseType::Internal, field: String::new(), message };
        error.details.causes.extend(self.0.into_iter().map(cause));
        Err(error)
    }
}

/// Lets all policies that are bound change the object; it is null for a deletion.
pub fn mutate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &mut Value) -> Result<()> {
    // Nobody can lock out those who mend policies.
    let exempt = &*attributes.target.resource.gvr.group == GROUP;
    if !api.settings.features.mutating_admission_policy || exempt || object.is_null() {
        return Ok(());
    }
    let again = api.reinvocation.again;
    let mut invoked = std::mem::take(&mut api.reinvocation.policies);
    invoked.begin(again, object);
    let mut failures = Failures::default();
    for invocation in invocations(api, attributes, object, &mut failures)? {
        let view = invocation.policy.view::<Policy>();
        let subject = Subject::new(api, attributes, object, &invocation.resource)?;
        let asker = Asker { api, user: attributes.user };
        match hold(&view.conditions, subject.activation(&invocation.params, &asker)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(why) => {
                failures.add(&invocation.policy, Some(&invocation.binding), &why, Some(Reason::Invalid));
                continue;
            }
        }
        let id = invocation.id();
        if invoked.skips(again, &id) {
            continue;
        }
        let before = object.clone();
        for mutation in &view.mutations {
            if let Err(why) = invocation.run(api, attributes, mutation, object)? {
                failures.add(&invocation.policy, Some(&invocation.binding), &why, Some(Reason::Invalid));
            }
        }
        if before != *object {
            invoked.changed();
            api.reinvocation.want();
        }
        if view.runs_again {
            invoked.may_run_again(id);
        }
    }
    invoked.end(object);
    api.reinvocation.policies = invoked;
    failures.result(attributes)
}

/// Everything that means this request.
fn invocations(
    api: &mut ApiServer,
    attributes: &Attributes<'_>,
    object: &Value,
    failures: &mut Failures,
) -> Result<Vec<Invocation>> {
    let mut all = Vec::new();
    for (policy, bindings) in bound(api, "mutatingadmissionpolicies", "mutatingadmissionpolicybindings") {
        let stated = Stated::of_object(&policy);
        let constraints = stated.get("spec").and_then(|spec| spec.get("matchConstraints")).unwrap_or(&Value::Null);
        let Some(resource) = attributes.meant(api, object, constraints) else { continue };
        let kind = match params::kind(api, stated) {
            Ok(kind) => kind,
            Err(why) => {
                failures.add(&policy, None, &format!("failed to configure policy: {why}"), None);
                continue;
            }
        };
        for binding in bindings {
            let stated = Stated::of_object(&binding);
            let wanted = stated.get("spec").and_then(|spec| spec.get("matchResources"));
            if wanted.is_some_and(|wanted| attributes.meant(api, object, wanted).is_none()) {
                continue;
            }
            match params::collect(api, attributes, kind.as_ref(), stated)? {
                Ok(found) => all.extend(found.into_iter().map(|params| Invocation {
                    policy: policy.clone(),
                    binding: binding.key.name.to_string(),
                    resource: resource.clone(),
                    params,
                })),
                Err(why) => {
                    let why = format!("failed to configure binding: {why}");
                    failures.add(&policy, Some(&binding.key.name), &why, None);
                }
            }
        }
    }
    Ok(all)
}

impl Invocation {
    /// Names it, for the second round.
    fn id(&self) -> String {
        let param = |key: &str| str_at(&self.params, &["metadata", key]);
        format!("{}/{}/{}/{}", self.policy.key.name, self.binding, param("namespace"), param("name"))
    }

    /// Applies one mutation; the inner error says why it cannot be.
    fn run(
        &self,
        api: &mut ApiServer,
        attributes: &Attributes<'_>,
        mutation: &Patch,
        object: &mut Value,
    ) -> Result<std::result::Result<(), String>> {
        let subject = Subject::new(api, attributes, object, &self.resource)?;
        let mut changed = api.in_version_of(&self.resource, object.clone())?;
        let view = self.policy.view::<Policy>();
        let asker = Asker { api, user: attributes.user };
        let Some(ty) = self.ty(api, attributes) else {
            let kind = &self.resource.kind;
            return Ok(Err(format!("Resource kind {kind} not found.")));
        };
        let mut evaluation = Evaluation::new(subject.activation(&self.params, &asker), &view.variables, PER_POLICY);
        let unchanged = changed.clone();
        if let Err(why) = mutation.apply(&mut evaluation, &mut changed, ty) {
            return Ok(Err(why));
        }
        drop(evaluation);
        if changed != unchanged {
            *object = attributes.decoded(api, &self.resource, changed)?;
        }
        Ok(Ok(()))
    }

    /// The type of the object, which is the subresource's where the request is made on one.
    fn ty<'a>(&'a self, api: &'a ApiServer, attributes: &Attributes<'_>) -> Option<Type<'a>> {
        match self.resource.subresource(&attributes.target.subresource) {
            Some(subresource) => api.registry.kind_type(&subresource.gvk(&self.resource.gvr)),
            None => Some(self.resource.ty()),
        }
    }
}
