//! The time to live of finished Jobs, told from the outside:
//! <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>.

use crate::support::{World, name, pods};
use apiserver::gvr;
use object::{GroupVersionResource, Value, json};

fn jobs() -> GroupVersionResource {
    gvr("batch", "v1", "jobs")
}

fn job(ttl: Value) -> World {
    let mut world = World::new();
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    world.make(&jobs(), "Job", "j", json!({"template": template, "ttlSecondsAfterFinished": ttl, "backoffLimit": 0}));
    world
}

fn end(world: &mut World, code: i64) {
    let pod = name(&world.list(&pods())[0]);
    world.end(&pod, code);
}

#[test]
fn a_finished_job_is_deleted_with_its_pods_when_its_time_is_over() {
    for code in [0, 1] {
        let mut world = job(json!(100));
        world.pass(200);
        assert!(world.get(&jobs(), "default", "j").is_some(), "time counts from the end only");
        end(&mut world, code);
        world.pass(99);
        assert!(world.get(&jobs(), "default", "j").is_some());
        world.pass(1);
        assert_eq!((world.get(&jobs(), "default", "j"), world.names(&pods()).len()), (None, 0), "exit code {code}");
    }
}

#[test]
fn with_a_time_of_zero_it_is_deleted_at_once() {
    let mut world = job(json!(0));
    end(&mut world, 0);
    assert_eq!(world.get(&jobs(), "default", "j"), None);
}

#[test]
fn without_a_time_it_stays_and_it_can_get_one_later() {
    let mut world = job(Value::Null);
    end(&mut world, 0);
    world.pass(10_000);
    assert!(world.get(&jobs(), "default", "j").is_some());
    world.patch(&jobs(), "default", "j", json!({"spec": {"ttlSecondsAfterFinished": 60}}));
    assert_eq!(world.get(&jobs(), "default", "j"), None);
}
