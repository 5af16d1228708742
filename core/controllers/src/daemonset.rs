//! DaemonSet: one pod on every node that fits.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/>

use object::order::Order as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use object::scheduling::{Effect, MatchNode, NodeFields, NodeSelector, Taint, Toleration, untolerated};
use object::value::{at, i64_at, list_at, object_at, set, str_at};
use object::{GroupResource, Result, Time, Value, json};
use store::{Event, Key, Object, Store, View};

use crate::context::Context;
use crate::history::{History, name_of};
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, BURST, Kind, pods};
use crate::queue::WorkQueue;

const DAEMON_SET: Kind = Kind::new("apps", "v1", "daemonsets", "DaemonSet");

const REVISION: &str = "controller-revision-hash";
const GENERATION: &str = "pod-template-generation";

/// A failed pod is replaced after so long at first; each further failure on the node doubles it.
const FAILED_SECONDS: u64 = 1;
const MAX_FAILED_SECONDS: u64 = 900;

/// Taints that every daemon bears, and their effects.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

fn nodes() -> GroupResource {
    GroupResource::new("", "nodes")
}

/// What decides which daemons run on a node.
#[derive(PartialEq)]
struct NodeView {
    taints: Vec<Taint>,
}

impl View for NodeView {
    fn of(node: &Value) -> Self {
        let taints = list_at(node, &["spec", "taints"]).iter();
        NodeView { taints: taints.filter_map(|taint| serde_json::from_value(taint.clone()).ok()).collect() }
    }
}

/// The node that a daemon is meant for: the one it runs on, or the one its affinity names.
struct Target(String);

impl View for Target {
    fn of(pod: &Value) -> Self {
        let node = str_at(pod, &["spec", "nodeName"]);
        if !node.is_empty() {
            return Target(node.to_owned());
        }
        let required = at(pod, &["spec", "affinity"]).and_then(NodeSelector::required_of).unwrap_or_default();
        let mut fields = required.node_selector_terms.into_iter().flat_map(|term| term.match_fields);
        Target(fields.find(|field| field.key == "metadata.name").and_then(|mut field| field.values.pop()).unwrap_or_default())
    }
}

/// Runs DaemonSets.
#[derive(Default)]
pub struct DaemonSetController {
    /// How often a daemon has failed on a node, and when it may be replaced.
    failures: BTreeMap<(String, String), (u32, object::Time)>,
}

impl Controller for DaemonSetController {
    fn name(&self) -> &'static str {
        "daemon-set-controller"
    }

    fn source(&self) -> &'static str {
        "daemonset-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == DAEMON_SET.resource() {
            queue.add(key.clone());
        } else if key.resource == pods() {
            DAEMON_SET.pod_changed(store, event, queue);
        } else if key.resource == nodes() {
            // Heartbeats decide nothing.
            let same = match (&event.old, &event.new) {
                (Some(old), Some(new)) => old.meta.labels == new.meta.labels && old.view::<NodeView>() == new.view::<NodeView>(),
                _ => false,
            };
            if !same {
                store.list(&DAEMON_SET.resource(), None).for_each(|set| queue.add(set.key.clone()));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        let set = object.value();
        let claimed = DAEMON_SET.claim(cx, &object, |_| true)?;
        let mut history = History::of(cx, &DAEMON_SET, &set)?;
        let collisions = i64_at(&set, &["status", "collisionCount"]).unwrap_or(0);
        let revision = history.current(cx, &DAEMON_SET, &set, collisions)?;
        let name = name_of(&revision);
        let hash = name.strip_prefix(&format!("{}-", key.name)).unwrap_or(name).to_owned();
        let nodes: Vec<Arc<Object>> = cx.store().list(&nodes(), None).cloned().collect();
        let mut work = Work { key, set: &set, hash, template: Work::template(&set), on_node: BTreeMap::new() };
        for pod in claimed {
            work.on_node.entry(pod.view::<Target>().0.clone()).or_default().push(pod);
        }
        let mut done = Ok(());
        if object.meta.deletion_timestamp.is_none() {
            done = self.manage(cx, &mut work, &nodes);
            if done.is_ok() {
                done = work.roll(cx, &nodes);
            }
        }
        let status = work.status(cx, &nodes);
        pod_control::write_status(cx, &DAEMON_SET, key, &set, status)?;
        done?;
        let label = |pod: &Arc<Object>| pod.meta.labels.get(REVISION).cloned().unwrap_or_default();
        let used: Vec<String> = work.on_node.values().flatten().map(label).collect();
        history.truncate(cx, &set, |revision| {
            revision == name_of_hash(&key.name, &work.hash) || used.iter().any(|hash| revision == name_of_hash(&key.name, hash))
        })
    }
}

