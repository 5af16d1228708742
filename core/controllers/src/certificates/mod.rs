//! CertificateSigningRequests: kubelets' are approved, those that are approved are signed, and old ones are thrown away.
//!
//! The signing is done here, over a P-256 authority: X.509 is a page of DER, and the signature is the one that tokens have.
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>

mod approve;
mod clean;
mod issue;
mod request;
mod rules;
mod sign;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object::value::{list_at, str_at};
use object::{GroupResource, GroupVersionResource, Value};

pub use approve::CertificateApprover;
pub use clean::CertificateCleaner;
pub use sign::CertificateSigner;

use request::Request;

fn requests() -> GroupVersionResource {
    apiserver::gvr("certificates.k8s.io", "v1", "certificatesigningrequests")
}

fn stored() -> GroupResource {
    requests().group_resource()
}

/// Whether a condition of this type holds.
fn has_condition(csr: &Value, kind: &str) -> bool {
    condition(csr, kind).is_some()
}

fn condition<'a>(csr: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = list_at(csr, &["status", "conditions"]).iter();
    conditions.filter(|c| str_at(c, &["status"]) != "False").find(|c| str_at(c, &["type"]) == kind)
}

fn is_issued(csr: &Value) -> bool {
    !str_at(csr, &["status", "certificate"]).is_empty()
}

/// The certificate request that an object carries.
fn parse(csr: &Value) -> Option<Request> {
    let pem = STANDARD.decode(str_at(csr, &["spec", "request"])).ok()?;
    Request::from_pem(&String::from_utf8_lossy(&pem))
}

fn usages(csr: &Value) -> Vec<&str> {
    list_at(csr, &["spec", "usages"]).iter().filter_map(Value::as_str).collect()
}
