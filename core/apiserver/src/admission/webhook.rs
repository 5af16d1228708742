//! Admission webhooks: servers outside that change or judge what is about to be stored.
//!
//! Those that change are asked one after another, those that judge all at once.
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::Compiled;
use object::value::{at, i64_at, list_at, str_at};
use object::{ApiError, GroupResource, Result, Value, json};
use schema::Resource;
use store::{Object, View};

use super::policy::expressions::{Asker, Subject, hold, read};
use super::reinvocation::Invoked;
use super::{Attributes, Operation};
use crate::message::{Outgoing, Reply};
use crate::server::ApiServer;
use crate::upstream;

const GROUP: &str = "admissionregistration.k8s.io";

/// `timeoutSeconds` where nothing is said.
const TIMEOUT_SECONDS: i64 = 10;

/// The webhooks of one configuration, with their conditions read once per version of it.
struct Hooks(Vec<Hook>);

struct Hook {
    name: String,
    stated: Value,
    conditions: Vec<Compiled>,
}

impl View for Hooks {
    fn of(configuration: &Value) -> Self {
        let hook = |stated: &Value| Hook {
            name: str_at(stated, &["name"]).to_owned(),
            conditions: list_at(stated, &["matchConditions"]).iter().map(|c| read(str_at(c, &["expression"]))).collect(),
            stated: stated.clone(),
        };
        Hooks(list_at(configuration, &["webhooks"]).iter().map(hook).collect())
    }
}

impl Hook {
    fn ignores_failures(&self) -> bool {
        str_at(&self.stated, &["failurePolicy"]) == "Ignore"
    }

    /// The resource in whose version the webhook wants to see this request; `None` if it does not.
    fn wants(&self, api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<Option<Arc<Resource>>> {
        if !attributes.selected(api, object, &self.stated) {
            return Ok(None);
        }
        let rules = list_at(&self.stated, &["rules"]);
        let Some(resource) = attributes.matched_as(api, rules, str_at(&self.stated, &["matchPolicy"])) else { return Ok(None) };
        if self.conditions.is_empty() {
            return Ok(Some(resource));
        }
        let subject = Subject::new(api, attributes, object, &resource)?;
        let asker = Asker { api, user: attributes.user };
        match hold(&self.conditions, subject.activation(&Value::Null, &asker)) {
            Ok(true) => Ok(Some(resource)),
            Ok(false) => Ok(None),
            Err(_) if self.ignores_failures() => Ok(None),
            Err(why) => Err(attributes.forbidden(&why)),
        }
    }
}

/// The configurations of a kind, in the order in which they are asked.
fn configurations(api: &ApiServer, kind: &str) -> Vec<Arc<Object>> {
    api.store.list(&GroupResource::new(GROUP, kind), None).cloned().collect()
}

/// Whether there is any webhook at all.
pub(crate) fn are_configured(api: &ApiServer) -> bool {
    let any = |kind: &str| api.store.list(&GroupResource::new(GROUP, kind), None).next().is_some();
    any("mutatingwebhookconfigurations") || any("validatingwebhookconfigurations")
}

/// Asks the webhooks that may change the object; it is null for a deletion.
pub(super) fn mutate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &mut Value) -> Result<()> {
    // Nobody can lock out those who mend configurations.
    if &*attributes.target.resource.gvr.group == GROUP {
        return Ok(());
    }
    let configurations = configurations(api, "mutatingwebhookconfigurations");
    if configurations.is_empty() {
        return Ok(());
    }
    let again = api.reinvocation.again;
    let mut invoked = std::mem::take(&mut api.reinvocation.webhooks);
    invoked.begin(again, object);
    let result = mutate_all(api, attributes, object, &configurations, &mut invoked);
    invoked.end(object);
    api.reinvocation.webhooks = invoked;
    result
}

fn mutate_all(
    api: &mut ApiServer,
    attributes: &Attributes<'_>,
    object: &mut Value,
    configurations: &[Arc<Object>],
    invoked: &mut Invoked,
) -> Result<()> {
    let round = u8::from(api.reinvocation.again);
    let all = configurations.iter().flat_map(|of| of.view::<Hooks>().0.iter().map(move |hook| (of, hook)));
    for (index, (configuration, hook)) in all.enumerate() {
        let Some(resource) = hook.wants(api, attributes, object)? else { continue };
        let id = format!("{}/{}", configuration.key.name, hook.name);
        if invoked.skips(api.reinvocation.again, &id) {
            continue;
        }
        let review = Review::new(api, attributes, object, &resource)?;
        let changed = match review.ask(api, attributes, &[hook])?.remove(0) {
            Ok(reply) => {
                let changed = review.take(api, attributes, hook, reply, object)?;
                let (of, by) = (Value::from(&*configuration.key.name), Value::from(hook.name.as_str()));
                let key = format!("mutation.webhook.admission.k8s.io/round_{round}_index_{index}");
                api.annotate(&key, || format!("{{\"configuration\":{of},\"webhook\":{by},\"mutated\":{changed}}}"));
                changed
            }
            Err(_) if hook.ignores_failures() => {
                failed_open(api, "mutation", round, index, hook);
                false
            }
            Err(why) => return Err(failed(hook, &why)),
        };
        if changed {
            invoked.changed();
            api.reinvocation.want();
        }
        if str_at(&hook.stated, &["reinvocationPolicy"]) == "IfNeeded" {
            invoked.may_run_again(id);
        }
    }
    Ok(())
}

