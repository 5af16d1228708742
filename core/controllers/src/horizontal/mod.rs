//! HorizontalPodAutoscalers: as many replicas as their metrics ask for, within their bounds and as fast as their behaviour allows.
//!
//! [`metrics`] asks the metrics APIs, [`proposal`] turns what they say into a number, [`behavior`] keeps that within bounds.
//!
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>

mod behavior;
mod metrics;
mod proposal;

use std::collections::BTreeMap;

use apiserver::gvr;
use object::events::EventType;
use object::selector::LabelSelector;
use object::value::{at, i64_at, list_at, set, str_at};
use object::{ApiError, GroupResource, GroupVersion, GroupVersionResource, Result, Time, Value, json};
use store::{Event, Key, Store};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;
use behavior::History;
use proposal::{Current, Fault};

/// How often each is looked at.
const PERIOD_SECONDS: u64 = 15;

/// How soon a metric that has just been asked for is looked at.
const ASKED_MILLIS: u64 = 250;

/// Scales what is to be scaled.
#[derive(Default)]
pub struct HorizontalController {
    histories: BTreeMap<Key, History>,
}

fn autoscalers() -> GroupResource {
    GroupResource::literal("autoscaling", "horizontalpodautoscalers")
}

impl Controller for HorizontalController {
    fn name(&self) -> &'static str {
        "horizontal-pod-autoscaler"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource != autoscalers() {
            return;
        }
        match (&event.old, &event.new) {
            (_, None) => drop(self.histories.remove(key)),
            // Its own status does not make it look again.
            (Some(old), Some(new)) if old.value().get("spec") == new.value().get("spec") => {}
            _ => queue.add(key.clone()),
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key).filter(|stored| stored.meta.deletion_timestamp.is_none()) else { return Ok(()) };
        let autoscaler = stored.value();
        let history = self.histories.entry(key.clone()).or_default();
        let mut pass = Pass { cx, history, status: autoscaler.get("status").cloned().unwrap_or_else(|| json!({})), autoscaler };
        let done = pass.run();
        let Pass { autoscaler, status, .. } = pass;
        let now = cx.now;
        match done {
            // What a metrics API says comes a moment later.
            Err(waiting) if waiting.is_pending() => cx.queue.add_at(key.clone(), now.plus_millis(ASKED_MILLIS)),
            Err(error) => return Err(error),
            Ok(said) => {
                cx.queue.add_at(key.clone(), now.plus_secs(PERIOD_SECONDS));
                if autoscaler.get("status") != Some(&status) {
                    let mut new = autoscaler.clone();
                    set(&mut new, &["status"], status);
                    let resource = gvr("autoscaling", "v2", "horizontalpodautoscalers");
                    cx.client().update_status(&resource, &key.namespace, &key.name, new)?;
                }
                for (kind, reason, message) in said {
                    cx.event(&autoscaler, kind, reason, &message);
                }
            }
        }
        Ok(())
    }
}

