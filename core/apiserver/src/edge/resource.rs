//! Requests on resources: which verb, with which options, on what.

use std::sync::Arc;

use object::gvk::GroupVersionKind;
use object::value::{list_at, str_at};
use object::{ApiError, Cause, GroupVersionResource, Result, Time, Value, json};
use schema::Registry;

use super::accept::{Accept, Form};
use super::query::{self, Query, invalid_options};
use super::render::{self, Include};
use super::{Answer, Asked, Incoming, body};
use crate::identity::{UserInfo, header};
use crate::message::Request;
use crate::server::ApiServer;
use crate::strategy;
use crate::write::{DeleteOptions, FieldValidation, PatchKind, Preconditions, Propagation, Target, Write, WriteOptions};

impl ApiServer {
    pub(super) fn on_resource(
        &mut self,
        now: Time,
        incoming: &Incoming,
        gvr: &GroupVersionResource,
        (namespace, name, subresource): (&str, &str, &str),
        watch: bool,
    ) -> Result<Option<Answer>> {
        let Incoming { request, asked: Asked { user, query, .. }, .. } = incoming;
        let resource = self.resource(gvr)?;
        if !subresource.is_empty() && resource.subresource(subresource).is_none() {
            return Err(ApiError::no_such_path());
        }
        let target = Target::new(resource, namespace, name, subresource);
        let verb = verb(&request.method, &target, watch || name.is_empty() && query.flag("watch"))?;
        if strategy::connect::is_connect(&target) {
            let write = Write { now, user, target: &target, options: &WriteOptions::default() };
            return strategy::connect::connect(self, request, &write, query).map(|()| None);
        }
        let mut accept = Accept::negotiate(header(request, "accept").unwrap_or_default())?;
        if strategy::review::is_review(&target.resource) || strategy::subresource::is_binding(&target.resource) {
            accept = accept.whole_objects_only()?;
        }
        let include = Include::parse(query.get("includeObject"), accept.form)?;
        let edge = Edge { request, user, query, target: &target, accept, include, now };
        match verb {
            "get" => self.on_get(&edge),
            "list" => {
                self.flow.looked_at += self.store.current().count(&target.resource.storage.resource) as u64;
                let mut page = self.page(&target, query)?;
                let (resource, items) = self.presented(&target.resource, page.items)?;
                page.items = items;
                let body = render::page(&resource, &page, accept, edge.include(), now);
                Ok(Some(Answer::new(200, accept.content_type(), body)))
            }
            "watch" => self.open_watch(now, request.stream, &target, query, accept, include).map(|()| None),
            "create" => self.on_create(&edge).map(Some),
            "update" => self.on_update(&edge).map(Some),
            "patch" => self.on_patch(&edge).map(Some),
            "delete" => self.on_delete(&edge).map(Some),
            "deletecollection" => self.on_delete_collection(&edge).map(Some),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn on_get(&mut self, edge: &Edge<'_>) -> Result<Option<Answer>> {
        let target = edge.target;
        let version = edge.query.get("resourceVersion");
        if version.parse::<u64>().is_err() && !version.is_empty() {
            let why = Cause::invalid("resourceVersion", &json!(version), &super::list::go_parse_uint(version));
            return Err(ApiError::new(500, object::Reason::Unknown, why.to_string()));
        }
        match target.subresource.as_str() {
            "" | "status" | "approval" | "resize" | "ephemeralcontainers" => {
                let object = self.stored(target)?;
                let (resource, shown) = self.presented(&target.resource, vec![object])?;
                let object = shown.first().ok_or_else(|| target.not_found())?;
                let bytes = render::stored(&resource, object, edge.accept, edge.include(), edge.now);
                Ok(Some(Answer::new(200, edge.accept.content_type(), bytes)))
            }
            "scale" => {
                let scale = strategy::scale::get(self, target)?;
                Ok(Some(edge.answer(200, scale)))
            }
            "log" => strategy::node_proxy::logs(self, edge.request, target, edge.query).map(|()| None),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn on_create(&mut self, edge: &Edge<'_>) -> Result<Answer> {
        let options = edge.write_options("CreateOptions")?;
        let resource = edge.body_resource(self);
        let decoded = match &resource {
            // A subresource's body has a kind of its own.
            None => body::Body { object: edge.subresource_body(&self.registry)?, warnings: Vec::new() },
            Some(resource) => body::object(edge.request, resource, options.field_validation)?,
        };
        self.warnings.extend(decoded.warnings);
        let created = self.create(&edge.write(&options), decoded.object)?;
        Ok(edge.answer(201, created))
    }

    fn on_update(&mut self, edge: &Edge<'_>) -> Result<Answer> {
        let options = edge.write_options("UpdateOptions")?;
        let target = edge.target;
        if target.subresource == "scale" {
            let kind = GroupVersionKind::new("autoscaling", "v1", "Scale");
            let scale = body::of_kind(edge.request, &kind, &self.registry)?;
            let scale = strategy::scale::update(self, &edge.write(&options), &scale)?;
            return Ok(edge.answer(200, scale));
        }
        let decoded = body::object(edge.request, &target.resource, options.field_validation)?;
        self.warnings.extend(decoded.warnings);
        if target.subresource == "finalize" {
            let done = strategy::subresource::finalize(self, &edge.write(&options), decoded.object)?;
            return Ok(edge.answer(200, done));
        }
        let before = self.store.get(&target.key()).is_some();
        let updated = self.update(&edge.write(&options), decoded.object)?;
        Ok(edge.answer(if before { 200 } else { 201 }, updated))
    }

    fn on_patch(&mut self, edge: &Edge<'_>) -> Result<Answer> {
        let kind = patch_kind(edge)?;
        let mut options = edge.write_options("PatchOptions")?;
        options.force = edge.query.flag("force");
        if kind == PatchKind::Apply && edge.query.get("fieldManager").is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(invalid_options("PatchOptions", vec![cause]));
        }
        if kind != PatchKind::Apply && edge.query.has("force") {
            let cause = Cause::forbidden("force", "may not be specified for non-apply patch");
            return Err(invalid_options("PatchOptions", vec![cause]));
        }
        let patch = super::patch::read(edge.request, kind)?;
        let target = edge.target;
        if target.subresource == "scale" {
            let scale = strategy::scale::patch(self, &edge.write(&options), kind, patch.value)?;
            return Ok(edge.answer(200, scale));
        }
        let before = self.store.get(&target.key()).is_some();
        let patched = self.patch(&edge.write(&options), patch)?;
        let status = if before { 200 } else { 201 };
        Ok(edge.answer(status, patched))
    }

    fn on_delete(&mut self, edge: &Edge<'_>) -> Result<Answer> {
        let options = edge.delete_options(&self.registry)?;
        let deleted = self.delete(edge.now, edge.user, edge.target, &options)?;
        Ok(edge.answer(200, deleted))
    }

    /// Deletes everything selected, and answers with the list of it as it was.
    fn on_delete_collection(&mut self, edge: &Edge<'_>) -> Result<Answer> {
        let options = edge.delete_options(&self.registry)?;
        let mut page = self.page(edge.target, edge.query)?;
        let targets: Vec<Target> = page
            .items
            .iter()
            .map(|object| Target::new(edge.target.resource.clone(), &object.key.namespace, &object.key.name, ""))
            .collect();
        let (resource, items) = self.presented(&edge.target.resource, std::mem::take(&mut page.items))?;
        page.items = items;
        let body = render::page(&resource, &page, edge.accept, edge.include(), edge.now);
        if self.may_ask() {
            // Whoever has to be asked about any of them is asked before the first is gone.
            for target in &targets {
                self.judge_deletion(edge.user, target, &options)?;
            }
        }
        for target in &targets {
            match self.delete(edge.now, edge.user, target, &options) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(Answer::new(200, edge.accept.content_type(), body))
    }
}

/// One request on a resource.
struct Edge<'a> {
    request: &'a Request,
    user: &'a UserInfo,
    query: &'a Query,
    target: &'a Target,
    accept: Accept,
    include: Include,
    now: Time,
}

impl Edge<'_> {
    fn write<'o>(&'o self, options: &'o WriteOptions) -> Write<'o> {
        Write { now: self.now, user: self.user, target: self.target, options }
    }

    fn include(&self) -> Include {
        self.include
    }

    /// The answer to a write: the object, or the Status there is instead of one.
    fn answer(&self, status: u16, object: impl Into<Arc<Value>>) -> Answer {
        let object = object.into();
        let code = object.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok());
        let is_status = str_at(&object, &["kind"]) == "Status";
        let own_kind = str_at(&object, &["kind"]) == &*self.target.resource.kind.kind;
        let accept = if own_kind { self.accept } else { Accept { form: Form::Object, ..self.accept } };
        let bytes = render::value(&self.target.resource, object, accept, self.include(), self.now);
        Answer::new(if is_status { code.unwrap_or(status) } else { status }, self.accept.content_type(), bytes)
    }

    /// A body of the subresource's kind.
    fn subresource_body(&self, registry: &Registry) -> Result<Value> {
        match self.target.resource.subresource(&self.target.subresource) {
            Some(subresource) => body::of_kind(self.request, &subresource.gvk(&self.target.resource.gvr), registry),
            None => body::untyped(self.request),
        }
    }

    /// The resource whose kind the body has; none for subresources with bodies of their own.
    fn body_resource(&self, _api: &ApiServer) -> Option<std::sync::Arc<schema::Resource>> {
        self.target.subresource.is_empty().then(|| self.target.resource.clone())
    }

    fn write_options(&self, kind: &str) -> Result<WriteOptions> {
        let field_validation = match self.query.get("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            other => {
                let cause = Cause::not_supported("fieldValidation", &json!(other), &["", "Ignore", "Strict", "Warn"]);
                return Err(invalid_options(kind, vec![cause]));
            }
        };
        let asked = self.query.get("fieldManager");
        if asked.len() > 128 {
            return Err(invalid_options(kind, vec![Cause::too_long("fieldManager", 128)]));
        }
        let odd = asked.char_indices().filter(|(_, c)| c.is_control());
        let odd: Vec<Cause> = odd
            .map(|(at, c)| {
                let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
                Cause::invalid("fieldManager", &json!(asked), &why)
            })
            .collect();
        if !odd.is_empty() {
            return Err(invalid_options(kind, odd));
        }
        let field_manager = if asked.is_empty() { user_agent_manager(self.request) } else { asked.to_owned() };
        Ok(WriteOptions { dry_run: self.query.dry_run(kind)?, field_manager, force: false, field_validation })
    }

