//! Jobs and CronJobs (`pkg/apis/batch/validation`).

use object::cron::Schedule;
use object::selector::LabelSelector;
use object::zone::Zone;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, pod, selector};

pub(super) fn job(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    job_spec(e, spec, &path);
    let found = field(spec, "selector");
    if found.is_null() {
        e.required(&path.child("selector"), "");
    } else {
        selector::label_selector(e, found, &path.child("selector"));
    }
    generated_selector(e, object, found, &path.child("selector"));
    if let Ok(parsed) = LabelSelector::from_json(found) {
        selector::template_matches(e, &parsed, field(spec, "template"), &path.child("template"));
    }
    if let Some(old) = old {
        job_update(e, spec, field(old, "spec"), &path);
    }
}

/// Unless its author chose it, a Job's selector is what the API server made: its uid, and nothing else.
fn generated_selector(e: &mut Errors, job: &Value, selector: &Value, path: &Path<'_>) {
    if deep(job, &["spec", "manualSelector"]) == &Value::Bool(true) {
        return;
    }
    let uid = deep(job, &["metadata", "uid"]);
    let made = ["batch.kubernetes.io/controller-uid", "controller-uid"];
    let expected = made.iter().any(|key| *selector == serde_json::json!({"matchLabels": {*key: uid}}));
    if !expected && !selector.is_null() {
        e.invalid(path, selector, "`selector` not auto-generated");
    }
}

fn job_spec(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    for key in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        e.not_negative(&path.child(key), field(spec, key));
    }
    let manager = field(spec, "managedBy");
    if !manager.is_null() {
        let valid = text(manager)
            .split_once('/')
            .is_some_and(|(domain, rest)| names::dns1123_subdomain(domain).is_empty() && !rest.is_empty());
        if !valid {
            e.invalid(&path.child("managedBy"), manager, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        }
    }
    indexes(e, spec, path);
    failure_policy(e, field(spec, "podFailurePolicy"), spec, &path.child("podFailurePolicy"));
    let success = field(spec, "successPolicy");
    if !success.is_null() && text(field(spec, "completionMode")) != "Indexed" {
        let shown = if items(field(success, "rules")).is_empty() { "{\"Rules\":[]}".to_owned() } else { success.to_string() };
        e.invalid_shown(&path.child("successPolicy"), &shown, "requires indexed completion mode");
    }
    let replace = field(spec, "podReplacementPolicy");
    e.one_of_if_any(&path.child("podReplacementPolicy"), replace, &["Failed", "TerminatingOrFailed"]);
    let at = path.child("template");
    pod::template(e, field(spec, "template"), &at);
    let policy = deep(spec, &["template", "spec", "restartPolicy"]);
    let at = at.child("spec");
    match text(policy) {
        "OnFailure" | "Never" => {}
        "" | "Always" => e.required(&at.child("restartPolicy"), "valid values: \"OnFailure\", \"Never\""),
        _ => {}
    }
}

/// What holds only where pods have indexes.
fn indexes(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let mode = field(spec, "completionMode");
    let at = path.child("completionMode");
    let indexed = text(mode) == "Indexed";
    if !matches!(text(mode), "NonIndexed" | "Indexed") && !mode.is_null() {
        return e.unsupported(&at, mode, &["NonIndexed", "Indexed"]);
    }
    let limit = field(spec, "backoffLimitPerIndex");
    if indexed {
        if field(spec, "completions").is_null() {
            e.required(&path.child("completions"), "when completion mode is Indexed");
        }
        let parallel = field(spec, "parallelism");
        if parallel.as_i64().is_some_and(|p| p > 100_000) {
            let detail = "must be less than or equal to 100000 when completion mode is Indexed";
            e.invalid(&path.child("parallelism"), parallel, detail);
        }
    } else if !limit.is_null() {
        e.invalid(&path.child("backoffLimitPerIndex"), limit, "requires indexed completion mode");
    }
    let failed = field(spec, "maxFailedIndexes");
    if !failed.is_null() {
        if limit.is_null() {
            e.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
        }
        if !indexed {
            e.invalid(&path.child("maxFailedIndexes"), failed, "requires indexed completion mode");
        }
    }
}