fn name_of_hash(set: &str, hash: &str) -> String {
    format!("{set}-{hash}")
}

/// A set, its pods by their nodes, and its newest template.
struct Work<'a> {
    key: &'a Key,
    set: &'a Value,
    hash: String,
    /// The pod of the template with the tolerations that all daemons have.
    template: Value,
    on_node: BTreeMap<String, Vec<Arc<Object>>>,
}

impl DaemonSetController {
    /// Makes daemons where they are missing, and deletes those that are too many, have failed or are out of place.
    fn manage(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>, nodes: &[Arc<Object>]) -> Result<()> {
        let mut made = 0;
        for node in nodes {
            let (should_run, may_stay) = work.fits(node);
            let name = node.key.name.to_string();
            let mut here: Vec<Arc<Object>> = work.on_node.get(&name).cloned().unwrap_or_default();
            here.retain(|pod| pod.meta.deletion_timestamp.is_none());
            if !may_stay {
                for pod in &here {
                    pod_control::delete(cx, work.set, pod)?;
                }
                continue;
            }
            let id = (str_at(work.set, &["metadata", "uid"]).to_owned(), name.clone());
            let (failed, mut good): (Vec<_>, Vec<_>) = here.into_iter().partition(|pod| pod.view::<PodView>().phase == "Failed");
            for pod in &failed {
                let known = self.failures.entry(id.clone()).or_insert((0, cx.now));
                if known.1 > cx.now {
                    cx.queue.add_at(work.key.clone(), known.1);
                    continue;
                }
                let delay = FAILED_SECONDS.saturating_mul(1 << known.0.min(12)).min(MAX_FAILED_SECONDS);
                *known = (known.0.saturating_add(1), cx.now.plus_secs(delay));
                let message =
                    format!("Found failed daemon pod {}/{} on node {name}, will try to kill it", pod.key.namespace, pod.key.name);
                cx.event(work.set, object::events::EventType::Warning, "FailedDaemonPod", &message);
                pod_control::delete(cx, work.set, pod)?;
            }
            good.order_by_key(|pod| (pod.view::<PodView>().node.is_empty(), pod.meta.creation_timestamp, pod.key.name.clone()));
            for pod in work.surplus(&good, work.surge(nodes.len()) > 0, cx.now) {
                pod_control::delete(cx, work.set, pod)?;
            }
            let going = work.on_node.get(&name).is_some_and(|pods| pods.iter().any(|pod| pod.meta.deletion_timestamp.is_some()));
            if should_run && good.is_empty() && failed.is_empty() && !going && made < BURST {
                if pod_control::create(cx, work.set, work.new_pod(&name))?.is_none() {
                    return Ok(());
                }
                made += 1;
            }
        }
        Ok(())
    }
}

