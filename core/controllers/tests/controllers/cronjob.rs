//! A CronJob, told from the outside: <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>.

use crate::support::{World, name, pods};
use apiserver::{DeleteOptions, gvr};
use object::{GroupVersionResource, Time, Value, json};

fn jobs() -> GroupVersionResource {
    gvr("batch", "v1", "jobs")
}

fn cron_jobs() -> GroupVersionResource {
    gvr("batch", "v1", "cronjobs")
}

/// A world at a time of a day, with one CronJob, `cj`.
fn at(time: &str, more: Value) -> World {
    let mut world = World::new();
    world.now = Time::parse(time).expect("a time");
    let job = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    let mut spec = json!({"schedule": "* * * * *", "jobTemplate": job});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    world.make(&cron_jobs(), "CronJob", "cj", spec);
    world
}

fn cron(more: Value) -> World {
    at("2026-11-21T12:00:30Z", more)
}

fn status(world: &mut World) -> Value {
    world.there(&cron_jobs(), "cj")["status"].clone()
}

/// How many Jobs are said to run.
fn active(world: &mut World) -> usize {
    status(world)["active"].as_array().map_or(0, Vec::len)
}

/// Ends the pod that runs.
fn end(world: &mut World, code: i64) {
    let running = world.list(&pods()).into_iter().find(|pod| pod["status"]["phase"] == "Pending").expect("one runs");
    world.end(&name(&running), code);
}

/// When the Jobs were meant to start.
fn times(world: &World) -> Vec<String> {
    let of = |job: &Value| {
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].as_str().unwrap_or_default().to_owned()
    };
    let mut all: Vec<String> = world.list(&jobs()).iter().map(of).collect();
    all.sort();
    all
}

#[test]
fn it_creates_a_job_whenever_it_is_time() {
    let mut world = cron(json!({}));
    world.pass(29);
    assert_eq!(world.list(&jobs()).len(), 0);
    world.pass(1);
    assert_eq!(times(&world), ["2026-11-21T12:01:00Z"]);
    let job = world.list(&jobs()).remove(0);
    assert_eq!(name(&job), format!("cj-{}", Time::parse("2026-11-21T12:01:00Z").expect("a time").secs() / 60));
    let listed = status(&mut world);
    assert_eq!(
        (&listed["active"][0]["name"], &listed["lastScheduleTime"]),
        (&job["metadata"]["name"], &json!("2026-11-21T12:01:00Z"))
    );
    end(&mut world, 0);
    let done = status(&mut world);
    assert!(done["active"].is_null() && done["lastSuccessfulTime"].is_string(), "{done}");
    let job = name(&job);
    assert_eq!(
        world.said("CronJob"),
        [
            format!("Normal SawCompletedJob: Saw completed job: {job}, condition: Complete"),
            format!("Normal SuccessfulCreate: Created job {job}")
        ]
    );
}

#[test]
fn schedules_follow_their_time_zone() {
    let mut world = at("2026-11-21T12:00:00Z", json!({"schedule": "30 9 * * *", "timeZone": "America/New_York"}));
    world.pass(3 * 3600);
    assert_eq!(times(&world), ["2026-11-21T09:30:00-05:00"]);
}

#[test]
fn what_is_still_running_meets_the_concurrency_policy() {
    for (policy, jobs_left) in [("Allow", 3), ("Forbid", 1), ("Replace", 1)] {
        let mut world = cron(json!({"concurrencyPolicy": policy}));
        world.pass(150);
        assert_eq!((world.list(&jobs()).len(), active(&mut world)), (jobs_left, jobs_left), "{policy}");
        let last = if policy == "Forbid" { "2026-11-21T12:01:00Z" } else { "2026-11-21T12:03:00Z" };
        assert_eq!(times(&world).last().map(String::as_str), Some(last), "{policy}");
    }
    let mut world = cron(json!({"concurrencyPolicy": "Forbid"}));
    world.pass(150);
    let told = "Normal JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid";
    assert!(world.said("CronJob").contains(&told.to_owned()));
    end(&mut world, 0);
    assert_eq!(times(&world).last().map(String::as_str), Some("2026-11-21T12:03:00Z"), "one that was missed starts when it may");
}

#[test]
fn only_so_many_finished_jobs_are_kept() {
    let mut world = cron(json!({"successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 1}));
    world.patch(&cron_jobs(), "default", "cj", json!({"spec": {"jobTemplate": {"spec": {"backoffLimit": 0}}}}));
    for code in [0, 1, 0, 1, 0] {
        world.pass(60);
        end(&mut world, code);
    }
    assert_eq!(times(&world), ["2026-11-21T12:03:00Z", "2026-11-21T12:04:00Z", "2026-11-21T12:05:00Z"]);
    assert!(world.said("CronJob").iter().any(|event| event.starts_with("Normal SuccessfulDelete: Deleted job cj-")));
}

#[test]
fn suspended_it_starts_nothing_and_what_runs_goes_on() {
    let mut world = cron(json!({}));
    world.pass(30);
    world.patch(&cron_jobs(), "default", "cj", json!({"spec": {"suspend": true}}));
    world.pass(300);
    assert_eq!((world.list(&jobs()).len(), active(&mut world)), (1, 1));
    world.patch(&cron_jobs(), "default", "cj", json!({"spec": {"suspend": false}}));
    assert_eq!(times(&world), ["2026-11-21T12:01:00Z", "2026-11-21T12:06:00Z"], "without a deadline the last missed one starts");
}

#[test]
fn what_is_later_than_the_deadline_is_left_out() {
    let mut world = cron(json!({"suspend": true, "startingDeadlineSeconds": 10}));
    world.pass(150);
    world.patch(&cron_jobs(), "default", "cj", json!({"spec": {"suspend": false}}));
    assert_eq!(world.list(&jobs()).len(), 1, "it is 12:03:00");
    let mut world = cron(json!({"suspend": true, "startingDeadlineSeconds": 10}));
    world.pass(165);
    world.patch(&cron_jobs(), "default", "cj", json!({"spec": {"suspend": false}}));
    assert_eq!(world.list(&jobs()).len(), 0, "it is 12:03:15");
}

#[test]
fn too_many_missed_times_are_worth_a_warning() {
    let mut world = cron(json!({"suspend": true}));
    world.pass(101 * 60);
    world.patch(&cron_jobs(), "default", "cj", json!({"spec": {"suspend": false}}));
    assert_eq!(world.list(&jobs()).len(), 1);
    let told = "Warning TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
    assert!(world.said("CronJob").contains(&told.to_owned()));
}

#[test]
fn a_job_that_somebody_deletes_is_missed() {
    let mut world = cron(json!({}));
    world.pass(30);
    let job = name(&world.list(&jobs())[0]);
    world.delete(&jobs(), "default", &job, &DeleteOptions::default());
    assert_eq!(active(&mut world), 0);
    assert!(world.said("CronJob").contains(&format!("Normal MissingJob: Active job went missing: {job}")));
    assert_eq!(world.list(&jobs()).len(), 0, "its time is not made up for");
}

#[test]
fn deleted_it_takes_its_jobs_along() {
    let mut world = cron(json!({}));
    world.pass(30);
    world.delete(&cron_jobs(), "default", "cj", &DeleteOptions::default());
    assert_eq!((world.list(&jobs()).len(), world.list(&pods()).len()), (0, 0));
}