/// Asks the webhooks that judge.
pub(super) fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    if &*attributes.target.resource.gvr.group == GROUP {
        return Ok(());
    }
    let configurations = configurations(api, "validatingwebhookconfigurations");
    let mut questions = Vec::new();
    for configuration in &configurations {
        for hook in &configuration.view::<Hooks>().0 {
            if let Some(resource) = hook.wants(api, attributes, object)? {
                questions.push((hook, Review::new(api, attributes, object, &resource)?));
            }
        }
    }
    // All are asked before any answer is looked at.
    let mut outgoing = Vec::new();
    let mut unasked = BTreeMap::new();
    for (at, (hook, review)) in questions.iter().enumerate() {
        match review.question(api, attributes, hook) {
            Ok(question) => outgoing.push(question),
            Err(why) => drop(unasked.insert(at, why)),
        }
    }
    let mut replies = api.call(outgoing)?.into_iter();
    let mut refusal = None;
    for (at, (hook, review)) in questions.iter().enumerate() {
        let answer = match unasked.remove(&at) {
            Some(why) => Err(why),
            None => replies.next().map_or(Ok(Value::Null), |reply| review.response(hook, reply, false)),
        };
        let judged = match answer {
            Ok(answer) => review.accept(api, hook, &answer),
            Err(_) if hook.ignores_failures() => {
                failed_open(api, "validating", 0, at, hook);
                Ok(())
            }
            Err(why) => Err(failed(hook, &why)),
        };
        if let Err(error) = judged {
            refusal.get_or_insert(error);
        }
    }
    refusal.map_or(Ok(()), Err)
}

/// Notes that a webhook could not be asked and nobody minds.
fn failed_open(api: &mut ApiServer, kind: &str, round: u8, index: usize, hook: &Hook) {
    let key = format!("failed-open.{kind}.webhook.admission.k8s.io/round_{round}_index_{index}");
    api.annotate(&key, || hook.name.clone());
}

/// 500 for a webhook that could not be asked.
fn failed(hook: &Hook, why: &str) -> Box<ApiError> {
    ApiError::internal(format!("failed calling webhook {:?}: {why}", hook.name))
}

/// The AdmissionReview of one request, in the version that a webhook wants to see.
struct Review {
    uid: String,
    resource: Arc<Resource>,
    request: Value,
}

impl Review {
    fn new(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value, resource: &Arc<Resource>) -> Result<Self> {
        let uid = api.rng.uuid();
        let mut shown = |object: Option<&Value>| match object {
            None | Some(Value::Null) => Ok(Value::Null),
            Some(object) => api.in_version_of(resource, object.clone()),
        };
        let (new, old) = (shown(Some(object))?, shown(attributes.old)?);
        let mut request = attributes.described(object, resource);
        request["uid"] = uid.as_str().into();
        request["object"] = new;
        request["oldObject"] = old;
        Ok(Review { uid, resource: resource.clone(), request })
    }

    /// What is sent to a webhook, or why nothing can be.
    fn question(&self, api: &ApiServer, attributes: &Attributes<'_>, hook: &Hook) -> std::result::Result<Outgoing, String> {
        let effects = str_at(&hook.stated, &["sideEffects"]);
        if attributes.is_dry_run() && !matches!(effects, "None" | "NoneOnDryRun") {
            return Err("has side effects, and does not support dry run".to_owned());
        }
        let seconds = i64_at(&hook.stated, &["timeoutSeconds"]).unwrap_or(TIMEOUT_SECONDS).clamp(1, 30);
        let config = at(&hook.stated, &["clientConfig"]).unwrap_or(&Value::Null);
        let body = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": self.request});
        let asked = upstream::question(api, config, Some(seconds), &body);
        asked.map_err(|why| format!("failed to call webhook: {why}"))
    }

    fn ask(
        &self,
        api: &mut ApiServer,
        attributes: &Attributes<'_>,
        hooks: &[&Hook],
    ) -> Result<Vec<std::result::Result<Value, String>>> {
        let mut answers = Vec::with_capacity(hooks.len());
        for hook in hooks {
            answers.push(match self.question(api, attributes, hook) {
                Err(why) => Err(why),
                Ok(question) => {
                    let reply = api.call(vec![question])?.pop().unwrap_or_else(|| Err(String::new()));
                    self.response(hook, reply, true)
                }
            });
        }
        Ok(answers)
    }

