//! Controllers of pods, and what scales and protects them.

use object::quantity::Quantity;
use object::value::{at, i64_at, str_at};
use object::{Time, Value};

use super::{Printer, human_duration, labels, selector, some_of};

const CONTAINERS: [&str; 4] = ["spec", "template", "spec", "containers"];

pub(super) fn cells(p: &Printer<'_>, group: &str, kind: &str) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("apps", "Deployment") => {
            let [names, images] = p.containers(&CONTAINERS);
            vec![
                p.name(),
                ready(p),
                p.int(&["status", "updatedReplicas"]).into(),
                p.int(&["status", "availableReplicas"]).into(),
                p.age(),
                names,
                images,
                selector(p.at(&["spec", "selector"])),
            ]
        }
        ("apps", "ReplicaSet") => replicas(p, selector(p.at(&["spec", "selector"]))),
        ("", "ReplicationController") => replicas(p, labels(p.at(&["spec", "selector"]))),
        ("apps", "StatefulSet") => {
            let [names, images] = p.containers(&CONTAINERS);
            vec![p.name(), ready(p), p.age(), names, images]
        }
        ("apps", "DaemonSet") => daemon_set(p),
        ("apps", "ControllerRevision") => {
            vec![p.name(), controller(p), p.int(&["revision"]).into(), p.age()]
        }
        ("batch", "Job") => job(p),
        ("batch", "CronJob") => cron_job(p),
        ("", "PodTemplate") => {
            let [names, images] = p.containers(&["template", "spec", "containers"]);
            vec![p.name(), names, images, labels(p.at(&["template", "metadata", "labels"]))]
        }
        ("policy", "PodDisruptionBudget") => {
            let bound = |key: &str| p.at(&["spec", key]).map_or_else(|| "N/A".into(), plain);
            vec![
                p.name(),
                bound("minAvailable"),
                bound("maxUnavailable"),
                p.int(&["status", "disruptionsAllowed"]).into(),
                p.age(),
            ]
        }
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(p),
        _ => return None,
    })
}

/// An int-or-string as text.
fn plain(value: &Value) -> Value {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()
}

fn ready(p: &Printer<'_>) -> Value {
    format!("{}/{}", p.int(&["status", "readyReplicas"]), p.int(&["spec", "replicas"])).into()
}

fn replicas(p: &Printer<'_>, selector: Value) -> Vec<Value> {
    let [names, images] = p.containers(&CONTAINERS);
    vec![
        p.name(),
        p.int(&["spec", "replicas"]).into(),
        p.int(&["status", "replicas"]).into(),
        p.int(&["status", "readyReplicas"]).into(),
        p.age(),
        names,
        images,
        selector,
    ]
}

fn daemon_set(p: &Printer<'_>) -> Vec<Value> {
    let [names, images] = p.containers(&CONTAINERS);
    let mut cells = vec![p.name()];
    let counts = ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"];
    cells.extend(counts.iter().map(|key| Value::from(p.int(&["status", key]))));
    cells.push(labels(p.at(&["spec", "template", "spec", "nodeSelector"])));
    cells.extend([p.age(), names, images, selector(p.at(&["spec", "selector"]))]);
    cells
}

