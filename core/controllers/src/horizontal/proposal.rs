//! From what a metric says to a number of replicas.
//!
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>

use std::collections::{BTreeMap, BTreeSet};

use object::quantity::Quantity;
use object::selector::LabelSelector;
use object::value::{at, i64_at, list_at, str_at};
use object::{ApiError, GroupResource, Time, Value, json};

use super::metrics::{self, Sample, Samples};
use crate::context::Context;

/// How long after its start a pod's cpu is that of a pod that starts.
const STARTING_SECONDS: u64 = 300;

/// How long after its start a pod that was not ready counts as never having been.
const FIRST_READY_SECONDS: u64 = 30;

/// What there is.
pub struct Current {
    /// How many replicas the Scale asks for...
    pub replicas: i64,
    /// ...and how many it says there are.
    pub in_status: i64,
    /// Where.
    pub namespace: String,
    /// Which pods.
    pub selector: LabelSelector,
    /// The ratios between which nothing changes.
    pub tolerance: (f64, f64),
}

/// What one metric asks for.
pub struct Proposal {
    /// So many.
    pub replicas: i64,
    /// What the metric is called in messages.
    pub metric: String,
    /// Its `currentMetrics` entry.
    pub status: Value,
}

/// Why a metric asks for nothing.
pub struct Fault {
    /// The reason of the condition and the event.
    pub reason: &'static str,
    /// What happened.
    pub cause: String,
    /// The same, as it stands in the sum of all metrics.
    pub message: String,
    /// What the API said; it may have to be asked again in a moment.
    pub error: Option<Box<ApiError>>,
}

type Result<T> = std::result::Result<T, Box<ApiError>>;

fn fault(text: impl Into<String>) -> Box<ApiError> {
    ApiError::bad_request(text)
}

/// What one entry of `spec.metrics` asks for.
pub fn of(cx: &mut Context<'_>, current: &Current, spec: &Value) -> std::result::Result<Proposal, Fault> {
    let kind = str_at(spec, &["type"]);
    let (field, reason, what) = match kind {
        "Resource" => ("resource", "FailedGetResourceMetric", format!("{} resource", str_at(spec, &["resource", "name"]))),
        "ContainerResource" => {
            let name = str_at(spec, &["containerResource", "name"]);
            ("containerResource", "FailedGetContainerResourceMetric", format!("{name} container"))
        }
        "Pods" => ("pods", "FailedGetPodsMetric", "pods".to_owned()),
        "Object" => ("object", "FailedGetObjectMetric", "object".to_owned()),
        "External" => {
            let name = str_at(spec, &["external", "metric", "name"]);
            ("external", "FailedGetExternalMetric", format!("{name} external"))
        }
        other => {
            let cause = format!("unknown metric source type {other:?}");
            return Err(Fault { reason: "InvalidMetricSourceType", message: cause.clone(), cause, error: None });
        }
    };
    let source = spec.get(field).cloned().unwrap_or_default();
    let found = match kind {
        "Resource" | "ContainerResource" => resource(cx, current, &source, kind == "ContainerResource"),
        "Pods" => pods(cx, current, &source),
        "Object" => object(cx, current, &source),
        _ => external(cx, current, &source),
    };
    match found {
        Ok((replicas, metric, mut shown)) => {
            for key in ["name", "container", "metric", "describedObject"] {
                if let Some(named) = source.get(key) {
                    shown[key] = named.clone();
                }
            }
            Ok(Proposal { replicas, metric, status: json!({"type": kind, field: shown}) })
        }
        Err(error) => {
            let cause = error.message.clone();
            let message = format!("failed to get {what} metric value: {cause}");
            Err(Fault { reason, cause, message, error: Some(error) })
        }
    }
}

/// Number of replicas, name of the metric, and `current` for the status.
type Found = Result<(i64, String, Value)>;

fn quantity(milli: i64) -> Value {
    Quantity::from_milli(milli).to_string().into()
}

fn target_milli(source: &Value, name: &str) -> Option<i64> {
    at(source, &["target", name]).and_then(Quantity::from_json).map(|quantity| quantity.milli_value())
}

