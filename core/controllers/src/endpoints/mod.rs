//! EndpointSlice and Endpoints: the addresses behind a Service.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/>

mod legacy;
mod mirroring;
mod sharding;
mod slices;

use std::collections::BTreeMap;
use std::sync::Arc;

use object::selector::LabelSelector;
use object::value::{at, i64_at, list_at, str_at};
use object::{GroupResource, Time, Value};
use store::{Event, Key, Object, Store, View};

use crate::context::Context;
use crate::pod::PodView;
use crate::queue::WorkQueue;

pub use legacy::EndpointsController;
pub use mirroring::EndpointSliceMirroringController;
pub use slices::EndpointSliceController;

fn services() -> GroupResource {
    GroupResource::literal("", "services")
}

/// Where EndpointSlices are.
pub(crate) fn slices() -> GroupResource {
    GroupResource::literal("discovery.k8s.io", "endpointslices")
}

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The label of an EndpointSlice that names who keeps it.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// The Service that an EndpointSlice says it is of.
pub(crate) fn service_of(slice: &Object) -> Option<Key> {
    slice.meta.labels.get(SERVICE_NAME).map(|name| Key::new(&services(), &slice.key.namespace, name))
}

/// The EndpointSlices that say they are of a Service and kept by this manager.
fn kept_by(cx: &Context<'_>, service: &Key, manager: &str) -> Vec<Arc<Object>> {
    let kept = |slice: &Arc<Object>| slice.meta.labels.get(MANAGED_BY).is_some_and(|by| by == manager);
    cx.index.slices_of(service).filter_map(|key| cx.get(key)).filter(kept).collect()
}

/// What selects a Service's pods, read once per version of the Service.
struct ServiceView {
    selector: Option<LabelSelector>,
}

impl View for ServiceView {
    fn of(service: &Value) -> Self {
        let selector = at(service, &["spec", "selector"]).filter(|s| s.as_object().is_some_and(|m| !m.is_empty()));
        let external = str_at(service, &["spec", "type"]) == "ExternalName";
        ServiceView {
            selector: selector.filter(|_| !external).map(|s| LabelSelector::from_map(&object::meta::string_map(Some(s)))),
        }
    }
}

/// Names the Services that a change concerns.
fn changed(store: &Store, event: &Event, made: &GroupResource, queue: &mut WorkQueue) {
    let key = event.key();
    if key.resource == services() {
        queue.add(key.clone());
    } else if key.resource == GroupResource::literal("", "pods") {
        if let (Some(old), Some(new)) = (&event.old, &event.new)
            && !matters(old, new)
        {
            return;
        }
        for service in store.list(&services(), Some(&key.namespace)) {
            let selects =
                |pod: &Arc<Object>| service.view::<ServiceView>().selector.as_ref().is_some_and(|s| s.matches(&pod.meta.labels));
            if [&event.old, &event.new].into_iter().flatten().any(selects) {
                queue.add(service.key.clone());
            }
        }
    } else if key.resource == *made && event.new.is_none() {
        let name = event.old.as_ref().and_then(|o| o.meta.labels.get(SERVICE_NAME).cloned());
        queue.add(Key::new(&services(), &key.namespace, name.as_deref().unwrap_or(&key.name)));
    } else if key.resource == GroupResource::literal("", "nodes") && event.old.is_some() != event.new.is_some() {
        // Endpoints on a node that does not exist are left out.
        store.list(&services(), None).for_each(|service| queue.add(service.key.clone()));
    }
}

/// Whether a change of a pod can change endpoints.
fn matters(old: &Object, new: &Object) -> bool {
    let (a, b) = (old.view::<PodView>(), new.view::<PodView>());
    (a.ready, &a.ips, &a.node, a.is_terminal()) != (b.ready, &b.ips, &b.node, b.is_terminal())
        || old.meta.labels != new.meta.labels
        || old.meta.deletion_timestamp != new.meta.deletion_timestamp
        || a.hostname != b.hostname
}

