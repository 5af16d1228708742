//! The scale subresource: `spec.replicas` of four kinds, seen as `autoscaling/v1` Scale.

use object::selector::LabelSelector;
use object::value::{self, at, i64_at, str_at};
use object::{ApiError, Cause, GroupVersionKind, Result, Value, json};

use crate::server::ApiServer;
use crate::write::{PatchKind, Target, Write};

/// The Scale of an object.
pub fn get(api: &mut ApiServer, target: &Target) -> Result<Value> {
    let object = api.get(target)?;
    scale_of(target, &object)
}

/// The paths at which this resource keeps its numbers, if it has its own.
fn custom(target: &Target) -> Option<&schema::crd::Scale> {
    target.resource.custom.as_ref()?.scale.as_ref()
}

fn number(object: &Value, path: &[String]) -> Option<i64> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    i64_at(object, &path)
}

fn scale_of(target: &Target, object: &Value) -> Result<Value> {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    let mut kept = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(text) = metadata.get(key) {
            kept[key] = text.clone();
        }
    }
    if let Some(paths) = custom(target) {
        let Some(replicas) = number(object, &paths.spec_replicas) else {
            let path = paths.spec_replicas.join(".");
            return Err(ApiError::internal(format!("the spec replicas field \".{path}\" does not exist")));
        };
        let mut status = json!({"replicas": number(object, &paths.status_replicas).unwrap_or(0)});
        let selector: Vec<&str> = paths.label_selector.iter().map(String::as_str).collect();
        let selector = if selector.is_empty() { "" } else { str_at(object, &selector) };
        if !selector.is_empty() {
            status["selector"] = selector.into();
        }
        let spec = if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) };
        return Ok(json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}));
    }
    let selector = match at(object, &["spec", "selector"]) {
        // A ReplicationController's selector is a plain map.
        Some(plain) if plain.get("matchLabels").is_none() && plain.get("matchExpressions").is_none() => {
            LabelSelector::from_map(&object::meta::string_map(Some(plain))).to_string()
        }
        Some(full) => LabelSelector::from_json(full).map(|s| s.to_string()).unwrap_or_default(),
        None => String::new(),
    };
    let mut status = json!({"replicas": i64_at(object, &["status", "replicas"]).unwrap_or(0)});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    let mut spec = json!({});
    if let Some(replicas) = i64_at(object, &["spec", "replicas"]).filter(|r| *r != 0) {
        spec["replicas"] = replicas.into();
    }
    Ok(json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}))
}

/// Sets the number of replicas.
pub fn update(api: &mut ApiServer, write: &Write<'_>, scale: &Value) -> Result<Value> {
    let target = write.target;
    crate::write::check_names(target, scale)?;
    let old = api.stored(target)?;
    let replicas = match at(scale, &["spec", "replicas"]) {
        None | Some(Value::Null) => 0,
        Some(given) => given.as_i64().ok_or_else(|| {
            let found = object::patch::go_type_name(given);
            ApiError::bad_request(format!(
                "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal {found} into Go struct field \
                 ScaleSpec.spec.replicas of type int32"
            ))
        })?,
    };
    if replicas < 0 && custom(target).is_none() {
        let cause = Cause::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
        return Err(ApiError::invalid(&GroupVersionKind::new("autoscaling", "v1", "Scale"), &target.name, vec![cause]));
    }
    let mut new = api.get(target)?;
    match custom(target) {
        Some(paths) => {
            let path: Vec<&str> = paths.spec_replicas.iter().map(String::as_str).collect();
            value::set(&mut new, &path, replicas);
        }
        None => value::set(&mut new, &["spec", "replicas"], replicas),
    }
    if let Some(uid) = at(scale, &["metadata", "uid"]) {
        value::set(&mut new, &["metadata", "uid"], uid.clone());
    }
    match at(scale, &["metadata", "resourceVersion"]) {
        Some(version) => value::set(&mut new, &["metadata", "resourceVersion"], version.clone()),
        None => drop(value::remove(&mut new, &["metadata", "resourceVersion"])),
    }
    if replicas == 0 && custom(target).is_none() && i64_at(&new, &["spec", "replicas"]) == Some(0) {
        // A Scale leaves a 0 out: who scales to nothing takes the field from its owners and does not own it.
        let live = api.in_version_of(&target.resource, old.value())?;
        value::remove(&mut new, &["spec", "replicas"]);
        schema::apply::update(Some(&live), &mut new, &crate::write::writer(write));
        value::set(&mut new, &["spec", "replicas"], 0);
        let changed = api.replace(write, &old, old.shared(), new, true)?;
        return scale_of(target, &changed);
    }
    // The change is the object's own, whatever path it came by.
    let changed = api.replace(write, &old, old.shared(), new, false)?;
    scale_of(target, &changed)
}

