//! Between the version in which an object is kept and the version in which it was asked for.
//!
//! Custom resources may leave that to a webhook; then reading, too, may have to wait for an answer from outside.
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/>

use std::collections::BTreeMap;
use std::sync::Arc;

use object::value::{at, list_at, set, str_at};
use object::{ApiError, GroupVersionKind, Name, Reason, Result, Value, json};
use schema::Resource;
use store::{Key, Object};

use crate::server::ApiServer;
use crate::upstream;

/// How long a conversion may take.
const WEBHOOK_SECONDS: i64 = 30;

/// How many converted objects are kept while nobody waits for them.
const MAX_CONVERTED: usize = 4096;

/// Objects that a webhook converted: what an object was at a revision never changes, nor does what it is in another version.
#[derive(Default)]
pub(crate) struct Converted(BTreeMap<(Key, u64, Name), Arc<Object>>);

impl Converted {
    /// A definition changed, and with it perhaps the webhook.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// An object of a built-in kind, or of a custom one whose versions differ in name only, in `resource`'s version.
fn in_version(resource: &Resource, mut value: Value) -> Value {
    match &resource.custom {
        Some(custom) => schema::crd::relabel(&custom.schema, &resource.kind, &mut value),
        None => schema::convert::convert(&mut value, &resource.kind),
    }
    value
}

/// A body may leave out what it is; the path has said it.
pub fn label(value: &mut Value, kind: &GroupVersionKind) {
    object::value::set(value, &["apiVersion"], kind.api_version());
    object::value::set(value, &["kind"], &*kind.kind);
}

/// Whether objects of this version are kept in it.
pub fn is_storage_version(resource: &Resource) -> bool {
    resource.kind == resource.storage.kind
}

/// What shows objects that are in `resource`'s version already.
fn as_shown(resource: &Arc<Resource>) -> Arc<Resource> {
    let mut shown = Resource::clone(resource);
    shown.storage.kind = shown.kind.clone();
    Arc::new(shown)
}

/// An object of a built-in kind in `resource`'s version. Those of custom kinds were converted before they are shown.
pub fn shown(resource: &Resource, value: Value) -> Value {
    if is_storage_version(resource) { value } else { in_version(resource, value) }
}

impl ApiServer {
    /// Turns an object, in whatever version it is, into `resource`'s version.
    pub(crate) fn in_version_of(&mut self, resource: &Resource, value: Value) -> Result<Value> {
        let Some(custom) = &resource.custom else { return Ok(shown(resource, value)) };
        if str_at(&value, &["apiVersion"]) == resource.kind.api_version() {
            return Ok(value);
        }
        match &custom.conversion {
            None => Ok(in_version(resource, value)),
            Some(webhook) => {
                let mut converted = self.ask_conversion(webhook, resource, &resource.kind, vec![value])?;
                Ok(converted.pop().unwrap_or_default())
            }
        }
    }

    /// As [`ApiServer::in_version_of`], without a copy where there is nothing to turn.
    pub(crate) fn shared_in_version_of(&mut self, resource: &Resource, value: Arc<Value>) -> Result<Arc<Value>> {
        if resource.custom.is_none() && is_storage_version(resource) {
            return Ok(value);
        }
        self.in_version_of(resource, Arc::unwrap_or_clone(value)).map(Arc::new)
    }

    /// Turns an object of `resource`'s version into the one in which it is kept.
    pub(crate) fn in_storage_version(&mut self, resource: &Resource, mut value: Value) -> Result<Value> {
        label(&mut value, &resource.kind);
        if is_storage_version(resource) {
            return Ok(value);
        }
        let Some(custom) = &resource.custom else {
            schema::convert::convert(&mut value, &resource.storage.kind);
            return Ok(value);
        };
        let mut stored = match &custom.conversion {
            Some(webhook) => {
                let mut converted = self.ask_conversion(webhook, resource, &resource.storage.kind, vec![value])?;
                converted.pop().unwrap_or_default()
            }
            None => value,
        };
        schema::crd::relabel(&custom.storage, &resource.storage.kind, &mut stored);
        schema::crd::default(&custom.storage, &mut stored);
        Ok(stored)
    }

    /// Stored objects as `resource`'s version shows them, with the resource to show them by.
    pub(crate) fn presented(
        &mut self,
        resource: &Arc<Resource>,
        objects: Vec<Arc<Object>>,
    ) -> Result<(Arc<Resource>, Vec<Arc<Object>>)> {
        let Some(custom) = resource.custom.as_ref().filter(|custom| !custom.is_as_stored(resource)) else {
            return Ok((resource.clone(), objects));
        };
        let version = resource.kind.version.clone();
        let api_version = resource.kind.api_version();
        let mut shown: Vec<Option<Arc<Object>>> = Vec::with_capacity(objects.len());
        let mut missing = Vec::new();
        for object in &objects {
            let key = (object.key.clone(), object.revision, version.clone());
            if let Some(converted) = self.converted.0.get(&key) {
                shown.push(Some(converted.clone()));
                continue;
            }
            let mut value = object.value();
            let is_new = custom.refresh(resource, &mut value);
            if str_at(&value, &["apiVersion"]) == api_version {
                let made = || Arc::new(Object::new(object.key.clone(), object.revision, &value));
                shown.push(Some(if is_new { made() } else { object.clone() }));
            } else if custom.conversion.is_none() {
                let value = in_version(resource, value);
                shown.push(Some(Arc::new(Object::new(object.key.clone(), object.revision, &value))));
            } else {
                shown.push(None);
                missing.push(value);
            }
        }
        if let Some(webhook) = custom.conversion.as_ref().filter(|_| !missing.is_empty()) {
            let mut converted = self.ask_conversion(webhook, resource, &resource.kind, missing)?.into_iter();
            if self.converted.0.len() > MAX_CONVERTED {
                self.converted.0.clear();
            }
            for (slot, object) in shown.iter_mut().zip(&objects).filter(|(slot, _)| slot.is_none()) {
                let value = converted.next().unwrap_or_default();
                let made = Arc::new(Object::new(object.key.clone(), object.revision, &value));
                self.converted.0.insert((object.key.clone(), object.revision, version.clone()), made.clone());
                *slot = Some(made);
            }
        }
        Ok((as_shown(resource), shown.into_iter().flatten().collect()))
    }

