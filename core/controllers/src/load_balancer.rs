//! Service load balancers: every Service of type LoadBalancer gets an address of the cluster's own pool, and gives it back.
//!
//! This is the cloud provider's service controller with a provider that has nothing but addresses. An address is taken by
//! standing in a Service's status; what is free is counted from there, so a restart forgets nothing.
//! <https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer>

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use apiserver::{PatchKind, gvr};
use object::events::EventType;
use object::value::{at, list_at, str_at};
use object::{ApiError, GroupResource, GroupVersionResource, Reason, Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pool::Pool;
use crate::queue::{Backoff, WorkQueue};

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";
/// Nodes that no load balancer should send to.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Keeps the pool of addresses.
pub struct ServiceLoadBalancers {
    pool: Pool,
    /// Whose each address is.
    taken: BTreeMap<IpAddr, Key>,
    /// The addresses of each Service.
    held: BTreeMap<Key, Vec<IpAddr>>,
    /// Services that the pool had nothing for.
    waiting: BTreeSet<Key>,
    /// What changed of a Service, to be said when it is looked at.
    news: BTreeMap<Key, Vec<(&'static str, String)>>,
}

impl ServiceLoadBalancers {
    /// A pool of these ranges, given as CIDRs with commas between them.
    pub fn new(ranges: &str) -> Self {
        let (taken, held) = (BTreeMap::new(), BTreeMap::new());
        ServiceLoadBalancers { pool: Pool::parse(ranges), taken, held, waiting: BTreeSet::new(), news: BTreeMap::new() }
    }

    /// Takes what a Service says it has, unless another has it.
    fn claim(&mut self, service: &Object) {
        let value = service.value();
        if !wants(&value) && !held(&value) {
            return;
        }
        for ip in list_at(&value, &["status", "loadBalancer", "ingress"]) {
            let Ok(ip) = str_at(ip, &["ip"]).parse::<IpAddr>() else { continue };
            if self.pool.contains(ip) && *self.taken.entry(ip).or_insert_with(|| service.key.clone()) == service.key {
                let held = self.held.entry(service.key.clone()).or_default();
                if !held.contains(&ip) {
                    held.push(ip);
                }
            }
        }
    }

    /// Gives back all that a Service has; says whether that was anything. Those who wait are looked at again.
    fn release(&mut self, key: &Key, queue: &mut WorkQueue) -> bool {
        self.waiting.remove(key);
        let Some(held) = self.held.remove(key) else { return false };
        held.iter().for_each(|ip| drop(self.taken.remove(ip)));
        std::mem::take(&mut self.waiting).into_iter().for_each(|other| queue.add(other));
        true
    }

    /// The addresses of a Service: those it has, as far as they still fit, or new ones.
    fn allocate(&mut self, key: &Key, service: &Value, queue: &mut WorkQueue) -> Result<Vec<IpAddr>> {
        let wished = str_at(service, &["spec", "loadBalancerIP"]);
        let families: Vec<&str> = list_at(service, &["spec", "ipFamilies"]).iter().filter_map(Value::as_str).collect();
        let v6 = |family: &str| family == "IPv6";
        let held = self.held.get(key).cloned().unwrap_or_default();
        let fits = |ip: &IpAddr| families.iter().any(|family| v6(family) == ip.is_ipv6());
        let wished: Option<IpAddr> = match wished {
            "" => None,
            text => Some(text.parse().map_err(|_| failed(format!("{text:?} is not an address")))?),
        };
        if !held.is_empty() && held.iter().all(fits) && wished.is_none_or(|ip| held.contains(&ip)) {
            return Ok(held);
        }
        let mut wanted = Vec::new();
        for family in families {
            let of_family = |ip: &IpAddr| ip.is_ipv6() == v6(family);
            let free = |ip: &IpAddr| self.taken.get(ip).is_none_or(|owner| owner == key);
            let ip = match wished.filter(of_family) {
                Some(ip) if !self.pool.contains(ip) => return Err(failed(format!("{ip} is not in the pool of {}", self.pool))),
                Some(ip) if !free(&ip) => return Err(failed(format!("{ip} belongs to another Service"))),
                Some(ip) => Some(ip),
                None => held.iter().copied().find(of_family).or_else(|| self.pool.first_free(v6(family), |ip| !free(&ip))),
            };
            wanted.extend(ip);
        }
        if wanted.is_empty() {
            self.waiting.insert(key.clone());
            return Err(failed(format!("no address is free in the pool of {}", self.pool)));
        }
        if held.iter().any(|ip| !wanted.contains(ip)) {
            self.release(key, queue);
        }
        self.waiting.remove(key);
        wanted.iter().for_each(|ip| drop(self.taken.insert(*ip, key.clone())));
        self.held.insert(key.clone(), wanted.clone());
        Ok(wanted)
    }

    /// The Service wants no load balancer, or ends.
    fn clean_up(&mut self, cx: &mut Context<'_>, service: &Arc<Object>, value: &Value) -> Result<()> {
        if self.release(&service.key, cx.queue) {
            cx.event(value, EventType::Normal, "DeletingLoadBalancer", "Deleting load balancer");
        }
        // The status first: without the finalizer the Service may be gone at once.
        patch_status(cx, service, value, &[])?;
        if held(value) {
            let kept: Vec<&Value> = list_at(value, &["metadata", "finalizers"]).iter().filter(|f| **f != FINALIZER).collect();
            patch(cx, service, json!({"metadata": {"finalizers": kept}}))?;
        }
        cx.event(value, EventType::Normal, "DeletedLoadBalancer", "Deleted load balancer");
        Ok(())
    }

    fn ensure(&mut self, cx: &mut Context<'_>, service: &Arc<Object>, value: &Value) -> Result<()> {
        cx.event(value, EventType::Normal, "EnsuringLoadBalancer", "Ensuring load balancer");
        if !held(value) {
            let finalizers = list_at(value, &["metadata", "finalizers"]).iter().cloned();
            let finalizers: Vec<Value> = finalizers.chain([json!(FINALIZER)]).collect();
            patch(cx, service, json!({"metadata": {"finalizers": finalizers}}))?;
        }
        let nodes = GroupResource::literal("", "nodes");
        let usable = cx.store().list(&nodes, None).any(|node| !node.meta.labels.contains_key(EXCLUDED));
        if !usable {
            let why = "There are no available nodes for LoadBalancer";
            cx.event(value, EventType::Warning, "UnAvailableLoadBalancer", why);
        }
        let addresses = self.allocate(&service.key, value, cx.queue)?;
        cx.event(value, EventType::Normal, "EnsuredLoadBalancer", "Ensured load balancer");
        patch_status(cx, service, value, &addresses)
    }
}

fn failed(why: String) -> Box<ApiError> {
    ApiError::new(500, Reason::InternalError, format!("failed to ensure load balancer: {why}"))
}

fn services() -> GroupVersionResource {
    gvr("", "v1", "services")
}

/// Whether the cluster's own pool is to serve it: a class means that somebody else does.
fn wants(service: &Value) -> bool {
    str_at(service, &["spec", "type"]) == "LoadBalancer" && at(service, &["spec", "loadBalancerClass"]).is_none()
}

fn held(service: &Value) -> bool {
    list_at(service, &["metadata", "finalizers"]).iter().any(|finalizer| finalizer == FINALIZER)
}

fn needs_cleanup(service: &Object, value: &Value) -> bool {
    held(value) && (service.meta.deletion_timestamp.is_some() || str_at(value, &["spec", "type"]) != "LoadBalancer")
}

/// Whether a change of a Service concerns its load balancer, and what is to be said of it.
fn needs_update(old: &Value, new: &Value) -> (bool, Option<(&'static str, String)>) {
    if !wants(old) && !wants(new) {
        return (false, None);
    }
    let arrow = |key: &str| format!("{} -> {}", str_at(old, &["spec", key]), str_at(new, &["spec", key]));
    if wants(old) != wants(new) {
        return (true, Some(("Type", arrow("type"))));
    }
    let differs = |path: &[&str]| at(old, path) != at(new, path);
    let list = |value: &Value| {
        let ranges = list_at(value, &["spec", "loadBalancerSourceRanges"]).iter().filter_map(Value::as_str);
        format!("[{}]", ranges.collect::<Vec<_>>().join(" "))
    };
    if differs(&["spec", "loadBalancerSourceRanges"]) {
        return (true, Some(("LoadBalancerSourceRanges", format!("{} -> {}", list(old), list(new)))));
    }
    if ["ports", "sessionAffinity", "sessionAffinityConfig", "ipFamilies"].iter().any(|key| differs(&["spec", key])) {
        return (true, None);
    }
    if differs(&["spec", "loadBalancerIP"]) {
        return (true, Some(("LoadbalancerIP", arrow("loadBalancerIP"))));
    }
    let external = |value: &Value| list_at(value, &["spec", "externalIPs"]).to_vec();
    let (before, after) = (external(old), external(new));
    if before.len() != after.len() {
        return (true, Some(("ExternalIP", format!("Count: {} -> {}", before.len(), after.len()))));
    }
    if let Some(added) = after.iter().find(|ip| !before.contains(ip)) {
        return (true, Some(("ExternalIP", format!("Added: {}", added.as_str().unwrap_or_default()))));
    }
    if differs(&["spec", "externalTrafficPolicy"]) {
        return (true, Some(("ExternalTrafficPolicy", arrow("externalTrafficPolicy"))));
    }
    (differs(&["metadata", "annotations"]) || differs(&["metadata", "uid"]), None)
}

/// Services' finalizers and status are both written through the status, as the controller's role allows.
fn patch(cx: &mut Context<'_>, service: &Object, patch: Value) -> Result<()> {
    match cx.client().patch(&services(), &service.key.namespace, &service.key.name, "status", PatchKind::Merge, patch) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn patch_status(cx: &mut Context<'_>, service: &Object, value: &Value, addresses: &[IpAddr]) -> Result<()> {
    let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip.to_string(), "ipMode": "VIP"})).collect();
    if list_at(value, &["status", "loadBalancer", "ingress"]) == ingress.as_slice() {
        return Ok(());
    }
    let ingress = if ingress.is_empty() { Value::Null } else { ingress.into() };
    patch(cx, service, json!({"status": {"loadBalancer": {"ingress": ingress}}}))
}

impl Controller for ServiceLoadBalancers {
    fn name(&self) -> &'static str {
        "service-controller"
    }

    fn backoff(&self) -> Backoff {
        Backoff { base_millis: 5_000, max_millis: 300_000 }
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource != services().group_resource() || self.pool.is_empty() {
            return;
        }
        let Some(service) = &event.new else { return queue.add(key.clone()) };
        let new = service.value();
        match &event.old {
            None => {
                self.claim(service);
                if wants(&new) || needs_cleanup(service, &new) {
                    queue.add(key.clone());
                }
            }
            Some(old) => {
                let (update, news) = needs_update(&old.value(), &new);
                if let Some(news) = news {
                    self.news.entry(key.clone()).or_default().push(news);
                }
                if update || needs_cleanup(service, &new) {
                    queue.add(key.clone());
                }
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let news = self.news.remove(key).unwrap_or_default();
        let Some(service) = cx.get(key) else {
            self.release(key, cx.queue);
            return Ok(());
        };
        let value = service.value();
        for (reason, message) in news {
            cx.event(&value, EventType::Normal, reason, &message);
        }
        let done = if needs_cleanup(&service, &value) || !wants(&value) {
            self.clean_up(cx, &service, &value)
        } else if service.meta.deletion_timestamp.is_some() {
            Ok(())
        } else {
            self.ensure(cx, &service, &value)
        };
        if let Err(error) = &done {
            let message = format!("Error syncing load balancer: {}", error.message);
            cx.event(&value, EventType::Warning, "SyncLoadBalancerFailed", &message);
        }
        done
    }
}
