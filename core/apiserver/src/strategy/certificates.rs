//! CertificateSigningRequests: who asks is what the server saw, and approval has a door of its own.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>

use object::Value;
use object::value::{self, at};
use schema::Resource;

use crate::identity::UserInfo;

/// Whether this is the resource.
pub fn is_request(resource: &Resource) -> bool {
    (&*resource.gvr.group, &*resource.gvr.resource) == ("certificates.k8s.io", "certificatesigningrequests")
}

/// A new request names its maker, whatever its body says.
pub fn prepare_for_create(request: &mut Value, user: &UserInfo) {
    let seen = super::review::user_info(user);
    for key in ["username", "uid", "groups", "extra"] {
        match seen.get(key) {
            Some(said) => value::set(request, &["spec", key], said.clone()),
            None => drop(value::remove(request, &["spec", key])),
        }
    }
}

/// Through `approval` conditions change and nothing else; through `status` all of it but those of approval and denial.
pub fn prepare_for_approval(old: &Value, new: &mut Value) {
    let conditions = at(new, &["status", "conditions"]).cloned();
    let owners = at(new, &["metadata", "managedFields"]).cloned();
    *new = old.clone();
    if let Some(owners) = owners {
        value::set(new, &["metadata", "managedFields"], owners);
    }
    match conditions {
        Some(conditions) => value::set(new, &["status", "conditions"], conditions),
        None => drop(value::remove(new, &["status", "conditions"])),
    }
}
