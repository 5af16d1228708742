//! Creating objects.

use std::sync::Arc;

use object::value::{self, str_at};
use object::{ApiError, Result, Time, Value};
use store::Key;

use super::{Target, Write, validate, writer};
use crate::admission::{self, Attributes, Operation};
use crate::auth::escalation;
use crate::convert;
use crate::server::ApiServer;
use crate::strategy;

/// How often a generated name is drawn again when it is taken.
const NAME_ATTEMPTS: u32 = 8;

/// Names are at most this long before a generated suffix of five is added.
const MAX_GENERATE_NAME: usize = 58;

impl ApiServer {
    /// Creates an object, or posts to a subresource.
    pub(crate) fn create(&mut self, write: &Write<'_>, body: Value) -> Result<Arc<Value>> {
        if !write.target.subresource.is_empty() {
            return strategy::subresource::create(self, write, body).map(Arc::new);
        }
        if strategy::subresource::is_binding(&write.target.resource) {
            return strategy::subresource::create_binding(self, write, &body).map(Arc::new);
        }
        self.create_owned(write, body, false)
    }

    /// Creates an object; `owned` says that its managedFields are right already, as server-side apply leaves them.
    pub(super) fn create_owned(&mut self, write: &Write<'_>, mut object: Value, owned: bool) -> Result<Arc<Value>> {
        let Write { now, user, target, options } = *write;
        let resource = &target.resource;
        convert::label(&mut object, &resource.kind);
        schema::default::default(resource, &mut object);
        check_namespace(target, &mut object)?;
        if !str_at(&object, &["metadata", "resourceVersion"]).is_empty() {
            return Err(ApiError::new(
                500,
                object::Reason::Unknown,
                "resourceVersion should not be set on objects to be created",
            ));
        }
        strip_system_metadata(&mut object);
        strategy::template_generation(resource, None, &mut object);
        if !owned {
            if resource.custom.is_none() && !convert::is_storage_version(resource) {
                // Some defaults of one version are made on the way to the other.
                let stored = self.in_storage_version(resource, object)?;
                object = self.in_version_of(resource, stored)?;
            }
            schema::apply::update(None, &mut object, &writer(write));
        }
        strategy::crd::check_create(self, target)?;
        if strategy::review::is_review(resource) {
            return strategy::review::create(self, write, object).map(Arc::new);
        }
        let mut object = self.in_working_version(resource, object)?;
        // What is still to be named goes by what its name will begin with.
        let name = match str_at(&object, &["metadata", "name"]) {
            "" => str_at(&object, &["metadata", "generateName"]).to_owned(),
            name => name.to_owned(),
        };
        let options = admission::Options::Write(options);
        let mut attributes = Attributes { operation: Operation::Create, target, name: &name, user, old: None, options };
        admission::mutate(self, &attributes, &mut object)?;
        self.name_object(target, &mut object)?;
        stamp(&mut object, &self.rng.uuid(), now);
        strategy::prepare_for_create(self, resource, &mut object)?;
        if strategy::certificates::is_request(resource) {
            strategy::certificates::prepare_for_create(&mut object, user);
        }
        // What the strategy reset is complete again, and some defaults follow from what it set.
        if resource.custom.is_none() {
            let stored_kind = self.registry.kind(&resource.storage.kind).unwrap_or(resource).clone();
            schema::default::default(&stored_kind, &mut object);
        }
        let name = str_at(&object, &["metadata", "name"]).to_owned();
        attributes.name = &name;
        validate(target, &name, &object, None)?;
        escalation::check(self, user, target, &name, &object, None)?;
        admission::policy::rights::check(self, user, target, &name, &object, None)?;
        admission::validate(self, &attributes, &object)?;
        self.warnings.extend(schema::warn::warnings(resource, &object, None));
        let key = Key::new(&resource.storage.resource, &target.namespace, &name);
        if let Some(there) = self.store.get(&key) {
            let mut error = ApiError::already_exists(&resource.group_resource(), &name);
            if there.meta.deletion_timestamp.is_some() {
                error.message = format!("object is being deleted: {}", error.message);
            }
            return Err(error);
        }
        self.keep(write, key, object)
    }

    /// Fills in `metadata.name` from `generateName`.
    fn name_object(&mut self, target: &Target, object: &mut Value) -> Result<()> {
        if !str_at(object, &["metadata", "name"]).is_empty() {
            return Ok(());
        }
        let base = str_at(object, &["metadata", "generateName"]).to_owned();
        if base.is_empty() {
            let cause = object::Cause::required("metadata.name", "name or generateName is required");
            return Err(ApiError::invalid(&target.resource.kind, "", vec![cause]));
        }
        let base: String = base.chars().take(MAX_GENERATE_NAME).collect();
        let mut name = format!("{base}{}", self.rng.suffix(5));
        for _ in 1..NAME_ATTEMPTS {
            if self.store.get(&Key::new(&target.resource.storage.resource, &target.namespace, &name)).is_none() {
                break;
            }
            name = format!("{base}{}", self.rng.suffix(5));
        }
        value::set(object, &["metadata", "name"], name);
        Ok(())
    }
}

/// The object lives in the path's namespace and may not say otherwise.
fn check_namespace(target: &Target, object: &mut Value) -> Result<()> {
    let said = str_at(object, &["metadata", "namespace"]);
    if !said.is_empty() && said != target.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !target.namespace.is_empty() {
        value::set(object, &["metadata", "namespace"], target.namespace.as_str());
    }
    Ok(())
}

/// What only the system may say of a new object.
fn strip_system_metadata(object: &mut Value) {
    for system in [
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
    ] {
        value::remove(object, &["metadata", system]);
    }
}

/// Gives a new object its identity.
fn stamp(object: &mut Value, uid: &str, now: Time) {
    let metadata = value::object_at(object, &["metadata"]);
    metadata.insert("uid".to_owned(), uid.into());
    metadata.insert("creationTimestamp".to_owned(), now.rfc3339().into());
}
