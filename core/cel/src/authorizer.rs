//! Kubernetes' library that asks what a user may do, and its values. Who decides is not known here.
//!
//! <https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library>

use std::fmt::Debug;
use std::sync::Arc;

use object::names;

use crate::eval::{Result, error};
use crate::value::Value;

/// What names a step on the way from the user to the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The user alone.
    #[default]
    User,
    /// A path that is no resource: can be asked.
    Path,
    /// A group of resources.
    Group,
    /// A resource: can be asked.
    Resource,
}

/// A question as far as it was put, but for the verb.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// How far.
    pub stage: Stage,
    /// Namespace and name of the service account that is asked about instead of the user.
    pub account: Option<(String, String)>,
    /// The path, of what is no resource.
    pub path: String,
    /// API group.
    pub group: String,
    /// Resource in the plural.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
    /// A field selector, or empty.
    pub fields: String,
    /// A label selector, or empty.
    pub labels: String,
    /// What `authorizer.requestResource` stands for.
    pub request: Option<Arc<Check>>,
}

/// The answer to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why; may be empty.
    pub reason: String,
    /// Why there is no answer, if there is none.
    pub error: String,
}

/// Who decides.
pub trait Authorizer: Debug {
    /// Whether `verb` may be done.
    fn decide(&self, check: &Check, verb: &str) -> Decision;
}

/// A function of the library; `None` where there is none of this name for these values.
pub fn call(authorizer: Option<&dyn Authorizer>, name: &str, values: &[Value]) -> Option<Result> {
    match values {
        [Value::Decision(decision)] => Some(Ok(match name {
            "allowed" => Value::Bool(decision.allowed),
            "reason" => decision.reason.as_str().into(),
            "errored" => Value::Bool(!decision.error.is_empty()),
            "error" => decision.error.as_str().into(),
            _ => return None,
        })),
        [Value::Check(check), Value::Text(verb)] if name == "check" && matches!(check.stage, Stage::Path | Stage::Resource) => {
            let Some(authorizer) = authorizer else { return Some(error("no such attribute(s): authorizer")) };
            Some(Ok(Value::Decision(Arc::new(authorizer.decide(check, verb)))))
        }
        [Value::Check(check), Value::Text(text)] => refine(check, name, text),
        [Value::Check(check), Value::Text(namespace), Value::Text(account)]
            if name == "serviceAccount" && check.stage == Stage::User =>
        {
            if !names::dns1123_subdomain(account).is_empty() {
                return Some(error("Invalid service account name"));
            }
            if !names::dns1123_label(namespace).is_empty() {
                return Some(error("Invalid service account namespace"));
            }
            let account = Some((namespace.to_string(), account.to_string()));
            Some(Ok(Value::Check(Arc::new(Check { account, ..Check::default() }))))
        }
        _ => None,
    }
}

/// One more part of the question.
fn refine(check: &Check, name: &str, text: &str) -> Option<Result> {
    let mut next = Check { request: None, ..check.clone() };
    let part = match (check.stage, name) {
        (Stage::User, "path") => {
            next.stage = Stage::Path;
            &mut next.path
        }
        (Stage::User, "group") => {
            next.stage = Stage::Group;
            &mut next.group
        }
        (Stage::Group, "resource") => {
            next.stage = Stage::Resource;
            &mut next.resource
        }
        (Stage::Resource, "subresource") => &mut next.subresource,
        (Stage::Resource, "namespace") => &mut next.namespace,
        (Stage::Resource, "name") => &mut next.name,
        (Stage::Resource, "fieldSelector") => &mut next.fields,
        (Stage::Resource, "labelSelector") => &mut next.labels,
        _ => return None,
    };
    text.clone_into(part);
    if matches!(name, "path" | "resource") && text.trim().is_empty() {
        return Some(error(format!("{name} must not be empty")));
    }
    Some(Ok(Value::Check(Arc::new(next))))
}

impl Check {
    /// CEL's name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::User => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
        }
    }
}