    fn delete_options(&self, registry: &Registry) -> Result<DeleteOptions> {
        let kind = GroupVersionKind::new("", "v1", "DeleteOptions");
        let given = if self.request.body.is_empty() { Value::Null } else { body::of_kind(self.request, &kind, registry)? };
        let values: Vec<&str> = list_at(&given, &["dryRun"]).iter().filter_map(Value::as_str).collect();
        let dry_run = query::check_dry_run(&values, "DeleteOptions")? || self.query.dry_run("DeleteOptions")?;
        let seconds = given.get("gracePeriodSeconds").and_then(Value::as_i64);
        let grace_period_seconds = if seconds.is_some() { seconds } else { self.query.number("gracePeriodSeconds")? };
        let policy = match str_at(&given, &["propagationPolicy"]) {
            "" => self.query.get("propagationPolicy"),
            given => given,
        };
        let orphan = given.get("orphanDependents").and_then(Value::as_bool);
        let propagation = match (policy, orphan) {
            ("", None) => None,
            ("", Some(true)) | ("Orphan", None) => Some(Propagation::Orphan),
            ("", Some(false)) | ("Background", None) => Some(Propagation::Background),
            ("Foreground", None) => Some(Propagation::Foreground),
            (_, Some(_)) => {
                let why = "orphanDependents and deletionPropagation cannot be both set";
                return Err(invalid_options("DeleteOptions", vec![Cause::invalid("propagationPolicy", &json!(policy), why)]));
            }
            (other, None) => {
                let cause =
                    Cause::not_supported("propagationPolicy", &json!(other), &["Foreground", "Background", "Orphan", "nil"]);
                return Err(invalid_options("DeleteOptions", vec![cause]));
            }
        };
        let text = |key: &str| object::value::at(&given, &["preconditions", key]).and_then(Value::as_str).map(str::to_owned);
        let preconditions = Preconditions { uid: text("uid"), resource_version: text("resourceVersion") };
        Ok(DeleteOptions { grace_period_seconds, propagation, preconditions, dry_run })
    }
}

