//! Changing objects by patches.

use object::{ApiError, Result, Time, Value};

use super::{Target, WriteOptions};
use crate::convert;
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
        let old = self.stored(target)?;
        let mut new = convert::from_storage(&target.resource, old.value());
        match kind {
            PatchKind::Json => object::patch::json::apply(&mut new, &patch)?,
            PatchKind::Merge => object::patch::merge::apply(&mut new, patch)?,
            PatchKind::Strategic | PatchKind::Apply => {
                return Err(ApiError::unsupported_media_type("the body of the request was in an unknown format"));
            }
        }
        let new = convert::to_storage(&target.resource, new);
        self.replace(now, user, target, &old, new, options)
    }
}
