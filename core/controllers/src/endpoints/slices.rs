//! EndpointSlices: up to a hundred endpoints each.

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::{DeleteOptions, gvr};
use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, Result, Time, Value, json};
use store::{Event, Key, Object, Store};

use super::sharding::distribute;
use super::{
    Backend, MANAGED_BY, SERVICE_NAME, ServiceView, Triggers, backends, changed, kept_by, note_trigger, ports_on, service_of,
    slices, target_ref,
};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Keeps EndpointSlices.
#[derive(Default)]
pub struct EndpointSliceController {
    triggers: Triggers,
    written: Written,
}

/// The generation of each slice as it was written here: any other is somebody else's doing, and is put right.
type Written = BTreeMap<Key, i64>;

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        changed(store, event, &slices(), queue);
        if event.key().resource != slices() {
            return;
        }
        match &event.new {
            None => drop(self.written.remove(event.key())),
            Some(slice) if self.written.get(event.key()) != Some(&slice.meta.generation) => {
                let before = event.old.as_ref().and_then(|old| service_of(old));
                [service_of(slice), before].into_iter().flatten().for_each(|service| queue.add(service));
            }
            Some(_) => {}
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(service) = cx.get(key).filter(|s| s.meta.deletion_timestamp.is_none()) else {
            self.triggers.forget(key);
            return Ok(());
        };
        let Some(selector) = service.view::<ServiceView>().selector.clone() else { return Ok(()) };
        let value = service.value();
        // Endpoints with the same ports share slices.
        let mut groups: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
        for backend in backends(cx, &service, &selector) {
            let view = backend.pod.view::<PodView>();
            let Some(zone) = zone_of(cx, &view.node) else { continue };
            let ports = ports_on(&value, view);
            let group = groups.entry(Value::from(ports.clone()).to_string()).or_insert_with(|| (ports, Vec::new()));
            group.1.push(endpoint(&backend, zone.as_deref(), &value));
        }
        if groups.is_empty() {
            groups.insert(String::new(), (Vec::new(), Vec::new()));
        }
        // A former Service of this name may have left slices.
        let is_ours = |slice: &Arc<Object>| slice.meta.owner_references.iter().any(|owner| owner.uid == service.meta.uid);
        let (existing, orphans): (Vec<_>, Vec<_>) = kept_by(cx, key, MANAGER).into_iter().partition(is_ours);
        for orphan in orphans {
            cx.client().delete(
                &gvr("discovery.k8s.io", "v1", "endpointslices"),
                &key.namespace,
                &orphan.key.name,
                &Default::default(),
            )?;
        }
        let trigger = self.triggers.earliest(cx, &service, &selector);
        replace(cx, &value, existing, groups, trigger, &mut self.written)
    }
}

/// The zone of a node that exists; the outer `None` is a node that does not.
fn zone_of(cx: &Context<'_>, node: &str) -> Option<Option<String>> {
    let object = cx.store().get(&Key::new(&GroupResource::literal("", "nodes"), "", node))?;
    Some(object.meta.labels.get("topology.kubernetes.io/zone").cloned())
}

fn endpoint(backend: &Backend, zone: Option<&str>, service: &Value) -> Value {
    let view = backend.pod.view::<PodView>();
    let mut endpoint = json!({
        "addresses": view.ips.iter().take(1).collect::<Vec<_>>(),
        "conditions": {"ready": backend.ready, "serving": backend.serving, "terminating": backend.terminating},
        "nodeName": view.node, "targetRef": target_ref(&backend.pod),
    });
    if let Some(zone) = zone {
        endpoint["zone"] = zone.into();
    }
    let hints = match (str_at(service, &["spec", "trafficDistribution"]), zone) {
        ("PreferClose" | "PreferSameZone", Some(zone)) => json!({"forZones": [{"name": zone}]}),
        ("PreferSameNode", Some(zone)) => json!({"forZones": [{"name": zone}], "forNodes": [{"name": view.node}]}),
        ("PreferSameNode", None) => json!({"forNodes": [{"name": view.node}]}),
        _ => Value::Null,
    };
    if backend.ready && !hints.is_null() {
        endpoint["hints"] = hints;
    }
    let (hostname, subdomain) = &view.hostname;
    if !hostname.is_empty() && subdomain == str_at(service, &["metadata", "name"]) {
        endpoint["hostname"] = hostname.as_str().into();
    }
    endpoint
}

