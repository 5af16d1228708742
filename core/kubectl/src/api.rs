//! Requests to the API and their answers.

use object::{ApiError, Bytes, Reason, Value};

use crate::discovery::Mapping;
use crate::transport::{Request, Response};
use crate::{Failure, Kubectl, Result};

/// Asks for a table where the server can make one.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const JSON: &str = "application/json";

impl Kubectl<'_> {
    /// Sends a request and waits for the head of the answer; a failure of the server is an error.
    pub(crate) async fn open(&self, method: &str, target: &str, accept: &str, body: Option<(&str, Bytes)>) -> Result<Response> {
        let mut headers = vec![
            ("accept".to_owned(), accept.to_owned()),
            ("user-agent".to_owned(), format!("kubectl/{} (wasmkube)", crate::VERSION)),
        ];
        let mut bytes = Bytes::new();
        if let Some((content_type, body)) = body {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
            bytes = body;
        }
        let request = Request { method: method.to_owned(), target: target.to_owned(), headers, body: bytes };
        let unreachable = |e: String| Failure::plain(format!("Unable to connect to the server: {e}"));
        let mut response = self.transport.send(request).await.map_err(unreachable)?;
        for (name, value) in &response.headers {
            if name == "warning" {
                let text = value.split_once('"').map_or(value.as_str(), |(_, t)| t.trim_end_matches('"'));
                self.error(&format!("Warning: {}", text.replace("\\\"", "\"").replace("\\\\", "\\")));
            }
        }
        if response.status < 400 {
            return Ok(response);
        }
        let status = response.status;
        let body = whole(&mut response).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        Err(match serde_json::from_slice::<Value>(&body).ok().filter(|v| v.get("kind").is_some_and(|k| k == "Status")) {
            Some(value) => failure_of(&value),
            None if status == 404 => Failure {
                not_found: true,
                ..Failure::plain("Error from server (NotFound): the server could not find the requested resource")
            },
            None => Failure::plain(format!("Error from server: {}", text.trim_end())),
        })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn bytes(&self, method: &str, target: &str, accept: &str, body: Option<(&str, Bytes)>) -> Result<Bytes> {
        let mut response = self.open(method, target, accept, body).await?;
        whole(&mut response).await
    }

    /// Sends a request and reads the answer as JSON.
    pub(crate) async fn json(&self, method: &str, target: &str, accept: &str, body: Option<(&str, Bytes)>) -> Result<Value> {
        let bytes = self.bytes(method, target, accept, body).await?;
        serde_json::from_slice(&bytes).map_err(|e| Failure::new(format!("the server's answer is not JSON: {e}")))
    }

    /// GET.
    pub(crate) async fn get(&self, target: &str) -> Result<Value> {
        self.json("GET", target, JSON, None).await
    }

    /// GET, where the object need not be there.
    pub(crate) async fn find(&self, target: &str) -> Result<Option<Value>> {
        match self.get(target).await {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.not_found => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// POST.
    pub(crate) async fn post(&self, target: &str, object: &Value) -> Result<Value> {
        self.json("POST", target, JSON, Some((JSON, object.to_string().into()))).await
    }

    /// PUT.
    pub(crate) async fn put(&self, target: &str, object: &Value) -> Result<Value> {
        self.json("PUT", target, JSON, Some((JSON, object.to_string().into()))).await
    }

    /// PATCH; `kind` is the middle of the content type (`merge`, `json`, `strategic-merge`).
    pub(crate) async fn patch(&self, target: &str, kind: &str, patch: &Value) -> Result<Value> {
        let content_type = match kind {
            "apply" => "application/apply-patch+yaml".to_owned(),
            kind => format!("application/{kind}-patch+json"),
        };
        self.json("PATCH", target, JSON, Some((&content_type, patch.to_string().into()))).await
    }
}

/// Reads the rest of a body.
pub(crate) async fn whole(response: &mut Response) -> Result<Bytes> {
    let mut all = Vec::new();
    while let Some(piece) = response.body.next().await.map_err(Failure::new)? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

/// A failed Status as kubectl says it.
pub(crate) fn failure_of(status: &Value) -> Failure {
    let text = |key: &str| status.get(key).and_then(Value::as_str).unwrap_or("");
    let (reason, message) = (text("reason"), text("message"));
    let not_found = reason == Reason::NotFound.as_str();
    let message = match reason {
        "Invalid" => return invalid(status, message),
        "" => format!("Error from server: {message}"),
        "Unauthorized" => "error: You must be logged in to the server (Unauthorized)".to_owned(),
        _ => format!("Error from server ({reason}): {message}"),
    };
    Failure { message, code: 1, not_found }
}

/// What validation complains of: one line for one cause, a list for several.
fn invalid(status: &Value, message: &str) -> Failure {
    let causes = object::value::list_at(status, &["details", "causes"]);
    let details = |key: &str| object::value::str_at(status, &["details", key]);
    let head = match (details("kind"), details("name")) {
        ("", "") => "The request is invalid".to_owned(),
        (kind, name) => format!("The {kind} {name:?} is invalid"),
    };
    if causes.is_empty() {
        return Failure::plain(format!("{head}: {message}"));
    }
    let line = |cause: &Value| {
        let field = cause.get("field").and_then(Value::as_str).unwrap_or("");
        let what = cause.get("message").and_then(Value::as_str).unwrap_or("");
        if field.is_empty() { what.to_owned() } else { format!("{field}: {what}") }
    };
    match causes {
        [one] => Failure::plain(format!("{head}: {}", line(one))),
        many => {
            let list: Vec<String> = many.iter().map(|c| format!("* {}", line(c))).collect();
            Failure::plain(format!("{head}: \n{}", list.join("\n")))
        }
    }
}

/// Percent-encodes a query value.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            _ => out += &format!("%{b:02X}"),
        }
    }
    out
}

/// A query from its parts; those without a value are left out.
pub(crate) fn query(parts: &[(&str, &str)]) -> String {
    let list: Vec<String> = parts.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={}", encode(v))).collect();
    if list.is_empty() { String::new() } else { format!("?{}", list.join("&")) }
}

/// The path of a collection, or of an object if `name` is not empty.
pub(crate) fn path(mapping: &Mapping, namespace: &str, name: &str) -> String {
    let mut out = if mapping.group.is_empty() {
        format!("/api/{}", mapping.version)
    } else {
        format!("/apis/{}/{}", mapping.group, mapping.version)
    };
    if mapping.namespaced && !namespace.is_empty() {
        out += &format!("/namespaces/{namespace}");
    }
    out += &format!("/{}", mapping.resource);
    if !name.is_empty() {
        out += &format!("/{}", encode(name));
    }
    out
}

/// An error made here in the words of the server.
pub(crate) fn not_found(mapping: &Mapping, name: &str) -> Failure {
    let resource = object::GroupResource::new(&mapping.group, &mapping.resource);
    Failure::from(&*ApiError::not_found(&resource, name))
}
