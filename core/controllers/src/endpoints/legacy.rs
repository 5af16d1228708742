//! Endpoints: the older form, one object per Service.

use std::collections::BTreeMap;

use apiserver::{DeleteOptions, gvr};
use object::value::{at, str_at};
use object::{GroupResource, Result, Time, Value, json};
use store::{Event, Key, Store};

use super::{ServiceView, Triggers, backends, changed, note_trigger, ports_on, target_ref};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// Addresses beyond this many are cut off; EndpointSlices have them all.
const MAX_ADDRESSES: usize = 1000;

const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// Keeps Endpoints.
#[derive(Default)]
pub struct EndpointsController {
    triggers: Triggers,
}

fn endpoints() -> GroupResource {
    GroupResource::literal("", "endpoints")
}

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoint-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        changed(store, event, &endpoints(), queue);
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let resource = gvr("", "v1", "endpoints");
        let own = Key::new(&endpoints(), &key.namespace, &key.name);
        let Some(service) = cx.get(key) else {
            self.triggers.forget(key);
            if cx.store().get(&own).is_some() {
                cx.client().delete(&resource, &key.namespace, &key.name, &DeleteOptions::default())?;
            }
            return Ok(());
        };
        let Some(selector) = service.view::<ServiceView>().selector.clone() else { return Ok(()) };
        let value = service.value();
        // Addresses with the same ports stand together, ready ones apart from others: each port is given its addresses, and
        // ports that have the same ones share a subset.
        let mut ports: BTreeMap<String, (Value, Addresses)> = BTreeMap::new();
        let mut without = Addresses::default();
        let mut found: Vec<_> = backends(cx, &service, &selector).into_iter().filter(|b| !b.terminating).collect();
        let over_capacity = found.len() > MAX_ADDRESSES;
        if over_capacity {
            // Those that are ready come first.
            let (ready, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|backend| backend.ready);
            found = ready.into_iter().chain(others).take(MAX_ADDRESSES).collect();
        }
        for backend in found {
            let view = backend.pod.view::<PodView>();
            let mut address = json!({"ip": view.ips.first(), "targetRef": target_ref(&backend.pod)});
            if !view.node.is_empty() {
                address["nodeName"] = view.node.as_str().into();
            }
            let (hostname, subdomain) = &view.hostname;
            if !hostname.is_empty() && **subdomain == *key.name {
                address["hostname"] = hostname.as_str().into();
            }
            let offered = ports_on(&value, view);
            if offered.is_empty() {
                without.add(address.clone(), backend.ready);
            }
            for port in offered {
                let entry = ports.entry(port.to_string()).or_insert_with(|| (port, Addresses::default()));
                entry.1.add(address.clone(), backend.ready);
            }
        }
        let mut subsets: BTreeMap<String, (Vec<Value>, Addresses)> = BTreeMap::new();
        for (port, addresses) in ports.into_values() {
            subsets.entry(addresses.name()).or_insert_with(|| (Vec::new(), addresses)).0.push(port);
        }
        if !without.name().is_empty() {
            subsets.entry(String::new()).or_insert_with(|| (Vec::new(), without));
        }
        let subsets: Vec<Value> = subsets.into_values().map(|(ports, addresses)| addresses.json(ports)).collect();
        let trigger = self.triggers.earliest(cx, &service, &selector);
        let mut labels = at(&value, &["metadata", "labels"]).filter(|l| l.is_object()).cloned().unwrap_or_else(|| json!({}));
        labels["endpoints.kubernetes.io/managed-by"] = "endpoint-controller".into();
        if str_at(&value, &["spec", "clusterIP"]) == "None" {
            labels["service.kubernetes.io/headless"] = "".into();
        }
        write(cx, &own, Wanted { subsets, labels, over_capacity }, trigger)
    }
}

/// Addresses that offer a port.
#[derive(Default)]
struct Addresses {
    ready: Vec<Value>,
    not_ready: Vec<Value>,
}

impl Addresses {
    fn add(&mut self, address: Value, ready: bool) {
        if ready { self.ready.push(address) } else { self.not_ready.push(address) }
    }

    /// What equal sets of addresses have in common; empty if there are none.
    fn name(&self) -> String {
        if self.ready.is_empty() && self.not_ready.is_empty() {
            return String::new();
        }
        json!([self.ready, self.not_ready]).to_string()
    }

    fn json(self, ports: Vec<Value>) -> Value {
        let mut subset = json!({});
        for (key, list) in [("addresses", self.ready), ("notReadyAddresses", self.not_ready), ("ports", ports)] {
            if !list.is_empty() {
                subset[key] = list.into();
            }
        }
        subset
    }
}

/// What Endpoints should be.
struct Wanted {
    subsets: Vec<Value>,
    labels: Value,
    over_capacity: bool,
}

fn write(cx: &mut Context<'_>, own: &Key, wanted: Wanted, trigger: Option<Time>) -> Result<()> {
    let resource = gvr("", "v1", "endpoints");
    let Wanted { subsets, labels, over_capacity } = wanted;
    let mark = |object: &mut Value| {
        if over_capacity {
            let annotations = object::value::object_at(object, &["metadata", "annotations"]);
            annotations.insert(OVER_CAPACITY.to_owned(), "truncated".into());
        } else if object::meta::annotation(object, OVER_CAPACITY).is_some() {
            object::value::remove(object, &["metadata", "annotations", OVER_CAPACITY]);
        }
    };
    let Some(old) = cx.get(own) else {
        let metadata = json!({"name": &*own.name, "labels": labels});
        let mut new = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets});
        mark(&mut new);
        note_trigger(&mut new, trigger);
        return cx.client().create(&resource, &own.namespace, new).map(drop);
    };
    let mut new = old.value();
    let same = new.get("subsets").and_then(Value::as_array).cloned().unwrap_or_default() == subsets;
    let marked = object::meta::annotation(&new, OVER_CAPACITY).is_some();
    if same && marked == over_capacity && at(&new, &["metadata", "labels"]) == Some(&labels) {
        return Ok(());
    }
    new["subsets"] = subsets.into();
    object::value::set(&mut new, &["metadata", "labels"], labels);
    mark(&mut new);
    note_trigger(&mut new, trigger);
    cx.client().update(&resource, &own.namespace, &own.name, new).map(drop)
}
