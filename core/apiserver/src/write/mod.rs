//! The write pipeline: what happens to an object between decoding and commit.
//!
//! create: path check → storage version → defaults → identity (name, uid, time) → strategy → admission → validation →
//! managed fields → commit. update and patch start from the stored object and keep what clients may not change.

mod create;
mod delete;
mod patch;
mod update;

use std::sync::Arc;

use object::{ApiError, Result, Time, Value, json};
use schema::Resource;
use store::{Key, Object};

use crate::convert;
use crate::identity::UserInfo;
use crate::server::ApiServer;

pub(crate) use delete::check_preconditions;
pub use delete::{DeleteOptions, Preconditions, Propagation};
pub(crate) use patch::refused as refused_patch;
pub use patch::{Patch, PatchKind};
pub(crate) use update::check_names;

/// What a request is about.
#[derive(Clone, Debug)]
pub struct Target {
    /// The resource in the version of the path.
    pub resource: Arc<Resource>,
    /// Namespace; empty for cluster-scoped resources and for all namespaces.
    pub namespace: String,
    /// Name; empty for the collection.
    pub name: String,
    /// Subresource; empty for the object itself.
    pub subresource: String,
}

/// What a write is asked to mind.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Do everything but the commit.
    pub dry_run: bool,
    /// Who owns the fields that change.
    pub field_manager: String,
    /// Take fields from other appliers.
    pub force: bool,
    /// What to do about fields nobody knows.
    pub field_validation: FieldValidation,
}

impl WriteOptions {
    /// As `meta.k8s.io` has them.
    pub(crate) fn to_object(&self, kind: &str) -> Value {
        let mut object = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run {
            object["dryRun"] = json!(["All"]);
        }
        if !self.field_manager.is_empty() {
            object["fieldManager"] = self.field_manager.as_str().into();
        }
        let validation = match self.field_validation {
            FieldValidation::Ignore => "Ignore",
            FieldValidation::Warn => "Warn",
            FieldValidation::Strict => "Strict",
        };
        object["fieldValidation"] = validation.into();
        object
    }
}

/// One write: who asks when for what, and what is to be minded.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// When.
    pub now: Time,
    /// Who.
    pub user: &'a UserInfo,
    /// On what.
    pub target: &'a Target,
    /// What to mind.
    pub options: &'a WriteOptions,
}

/// What to do about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them.
    #[default]
    Ignore,
    /// Drop them and say so in a warning.
    Warn,
    /// Refuse the request.
    Strict,
}

/// Refuses what the kind's rules forbid, with all reasons at once. Both objects are in the storage version.
fn validate(target: &Target, name: &str, object: &Value, old: Option<&Value>) -> Result<()> {
    let resource = &target.resource;
    let causes = match old {
        None => schema::validate::create(resource, object),
        Some(old) => schema::validate::update(resource, object, old, &target.subresource),
    };
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(&resource.kind, name, causes)) }
}

/// Who owns the fields that a write changes.
pub(crate) fn writer<'a>(write: &Write<'a>) -> schema::apply::Writer<'a> {
    let Write { now, target, options, .. } = *write;
    let resource = &target.resource;
    schema::apply::Writer {
        manager: &options.field_manager,
        subresource: &target.subresource,
        kind: &resource.kind,
        ty: resource.ty(),
        reset: schema::apply::reset_fields(resource.has_status(), &target.subresource),
        now,
    }
}

impl Target {
    /// From its parts.
    pub fn new(resource: Arc<Resource>, namespace: &str, name: &str, subresource: &str) -> Self {
        Target { resource, namespace: namespace.to_owned(), name: name.to_owned(), subresource: subresource.to_owned() }
    }

    /// Where the object is stored.
    pub fn key(&self) -> Key {
        Key::new(&self.resource.storage.resource, &self.namespace, &self.name)
    }

    /// 404 for this object.
    pub fn not_found(&self) -> Box<ApiError> {
        ApiError::not_found(&self.resource.group_resource(), &self.name)
    }
}

impl ApiServer {
    /// The stored object, or 404.
    pub(crate) fn stored(&self, target: &Target) -> Result<Arc<Object>> {
        self.store.get(&target.key()).cloned().ok_or_else(|| target.not_found())
    }

    /// One object in the version of the path.
    pub(crate) fn get(&mut self, target: &Target) -> Result<Value> {
        let object = self.stored(target)?;
        self.in_version_of(&target.resource, object.value())
    }

    /// The form in which an object that was sent is admitted and validated: a custom resource in the version it was sent in,
    /// whose schema it must fulfil, all others in the version in which they are kept.
    fn in_working_version(&mut self, resource: &Resource, object: Value) -> Result<Value> {
        if resource.custom.is_some() { Ok(object) } else { self.in_storage_version(resource, object) }
    }

    /// Makes an object, as [`ApiServer::in_working_version`] left it, the one at `key`, and shows it in the version of the path.
    fn keep(&mut self, write: &Write<'_>, key: Key, object: Value) -> Result<Arc<Value>> {
        let resource = &write.target.resource;
        let stored = if resource.custom.is_some() { self.in_storage_version(resource, object)? } else { object };
        // Whatever may have to be asked is asked before the commit.
        let shown = match convert::is_storage_version(resource) {
            true => None,
            false => Some(self.in_version_of(resource, stored.clone())?),
        };
        if write.options.dry_run {
            return Ok(Arc::new(shown.unwrap_or(stored)));
        }
        let kept = self.commit(key, stored);
        let Some(mut shown) = shown else { return Ok(kept.shared()) };
        object::value::set(&mut shown, &["metadata", "resourceVersion"], kept.revision.to_string());
        Ok(Arc::new(shown))
    }
}
