//! Jobs and CronJobs (`pkg/apis/batch/validation`).

use object::cron::Schedule;
use object::selector::LabelSelector;
use object::zone::Zone;
use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, pod, selector};

pub(super) fn job(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let found = field(spec, "selector");
    if old.is_none() {
        generated_selector(e, object, found, &path);
    }
    job_spec(e, spec, &path);
    if found.is_null() {
        e.required(&path.child("selector"), "");
    } else {
        selector::label_selector(e, found, &path.child("selector"));
    }
    if let Ok(parsed) = LabelSelector::from_json(found) {
        selector::template_matches(e, &parsed, field(spec, "template"), &path.child("template"));
    }
    match old {
        Some(old) => job_update(e, spec, field(old, "spec"), &path),
        None => host_names(e, object, spec),
    }
}

/// The pods of an indexed Job have the Job's name and their index as host names.
fn host_names(e: &mut Errors, object: &Value, spec: &Value) {
    let last = field(spec, "completions").as_i64().unwrap_or(0) - 1;
    let name = text(deep(object, &["metadata", "name"]));
    let host = format!("{name}-{last}");
    if text(field(spec, "completionMode")) == "Indexed" && last >= 0 && !names::dns1123_label(&host).is_empty() {
        let meta = Path::root("metadata");
        let detail = format!("will not able to create pod with invalid DNS label: {host}");
        e.invalid(&meta.child("name"), &name.into(), &detail);
    }
}

