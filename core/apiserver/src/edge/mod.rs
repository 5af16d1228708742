//! The HTTP edge: bytes in, bytes out. route → identify → negotiate → decode → the operation → encode.

pub mod accept;
pub mod body;
mod discovery;
mod fields;
pub mod list;
pub mod openapi;
pub mod query;
pub mod render;
mod resource;
pub mod route;

use object::{ApiError, Bytes, GroupVersionResource, Result, Time};

use crate::calls::Work;
use crate::message::{Output, Request};
use crate::metrics::{self, Labels};
use crate::server::ApiServer;
use crate::strategy::crd;
use crate::{aggregation, auth, identity};
use query::Query;
use route::Route;

/// A whole answer.
pub struct Answer {
    status: u16,
    content_type: &'static str,
    warnings: Vec<String>,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Answer { status, content_type, warnings: Vec::new(), headers: Vec::new(), body: body.into() }
    }

    fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Answer::new(status, "application/json", body)
    }

    fn text(status: u16, body: &str) -> Self {
        Answer::new(status, "text/plain; charset=utf-8", body.as_bytes().to_vec())
    }

    /// What nothing serves at all.
    fn no_page() -> Self {
        Answer::text(404, "404 page not found\n")
    }
}

/// What a request asked, for those who keep count.
#[derive(Default)]
struct Seen {
    labels: Labels,
    /// What is to be said of the API version that was used.
    deprecated: Option<String>,
}

impl ApiServer {
    /// Answers a request from outside. What is to be sent is in [`ApiServer::take_outputs`].
    pub fn handle(&mut self, now: Time, request: Request) {
        self.now = now;
        self.audit_begin(&request);
        let rng = self.rng.clone();
        if let Some(request) = self.respond(now, request) {
            self.park(Work::Request(request), now, rng);
        }
    }

    /// Answers, unless something must be asked first: then the request comes back.
    pub(crate) fn respond(&mut self, now: Time, request: Request) -> Option<Request> {
        self.warnings.clear();
        self.annotations.clear();
        let mut seen = Seen::default();
        let answer = self.answer(now, &request, &mut seen);
        if self.calls.are_wanted() {
            return Some(request);
        }
        let warnings = std::mem::take(&mut self.warnings);
        self.audit_annotated(request.stream);
        crd::settle(self, now);
        let mut answer = match answer {
            Ok(Some(answer)) => answer,
            // A stream was opened, or somebody else answers.
            Ok(None) => {
                self.metrics.request(seen.labels, 200);
                return None;
            }
            Err(error) => Answer::json(error.code, error.to_status().to_string()),
        };
        self.metrics.request(seen.labels, answer.status);
        answer.warnings.extend(warnings);
        answer.warnings.extend(seen.deprecated);
        self.send_answer(&request, answer);
        None
    }

    /// Answers with an error.
    pub(crate) fn refuse(&mut self, request: &Request, error: &ApiError) {
        self.send_answer(request, Answer::json(error.code, error.to_status().to_string()));
    }

    fn send_answer(&mut self, request: &Request, answer: Answer) {
        let mut headers = vec![("content-type".to_owned(), answer.content_type.to_owned())];
        headers.extend(answer.headers);
        headers.extend(answer.warnings.iter().map(|w| ("warning".to_owned(), format!("299 - {}", quoted(w)))));
        // The answer to HEAD has no body.
        let body = if request.method == "HEAD" { Bytes::new() } else { answer.body };
        self.outputs.push(Output::Respond { stream: request.stream, status: answer.status, headers, body });
    }

    /// Answers, and notes what was asked.
    fn answer(&mut self, now: Time, request: &Request, seen: &mut Seen) -> Result<Option<Answer>> {
        let user = identity::authenticate(self, request)?;
        let query = Query::parse(&request.target);
        let route = Route::parse(&request.target);
        let verb = route.verb(&request.method, &query);
        // A selector that cannot be read is refused later, by those who may ask at all.
        let fields = if query.has("fieldSelector") { query.fields().unwrap_or_default() } else { Default::default() };
        seen.labels.verb = metrics::verb(&verb, false);
        auth::check(self, &user, &route.attributes(&verb, fields.terms()))?;
        if let Some((group, version)) = route.group_version()
            && self.aggregation.serves(group, version)
        {
            let (group, version) = (group.to_owned(), version.to_owned());
            aggregation::forward(self, request, &user, &group, &version);
            return Ok(None);
        }
        match route {
            Route::Resource { gvr, namespace, name, subresource, watch } => {
                if !self.registry.serves(&gvr.group, &gvr.version) && !self.registry.is_builtin_group(&gvr.group) {
                    return Ok(Some(Answer::no_page()));
                }
                if let Some(resource) = self.registry.resource(&gvr) {
                    seen.deprecated = match &resource.custom {
                        Some(custom) => custom.deprecation.clone(),
                        None => deprecation(&resource.gvr).map(str::to_owned),
                    };
                    let known = resource.subresource(&subresource).is_some();
                    seen.labels = Labels {
                        verb: metrics::verb(&verb, body::media_type(request) == "application/apply-patch+yaml"),
                        group: resource.gvr.group.clone(),
                        version: resource.gvr.version.clone(),
                        resource: resource.gvr.resource.clone(),
                        subresource: if known { subresource.clone() } else { String::new() },
                        scope: if !name.is_empty() {
                            "resource"
                        } else if !namespace.is_empty() {
                            "namespace"
                        } else {
                            "cluster"
                        },
                    };
                }
                self.on_resource(now, request, &user, &query, &gvr, (namespace, name, subresource), watch)
            }
            Route::Other(path) => self.on_path(request, &path, &query).map(Some),
        }
    }
}

/// What clients of a deprecated built-in resource are told.
fn deprecation(gvr: &GroupVersionResource) -> Option<&'static str> {
    match (&*gvr.group, &*gvr.version, &*gvr.resource) {
        ("", "v1", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        ("", "v1", "endpoints") => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        _ => None,
    }
}

/// A quoted string of HTTP: quotes and backslashes escaped, control characters left out.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
