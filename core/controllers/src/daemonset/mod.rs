//! DaemonSet: one pod on every node that fits.
//!
//! [`rolling`] replaces pods of older templates.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/>

mod rolling;

use object::order::Order as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use object::events::EventType;
use object::scheduling::{Effect, MatchNode, NodeFields, NodeSelector, Taint, Toleration, untolerated};
use object::value::{at, i64_at, list_at, object_at, set, str_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Object, Store, View};

use crate::context::Context;
use crate::history::{History, Naming, name_of};
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, Kind, pods};
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
    GroupResource::literal("", "nodes")
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

/// So many pods are made or deleted in one reconciliation.
const BURST: usize = 250;
/// So long, for each of many nodes, a set waits until it looks at changes again.
const MICROS_PER_NODE: u64 = 20;
/// Sets on so few nodes need not wait.
const FEW: usize = 100;

/// Runs DaemonSets.
#[derive(Default)]
pub struct DaemonSetController {
    /// How often daemons of a set and template have failed on a node, and when the next may be replaced.
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
            let generation = |object: &Option<Arc<Object>>| object.as_ref().map(|object| object.meta.generation);
            match generation(&event.old) == generation(&event.new) {
                true => queue.add(key.clone()),
                false => queue.add_now(key.clone()),
            }
            if let (Some(gone), None) = (&event.old, &event.new) {
                self.failures.retain(|(set, _), _| !set.starts_with(&gone.meta.uid));
            }
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
        let Some(object) = cx.get(key).filter(|object| object.meta.deletion_timestamp.is_none()) else { return Ok(()) };
        let set = object.value();
        let claimed = DAEMON_SET.claim(cx, &object, |_| true)?;
        let mut history = History::of(cx, &DAEMON_SET, &object)?;
        let before = i64_at(&set, &["status", "collisionCount"]).unwrap_or(0);
        let mut collisions = before;
        let revision = match history.current(cx, (&DAEMON_SET, Naming::Template), &set, &mut collisions) {
            Err(error) if collisions != before => {
                let mut status = at(&set, &["status"]).cloned().unwrap_or_else(|| json!({}));
                status["collisionCount"] = collisions.into();
                pod_control::write_status(cx, &DAEMON_SET, key, &set, status)?;
                return Err(error);
            }
            other => other?,
        };
        let name = name_of(&revision);
        let hash = name.strip_prefix(&format!("{}-", key.name)).unwrap_or(name).to_owned();
        let nodes: Vec<Arc<Object>> = cx.store().list(&nodes(), None).cloned().collect();
        if nodes.len() > FEW {
            cx.queue.hold(key.clone(), object::Time(cx.now.0 + nodes.len() as u64 * MICROS_PER_NODE));
        }
        let mut work = Work::new(key, &set, hash, &nodes);
        for pod in claimed {
            work.on_node.entry(pod.view::<Target>().0.clone()).or_default().push(pod);
        }
        let uid = format!("{}/{}", object.meta.uid, object.meta.generation);
        // What is under way already is waited for before more is changed.
        let done = match self.manage(cx, &work, &uid) {
            Ok(false) => work.roll(cx),
            other => other.map(drop),
        };
        let label = |pod: &Arc<Object>| pod.meta.labels.get(REVISION).cloned().unwrap_or_default();
        let used: Vec<String> = work.on_node.values().flatten().map(label).collect();
        let is_used = |revision: &str| used.iter().any(|hash| revision == format!("{}-{hash}", key.name));
        let tidied = history.truncate_old(cx, &set, is_used);
        work.reread(cx);
        let status = work.status(cx);
        pod_control::write_status(cx, &DAEMON_SET, key, &set, status)?;
        done.and(tidied)
    }
}

/// What a node is to a set.
#[derive(Clone, Copy, Default)]
struct Fit {
    /// A daemon should run there.
    runs: bool,
    /// One that runs there may stay.
    stays: bool,
}

/// A set, its pods by their nodes, and its newest template.
struct Work<'a> {
    key: &'a Key,
    set: &'a Value,
    hash: String,
    /// The pod of the template with the tolerations that all daemons have.
    template: Value,
    nodes: BTreeMap<&'a str, Fit>,
    on_node: BTreeMap<String, Vec<Arc<Object>>>,
    min_ready: i64,
}

fn lives(pod: &Object) -> bool {
    pod.meta.deletion_timestamp.is_none()
}

/// Oldest first, and before all others those that have a node.
fn by_age(pods: &mut [Arc<Object>]) {
    pods.order_by_key(|pod| (pod.view::<PodView>().node.is_empty(), pod.meta.creation_timestamp, pod.key.name.clone()));
}

