//! A Job, told from the outside: <https://kubernetes.io/docs/concepts/workloads/controllers/job/>.

use crate::support::{World, condition, name, pods};
use apiserver::{DeleteOptions, Propagation, gvr};
use object::{GroupVersionResource, Value, json};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";

fn jobs() -> GroupVersionResource {
    gvr("batch", "v1", "jobs")
}

/// A world with one Job, `j`.
fn job(spec: Value) -> World {
    let mut world = World::new();
    let mut spec = spec;
    let restart = spec.as_object_mut().expect("a map").remove("restartPolicy").unwrap_or(json!("Never"));
    spec["template"] = json!({"spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]}});
    world.make(&jobs(), "Job", "j", spec);
    world
}

fn status(world: &mut World) -> Value {
    world.there(&jobs(), "j")["status"].clone()
}

/// How the Job has ended, with the reason; empty while it has not.
fn end(world: &mut World) -> String {
    let job = world.there(&jobs(), "j");
    let ends = ["Complete", "Failed"].into_iter().filter(|kind| condition(&job, kind)["status"] == "True");
    ends.map(|kind| format!("{kind}: {}", condition(&job, kind)["reason"].as_str().unwrap_or_default())).collect()
}

/// The pods that run, or are about to.
fn running(world: &World) -> Vec<Value> {
    let lives = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
    let ended = |pod: &Value| pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
    world.list(&pods()).into_iter().filter(|pod| lives(pod) && !ended(pod)).collect()
}

fn index(pod: &Value) -> String {
    pod["metadata"]["annotations"][INDEX].as_str().unwrap_or_default().to_owned()
}

/// Ends the running pod of an index.
fn end_index(world: &mut World, wanted: &str, code: i64) {
    let pod = running(world).into_iter().find(|pod| index(pod) == wanted);
    let pod = name(&pod.unwrap_or_else(|| panic!("a pod of index {wanted}")));
    world.end(&pod, code);
}

fn indexes(world: &World) -> Vec<String> {
    let mut all: Vec<String> = running(world).iter().map(index).collect();
    all.sort();
    all
}

/// Gives the running pods a node, so that their deletion takes its time.
fn bind(world: &mut World) {
    for pod in running(world) {
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name(&pod)}, "target": {"kind": "Node", "name": "n"}});
        world.admin().create_subresource(&pods(), "default", &name(&pod), "binding", binding).expect("bound");
    }
    world.settle();
}

/// Takes pods away that are being deleted, as their kubelet would.
fn reap(world: &mut World) {
    for pod in world.list(&pods()) {
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
            let _ = world.admin().delete(&pods(), "default", &name(&pod), &now);
        }
    }
    world.settle();
}

