//! What is written to subresources that are actions: bindings, evictions, the finalizing of namespaces.

use std::sync::Arc;

use object::value::{self, at, str_at};
use object::{ApiError, Cause, Reason, Result, Value, json};
use schema::Resource;

use super::eviction;
use crate::admission;
use crate::auth;
use crate::client::gvr;
use crate::server::ApiServer;
use crate::write::{Target, Write};

/// Dispatches a POST to a subresource.
pub fn create(api: &mut ApiServer, write: &Write<'_>, body: Value) -> Result<Value> {
    let target = write.target;
    let mut body = body;
    match (&*target.resource.gvr.resource, target.subresource.as_str()) {
        ("pods", "binding" | "eviction") | ("serviceaccounts", "token") => admission::action(api, write, &mut body)?,
        _ => {}
    }
    match (&*target.resource.gvr.resource, target.subresource.as_str()) {
        ("pods", "binding") => bind(api, write, &body),
        ("pods", "eviction") => eviction::evict(api, write, &body),
        ("serviceaccounts", "token") => auth::token::request(api, write, body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Whether this is the older way to bind a pod, which names the pod in the body.
pub fn is_binding(resource: &Resource) -> bool {
    resource.gvr.group.is_empty() && &*resource.gvr.resource == "bindings"
}

/// Binds the pod that a Binding names.
pub fn create_binding(api: &mut ApiServer, write: &Write<'_>, body: &Value) -> Result<Value> {
    let pods = api.resource(&gvr("", "v1", "pods"))?;
    let target = Target::new(pods, &write.target.namespace, str_at(body, &["metadata", "name"]), "binding");
    let (write, mut body) = (Write { target: &target, ..*write }, body.clone());
    admission::action(api, &write, &mut body)?;
    bind(api, &write, &body)
}

fn check_binding(target: &Target, body: &Value) -> Result<()> {
    let named = str_at(body, &["metadata", "name"]);
    if !named.is_empty() && named != target.name {
        return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
    }
    let mut causes = Vec::new();
    let kind = str_at(body, &["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        causes.push(Cause::not_supported("target.kind", &json!(kind), &["Node", "<empty>"]));
    }
    if str_at(body, &["target", "name"]).is_empty() {
        causes.push(Cause::required("target.name", ""));
    }
    // Kubernetes gives these back as they are, so that the client is told of an error of the server.
    let why = match causes.iter().map(Cause::to_string).collect::<Vec<_>>().as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    Err(ApiError::new(500, Reason::Unknown, why))
}

/// Gives a pod its node, once. `Pod.spec.nodeName` and the PodScheduled condition change together.
fn bind(api: &mut ApiServer, write: &Write<'_>, body: &Value) -> Result<Value> {
    let Write { now, target, options, .. } = *write;
    check_binding(target, body)?;
    let old = api.stored(target)?;
    let conflict = |why: &str| ApiError::conflict(&object::GroupResource::literal("", "pods/binding"), &target.name, why);
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
    value::set(&mut pod, &["spec", "nodeName"], str_at(body, &["target", "name"]));
    if let Some(more) = at(body, &["metadata", "annotations"]).and_then(Value::as_object) {
        value::object_at(&mut pod, &["metadata", "annotations"]).extend(more.clone());
    }
    if let Some(more) = at(body, &["metadata", "labels"]).and_then(Value::as_object) {
        let labels = value::object_at(&mut pod, &["metadata", "labels"]);
        for (key, value) in more {
            labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    // Where it was to go is no longer of interest.
    value::remove(&mut pod, &["status", "nominatedNodeName"]);
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
pub fn finalize(api: &mut ApiServer, write: &Write<'_>, body: Value) -> Result<Arc<Value>> {
    let old = api.stored(write.target)?;
    let mut new = old.value();
    value::set(&mut new, &["spec", "finalizers"], value::list_at(&body, &["spec", "finalizers"]).to_vec());
    // What the sender says of the version holds here as everywhere.
    if let Some(version) = at(&body, &["metadata", "resourceVersion"]) {
        value::set(&mut new, &["metadata", "resourceVersion"], version.clone());
    }
    api.replace(write, &old, old.shared(), new, false)
}
