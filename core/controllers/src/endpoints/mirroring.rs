//! EndpointSlices for Endpoints that somebody else writes: those of Services without a selector.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring>

use std::net::IpAddr;
use std::sync::Arc;

use apiserver::{DeleteOptions, gvr};
use object::value::{at, list_at, set, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Object, Store};

use super::{MANAGED_BY, SERVICE_NAME, ServiceView, kept_by, services, slices};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

/// Addresses of one subset that are mirrored at most.
const MAX_ENDPOINTS: usize = 1000;
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";

/// Annotations of Endpoints that say something of the Endpoints alone.
const OWN_ANNOTATIONS: [&str; 2] = [super::TRIGGER, "kubectl.kubernetes.io/last-applied-configuration"];

/// Mirrors Endpoints.
pub struct EndpointSliceMirroringController;

fn endpoints() -> GroupResource {
    GroupResource::literal("", "endpoints")
}

fn is_mirror(slice: &Object) -> bool {
    slice.meta.labels.get(MANAGED_BY).is_some_and(|by| by == MANAGER)
}

impl Controller for EndpointSliceMirroringController {
    fn name(&self) -> &'static str {
        "endpointslicemirroring-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == endpoints() {
            // Most belong to Services with a selector and are nobody's business here.
            let service = store.get(&Key::new(&services(), &key.namespace, &key.name));
            if !service.is_some_and(selects) {
                queue.add(key.clone());
            }
        } else if key.resource == services() {
            if [&event.old, &event.new].into_iter().flatten().any(|service| !selects(service)) {
                queue.add(Key::new(&endpoints(), &key.namespace, &key.name));
            }
        } else if key.resource == slices() {
            for slice in [&event.old, &event.new].into_iter().flatten().filter(|slice| is_mirror(slice)) {
                let name = slice.meta.labels.get(SERVICE_NAME).map_or("", String::as_str);
                queue.add(Key::new(&endpoints(), &key.namespace, name));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let service = Key::new(&services(), &key.namespace, &key.name);
        let existing = kept_by(cx, &service, MANAGER);
        let source = cx.get(key).filter(|source| source.meta.deletion_timestamp.is_none());
        let service = cx.get(&service);
        let wanted = match (&source, &service) {
            (Some(source), Some(service)) if !selects(service) && is_mirrored(source) => of_subsets(&source.value()),
            _ => Vec::new(),
        };
        let source = source.map(|source| source.value()).unwrap_or_default();
        replace(cx, key, &source, existing, wanted)
    }
}

/// Whether a Service finds its pods itself.
fn selects(service: &Arc<Object>) -> bool {
    service.view::<ServiceView>().selector.is_some()
}

/// Whether anybody wants a mirror of these Endpoints.
fn is_mirrored(source: &Object) -> bool {
    source.meta.labels.get("endpointslice.kubernetes.io/skip-mirror").is_none_or(|skip| skip != "true")
        && object::meta::annotation(&source.value(), "control-plane.alpha.kubernetes.io/leader").is_none()
}

/// Address family, ports and endpoints of one slice.
type Wanted = (&'static str, Value, Vec<Value>);

/// One slice for each set of ports and family.
fn of_subsets(source: &Value) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for subset in list_at(source, &["subsets"]) {
        let ports: Vec<Value> = list_at(subset, &["ports"]).iter().map(port).collect();
        let ports = Value::from(ports);
        let both = [("addresses", true), ("notReadyAddresses", false)];
        let all = both.iter().flat_map(|(list, ready)| list_at(subset, &[*list]).iter().map(move |address| (address, *ready)));
        for (address, ready) in all.take(MAX_ENDPOINTS) {
            let family = match str_at(address, &["ip"]).parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => "IPv4",
                Ok(IpAddr::V6(_)) => "IPv6",
                Err(_) => continue,
            };
            match wanted.iter_mut().find(|(known, of, _)| *known == family && *of == ports) {
                Some((.., list)) => list.push(endpoint(address, ready)),
                None => wanted.push((family, ports.clone(), vec![endpoint(address, ready)])),
            }
        }
    }
    wanted
}

fn port(port: &Value) -> Value {
    let mut shown = json!({"name": str_at(port, &["name"]), "port": port["port"], "protocol": str_at(port, &["protocol"])});
    if let Some(protocol) = port.get("appProtocol") {
        shown["appProtocol"] = protocol.clone();
    }
    shown
}

fn endpoint(address: &Value, ready: bool) -> Value {
    let mut endpoint = json!({"addresses": [address["ip"]], "conditions": {"ready": ready}});
    for key in ["targetRef", "nodeName", "hostname"] {
        if let Some(value) = address.get(key).filter(|value| **value != "") {
            endpoint[key] = value.clone();
        }
    }
    endpoint
}

fn slice(key: &Key, source: &Value, (family, ports, endpoints): Wanted) -> Value {
    let mut labels = at(source, &["metadata", "labels"]).cloned().filter(Value::is_object).unwrap_or_else(|| json!({}));
    labels[SERVICE_NAME] = (&*key.name).into();
    labels[MANAGED_BY] = MANAGER.into();
    let mut metadata = json!({
        "generateName": format!("{}-", key.name), "namespace": &*key.namespace, "labels": labels,
        "ownerReferences": [{
            "apiVersion": "v1", "kind": "Endpoints", "name": &*key.name, "uid": str_at(source, &["metadata", "uid"]),
            "controller": true, "blockOwnerDeletion": true,
        }],
    });
    let annotations = at(source, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten();
    for (name, value) in annotations.filter(|(name, _)| !OWN_ANNOTATIONS.contains(&name.as_str())) {
        set(&mut metadata, &["annotations", name], value.clone());
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": family,
        "ports": ports, "endpoints": endpoints,
    })
}

/// Makes the mirrors be what they should; one with the same ports is changed rather than replaced.
fn replace(cx: &mut Context<'_>, key: &Key, source: &Value, mut existing: Vec<Arc<Object>>, wanted: Vec<Wanted>) -> Result<()> {
    let resource = gvr("discovery.k8s.io", "v1", "endpointslices");
    for one in wanted {
        let fits = |old: &Arc<Object>| {
            let old = old.value();
            str_at(&old, &["addressType"]) == one.0 && old.get("ports") == Some(&one.1)
        };
        let found = existing.iter().position(fits).map(|at| existing.remove(at));
        let made = slice(key, source, one);
        let Some(old) = found else {
            cx.client().create(&resource, &key.namespace, made)?;
            continue;
        };
        let mut new = old.value();
        set(&mut new, &["endpoints"], made["endpoints"].clone());
        for path in ["labels", "annotations"] {
            match made["metadata"].get(path) {
                Some(value) => set(&mut new, &["metadata", path], value.clone()),
                None => drop(object::value::remove(&mut new, &["metadata", path])),
            }
        }
        if new != old.value() {
            cx.client().update(&resource, &key.namespace, &old.key.name, new)?;
        }
    }
    for old in existing {
        cx.client().delete(&resource, &key.namespace, &old.key.name, &DeleteOptions::default())?;
    }
    Ok(())
}