#[test]
fn a_simple_job_completes_when_its_pod_succeeds() {
    let mut world = job(json!({}));
    let counts = status(&mut world);
    assert_eq!((&counts["active"], &counts["ready"], &counts["terminating"]), (&json!(1), &json!(0), &json!(0)));
    let pod = name(&running(&world)[0]);
    world.end(&pod, 0);
    assert_eq!(end(&mut world), "Complete: CompletionsReached");
    let done = status(&mut world);
    assert_eq!((&done["succeeded"], &done["active"], done["completionTime"].is_string()), (&json!(1), &Value::Null, true));
    let kinds: Vec<&Value> = done["conditions"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    assert!(kinds.contains(&&json!("SuccessCriteriaMet")), "it is said before its pods are gone: {kinds:?}");
    assert_eq!(world.list(&pods())[0]["metadata"]["finalizers"], Value::Null, "what is counted may go");
    assert_eq!(
        world.said("Job"),
        ["Normal Completed: Job completed".to_owned(), format!("Normal SuccessfulCreate: Created pod: {pod}")]
    );
}

#[test]
fn with_a_fixed_completion_count_it_runs_as_many_pods_as_are_needed() {
    let mut world = job(json!({"completions": 3, "parallelism": 2}));
    assert_eq!(running(&world).len(), 2);
    for done in 1..=3 {
        let pod = name(&running(&world)[0]);
        world.end(&pod, 0);
        assert_eq!(status(&mut world)["succeeded"], done);
    }
    assert_eq!((end(&mut world).as_str(), world.names(&pods()).len()), ("Complete: CompletionsReached", 3));
}

#[test]
fn with_a_work_queue_no_new_pod_starts_once_one_has_succeeded() {
    let mut world = job(json!({"parallelism": 3, "completions": null}));
    assert_eq!(running(&world).len(), 3);
    for left in [2, 1] {
        let pod = name(&running(&world)[0]);
        world.end(&pod, 0);
        assert_eq!((running(&world).len(), end(&mut world).as_str()), (left, ""));
    }
    let pod = name(&running(&world)[0]);
    world.end(&pod, 0);
    assert_eq!(end(&mut world), "Complete: CompletionsReached");
}

#[test]
fn failed_pods_are_replaced_with_a_growing_delay() {
    let mut world = job(json!({"backoffLimit": 6}));
    for delay in [10, 20, 40] {
        let pod = name(&running(&world)[0]);
        world.end(&pod, 1);
        world.pass(delay - 1);
        assert_eq!(running(&world).len(), 0, "not before {delay} seconds");
        world.pass(2);
        assert_eq!(running(&world).len(), 1, "after {delay} seconds");
    }
    assert_eq!(status(&mut world)["failed"], 3);
}

#[test]
fn at_its_back_off_limit_it_has_failed() {
    let mut world = job(json!({"backoffLimit": 1}));
    for _ in 0..2 {
        let pod = name(&running(&world)[0]);
        world.end(&pod, 1);
        world.pass(20);
    }
    assert_eq!((end(&mut world).as_str(), &status(&mut world)["failed"]), ("Failed: BackoffLimitExceeded", &json!(2)));
    let told = "Warning BackoffLimitExceeded: Job has reached the specified backoff limit".to_owned();
    assert!(world.said("Job").contains(&told));
}

#[test]
fn restarts_in_place_count_towards_the_limit() {
    let mut world = job(json!({"backoffLimit": 2, "restartPolicy": "OnFailure"}));
    let pod = name(&running(&world)[0]);
    for (restarts, ended) in [(1, ""), (2, "Failed: BackoffLimitExceeded")] {
        let container = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts});
        world.pod_status(&pod, json!({"phase": "Running", "containerStatuses": [container]}));
        assert_eq!(end(&mut world), ended, "{restarts}");
    }
}

#[test]
fn at_its_deadline_all_its_pods_are_terminated() {
    let mut world = job(json!({"activeDeadlineSeconds": 30, "parallelism": 2, "completions": 2}));
    bind(&mut world);
    world.pass(29);
    assert_eq!((end(&mut world).as_str(), running(&world).len()), ("", 2));
    world.pass(1);
    assert_eq!((end(&mut world).as_str(), running(&world).len()), ("", 0));
    let job = world.there(&jobs(), "j");
    assert_eq!(condition(&job, "FailureTarget")["reason"], "DeadlineExceeded", "it will have failed when its pods are gone");
    assert_eq!((&job["status"]["terminating"], &job["status"]["failed"]), (&json!(2), &json!(2)));
    reap(&mut world);
    assert_eq!((end(&mut world).as_str(), &status(&mut world)["terminating"]), ("Failed: DeadlineExceeded", &json!(0)));
}

