//! Changing objects by patches.

use object::{ApiError, Result, Time, Value};

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
        let old = self.stored(target)?;
        let resource = &target.resource;
        let mut new = convert::from_storage(resource, old.value());
        match kind {
            PatchKind::Json => object::patch::json::apply(&mut new, &patch)?,
            PatchKind::Merge => object::patch::merge::apply(&mut new, patch)?,
            PatchKind::Strategic => schema::strategic::apply(&mut new, patch, resource.ty())?,
            PatchKind::Apply => return Err(ApiError::unsupported_media_type("the body of the request was in an unknown format")),
        }
        let decoded = schema::decode::from_value(resource.ty(), new).map_err(|e| body::undecodable(e, resource))?;
        let body::Body { mut object, warnings } = body::checked(decoded, resource, options.field_validation)?;
        schema::default::default(resource, &mut object);
        let new = convert::to_storage(resource, object);
        let changed = self.replace(now, user, target, &old, new, options)?;
        Ok((changed, warnings))
    }
}
