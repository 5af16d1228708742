//! Evictions: a pod is deleted if its PodDisruptionBudget can spare it.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>

use object::selector::LabelSelector;
use object::value::{self, at, i64_at, list_at, str_at};
use object::{ApiError, Cause, CauseType, GroupResource, Reason, Result, Value, json};
use store::Key;

use crate::client::gvr;
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::{DeleteOptions, Preconditions, Target, Write, check_preconditions};

/// More pods than these cannot be waited for at once.
const MOST_DISRUPTED: usize = 2000;

/// Answers a POST to `pods/eviction`.
pub fn evict(api: &mut ApiServer, write: &Write<'_>, body: &Value) -> Result<Value> {
    let Write { now, user, target, options } = *write;
    if str_at(body, &["metadata", "name"]) != target.name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let pod = Target::new(target.resource.clone(), &target.namespace, &target.name, "");
    let stored = api.stored(&pod)?;
    let current = stored.value();
    let dry_run = options.dry_run || list_at(body, &["deleteOptions", "dryRun"]).iter().any(|v| v == "All");
    let text = |key: &str| at(body, &["deleteOptions", "preconditions", key]).and_then(Value::as_str).map(str::to_owned);
    let preconditions = Preconditions { uid: text("uid"), resource_version: text("resourceVersion") };
    let ends_anyway = stored.meta.deletion_timestamp.is_some()
        || matches!(str_at(&current, &["status", "phase"]), "Succeeded" | "Failed" | "Pending");
    if !ends_anyway {
        spend(api, write, &current, dry_run, || check_preconditions(&pod, &stored, &preconditions))?;
        if !dry_run {
            mark(api, write, &stored.key);
        }
    }
    let options = DeleteOptions {
        dry_run,
        grace_period_seconds: i64_at(body, &["deleteOptions", "gracePeriodSeconds"]),
        // Saying in the status why the pod goes has made a new version of it.
        preconditions: Preconditions { uid: preconditions.uid.clone(), resource_version: None },
        ..DeleteOptions::default()
    };
    if ends_anyway {
        check_preconditions(&pod, &stored, &preconditions)?;
    }
    api.delete(now, user, &pod, &options)?;
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

/// Takes one disruption from the pod's budget, if it has one.
/// What else must hold is asked last, and before anything is spent.
fn spend(api: &mut ApiServer, write: &Write<'_>, pod: &Value, dry_run: bool, check: impl Fn() -> Result<()>) -> Result<()> {
    let labels = object::meta::string_map(at(pod, &["metadata", "labels"]));
    let resource = GroupResource::literal("policy", "poddisruptionbudgets");
    let budgets = api.store.list(&resource, Some(&write.target.namespace)).map(|budget| budget.value());
    let matching = |budget: &Value| {
        let selector = at(budget, &["spec", "selector"]).filter(|selector| !selector.is_null());
        selector.and_then(|selector| LabelSelector::from_json(selector).ok()).is_some_and(|s| s.matches(&labels))
    };
    let mut budgets: Vec<Value> = budgets.filter(matching).collect();
    if budgets.len() > 1 {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(ApiError::new(500, Reason::Unknown, why));
    }
    let Some(mut budget) = budgets.pop() else { return check() };
    let number = |key: &str| i64_at(&budget, &["status", key]).unwrap_or(0);
    let ready = list_at(pod, &["status", "conditions"])
        .iter()
        .any(|c| str_at(c, &["type"]) == "Ready" && str_at(c, &["status"]) == "True");
    let always = str_at(&budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    let (desired, healthy) = (number("desiredHealthy"), number("currentHealthy"));
    // A pod that is not ready is no loss where there are enough others.
    if !ready && (always || healthy >= desired && desired > 0) {
        return check();
    }
    let name = str_at(&budget, &["metadata", "name"]).to_owned();
    if number("observedGeneration") < i64_at(&budget, &["metadata", "generation"]).unwrap_or(0) {
        return Err(too_many(&format!("The disruption budget {name} is still being processed by the server.")));
    }
    let allowed = number("disruptionsAllowed");
    let disrupted = at(&budget, &["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, |pods| pods.len());
    if allowed < 0 || disrupted > MOST_DISRUPTED {
        let why = if allowed < 0 {
            "pdb disruptions allowed is negative"
        } else {
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        };
        return Err(ApiError::forbidden(&GroupResource::literal("policy", "poddisruptionbudget"), &name, why));
    }
    if allowed == 0 {
        let why = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
        return Err(too_many(&why));
    }
    check()?;
    if dry_run {
        return Ok(());
    }
    value::set(&mut budget, &["status", "disruptionsAllowed"], allowed - 1);
    value::set(&mut budget, &["status", "disruptedPods", &write.target.name], write.now.rfc3339());
    let server = UserInfo::apiserver();
    let budgets = gvr("policy", "v1", "poddisruptionbudgets");
    api.client(write.now, &server).update_status(&budgets, &write.target.namespace, &name, budget).map(drop)
}

fn too_many(why: &str) -> Box<ApiError> {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::new(429, Reason::TooManyRequests, message);
    let cause = Cause { reason: CauseType::DisruptionBudget, field: String::new(), message: why.to_owned() };
    error.details.causes.push(cause);
    error
}

/// Says in the pod's status why it goes.
fn mark(api: &mut ApiServer, write: &Write<'_>, key: &Key) {
    let Some(mut pod) = api.store.get(key).map(|pod| pod.value()) else { return };
    let mut conditions = list_at(&pod, &["status", "conditions"]).to_vec();
    conditions.retain(|c| str_at(c, &["type"]) != "DisruptionTarget");
    conditions.push(json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        "lastProbeTime": null, "lastTransitionTime": write.now.rfc3339(),
    }));
    value::set(&mut pod, &["status", "conditions"], conditions);
    let server = UserInfo::apiserver();
    // The deletion that follows matters more than its reason.
    let _ = api.client(write.now, &server).update_status(&gvr("", "v1", "pods"), &key.namespace, &key.name, pod);
}