impl DaemonSetController {
    /// Makes daemons where they are missing, and deletes those that are too many, have ended or are out of place. Whether
    /// there was anything to do.
    fn manage(&mut self, cx: &mut Context<'_>, work: &Work<'_>, uid: &str) -> Result<bool> {
        let (mut missing, mut surplus) = (Vec::new(), Vec::new());
        let nobody = Vec::new();
        for (node, fit) in &work.nodes {
            // One that has ended and is being deleted does not keep its place.
            let here = work.on_node.get(*node).unwrap_or(&nobody).iter();
            let here: Vec<&Arc<Object>> = here.filter(|pod| lives(pod) || !pod.view::<PodView>().is_terminal()).collect();
            if here.is_empty() {
                if fit.runs {
                    missing.push((*node).to_owned());
                }
            } else if !fit.stays {
                surplus.extend(here.into_iter().filter(|pod| lives(pod)).cloned());
            } else {
                let here: Vec<Arc<Object>> = here.into_iter().filter(|pod| lives(pod)).cloned().collect();
                surplus.extend(self.ended(cx, work, (uid, node), here));
            }
        }
        // Those that wait for a node that is no more.
        let lost = work.on_node.iter().filter(|(node, _)| !work.nodes.contains_key(node.as_str())).flat_map(|(_, pods)| pods);
        surplus.extend(lost.filter(|pod| pod.view::<PodView>().node.is_empty() && lives(pod)).cloned());
        let busy = !missing.is_empty() || !surplus.is_empty();
        work.sync(cx, &surplus, &missing)?;
        Ok(busy)
    }

    /// Which of the daemons on a node have to go, because they have ended or are too many.
    fn ended(
        &mut self,
        cx: &mut Context<'_>,
        work: &Work<'_>,
        (uid, node): (&str, &str),
        here: Vec<Arc<Object>>,
    ) -> Vec<Arc<Object>> {
        let (mut out, mut good) = (Vec::new(), Vec::new());
        for pod in here {
            let (namespace, name) = (&pod.key.namespace, &pod.key.name);
            match pod.view::<PodView>().phase.as_str() {
                "Failed" => {
                    let known = self.failures.entry((uid.to_owned(), node.to_owned())).or_insert((0, cx.now));
                    if known.1 > cx.now {
                        cx.queue.add_at(work.key.clone(), known.1);
                        continue;
                    }
                    let delay = FAILED_SECONDS.saturating_mul(1 << known.0.min(12)).min(MAX_FAILED_SECONDS);
                    *known = (known.0.saturating_add(1), cx.now.plus_secs(delay));
                    let message = format!("Found failed daemon pod {namespace}/{name} on node {node}, will try to kill it");
                    cx.event(work.set, EventType::Warning, "FailedDaemonPod", &message);
                    out.push(pod);
                }
                "Succeeded" => {
                    let message = format!("Found succeeded daemon pod {namespace}/{name} on node {node}, will try to delete it");
                    cx.event(work.set, EventType::Normal, "SucceededDaemonPod", &message);
                    out.push(pod);
                }
                _ => good.push(pod),
            }
        }
        if good.len() > 1 {
            by_age(&mut good);
            out.extend(work.too_many(cx, good));
        }
        out
    }
}

impl<'a> Work<'a> {
    fn new(key: &'a Key, set: &'a Value, hash: String, nodes: &'a [Arc<Object>]) -> Self {
        let template = template(set);
        let min_ready = i64_at(set, &["spec", "minReadySeconds"]).unwrap_or(0);
        let tolerations = list_at(&template, &["spec", "tolerations"]).iter();
        let tolerations: Vec<Toleration> = tolerations.filter_map(|t| serde_json::from_value(t.clone()).ok()).collect();
        let nodes = nodes.iter().map(|node| (&*node.key.name, fit(&template, &tolerations, node))).collect();
        Work { key, set, hash, template, nodes, on_node: BTreeMap::new(), min_ready }
    }

