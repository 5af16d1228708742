//! OpenAPI documents on their way out: made once, until what is served changes, and tagged so that clients need not load
//! them again.
//!
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition>

use std::collections::BTreeMap;

use object::{ApiError, Bytes, Reason, Result, Value, json};
use schema::{Registry, openapi};

use super::Answer;
use super::query::Query;
use crate::identity::header;
use crate::message::Request;
use crate::server::ApiServer;

/// How long a document whose address has its hash may be kept: a year.
const KEPT_SECONDS: u64 = 365 * 86_400;

/// Documents that were made, each with its tag.
#[derive(Default)]
pub struct Documents(BTreeMap<String, (String, Bytes)>);

impl Documents {
    /// What is served changed.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl ApiServer {
    /// Answers a path below `/openapi`.
    pub(super) fn on_openapi(&mut self, request: &Request, parts: &[&str], query: &Query) -> Result<Answer> {
        if request.method != "GET" && request.method != "HEAD" {
            return Err(ApiError::method_not_allowed());
        }
        check_accept(request)?;
        let (group, version) = match parts {
            ["v2"] => {
                return Ok(self
                    .known(request, "v2", |registry| Some(openapi::swagger(registry)))
                    .unwrap_or_else(Answer::no_page));
            }
            ["v3"] => return Ok(self.index(request)),
            ["v3", "api", version] => ("", *version),
            ["v3", "apis", group, version] => (*group, *version),
            _ => return Ok(Answer::no_page()),
        };
        if !self.registry.serves(group, version) {
            return Ok(Answer::new(404, "", ""));
        }
        let hash = openapi::hash(&self.registry, group, version);
        let asked = query.get("hash");
        let path = openapi::document_path(group, version);
        if !asked.is_empty() && asked != hash {
            let mut answer = Answer::new(301, "text/html; charset=utf-8", "");
            answer.headers.push(("location".to_owned(), format!("/openapi/v3/{path}?hash={hash}")));
            return Ok(answer);
        }
        let document = self.known(request, &path, |registry| openapi::document(registry, group, version));
        let Some(mut answer) = document else { return Ok(Answer::new(404, "", "")) };
        if !asked.is_empty() {
            answer.headers.push(("cache-control".to_owned(), "public, immutable".to_owned()));
            answer.headers.push(("expires".to_owned(), self.now.plus_secs(KEPT_SECONDS).http_date()));
        }
        Ok(answer)
    }

    /// The index; other servers' documents are asked of them.
    fn index(&mut self, request: &Request) -> Answer {
        let others = self.aggregation.groups();
        if others.is_empty() {
            return self.known(request, "v3", |registry| Some(openapi::index(registry))).unwrap_or_else(Answer::no_page);
        }
        let paths =
            others.iter().flat_map(|(group, versions)| versions.iter().map(|version| openapi::document_path(group, version)));
        let mut index = openapi::index(&self.registry);
        for path in paths {
            index["paths"][&path] = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
        }
        Answer::json(200, index.to_string())
    }

    /// A document, made now if it was not there; without its text for a client that has it already.
    fn known(&mut self, request: &Request, key: &str, make: impl FnOnce(&Registry) -> Option<Value>) -> Option<Answer> {
        let (tag, text) = match self.documents.0.get(key) {
            Some(known) => known.clone(),
            None => {
                let text: Bytes = make(&self.registry)?.to_string().into();
                let tag = format!("\"{:016X}\"", super::discovery::fingerprint(&text));
                self.documents.0.insert(key.to_owned(), (tag.clone(), text.clone()));
                (tag, text)
            }
        };
        let has = header(request, "if-none-match").is_some_and(|known| known.split(',').any(|known| known.trim() == tag));
        let mut answer = if has { Answer::new(304, "application/json", "") } else { Answer::json(200, text) };
        answer.headers.push(("etag".to_owned(), tag));
        answer.headers.push(("vary".to_owned(), "Accept-Encoding, Accept".to_owned()));
        Some(answer)
    }
}

/// The documents are JSON; whoever takes only Google's protobuf of them is told so, and asks again.
fn check_accept(request: &Request) -> Result<()> {
    let accept = header(request, "accept").unwrap_or_default();
    let spoken =
        |range: &str| matches!(range.split(';').next().map(str::trim), Some("application/json" | "application/*" | "*/*"));
    if accept.is_empty() || accept.split(',').any(spoken) {
        return Ok(());
    }
    Err(ApiError::new(406, Reason::NotAcceptable, "only the following media types are accepted: application/json"))
}
