//! StatefulSet: pods with names, and storage, of their own, started and stopped in order.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/>

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::{DeleteOptions, Preconditions, gvr};
use object::events::EventType;
use object::value::{at, i64_at, list_at, object_at, set, str_at};
use object::{GroupVersionResource, Result, Value, json};
use store::{Event, Key, Object, Store};

use crate::context::Context;
use crate::history::{self, History, name_of};
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::pod_control::{self, Kind, pods};
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
        let mut history = History::of(cx, &STATEFUL_SET, &set)?;
        let collisions = i64_at(&set, &["status", "collisionCount"]).unwrap_or(0);
        let update = history.current(cx, &STATEFUL_SET, &set, collisions)?;
        let current = history.named(str_at(&set, &["status", "currentRevision"])).unwrap_or(&update).clone();
        let mut work = Work::new(key, &set, claimed, current, update);
        let done = if object.meta.deletion_timestamp.is_none() { work.run(cx) } else { Ok(()) };
        let status = work.status(cx, collisions);
        pod_control::write_status(cx, &STATEFUL_SET, key, &set, status)?;
        done?;
        let used: Vec<&str> = work.all.iter().filter_map(|pod| pod.meta.labels.get(REVISION).map(String::as_str)).collect();
        let (current, update) = (name_of(&work.current), name_of(&work.update));
        history.truncate(cx, &set, |name| name == current || name == update || used.contains(&name))
    }
}

/// A set, its pods by their places, and its two revisions.
struct Work<'a> {
    key: &'a Key,
    set: &'a Value,
    start: i64,
    replicas: i64,
    all: Vec<Arc<Object>>,
    /// Pods by their ordinals.
    places: BTreeMap<i64, Arc<Object>>,
    current: Value,
    update: Value,
    min_ready: i64,
}

/// The ordinal in the name of a pod.
fn ordinal(set: &str, pod: &str) -> Option<i64> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok().filter(|n: &i64| *n >= 0)
}

impl<'a> Work<'a> {
    fn new(key: &'a Key, set: &'a Value, all: Vec<Arc<Object>>, current: Value, update: Value) -> Self {
        let number = |path: &[&str], or: i64| i64_at(set, path).unwrap_or(or);
        let places = all.iter().filter_map(|pod| Some((ordinal(&key.name, &pod.key.name)?, pod.clone()))).collect();
        Work {
            key,
            set,
            start: number(&["spec", "ordinals", "start"], 0),
            replicas: number(&["spec", "replicas"], 1),
            all,
            places,
            current,
            update,
            min_ready: number(&["spec", "minReadySeconds"], 0),
        }
    }

    fn is_ordered(&self) -> bool {
        str_at(self.set, &["spec", "podManagementPolicy"]) != "Parallel"
    }

    fn ordinals(&self) -> std::ops::Range<i64> {
        self.start..self.start.saturating_add(self.replicas)
    }

    fn is_rolling(&self) -> bool {
        str_at(self.set, &["spec", "updateStrategy", "type"]) != "OnDelete"
    }

    /// The first ordinal that an update reaches.
    fn partition(&self) -> i64 {
        i64_at(self.set, &["spec", "updateStrategy", "rollingUpdate", "partition"]).unwrap_or(0)
    }

    fn is_healthy(pod: &Object) -> bool {
        pod.view::<PodView>().phase == "Running" && pod.view::<PodView>().ready && pod.meta.deletion_timestamp.is_none()
    }

    /// One pass over all places; stops where an order has to be kept.
    fn run(&mut self, cx: &mut Context<'_>) -> Result<()> {
        for ordinal in self.ordinals() {
            if !self.fill(cx, ordinal)? {
                return Ok(());
            }
        }
        if !self.shrink(cx)? {
            return Ok(());
        }
        self.roll(cx)
    }