/// Which verb of the API a method is on this target.
fn verb(method: &str, target: &Target, watch: bool) -> Result<&'static str> {
    let collection = target.name.is_empty();
    let verb = match (method, collection) {
        ("GET", _) if watch && target.subresource.is_empty() => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", true) => "create",
        ("POST", false) if !target.subresource.is_empty() => "create",
        ("PUT", false) => "update",
        ("PATCH", false) => "patch",
        ("DELETE", false) => "delete",
        ("DELETE", true) => "deletecollection",
        _ => return Err(ApiError::method_not_allowed()),
    };
    let verbs = match target.resource.subresource(&target.subresource) {
        Some(subresource) => &subresource.verbs,
        None => &target.resource.verbs,
    };
    let namespace_missing = target.resource.namespaced && target.namespace.is_empty() && !matches!(verb, "list" | "watch");
    if namespace_missing || !verbs.iter().any(|v| v == verb) {
        let mut error = ApiError::method_not_allowed();
        if target.resource.custom.is_some() {
            let resource = target.resource.group_resource();
            error.message = format!("{verb} is not supported on resources of kind \"{resource}\"");
            (error.details.group, error.details.kind) = (resource.group.to_string(), resource.resource.to_string());
        }
        return Err(error);
    }
    Ok(verb)
}

/// Who writes, if the client does not say: the first part of its user agent.
fn user_agent_manager(request: &Request) -> String {
    let agent = header(request, "user-agent").unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

fn patch_kind(edge: &Edge<'_>) -> Result<PatchKind> {
    let custom = edge.target.resource.custom.is_some();
    Ok(match body::media_type(edge.request) {
        "application/json-patch+json" => PatchKind::Json,
        "application/merge-patch+json" => PatchKind::Merge,
        "application/strategic-merge-patch+json" if !custom => PatchKind::Strategic,
        "application/apply-patch+yaml" => PatchKind::Apply,
        _ => {
            // Built-in resources are refused by the router already, in its own words.
            return Err(ApiError::unsupported_media_type(if custom {
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
            } else {
                "415: Unsupported Media Type"
            }));
        }
    })
}