    /// The `response` of a webhook's answer, if it is one.
    fn response(&self, hook: &Hook, reply: Reply, mutating: bool) -> std::result::Result<Value, String> {
        let config = at(&hook.stated, &["clientConfig"]).unwrap_or(&Value::Null);
        let seconds = i64_at(&hook.stated, &["timeoutSeconds"]).unwrap_or(TIMEOUT_SECONDS).clamp(1, 30);
        let review =
            upstream::json_answer(config, Some(seconds), reply).map_err(|why| format!("failed to call webhook: {why}"))?;
        let invalid = |why: String| Err(format!("received invalid webhook response: {why}"));
        let Some(response) = review.get("response").filter(|response| response.is_object()) else {
            return invalid("webhook response was absent".to_owned());
        };
        let uid = str_at(response, &["uid"]);
        if uid != self.uid {
            return invalid(format!("expected response.uid={:?}, got {uid:?}", self.uid));
        }
        let kind = format!("{}, Kind={}", str_at(&review, &["apiVersion"]), str_at(&review, &["kind"]));
        if kind != "admission.k8s.io/v1, Kind=AdmissionReview" {
            return invalid(format!("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {kind}"));
        }
        let (patch, patch_type) = (str_at(response, &["patch"]), at(response, &["patchType"]).is_some());
        match (mutating, patch.is_empty(), patch_type) {
            (true, false, false) => invalid("webhook returned response.patch but not response.patchType".to_owned()),
            (true, true, true) => invalid("webhook returned response.patchType but not response.patch".to_owned()),
            (false, false, _) => invalid("validating webhook may not return response.patch".to_owned()),
            (false, _, true) => invalid("validating webhook may not return response.patchType".to_owned()),
            _ => Ok(response.clone()),
        }
    }

    /// Passes warnings on, and stands by a refusal.
    fn accept(&self, api: &mut ApiServer, hook: &Hook, response: &Value) -> Result<()> {
        api.warnings.extend(list_at(response, &["warnings"]).iter().filter_map(Value::as_str).map(str::to_owned));
        for (key, value) in at(response, &["auditAnnotations"]).and_then(Value::as_object).into_iter().flatten() {
            api.annotate(&format!("{}/{key}", hook.name), || value.as_str().unwrap_or_default().to_owned());
        }
        if at(response, &["allowed"]) == Some(&Value::Bool(true)) { Ok(()) } else { Err(denied(hook, response)) }
    }

    /// Changes the object as a webhook wants it; says whether it did.
    fn take(
        &self,
        api: &mut ApiServer,
        attributes: &Attributes<'_>,
        hook: &Hook,
        response: Value,
        object: &mut Value,
    ) -> Result<bool> {
        self.accept(api, hook, &response)?;
        if str_at(&response, &["patch"]).is_empty() {
            return Ok(false);
        }
        let kind = str_at(&response, &["patchType"]);
        if kind != "JSONPatch" {
            let why = format!("admission webhook {:?} denied the request: unsupported patch type {kind:?}", hook.name);
            return Err(ApiError::new(400, object::Reason::BadRequest, why));
        }
        let patch = schema::base64::decode(str_at(&response, &["patch"])).unwrap_or_default();
        let patch: Value = serde_json::from_slice(&patch).map_err(ApiError::internal)?;
        if patch.as_array().is_some_and(Vec::is_empty) {
            return Ok(false);
        }
        if object.is_null() {
            return Err(ApiError::internal(format!(
                "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
                hook.name
            )));
        }
        let mut changed = self.request["object"].clone();
        object::patch::json::apply(&mut changed, &patch).map_err(|why| ApiError::internal(why.message))?;
        let changed = attributes.decoded(api, &self.resource, changed)?;
        if changed == *object {
            return Ok(false);
        }
        let names = |object: &Value| (str_at(object, &["metadata", "name"]).to_owned(), attributes.operation);
        if names(&changed) != names(object) && attributes.operation == Operation::Update {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                names(&changed).0,
                attributes.name
            )));
        }
        *object = changed;
        Ok(true)
    }
}

/// What a webhook's refusal is to the client.
fn denied(hook: &Hook, response: &Value) -> Box<ApiError> {
    let status = response.get("status").unwrap_or(&Value::Null);
    let by = format!("admission webhook {:?} denied the request", hook.name);
    let (message, reason) = (str_at(status, &["message"]), str_at(status, &["reason"]));
    let message = match (message, reason) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let code = i64_at(status, &["code"]).and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    ApiError::from_status(code.unwrap_or(400), &message, status)
}
