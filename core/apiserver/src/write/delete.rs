//! Deleting objects: preconditions, grace, finalizers, propagation.

use std::sync::Arc;

use object::value::{self, i64_at, str_at};
use object::{ApiError, Result, Time, Value, json};
use store::Object;

use super::Target;
use crate::admission::{self, Attributes, Operation};
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::strategy;

/// What happens to the objects that belong to a deleted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner.
    Orphan,
    /// They are deleted afterwards.
    Background,
    /// They are deleted before.
    Foreground,
}

/// What must hold of the object for it to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Its uid.
    pub uid: Option<String>,
    /// Its resourceVersion.
    pub resource_version: Option<String>,
}

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds until the object is taken away by force; `None` is the object's own.
    pub grace_period_seconds: Option<i64>,
    /// What happens to dependents; `None` is the resource's default.
    pub propagation: Option<Propagation>,
    /// What must hold.
    pub preconditions: Preconditions,
    /// Change nothing.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// As `meta.k8s.io` has them.
    pub(crate) fn to_object(&self) -> Value {
        let mut object = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
        let Preconditions { uid, resource_version } = &self.preconditions;
        if let Some(seconds) = self.grace_period_seconds {
            object["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(uid) = uid {
            object["preconditions"]["uid"] = uid.as_str().into();
        }
        if let Some(version) = resource_version {
            object["preconditions"]["resourceVersion"] = version.as_str().into();
        }
        if let Some(propagation) = self.propagation {
            object["propagationPolicy"] = format!("{propagation:?}").into();
        }
        if self.dry_run {
            object["dryRun"] = json!(["All"]);
        }
        object
    }
}

impl ApiServer {
    /// Deletes an object, or begins to. Returns the object while it is still there, else a Status.
    pub(crate) fn delete(&mut self, now: Time, user: &UserInfo, target: &Target, options: &DeleteOptions) -> Result<Value> {
        let old = self.judge_deletion(user, target, options)?;
        let resource = &target.resource;
        let mut object = old.value();
        let before = object.clone();
        let grace = strategy::grace_period(resource, &object, options.grace_period_seconds);
        let propagation = options.propagation.or_else(|| self.default_propagation(target, &object));
        set_propagation_finalizers(&mut object, propagation);
        let finalizers = value::list_at(&object, &["metadata", "finalizers"]).len()
            + strategy::namespace_finalizers(&object)
            + usize::from(strategy::waits_for_instances(resource));
        if grace > 0 || finalizers > 0 {
            begin_deletion(&mut object, now, grace);
            // Namespaces go in their own way, and know no grace.
            if strategy::namespace_finalizers(&object) > 0 {
                value::remove(&mut object, &["metadata", "deletionGracePeriodSeconds"]);
            }
            strategy::begin_deletion(resource, &mut object, now);
            let mut shown = self.in_version_of(resource, object.clone())?;
            if object != before && !options.dry_run {
                let kept = self.commit(old.key.clone(), object);
                value::set(&mut shown, &["metadata", "resourceVersion"], kept.revision.to_string());
            }
            return Ok(shown);
        }
        if strategy::is_graceful(resource) {
            begin_deletion(&mut object, now, 0);
            // Kinds that know grace are marked once more before they go: watchers see that the grace is over.
            if object != before && !options.dry_run {
                object = self.commit(old.key.clone(), object).value();
            }
        }
        let shown = match strategy::returns_deleted_object(resource) {
            true => self.in_version_of(resource, object)?,
            false => deleted_status(target, &old),
        };
        if !options.dry_run {
            self.commit_removal(&old.key);
        }
        Ok(shown)
    }
}

