//! The objects that a binding gives a policy as parameters.

use std::sync::Arc;

use object::selector::LabelSelector;
use object::value::{at, str_at};
use object::{GroupVersion, Result, Value};
use schema::Resource;
use store::Key;

use super::super::Attributes;
use crate::server::ApiServer;

/// Parameters of one binding that are looked at for one request.
const MOST: usize = 1000;

/// The resource of a policy's `paramKind`, if it has one; otherwise says that there is no such resource.
pub fn kind(api: &ApiServer, policy: &Value) -> std::result::Result<Option<Arc<Resource>>, String> {
    let Some(kind) = at(policy, &["spec", "paramKind"]) else { return Ok(None) };
    let (version, kind) = (str_at(kind, &["apiVersion"]), str_at(kind, &["kind"]));
    let parsed = GroupVersion::parse(version).unwrap_or_default();
    match api.registry.kind(&parsed.kind(kind)) {
        Some(resource) => Ok(Some(resource.clone())),
        None => {
            let (group, version) = (&parsed.group, &parsed.version);
            Err(format!("failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind}'"))
        }
    }
}

/// The parameters; one null where the policy or the binding names none. `Err` says why the binding cannot be used.
pub fn collect(
    api: &mut ApiServer,
    attributes: &Attributes<'_>,
    kind: Option<&Arc<Resource>>,
    binding: &Value,
) -> Result<std::result::Result<Vec<Value>, String>> {
    let (Some(resource), Some(reference)) = (kind, at(binding, &["spec", "paramRef"])) else { return Ok(Ok(vec![Value::Null])) };
    let found = match find(api, attributes, resource, reference) {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    if found.is_empty() && str_at(reference, &["parameterNotFoundAction"]) == "Deny" {
        return Ok(Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned()));
    }
    if found.len() > MOST {
        return Ok(Err(format!("more than {MOST} params found for policy binding")));
    }
    let shown = found.into_iter().map(|object| api.in_version_of(resource, object));
    shown.collect::<Result<Vec<Value>>>().map(Ok)
}

fn find(
    api: &ApiServer,
    attributes: &Attributes<'_>,
    resource: &Resource,
    reference: &Value,
) -> std::result::Result<Vec<Value>, String> {
    let said = str_at(reference, &["namespace"]);
    let namespace = match (resource.namespaced, said) {
        (false, "") => "",
        (false, _) => return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned()),
        (true, "") if attributes.target.namespace.is_empty() => {
            return Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned());
        }
        (true, "") => &attributes.target.namespace,
        (true, said) => said,
    };
    let (name, stored) = (str_at(reference, &["name"]), &resource.storage.resource);
    if !name.is_empty() {
        return Ok(api.store.get(&Key::new(stored, namespace, name)).map(|object| object.value()).into_iter().collect());
    }
    let selector = at(reference, &["selector"]).and_then(|selector| LabelSelector::from_json(selector).ok());
    let Some(selector) = selector else { return Err("one of name or selector must be provided".to_owned()) };
    let all = api.store.list(stored, resource.namespaced.then_some(namespace));
    Ok(all.filter(|object| selector.matches(&object.meta.labels)).take(MOST + 1).map(|object| object.value()).collect())
}
