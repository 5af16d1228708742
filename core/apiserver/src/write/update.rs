//! Replacing objects.

use std::sync::Arc;

use object::value::{self, str_at};
use object::{ApiError, Result, Time, Value};
use store::Object;

use super::{Target, WriteOptions};
use crate::convert;
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::strategy;

/// Metadata that only the system writes, kept from the stored object whatever a client sends.
const SYSTEM_METADATA: [&str; 6] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink"];

impl ApiServer {
    /// Replaces an object or its status.
    pub(crate) fn update(
        &mut self,
        now: Time,
        user: &UserInfo,
        target: &Target,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Value> {
        let old = self.stored(target)?;
        check_names(target, &body)?;
        let mut body = body;
        schema::default::default(&target.resource, &mut body);
        let new = convert::to_storage(&target.resource, body);
        self.replace(now, user, target, &old, new, options)
    }

    /// Puts `new` (in the storage version) in the place of `old`: the common end of update and patch.
    pub(crate) fn replace(
        &mut self,
        now: Time,
        _user: &UserInfo,
        target: &Target,
        old: &Arc<Object>,
        mut new: Value,
        options: &WriteOptions,
    ) -> Result<Value> {
        let resource = &target.resource;
        let said = str_at(&new, &["metadata", "resourceVersion"]);
        if !said.is_empty() && said.parse::<u64>().is_err() {
            return Err(ApiError::new(500, object::Reason::Unknown, crate::edge::list::go_parse_uint(said)));
        }
        if !said.is_empty() && said != "0" && said != old.revision.to_string() {
            return Err(ApiError::modified(&resource.group_resource(), &target.name));
        }
        let said = str_at(&new, &["metadata", "uid"]);
        if !said.is_empty() && said != old.meta.uid {
            let why = format!("Precondition failed: UID in precondition: {said}, UID in object meta: {}", old.meta.uid);
            return Err(ApiError::conflict(&resource.group_resource(), &target.name, &why));
        }
        let before = old.value();
        keep_system_metadata(&before, &mut new);
        strategy::prepare_for_update(resource, &target.subresource, &before, &mut new);
        if new == before {
            return Ok(convert::from_storage(resource, new));
        }
        if options.dry_run {
            return Ok(convert::from_storage(resource, new));
        }
        if strategy::is_finished(&new) {
            self.commit_removal(&old.key);
            return Ok(convert::from_storage(resource, new));
        }
        let stored = self.commit(old.key.clone(), new);
        let _ = now;
        Ok(convert::from_storage(resource, stored.value()))
    }
}

fn check_names(target: &Target, body: &Value) -> Result<()> {
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