/// Events, in their order.
type Said = Vec<(EventType, &'static str, String)>;

/// One look at one autoscaler.
struct Pass<'a, 'c> {
    cx: &'a mut Context<'c>,
    history: &'a mut History,
    autoscaler: Value,
    /// The status to be.
    status: Value,
}

impl Pass<'_, '_> {
    fn run(&mut self) -> Result<Said> {
        let mut said = Said::new();
        let (target, scale) = match self.scale() {
            Ok(found) => found,
            Err(why) if why.is_pending() => return Err(why),
            Err(why) => {
                let message = format!("the HPA controller was unable to get the target's current scale: {}", why.message);
                self.condition("AbleToScale", false, "FailedGetScale", &message);
                said.push((EventType::Warning, "FailedGetScale", why.message.clone()));
                return Ok(said);
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        self.condition("AbleToScale", true, "SucceededGetScale", message);
        let current = i64_at(&scale, &["spec", "replicas"]).unwrap_or(0);
        self.history.begin(self.cx.now, current);
        let (least, most) = self.bounds();
        let mut statuses = Vec::new();
        let (wanted, why) = if current == 0 && least != 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.condition("ScalingActive", false, "ScalingDisabled", message);
            (0, String::new())
        } else if current > most {
            (most, "Current number of replicas above Spec.MaxReplicas".to_owned())
        } else if current < least {
            (least, "Current number of replicas below Spec.MinReplicas".to_owned())
        } else {
            match self.asked_for(&scale, current, &mut statuses, &mut said)? {
                Some((wanted, metric)) => {
                    let why = match wanted.cmp(&current) {
                        std::cmp::Ordering::Greater => format!("{metric} above target"),
                        _ => "All metrics below target".to_owned(),
                    };
                    (self.normalize(current, wanted, least, most), why)
                }
                None => {
                    self.counts(current, None, statuses);
                    return Ok(said);
                }
            }
        };
        if wanted == current {
            self.counts(current, Some(current), statuses);
            return Ok(said);
        }
        match self.rescale(&target, scale, wanted) {
            Ok(()) => {
                let message = format!("the HPA controller was able to update the target scale to {wanted}");
                self.condition("AbleToScale", true, "SucceededRescale", &message);
                said.push((EventType::Normal, "SuccessfulRescale", format!("New size: {wanted}; reason: {why}")));
                let now = self.cx.now;
                self.history.scaled(now, &self.autoscaler, current, wanted);
                self.counts(current, Some(wanted), statuses);
                set(&mut self.status, &["lastScaleTime"], now.rfc3339());
            }
            Err(error) if error.is_pending() => return Err(error),
            Err(error) => {
                let error = &error.message;
                let told = format!("New size: {wanted}; reason: {why}; error: {error}");
                said.push((EventType::Warning, "FailedRescale", told));
                let message = format!("the HPA controller was unable to update the target scale: {error}");
                self.condition("AbleToScale", false, "FailedUpdateScale", &message);
                self.counts(current, None, statuses);
            }
        }
        Ok(said)
    }

    fn bounds(&self) -> (i64, i64) {
        let spec = |name: &str| i64_at(&self.autoscaler, &["spec", name]);
        (spec("minReplicas").unwrap_or(1), spec("maxReplicas").unwrap_or(1))
    }

    fn namespace(&self) -> String {
        str_at(&self.autoscaler, &["metadata", "namespace"]).to_owned()
    }

    /// What is to be scaled, and its Scale.
    fn scale(&mut self) -> Result<(GroupVersionResource, Value)> {
        let reference = |name: &str| str_at(&self.autoscaler, &["spec", "scaleTargetRef", name]).to_owned();
        let (version, kind, name) = (reference("apiVersion"), reference("kind"), reference("name"));
        let parsed = GroupVersion::parse(&version)
            .ok_or_else(|| ApiError::bad_request(format!("unexpected GroupVersion string: {version}")))?;
        let resource = self.cx.api.registry().kind(&parsed.kind(&kind)).map(|resource| resource.gvr.clone());
        let resource = resource
            .ok_or_else(|| ApiError::bad_request(format!("no matches for kind {kind:?} in group {:?}", &*parsed.group)))?;
        let namespace = self.namespace();
        let scale = self.cx.client().scale(&resource, &namespace, &name)?;
        Ok((resource, scale))
    }

    fn rescale(&mut self, target: &GroupVersionResource, mut scale: Value, replicas: i64) -> Result<()> {
        set(&mut scale, &["spec", "replicas"], replicas);
        let (namespace, name) = (self.namespace(), str_at(&self.autoscaler, &["spec", "scaleTargetRef", "name"]).to_owned());
        self.cx.client().update_scale(target, &namespace, &name, scale).map(drop)
    }

    /// The number that the metrics ask for, and the metric that asks for the most; `None` if they cannot be relied on.
    fn asked_for(
        &mut self,
        scale: &Value,
        replicas: i64,
        statuses: &mut Vec<Value>,
        said: &mut Said,
    ) -> Result<Option<(i64, String)>> {
        let text = str_at(scale, &["status", "selector"]);
        let selector = LabelSelector::parse(text).ok().filter(|_| !text.is_empty());
        let Some(selector) = selector else {
            let message = "the HPA target's scale is missing a selector";
            self.condition("ScalingActive", false, "InvalidSelector", message);
            said.push((EventType::Warning, "SelectorRequired", "selector is required".to_owned()));
            said.push((EventType::Warning, "FailedComputeMetricsReplicas", "selector is required".to_owned()));
            return Ok(None);
        };
        let current = Current {
            replicas,
            in_status: i64_at(scale, &["status", "replicas"]).unwrap_or(0),
            namespace: self.namespace(),
            selector,
            tolerance: behavior::tolerance(&self.autoscaler),
        };
        let specs = list_at(&self.autoscaler, &["spec", "metrics"]).to_vec();
        let mut best: Option<(i64, String)> = None;
        let mut faults: Vec<Fault> = Vec::new();
        let mut waiting = None;
        for spec in &specs {
            match proposal::of(self.cx, &current, spec) {
                Ok(found) => {
                    statuses.push(found.status);
                    if best.as_ref().is_none_or(|(most, _)| found.replicas > *most) {
                        best = Some((found.replicas, found.metric));
                    }
                }
                // The others are asked as well, so that all answers come at once.
                Err(Fault { error: Some(error), .. }) if error.is_pending() => waiting = Some(error),
                Err(fault) => {
                    statuses.push(json!({"type": ""}));
                    faults.push(fault);
                }
            }
        }
        if let Some(waiting) = waiting {
            return Err(waiting);
        }
        let (bad, all) = (faults.len(), specs.len());
        for fault in &faults {
            said.push((EventType::Warning, fault.reason, fault.cause.clone()));
        }
        let least_wanted = best.as_ref().map_or(0, |(wanted, _)| *wanted);
        if let Some(first) = faults.first()
            && (bad >= all || least_wanted < replicas)
        {
            let message = format!("the HPA was unable to compute the replica count: {}", first.cause);
            self.condition("ScalingActive", false, first.reason, &message);
            let message = format!("invalid metrics ({bad} invalid out of {all}), first error is: {}", first.message);
            said.push((EventType::Warning, "FailedComputeMetricsReplicas", message));
            return Ok(None);
        }
        let Some((wanted, metric)) = best else { return Ok(None) };
        let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
        self.condition("ScalingActive", true, "ValidMetricFound", &message);
        Ok(Some((wanted, metric)))
    }

    /// Keeps a number within what is allowed now, and says what held it back.
    fn normalize(&mut self, current: i64, wanted: i64, least: i64, most: i64) -> i64 {
        let limits = behavior::Limits { current, wanted, least, most };
        let verdict = self.history.normalize(self.cx.now, &self.autoscaler, limits);
        self.condition("AbleToScale", true, verdict.stabilized.0, verdict.stabilized.1);
        let (reason, message) = verdict.limited;
        self.condition("ScalingLimited", verdict.is_limited, reason, message);
        verdict.replicas
    }

    /// Writes the numbers into the status; without `desired` that one stays.
    fn counts(&mut self, current: i64, desired: Option<i64>, metrics: Vec<Value>) {
        let put = |status: &mut Value, name: &str, number: i64| match number {
            0 if name == "currentReplicas" => drop(object::value::remove(status, &[name])),
            number => set(status, &[name], number),
        };
        put(&mut self.status, "currentReplicas", current);
        if let Some(desired) = desired {
            put(&mut self.status, "desiredReplicas", desired);
        }
        set(&mut self.status, &["currentMetrics"], if metrics.is_empty() { Value::Null } else { metrics.into() });
    }

    fn condition(&mut self, kind: &str, is: bool, reason: &str, message: &str) {
        let status = if is { "True" } else { "False" };
        let mut conditions = list_at(&self.status, &["conditions"]).to_vec();
        let now: Time = self.cx.now;
        let mut condition =
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now.rfc3339()});
        match conditions.iter_mut().find(|known| str_at(known, &["type"]) == kind) {
            Some(known) => {
                if str_at(known, &["status"]) == status
                    && let Some(since) = at(known, &["lastTransitionTime"])
                {
                    condition["lastTransitionTime"] = since.clone();
                }
                *known = condition;
            }
            None => conditions.push(condition),
        }
        set(&mut self.status, &["conditions"], conditions);
    }
}