#[test]
fn an_indexed_job_gives_each_completion_its_number() {
    let mut world = job(json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"}));
    assert_eq!(indexes(&world), ["0", "1", "2"]);
    let pod = running(&world).into_iter().find(|pod| index(pod) == "2").expect("the last");
    assert!(name(&pod).starts_with("j-2-"));
    assert_eq!((&pod["spec"]["hostname"], &pod["metadata"]["labels"][INDEX]), (&json!("j-2"), &json!("2")));
    let variable = &pod["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(variable["valueFrom"]["fieldRef"]["fieldPath"], format!("metadata.labels['{INDEX}']"));
    for wanted in ["2", "0"] {
        end_index(&mut world, wanted, 0);
    }
    assert_eq!((&status(&mut world)["completedIndexes"], &status(&mut world)["succeeded"]), (&json!("0,2"), &json!(2)));
    end_index(&mut world, "1", 0);
    assert_eq!(
        (&status(&mut world)["completedIndexes"], end(&mut world).as_str()),
        (&json!("0-2"), "Complete: CompletionsReached")
    );
}

#[test]
fn an_elastic_indexed_job_can_be_made_larger_and_smaller() {
    let mut world = job(json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed"}));
    world.patch(&jobs(), "default", "j", json!({"spec": {"completions": 3, "parallelism": 3}}));
    assert_eq!(indexes(&world), ["0", "1", "2"]);
    world.patch(&jobs(), "default", "j", json!({"spec": {"completions": 1, "parallelism": 1}}));
    assert_eq!(indexes(&world), ["0"], "indexes that are no more have no pods");
    end_index(&mut world, "0", 0);
    assert_eq!(end(&mut world), "Complete: CompletionsReached");
}

#[test]
fn with_a_limit_per_index_the_others_go_on() {
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 1});
    let mut world = job(spec);
    end_index(&mut world, "1", 1);
    assert_eq!(indexes(&world), ["0", "2"], "its successor waits");
    let held = world.list(&pods()).into_iter().find(|pod| index(pod) == "1").expect("the failed one");
    assert!(held["metadata"]["finalizers"].is_array(), "it is kept until its successor has taken over its count");
    world.pass(10);
    let next = running(&world).into_iter().find(|pod| index(pod) == "1").expect("its successor");
    assert_eq!(next["metadata"]["annotations"][FAILURES], "1");
    assert_eq!(status(&mut world)["failed"], 1);
    end_index(&mut world, "1", 1);
    assert_eq!((&status(&mut world)["failedIndexes"], end(&mut world).as_str()), (&json!("1"), ""));
    end_index(&mut world, "0", 0);
    end_index(&mut world, "2", 0);
    assert_eq!(end(&mut world), "Failed: FailedIndexes");
    assert_eq!((&status(&mut world)["completedIndexes"], &status(&mut world)["failed"]), (&json!("0,2"), &json!(2)));
}

#[test]
fn beyond_the_maximal_number_of_failed_indexes_all_end() {
    let mut world = job(json!({
        "completions": 4, "parallelism": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "maxFailedIndexes": 1,
    }));
    end_index(&mut world, "0", 1);
    assert_eq!(end(&mut world), "");
    end_index(&mut world, "3", 1);
    reap(&mut world);
    assert_eq!((end(&mut world).as_str(), running(&world).len()), ("Failed: MaxFailedIndexesExceeded", 0));
}

fn policy(action: &str, rule: Value) -> Value {
    let mut rule = rule;
    rule["action"] = action.into();
    json!({"rules": [rule]})
}

#[test]
fn a_pod_failure_policy_says_what_an_exit_code_means() {
    let exit = || json!({"onExitCodes": {"operator": "In", "values": [42]}});
    let mut world = job(json!({"podFailurePolicy": policy("FailJob", exit()), "parallelism": 2, "completions": 2}));
    let pod = name(&running(&world)[0]);
    world.end(&pod, 42);
    reap(&mut world);
    assert_eq!(end(&mut world), "Failed: PodFailurePolicy");
    let job_object = world.there(&jobs(), "j");
    let why = format!("Container c for pod default/{pod} failed with exit code 42 matching FailJob rule at index 0");
    assert_eq!(condition(&job_object, "Failed")["message"], why);

    let mut world = job(json!({"podFailurePolicy": policy("Ignore", exit()), "backoffLimit": 0}));
    let pod = name(&running(&world)[0]);
    world.end(&pod, 42);
    world.pass(10);
    assert_eq!((end(&mut world).as_str(), &status(&mut world)["failed"]), ("", &Value::Null), "it does not count");
    assert_eq!(running(&world).len(), 1);
    let pod = name(&running(&world)[0]);
    world.end(&pod, 7);
    assert_eq!(end(&mut world), "Failed: BackoffLimitExceeded", "another code does");
}

#[test]
fn a_pod_failure_policy_can_ignore_disruptions() {
    let rule = json!({"onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
    let mut world = job(json!({"podFailurePolicy": policy("Ignore", rule), "backoffLimit": 0}));
    let pod = name(&running(&world)[0]);
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "lastTransitionTime": world.now.rfc3339()});
    world.pod_status(&pod, json!({"phase": "Failed", "conditions": [condition]}));
    world.pass(10);
    assert_eq!((end(&mut world).as_str(), running(&world).len()), ("", 1));
}

#[test]
fn a_pod_failure_policy_can_fail_an_index_at_once() {
    let rule = json!({"onExitCodes": {"operator": "In", "values": [3]}});
    let mut world = job(json!({
        "podFailurePolicy": policy("FailIndex", rule), "backoffLimitPerIndex": 5, "completions": 2, "parallelism": 2,
        "completionMode": "Indexed",
    }));
    end_index(&mut world, "0", 3);
    assert_eq!((&status(&mut world)["failedIndexes"], indexes(&world)), (&json!("0"), vec!["1".to_owned()]));
}

#[test]
fn a_success_policy_ends_a_job_before_all_have_succeeded() {
    let spec = json!({
        "completions": 4, "parallelism": 4, "completionMode": "Indexed",
        "successPolicy": {"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 1}]},
    });
    let mut world = job(spec);
    bind(&mut world);
    end_index(&mut world, "1", 0);
    assert_eq!(end(&mut world), "");
    end_index(&mut world, "2", 0);
    let object = world.there(&jobs(), "j");
    assert_eq!(condition(&object, "SuccessCriteriaMet")["message"], "Matched rules at index 0");
    assert_eq!((&object["status"]["terminating"], running(&world).len()), (&json!(2), 0), "the others are terminated");
    reap(&mut world);
    assert_eq!((end(&mut world).as_str(), &status(&mut world)["failed"]), ("Complete: SuccessPolicy", &Value::Null));
}

#[test]
fn a_suspended_job_has_no_pods_and_a_resumed_one_starts_anew() {
    let mut world = job(json!({"parallelism": 2, "completions": 2, "activeDeadlineSeconds": 60}));
    world.pass(50);
    world.patch(&jobs(), "default", "j", json!({"spec": {"suspend": true}}));
    assert_eq!(running(&world).len(), 0);
    let object = world.there(&jobs(), "j");
    assert_eq!(condition(&object, "Suspended")["reason"], "JobSuspended");
    assert_eq!(object["status"]["failed"], Value::Null, "what was stopped did not fail");
    world.pass(100);
    world.patch(&jobs(), "default", "j", json!({"spec": {"suspend": false}}));
    let object = world.there(&jobs(), "j");
    assert_eq!(
        (&condition(&object, "Suspended")["status"], &condition(&object, "Suspended")["reason"]),
        (&json!("False"), &json!("JobResumed"))
    );
    assert_eq!((running(&world).len(), end(&mut world).as_str()), (2, ""), "the deadline counts from now");
    let said = world.said("Job");
    for what in ["Normal Suspended: Job suspended", "Normal Resumed: Job resumed"] {
        assert!(said.iter().any(|event| event == what), "{what} in {said:?}");
    }
}

#[test]
fn pods_are_replaced_when_they_are_terminating_or_only_when_they_have_failed() {
    for (replacement, expected) in [("TerminatingOrFailed", 1), ("Failed", 0)] {
        let mut world = job(json!({"podReplacementPolicy": replacement}));
        bind(&mut world);
        let pod = name(&running(&world)[0]);
        world.delete(&pods(), "default", &pod, &DeleteOptions::default());
        world.pass(15);
        assert_eq!(running(&world).len(), expected, "{replacement}");
        assert_eq!(end(&mut world), "", "{replacement}");
    }
}

#[test]
fn a_job_of_another_controller_is_left_alone() {
    let world = job(json!({"managedBy": "example.com/custom-job-controller"}));
    assert_eq!(world.names(&pods()).len(), 0);
}

#[test]
fn deleted_it_takes_its_pods_along_or_lets_them_go() {
    for (propagation, left) in [(Propagation::Background, 0), (Propagation::Orphan, 1)] {
        let mut world = job(json!({}));
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        world.delete(&jobs(), "default", "j", &options);
        let there = world.list(&pods());
        assert_eq!(there.len(), left);
        assert!(there.iter().all(|pod| pod["metadata"]["finalizers"].is_null()), "nothing holds them: {there:?}");
    }
}

#[test]
fn pods_that_cannot_be_made_are_tried_again() {
    let mut world = World::new();
    world.make(&gvr("", "v1", "resourcequotas"), "ResourceQuota", "q", json!({"hard": {"pods": "1"}}));
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    world.make(&jobs(), "Job", "j", json!({"parallelism": 3, "completions": 3, "template": template}));
    assert_eq!((world.names(&pods()).len(), &status(&mut world)["active"]), (1, &json!(1)));
    assert!(world.said("Job").iter().any(|event| event.contains("FailedCreate: Error creating: pods \"j-")));
    world.patch(&gvr("", "v1", "resourcequotas"), "default", "q", json!({"spec": {"hard": {"pods": "5"}}}));
    world.pass(60);
    assert_eq!(world.names(&pods()).len(), 3);
}
