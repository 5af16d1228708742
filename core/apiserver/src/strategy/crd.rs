//! CustomResourceDefinitions at work: names are accepted or refused, resources begin and cease to be served, and a deleted
//! definition takes its objects with it.
//!
//! Kubernetes does this in controllers inside its API server, a moment after the write; here it follows in the same step.

use std::collections::BTreeSet;

use object::value::{self, at, list_at, str_at};
use object::{ApiError, GroupResource, GroupVersionResource, Result, Time, Value, json};
use schema::crd::Definition;
use store::Key;

use crate::client::gvr;
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::{DeleteOptions, Target};

const GROUP: &str = "apiextensions.k8s.io";
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Instances of a deleted definition that are deleted in one go.
const CLEANUP_BATCH: usize = 500;

/// Which definitions changed, or lost an object while they wait for their end.
#[derive(Debug, Default)]
pub struct Definitions {
    changed: BTreeSet<String>,
    /// Resources of definitions that wait until their objects are gone, with the definition's name.
    ending: std::collections::BTreeMap<GroupResource, String>,
    /// Whether any is converted by a webhook.
    pub(crate) have_webhooks: bool,
}

impl Definitions {
    /// Whether every definition is served as it says.
    pub fn are_settled(&self) -> bool {
        self.changed.is_empty()
    }

    /// Something at this key was written or removed.
    pub fn changed(&mut self, key: &Key) {
        if &*key.resource.group == GROUP {
            self.changed.insert(key.name.to_string());
        } else if let Some(name) = self.ending.get(&key.resource) {
            self.changed.insert(name.clone());
        }
    }
}

fn definitions() -> GroupResource {
    GroupResource::literal(GROUP, "customresourcedefinitions")
}

/// A new definition keeps its objects in the version it names.
pub fn prepare_for_create(definition: &mut Value) {
    let version = Definition(definition).storage_version().map(|version| str_at(version, &["name"]).to_owned());
    let stored: Vec<String> = version.into_iter().collect();
    let names = json!({"plural": "", "kind": ""});
    value::set(definition, &["status"], json!({"acceptedNames": names, "conditions": [], "storedVersions": stored}));
}

/// Versions in which objects were ever kept are remembered.
pub fn prepare_for_update(definition: &mut Value) {
    let version = Definition(definition).storage_version().map(|version| json!(str_at(version, &["name"])));
    let mut stored = list_at(definition, &["status", "storedVersions"]).to_vec();
    if let Some(version) = version.filter(|version| !stored.contains(version)) {
        stored.push(version);
        value::set(definition, &["status", "storedVersions"], stored);
    }
}

/// The first deletion of a definition marks it; it goes when its objects are gone.
pub fn begin_deletion(definition: &mut Value, now: Time) {
    let mut finalizers = list_at(definition, &["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.into());
        value::set(definition, &["metadata", "finalizers"], finalizers);
    }
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(definition, ("Terminating", "True", "InstanceDeletionPending", message), now);
}

/// Whether new objects may be made.
pub fn check_create(api: &ApiServer, target: &Target) -> Result<()> {
    if target.resource.custom.is_some() && api.definitions.ending.contains_key(&target.resource.storage.resource) {
        let mut error = ApiError::method_not_allowed();
        error.message = "create not allowed while custom resource definition is terminating".to_owned();
        return Err(error);
    }
    Ok(())
}

/// Takes definitions into service that were restored with their status.
pub fn restored(api: &mut ApiServer) {
    let all: Vec<Value> = api.store.list(&definitions(), None).map(|object| object.value()).collect();
    for definition in &all {
        serve(api, definition);
    }
    api.definitions.changed.clear();
    // A deletion that was under way goes on.
    let ending = all.iter().filter(|definition| at(definition, &["metadata", "deletionTimestamp"]).is_some());
    api.definitions.changed.extend(ending.map(|definition| str_at(definition, &["metadata", "name"]).to_owned()));
}

/// Does what follows from changed definitions.
pub fn settle(api: &mut ApiServer, now: Time) {
    // Each round may free names for others; there are only so many definitions.
    for _ in 0..64 {
        let changed = std::mem::take(&mut api.definitions.changed);
        if changed.is_empty() {
            return;
        }
        for name in changed {
            settle_one(api, now, &name);
        }
    }
}

fn settle_one(api: &mut ApiServer, now: Time, name: &str) {
    let Some(stored) = api.store.get(&Key::new(&definitions(), "", name)).cloned() else {
        removed(api, name);
        return;
    };
    let mut definition = stored.value();
    if stored.meta.deletion_timestamp.is_some() {
        clean_up(api, now, definition);
        return;
    }
    let before = definition.get("status").cloned();
    accept_names(api, &mut definition, now);
    if definition.get("status") != before.as_ref() {
        // Nothing but the server writes here; a conflict cannot be.
        let user = UserInfo::apiserver();
        let status = api.client(now, &user).update_status(&gvr(GROUP, "v1", "customresourcedefinitions"), "", name, definition);
        definition = std::sync::Arc::unwrap_or_clone(status.unwrap_or_default());
        api.definitions.changed.remove(name);
    }
    serve(api, &definition);
}

/// Sets a condition; its time changes with its status.
fn set_condition(definition: &mut Value, (kind, status, reason, message): (&str, &str, &str, &str), now: Time) {
    let mut conditions = list_at(definition, &["status", "conditions"]).to_vec();
    let mut condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now.rfc3339(),
    });
    match conditions.iter_mut().find(|c| str_at(c, &["type"]) == kind) {
        Some(there) => {
            if str_at(there, &["status"]) == status {
                condition["lastTransitionTime"] = there["lastTransitionTime"].clone();
            }
            *there = condition;
        }
        None => conditions.push(condition),
    }
    value::set(definition, &["status", "conditions"], conditions);
}