/// The annotation that says what a change of endpoints followed from, for those who measure how long that takes.
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What was known of a Service's triggers: when it was made, and when its pods last became ready or ceased to be.
#[derive(Default)]
struct Triggers(BTreeMap<Key, (Option<Time>, BTreeMap<String, Time>)>);

impl Triggers {
    /// The earliest trigger that is new since the last call.
    fn earliest(&mut self, cx: &Context<'_>, service: &Object, selector: &LabelSelector) -> Option<Time> {
        let pods = crate::pod_control::pods();
        let pods = cx.store().list(&pods, Some(&service.key.namespace));
        let pods = pods.filter(|pod| selector.matches(&pod.meta.labels));
        let times: BTreeMap<String, Time> =
            pods.filter_map(|pod| Some((pod.key.name.to_string(), pod.view::<PodView>().ready_since?))).collect();
        let made = service.meta.creation_timestamp;
        let known = self.0.insert(service.key.clone(), (made, times.clone()));
        let Some((service_before, pods_before)) = known else { return made };
        let new = times.into_iter().filter(|(name, time)| pods_before.get(name).is_none_or(|before| time > before));
        new.map(|(_, time)| time).chain(made.filter(|_| made > service_before)).min()
    }

    /// The Service is gone.
    fn forget(&mut self, service: &Key) {
        self.0.remove(service);
    }
}

/// Says in an object's annotations what it follows from, or that nothing is known of it.
fn note_trigger(object: &mut Value, trigger: Option<Time>) {
    match trigger {
        Some(time) => {
            object::value::object_at(object, &["metadata", "annotations"]).insert(TRIGGER.to_owned(), time.rfc3339().into());
        }
        None => drop(object::value::remove(object, &["metadata", "annotations", TRIGGER])),
    }
}

/// A pod behind a Service.
struct Backend {
    pod: Arc<Object>,
    ready: bool,
    serving: bool,
    terminating: bool,
}

/// The Service's pods that have an address, in a fixed order.
fn backends(cx: &Context<'_>, service: &Object, selector: &LabelSelector) -> Vec<Backend> {
    let publish = object::value::bool_at(&service.value(), &["spec", "publishNotReadyAddresses"]);
    cx.store()
        .list(&GroupResource::literal("", "pods"), Some(&service.key.namespace))
        .filter(|pod| selector.matches(&pod.meta.labels))
        .filter(|pod| !pod.view::<PodView>().is_terminal() && !pod.view::<PodView>().ips.is_empty())
        .map(|pod| {
            let view = pod.view::<PodView>();
            let terminating = pod.meta.deletion_timestamp.is_some();
            let ready = publish || view.ready && !terminating;
            Backend { ready, serving: view.ready, terminating, pod: pod.clone() }
        })
        .collect()
}

/// A Service's ports on one pod: named target ports are looked up in its containers.
fn ports_on(service: &Value, pod: &PodView) -> Vec<Value> {
    let mut ports = Vec::new();
    for port in list_at(service, &["spec", "ports"]) {
        let protocol = match str_at(port, &["protocol"]) {
            "" => "TCP",
            given => given,
        };
        let number = match at(port, &["targetPort"]) {
            Some(Value::String(name)) => {
                pod.ports.iter().find(|(n, _, p)| n == name && p == protocol).map(|(_, number, _)| i64::from(*number))
            }
            Some(number) => number.as_i64().filter(|n| *n != 0).or_else(|| i64_at(port, &["port"])),
            None => i64_at(port, &["port"]),
        };
        let Some(number) = number else { continue };
        let mut entry = object::json!({"name": str_at(port, &["name"]), "port": number, "protocol": protocol});
        if let Some(app) = port.get("appProtocol") {
            entry["appProtocol"] = app.clone();
        }
        ports.push(entry);
    }
    ports
}

/// The object a backend's address stands for.
fn target_ref(pod: &Object) -> Value {
    object::json!({"kind": "Pod", "namespace": &*pod.key.namespace, "name": &*pod.key.name, "uid": pod.meta.uid})
}
