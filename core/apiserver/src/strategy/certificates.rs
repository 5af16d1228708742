//! CertificateSigningRequests: who asks is what the server saw, and approval has a door of its own.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>

use object::Value;
use object::value::{self, at, list_at, str_at};
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

/// Through `approval` conditions change and, as through every door, metadata.
pub fn prepare_for_approval(old: &Value, new: &mut Value) {
    let conditions = at(new, &["status", "conditions"]).cloned();
    for key in ["spec", "status"] {
        match old.get(key) {
            Some(kept) => value::set(new, &[key], kept.clone()),
            None => drop(value::remove(new, &[key])),
        }
    }
    match conditions {
        Some(conditions) => value::set(new, &["status", "conditions"], conditions),
        None => drop(value::remove(new, &["status", "conditions"])),
    }
}

/// Whether a condition is for `approval` to set.
fn is_decision(condition: &Value) -> bool {
    matches!(str_at(condition, &["type"]), "Approved" | "Denied")
}

/// Through `status` conditions of approval and denial stay as they were.
pub fn prepare_for_status(old: &Value, new: &mut Value) {
    let decided = list_at(old, &["status", "conditions"]).iter().filter(|c| is_decision(c));
    let reported = list_at(new, &["status", "conditions"]).iter().filter(|c| !is_decision(c));
    let conditions: Vec<Value> = decided.chain(reported).cloned().collect();
    if !conditions.is_empty() {
        value::set(new, &["status", "conditions"], conditions);
    }
}
