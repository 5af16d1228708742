//! `spec.podFailurePolicy`: what the failure of a pod means for its Job.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>

use object::Value;
use object::value::{i64_at, list_at, str_at};
use store::Object;

/// What a failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It counts towards the limit.
    Count,
    /// It does not count.
    Ignore,
    /// The Job has failed, for this reason.
    FailJob(String),
    /// The pod's index has failed.
    FailIndex,
}

/// What the failure of this pod means: what the first rule says that it matches.
pub fn judge(job: &Value, pod: &Object) -> Action {
    let rules = list_at(job, &["spec", "podFailurePolicy", "rules"]);
    if rules.is_empty() {
        return Action::Count;
    }
    let value = pod.value();
    let of = format!("{}/{}", pod.key.namespace, pod.key.name);
    for (i, rule) in rules.iter().enumerate() {
        let name = str_at(rule, &["action"]);
        let why = match rule.get("onExitCodes").filter(|exit| !exit.is_null()) {
            Some(exit) => exit_code(&value, exit).map(|(container, code)| {
                format!("Container {container} for pod {of} failed with exit code {code} matching {name} rule at index {i}")
            }),
            None => {
                condition(&value, rule).map(|kind| format!("Pod {of} has condition {kind} matching {name} rule at index {i}"))
            }
        };
        if let Some(why) = why {
            return match name {
                "Ignore" => Action::Ignore,
                "FailJob" => Action::FailJob(why),
                "FailIndex" => Action::FailIndex,
                _ => Action::Count,
            };
        }
    }
    Action::Count
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

/// The first condition of a pod that a rule means.
fn condition(pod: &Value, rule: &Value) -> Option<String> {
    let patterns = list_at(rule, &["onPodConditions"]);
    let means = |pattern: &Value, condition: &Value| {
        let status = Some(str_at(pattern, &["status"])).filter(|status| !status.is_empty()).unwrap_or("True");
        str_at(condition, &["type"]) == str_at(pattern, &["type"]) && str_at(condition, &["status"]) == status
    };
    let mut conditions = list_at(pod, &["status", "conditions"]).iter();
    let found = conditions.find(|condition| patterns.iter().any(|pattern| means(pattern, condition)));
    found.map(|condition| str_at(condition, &["type"]).to_owned())
}
