//! The audit log: which requests are spoken of is the policy's, what is said of them is the event's. Without a policy nothing
//! here is computed.
//!
//! A request is noted when it arrives; its answer is found among the outputs of the step, where every answer passes. So no
//! handler knows of the audit log.
//!
//! <https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/>

mod event;
mod policy;

use std::collections::BTreeMap;

use object::{Bytes, Rng};

use crate::edge::query::Query;
use crate::edge::route::Route;
use crate::identity;
use crate::message::{Output, Request, StreamId};
use crate::server::ApiServer;
use event::{Begun, Open};
use policy::{Level, Policy, Stage};

/// Longest `Audit-ID` taken from a client, as kube-apiserver has it.
const MAX_ID: usize = 64;

/// Says why this is no policy, if it is none.
pub fn check_policy(text: &str) -> Result<(), String> {
    Policy::parse(text).map(drop)
}

/// What is recorded of which requests.
pub(crate) struct Audit {
    policy: Policy,
    /// Names of events. Apart from the server's own numbers, which must not depend on who watches.
    rng: Rng,
    open: BTreeMap<StreamId, Open>,
    lines: Vec<Bytes>,
    /// Whose clients went away in this step; what time it is is known at its end.
    left: Vec<StreamId>,
}

impl Audit {
    /// With this policy. The host has checked it with [`check_policy`]; what cannot be read records nothing.
    pub fn new(policy: &str, seed: u64) -> Option<Box<Self>> {
        if policy.is_empty() {
            return None;
        }
        let policy = Policy::parse(policy).ok()?;
        Some(Box::new(Audit { policy, rng: Rng::new(!seed), open: BTreeMap::new(), lines: Vec::new(), left: Vec::new() }))
    }
}

impl ApiServer {
    /// Notes a request that arrived.
    pub(crate) fn audit_begin(&mut self, request: &Request) {
        let Some(mut audit) = self.audit.take() else { return };
        self.begin(&mut audit, request);
        self.audit = Some(audit);
    }

    fn begin(&self, audit: &mut Audit, request: &Request) {
        let credential = identity::credential(self, request);
        let nobody = identity::UserInfo::default();
        let user = credential.as_ref().unwrap_or(&nobody);
        let impersonated = credential.as_ref().ok().and_then(|user| identity::impersonate(self, request, user.clone()).ok());
        let impersonated = impersonated.filter(|other| other != user);
        let query = Query::parse(&request.target);
        let route = Route::parse(&request.target);
        let verb = route.verb(&request.method, &query);
        let selected = query.fields().unwrap_or_default();
        let attributes = route.attributes(&verb, selected.terms());
        let verdict = audit.policy.verdict(user, &attributes);
        if verdict.level == Level::None {
            return;
        }
        let said = identity::header(request, "audit-id").filter(|id| !id.is_empty());
        let id = said.map_or_else(|| audit.rng.uuid(), |id| id.chars().take(MAX_ID).collect());
        let impersonated = impersonated.as_ref();
        let mut open = Open::new(self, Begun { id, request, user, impersonated, attributes: &attributes, verdict });
        if credential.is_err() {
            let bearer = identity::header(request, "authorization").is_some();
            open.unauthenticated(if bearer {
                "Authentication failed, attempted: bearer"
            } else {
                "Authentication failed, no credentials provided"
            });
        } else {
            audit.lines.extend(open.event(Stage::RequestReceived, self.now, None));
        }
        audit.open.insert(request.stream, open);
    }

    /// Notes something about the request at hand. What was noted under a key stays.
    pub(crate) fn annotate(&mut self, key: &str, value: impl FnOnce() -> String) {
        if self.audit.is_some() {
            self.annotations.entry(key.to_owned()).or_insert_with(value);
        }
    }

    /// The request of this stream was run: what was noted about it goes into its events.
    pub(crate) fn audit_annotated(&mut self, stream: StreamId) {
        let noted = std::mem::take(&mut self.annotations);
        if let Some(open) = self.audit.as_mut().and_then(|audit| audit.open.get_mut(&stream)) {
            open.annotated(noted);
        }
    }

    /// The client of this stream went away.
    pub(crate) fn audit_closed(&mut self, stream: StreamId) {
        if let Some(audit) = &mut self.audit {
            audit.left.push(stream);
        }
    }

    /// Finds the answers among these outputs, names them, and adds the events.
    pub(crate) fn audit_outputs(&mut self, outputs: &mut Vec<Output>) {
        let now = self.now;
        let Some(audit) = &mut self.audit else { return };
        for output in outputs.iter_mut() {
            match output {
                Output::Respond { stream, status, headers, body } => {
                    let Some(open) = audit.open.remove(stream) else { continue };
                    headers.push(("audit-id".to_owned(), open.id().to_owned()));
                    audit.lines.extend(open.event(Stage::ResponseComplete, now, Some((*status, body))));
                }
                Output::Open { stream, status, headers } => {
                    let Some(open) = audit.open.get_mut(stream) else { continue };
                    headers.push(("audit-id".to_owned(), open.id().to_owned()));
                    open.started(*status);
                    audit.lines.extend(open.event(Stage::ResponseStarted, now, None));
                }
                Output::End(stream) => {
                    let Some(open) = audit.open.remove(stream) else { continue };
                    audit.lines.extend(open.event(Stage::ResponseComplete, now, None));
                }
                // Others answer, and what they say does not pass here.
                Output::Forward { stream, .. } => {
                    let Some(open) = audit.open.remove(stream) else { continue };
                    audit.lines.extend(open.event(Stage::ResponseComplete, now, None));
                }
                Output::Journal(_) | Output::Data { .. } | Output::Call { .. } | Output::Audit(_) | Output::Served { .. } => {}
            }
        }
        for stream in std::mem::take(&mut audit.left) {
            let Some(open) = audit.open.remove(&stream) else { continue };
            audit.lines.extend(open.event(Stage::ResponseComplete, now, None));
        }
        self.metrics.audit_events += audit.lines.len() as u64;
        outputs.extend(std::mem::take(&mut audit.lines).into_iter().map(Output::Audit));
    }
}
