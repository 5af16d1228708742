//! The Jobs of a CronJob: making them, noticing their ends, and keeping only the last of them.

use object::order::Order as _;
use std::sync::Arc;

use apiserver::{DeleteOptions, Propagation, gvr};
use object::events::EventType;
use object::value::{at, i64_at, list_at, object_at, set, str_at};
use object::{CauseType, GroupResource, Result, Time, Value, json};
use store::{Key, Object};

use super::times::Timing;
use super::{CRON_JOB, Work};
use crate::context::Context;

/// Where Jobs are kept.
pub fn resource() -> GroupResource {
    GroupResource::literal("batch", "jobs")
}

/// A Job that a CronJob controls.
pub struct Child {
    object: Arc<Object>,
    value: Value,
}

impl Child {
    /// The condition it has ended with.
    fn end(&self) -> Option<&str> {
        let conditions = list_at(&self.value, &["status", "conditions"]).iter();
        let mut ends = conditions.filter(|c| str_at(c, &["status"]) == "True").map(|c| str_at(c, &["type"]));
        ends.find(|kind| matches!(*kind, "Complete" | "Failed"))
    }

    fn name(&self) -> &str {
        &self.object.key.name
    }
}

/// The Jobs that an object controls.
pub fn of(cx: &Context<'_>, uid: &str) -> Vec<Child> {
    let controlled = cx.owned(&resource(), uid).into_iter();
    let controlled = controlled.filter(|job| job.meta.controller().is_some_and(|owner| owner.uid == uid));
    controlled.map(|object| Child { value: object.value(), object }).collect()
}

/// The name of the Job of one time.
pub fn name_at(cron: &Value, at: Time) -> String {
    format!("{}-{}", str_at(cron, &["metadata", "name"]), at.secs() / 60)
}

/// Makes the Job of one time; its reference, unless the namespace is going away.
pub fn create(cx: &mut Context<'_>, cron: &Value, timing: &Timing, time: Time) -> Result<Option<Value>> {
    let template = at(cron, &["spec", "jobTemplate"]).unwrap_or(&Value::Null);
    let (namespace, name) = (str_at(cron, &["metadata", "namespace"]).to_owned(), name_at(cron, time));
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "spec": template.get("spec").cloned().unwrap_or_default(),
        "metadata": {"name": name, "ownerReferences": [CRON_JOB.reference(cron)]},
    });
    for key in ["labels", "annotations"] {
        if let Some(given) = at(template, &["metadata", key]) {
            set(&mut job, &["metadata", key], given.clone());
        }
    }
    let annotations = object_at(&mut job, &["metadata", "annotations"]);
    annotations.insert("batch.kubernetes.io/cronjob-scheduled-timestamp".to_owned(), timing.local(time).into());
    let made = match cx.client().create(&gvr("batch", "v1", "jobs"), &namespace, job) {
        Ok(made) => {
            cx.event(cron, EventType::Normal, "SuccessfulCreate", &format!("Created job {name}"));
            made
        }
        Err(error) if error.is_pending() => return Err(error),
        Err(error) if error.details.causes.iter().any(|c| c.reason == CauseType::NamespaceTerminating) => return Ok(None),
        Err(error) => {
            // It was made before, and the status that should have said so was not written.
            let there = cx.get(&Key::new(&resource(), &namespace, &name));
            let own =
                |job: &Arc<Object>| job.meta.controller().is_some_and(|owner| owner.uid == str_at(cron, &["metadata", "uid"]));
            match there.filter(own) {
                Some(job) => job.shared(),
                None => {
                    cx.event(cron, EventType::Warning, "FailedCreate", &format!("Error creating job: {error}"));
                    return Err(error);
                }
            }
        }
    };
    let of = |key: &str| str_at(&made, &["metadata", key]).to_owned();
    Ok(Some(json!({
        "apiVersion": "batch/v1", "kind": "Job", "namespace": namespace, "name": name, "uid": of("uid"),
        "resourceVersion": of("resourceVersion"),
    })))
}

/// Deletes a Job and says so.
pub fn delete(cx: &mut Context<'_>, cron: &Value, key: &Key, name: &str) -> Result<()> {
    let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    match cx.client().delete(&gvr("batch", "v1", "jobs"), &key.namespace, name, &options) {
        Ok(()) => {
            cx.event(cron, EventType::Normal, "SuccessfulDelete", &format!("Deleted job {name}"));
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) if error.is_pending() => Err(error),
        Err(error) => {
            cx.event(cron, EventType::Warning, "FailedDelete", &format!("Deleted job: {error}"));
            Err(error)
        }
    }
}

impl Work<'_> {
    /// Takes Jobs that have ended, or are gone, from the list of those that run.
    pub fn look_after(&mut self, cx: &mut Context<'_>, children: &[Child]) {
        for child in children {
            let uid = child.object.meta.uid.as_str();
            let listed = self.active().iter().any(|job| str_at(job, &["uid"]) == uid);
            match child.end() {
                None if !listed => {
                    let message = format!("Saw a job that the controller did not create or forgot: {}", child.name());
                    self.say(cx, EventType::Warning, "UnexpectedJob", &message);
                }
                Some(end) if listed => {
                    let message = format!("Saw completed job: {}, condition: {end}", child.name());
                    self.say(cx, EventType::Normal, "SawCompletedJob", &message);
                    self.forget(uid);
                }
                _ => {}
            }
            let completed = str_at(&child.value, &["status", "completionTime"]);
            if child.end() == Some("Complete") && completed > str_at(&self.status, &["lastSuccessfulTime"]) {
                set(&mut self.status, &["lastSuccessfulTime"], completed.to_owned());
            }
        }
        for job in self.active().to_vec() {
            let uid = str_at(&job, &["uid"]);
            if !children.iter().any(|child| child.object.meta.uid == uid) {
                let message = format!("Active job went missing: {}", str_at(&job, &["name"]));
                self.say(cx, EventType::Normal, "MissingJob", &message);
                self.forget(uid);
            }
        }
    }

    /// Deletes ended Jobs beyond those that are kept for their history, oldest first.
    pub fn clean_up(&mut self, cx: &mut Context<'_>, children: &[Child]) -> Result<()> {
        for (end, limit) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")] {
            let Some(limit) = i64_at(self.cron, &["spec", limit]).and_then(|n| usize::try_from(n).ok()) else { continue };
            let mut ended: Vec<&Child> = children.iter().filter(|child| child.end() == Some(end)).collect();
            ended.retain(|child| child.object.meta.deletion_timestamp.is_none());
            ended.order_by_key(|child| (str_at(&child.value, &["status", "startTime"]), child.name()));
            let surplus = ended.len().saturating_sub(limit);
            for child in ended.into_iter().take(surplus) {
                delete(cx, self.cron, self.key, child.name())?;
                self.forget(&child.object.meta.uid);
            }
        }
        Ok(())
    }
}