    fn new_pod(&self, node: &str) -> Value {
        let mut pod = self.template.clone();
        let labels = object_at(&mut pod, &["metadata", "labels"]);
        labels.insert(REVISION.to_owned(), self.hash.as_str().into());
        if let Some(generation) = self.generation() {
            labels.insert(GENERATION.to_owned(), generation.into());
        }
        let required = ["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
        let field = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
        set(&mut pod, &required, json!({"nodeSelectorTerms": [{"matchFields": field}]}));
        pod
    }

    fn generation(&self) -> Option<&str> {
        object::meta::annotation(self.set, "deprecated.daemonset.template.generation").filter(|text| text.parse::<i64>().is_ok())
    }

    /// Whether a pod is of the newest template.
    fn is_new(&self, pod: &Object) -> bool {
        let label = |key: &str| pod.meta.labels.get(key).map(String::as_str);
        label(REVISION) == Some(&self.hash) || self.generation().is_some_and(|generation| label(GENERATION) == Some(generation))
    }

    fn is_available(&self, cx: &Context<'_>, pod: &Object) -> bool {
        pod.view::<PodView>().is_available(self.min_ready, cx.now)
    }

    /// Deletes and makes pods, as many as one reconciliation may.
    fn sync(&self, cx: &mut Context<'_>, surplus: &[Arc<Object>], missing: &[String]) -> Result<()> {
        let count = missing.len().min(BURST);
        let made = pod_control::slow_start(count, &mut |i| {
            let node = missing.get(i).map(String::as_str).unwrap_or_default();
            pod_control::create(cx, self.set, self.new_pod(node)).map(|made| made.is_some())
        });
        let deleted = pod_control::delete_all(cx, self.set, surplus.iter().take(BURST));
        if missing.len() > BURST || surplus.len() > BURST {
            cx.queue.add_now(self.key.clone());
        }
        made.1.and(deleted)
    }

    /// The pods as they are after what was done; those made just now are counted at the next look.
    fn reread(&mut self, cx: &Context<'_>) {
        for pods in self.on_node.values_mut() {
            *pods = pods.iter().filter_map(|pod| cx.get(&pod.key)).collect();
        }
        self.on_node.retain(|_, pods| !pods.is_empty());
    }

    fn status(&self, cx: &mut Context<'_>) -> Value {
        let (mut desired, mut current, mut misplaced, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
        for (node, fit) in &self.nodes {
            let mut here = self.on_node.get(*node).cloned().unwrap_or_default();
            if !fit.runs {
                misplaced += usize::from(!here.is_empty());
                continue;
            }
            desired += 1;
            by_age(&mut here);
            let Some(pod) = here.first() else { continue };
            current += 1;
            let view = pod.view::<PodView>();
            ready += usize::from(view.ready);
            if view.is_available(self.min_ready, cx.now) {
                available += 1;
            } else if let Some(at) = view.available_at(self.min_ready) {
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

/// The pod of a set's template, with the tolerations of a daemon.
fn template(set_object: &Value) -> Value {
    let template = at(set_object, &["spec", "template"]).cloned().unwrap_or_default();
    let mut pod = DAEMON_SET.pod_from(set_object, &template);
    let mut tolerations = list_at(&pod, &["spec", "tolerations"]).to_vec();
    let host_network = at(&pod, &["spec", "hostNetwork"]) == Some(&Value::Bool(true));
    let more = host_network.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    for (key, effect) in TOLERATED.iter().copied().chain(more) {
        let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
        let alike = |known: &Value| {
            ["key", "operator", "effect"].iter().all(|part| known.get(part) == toleration.get(part))
                && str_at(known, &["value"]).is_empty()
        };
        // One for some time only becomes one for ever.
        match tolerations.iter().position(alike) {
            Some(place) => tolerations[place] = toleration,
            None => tolerations.push(toleration),
        }
    }
    set(&mut pod, &["spec", "tolerations"], tolerations);
    pod
}

/// Whether a daemon should run on a node, and whether one that runs there may stay.
fn fit(template: &Value, tolerations: &[Toleration], node: &Object) -> Fit {
    let spec = at(template, &["spec"]).unwrap_or(&Value::Null);
    let wanted = str_at(spec, &["nodeName"]);
    if !wanted.is_empty() && wanted != &*node.key.name {
        return Fit::default();
    }
    let fields = NodeFields { name: &node.key.name, labels: &node.meta.labels };
    let selector = object::meta::string_map(at(spec, &["nodeSelector"]));
    let selected = selector.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value));
    let affinity = at(spec, &["affinity"]).and_then(NodeSelector::required_of);
    if !selected || !affinity.is_none_or(|affinity| affinity.matches(fields)) {
        return Fit::default();
    }
    let taints = &node.view::<NodeView>().taints;
    let evicts = untolerated(taints, tolerations, &[Effect::NoExecute]).is_some();
    let keeps_out = untolerated(taints, tolerations, &[Effect::NoExecute, Effect::NoSchedule]).is_some();
    Fit { runs: !keeps_out, stays: !evicts }
}
