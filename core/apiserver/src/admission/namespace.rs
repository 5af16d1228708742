//! NamespaceLifecycle: nothing new in a namespace that is not there or is going away; some namespaces stay.

use object::{ApiError, Cause, CauseType, GroupResource, Result, Value};
use store::Key;

use super::{Attributes, Operation};
use crate::server::ApiServer;
use crate::write::Target;

/// Namespaces that cannot be deleted.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Refuses the deletion of what every cluster needs.
pub fn delete(target: &Target) -> Result<()> {
    let resource = target.resource.group_resource();
    if resource == GroupResource::literal("", "namespaces") && IMMORTAL.contains(&target.name.as_str()) {
        return Err(ApiError::forbidden(&resource, &target.name, "this namespace may not be deleted"));
    }
    Ok(())
}

/// Refuses new objects where they cannot be.
pub fn lifecycle(api: &mut ApiServer, attributes: &Attributes<'_>, _object: &mut Value) -> Result<()> {
    let target = attributes.target;
    if target.namespace.is_empty() || attributes.operation != Operation::Create {
        return Ok(());
    }
    let namespaces = GroupResource::literal("", "namespaces");
    let Some(namespace) = api.store.get(&Key::new(&namespaces, "", &target.namespace)) else {
        return Err(ApiError::not_found(&namespaces, &target.namespace));
    };
    if namespace.meta.deletion_timestamp.is_none() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {} because it is being terminated", target.namespace);
    let mut error = attributes.forbidden(&why);
    error.details.causes.push(Cause {
        reason: CauseType::NamespaceTerminating,
        field: "metadata.namespace".to_owned(),
        message: format!("namespace {} is being terminated", target.namespace),
    });
    Err(error)
}