    /// Objects in the version of `wanted`, as the definition's webhook converts them.
    fn ask_conversion(
        &mut self,
        webhook: &Arc<Value>,
        resource: &Resource,
        wanted: &GroupVersionKind,
        objects: Vec<Value>,
    ) -> Result<Vec<Value>> {
        let from = objects.first().map(|object| str_at(object, &["apiVersion"]).to_owned()).unwrap_or_default();
        let of = format!("{from}, Kind={}", resource.kind.kind);
        let failed = |why: String| ApiError::new(500, Reason::Unknown, format!("conversion webhook for {of} failed: {why}"));
        // The same question again must have the same name.
        let uid = uid_of(wanted, &objects);
        let request = json!({"uid": uid, "desiredAPIVersion": wanted.api_version(), "objects": objects});
        let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "request": request});
        let config = at(webhook, &["clientConfig"]).cloned().unwrap_or_default();
        let question = upstream::question(self, &config, Some(WEBHOOK_SECONDS), &review).map_err(failed)?;
        let reply = self.call(vec![question])?.pop().unwrap_or_else(|| Err(String::new()));
        let review = upstream::json_answer(&config, Some(WEBHOOK_SECONDS), reply).map_err(failed)?;
        let converted = converted_objects(&uid, &review).map_err(failed)?;
        if converted.len() != objects.len() {
            let why = format!("conversion webhook for {of} returned {} objects, expected {}", converted.len(), objects.len());
            return Err(ApiError::new(500, Reason::Unknown, why));
        }
        let checked = objects.iter().zip(converted).enumerate().map(|(i, (old, new))| {
            restored(old, new, wanted).map_err(|why| {
                let why = format!("conversion webhook for {of} returned invalid converted object at index {i}: {why}");
                ApiError::new(500, Reason::Unknown, why)
            })
        });
        checked.collect()
    }
}

/// A uid that follows from what is asked.
fn uid_of(wanted: &GroupVersionKind, objects: &[Value]) -> String {
    let body = Value::from(objects.to_vec()).to_string();
    let digest = crate::calls::digest([wanted.api_version().as_bytes(), body.as_bytes()]);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn converted_objects(uid: &str, review: &Value) -> std::result::Result<Vec<Value>, String> {
    let Some(response) = review.get("response").filter(|response| response.is_object()) else {
        return Err("no response provided".to_owned());
    };
    let kind = format!("{}, Kind={}", str_at(review, &["apiVersion"]), str_at(review, &["kind"]));
    if kind != "apiextensions.k8s.io/v1, Kind=ConversionReview" {
        let wanted = "apiextensions.k8s.io/v1, Kind=ConversionReview";
        return Err(format!("expected webhook response of {wanted}, got {kind}"));
    }
    let said = str_at(response, &["uid"]);
    if said != uid {
        return Err(format!("expected response.uid={uid:?}, got {said:?}"));
    }
    let (status, message) = (str_at(response, &["result", "status"]), str_at(response, &["result", "message"]));
    match (status, message) {
        ("Success", _) => Ok(list_at(response, &["convertedObjects"]).to_vec()),
        (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
        (_, message) => Err(message.to_owned()),
    }
}

/// A converted object as it may be: of the wanted kind, and with the metadata it had, labels and annotations aside.
fn restored(old: &Value, mut new: Value, wanted: &GroupVersionKind) -> std::result::Result<Value, String> {
    let (version, kind) = (str_at(&new, &["apiVersion"]), str_at(&new, &["kind"]));
    if version != wanted.api_version() {
        return Err(format!("invalid converted object: invalid groupVersion: {version} != {}", wanted.api_version()));
    }
    if kind != &*wanted.kind {
        return Err(format!("invalid converted object: must have the same kind: {kind} != {}", wanted.kind));
    }
    for key in ["name", "namespace", "uid"] {
        let (before, after) = (str_at(old, &["metadata", key]), str_at(&new, &["metadata", key]));
        if before != after {
            return Err(format!("invalid converted object: must have the same {key}: {after} != {before}"));
        }
    }
    let mut metadata = at(old, &["metadata"]).cloned().unwrap_or_default();
    for key in ["labels", "annotations"] {
        match at(&new, &["metadata", key]).cloned() {
            Some(said) => set(&mut metadata, &[key], said),
            None => drop(object::value::remove(&mut metadata, &[key])),
        }
    }
    set(&mut new, &["metadata"], metadata);
    Ok(new)
}