impl ApiServer {
    /// What becomes of dependents where a client does not say: kinds that are older than garbage collection leave them behind.
    fn default_propagation(&mut self, target: &Target, object: &Value) -> Option<Propagation> {
        let decided = |f: &Value| f == "orphan" || f == "foregroundDeletion";
        if value::list_at(object, &["metadata", "finalizers"]).iter().any(decided) {
            return None;
        }
        match (&*target.resource.gvr.group, &*target.resource.gvr.resource) {
            ("batch", "jobs") => {
                self.warnings.push(
                    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or \
                     set propagationPolicy=Orphan to suppress this warning"
                        .to_owned(),
                );
                Some(Propagation::Orphan)
            }
            ("", "replicationcontrollers") => Some(Propagation::Orphan),
            _ => None,
        }
    }

    /// Everything that may stand against a deletion; returns what would be deleted.
    pub(crate) fn judge_deletion(&mut self, user: &UserInfo, target: &Target, options: &DeleteOptions) -> Result<Arc<Object>> {
        let old = self.stored(target)?;
        check_preconditions(target, &old, &options.preconditions)?;
        let before = old.value();
        let before = if target.resource.custom.is_some() { self.in_version_of(&target.resource, before)? } else { before };
        let attributes = Attributes {
            operation: Operation::Delete,
            target,
            name: &target.name,
            user,
            old: Some(&before),
            options: admission::Options::Delete(options),
        };
        admission::delete(self, &attributes)?;
        admission::validate(self, &attributes, &Value::Null)?;
        Ok(old)
    }
}

pub(crate) fn check_preconditions(target: &Target, old: &Object, preconditions: &Preconditions) -> Result<()> {
    let failed = |what: &str, wanted: &str, is: &str, happened: &str| {
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({is}). The object might have been {happened}"
        );
        let kind = object::GroupResource::new(&target.resource.kind.group, &target.resource.kind.kind);
        Err(ApiError::conflict(&kind, &target.name, &why))
    };
    match (&preconditions.uid, &preconditions.resource_version) {
        (Some(uid), _) if *uid != old.meta.uid => failed("UID", uid, &old.meta.uid, "deleted and then recreated"),
        (_, Some(version)) if *version != old.revision.to_string() => {
            failed("ResourceVersion", version, &old.revision.to_string(), "modified")
        }
        _ => Ok(()),
    }
}

fn set_propagation_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut list: Vec<Value> = value::list_at(object, &["metadata", "finalizers"]).to_vec();
    list.retain(|f| f != "orphan" && f != "foregroundDeletion");
    match propagation {
        Propagation::Orphan => list.push("orphan".into()),
        Propagation::Foreground => list.push("foregroundDeletion".into()),
        Propagation::Background => {}
    }
    if list.is_empty() {
        value::remove(object, &["metadata", "finalizers"]);
    } else {
        value::set(object, &["metadata", "finalizers"], list);
    }
}

/// Marks the object; a second request may shorten the grace period, never lengthen it.
fn begin_deletion(object: &mut Value, now: Time, grace: i64) {
    let seconds = u64::try_from(grace).unwrap_or(0);
    let mut asked = now;
    if let Some(until) = Time::parse(str_at(object, &["metadata", "deletionTimestamp"])) {
        let current = i64_at(object, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
        if current <= grace {
            return;
        }
        // Grace counts from the first request on.
        asked = Time(until.0.saturating_sub(u64::try_from(current).unwrap_or(0).saturating_mul(1_000_000)));
    } else if let Some(generation) = i64_at(object, &["metadata", "generation"]).filter(|g| *g > 0) {
        value::set(object, &["metadata", "generation"], generation + 1);
    }
    value::set(object, &["metadata", "deletionTimestamp"], asked.plus_secs(seconds).rfc3339());
    value::set(object, &["metadata", "deletionGracePeriodSeconds"], grace);
}

fn deleted_status(target: &Target, old: &Object) -> Value {
    let mut details = json!({"name": target.name, "kind": &*target.resource.gvr.resource, "uid": old.meta.uid});
    if !target.resource.gvr.group.is_empty() {
        value::set(&mut details, &["group"], &*target.resource.gvr.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