impl Work<'_> {
    fn template(set_object: &Value) -> Value {
        let template = at(set_object, &["spec", "template"]).cloned().unwrap_or_default();
        let mut pod = DAEMON_SET.pod_from(set_object, &template);
        let mut tolerations = list_at(&pod, &["spec", "tolerations"]).to_vec();
        let host_network = at(&pod, &["spec", "hostNetwork"]) == Some(&Value::Bool(true));
        let more = host_network.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
        for (key, effect) in TOLERATED.iter().copied().chain(more) {
            let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
            if !tolerations.contains(&toleration) {
                tolerations.push(toleration);
            }
        }
        set(&mut pod, &["spec", "tolerations"], tolerations);
        pod
    }

    fn new_pod(&self, node: &str) -> Value {
        let mut pod = self.template.clone();
        let labels = object_at(&mut pod, &["metadata", "labels"]);
        labels.insert(REVISION.to_owned(), self.hash.as_str().into());
        let generation = object::meta::annotation(self.set, "deprecated.daemonset.template.generation").unwrap_or("0");
        labels.insert(GENERATION.to_owned(), generation.into());
        let required = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
        let field = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
        set(&mut pod, &required, json!({"nodeSelectorTerms": [{"matchFields": field}]}));
        pod
    }

    /// Whether a daemon should run on a node, and whether one that runs there may stay.
    fn fits(&self, node: &Object) -> (bool, bool) {
        let spec = at(&self.template, &["spec"]).unwrap_or(&Value::Null);
        let wanted = str_at(spec, &["nodeName"]);
        if !wanted.is_empty() && wanted != &*node.key.name {
            return (false, false);
        }
        let fields = NodeFields { name: &node.key.name, labels: &node.meta.labels };
        let selector = object::meta::string_map(at(spec, &["nodeSelector"]));
        let selected = selector.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value));
        let affinity = at(spec, &["affinity"]).and_then(NodeSelector::required_of);
        if !selected || !affinity.is_none_or(|affinity| affinity.matches(fields)) {
            return (false, false);
        }
        let tolerations = list_at(spec, &["tolerations"]).iter();
        let tolerations: Vec<Toleration> =
            tolerations.filter_map(|toleration| serde_json::from_value(toleration.clone()).ok()).collect();
        let taints = &node.view::<NodeView>().taints;
        let evicts = untolerated(taints, &tolerations, &[Effect::NoExecute]).is_some();
        let keeps_out = untolerated(taints, &tolerations, &[Effect::NoExecute, Effect::NoSchedule]).is_some();
        (!keeps_out, !evicts)
    }

    fn strategy(&self, key: &str, of: usize, round_up: bool) -> usize {
        let of = i64::try_from(of).unwrap_or(0);
        let value = at(self.set, &["spec", "updateStrategy", "rollingUpdate", key]);
        let number = value.map_or(0, |value| match value.as_str().and_then(|text| text.strip_suffix('%')) {
            Some(percent) => {
                let product = percent.parse::<i64>().unwrap_or(0).saturating_mul(of);
                if round_up { (product + 99) / 100 } else { product / 100 }
            }
            None => value.as_i64().unwrap_or(0),
        });
        usize::try_from(number).unwrap_or(0)
    }

    fn surge(&self, nodes: usize) -> usize {
        if str_at(self.set, &["spec", "updateStrategy", "type"]) == "OnDelete" {
            return 0;
        }
        self.strategy("maxSurge", nodes, true)
    }

    fn is_new(&self, pod: &Object) -> bool {
        pod.meta.labels.get(REVISION).is_some_and(|hash| *hash == self.hash)
    }

    /// Of a node's daemons, oldest first, those that are too many. With surge, one of an older template may stay beside one of
    /// the newest until that is available.
    fn surplus<'p>(&self, here: &'p [Arc<Object>], surges: bool, now: Time) -> Vec<&'p Arc<Object>> {
        if !surges || here.len() < 2 {
            return here.iter().skip(1).collect();
        }
        let new = here.iter().find(|pod| self.is_new(pod));
        let old = here.iter().find(|pod| !self.is_new(pod));
        let stays = |pod: &Arc<Object>| [new, old].into_iter().flatten().any(|kept| Arc::ptr_eq(kept, pod));
        let mut surplus: Vec<&Arc<Object>> = here.iter().filter(|pod| !stays(pod)).collect();
        if let (Some(new), Some(old)) = (new, old)
            && (!old.view::<PodView>().ready || new.view::<PodView>().is_available(self.min_ready(), now))
        {
            surplus.push(old);
        }
        surplus
    }

    fn min_ready(&self) -> i64 {
        i64_at(self.set, &["spec", "minReadySeconds"]).unwrap_or(0)
    }

    /// Replaces daemons of older templates, within the bounds of the strategy.
    fn roll(&mut self, cx: &mut Context<'_>, nodes: &[Arc<Object>]) -> Result<()> {
        if str_at(self.set, &["spec", "updateStrategy", "type"]) == "OnDelete" {
            return Ok(());
        }
        let wanted: Vec<&Arc<Object>> = nodes.iter().filter(|node| self.fits(node).0).collect();
        let surge = self.surge(wanted.len());
        let most = self.strategy("maxUnavailable", wanted.len(), true).max(usize::from(surge == 0));
        let min_ready = self.min_ready();
        let available = |pod: &Arc<Object>, now| pod.view::<PodView>().is_available(min_ready, now);
        let (mut unavailable, mut surging, mut old_nodes) = (0, 0, Vec::new());
        for node in &wanted {
            let here = self.on_node.get(&*node.key.name).map(Vec::as_slice).unwrap_or_default();
            let lives: Vec<Arc<Object>> = here.iter().filter(|pod| pod.meta.deletion_timestamp.is_none()).cloned().collect();
            let olds = lives.iter().filter(|pod| !self.is_new(pod)).count();
            if olds > 1 || lives.len() - olds > 1 {
                // First `manage` clears away what is too many there.
                surging += 1;
                continue;
            }
            let new = lives.iter().find(|pod| self.is_new(pod)).cloned();
            let old = lives.iter().find(|pod| !self.is_new(pod)).cloned();
            if !lives.iter().any(|pod| available(pod, cx.now)) {
                unavailable += 1;
            }
            surging += usize::from(new.is_some() && old.is_some());
            if let Some(old) = old {
                old_nodes.push((node.key.name.to_string(), old, new));
            }
        }
        for (node, old, new) in old_nodes {
            if surge > 0 {
                match new {
                    // `manage` deletes the older one in time.
                    Some(_) => {}
                    None if surging < surge || !available(&old, cx.now) => {
                        pod_control::create(cx, self.set, self.new_pod(&node))?;
                        surging += 1;
                    }
                    None => {}
                }
            } else if !available(&old, cx.now) {
                pod_control::delete(cx, self.set, &old)?;
            } else if unavailable < most {
                pod_control::delete(cx, self.set, &old)?;
                unavailable += 1;
            }
        }
        Ok(())
    }

    fn status(&self, cx: &mut Context<'_>, nodes: &[Arc<Object>]) -> Value {
        let min_ready = self.min_ready();
        let (mut desired, mut current, mut misplaced, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
        for node in nodes {
            let here = self.on_node.get(&*node.key.name).map(Vec::as_slice).unwrap_or_default();
            let runs = !here.is_empty();
            if !self.fits(node).0 {
                misplaced += usize::from(runs);
                continue;
            }
            desired += 1;
            current += usize::from(runs);
            // The oldest that is not on its way out counts.
            let mut here: Vec<&Arc<Object>> = here.iter().collect();
            here.order_by_key(|pod| (pod.meta.creation_timestamp, pod.key.name.clone()));
            let Some(pod) = here.iter().find(|pod| pod.meta.deletion_timestamp.is_none()).or(here.first()) else { continue };
            let view = pod.view::<PodView>();
            ready += usize::from(view.ready);
            if view.is_available(min_ready, cx.now) {
                available += 1;
            } else if let Some(at) = view.available_at(min_ready) {
                cx.queue.add_at(self.key.clone(), at);
            }
            updated += usize::from(self.is_new(pod));
        }
        let mut status = json!({
            "currentNumberScheduled": current, "numberMisscheduled": misplaced, "desiredNumberScheduled": desired,
            "numberReady": ready, "observedGeneration": i64_at(self.set, &["metadata", "generation"]).unwrap_or(0),
            "updatedNumberScheduled": updated, "numberAvailable": available, "numberUnavailable": desired - available,
        });
        for kept in ["collisionCount", "conditions"] {
            if let Some(value) = at(self.set, &["status", kept]) {
                status[kept] = value.clone();
            }
        }
        if let Some(map) = status.as_object_mut() {
            let optional = ["updatedNumberScheduled", "numberAvailable", "numberUnavailable"];
            map.retain(|key, value| !optional.contains(&key.as_str()) || *value != 0);
        }
        status
    }
}
