//! Endpoints: the older form, one object per Service.

use std::collections::BTreeMap;

use apiserver::{DeleteOptions, gvr};
use object::value::{at, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Store};

use super::{ServiceView, backends, changed, ports_on, target_ref};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// Addresses beyond this many are cut off; EndpointSlices have them all.
const MAX_ADDRESSES: usize = 1000;

/// Keeps Endpoints.
pub struct EndpointsController;

fn endpoints() -> GroupResource {
    GroupResource::new("", "endpoints")
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
            if cx.store().get(&own).is_some() {
                cx.client().delete(&resource, &key.namespace, &key.name, &DeleteOptions::default())?;
            }
            return Ok(());
        };
        let Some(selector) = service.view::<ServiceView>().selector.clone() else { return Ok(()) };
        let value = service.value();
        // Addresses with the same ports stand together, ready ones apart from others.
        let mut subsets: BTreeMap<String, Subset> = BTreeMap::new();
        for backend in backends(cx, &service, &selector).into_iter().filter(|b| !b.terminating).take(MAX_ADDRESSES) {
            let view = backend.pod.view::<PodView>();
            let mut address = json!({"ip": view.ips.first(), "targetRef": target_ref(&backend.pod)});
            if !view.node.is_empty() {
                address["nodeName"] = view.node.as_str().into();
            }
            let ports = ports_on(&value, view);
            let subset =
                subsets.entry(Value::from(ports.clone()).to_string()).or_insert_with(|| Subset { ports, ..Subset::default() });
            if backend.ready { subset.ready.push(address) } else { subset.not_ready.push(address) }
        }
        let subsets: Vec<Value> = subsets.into_values().map(Subset::json).collect();
        let mut labels = at(&value, &["metadata", "labels"]).filter(|l| l.is_object()).cloned().unwrap_or_else(|| json!({}));
        labels["endpoints.kubernetes.io/managed-by"] = "endpoint-controller".into();
        if str_at(&value, &["spec", "clusterIP"]) == "None" {
            labels["service.kubernetes.io/headless"] = "".into();
        }
        write(cx, &own, subsets, labels)
    }
}

/// Addresses that share their ports.
#[derive(Default)]
struct Subset {
    ports: Vec<Value>,
    ready: Vec<Value>,
    not_ready: Vec<Value>,
}

impl Subset {
    fn json(self) -> Value {
        let mut subset = json!({});
        for (key, list) in [("addresses", self.ready), ("notReadyAddresses", self.not_ready), ("ports", self.ports)] {
            if !list.is_empty() {
                subset[key] = list.into();
            }
        }
        subset
    }
}

fn write(cx: &mut Context<'_>, own: &Key, subsets: Vec<Value>, labels: Value) -> Result<()> {
    let resource = gvr("", "v1", "endpoints");
    let Some(old) = cx.get(own) else {
        let new = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": &*own.name, "labels": labels}, "subsets": subsets});
        return cx.client().create(&resource, &own.namespace, new).map(drop);
    };
    let mut new = old.value();
    let same = old.value().get("subsets").and_then(Value::as_array).cloned().unwrap_or_default() == subsets;
    if same && at(&new, &["metadata", "labels"]) == Some(&labels) {
        return Ok(());
    }
    new["subsets"] = subsets.into();
    object::value::set(&mut new, &["metadata", "labels"], labels);
    cx.client().update(&resource, &own.namespace, &own.name, new).map(drop)
}
