//! The HTTP edge: bytes in, bytes out. route → identify → negotiate → decode → the operation → encode.

pub mod accept;
pub mod body;
pub mod deadline;
mod discovery;
mod fields;
pub mod list;
pub mod openapi;
mod patch;
pub mod query;
pub mod render;
mod resource;
pub mod route;

use std::sync::Arc;

use object::selector::FieldSelector;
use object::{ApiError, Bytes, GroupVersionResource, Result, Time};

use crate::auth::Attributes;
use crate::calls::Work;
use crate::flow::Place;
use crate::flow::queues::Refusal;
use crate::identity::UserInfo;
use crate::message::{Outgoing, Output, Relay, Request, SCHEDULER};
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

/// A request and what was found out about it when it arrived.
pub(crate) struct Incoming {
    pub(crate) request: Request,
    pub(crate) asked: Asked,
    /// When it has taken too long.
    pub(crate) deadline: Time,
    /// Its place in flow control; none for what is not counted there.
    pub(crate) place: Option<Arc<Place>>,
}

/// Who asks what.
pub(crate) struct Asked {
    pub(crate) user: UserInfo,
    pub(crate) verb: String,
    query: Query,
    route: Route,
    /// A selector that cannot be read is refused later, by those who may ask at all.
    fields: FieldSelector,
}

impl Asked {
    /// Who asks what, and until when it can be answered.
    fn of(api: &ApiServer, request: &Request) -> Result<(Self, Time)> {
        let query = Query::parse(&request.target);
        let route = Route::parse(&request.target);
        let verb = route.verb(&request.method, &query);
        let fields = if query.has("fieldSelector") { query.fields().unwrap_or_default() } else { FieldSelector::default() };
        let mut asked = Asked { user: UserInfo::default(), verb, query, route, fields };
        let deadline =
            if asked.is_long_running() { Time(u64::MAX) } else { deadline::of(api, &asked.query, asked.changes(), api.now)? };
        asked.user = identity::authenticate(api, request)?;
        Ok((asked, deadline))
    }

