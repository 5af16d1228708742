//! Signing of approved requests with the cluster's authority.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object::value::{i64_at, list_at, set, str_at};
use object::{ApiError, Reason, Result, Value, json};
use store::{Event, Key, Store};

use super::approve::BACKOFF;
use super::issue::Authority;
use super::rules::Signer;
use super::{has_condition, is_issued, parse, requests, stored, usages};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::{Backoff, WorkQueue};

/// How long certificates live, if nobody asks for less.
const DURATION_SECONDS: u64 = 365 * 24 * 3600;
/// Nobody gets one for less than this.
const SHORTEST_SECONDS: u64 = 600;

/// Signs requests.
pub struct CertificateSigner {
    authority: Option<Authority>,
}

impl CertificateSigner {
    /// With this authority: its certificate as PEM, its key as PKCS#8. Without one nothing is signed.
    pub fn new(certificate: &str, key: &[u8]) -> Self {
        CertificateSigner { authority: Authority::new(certificate, key) }
    }
}

impl Controller for CertificateSigner {
    fn name(&self) -> &'static str {
        "certificate-controller"
    }

    fn backoff(&self) -> Backoff {
        BACKOFF
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        if self.authority.is_some() && event.key().resource == stored() && event.new.is_some() {
            queue.add(event.key().clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let (Some(authority), Some(stored)) = (&self.authority, cx.get(key)) else { return Ok(()) };
        let mut csr = stored.value();
        let Some(signer) = Signer::named(str_at(&csr, &["spec", "signerName"])) else { return Ok(()) };
        let wanted = has_condition(&csr, "Approved") && !has_condition(&csr, "Denied") && !has_condition(&csr, "Failed");
        if !wanted || is_issued(&csr) {
            return Ok(());
        }
        let Some(request) = parse(&csr) else {
            return Err(failed(format!("unable to parse csr {:?}", key.name)));
        };
        if let Err(why) = signer.check(&request, &usages(&csr)) {
            let now = cx.now.rfc3339();
            let condition = json!({
                "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
                "lastUpdateTime": now, "lastTransitionTime": now,
            });
            let mut conditions = list_at(&csr, &["status", "conditions"]).to_vec();
            conditions.push(condition);
            set(&mut csr, &["status", "conditions"], conditions);
        } else {
            let asked = i64_at(&csr, &["spec", "expirationSeconds"]).and_then(|seconds| u64::try_from(seconds).ok());
            let seconds = asked.map_or(DURATION_SECONDS, |asked| asked.clamp(SHORTEST_SECONDS, DURATION_SECONDS));
            let pem = authority.issue(&request, &usages(&csr), seconds, &stored.meta.uid, cx.now);
            let pem = pem.map_err(|why| failed(format!("error auto signing csr: {why}")))?;
            set(&mut csr, &["status", "certificate"], Value::from(STANDARD.encode(pem)));
        }
        cx.client().update_status(&requests(), "", &key.name, csr).map(drop)
    }
}

fn failed(why: String) -> Box<ApiError> {
    ApiError::new(500, Reason::InternalError, why)
}
