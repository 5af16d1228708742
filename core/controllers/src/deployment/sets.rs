//! The ReplicaSet of the current template: found or made, and its revision.

use std::sync::Arc;

use apiserver::gvr;
use object::events::EventType;
use object::value::{self, at, i64_at, str_at};
use object::{Result, Value, json};

use super::DEPLOYMENT;
use super::hash::template_hash;
use super::plan::{HASH_LABEL, Plan, REVISION, REVISION_HISTORY, number, same_template};
use super::status;
use crate::context::Context;

/// Annotations of a Deployment that its ReplicaSets do not take over.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    super::plan::DESIRED,
    super::plan::MAX,
    "deprecated.deployment.rollback.to",
];

/// So long may the list of former revisions become.
const MAX_HISTORY_CHARS: usize = 2000;

/// Brings the revision of the new ReplicaSet up to date; makes the ReplicaSet if `create` says so. Returns its index.
pub fn sync_new_set(cx: &mut Context<'_>, plan: &mut Plan, create: bool) -> Result<Option<usize>> {
    let old = plan.old_sets();
    let revision = 1 + old.iter().filter_map(|i| number(&plan.sets[*i], REVISION)).max().unwrap_or(0);
    if let Some(index) = plan.new_set() {
        adopt_revision(cx, plan, index, revision)?;
        return Ok(Some(index));
    }
    if !create {
        return Ok(None);
    }
    make(cx, plan, revision)
}

fn adopt_revision(cx: &mut Context<'_>, plan: &mut Plan, index: usize, revision: i64) -> Result<()> {
    let mut set = plan.sets[index].clone();
    copy_annotations(&plan.deployment, &mut set);
    set_revision(&mut set, revision);
    match i64_at(&plan.deployment, &["spec", "minReadySeconds"]) {
        Some(seconds) if seconds > 0 => value::set(&mut set, &["spec", "minReadySeconds"], seconds),
        _ => drop(value::remove(&mut set, &["spec", "minReadySeconds"])),
    }
    if set != plan.sets[index] {
        let name = str_at(&set, &["metadata", "name"]).to_owned();
        let namespace = plan.key.namespace.clone();
        plan.sets[index] = Arc::unwrap_or_clone(cx.client().update(&gvr("apps", "v1", "replicasets"), &namespace, &name, set)?);
    }
    let mut deployment = plan.deployment.clone();
    if let Some(revision) = number(&plan.sets[index], REVISION) {
        value::set(&mut deployment, &["metadata", "annotations", REVISION], revision.to_string());
    }
    if status::has_deadline(&deployment) && status::condition(&deployment, "Progressing").is_none() {
        let message = format!("Found new replica set {:?}", str_at(&plan.sets[index], &["metadata", "name"]));
        status::set_condition(&mut deployment, cx.now, "Progressing", "True", "FoundNewReplicaSet", &message);
    }
    status::write(cx, plan, deployment)
}

fn make(cx: &mut Context<'_>, plan: &mut Plan, revision: i64) -> Result<Option<usize>> {
    let collisions = i64_at(&plan.deployment, &["status", "collisionCount"]);
    let mut template = at(&plan.deployment, &["spec", "template"]).cloned().unwrap_or_default();
    let hash = template_hash(&template, collisions);
    value::set(&mut template, &["metadata", "labels", HASH_LABEL], hash.as_str());
    let mut selector = at(&plan.deployment, &["spec", "selector"]).cloned().unwrap_or_default();
    value::set(&mut selector, &["matchLabels", HASH_LABEL], hash.as_str());
    let name = format!("{}-{hash}", plan.key.name);
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "labels": at(&template, &["metadata", "labels"]).cloned(),
            "ownerReferences": [DEPLOYMENT.reference(&plan.deployment)],
        },
        "spec": {"replicas": plan.new_set_size(0), "selector": selector, "template": template},
    });
    if let Some(seconds) = i64_at(&plan.deployment, &["spec", "minReadySeconds"]).filter(|s| *s > 0) {
        value::set(&mut set, &["spec", "minReadySeconds"], seconds);
    }
    copy_annotations(&plan.deployment, &mut set);
    set_revision(&mut set, revision);
    plan.annotate_size(&mut set);
    let namespace = plan.key.namespace.clone();
    let sets = gvr("apps", "v1", "replicasets");
    let made = match cx.client().create(&sets, &namespace, set) {
        Ok(made) => Arc::unwrap_or_clone(made),
        Err(error) if error.is_already_exists() => {
            let other = cx.client().get(&sets, &namespace, &name)?;
            let mine = object::ObjectMeta::of(&other)
                .controller()
                .is_some_and(|o| o.uid == str_at(&plan.deployment, &["metadata", "uid"]));
            let same = same_template(
                at(&plan.deployment, &["spec", "template"]).unwrap_or(&Value::Null),
                at(&other, &["spec", "template"]).unwrap_or(&Value::Null),
            );
            if mine && same {
                other
            } else {
                // Another template has the same hash: the next attempt mixes in the count of such collisions.
                let mut deployment = plan.deployment.clone();
                value::set(&mut deployment, &["status", "collisionCount"], collisions.unwrap_or(0) + 1);
                status::write(cx, plan, deployment)?;
                return Err(error);
            }
        }
        Err(error) if error.is_pending() => return Err(error),
        Err(error) => {
            let message = format!("Failed to create new replica set {name:?}: {error}");
            if status::has_deadline(&plan.deployment) {
                let mut deployment = plan.deployment.clone();
                status::set_condition(&mut deployment, cx.now, "Progressing", "False", "ReplicaSetCreateError", &message);
                status::write(cx, plan, deployment)?;
            }
            cx.event(&plan.deployment, EventType::Warning, "ReplicaSetCreateError", &message);
            return Err(error);
        }
    };
    let size = super::plan::spec_replicas(&made);
    if size > 0 {
        let message = format!("Scaled up replica set {name} from 0 to {size}");
        cx.event(&plan.deployment, EventType::Normal, "ScalingReplicaSet", &message);
    }
    plan.sets.push(made);
    let mut deployment = plan.deployment.clone();
    value::set(&mut deployment, &["metadata", "annotations", REVISION], revision.to_string());
    if status::has_deadline(&deployment) {
        let message = format!("Created new replica set {name:?}");
        status::set_condition(&mut deployment, cx.now, "Progressing", "True", "NewReplicaSetCreated", &message);
    }
    status::write(cx, plan, deployment)?;
    Ok(plan.new_set())
}

fn copy_annotations(deployment: &Value, set: &mut Value) {
    let Some(annotations) = at(deployment, &["metadata", "annotations"]).and_then(Value::as_object) else { return };
    for (key, text) in annotations.iter().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())) {
        value::set(set, &["metadata", "annotations", key], text.clone());
    }
}

/// A ReplicaSet's revision only grows; what it had before is kept as its history.
fn set_revision(set: &mut Value, revision: i64) {
    let old = number(set, REVISION);
    if old.is_some_and(|old| old >= revision) {
        return;
    }
    if let Some(old) = old.filter(|old| *old > 0) {
        let history = object::meta::annotation(set, REVISION_HISTORY).map(str::to_owned);
        let mut history = history.map_or_else(|| old.to_string(), |h| format!("{h},{old}"));
        // Only so much of it is kept, the newest.
        while history.len() > MAX_HISTORY_CHARS {
            let Some((_, rest)) = history.split_once(',') else { break };
            history = rest.to_owned();
        }
        value::set(set, &["metadata", "annotations", REVISION_HISTORY], history);
    }
    value::set(set, &["metadata", "annotations", REVISION], revision.to_string());
}