fn resource(cx: &mut Context<'_>, current: &Current, source: &Value, of_container: bool) -> Found {
    let (name, container) = (str_at(source, &["name"]), str_at(source, &["container"]));
    let container = if of_container { container } else { "" };
    let average = target_milli(source, "averageValue");
    let utilization = i64_at(source, &["target", "averageUtilization"]);
    let what = if average.is_some() { "usage" } else { "utilization" };
    if average.is_none() && utilization.is_none() {
        let why =
            "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set";
        return Err(fault(why));
    }
    let doing = |error: Box<ApiError>| metrics::in_words(error, &format!("failed to get {name} {what}"));
    let samples = metrics::resource(cx, name, &current.namespace, &current.selector, container)
        .map_err(|error| metrics::in_words(error, &format!("unable to get metrics for resource {name}")))
        .map_err(doing)?;
    let pods = Pods::of(cx, current, samples, name == "cpu").map_err(doing)?;
    if let Some(target) = average {
        let (replicas, usage) = pods.by_value(current, target);
        return Ok((replicas, format!("{name} resource"), json!({"current": {"averageValue": quantity(usage)}})));
    }
    let requests = pods.requests(name, container).map_err(doing)?;
    let (replicas, percent, usage) = pods.by_utilization(current, &requests, utilization.unwrap_or(0)).map_err(doing)?;
    let kind = if of_container { "container resource" } else { "resource" };
    let metric = format!("{name} {kind} utilization (percentage of request)");
    Ok((replicas, metric, json!({"current": {"averageUtilization": percent, "averageValue": quantity(usage)}})))
}

fn pods(cx: &mut Context<'_>, current: &Current, source: &Value) -> Found {
    let metric = source.get("metric").cloned().unwrap_or_default();
    let name = str_at(&metric, &["name"]);
    let samples = metrics::pods(cx, &metric, &current.namespace, &current.selector)
        .map_err(|error| metrics::in_words(error, &format!("unable to get metric {name}")))?;
    let pods = Pods::of(cx, current, samples, false)?;
    let (replicas, usage) = pods.by_value(current, target_milli(source, "averageValue").unwrap_or(0));
    Ok((replicas, format!("pods metric {name}"), json!({"current": {"averageValue": quantity(usage)}})))
}

fn object(cx: &mut Context<'_>, current: &Current, source: &Value) -> Found {
    let metric = source.get("metric").cloned().unwrap_or_default();
    let described = source.get("describedObject").cloned().unwrap_or_default();
    let (kind, named) = (str_at(&described, &["kind"]), str_at(&described, &["name"]));
    let name = str_at(&metric, &["name"]);
    let usage = metrics::object(cx, &metric, &current.namespace, &described).map_err(|mut error| {
        if !error.is_pending() {
            let said = &error.message;
            error.message = format!("unable to get metric {name}: {kind} on {} {named}/{said}", current.namespace);
        }
        error
    })?;
    let (replicas, shown) = of_a_whole(cx, current, source, usage)?;
    Ok((replicas, format!("{kind} metric {name}"), shown))
}

fn external(cx: &mut Context<'_>, current: &Current, source: &Value) -> Found {
    let metric = source.get("metric").cloned().unwrap_or_default();
    let (name, selector) = (str_at(&metric, &["name"]), metric.get("selector").cloned().unwrap_or_default());
    let values = metrics::external(cx, &metric, &current.namespace).map_err(|error| {
        metrics::in_words(error, &format!("unable to get external metric {}/{name}/{selector}", current.namespace))
    })?;
    let (replicas, shown) = of_a_whole(cx, current, source, values.iter().sum())?;
    Ok((replicas, format!("external metric {name}({selector})"), shown))
}

