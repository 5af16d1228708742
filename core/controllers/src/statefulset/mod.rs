//! StatefulSet: pods with names, and storage, of their own, started and stopped in order.
//!
//! [`claims`] gives the pods their storage.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>

mod claims;

use object::order::Order as _;
use std::sync::Arc;

use apiserver::{DeleteOptions, Preconditions, gvr};
use object::events::EventType;
use object::value::{at, i64_at, object_at, set, str_at};
use object::{Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::history::{self, History, Naming, name_of};
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, Kind, ordinal, pods};
use crate::queue::WorkQueue;

const STATEFUL_SET: Kind = Kind { numbered: true, ..Kind::new("apps", "v1", "statefulsets", "StatefulSet") };

const REVISION: &str = "controller-revision-hash";
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// Runs StatefulSets.
pub struct StatefulSetController;

impl Controller for StatefulSetController {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == STATEFUL_SET.resource() {
            queue.add(key.clone());
        } else if key.resource == pods() {
            STATEFUL_SET.pod_changed(store, event, queue);
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(object) = cx.get(key) else { return Ok(()) };
        let set = object.value();
        let claimed = STATEFUL_SET.claim(cx, &object, |_| true)?;
        let mut history = History::of(cx, &STATEFUL_SET, &object)?;
        let mut collisions = i64_at(&set, &["status", "collisionCount"]).unwrap_or(0);
        let update = history.current(cx, (&STATEFUL_SET, Naming::Data), &set, &mut collisions)?;
        let current = history.named(str_at(&set, &["status", "currentRevision"])).unwrap_or(&update).clone();
        let mut work = Work::new(key, &set, claimed, current, update);
        let done = if object.meta.deletion_timestamp.is_none() { work.run(cx) } else { Ok(()) };
        let status = work.status(cx, collisions);
        pod_control::write_status(cx, &STATEFUL_SET, key, &set, status)?;
        let used: Vec<&str> = work.all.iter().filter_map(|pod| pod.meta.labels.get(REVISION).map(String::as_str)).collect();
        let (current, update) = (name_of(&work.current), name_of(&work.update));
        let tidied = history.truncate(cx, &set, |name| name == current || name == update || used.contains(&name));
        done.and(tidied)
    }
}

/// A set, its pods by their places, and its two revisions.
struct Work<'a> {
    key: &'a Key,
    set: &'a Value,
    start: i64,
    all: Vec<Arc<Object>>,
    /// The pods that should be, by their places.
    replicas: Vec<Option<Arc<Object>>>,
    /// The pods that should not, the last first.
    condemned: Vec<Arc<Object>>,
    current: Value,
    update: Value,
    min_ready: i64,
    /// Whether places wait for each other.
    ordered: bool,
}

fn is_going(pod: &Object) -> bool {
    pod.meta.deletion_timestamp.is_some()
}

fn is_ready(pod: &Object) -> bool {
    pod.view::<PodView>().phase == "Running" && pod.view::<PodView>().ready
}

impl<'a> Work<'a> {
    fn new(key: &'a Key, set: &'a Value, all: Vec<Arc<Object>>, current: Value, update: Value) -> Self {
        let number = |path: &[&str], or: i64| i64_at(set, path).unwrap_or(or);
        let start = number(&["spec", "ordinals", "start"], 0);
        let count = usize::try_from(number(&["spec", "replicas"], 1)).unwrap_or(0);
        let (mut replicas, mut condemned) = (vec![None; count], Vec::new());
        for pod in &all {
            let Some(ordinal) = ordinal(&key.name, &pod.key.name) else { continue };
            let place = usize::try_from(ordinal - start).ok().and_then(|place| replicas.get_mut(place));
            match place {
                Some(place) => *place = Some(pod.clone()),
                None => condemned.push(pod.clone()),
            }
        }
        condemned.order_by_key(|pod: &Arc<Object>| std::cmp::Reverse(ordinal(&key.name, &pod.key.name)));
        let ordered = str_at(set, &["spec", "podManagementPolicy"]) != "Parallel";
        let min_ready = number(&["spec", "minReadySeconds"], 0);
        Work { key, set, start, all, replicas, condemned, current, update, min_ready, ordered }
    }

    fn is_rolling(&self) -> bool {
        str_at(self.set, &["spec", "updateStrategy", "type"]) != "OnDelete"
    }

    /// The first place that an update reaches, if the set says.
    fn partition(&self) -> Option<i64> {
        i64_at(self.set, &["spec", "updateStrategy", "rollingUpdate", "partition"])
    }

    /// Whether a pod has been ready for long enough. Asks to be woken when it will have been.
    fn is_available(&self, cx: &mut Context<'_>, pod: &Object) -> bool {
        if !is_ready(pod) {
            return false;
        }
        let view = pod.view::<PodView>();
        let available = view.is_available(self.min_ready, cx.now);
        if let Some(at) = view.available_at(self.min_ready).filter(|_| !available) {
            cx.queue.add_at(self.key.clone(), at);
        }
        available
    }

