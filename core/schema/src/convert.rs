//! Conversion between served versions of a kind and the one in which it is stored.
//!
//! Only two families of built-in kinds differ between versions: events (core and `events.k8s.io`) and horizontal pod
//! autoscalers (`v1` and `v2`). Everything else keeps its fields and changes its `apiVersion` only.

mod autoscaler;
mod event;

use object::{GroupVersionKind, Value};

/// Rewrites `object` as `to`, a version of the same kind. The object is decoded and has its `apiVersion`.
pub fn convert(object: &mut Value, to: &GroupVersionKind) {
    let from = object.get("apiVersion").and_then(Value::as_str).unwrap_or("").to_owned();
    let wanted = to.api_version();
    if from == wanted {
        return;
    }
    match (from.as_str(), wanted.as_str(), &*to.kind) {
        ("events.k8s.io/v1", "v1", "Event") => event::to_core(object),
        ("v1", "events.k8s.io/v1", "Event") => event::to_events(object),
        ("autoscaling/v1", "autoscaling/v2", "HorizontalPodAutoscaler") => autoscaler::to_v2(object),
        ("autoscaling/v2", "autoscaling/v1", "HorizontalPodAutoscaler") => autoscaler::to_v1(object),
        _ => {}
    }
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), wanted.into());
    }
}

#[cfg(test)]
mod tests;