/// A metric that is not of single pods: in all, or shared by the replicas.
fn of_a_whole(cx: &mut Context<'_>, current: &Current, source: &Value, usage: i64) -> Result<(i64, Value)> {
    if let Some(target) = target_milli(source, "averageValue").filter(|target| *target > 0) {
        let each = usage as f64 / current.in_status.max(1) as f64;
        let ratio = usage as f64 / (target as f64 * current.in_status as f64);
        let replicas = if current.is_close(ratio) { current.in_status } else { (usage as f64 / target as f64).ceil() as i64 };
        return Ok((replicas, json!({"current": {"averageValue": quantity(each.ceil() as i64)}})));
    }
    let Some(target) = target_milli(source, "value").filter(|target| *target > 0) else {
        return Err(fault("invalid metric source: neither a value target nor an average value target was set"));
    };
    let ratio = usage as f64 / target as f64;
    let replicas = if current.replicas == 0 {
        ratio.ceil() as i64
    } else if current.is_close(ratio) {
        current.replicas
    } else {
        (ratio * ready_pods(cx, current)? as f64).ceil() as i64
    };
    Ok((replicas, json!({"current": {"value": quantity(usage)}})))
}

impl Current {
    fn is_close(&self, ratio: f64) -> bool {
        (self.tolerance.0..=self.tolerance.1).contains(&ratio)
    }
}

fn selected(cx: &Context<'_>, current: &Current) -> Vec<Value> {
    let resource = GroupResource::literal("", "pods");
    let pods = cx.store().list(&resource, Some(&current.namespace));
    pods.filter(|pod| current.selector.matches(&pod.meta.labels)).map(|pod| pod.value()).collect()
}

fn ready(pod: &Value) -> Option<&Value> {
    list_at(pod, &["status", "conditions"]).iter().find(|condition| str_at(condition, &["type"]) == "Ready")
}

fn ready_pods(cx: &Context<'_>, current: &Current) -> Result<i64> {
    let pods = selected(cx, current);
    if pods.is_empty() {
        return Err(fault("unable to calculate ready pods: no pods returned by selector while calculating replica count"));
    }
    let is_ready = |pod: &&Value| {
        str_at(pod, &["status", "phase"]) == "Running" && ready(pod).is_some_and(|c| str_at(c, &["status"]) == "True")
    };
    Ok(pods.iter().filter(is_ready).count() as i64)
}

/// Pods, and what is known of them.
struct Pods {
    all: Vec<Value>,
    /// Of those that count.
    samples: Samples,
    ready: i64,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
}

impl Pods {
    fn of(cx: &Context<'_>, current: &Current, mut samples: Samples, is_cpu: bool) -> Result<Self> {
        let all = selected(cx, current);
        if all.is_empty() {
            return Err(fault("no pods returned by selector while calculating replica count"));
        }
        let (mut unready, mut missing, mut count) = (BTreeSet::new(), BTreeSet::new(), 0);
        for pod in &all {
            let name = str_at(pod, &["metadata", "name"]).to_owned();
            let phase = str_at(pod, &["status", "phase"]);
            if at(pod, &["metadata", "deletionTimestamp"]).is_some() || phase == "Failed" {
                samples.remove(&name);
            } else if phase == "Pending" {
                samples.remove(&name);
                unready.insert(name);
            } else if let Some(sample) = samples.get(&name) {
                if is_cpu && is_starting(pod, sample, cx.now) {
                    samples.remove(&name);
                    unready.insert(name);
                } else {
                    count += 1;
                }
            } else {
                missing.insert(name);
            }
        }
        if samples.is_empty() {
            return Err(fault("did not receive metrics for targeted pods (pods might be unready)"));
        }
        Ok(Pods { all, samples, ready: count, unready, missing })
    }

    /// What each pod requests, in thousandths.
    fn requests(&self, resource: &str, container: &str) -> Result<BTreeMap<String, i64>> {
        let mut requests = BTreeMap::new();
        for pod in &self.all {
            let name = str_at(pod, &["metadata", "name"]);
            let always = |c: &&Value| str_at(c, &["restartPolicy"]) == "Always";
            let init = list_at(pod, &["spec", "initContainers"]).iter().filter(always);
            let mut sum = 0;
            for one in list_at(pod, &["spec", "containers"]).iter().chain(init) {
                if !container.is_empty() && str_at(one, &["name"]) != container {
                    continue;
                }
                let request = at(one, &["resources", "requests", resource]).and_then(Quantity::from_json);
                let request = request.ok_or_else(|| {
                    fault(format!("missing request for {resource} in container {} of Pod {name}", str_at(one, &["name"])))
                })?;
                sum += request.milli_value();
            }
            requests.insert(name.to_owned(), sum);
        }
        Ok(requests)
    }

