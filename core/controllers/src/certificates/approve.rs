//! Approval of kubelets' requests: whoever may ask for such certificates by the rules of authorization gets them.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#approval>

use apiserver::gvr;
use object::value::{at, list_at, object_at, str_at};
use object::{ApiError, Reason, Result, Value, json};
use store::{Event, Key, Store};

use super::request::Request;
use super::rules::Signer;
use super::{has_condition, is_issued, parse, requests, stored, usages};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::{Backoff, WorkQueue};

/// Approves requests.
pub struct CertificateApprover;

/// How long these controllers wait after failures.
pub const BACKOFF: Backoff = Backoff { base_millis: 200, max_millis: 1_000_000 };

impl Controller for CertificateApprover {
    fn name(&self) -> &'static str {
        "certificate-controller"
    }

    fn backoff(&self) -> Backoff {
        BACKOFF
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if event.key().resource == stored() && event.new.is_some() {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(csr) = cx.get(key).map(|csr| csr.value()) else { return Ok(()) };
        if is_issued(&csr) || has_condition(&csr, "Approved") || has_condition(&csr, "Denied") {
            return Ok(());
        }
        let Some(request) = parse(&csr).filter(|request| is_node_client(&csr, request)) else { return Ok(()) };
        let own = str_at(&csr, &["spec", "username"]) == request.common_name;
        let ways = [
            ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.", own),
            ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.", true),
        ];
        let mut tried = Vec::new();
        for (subresource, message, _) in ways.iter().filter(|(.., applies)| *applies) {
            if may(cx, &csr, subresource)? {
                return approve(cx, key, csr, message);
            }
            tried.push(*subresource);
        }
        let message =
            format!("recognized csr {:?} as [{}] but subject access review was not approved", key.name, tried.join(" "));
        // Somebody may be given the right later.
        Err(ApiError::new(403, Reason::Forbidden, message))
    }
}

fn is_node_client(csr: &Value, request: &Request) -> bool {
    let signer = Signer::named(str_at(csr, &["spec", "signerName"]));
    signer == Some(Signer::KubeletClient) && Signer::KubeletClient.check(request, &usages(csr)).is_ok()
}

/// Whether who made the request may create such requests.
fn may(cx: &mut Context<'_>, csr: &Value, subresource: &str) -> Result<bool> {
    let text = |key: &str| str_at(csr, &["spec", key]);
    let mut spec = json!({
        "user": text("username"), "uid": text("uid"), "groups": list_at(csr, &["spec", "groups"]),
        "resourceAttributes": {
            "group": "certificates.k8s.io", "version": "*", "resource": "certificatesigningrequests", "verb": "create",
            "subresource": subresource,
        },
    });
    if let Some(extra) = at(csr, &["spec", "extra"]) {
        spec["extra"] = extra.clone();
    }
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": spec});
    let answer = cx.client().create(&gvr("authorization.k8s.io", "v1", "subjectaccessreviews"), "", review)?;
    Ok(object::value::bool_at(&answer, &["status", "allowed"]))
}

fn approve(cx: &mut Context<'_>, key: &Key, mut csr: Value, message: &str) -> Result<()> {
    let now = cx.now.rfc3339();
    let condition = json!({
        "type": "Approved", "status": "True", "reason": "AutoApproved", "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now,
    });
    let mut conditions = list_at(&csr, &["status", "conditions"]).to_vec();
    conditions.push(condition);
    object_at(&mut csr, &["status"]).insert("conditions".to_owned(), conditions.into());
    cx.client().update_approval(&requests(), &key.name, csr).map(drop)
}
