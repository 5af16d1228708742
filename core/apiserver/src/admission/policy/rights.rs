//! Nobody reads with a policy's eyes what they may not read themselves: whoever writes a policy or binding may get the objects
//! that it names as parameters.

use object::value::{at, str_at};
use object::{ApiError, Cause, GroupResource, GroupVersion, Result, Value};
use store::Key;

use super::GROUP;
use crate::auth::{self, Attributes};
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::Target;

/// Checks a write of a policy or binding; `old` is what it replaces. Everything else passes.
pub fn check(api: &ApiServer, user: &UserInfo, target: &Target, name: &str, object: &Value, old: Option<&Value>) -> Result<()> {
    if &*target.resource.gvr.group != GROUP || user.is_master() || !target.subresource.is_empty() {
        return Ok(());
    }
    let refused = |field: &str, why: String| {
        Err(ApiError::invalid(&target.resource.kind, name, vec![Cause::forbidden(format!("spec.{field}"), &why)]))
    };
    match &*target.resource.gvr.resource {
        "validatingadmissionpolicies" | "mutatingadmissionpolicies" => {
            let kind = at(object, &["spec", "paramKind"]);
            if kind.is_none()
                || old.is_some_and(|old| at(old, &["spec", "paramKind"]) == kind)
                || may_get(api, user, object, None)
            {
                return Ok(());
            }
            let (kind, version) =
                (str_at(object, &["spec", "paramKind", "kind"]), str_at(object, &["spec", "paramKind", "apiVersion"]));
            let what = format!("on all objects of the referenced paramKind (kind={kind}, apiVersion={version})");
            refused("paramKind", format!("user {} must have \"get\" permission {what}", shown(user)))
        }
        "validatingadmissionpolicybindings" | "mutatingadmissionpolicybindings" => {
            let Some(reference) = at(object, &["spec", "paramRef"]) else { return Ok(()) };
            let policies = target.resource.gvr.resource.replace("bindings", "").replace("policy", "policies");
            let key = Key::new(&GroupResource::new(GROUP, &policies), "", str_at(object, &["spec", "policyName"]));
            let policy = api.store.get(&key).map(|policy| policy.value()).unwrap_or_default();
            if may_get(api, user, &policy, Some(reference)) {
                return Ok(());
            }
            let what = "on the object referenced by paramRef";
            refused("paramRef", format!("user {} does not have \"get\" permission {what}", shown(user)))
        }
        _ => Ok(()),
    }
}

/// Whether the user may get what a reference names, or everything of the kind of a policy's parameters.
fn may_get(api: &ApiServer, user: &UserInfo, policy: &Value, reference: Option<&Value>) -> bool {
    let kind = at(policy, &["spec", "paramKind"]);
    // What is not known may be anything.
    let anything = ("*".to_owned(), "*".to_owned(), "*".to_owned());
    let named = kind.and_then(|kind| {
        let version = GroupVersion::parse(str_at(kind, &["apiVersion"]))?;
        let resource = api.registry.kind(&version.kind(str_at(kind, &["kind"])));
        let resource = resource.map_or("*", |resource| &resource.gvr.resource);
        Some((version.group.to_string(), version.version.to_string(), resource.to_owned()))
    });
    let (group, version, resource) = named.unwrap_or(anything);
    let said = |key: &str| reference.map_or("*", |reference| str_at(reference, &[key]));
    let wanted = Attributes {
        verb: "get",
        group: &group,
        version: &version,
        resource: &resource,
        namespace: said("namespace"),
        name: said("name"),
        ..Attributes::default()
    };
    auth::authorize(api, user, &wanted).allowed
}

/// A user as Go shows one.
fn shown(user: &UserInfo) -> String {
    let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}
