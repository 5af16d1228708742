//! `audit.k8s.io/v1` Event: what is said of a request at each of its stages.

use std::collections::BTreeMap;

use object::value::str_at;
use object::{Bytes, Map, Time, Value, json};

use super::policy::{Level, Stage, Verdict};
use crate::auth::{self, Attributes};
use crate::edge::body;
use crate::identity::{UserInfo, header};
use crate::message::Request;
use crate::server::ApiServer;

/// A request that is under way and will be spoken of again.
pub(crate) struct Open {
    /// Everything that does not change any more.
    event: Map<String, Value>,
    verdict: Verdict,
    /// What is known only after [`Stage::RequestReceived`].
    later: Map<String, Value>,
}

/// A request's beginning.
pub(crate) struct Begun<'a> {
    pub id: String,
    pub request: &'a Request,
    pub user: &'a UserInfo,
    /// Whom the user is taken for, if they asked for it and may.
    pub impersonated: Option<&'a UserInfo>,
    pub attributes: &'a Attributes<'a>,
    pub verdict: Verdict,
}

impl Open {
    pub fn new(api: &ApiServer, begun: Begun<'_>) -> Self {
        let Begun { id, request, user, impersonated, attributes, verdict } = begun;
        let mut event = fields(json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": verdict.level.name(), "auditID": id,
            "requestURI": request.target, "verb": attributes.verb, "user": user_value(user),
            "requestReceivedTimestamp": api.now.rfc3339_micros(),
        }));
        let sources = sources(request);
        if !sources.is_empty() {
            event.insert("sourceIPs".into(), json!(sources));
        }
        if let Some(agent) = header(request, "user-agent").filter(|agent| !agent.is_empty()) {
            event.insert("userAgent".into(), agent.chars().take(1024).collect::<String>().into());
        }
        if attributes.path.is_empty() {
            event.insert("objectRef".into(), object_ref(attributes));
        }
        let mut later = Map::new();
        if let Some(user) = impersonated {
            later.insert("impersonatedUser".into(), user_value(user));
        }
        let decision = auth::authorize(api, impersonated.unwrap_or(user), attributes);
        let word = if decision.allowed { "allow" } else { "forbid" };
        let annotations = json!({"authorization.k8s.io/decision": word, "authorization.k8s.io/reason": decision.reason});
        later.insert("annotations".into(), annotations);
        let mut open = Open { event, verdict, later };
        if decision.allowed && matches!(attributes.verb, "create" | "update" | "patch" | "delete" | "deletecollection") {
            open.sent(api, request, attributes);
        }
        open
    }

    /// Notes what admission says of the request.
    pub fn annotated(&mut self, noted: BTreeMap<String, String>) {
        if let Some(annotations) = self.later.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.extend(noted.into_iter().map(|(key, value)| (key, value.into())));
        }
    }

    /// A request that nobody stands behind.
    pub fn unauthenticated(&mut self, why: &str) {
        self.later.clear();
        self.event.insert("user".into(), json!({}));
        self.later.insert("responseStatus".into(), json!({"metadata": {}, "status": "Failure", "message": why, "code": 401}));
    }

    /// Notes what the head of a streamed answer says.
    pub fn started(&mut self, code: u16) {
        self.later.insert("responseStatus".into(), json!({"metadata": {}, "code": code}));
    }

    /// Notes the body of the request.
    fn sent(&mut self, api: &ApiServer, request: &Request, attributes: &Attributes<'_>) {
        if request.body.is_empty() {
            return;
        }
        let gvr = object::GroupVersionResource::new(attributes.group, attributes.version, attributes.resource);
        let Some(kind) = api.registry.resource(&gvr).map(|resource| resource.kind.clone()) else { return };
        let Ok(mut sent) = body::of_kind(request, &kind, &api.registry) else { return };
        if matches!(attributes.verb, "create" | "update")
            && let Some(reference) = self.event.get_mut("objectRef").and_then(Value::as_object_mut)
        {
            for field in ["namespace", "name", "uid", "resourceVersion"] {
                let said = str_at(&sent, &["metadata", field]);
                if !said.is_empty() && !reference.contains_key(field) {
                    reference.insert(field.into(), said.into());
                }
            }
        }
        if self.verdict.level >= Level::Request {
            self.trim(&mut sent);
            self.later.insert("requestObject".into(), sent);
        }
    }

    /// The event of a stage, as one line of JSON; nothing if the policy leaves the stage out.
    pub fn event(&self, stage: Stage, now: Time, answer: Option<(u16, &Bytes)>) -> Option<Bytes> {
        if self.verdict.omit_stages.contains(&stage) {
            return None;
        }
        let mut event = self.event.clone();
        event.insert("stage".into(), stage.name().into());
        event.insert("stageTimestamp".into(), now.rfc3339_micros().into());
        if stage != Stage::RequestReceived {
            event.extend(self.later.clone());
        }
        if let Some((code, body)) = answer {
            self.answered(&mut event, code, body);
        }
        Some(format!("{}\n", Value::Object(event)).into())
    }

    fn answered(&self, event: &mut Map<String, Value>, code: u16, body: &Bytes) {
        let wants_body = self.verdict.level == Level::RequestResponse;
        // Errors say more than their number, at every level.
        let mut object =
            if wants_body || code >= 400 { serde_json::from_slice(body).unwrap_or(Value::Null) } else { Value::Null };
        let mut status = json!({"metadata": {}, "code": code});
        if str_at(&object, &["kind"]) == "Status" {
            for field in ["status", "message", "reason", "details"] {
                if let Some(said) = object.get(field) {
                    status[field] = said.clone();
                }
            }
        }
        event.entry("responseStatus").or_insert(status);
        if wants_body && object.is_object() && event.contains_key("objectRef") {
            self.trim(&mut object);
            event.insert("responseObject".into(), object);
        }
    }

    fn trim(&self, object: &mut Value) {
        if !self.verdict.omit_managed_fields {
            return;
        }
        let strip = |object: &mut Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        };
        strip(object);
        object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(strip);
    }

    /// What the answer's `Audit-Id` says.
    pub fn id(&self) -> &str {
        self.event.get("auditID").and_then(Value::as_str).unwrap_or_default()
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn user_value(user: &UserInfo) -> Value {
    let mut value = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        value["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        value["extra"] = json!(user.extra);
    }
    value
}

fn object_ref(attributes: &Attributes<'_>) -> Value {
    let named = [
        ("resource", attributes.resource),
        ("namespace", attributes.namespace),
        ("name", attributes.name),
        ("apiGroup", attributes.group),
        ("apiVersion", attributes.version),
        ("subresource", attributes.subresource),
    ];
    Value::Object(named.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_owned(), v.into())).collect())
}

/// Where the request came from: what proxies say of it, and the peer of the connection at the end.
fn sources(request: &Request) -> Vec<&str> {
    let forwarded = header(request, "x-forwarded-for").unwrap_or_default().split(',').chain(header(request, "x-real-ip"));
    let mut found: Vec<&str> = Vec::new();
    for address in forwarded.map(str::trim).chain([request.peer.as_str()]).filter(|a| a.parse::<std::net::IpAddr>().is_ok()) {
        if !found.contains(&address) && found.len() < 16 {
            found.push(address);
        }
    }
    found
}