    /// Brings one place into order; false if those after it have to wait.
    fn fill(&mut self, cx: &mut Context<'_>, ordinal: i64) -> Result<bool> {
        let ordered = self.is_ordered();
        let Some(pod) = self.places.get(&ordinal).cloned() else {
            self.create(cx, ordinal)?;
            return Ok(!ordered);
        };
        if pod.view::<PodView>().is_terminal() && pod.meta.deletion_timestamp.is_none() {
            self.delete(cx, &pod)?;
            return Ok(!ordered);
        }
        if pod.meta.deletion_timestamp.is_some() {
            return Ok(!ordered);
        }
        if !Self::is_healthy(&pod) {
            return Ok(!ordered);
        }
        if !pod.view::<PodView>().is_available(self.min_ready, cx.now) {
            if let Some(at) = pod.view::<PodView>().available_at(self.min_ready) {
                cx.queue.add_at(self.key.clone(), at);
            }
            return Ok(!ordered);
        }
        Ok(true)
    }

    /// Takes away pods beyond the last place, the last first; false while one of them goes.
    fn shrink(&mut self, cx: &mut Context<'_>) -> Result<bool> {
        let wanted = self.ordinals();
        let condemned: Vec<Arc<Object>> =
            self.places.iter().rev().filter(|(n, _)| !wanted.contains(n)).map(|(_, pod)| pod.clone()).collect();
        let ordered = self.is_ordered();
        for pod in condemned {
            if pod.meta.deletion_timestamp.is_none() {
                self.let_claims_go(cx, &pod)?;
                self.delete(cx, &pod)?;
            }
            if ordered {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Replaces pods of older revisions, the last first, one at a time or as many as may be missing.
    fn roll(&mut self, cx: &mut Context<'_>) -> Result<()> {
        if !self.is_rolling() {
            return Ok(());
        }
        let update = name_of(&self.update).to_owned();
        let most = at(self.set, &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"]);
        let most = most.map_or(1, |most| scaled(most, self.replicas)).max(1);
        let unhealthy = |work: &Self, n: &i64| work.places.get(n).is_none_or(|pod| !Self::is_healthy(pod));
        let mut missing = i64::try_from(self.ordinals().filter(|n| unhealthy(self, n)).count()).unwrap_or(i64::MAX);
        let first = self.start.max(self.partition());
        for ordinal in self.ordinals().rev().take_while(|n| *n >= first) {
            let Some(pod) = self.places.get(&ordinal).cloned() else { return Ok(()) };
            let is_old = pod.meta.labels.get(REVISION).is_none_or(|revision| *revision != update);
            if is_old && pod.meta.deletion_timestamp.is_none() {
                let healthy = Self::is_healthy(&pod);
                if healthy && missing >= most {
                    return Ok(());
                }
                self.delete(cx, &pod)?;
                missing += i64::from(healthy);
                if missing >= most {
                    return Ok(());
                }
            } else if !Self::is_healthy(&pod) && most == 1 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The revision of which a new pod in this place is.
    fn revision_for(&self, ordinal: i64) -> &Value {
        let current_replicas = i64_at(self.set, &["status", "currentReplicas"]).unwrap_or(0);
        let has_partition = at(self.set, &["spec", "updateStrategy", "rollingUpdate", "partition"]).is_some();
        let bound = if has_partition { self.partition() } else { current_replicas };
        let is_old = self.is_rolling() && ordinal < self.start.saturating_add(bound);
        if is_old { &self.current } else { &self.update }
    }

    fn create(&mut self, cx: &mut Context<'_>, ordinal: i64) -> Result<()> {
        let (set_name, namespace) = (name_of(self.set).to_owned(), str_at(self.set, &["metadata", "namespace"]).to_owned());
        let name = format!("{set_name}-{ordinal}");
        let revision = self.revision_for(ordinal).clone();
        let mut pod = STATEFUL_SET.pod_from(self.set, &history::template_of(&revision));
        set(&mut pod, &["metadata", "name"], name.as_str());
        let labels = object_at(&mut pod, &["metadata", "labels"]);
        for (key, value) in [(POD_NAME, name.as_str()), (POD_INDEX, &ordinal.to_string()), (REVISION, name_of(&revision))] {
            labels.insert(key.to_owned(), value.into());
        }
        set(&mut pod, &["spec", "hostname"], name.as_str());
        set(&mut pod, &["spec", "subdomain"], str_at(self.set, &["spec", "serviceName"]));
        self.claims(cx, ordinal, &mut pod)?;
        match cx.client().create(&gvr("", "v1", "pods"), &namespace, pod) {
            Ok(_) => {
                let message = format!("create Pod {name} in StatefulSet {set_name} successful");
                cx.event(self.set, EventType::Normal, "SuccessfulCreate", &message);
            }
            Err(error) if error.is_pending() => return Err(error),
            Err(error) => {
                let message = format!("create Pod {name} in StatefulSet {set_name} failed error: {error}");
                cx.event(self.set, EventType::Warning, "FailedCreate", &message);
                return Err(error);
            }
        }
        let made = cx.get(&Key::new(&pods(), &namespace, &name));
        self.places.extend(made.clone().map(|pod| (ordinal, pod)));
        self.all.extend(made);
        Ok(())
    }

    fn delete(&mut self, cx: &mut Context<'_>, pod: &Object) -> Result<()> {
        let options = DeleteOptions {
            preconditions: Preconditions { uid: Some(pod.meta.uid.clone()), resource_version: None },
            ..DeleteOptions::default()
        };
        let (name, set_name) = (pod.key.name.to_string(), name_of(self.set).to_owned());
        match cx.client().delete(&gvr("", "v1", "pods"), &pod.key.namespace, &name, &options) {
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            Err(error) if error.is_pending() => return Err(error),
            Err(error) => {
                let message = format!("delete Pod {name} in StatefulSet {set_name} failed error: {error}");
                cx.event(self.set, EventType::Warning, "FailedDelete", &message);
                return Err(error);
            }
            Ok(()) => {}
        }
        let message = format!("delete Pod {name} in StatefulSet {set_name} successful");
        cx.event(self.set, EventType::Normal, "SuccessfulDelete", &message);
        let there = cx.get(&pod.key);
        for known in self.all.iter_mut().chain(self.places.values_mut()).filter(|known| known.key == pod.key) {
            if let Some(now) = &there {
                *known = now.clone();
            }
        }
        if there.is_none() {
            self.all.retain(|known| known.key != pod.key);
            self.places.retain(|_, known| known.key != pod.key);
        }
        Ok(())
    }

    /// Makes the claims of a place and mounts them; what the template has under the same names gives way.
    fn claims(&self, cx: &mut Context<'_>, ordinal: i64, pod: &mut Value) -> Result<()> {
        let set_name = name_of(self.set);
        let templates = list_at(self.set, &["spec", "volumeClaimTemplates"]);
        if templates.is_empty() {
            return Ok(());
        }
        let mut volumes = list_at(pod, &["spec", "volumes"]).to_vec();
        for template in templates {
            let volume = name_of(template);
            let name = format!("{volume}-{set_name}-{ordinal}");
            self.make_claim(cx, template, &name, ordinal)?;
            volumes.retain(|known| str_at(known, &["name"]) != volume);
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": name}}));
        }
        set(pod, &["spec", "volumes"], volumes);
        Ok(())
    }

    fn make_claim(&self, cx: &mut Context<'_>, template: &Value, name: &str, ordinal: i64) -> Result<()> {
        let namespace = str_at(self.set, &["metadata", "namespace"]).to_owned();
        if cx.get(&Key::new(&claims().group_resource(), &namespace, name)).is_some() {
            return Ok(());
        }
        let mut metadata = at(template, &["metadata"]).cloned().unwrap_or_else(|| json!({}));
        set(&mut metadata, &["name"], name);
        for (key, value) in at(self.set, &["spec", "selector", "matchLabels"]).and_then(Value::as_object).into_iter().flatten() {
            object_at(&mut metadata, &["labels"]).insert(key.clone(), value.clone());
        }
        if str_at(self.set, &["spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"]) == "Delete" {
            set(&mut metadata, &["ownerReferences"], json!([STATEFUL_SET.reference(self.set)]));
        }
        let spec = template.get("spec").cloned().unwrap_or_default();
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec});
        let of = format!("Claim {name} Pod {0}-{ordinal} in StatefulSet {0}", name_of(self.set));
        match cx.client().create(&claims(), &namespace, claim) {
            Ok(_) => cx.event(self.set, EventType::Normal, "SuccessfulCreate", &format!("create {of} success")),
            Err(error) if error.is_pending() => return Err(error),
            Err(error) => {
                cx.event(self.set, EventType::Warning, "FailedCreate", &format!("create {of} failed error: {error}"));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Storage that is not to outlive its pod goes with it.
    fn let_claims_go(&self, cx: &mut Context<'_>, pod: &Object) -> Result<()> {
        if str_at(self.set, &["spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"]) != "Delete" {
            return Ok(());
        }
        let Some(ordinal) = ordinal(name_of(self.set), &pod.key.name) else { return Ok(()) };
        for template in list_at(self.set, &["spec", "volumeClaimTemplates"]) {
            let name = format!("{}-{}-{ordinal}", name_of(template), name_of(self.set));
            let Some(claim) = cx.get(&Key::new(&claims().group_resource(), &pod.key.namespace, &name)) else { continue };
            if claim.meta.owner_references.iter().any(|owner| owner.uid == pod.meta.uid) {
                continue;
            }
            let mut claim = claim.value();
            let mut owners = list_at(&claim, &["metadata", "ownerReferences"]).to_vec();
            owners.push(json!({"apiVersion": "v1", "kind": "Pod", "name": &*pod.key.name, "uid": pod.meta.uid}));
            set(&mut claim, &["metadata", "ownerReferences"], owners);
            match cx.client().update(&claims(), &pod.key.namespace, &name, claim) {
                Err(error) if error.is_not_found() => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    fn status(&mut self, cx: &mut Context<'_>, collisions: i64) -> Value {
        let (current, update) = (name_of(&self.current).to_owned(), name_of(&self.update).to_owned());
        let count = |wanted: &dyn Fn(&Arc<Object>) -> bool| self.all.iter().filter(|pod| wanted(pod)).count();
        let of = |pod: &Arc<Object>, revision: &str| pod.meta.labels.get(REVISION).is_some_and(|label| label == revision);
        let lives = |pod: &Arc<Object>| pod.meta.deletion_timestamp.is_none();
        let ready = |pod: &Arc<Object>| pod.view::<PodView>().phase == "Running" && pod.view::<PodView>().ready;
        let available = |pod: &Arc<Object>| ready(pod) && pod.view::<PodView>().is_available(self.min_ready, cx.now);
        let replicas = count(&|_| true);
        let mut now_current = current.clone();
        let updated = count(&|pod| lives(pod) && of(pod, &update));
        let ready = count(&ready);
        let wanted = usize::try_from(self.replicas).unwrap_or(0);
        let mut current_replicas = count(&|pod| lives(pod) && of(pod, &current));
        // When all are updated and ready, the update is what is current.
        if self.is_rolling() && updated == wanted && ready == wanted && replicas == wanted {
            now_current.clone_from(&update);
            current_replicas = updated;
        }
        let mut status = json!({
            "observedGeneration": i64_at(self.set, &["metadata", "generation"]).unwrap_or(0), "replicas": replicas,
            "readyReplicas": ready, "currentReplicas": current_replicas, "updatedReplicas": updated,
            "availableReplicas": count(&available), "currentRevision": now_current, "updateRevision": update,
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

fn claims() -> GroupVersionResource {
    gvr("", "v1", "persistentvolumeclaims")
}

/// A number, or a part of `of` in percent.
fn scaled(value: &Value, of: i64) -> i64 {
    match value.as_str().and_then(|text| text.strip_suffix('%')) {
        Some(percent) => percent.parse::<i64>().unwrap_or(0).saturating_mul(of) / 100,
        None => value.as_i64().unwrap_or(0),
    }
}