    /// Whether this is to change something.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch" | "proxy") && matches!(self.route, Route::Resource { .. })
    }

    /// As authorization and flow control see it.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        self.route.attributes(&self.verb, self.fields.terms())
    }

    /// Whether its answer goes on until somebody ends it.
    pub(crate) fn is_long_running(&self) -> bool {
        let subresource = match &self.route {
            Route::Resource { subresource, .. } => subresource.as_str(),
            Route::Other(_) => "",
        };
        self.verb == "watch" || matches!(subresource, "attach" | "exec" | "proxy" | "log" | "portforward")
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
        match Asked::of(self, &request) {
            Ok((asked, deadline)) => {
                self.metrics.authenticated += 1;
                self.take_turn(now, Box::new(Incoming { request, asked, deadline, place: None }));
            }
            Err(error) => {
                self.flow.place = None;
                self.metrics.unauthenticated += u64::from(error.code == 401);
                self.metrics.request(Labels::default(), error.code, 0);
                self.send_answer(&request, Answer::json(error.code, error.to_status().to_string()));
            }
        }
    }

    /// Serves a request whose turn it is.
    pub(crate) fn serve(&mut self, now: Time, incoming: Box<Incoming>) {
        if incoming.deadline <= now {
            return self.refuse(&incoming, &deadline::exceeded(incoming.asked.changes()));
        }
        let rng = self.rng.clone();
        if let Some(incoming) = self.respond(now, incoming) {
            self.park(Work::Request(incoming), now, rng);
        }
    }

    /// Answers, unless something must be asked first: then the request comes back.
    pub(crate) fn respond(&mut self, now: Time, incoming: Box<Incoming>) -> Option<Box<Incoming>> {
        self.warnings.clear();
        self.annotations.clear();
        self.flow.place.clone_from(&incoming.place);
        let mut seen = Seen::default();
        if incoming.asked.changes() {
            let Incoming { request, asked, .. } = &*incoming;
            self.causes.request(&asked.user.name, &asked.verb, &request.method, &request.target);
        }
        let answer = self.answer(now, &incoming, &mut seen);
        if self.calls.are_wanted() {
            return Some(incoming);
        }
        self.causes.own();
        let request = &incoming.request;
        self.flow.answered(request.stream);
        let warnings = std::mem::take(&mut self.warnings);
        self.audit_annotated(request.stream);
        crd::settle(self, now);
        let mut answer = match answer {
            Ok(Some(answer)) => answer,
            // A stream was opened, or somebody else answers.
            Ok(None) => {
                self.metrics.request(seen.labels, 200, 0);
                return None;
            }
            Err(error) => Answer::json(error.code, error.to_status().to_string()),
        };
        let kind = self.metrics.request(seen.labels, answer.status, answer.body.len() as u64);
        answer.warnings.extend(warnings);
        answer.warnings.extend(seen.deprecated);
        self.send_answer(request, answer);
        self.outputs.push(Output::Served { stream: request.stream, kind });
        None
    }

    /// Answers with an error.
    pub(crate) fn refuse(&mut self, incoming: &Incoming, error: &ApiError) {
        self.flow.place.clone_from(&incoming.place);
        self.flow.answered(incoming.request.stream);
        self.send_answer(&incoming.request, Answer::json(error.code, error.to_status().to_string()));
    }

    /// Answers that there is no place for this request now.
    pub(crate) fn refuse_turn(&mut self, incoming: &Incoming, refusal: Refusal) {
        self.flow.place.clone_from(&incoming.place);
        if let Some(place) = &incoming.place {
            self.metrics.rejected(&place.schema.name, &place.level, refusal.as_str());
        }
        let mut answer = Answer::text(429, "Too many requests, please try again later.\n");
        answer.headers.push(("retry-after".to_owned(), "1".to_owned()));
        answer.headers.push(("x-content-type-options".to_owned(), "nosniff".to_owned()));
        self.send_answer(&incoming.request, answer);
    }

    fn send_answer(&mut self, request: &Request, answer: Answer) {
        let mut headers = vec![("content-type".to_owned(), answer.content_type.to_owned())];
        headers.extend(answer.headers);
        self.flow.headers(&mut headers);
        headers.extend(answer.warnings.iter().map(|w| ("warning".to_owned(), format!("299 - {}", quoted(w)))));
        // The answer to HEAD has no body.
        let body = if request.method == "HEAD" { Bytes::new() } else { answer.body };
        self.outputs.push(Output::Respond { stream: request.stream, status: answer.status, headers, body });
    }

    /// Answers, and notes what was asked.
    fn answer(&mut self, now: Time, incoming: &Incoming, seen: &mut Seen) -> Result<Option<Answer>> {
        let Incoming { request, asked, .. } = incoming;
        let Asked { user, verb, query, route, .. } = asked;
        seen.labels.verb = metrics::verb(verb, false);
        auth::check(self, user, &asked.attributes())?;
        if let Some((group, version)) = route.group_version()
            && self.aggregation.serves(group, version)
        {
            let (group, version) = (group.to_owned(), version.to_owned());
            aggregation::forward(self, request, user, &group, &version);
            return Ok(None);
        }
        match route {
            Route::Resource { gvr, namespace, name, subresource, watch } => {
                if !self.registry.serves(&gvr.group, &gvr.version) && !self.registry.is_builtin_group(&gvr.group) {
                    return Ok(Some(Answer::no_page()));
                }
                if let Some(resource) = self.registry.resource(gvr) {
                    seen.deprecated = match &resource.custom {
                        Some(custom) => custom.deprecation.clone(),
                        None => deprecation(&resource.gvr).map(str::to_owned),
                    };
                    let known = resource.subresource(subresource).is_some();
                    seen.labels = Labels {
                        verb: metrics::verb(verb, body::media_type(request) == "application/apply-patch+yaml"),
                        group: resource.gvr.group.clone(),
                        version: resource.gvr.version.clone(),
                        resource: resource.gvr.resource.clone(),
                        subresource: if known { subresource.clone() } else { String::new() },
                        dry_run: query.has("dryRun"),
                        scope: if !name.is_empty() {
                            "resource"
                        } else if !namespace.is_empty() {
                            "namespace"
                        } else {
                            "cluster"
                        },
                    };
                }
                self.on_resource(now, incoming, gvr, (namespace, name, subresource), *watch)
            }
            Route::Other(path) if path.trim_start_matches('/').starts_with("debug/scheduler/") => {
                // The scheduler answers; the API server knows nothing of it.
                let outgoing = Outgoing { method: request.method.clone(), target: request.target.clone(), ..Outgoing::default() };
                let node = SCHEDULER.to_owned();
                self.outputs.push(Output::Forward { stream: request.stream, node, relay: Relay::Verbatim, outgoing });
                Ok(None)
            }
            Route::Other(path) => self.on_path(request, path, query).map(Some),
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
