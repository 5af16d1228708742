//! Questions that are asked by creating an object: it is answered and not stored.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>

use object::value::{self, at, list_at, str_at};
use object::{ApiError, GroupVersionKind, Result, Value, json};
use schema::Resource;

use crate::auth::{self, Attributes, Decision, rbac, token};
use crate::identity::{self, UserInfo};
use crate::server::ApiServer;
use crate::write::Write;

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Whether this resource is such a question.
pub fn is_review(resource: &Resource) -> bool {
    matches!(&*resource.gvr.group, AUTHENTICATION | AUTHORIZATION)
}

/// Answers it.
pub fn create(api: &mut ApiServer, write: &Write<'_>, mut review: Value) -> Result<Value> {
    value::set(&mut review, &["status"], json!({}));
    match &*write.target.resource.kind.kind {
        "SubjectAccessReview" | "LocalSubjectAccessReview" => access(api, write, review),
        "SelfSubjectAccessReview" => self_access(api, write, review),
        "SelfSubjectRulesReview" => self_rules(api, write, &review),
        "SelfSubjectReview" => {
            value::set(&mut review, &["metadata"], json!({"creationTimestamp": write.now.rfc3339()}));
            value::set(&mut review, &["status", "userInfo"], user_info(write.user));
            Ok(review)
        }
        "TokenReview" => token_review(api, review),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn access(api: &ApiServer, write: &Write<'_>, review: Value) -> Result<Value> {
    check(write, &review)?;
    let spec = review.get("spec").cloned().unwrap_or_default();
    Ok(judged(review, &auth::authorize(api, &subject(&spec), &attributes(&spec))))
}

fn self_access(api: &ApiServer, write: &Write<'_>, review: Value) -> Result<Value> {
    check(write, &review)?;
    let spec = review.get("spec").cloned().unwrap_or_default();
    Ok(judged(review, &auth::authorize(api, write.user, &attributes(&spec))))
}

fn check(write: &Write<'_>, review: &Value) -> Result<()> {
    let causes = schema::validate::action(AUTHORIZATION, &write.target.resource.kind.kind, review);
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(&GroupVersionKind::new(AUTHORIZATION, "v1", ""), "", causes)) }
}

fn judged(mut review: Value, decision: &Decision) -> Value {
    value::set(&mut review, &["status", "allowed"], decision.allowed);
    if !decision.reason.is_empty() {
        value::set(&mut review, &["status", "reason"], decision.reason.as_str());
    }
    review
}

fn subject(spec: &Value) -> UserInfo {
    let texts = |list: &[Value]| list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let extra = spec.get("extra").and_then(Value::as_object).into_iter().flatten();
    UserInfo {
        name: str_at(spec, &["user"]).to_owned(),
        uid: str_at(spec, &["uid"]).to_owned(),
        groups: texts(list_at(spec, &["groups"])),
        extra: extra.map(|(key, list)| (key.to_lowercase(), texts(list.as_array().map_or(&[], Vec::as_slice)))).collect(),
    }
}

fn attributes(spec: &Value) -> Attributes<'_> {
    let resource = |key: &str| str_at(spec, &["resourceAttributes", key]);
    if at(spec, &["resourceAttributes"]).is_none() {
        let path = |key: &str| str_at(spec, &["nonResourceAttributes", key]);
        return Attributes { verb: path("verb"), path: path("path"), ..Attributes::default() };
    }
    Attributes {
        verb: resource("verb"),
        group: resource("group"),
        version: resource("version"),
        resource: resource("resource"),
        subresource: resource("subresource"),
        namespace: resource("namespace"),
        name: resource("name"),
        path: "",
        fields: &[],
    }
}

fn self_rules(api: &ApiServer, write: &Write<'_>, review: &Value) -> Result<Value> {
    let namespace = str_at(review, &["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in rbac::rules_for(api, write.user, namespace) {
        if !rule.resources.is_empty() {
            let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.names.is_empty() {
                shown["resourceNames"] = json!(rule.names);
            }
            resources.push(shown);
        }
        if !rule.urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    Ok(json!({
        "kind": "SelfSubjectRulesReview", "apiVersion": review.get("apiVersion"), "metadata": {}, "spec": {},
        "status": {"resourceRules": resources, "nonResourceRules": paths, "incomplete": false},
    }))
}

fn token_review(api: &ApiServer, mut review: Value) -> Result<Value> {
    let given = str_at(&review, &["spec", "token"]).to_owned();
    if given.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let asked = list_at(&review, &["spec", "audiences"]).iter().filter_map(Value::as_str).map(str::to_owned);
    let mut audiences: Vec<String> = asked.collect();
    if audiences.is_empty() {
        audiences = vec![api.settings.service_account_issuer.clone()];
    }
    let found = token::authenticate(api, &given, &audiences)
        .or_else(|| identity::bearer(api, &given).map(|user| (user, audiences.clone())).filter(|(u, _)| !is_account(u)));
    let status = match found {
        Some((user, audiences)) => json!({"authenticated": true, "user": user_info(&user), "audiences": audiences}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    };
    value::set(&mut review, &["status"], status);
    Ok(review)
}

/// A service account's token is for the audiences it names, and for no other.
fn is_account(user: &UserInfo) -> bool {
    user.name.starts_with("system:serviceaccount:")
}

/// `authentication.k8s.io` UserInfo.
pub fn user_info(user: &UserInfo) -> Value {
    let mut info = json!({});
    if !user.name.is_empty() {
        info["username"] = user.name.as_str().into();
    }
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}
