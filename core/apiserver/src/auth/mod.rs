//! Who may do what: every request, from outside or from a controller, is described by [`Attributes`] and judged by
//! [`authorize`], which asks the authorizers in Kubernetes' order: system:masters, Node, RBAC.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/>

pub mod bootstrap;
pub mod escalation;
pub mod node;
pub mod rbac;
pub mod token;

use object::selector::FieldTerm;
use object::{ApiError, GroupResource, Result};

use crate::identity::UserInfo;
use crate::server::ApiServer;

/// What somebody wants to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// The API's verb, or the HTTP method in lower case for a path.
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Resource in the plural; empty for a path.
    pub resource: &'a str,
    /// Subresource, or empty.
    pub subresource: &'a str,
    /// Namespace, or empty.
    pub namespace: &'a str,
    /// Name, or empty.
    pub name: &'a str,
    /// The path of what is no resource.
    pub path: &'a str,
    /// What a field selector asks for.
    pub fields: &'a [FieldTerm],
}

impl Attributes<'_> {
    /// Whether this is about a resource and not a path.
    pub fn is_resource(&self) -> bool {
        self.path.is_empty()
    }

    /// The resource as rules name it: `pods/log`.
    pub fn combined_resource(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    /// What the request is refused with.
    fn forbidden(&self, user: &UserInfo, reason: &str) -> Box<ApiError> {
        let mut why = if self.is_resource() {
            let scope = match self.namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {namespace:?}"),
            };
            let resource = self.combined_resource();
            format!("User {:?} cannot {} resource {resource:?} in API group {:?} {scope}", user.name, self.verb, self.group)
        } else {
            format!("User {:?} cannot {} path {:?}", user.name, self.verb, self.path)
        };
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        ApiError::forbidden(&GroupResource::new(self.group, self.resource), self.name, &why)
    }
}

/// A judgement and what led to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// In Kubernetes' words; may be empty.
    pub reason: String,
}

/// Judges what a user wants to do.
pub fn authorize(api: &ApiServer, user: &UserInfo, attributes: &Attributes<'_>) -> Decision {
    if user.is_master() {
        return Decision { allowed: true, reason: String::new() };
    }
    match node::authorize(api, user, attributes) {
        Some(Decision { allowed: false, reason }) => {
            let by_role = rbac::authorize(api, user, attributes);
            let reasons: Vec<&str> = [reason.as_str(), &by_role.reason].into_iter().filter(|r| !r.is_empty()).collect();
            if by_role.allowed { by_role } else { Decision { allowed: false, reason: reasons.join("\n") } }
        }
        Some(allowed) => allowed,
        None => rbac::authorize(api, user, attributes),
    }
}

/// Refuses what the user may not do.
pub fn check(api: &ApiServer, user: &UserInfo, attributes: &Attributes<'_>) -> Result<()> {
    // Rules are not even looked at for those who may do everything.
    if user.is_master() {
        return Ok(());
    }
    match authorize(api, user, attributes) {
        Decision { allowed: true, .. } => Ok(()),
        Decision { reason, .. } => Err(attributes.forbidden(user, &reason)),
    }
}
