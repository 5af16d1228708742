//! Changing objects by patches.

use object::{Result, Time, Value};

use super::{Target, WriteOptions};
use crate::convert;
use crate::edge::body;
use crate::identity::UserInfo;
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

impl ApiServer {
    /// Changes an object.
    pub(crate) fn patch(
        &mut self,
        now: Time,
        user: &UserInfo,
        target: &Target,
        kind: PatchKind,
        patch: Value,
        options: &WriteOptions,
    ) -> Result<Value> {
        self.patch_warned(now, user, target, kind, patch, options).map(|(object, _)| object)
    }

    /// As [`ApiServer::patch`], with the warnings there are.
    pub(crate) fn patch_warned(
        &mut self,
        now: Time,
        user: &UserInfo,
        target: &Target,
        kind: PatchKind,
        patch: Value,
        options: &WriteOptions,
    ) -> Result<(Value, Vec<String>)> {
        if kind == PatchKind::Apply {
            return self.apply(now, user, target, patch, options);
        }
        let old = self.stored(target)?;
        let resource = &target.resource;
        let mut new = convert::from_storage(resource, old.value());
        match kind {
            PatchKind::Json => object::patch::json::apply(&mut new, &patch)?,
            PatchKind::Merge => object::patch::merge::apply(&mut new, patch)?,
            PatchKind::Strategic | PatchKind::Apply => schema::strategic::apply(&mut new, patch, resource.ty())?,
        }
        let decoded = schema::decode::from_value(resource.ty(), new).map_err(|e| body::undecodable(e, resource))?;
        let body::Body { object, warnings } = body::checked(decoded, resource, options.field_validation)?;
        let changed = self.replace(now, user, target, &old, object, options)?;
        Ok((changed, warnings))
    }

    /// Server-side apply: creates the object where it is missing.
    fn apply(
        &mut self,
        now: Time,
        user: &UserInfo,
        target: &Target,
        patch: Value,
        options: &WriteOptions,
    ) -> Result<(Value, Vec<String>)> {
        let resource = &target.resource;
        let old = self.store.get(&target.key()).cloned();
        if old.is_none() && !target.subresource.is_empty() {
            return Err(target.not_found());
        }
        super::update::check_names(target, &patch)?;
        let decoded = schema::decode::from_value(resource.ty(), patch.clone()).map_err(|e| body::undecodable(e, resource))?;
        let warnings = body::checked(decoded, resource, options.field_validation)?.warnings;
        let live = old.as_ref().map(|old| convert::from_storage(resource, old.value()));
        let applied = schema::apply::apply(live.as_ref(), patch, &super::writer(target, options, now), options.force)?;
        let done = match &old {
            None => {
                let mut object = applied.object;
                object::value::set(&mut object, &["metadata", "name"], target.name.as_str());
                self.create_owned(now, user, target, object, options, true)?
            }
            Some(old) => self.replace_owned(now, user, target, old, applied.object, options, true)?,
        };
        Ok((done, warnings))
    }
}