/// Makes the slices be what they should, with as few changes as can be.
fn replace(
    cx: &mut Context<'_>,
    service: &Value,
    existing: Vec<Arc<Object>>,
    groups: BTreeMap<String, (Vec<Value>, Vec<Value>)>,
    trigger: Option<Time>,
    written: &mut Written,
) -> Result<()> {
    let resource = gvr("discovery.k8s.io", "v1", "endpointslices");
    let namespace = str_at(service, &["metadata", "namespace"]).to_owned();
    let mut left = existing;
    for (ports, endpoints) in groups.into_values() {
        let wanted = slice(service, &ports, Vec::new());
        let of_group = |object: &Arc<Object>| {
            let value = object.value();
            same_list(value.get("ports"), Some(&ports.clone().into())) && value.get("addressType") == wanted.get("addressType")
        };
        let (mine, others): (Vec<_>, Vec<_>) = left.into_iter().partition(of_group);
        left = others;
        let mut plan = distribute(mine, endpoints);
        // A slice that goes is as good as one that is made.
        let mut spare = plan.dropped.into_iter();
        if plan.kept.is_empty() && plan.made.is_empty() {
            plan.made.push(Vec::new());
        }
        for endpoints in plan.made {
            let other = left.iter().position(|old| old.value().get("addressType") == wanted.get("addressType"));
            match spare.next().or_else(|| other.map(|at| left.swap_remove(at))) {
                Some(old) => plan.kept.push((old, endpoints)),
                None => {
                    let mut wanted = slice(service, &ports, endpoints);
                    note_trigger(&mut wanted, trigger);
                    let made = cx.client().create(&resource, &namespace, wanted)?;
                    note(written, &namespace, &made);
                }
            }
        }
        left.extend(spare);
        for (old, endpoints) in plan.kept {
            let before = old.value();
            let mut new = before.clone();
            new["endpoints"] = endpoints.into();
            new["ports"] = ports.clone().into();
            object::value::set(&mut new, &["metadata", "labels"], wanted["metadata"]["labels"].clone());
            let same = ["endpoints", "ports"].iter().all(|key| same_list(before.get(key), new.get(key)));
            if !same || at(&before, &["metadata", "labels"]) != at(&new, &["metadata", "labels"]) {
                note_trigger(&mut new, trigger);
                let kept = cx.client().update(&resource, &namespace, &old.key.name, new)?;
                note(written, &namespace, &kept);
            }
        }
    }
    for old in left {
        cx.client().delete(&resource, &namespace, &old.key.name, &DeleteOptions::default())?;
    }
    Ok(())
}

fn note(written: &mut Written, namespace: &str, slice: &Value) {
    let generation = i64_at(slice, &["metadata", "generation"]).unwrap_or(0);
    written.insert(Key::new(&slices(), namespace, str_at(slice, &["metadata", "name"])), generation);
}

/// An absent list and an empty one say the same.
fn same_list(a: Option<&Value>, b: Option<&Value>) -> bool {
    let list = |v: Option<&Value>| v.and_then(Value::as_array).cloned().unwrap_or_default();
    list(a) == list(b)
}

fn slice(service: &Value, ports: &[Value], endpoints: Vec<Value>) -> Value {
    let name = str_at(service, &["metadata", "name"]);
    let mut labels = json!({});
    if let Some(own) = at(service, &["metadata", "labels"]).filter(|l| l.is_object()) {
        labels = own.clone();
    }
    labels[SERVICE_NAME] = name.into();
    labels[MANAGED_BY] = MANAGER.into();
    if str_at(service, &["spec", "clusterIP"]) == "None" {
        labels[HEADLESS] = "".into();
    }
    let family = list_at(service, &["spec", "ipFamilies"]).first().and_then(Value::as_str).unwrap_or("IPv4");
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {
            "generateName": format!("{name}-"), "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": name, "uid": str_at(service, &["metadata", "uid"]),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "endpoints": endpoints, "ports": ports,
    })
}