fn failure_policy(e: &mut Errors, policy: &Value, spec: &Value, path: &Path<'_>) {
    if policy.is_null() {
        return;
    }
    let template = deep(spec, &["template", "spec", "restartPolicy"]);
    if text(template) != "Never" {
        e.invalid(path, policy, "only \"Never\" is supported for restartPolicy when podFailurePolicy is specified");
    }
    let list = path.child("rules");
    for (i, rule) in items(field(policy, "rules")).iter().enumerate() {
        let path = list.index(i);
        match text(field(rule, "action")) {
            "" => e.required(&path.child("action"), "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]"),
            "Count" | "FailIndex" | "FailJob" | "Ignore" => {}
            _ => e.unsupported(&path.child("action"), field(rule, "action"), &["Count", "FailIndex", "FailJob", "Ignore"]),
        }
        let (codes, conditions) = (field(rule, "onExitCodes"), items(field(rule, "onPodConditions")));
        match (codes.is_null(), conditions.is_empty()) {
            (true, true) => {
                e.invalid_bare(&path, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            (false, false) => {
                e.invalid_bare(&path, "specifying both OnExitCodes and OnPodConditions is not supported");
            }
            _ => {}
        }
        let at = path.child("onExitCodes");
        let values = at.child("values");
        let found = items(field(codes, "values"));
        if !codes.is_null() {
            if found.is_empty() {
                e.invalid(&values, field(codes, "values"), "at least one value is required");
            }
            e.one_of(&at.child("operator"), field(codes, "operator"), &["In", "NotIn"]);
        }
        for (i, code) in found.iter().enumerate() {
            if text(field(codes, "operator")) == "In" && code.as_i64() == Some(0) {
                e.invalid(&values.index(i), code, "must not be 0 for the In operator");
            }
        }
    }
}

fn job_update(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    let (after, before) = (field(new, "completions"), field(old, "completions"));
    if after != before {
        let indexed = text(field(new, "completionMode")) == "Indexed";
        if !indexed {
            e.invalid(&path.child("completions"), after, "field is immutable");
        } else if after != field(new, "parallelism") {
            e.invalid(&path.child("completions"), after, "can only be modified in tandem with spec.parallelism");
        }
    }
    e.immutable(&path.child("selector"), field(new, "selector"), field(old, "selector"));
    // While a Job is suspended and has not started, where its pods may run can still change.
    let suspended = field(old, "suspend") == &Value::Bool(true);
    let fixed = |template: &Value| {
        let mut template = template.clone();
        if suspended {
            for key in ["nodeSelector", "affinity", "tolerations", "schedulingGates"] {
                object::value::remove(&mut template, &["spec", key]);
            }
            for key in ["labels", "annotations"] {
                object::value::remove(&mut template, &["metadata", key]);
            }
        }
        template
    };
    let (template, former) = (field(new, "template"), field(old, "template"));
    if fixed(template) != fixed(former) {
        let shown = crate::internal::compact("PodTemplateSpec", template);
        e.invalid_shown(&path.child("template"), &shown, "field is immutable");
    }
    for key in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        e.immutable(&path.child(key), field(new, key), field(old, key));
    }
}

fn time_zone(e: &mut Errors, zone: &Value, path: &Path<'_>) {
    let Value::String(name) = zone else { return };
    if name.is_empty() {
        e.invalid(path, zone, "timeZone must be nil or non-empty string");
    } else if name.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        e.invalid(path, zone, detail);
    } else if let Err(why) = Zone::named(name) {
        e.invalid(path, zone, &why);
    }
}

pub(super) fn cron_job(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let schedule = text(field(spec, "schedule"));
    let zone = field(spec, "timeZone");
    if schedule.is_empty() {
        e.required(&path.child("schedule"), "");
    } else {
        if let Err(why) = Schedule::parse(schedule) {
            e.invalid(&path.child("schedule"), &schedule.into(), &why);
        }
        if schedule.contains("TZ") {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            e.invalid(&path.child("schedule"), &schedule.into(), detail);
        }
    }
    time_zone(e, zone, &path.child("timeZone"));
    e.not_negative(&path.child("startingDeadlineSeconds"), field(spec, "startingDeadlineSeconds"));
    e.one_of(&path.child("concurrencyPolicy"), field(spec, "concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let template = path.child("jobTemplate");
    job_spec(e, deep(spec, &["jobTemplate", "spec"]), &template.child("spec"));
    e.not_negative(&path.child("successfulJobsHistoryLimit"), field(spec, "successfulJobsHistoryLimit"));
    e.not_negative(&path.child("failedJobsHistoryLimit"), field(spec, "failedJobsHistoryLimit"));
}