/// Changes the Scale by a patch.
pub fn patch(api: &mut ApiServer, write: &Write<'_>, kind: PatchKind, patch: Value) -> Result<Value> {
    let mut scale = get(api, write.target)?;
    match kind {
        PatchKind::Apply => return apply(api, write, &patch),
        PatchKind::Json => object::patch::json::apply(&mut scale, &patch)?,
        // A Scale has no lists, so both merges are one.
        PatchKind::Merge | PatchKind::Strategic => object::patch::merge::apply(&mut scale, patch)?,
    }
    if let Some(wrong) = at(&scale, &["spec", "replicas"]).filter(|replicas| !replicas.is_null() && !replicas.is_i64()) {
        let found = object::patch::go_type_name(wrong);
        let why = format!("json: cannot unmarshal {found} into Go struct field ScaleSpec.spec.replicas of type int32");
        return Err(crate::write::refused_patch("<object>", &why));
    }
    update(api, write, &scale)
}

/// Server-side apply of a Scale: ownership is that of the object's own field.
fn apply(api: &mut ApiServer, write: &Write<'_>, scale: &Value) -> Result<Value> {
    let target = write.target;
    let old = api.stored(target)?;
    let live = api.get(target)?;
    let name = str_at(scale, &["metadata", "name"]);
    if !name.is_empty() && name != target.name {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({})", target.name);
        return Err(ApiError::bad_request(message));
    }
    let kind = &target.resource.kind;
    let mut configuration = json!({
        "apiVersion": kind.api_version(), "kind": &*kind.kind,
        "metadata": {"name": target.name, "namespace": target.namespace},
    });
    if target.namespace.is_empty() {
        value::remove(&mut configuration, &["metadata", "namespace"]);
    }
    if let Some(replicas) = at(scale, &["spec", "replicas"]) {
        match custom(target) {
            Some(paths) => {
                let path: Vec<&str> = paths.spec_replicas.iter().map(String::as_str).collect();
                value::set(&mut configuration, &path, replicas.clone());
            }
            None => value::set(&mut configuration, &["spec", "replicas"], replicas.clone()),
        }
    }
    // A Scale leaves a 0 out, so whoever applies one says something new.
    let mut live = live;
    if custom(target).is_none() && i64_at(&live, &["spec", "replicas"]) == Some(0) {
        value::remove(&mut live, &["spec", "replicas"]);
    }
    let applied = schema::apply::apply(Some(&live), configuration, &crate::write::writer(write), write.options.force);
    // Owners are named in the version of the Scale.
    let applied = applied.map_err(|mut error| {
        let (own, scale) = (format!("using {}", kind.api_version()), "using autoscaling/v1");
        error.message = error.message.replace(&own, scale);
        error.details.causes.iter_mut().for_each(|cause| cause.message = cause.message.replace(&own, scale));
        error
    })?;
    let changed = api.replace(write, &old, old.shared(), applied.object, true)?;
    scale_of(target, &changed)
}