fn controller(p: &Printer<'_>) -> Value {
    let owner = p.list(&["metadata", "ownerReferences"]).iter().find(|o| object::value::bool_at(o, &["controller"]));
    let Some(owner) = owner else { return "<none>".into() };
    let kind = str_at(owner, &["kind"]).to_lowercase();
    let kind = match str_at(owner, &["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind,
    };
    format!("{kind}/{}", str_at(owner, &["name"])).into()
}

fn job(p: &Printer<'_>) -> Vec<Value> {
    let succeeded = p.int(&["status", "succeeded"]);
    let completions = match (p.at(&["spec", "completions"]).and_then(Value::as_i64), p.int(&["spec", "parallelism"])) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let start = Time::parse(p.text(&["status", "startTime"]));
    let end = Time::parse(p.text(&["status", "completionTime"])).unwrap_or(p.now);
    let duration = start.map_or_else(String::new, |start| human_duration(start, end));
    let status = match () {
        () if p.condition("Complete") => "Complete",
        () if p.condition("Failed") => "Failed",
        () if p.deleting() => "Terminating",
        () if p.condition("Suspended") => "Suspended",
        () if p.condition("FailureTarget") => "FailureTarget",
        () if p.condition("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let [names, images] = p.containers(&CONTAINERS);
    vec![
        p.name(),
        status.into(),
        completions.into(),
        duration.into(),
        p.age(),
        names,
        images,
        selector(p.at(&["spec", "selector"])),
    ]
}

fn cron_job(p: &Printer<'_>) -> Vec<Value> {
    let [names, images] = p.containers(&["spec", "jobTemplate", "spec", "template", "spec", "containers"]);
    let suspend = match p.at(&["spec", "suspend"]).and_then(Value::as_bool) {
        None => "<unset>",
        Some(true) => "True",
        Some(false) => "False",
    };
    let last = p.text(&["status", "lastScheduleTime"]);
    vec![
        p.name(),
        p.text(&["spec", "schedule"]).into(),
        p.text_or(&["spec", "timeZone"], "<none>"),
        suspend.into(),
        p.list(&["status", "active"]).len().into(),
        if last.is_empty() { "<none>".into() } else { p.since(last).into() },
        p.age(),
        names,
        images,
        selector(p.at(&["spec", "jobTemplate", "spec", "selector"])),
    ]
}

fn autoscaler(p: &Printer<'_>) -> Vec<Value> {
    let target = ["spec", "scaleTargetRef"];
    let reference = p.at(&target).map(|t| format!("{}/{}", str_at(t, &["kind"]), str_at(t, &["name"])));
    let current = p.list(&["status", "currentMetrics"]);
    let metrics = p.list(&["spec", "metrics"]).iter().enumerate().map(|(i, m)| metric(m, current.get(i))).collect::<Vec<_>>();
    let targets = if metrics.is_empty() { "<none>".to_owned() } else { some_of(metrics, 2, ", ") };
    let least = p.at(&["spec", "minReplicas"]).map_or_else(|| "<unset>".into(), plain);
    vec![
        p.name(),
        reference.unwrap_or_default().into(),
        targets.into(),
        least,
        p.int(&["spec", "maxReplicas"]).into(),
        p.int(&["status", "currentReplicas"]).into(),
        p.age(),
    ]
}

/// `cpu: 30%/80%`: what a metric is and what it should be.
fn metric(spec: &Value, status: Option<&Value>) -> String {
    let kind = str_at(spec, &["type"]);
    let source = match kind {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "ContainerResource" => "containerResource",
        _ => "resource",
    };
    let target = |key: &str| at(spec, &[source, "target", key]);
    let now = |key: &str| status.and_then(|s| at(s, &[source, "current", key]));
    let amount =
        |value: Option<&Value>| value.and_then(Quantity::from_json).map_or_else(|| "<unknown>".to_owned(), |q| q.to_string());
    let prefix = if matches!(source, "resource" | "containerResource") {
        format!("{}: ", str_at(spec, &[source, "name"]))
    } else {
        String::new()
    };
    if let Some(percent) = target("averageUtilization") {
        let current = now("averageUtilization").map_or_else(|| "<unknown>".to_owned(), |v| format!("{v}%"));
        return format!("{prefix}{current}/{}%", i64_at(percent, &[]).or(percent.as_i64()).unwrap_or(0));
    }
    if let Some(average) = target("averageValue") {
        let suffix = if matches!(source, "external" | "object") { " (avg)" } else { "" };
        return format!("{prefix}{}/{}{suffix}", amount(now("averageValue")), amount(Some(average)));
    }
    match target("value") {
        Some(value) => format!("{prefix}{}/{}", amount(now("value")), amount(Some(value))),
        None if !prefix.is_empty() => format!("{prefix}<unknown>/<auto>"),
        None => "<unknown type>".to_owned(),
    }
}