/// Accepts the names that no other definition of the group has, and establishes the definition when all are.
fn accept_names(api: &ApiServer, definition: &mut Value, now: Time) {
    let (group, name) = (str_at(definition, &["spec", "group"]).to_owned(), str_at(definition, &["metadata", "name"]).to_owned());
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in api.store.list(&definitions(), None).filter(|other| *other.key.name != *name) {
        let other = other.value();
        if str_at(&other, &["spec", "group"]) != group {
            continue;
        }
        let accepted = other["status"]["acceptedNames"].clone();
        for key in ["plural", "singular"] {
            resources.insert(str_at(&accepted, &[key]).to_owned());
        }
        resources.extend(list_at(&accepted, &["shortNames"]).iter().filter_map(Value::as_str).map(str::to_owned));
        for key in ["kind", "listKind"] {
            kinds.insert(str_at(&accepted, &[key]).to_owned());
        }
    }
    resources.remove("");
    kinds.remove("");
    let wanted = definition["spec"]["names"].clone();
    let mut accepted = definition["status"]["acceptedNames"].clone();
    let mut conflict: Option<(&str, String)> = None;
    for (key, reason, taken) in [
        ("plural", "PluralConflict", &resources),
        ("singular", "SingularConflict", &resources),
        ("kind", "KindConflict", &kinds),
        ("listKind", "ListKindConflict", &kinds),
    ] {
        let name = str_at(&wanted, &[key]);
        if taken.contains(name) {
            conflict = Some((reason, format!("{name:?} is already in use")));
        } else {
            accepted[key] = name.into();
        }
    }
    let short: Vec<&str> = list_at(&wanted, &["shortNames"]).iter().filter_map(Value::as_str).collect();
    match short.iter().find(|name| resources.contains(**name)) {
        Some(name) => conflict = Some(("ShortNamesConflict", format!("{name:?} is already in use"))),
        None => copy_or_remove(&wanted, &mut accepted, "shortNames"),
    }
    copy_or_remove(&wanted, &mut accepted, "categories");
    value::set(definition, &["status", "acceptedNames"], accepted);
    match &conflict {
        Some((reason, message)) => {
            set_condition(definition, ("NamesAccepted", "False", reason, message), now);
            if !Definition(definition).is("Established") {
                set_condition(definition, ("Established", "False", "NotAccepted", "not all names are accepted"), now);
            }
        }
        None => {
            set_condition(definition, ("NamesAccepted", "True", "NoConflicts", "no conflicts found"), now);
            if !Definition(definition).is("Established") {
                let why = "the initial names have been accepted";
                set_condition(definition, ("Established", "True", "InitialNamesAccepted", why), now);
            }
        }
    }
}

