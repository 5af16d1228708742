//! Rules of batch (`pkg/apis/batch/v1/defaults.go`).

use object::value::at;
use object::{Map, Value};

use super::or_insert;

/// `SetDefaults_Job`. These hold for Jobs only, not for the templates of CronJobs.
pub(super) fn job(job: &mut Value) {
    let labels = at(job, &["spec", "template", "metadata", "labels"]).cloned();
    if let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) {
        let unset = |spec: &Map<String, Value>, key: &str| spec.get(key).is_none_or(Value::is_null);
        if unset(spec, "completions") && unset(spec, "parallelism") {
            or_insert(spec, "completions", 1);
        }
        or_insert(spec, "parallelism", 1);
        let limit = if unset(spec, "backoffLimitPerIndex") { 6 } else { i32::MAX };
        or_insert(spec, "backoffLimit", limit);
        or_insert(spec, "completionMode", "NonIndexed");
        or_insert(spec, "suspend", false);
        or_insert(spec, "manualSelector", false);
        let replace = if unset(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
        or_insert(spec, "podReplacementPolicy", replace);
    }
    if let Some(labels @ Value::Object(_)) = labels
        && at(job, &["metadata", "labels"]).and_then(Value::as_object).is_none_or(Map::is_empty)
    {
        object::value::set(job, &["metadata", "labels"], labels);
    }
}
