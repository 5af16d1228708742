//! `spec.podFailurePolicy`: what the failure of a pod means for its Job.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>

use object::Value;
use object::value::{i64_at, list_at, str_at};
use store::Object;

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It counts towards the limit.
    Count,
    /// It does not count.
    Ignore,
    /// The Job has failed.
    FailJob,
    /// The pod's index has failed.
    FailIndex,
}

/// What the failure of this pod means, and why.
pub fn judge(job: &Value, pod: &Object) -> (Action, String) {
    let value = pod.value();
    // A pod that is only being deleted has not failed by itself.
    if str_at(&value, &["status", "phase"]) != "Failed" {
        return (Action::Count, String::new());
    }
    for (i, rule) in list_at(job, &["spec", "podFailurePolicy", "rules"]).iter().enumerate() {
        let name = str_at(rule, &["action"]);
        let action = match name {
            "Ignore" => Action::Ignore,
            "FailJob" => Action::FailJob,
            "FailIndex" => Action::FailIndex,
            _ => Action::Count,
        };
        let of = format!("{}/{}", pod.key.namespace, pod.key.name);
        if let Some(exit) = rule.get("onExitCodes")
            && let Some((container, code)) = exit_code(&value, exit)
        {
            let why =
                format!("Container {container} for pod {of} failed with exit code {code} matching {name} rule at index {i}");
            return (action, why);
        }
        if let Some(kind) = condition(&value, rule) {
            return (action, format!("Pod {of} has condition {kind} matching {name} rule at index {i}"));
        }
    }
    (Action::Count, String::new())
}

/// The container whose exit code a rule means.
fn exit_code(pod: &Value, rule: &Value) -> Option<(String, i64)> {
    let wanted = str_at(rule, &["containerName"]);
    let values: Vec<i64> = list_at(rule, &["values"]).iter().filter_map(Value::as_i64).collect();
    let lists = ["containerStatuses", "initContainerStatuses"];
    let statuses = lists.into_iter().flat_map(|list| list_at(pod, &["status", list]));
    statuses
        .filter(|status| wanted.is_empty() || str_at(status, &["name"]) == wanted)
        .filter_map(|status| Some((str_at(status, &["name"]).to_owned(), i64_at(status, &["state", "terminated", "exitCode"])?)))
        .filter(|(_, code)| *code != 0)
        .find(|(_, code)| values.contains(code) == (str_at(rule, &["operator"]) == "In"))
}

fn condition(pod: &Value, rule: &Value) -> Option<String> {
    let conditions = list_at(pod, &["status", "conditions"]);
    let patterns = list_at(rule, &["onPodConditions"]).iter();
    let said = |pattern: &Value, key: &str, or: &str| match str_at(pattern, &[key]) {
        "" => or.to_owned(),
        text => text.to_owned(),
    };
    let mut found = patterns.filter(|pattern| {
        let wanted = (said(pattern, "type", ""), said(pattern, "status", "True"));
        conditions.iter().any(|c| (str_at(c, &["type"]), str_at(c, &["status"])) == (&*wanted.0, &*wanted.1))
    });
    found.next().map(|pattern| str_at(pattern, &["type"]).to_owned())
}