fn copy_or_remove(from: &Value, to: &mut Value, key: &str) {
    match from.get(key) {
        Some(list) => to[key] = list.clone(),
        None => drop(value::remove(to, &[key])),
    }
}

/// The custom resources that are served of these objects, one for each version.
fn served(api: &ApiServer, resource: &GroupResource) -> Vec<GroupVersionResource> {
    let served = api.registry.resources().filter(|r| r.custom.is_some() && r.storage.resource == *resource);
    served.map(|r| r.gvr.clone()).collect()
}

/// Serves what the definition says now, and nothing it said before.
fn serve(api: &mut ApiServer, definition: &Value) {
    let definition = Definition(definition);
    if !definition.is("Established") {
        return;
    }
    let resources = schema::crd::resources(&definition, &api.registry);
    let of_definition = definition.resource();
    for gvr in served(api, &of_definition).into_iter().filter(|gvr| !resources.iter().any(|r| r.gvr == *gvr)) {
        api.registry.remove(&gvr);
    }
    for resource in resources {
        api.registry.insert(resource);
    }
    end_watches(api, &of_definition);
    api.aggregation.registry_changed();
    api.documents.clear();
    api.converted.clear();
    let is_converted = |r: &std::sync::Arc<schema::Resource>| r.custom.as_ref().is_some_and(|c| c.conversion.is_some());
    api.definitions.have_webhooks = api.registry.resources().any(is_converted);
}

/// Whoever watches what is not served any more is told what happened until now, and no more.
fn end_watches(api: &mut ApiServer, resource: &GroupResource) {
    api.deliver_events(api.now);
    api.watches.end_unserved(resource, &api.registry, &mut api.outputs);
}

/// Ends the service of a definition that is gone.
fn removed(api: &mut ApiServer, name: &str) {
    let Some((plural, group)) = name.split_once('.') else { return };
    let resource = GroupResource::new(group, plural);
    for gvr in served(api, &resource) {
        api.registry.remove(&gvr);
    }
    end_watches(api, &resource);
    api.aggregation.registry_changed();
    api.documents.clear();
    api.definitions.ending.remove(&resource);
    // Names that were refused because of it may be free now.
    let group = GroupResource::new(group, "");
    let others: Vec<String> = api
        .store
        .list(&definitions(), None)
        .filter(|other| str_at(&other.value(), &["spec", "group"]) == &*group.group)
        .map(|other| other.key.name.to_string())
        .collect();
    api.definitions.changed.extend(others);
}

/// Deletes the objects of a definition that ends, and then lets it go.
fn clean_up(api: &mut ApiServer, now: Time, mut definition: Value) {
    let resource = Definition(&definition).resource();
    let name = str_at(&definition, &["metadata", "name"]).to_owned();
    let finalizers = list_at(&definition, &["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return;
    }
    api.definitions.ending.insert(resource.clone(), name.clone());
    let served = api.registry.resources().find(|r| r.custom.is_some() && r.storage.resource == resource).cloned();
    let user = UserInfo::apiserver();
    if let Some(served) = served {
        loop {
            let live = api.store.list(&resource, None).filter(|object| object.meta.deletion_timestamp.is_none());
            let batch: Vec<Key> = live.take(CLEANUP_BATCH).map(|object| object.key.clone()).collect();
            if batch.is_empty() {
                break;
            }
            for key in batch {
                let target = Target::new(served.clone(), &key.namespace, &key.name, "");
                // One that cannot be deleted is found again below.
                let _ = api.delete(now, &user, &target, &DeleteOptions::default());
            }
        }
    }
    let kept: Vec<Value> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    let left = api.store.list(&resource, None).next().is_some();
    let (status, reason, message) = if left {
        ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
    } else {
        value::set(&mut definition, &["metadata", "finalizers"], kept.clone());
        ("False", "InstanceDeletionCompleted", "removed all instances")
    };
    let before = definition.clone();
    set_condition(&mut definition, ("Terminating", status, reason, message), now);
    let key = Key::new(&definitions(), "", &name);
    api.definitions.changed.remove(&name);
    if !left && kept.is_empty() {
        api.commit_removal(&key);
    } else if definition != before || !left {
        api.commit(key, definition);
        api.definitions.changed.remove(&name);
    }
}
