//! Replacing objects.

use std::sync::Arc;

use object::value::{self, str_at};
use object::{ApiError, Cause, GroupVersionKind, Result, Value, json};
use store::Object;

use super::{Target, Write, validate, writer};
use crate::admission::{self, Attributes, Operation};
use crate::auth::{self, escalation};
use crate::convert;
use crate::server::ApiServer;
use crate::strategy;

/// Metadata that only the system writes, kept from the stored object whatever a client sends.
const SYSTEM_METADATA: [&str; 6] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"];

impl ApiServer {
    /// Replaces an object or its status.
    pub(crate) fn update(&mut self, write: &Write<'_>, body: Value) -> Result<Arc<Value>> {
        check_names(write.target, &body)?;
        let resource = &write.target.resource;
        let Ok(old) = self.stored(write.target) else { return self.update_missing(write, body) };
        if resource.custom.is_some() && str_at(&body, &["metadata", "resourceVersion"]).is_empty() {
            let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            let kind = GroupVersionKind::new(&resource.gvr.group, &resource.gvr.version, &resource.gvr.resource);
            return Err(ApiError::invalid(&kind, &write.target.name, vec![cause]));
        }
        let before = old.shared();
        self.replace(write, &old, before, body, false)
    }

    /// An update of what is not there: some kinds are created by it.
    fn update_missing(&mut self, write: &Write<'_>, mut body: Value) -> Result<Arc<Value>> {
        let target = write.target;
        let uid = str_at(&body, &["metadata", "uid"]);
        if !uid.is_empty() {
            return Err(other_uid(target, &target.key(), uid, ""));
        }
        if !target.subresource.is_empty() || !strategy::is_created_on_update(&target.resource) {
            return Err(target.not_found());
        }
        self.may_create(write)?;
        value::remove(&mut body, &["metadata", "resourceVersion"]);
        self.create_owned(write, body, false)
    }

    /// Whoever creates by an update or a patch needs the right to create as well.
    pub(super) fn may_create(&mut self, write: &Write<'_>) -> Result<()> {
        let Write { user, target, .. } = *write;
        let gvr = &target.resource.gvr;
        let attributes = auth::Attributes {
            verb: "create",
            group: &gvr.group,
            version: &gvr.version,
            resource: &gvr.resource,
            namespace: &target.namespace,
            name: &target.name,
            ..Default::default()
        };
        match auth::authorize(self, user, &attributes) {
            auth::Decision { allowed: true, .. } => Ok(()),
            auth::Decision { reason, .. } => Err(ApiError::forbidden(&target.resource.group_resource(), &target.name, &reason)),
        }
    }

    /// Puts `new` (in the version of the path) in the place of `old`, whose stored value is `before`: the common end of
    /// update and patch. `owned` says that managedFields are right already, as server-side apply leaves them.
    pub(crate) fn replace(
        &mut self,
        write: &Write<'_>,
        old: &Arc<Object>,
        before: Arc<Value>,
        mut new: Value,
        owned: bool,
    ) -> Result<Arc<Value>> {
        let Write { user, target, options, .. } = *write;
        let resource = &target.resource;
        check_preconditions(target, old, &new)?;
        convert::label(&mut new, &resource.kind);
        schema::default::default(resource, &mut new);
        keep_system_metadata(&before, &mut new);
        if target.subresource.is_empty() {
            strategy::template_generation(resource, Some(&before), &mut new);
        }
        let live = self.shared_in_version_of(resource, before.clone())?;
        if !owned {
            schema::apply::update(Some(&live), &mut new, &writer(write));
        }
        let before = if resource.custom.is_some() { live } else { before };
        let mut new = self.in_working_version(resource, new)?;
        let attributes = Attributes {
            operation: Operation::Update,
            target,
            name: &target.name,
            user,
            old: Some(&before),
            options: admission::Options::Write(options),
        };
        admission::mutate(self, &attributes, &mut new)?;
        strategy::prepare_for_update(self, resource, &target.subresource, &before, &mut new)?;
        if new == *before {
            return self.in_version_of(resource, new).map(Arc::new);
        }
        validate(target, &target.name, &new, Some(&before))?;
        escalation::check(self, user, target, &target.name, &new, Some(&before))?;
        admission::policy::rights::check(self, user, target, &target.name, &new, Some(&before))?;
        admission::validate(self, &attributes, &new)?;
        if target.subresource.is_empty() {
            self.warnings.extend(schema::warn::warnings(resource, &new, Some(&before)));
        }
        if strategy::is_finished(&new) && !options.dry_run {
            let shown = self.in_version_of(resource, new)?;
            self.commit_removal(&old.key);
            return Ok(Arc::new(shown));
        }
        self.keep(write, old.key.clone(), new)
    }
}

/// What the sent object says of the stored one must hold.
fn check_preconditions(target: &Target, old: &Object, new: &Value) -> Result<()> {
    let resource = &target.resource;
    let said = str_at(new, &["metadata", "resourceVersion"]);
    if !said.is_empty() && said.parse::<u64>().is_err() {
        return Err(ApiError::new(500, object::Reason::Unknown, crate::edge::list::go_parse_uint(said)));
    }
    if !said.is_empty() && said != "0" && said != old.revision.to_string() {
        return Err(ApiError::modified(&resource.group_resource(), &target.name));
    }
    let said = str_at(new, &["metadata", "uid"]);
    if !said.is_empty() && said != old.meta.uid {
        return Err(other_uid(target, &old.key, said, &old.meta.uid));
    }
    Ok(())
}

/// 409 for an object that is not the one that was meant.
fn other_uid(target: &Target, key: &store::Key, said: &str, have: &str) -> Box<ApiError> {
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in \
         precondition: {said}, UID in object meta: {have}",
        store::registry_key(key),
    );
    ApiError::conflict(&target.resource.group_resource(), &target.name, &why)
}

/// An object must be named as the path has it.
pub(crate) fn check_names(target: &Target, body: &Value) -> Result<()> {
    check_said_names(target, body)?;
    if str_at(body, &["metadata", "name"]).is_empty() {
        let message = format!("the name of the object ({} based on URL) was undeterminable: name must be provided", target.name);
        return Err(ApiError::bad_request(message));
    }
    Ok(())
}

/// What is said of the names must be what the path has.
pub(super) fn check_said_names(target: &Target, body: &Value) -> Result<()> {
    let name = str_at(body, &["metadata", "name"]);
    if !name.is_empty() && name != target.name {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({})", target.name);
        return Err(ApiError::bad_request(message));
    }
    let namespace = str_at(body, &["metadata", "namespace"]);
    if !namespace.is_empty() && namespace != target.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

fn keep_system_metadata(old: &Value, new: &mut Value) {
    for key in SYSTEM_METADATA {
        match value::at(old, &["metadata", key]) {
            Some(kept) => value::set(new, &["metadata", key], kept.clone()),
            None => drop(value::remove(new, &["metadata", key])),
        }
    }
    for key in ["name", "namespace", "resourceVersion"] {
        if let Some(kept) = value::at(old, &["metadata", key]) {
            value::set(new, &["metadata", key], kept.clone());
        }
    }
}
