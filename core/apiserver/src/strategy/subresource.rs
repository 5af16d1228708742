//! What is written to subresources that are actions: bindings, evictions, the finalizing of namespaces.

use object::value::{self, at, str_at};
use object::{ApiError, Result, Value, json};

use super::eviction;
use crate::auth;
use crate::server::ApiServer;
use crate::write::Write;

/// Dispatches a POST to a subresource.
pub fn create(api: &mut ApiServer, write: &Write<'_>, body: Value) -> Result<Value> {
    let target = write.target;
    match (&*target.resource.gvr.resource, target.subresource.as_str()) {
        ("pods", "binding") => bind(api, write, &body),
        ("pods", "eviction") => eviction::evict(api, write, &body),
        ("serviceaccounts", "token") => auth::token::request(api, write, body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Gives a pod its node, once. `Pod.spec.nodeName` and the PodScheduled condition change together.
fn bind(api: &mut ApiServer, write: &Write<'_>, body: &Value) -> Result<Value> {
    let Write { now, target, options, .. } = *write;
    let old = api.stored(target)?;
    let conflict = |why: &str| ApiError::conflict(&object::GroupResource::new("", "pods/binding"), &target.name, why);
    let mut pod = old.value();
    let bound = str_at(&pod, &["spec", "nodeName"]);
    if !bound.is_empty() {
        return Err(conflict(&format!("pod {} is already assigned to node {bound:?}", target.name)));
    }
    if old.meta.deletion_timestamp.is_some() {
        return Err(conflict(&format!("pod {} is being deleted, cannot be assigned to a host", target.name)));
    }
    if !value::list_at(&pod, &["spec", "schedulingGates"]).is_empty() {
        return Err(conflict(&format!("pod {} has non-empty .spec.schedulingGates", target.name)));
    }
    let node = str_at(body, &["target", "name"]);
    if node.is_empty() {
        let cause = object::Cause::required("target.name", "");
        return Err(ApiError::invalid(&object::GroupVersionKind::new("", "v1", "Binding"), &target.name, vec![cause]));
    }
    value::set(&mut pod, &["spec", "nodeName"], node);
    if let Some(more) = at(body, &["metadata", "annotations"]).and_then(Value::as_object) {
        value::object_at(&mut pod, &["metadata", "annotations"]).extend(more.clone());
    }
    let mut conditions = value::list_at(&pod, &["status", "conditions"]).to_vec();
    conditions.retain(|c| str_at(c, &["type"]) != "PodScheduled");
    conditions.push(json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now.rfc3339(),
    }));
    value::set(&mut pod, &["status", "conditions"], conditions);
    if !options.dry_run {
        api.commit(old.key.clone(), pod);
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

/// Takes away finalizers from a namespace's spec: the one way to change them.
pub fn finalize(api: &mut ApiServer, write: &Write<'_>, body: Value) -> Result<Value> {
    let old = api.stored(write.target)?;
    let mut new = old.value();
    value::set(&mut new, &["spec", "finalizers"], value::list_at(&body, &["spec", "finalizers"]).to_vec());
    // What the sender says of the version holds here as everywhere.
    if let Some(version) = at(&body, &["metadata", "resourceVersion"]) {
        value::set(&mut new, &["metadata", "resourceVersion"], version.clone());
    }
    api.replace(write, &old, old.value(), new, false)
}