    fn is_unavailable(&self, cx: &mut Context<'_>, pod: &Object) -> bool {
        is_going(pod) || !self.is_available(cx, pod)
    }

    /// One pass over all places; stops where an order has to be kept.
    fn run(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let first_unavailable = self.first_unavailable(cx);
        if self.ordered {
            for place in 0..self.replicas.len() {
                if !self.fill(cx, place)? {
                    return Ok(());
                }
            }
        } else {
            pod_control::slow_start(self.replicas.len(), &mut |place| self.fill(cx, place).map(|_| true)).1?;
        }
        for pod in self.condemned.clone() {
            self.keep_claims(cx, &pod, true)?;
        }
        for pod in self.condemned.clone() {
            if !self.shrink(cx, &pod, first_unavailable.as_deref())? && self.ordered {
                return Ok(());
            }
        }
        if self.is_rolling() { self.roll(cx) } else { Ok(()) }
    }

    /// The name of the first pod that is missed: nothing is taken away while another than that is.
    fn first_unavailable(&self, cx: &mut Context<'_>) -> Option<String> {
        for (place, pod) in self.replicas.iter().enumerate() {
            match pod {
                None => return Some(self.pod_name(place)),
                Some(pod) if self.is_unavailable(cx, pod) => return Some(pod.key.name.to_string()),
                Some(_) => {}
            }
        }
        self.condemned.iter().rev().find(|pod| self.is_unavailable(cx, pod)).map(|pod| pod.key.name.to_string())
    }

    fn ordinal_at(&self, place: usize) -> i64 {
        self.start.saturating_add(i64::try_from(place).unwrap_or(i64::MAX))
    }

    fn pod_name(&self, place: usize) -> String {
        format!("{}-{}", self.key.name, self.ordinal_at(place))
    }

    /// Brings one place into order; false if those after it have to wait.
    fn fill(&mut self, cx: &mut Context<'_>, place: usize) -> Result<bool> {
        let Some(pod) = self.replicas.get(place).cloned().flatten() else {
            if !self.has_stale_claim(cx, &self.pod_name(place)) {
                self.create(cx, place)?;
            }
            return Ok(false);
        };
        let view = pod.view::<PodView>();
        if view.is_terminal() {
            if !is_going(&pod) {
                self.delete(cx, &pod)?;
            }
            return Ok(false);
        }
        if view.phase == "Pending" {
            self.make_claims(cx, &pod.key.name)?;
        }
        if self.ordered && self.is_unavailable(cx, &pod) {
            return Ok(false);
        }
        let known = pod.meta.labels.get(POD_NAME).is_some_and(|label| *label == *pod.key.name);
        if !known || !self.claims_match(cx, &pod, false) {
            self.set_right(cx, &pod)?;
        }
        Ok(true)
    }

    /// Gives a pod that somebody else made its labels, and its claims their owners.
    fn set_right(&mut self, cx: &mut Context<'_>, pod: &Object) -> Result<()> {
        self.keep_claims(cx, pod, false)?;
        let number = ordinal(&self.key.name, &pod.key.name).unwrap_or(0).to_string();
        let labels = json!({POD_NAME: &*pod.key.name, POD_INDEX: number});
        let done = pod_control::patch_pod(cx, pod, json!({"metadata": {"labels": labels}}));
        self.say(cx, "update", &pod.key.name, &done);
        done
    }

    /// Takes away one pod that should not be; false if others have to wait.
    fn shrink(&mut self, cx: &mut Context<'_>, pod: &Object, first_unavailable: Option<&str>) -> Result<bool> {
        if is_going(pod) {
            return Ok(false);
        }
        if self.ordered && !self.is_available(cx, pod) && first_unavailable != Some(&*pod.key.name) {
            return Ok(false);
        }
        self.delete(cx, pod)?;
        Ok(false)
    }