/// Unless its author chose it, a Job's selector is what the API server made: labels with its uid and name, which its pods have.
fn generated_selector(e: &mut Errors, job: &Value, wanted: &Value, path: &Path<'_>) {
    if deep(job, &["spec", "manualSelector"]) == &Value::Bool(true) || wanted.is_null() {
        return;
    }
    let [uid, name] = ["uid", "name"].map(|key| text(deep(job, &["metadata", key])));
    let labels = deep(job, &["spec", "template", "metadata", "labels"]);
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    let template = path.child("template");
    let meta = template.child("metadata");
    let at = meta.child("labels");
    for (key, value) in expected {
        let detail = format!("must be '{value}'");
        match labels.get(key) {
            None => e.required(&at.key(key), &detail),
            Some(found) if text(found) != value => e.invalid(&at.key(key), labels, &detail),
            Some(_) => {}
        }
    }
    let made = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    if LabelSelector::from_json(wanted).is_ok_and(|parsed| !parsed.matches(&made)) {
        e.invalid(&path.child("selector"), wanted, "`selector` not auto-generated");
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
    if !field(spec, "maxFailedIndexes").is_null() && field(spec, "backoffLimitPerIndex").is_null() {
        e.required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    if let Some(manager) = field(spec, "managedBy").as_str() {
        e.domain_path(&path.child("managedBy"), manager);
        if manager.len() > 63 {
            e.too_long(&path.child("managedBy"), 63);
        }
    }
    indexes(e, spec, path);
    failure_policy(e, spec, &path.child("podFailurePolicy"));
    let (success, at) = (field(spec, "successPolicy"), path.child("successPolicy"));
    if text(field(spec, "completionMode")) == "Indexed" {
        success_policy(e, success, spec, &at);
    } else if !success.is_null() {
        e.invalid_shown(&at, &shown_success(success), "requires indexed completion mode");
    }
    let (policy, replace) = (field(spec, "podFailurePolicy"), field(spec, "podReplacementPolicy"));
    let known: &[&str] = if policy.is_null() { &["Failed", "TerminatingOrFailed"] } else { &["Failed"] };
    e.one_of_if_any(&path.child("podReplacementPolicy"), replace, known);
    let at = path.child("template");
    pod::template(e, field(spec, "template"), &at);
    let restart = deep(spec, &["template", "spec", "restartPolicy"]);
    let at = at.child("spec");
    let at = at.child("restartPolicy");
    match text(restart) {
        "" | "Always" => e.required(&at, "valid values: \"OnFailure\", \"Never\""),
        "Never" => {}
        "OnFailure" if policy.is_null() => {}
        "OnFailure" => e.invalid(&at, restart, "only \"Never\" is supported when podFailurePolicy is specified"),
        _ => e.unsupported(&at, restart, &["OnFailure", "Never"]),
    }
}

/// What holds only where pods have indexes.
fn indexes(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let mode = field(spec, "completionMode");
    let number = |key: &str| field(spec, key).as_i64();
    let at_most = |e: &mut Errors, key: &str, most: i64, when: &str| {
        if number(key).is_some_and(|n| n > most) {
            e.invalid(&path.child(key), field(spec, key), &format!("must be less than or equal to {most}{when}"));
        }
    };
    match text(mode) {
        "" | "NonIndexed" => {
            for key in ["backoffLimitPerIndex", "maxFailedIndexes"].into_iter().filter(|key| !field(spec, key).is_null()) {
                e.invalid(&path.child(key), field(spec, key), "requires indexed completion mode");
            }
        }
        "Indexed" => {
            let completions = number("completions");
            if completions.is_none() {
                e.required(&path.child("completions"), "when completion mode is Indexed");
            }
            at_most(e, "parallelism", 100_000, " when completion mode is Indexed");
            if let (Some(all), Some(failed)) = (completions, number("maxFailedIndexes"))
                && failed > all
            {
                let detail = "must be less than or equal to completions";
                e.invalid(&path.child("maxFailedIndexes"), &failed.into(), detail);
            }
            at_most(e, "maxFailedIndexes", 100_000, "");
            if completions.is_some_and(|n| n > 100_000) && number("backoffLimitPerIndex").is_some() {
                if number("maxFailedIndexes").is_none() {
                    e.required(&path.child("maxFailedIndexes"), "must be specified when completions is above 100000");
                }
                let when = " when completions are above 100000 and used with backoff limit per index";
                at_most(e, "parallelism", 10_000, when);
                at_most(e, "maxFailedIndexes", 10_000, when);
            }
        }
        _ => e.unsupported(&path.child("completionMode"), mode, &["NonIndexed", "Indexed"]),
    }
}

/// A choice out of a few, which an error lists when it is missing.
fn choice(e: &mut Errors, value: &Value, known: &[&str], path: &Path<'_>) {
    let list: Vec<String> = known.iter().map(|word| format!("{word:?}")).collect();
    match text(value) {
        "" => e.required(path, &format!("valid values: [{}]", list.join(" "))),
        word if known.contains(&word) => {}
        _ => e.unsupported(path, value, known),
    }
}

fn failure_policy(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let rules = items(deep(spec, &["podFailurePolicy", "rules"]));
    let list = path.child("rules");
    if rules.len() > 20 {
        e.too_many(&list, rules.len(), 20);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let action = field(rule, "action");
        if text(action) == "FailIndex" && field(spec, "backoffLimitPerIndex").is_null() {
            e.invalid(&path.child("action"), action, "requires the backoffLimitPerIndex to be set");
        }
        choice(e, action, &["Count", "FailIndex", "FailJob", "Ignore"], &path.child("action"));
        let (codes, conditions) = (field(rule, "onExitCodes"), items(field(rule, "onPodConditions")));
        if !codes.is_null() {
            exit_codes(e, codes, field(spec, "template"), &path.child("onExitCodes"));
        }
        let at = path.child("onPodConditions");
        if conditions.len() > 20 {
            e.too_many(&at, conditions.len(), 20);
        }
        for (i, condition) in conditions.iter().enumerate() {
            let path = at.index(i);
            e.name(&path.child("type"), text(field(condition, "type")), names::qualified_name);
            choice(e, field(condition, "status"), &["False", "True", "Unknown"], &path.child("status"));
        }
        match (codes.is_null(), conditions.is_empty()) {
            (true, true) => e.invalid_bare(&path, "specifying one of OnExitCodes and OnPodConditions is required"),
            (false, false) => e.invalid_bare(&path, "specifying both OnExitCodes and OnPodConditions is not supported"),
            _ => {}
        }
    }
}

fn exit_codes(e: &mut Errors, codes: &Value, template: &Value, path: &Path<'_>) {
    let operator = field(codes, "operator");
    choice(e, operator, &["In", "NotIn"], &path.child("operator"));
    let container = field(codes, "containerName");
    let lists = ["containers", "initContainers"].map(|list| items(deep(template, &["spec", list])));
    if !container.is_null() && !lists.iter().copied().flatten().any(|c| field(c, "name") == container) {
        let detail = "must be one of the container or initContainer names in the pod template";
        e.invalid(&path.child("containerName"), container, detail);
    }
    let (values, list) = (field(codes, "values"), path.child("values"));
    let found = items(values);
    if found.is_empty() {
        e.invalid(&list, values, "at least one value is required");
    } else if found.len() > 255 {
        e.too_many(&list, found.len(), 255);
    }
    for (i, code) in found.iter().enumerate() {
        if text(operator) == "In" && code.as_i64() == Some(0) {
            e.invalid(&list.index(i), code, "must not be 0 for the In operator");
        }
        if found.iter().take(i).any(|before| before == code) {
            e.duplicate(&list.index(i), code);
        }
    }
    if found.windows(2).any(|pair| matches!(pair, [a, b] if a.as_i64() > b.as_i64())) {
        e.invalid(&list, values, "must be ordered");
    }
}

/// A policy as Go's internal type is written.
fn shown_success(policy: &Value) -> String {
    let rule = |rule: &Value| {
        format!(
            "{{\"SucceededIndexes\":{},\"SucceededCount\":{}}}",
            field(rule, "succeededIndexes"),
            field(rule, "succeededCount")
        )
    };
    let rules: Vec<String> = items(field(policy, "rules")).iter().map(rule).collect();
    format!("{{\"Rules\":[{}]}}", rules.join(","))
}

fn success_policy(e: &mut Errors, policy: &Value, spec: &Value, path: &Path<'_>) {
    if policy.is_null() {
        return;
    }
    let (rules, list) = (items(field(policy, "rules")), path.child("rules"));
    if rules.is_empty() {
        e.required(&list, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        e.too_many(&list, rules.len(), 20);
    }
    // Without completions the Job is refused for that alone.
    let all = field(spec, "completions").as_i64().unwrap_or(0);
    for (i, rule) in rules.iter().enumerate() {
        let path = list.index(i);
        let (indexes, count) = (field(rule, "succeededIndexes"), field(rule, "succeededCount"));
        if indexes.is_null() && count.is_null() {
            e.required(&path, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(stated) = indexes.as_str() {
            let at = path.child("succeededIndexes");
            if stated.len() > 64 * 1024 {
                e.too_long(&at, 64 * 1024);
            }
            match count_indexes(stated, all) {
                Ok(found) => total = found,
                Err(why) => e.invalid(&at, indexes, &format!("error parsing succeededIndexes: {why}")),
            }
        }
        let at = path.child("succeededCount");
        e.not_negative(&at, count);
        let few = |most: i64, what: &str| format!("must be less than or equal to {most} (the number of {what})");
        if count.as_i64().is_some_and(|n| n > all) {
            e.invalid(&at, count, &few(all, "specified completions"));
        }
        if !indexes.is_null() && count.as_i64().is_some_and(|n| n > total) {
            e.invalid(&at, count, &few(total, "indexes in the specified succeededIndexes field"));
        }
    }
}

/// How many indexes `1,3-5` names, of those below `completions`.
fn count_indexes(stated: &str, completions: i64) -> Result<i64, String> {
    let (mut last, mut total) = (None, 0);
    for part in stated.split(',').filter(|_| !stated.is_empty()) {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("cannot convert string to integer for index: {text:?}"));
    let below = |n: i64| {
        if n >= completions { Err(format!("too large index: {:?}", n.to_string())) } else { Ok(n) }
    };
    match part.split_once('-') {
        Some((_, end)) if end.contains('-') => Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
        Some((first, end)) => {
            let (first, end) = (below(number(first)?)?, below(number(end)?)?);
            if first >= end {
                return Err(format!("non-increasing order, previous: {first}, current: {end}"));
            }
            Ok((first, end))
        }
        None => {
            let only = below(number(part)?)?;
            Ok((only, only))
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
            for key in ["nodeSelector", "tolerations", "schedulingGates"] {
                object::value::remove(&mut template, &["spec", key]);
            }
            object::value::remove(&mut template, &["spec", "affinity", "nodeAffinity"]);
            if deep(&template, &["spec", "affinity"]).as_object().is_some_and(serde_json::Map::is_empty) {
                object::value::remove(&mut template, &["spec", "affinity"]);
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

pub(super) fn cron_job(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let schedule = text(field(spec, "schedule"));
    let (zone, at) = (field(spec, "timeZone"), path.child("schedule"));
    let before = old.map(|old| field(old, "spec"));
    if schedule.is_empty() {
        e.required(&at, "");
    } else {
        if let Err(why) = Schedule::parse(schedule) {
            e.invalid(&at, &schedule.into(), &why);
        }
        let had_zone = before.is_some_and(|old| text(field(old, "schedule")).contains("TZ"));
        if schedule.contains("TZ") && !had_zone {
            e.invalid(&at, &schedule.into(), "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        } else if schedule.contains("TZ") && !zone.is_null() {
            e.invalid(&at, &schedule.into(), "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
    }
    e.not_negative(&path.child("startingDeadlineSeconds"), field(spec, "startingDeadlineSeconds"));
    if before.is_none_or(|old| field(old, "timeZone") != zone) {
        time_zone(e, zone, &path.child("timeZone"));
    }
    e.one_of(&path.child("concurrencyPolicy"), field(spec, "concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let template = path.child("jobTemplate");
    let (job, at) = (deep(spec, &["jobTemplate", "spec"]), template.child("spec"));
    job_spec(e, job, &at);
    if !field(job, "selector").is_null() {
        e.invalid(&at.child("selector"), field(job, "selector"), "`selector` will be auto-generated");
    }
    let manual = field(job, "manualSelector");
    if manual == &Value::Bool(true) {
        e.unsupported(&at.child("manualSelector"), manual, &["nil", "false"]);
    }
    e.not_negative(&path.child("successfulJobsHistoryLimit"), field(spec, "successfulJobsHistoryLimit"));
    e.not_negative(&path.child("failedJobsHistoryLimit"), field(spec, "failedJobsHistoryLimit"));
}
