//! Replacing objects.

use std::sync::Arc;

use object::value::{self, str_at};
use object::{ApiError, Cause, GroupVersionKind, Result, Value, json};
use store::Object;

use super::{Target, Write, validate, writer};
use crate::admission::{self, Attributes, Operation};
use crate::auth::escalation;
use crate::convert;
use crate::server::ApiServer;
use crate::strategy;

/// Metadata that only the system writes, kept from the stored object whatever a client sends.
const SYSTEM_METADATA: [&str; 6] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"];

impl ApiServer {
    /// Replaces an object or its status.
    pub(crate) fn update(&mut self, write: &Write<'_>, body: Value) -> Result<Value> {
        let old = self.stored(write.target)?;
        check_names(write.target, &body)?;
        let resource = &write.target.resource;
        if resource.custom.is_some() && str_at(&body, &["metadata", "resourceVersion"]).is_empty() {
            let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            let kind = GroupVersionKind::new(&resource.gvr.group, &resource.gvr.version, &resource.gvr.resource);
            return Err(ApiError::invalid(&kind, &write.target.name, vec![cause]));
        }
        let before = old.value();
        self.replace(write, &old, before, body, false)
    }

    /// Puts `new` (in the version of the path) in the place of `old`, whose stored value is `before`: the common end of
    /// update and patch. `owned` says that managedFields are right already, as server-side apply leaves them.
    pub(crate) fn replace(
        &mut self,
        write: &Write<'_>,
        old: &Arc<Object>,
        before: Value,
        mut new: Value,
        owned: bool,
    ) -> Result<Value> {
        let Write { user, target, options, .. } = *write;
        let resource = &target.resource;
        check_preconditions(target, old, &new)?;
        convert::label(&mut new, &resource.kind);
        schema::default::default(resource, &mut new);
        keep_system_metadata(&before, &mut new);
        if target.subresource.is_empty() {
            strategy::template_generation(resource, Some(&before), &mut new);
        }
        let live = self.in_version_of(resource, before.clone())?;
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
        if new == before {
            return self.in_version_of(resource, new);
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
            return Ok(shown);
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
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in \
             precondition: {said}, UID in object meta: {}",
            store::registry_key(&old.key),
            old.meta.uid
        );
        return Err(ApiError::conflict(&resource.group_resource(), &target.name, &why));
    }
    Ok(())
}

pub(super) fn check_names(target: &Target, body: &Value) -> Result<()> {
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