    /// Replaces pods of older revisions, the last first, one at a time.
    fn roll(&mut self, cx: &mut Context<'_>) -> Result<()> {
        let update = name_of(&self.update).to_owned();
        let first = usize::try_from(self.partition().unwrap_or(0)).unwrap_or(0);
        for place in (first..self.replicas.len()).rev() {
            let Some(pod) = self.replicas.get(place).cloned().flatten() else { return Ok(()) };
            let is_old = pod.meta.labels.get(REVISION).is_none_or(|revision| *revision != update);
            if is_old && !is_going(&pod) {
                return self.delete(cx, &pod);
            }
            if self.is_unavailable(cx, &pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The revision of which a new pod in this place is.
    fn revision_for(&self, place: usize) -> &Value {
        let current_replicas = i64_at(self.set, &["status", "currentReplicas"]).unwrap_or(0);
        let bound = self.partition().unwrap_or(current_replicas);
        let is_old = self.is_rolling() && usize::try_from(bound).is_ok_and(|bound| place < bound);
        if is_old { &self.current } else { &self.update }
    }

    fn create(&mut self, cx: &mut Context<'_>, place: usize) -> Result<()> {
        let namespace = self.key.namespace.to_string();
        let name = self.pod_name(place);
        let revision = self.revision_for(place).clone();
        let mut pod = STATEFUL_SET.pod_from(self.set, &history::template_of(&revision));
        set(&mut pod, &["metadata", "name"], name.as_str());
        let number = self.ordinal_at(place).to_string();
        let labels = object_at(&mut pod, &["metadata", "labels"]);
        for (key, value) in [(POD_NAME, name.as_str()), (POD_INDEX, &number), (REVISION, name_of(&revision))] {
            labels.insert(key.to_owned(), value.into());
        }
        set(&mut pod, &["spec", "hostname"], name.as_str());
        match str_at(self.set, &["spec", "serviceName"]) {
            "" => drop(object::value::remove(&mut pod, &["spec", "subdomain"])),
            service => set(&mut pod, &["spec", "subdomain"], service),
        }
        self.mount(&name, &mut pod);
        let mut done = self.make_claims(cx, &name);
        if done.is_ok() {
            done = match cx.client().create(&gvr("", "v1", "pods"), &namespace, pod) {
                Err(error) if error.is_already_exists() => return Err(error),
                other => other.map(drop),
            };
        }
        let made = cx.get(&Key::new(&pods(), &namespace, &name));
        if let Some(made) = made.filter(|_| done.is_ok()) {
            self.all.push(made.clone());
            if let Some(there) = self.replicas.get_mut(place) {
                *there = Some(made.clone());
            }
            done = self.keep_claims(cx, &made, false);
        }
        self.say(cx, "create", &name, &done);
        done
    }

    fn delete(&mut self, cx: &mut Context<'_>, pod: &Object) -> Result<()> {
        let options = DeleteOptions {
            preconditions: Preconditions { uid: Some(pod.meta.uid.clone()), resource_version: None },
            ..DeleteOptions::default()
        };
        let done = cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &pod.key.name, &options);
        if done.as_ref().is_err_and(|error| error.is_not_found() || error.is_conflict()) {
            return Ok(());
        }
        self.say(cx, "delete", &pod.key.name, &done);
        done?;
        let now = cx.get(&pod.key);
        self.all = self.all.drain(..).filter_map(|known| if known.key == pod.key { now.clone() } else { Some(known) }).collect();
        Ok(())
    }

    /// Tells how something went that was done to a pod.
    fn say(&self, cx: &mut Context<'_>, verb: &str, pod: &str, done: &Result<()>) {
        let of = format!("{verb} Pod {pod} in StatefulSet {}", self.key.name);
        let capital = match verb {
            "create" => "Create",
            "delete" => "Delete",
            _ => "Update",
        };
        match done {
            Ok(()) => cx.event(self.set, EventType::Normal, &format!("Successful{capital}"), &format!("{of} successful")),
            Err(error) if error.is_pending() => {}
            Err(error) => {
                cx.event(self.set, EventType::Warning, &format!("Failed{capital}"), &format!("{of} failed error: {error}"))
            }
        }
    }

    fn status(&mut self, cx: &mut Context<'_>, collisions: i64) -> Value {
        let (current, update) = (name_of(&self.current).to_owned(), name_of(&self.update).to_owned());
        let count = |wanted: &mut dyn FnMut(&Arc<Object>) -> bool| self.all.iter().filter(|pod| wanted(pod)).count();
        let of = |pod: &Arc<Object>, revision: &str| pod.meta.labels.get(REVISION).is_some_and(|label| label == revision);
        let replicas = self.all.len();
        let mut now_current = current.clone();
        let updated = count(&mut |pod| !is_going(pod) && of(pod, &update));
        let ready = count(&mut |pod| is_ready(pod));
        let available = count(&mut |pod| self.is_available(cx, pod));
        let mut current_replicas = count(&mut |pod| !is_going(pod) && of(pod, &current));
        // When all are updated and ready, the update is what is current.
        if self.is_rolling() && [updated, ready, replicas].iter().all(|number| *number == self.replicas.len()) {
            now_current.clone_from(&update);
            current_replicas = updated;
        }
        let mut status = json!({
            "observedGeneration": i64_at(self.set, &["metadata", "generation"]).unwrap_or(0), "replicas": replicas,
            "readyReplicas": ready, "currentReplicas": current_replicas, "updatedReplicas": updated,
            "availableReplicas": available, "currentRevision": now_current, "updateRevision": update,
            "collisionCount": collisions,
        });
        if let Some(conditions) = at(self.set, &["status", "conditions"]) {
            status["conditions"] = conditions.clone();
        }
        if let Some(map) = status.as_object_mut() {
            let kept = ["replicas", "availableReplicas", "collisionCount"];
            map.retain(|key, value| kept.contains(&key.as_str()) || *value != 0);
        }
        status
    }
}
