//! Changing objects by patches.

use std::sync::Arc;

use object::{ApiError, Cause, Result, Value};
use schema::Resource;

use super::{FieldValidation, Target, Write};
use crate::convert;
use crate::edge::body;
use crate::server::ApiServer;

/// The format of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own: lists are merged by their keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// A patch.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Its format.
    pub kind: PatchKind,
    /// What it says.
    pub value: Value,
    /// What strict decoding complains about in the patch itself, whatever it is applied to.
    pub strict: Vec<String>,
}

impl ApiServer {
    /// Changes an object.
    pub(crate) fn patch(&mut self, write: &Write<'_>, patch: Patch) -> Result<Arc<Value>> {
        if patch.kind == PatchKind::Apply {
            return self.apply(write, patch);
        }
        let Patch { kind, value: patch, strict } = patch;
        let Write { target, options, .. } = *write;
        let old = self.stored(target)?;
        let resource = &target.resource;
        let before = old.shared();
        let new = self.patched(resource, &before, kind, &patch)?;
        let text = |key: &str| new.get(key).and_then(Value::as_str).unwrap_or_default();
        if let Some((_, why)) = body::other_kind(text("apiVersion"), text("kind"), resource)? {
            return Err(refused("<object>", &why));
        }
        // What was stored in this version has been read in this version.
        let read = match kind != PatchKind::Json && convert::is_storage_version(resource) {
            true => schema::decode::resource_after_patch(resource, new, &patch),
            false => schema::decode::resource_from_value(resource, new),
        };
        let read = read.map_err(|error| error.to_string()).and_then(|mut decoded| {
            decoded.strict.splice(..0, strict);
            match options.field_validation == FieldValidation::Strict && !decoded.strict.is_empty() {
                true => Err(schema::decode::strict_error(&decoded.strict)),
                false => Ok(decoded),
            }
        });
        let decoded = match read {
            Ok(decoded) => decoded,
            // A refusal quotes the patch itself where it is applied to the typed object, else what came of it.
            Err(why) if kind == PatchKind::Strategic => return Err(refused(&schema::strategic::go_format(&patch), &why)),
            Err(why) => return Err(refused(&self.patched(resource, &before, kind, &patch)?.to_string(), &why)),
        };
        let body::Body { object, warnings } = body::checked(decoded, resource, options.field_validation)?;
        super::update::check_names(target, &object)?;
        check_uid(target, &old, &object)?;
        self.warnings.extend(warnings);
        self.replace(write, &old, before, object, false)
    }

    /// What a patch makes of an object, as it is shown in the version of the path.
    fn patched(&mut self, resource: &Resource, before: &Value, kind: PatchKind, patch: &Value) -> Result<Value> {
        let mut new = self.in_version_of(resource, before.clone())?;
        match kind {
            PatchKind::Json => object::patch::json::apply(&mut new, patch)?,
            PatchKind::Merge => object::patch::merge::apply(&mut new, patch.clone())?,
            PatchKind::Strategic | PatchKind::Apply => schema::strategic::apply(&mut new, patch.clone(), resource.ty())?,
        }
        Ok(new)
    }

    /// Server-side apply: creates the object where it is missing.
    fn apply(&mut self, write: &Write<'_>, patch: Patch) -> Result<Arc<Value>> {
        let Patch { value: patch, strict, .. } = patch;
        let Write { target, options, .. } = *write;
        let resource = &target.resource;
        let old = self.store.get(&target.key()).cloned();
        if old.is_none() && !target.subresource.is_empty() {
            return Err(target.not_found());
        }
        super::update::check_said_names(target, &patch)?;
        let live = old.as_ref().map(|old| self.in_version_of(resource, old.value())).transpose()?;
        let applied = schema::apply::apply(live.as_ref(), patch, &super::writer(write), options.force)?;
        if options.field_validation == FieldValidation::Strict && !strict.is_empty() {
            return Err(ApiError::bad_request(format!("error strict decoding YAML: {YAML_ERRORS}{}", strict.join("\n  "))));
        }
        if options.field_validation == FieldValidation::Warn {
            self.warnings.extend(strict);
        }
        let decoded =
            schema::decode::resource_from_value(resource, applied.object).map_err(|e| body::undecodable(e, resource))?;
        let body::Body { object: merged, warnings } = body::checked(decoded, resource, options.field_validation)?;
        self.warnings.extend(warnings);
        match &old {
            None => {
                let uid = object::value::str_at(&merged, &["metadata", "uid"]);
                if !uid.is_empty() {
                    let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                    return Err(ApiError::conflict(&resource.group_resource(), &target.name, &why));
                }
                super::update::check_names(target, &merged)?;
                self.may_create(write)?;
                self.create_owned(write, merged, true)
            }
            Some(old) => {
                check_uid(target, old, &merged)?;
                self.replace(write, old, old.shared(), merged, true)
            }
        }
    }
}

/// How the errors of strict YAML begin.
const YAML_ERRORS: &str = "error converting YAML to JSON: yaml: unmarshal errors:\n  ";

/// 422 for a patch whose result is no object of the kind.
pub(crate) fn refused(quoted: &str, why: &str) -> Box<ApiError> {
    let cause = Cause::invalid("patch", &Value::from(quoted), why);
    let mut error = ApiError::invalid(&Default::default(), "", vec![cause]);
    error.details.kind.clear();
    error
}

/// A patch cannot make an object another one.
fn check_uid(target: &Target, old: &store::Object, object: &Value) -> Result<()> {
    let uid = object::value::str_at(object, &["metadata", "uid"]);
    if uid.is_empty() || uid == old.meta.uid {
        return Ok(());
    }
    // Kubernetes checks it for the update and again for the object, and reports both.
    let cause = Cause::invalid("metadata.uid", &Value::from(uid), "field is immutable");
    let mut error = ApiError::invalid(&target.resource.kind, &target.name, vec![cause.clone()]);
    error.details.causes.push(cause);
    Err(error)
}
