//! Built-in admission: what a create must satisfy, and what it is given, in Kubernetes' order of plugins.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/>

mod pod;

use object::value::str_at;
use object::{ApiError, Cause, CauseType, GroupResource, Result, Value};
use store::Key;

use crate::server::ApiServer;
use crate::write::Target;

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Admits a new object, and fills in what the cluster knows better than its author.
pub fn create(api: &mut ApiServer, target: &Target, object: &mut Value) -> Result<()> {
    namespace_lifecycle(api, target, object)?;
    if target.resource.gvr.group.is_empty() && &*target.resource.gvr.resource == "pods" {
        pod::service_account(api, target, object)?;
        pod::priority(api, target, object)?;
        pod::default_toleration_seconds(object);
    }
    Ok(())
}

/// Admits a deletion.
pub fn delete(target: &Target) -> Result<()> {
    let resource = target.resource.group_resource();
    if resource == GroupResource::new("", "namespaces") && IMMORTAL.contains(&target.name.as_str()) {
        return Err(ApiError::forbidden(&resource, &target.name, "this namespace may not be deleted"));
    }
    Ok(())
}

/// NamespaceLifecycle: nothing new in a namespace that is not there or is going away.
fn namespace_lifecycle(api: &ApiServer, target: &Target, object: &Value) -> Result<()> {
    if target.namespace.is_empty() {
        return Ok(());
    }
    let namespaces = GroupResource::new("", "namespaces");
    let Some(namespace) = api.store.get(&Key::new(&namespaces, "", &target.namespace)) else {
        return Err(ApiError::not_found(&namespaces, &target.namespace));
    };
    if namespace.meta.deletion_timestamp.is_none() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {} because it is being terminated", target.namespace);
    let mut error = ApiError::forbidden(&target.resource.group_resource(), str_at(object, &["metadata", "name"]), &why);
    error.details.causes.push(Cause {
        reason: CauseType::NamespaceTerminating,
        field: "metadata.namespace".to_owned(),
        message: format!("namespace {} is being terminated", target.namespace),
    });
    Err(error)
}