    /// Replicas, percent of what is requested, and usage of each pod on average.
    fn by_utilization(&self, current: &Current, requests: &BTreeMap<String, i64>, target: i64) -> Result<(i64, i64, i64)> {
        let ratio = |samples: &Samples| -> Result<(f64, i64, i64)> {
            let known = samples.iter().filter_map(|(name, sample)| Some((sample.value, *requests.get(name)?)));
            let (used, asked, count) = known.fold((0, 0, 0), |(used, asked, n), (u, a)| (used + u, asked + a, n + 1));
            if asked == 0 {
                return Err(fault("no metrics returned matched known pods"));
            }
            let percent = used * 100 / asked;
            Ok((percent as f64 / target.max(1) as f64, percent, used / i64::max(count, 1)))
        };
        let (first, percent, usage) = ratio(&self.samples)?;
        // A pod that is not known uses all that it asks for when there are to be fewer.
        let full = |name: &str| requests.get(name).map_or(0, |request| request * target.max(100) / 100);
        let replicas = self.settled(current, first, full, |samples| ratio(samples).map_or(first, |found| found.0));
        Ok((replicas, percent, usage))
    }

    /// Replicas, and usage of each pod on average.
    fn by_value(&self, current: &Current, target: i64) -> (i64, i64) {
        let mean = |samples: &Samples| samples.values().map(|sample| sample.value).sum::<i64>() / (samples.len() as i64).max(1);
        let ratio = |samples: &Samples| mean(samples) as f64 / target.max(1) as f64;
        let replicas = self.settled(current, ratio(&self.samples), |_| target, ratio);
        (replicas, mean(&self.samples))
    }

    /// The number of replicas for a ratio of usage to target; pods of which nothing is known count against a change.
    fn settled(&self, current: &Current, first: f64, full: impl Fn(&str) -> i64, ratio: impl Fn(&Samples) -> f64) -> i64 {
        let up_with_unready = !self.unready.is_empty() && first > 1.0;
        if !up_with_unready && self.missing.is_empty() {
            return if current.is_close(first) { current.replicas } else { (first * self.ready as f64).ceil() as i64 };
        }
        let mut samples = self.samples.clone();
        let sample = |value: i64| Sample { value, at: Time::default(), window: 0 };
        for name in &self.missing {
            if first < 1.0 {
                samples.insert(name.clone(), sample(full(name)));
            } else if first > 1.0 {
                samples.insert(name.clone(), sample(0));
            }
        }
        if up_with_unready {
            samples.extend(self.unready.iter().map(|name| (name.clone(), sample(0))));
        }
        let second = ratio(&samples);
        let turned = (first < 1.0 && second > 1.0) || (first > 1.0 && second < 1.0);
        if current.is_close(second) || turned {
            return current.replicas;
        }
        let replicas = (second * samples.len() as f64).ceil() as i64;
        let against = (second < 1.0 && replicas > current.replicas) || (second > 1.0 && replicas < current.replicas);
        if against { current.replicas } else { replicas }
    }
}

/// Whether the cpu that a pod uses is not yet what it will use.
fn is_starting(pod: &Value, sample: &Sample, now: Time) -> bool {
    let started = Time::parse(str_at(pod, &["status", "startTime"]));
    let (Some(started), Some(condition)) = (started, ready(pod)) else { return true };
    let since = Time::parse(str_at(condition, &["lastTransitionTime"])).unwrap_or(started);
    let is_unready = str_at(condition, &["status"]) == "False";
    if started.plus_secs(STARTING_SECONDS) > now {
        // A sample counts that was taken wholly after the pod became ready.
        is_unready || sample.at < since.plus_secs(sample.window)
    } else {
        is_unready && started.plus_secs(FIRST_READY_SECONDS) > since
    }
}
