//! What expressions of admission see, and what they may spend.

use std::fmt;
use std::sync::Arc;

use cel::{Activation, Check, Compiled, Decision, Stage, Value as CelValue, Variables};
use object::selector::FieldSelector;
use object::value::remove;
use object::{GroupResource, Result, Value};
use schema::Resource;
pub use schema::expression::read;
use store::Key;

use super::super::Attributes;
use crate::auth;
use crate::identity::UserInfo;
use crate::server::ApiServer;

/// What one expression may spend.
const PER_CALL: u64 = 1_000_000;

/// What the expressions of one policy, binding and parameter may spend.
pub const PER_POLICY: u64 = 10_000_000;

/// What the conditions of one webhook or policy may spend.
const PER_CONDITIONS: u64 = PER_POLICY / 4;

const SPENT: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

/// What expressions see of one request.
pub struct Subject {
    object: CelValue,
    old: CelValue,
    request: CelValue,
    namespace: CelValue,
    check: CelValue,
}

impl Subject {
    /// The request as one on `resource`. May have to wait for a conversion.
    pub fn new(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value, resource: &Arc<Resource>) -> Result<Self> {
        let mut shown = |object: Option<&Value>| match object {
            None | Some(Value::Null) => Ok(CelValue::Null),
            Some(object) => api.in_version_of(resource, object.clone()).map(|object| CelValue::from_json(&object)),
        };
        let (new, old) = (shown(Some(object))?, shown(attributes.old)?);
        let target = attributes.target;
        let request = Check {
            stage: Stage::Resource,
            group: target.resource.gvr.group.to_string(),
            resource: target.resource.gvr.resource.to_string(),
            subresource: target.subresource.clone(),
            namespace: target.namespace.clone(),
            name: attributes.name.to_owned(),
            ..Check::default()
        };
        Ok(Subject {
            object: new,
            old,
            request: CelValue::from_json(&attributes.described(object, resource)),
            namespace: CelValue::from_json(&namespace(api, attributes)),
            check: CelValue::Check(Arc::new(Check { request: Some(Arc::new(request)), ..Check::default() })),
        })
    }

    /// The variables of an expression; `params` is null where there are none.
    pub fn activation<'a>(&self, params: &Value, asker: &'a Asker<'a>) -> Activation<'a> {
        Activation::new()
            .with_authorizer(asker)
            .with("object", self.object.clone())
            .with("oldObject", self.old.clone())
            .with("request", self.request.clone())
            .with("params", CelValue::from_json(params))
            .with("namespaceObject", self.namespace.clone())
            .with("authorizer", self.check.clone())
    }
}

/// The namespace of the request; null for namespaces themselves and what is in none.
fn namespace(api: &ApiServer, attributes: &Attributes<'_>) -> Value {
    if attributes.is_part_of("", "namespaces") {
        return Value::Null;
    }
    let key = Key::new(&GroupResource::literal("", "namespaces"), "", &attributes.target.namespace);
    let Some(mut namespace) = api.store.get(&key).map(|namespace| namespace.value()) else { return Value::Null };
    for hidden in [&["apiVersion"][..], &["kind"], &["metadata", "managedFields"], &["metadata", "ownerReferences"]] {
        remove(&mut namespace, hidden);
    }
    namespace
}

/// Asks our authorizers for expressions.
pub struct Asker<'a> {
    /// Where roles are.
    pub api: &'a ApiServer,
    /// Who sent the request.
    pub user: &'a UserInfo,
}

impl fmt::Debug for Asker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").field("user", self.user).finish_non_exhaustive()
    }
}

impl cel::Authorizer for Asker<'_> {
    fn decide(&self, check: &Check, verb: &str) -> Decision {
        let account = check.account.as_ref().map(|(namespace, name)| UserInfo::service_account(namespace, name));
        // A selector that cannot be read selects nothing less.
        let fields = FieldSelector::parse(&check.fields).unwrap_or_default();
        let attributes = auth::Attributes {
            verb,
            group: &check.group,
            version: "*",
            resource: &check.resource,
            subresource: &check.subresource,
            namespace: &check.namespace,
            name: &check.name,
            path: &check.path,
            fields: fields.terms(),
        };
        let auth::Decision { allowed, reason } = auth::authorize(self.api, account.as_ref().unwrap_or(self.user), &attributes);
        Decision { allowed, reason, error: String::new() }
    }
}

/// Why an expression has no value.
pub enum Failure {
    /// It is wrong, or something in it was.
    Wrong(String),
    /// Nothing is left to spend; nothing else will be run.
    Spent,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Wrong(why) => why,
            Failure::Spent => SPENT,
        })
    }
}

/// Runs expressions on one activation, which share a budget and the variables of their policy.
pub struct Evaluation<'a> {
    activation: Activation<'a>,
    variables: Variables<'a>,
    budget: u64,
}

impl<'a> Evaluation<'a> {
    /// With this much to spend.
    pub fn new(activation: Activation<'a>, variables: &'a [(String, Compiled)], budget: u64) -> Self {
        Evaluation { activation, variables: Variables::new(variables), budget }
    }

    /// What an expression comes to.
    pub fn run(&mut self, compiled: &Compiled) -> std::result::Result<CelValue, Failure> {
        let program = compiled.as_ref().map_err(|why| Failure::Wrong(format!("compilation error: {why}")))?;
        let allowance = self.budget.min(PER_CALL);
        let mut left = allowance;
        let result = self.variables.run(program, &mut self.activation, &mut left);
        self.budget -= allowance - left;
        match result {
            Ok(value) => Ok(value),
            Err(_) if self.budget == 0 => Err(Failure::Spent),
            Err(why) => Err(Failure::Wrong(format!("expression '{}' resulted in error: {why}", program.source()))),
        }
    }
}

/// Whether all conditions hold; one that does not is enough, even if others fail.
pub fn hold(conditions: &[Compiled], activation: Activation<'_>) -> std::result::Result<bool, String> {
    if conditions.is_empty() {
        return Ok(true);
    }
    let mut evaluation = Evaluation::new(activation, &[], PER_CONDITIONS);
    let mut wrong = Vec::new();
    for condition in conditions {
        match evaluation.run(condition) {
            Ok(CelValue::Bool(false)) => return Ok(false),
            Ok(_) => {}
            Err(Failure::Wrong(why)) => wrong.push(why),
            Err(spent) => return Err(spent.to_string()),
        }
    }
    match wrong.as_slice() {
        [] => Ok(true),
        [why] => Err(why.clone()),
        all => Err(format!("[{}]", all.join(", "))),
    }
}
