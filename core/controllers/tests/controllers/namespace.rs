//! Deleting a Namespace, told from the outside:
//! <https://kubernetes.io/docs/tasks/administer-cluster/namespaces/#deleting-a-namespace>.

use crate::support::{World, condition, deployment, deployments, pods};
use apiserver::gvr;
use object::{GroupVersionResource, Value, json};

fn namespaces() -> GroupVersionResource {
    gvr("", "v1", "namespaces")
}

fn maps() -> GroupVersionResource {
    gvr("", "v1", "configmaps")
}

fn team() -> World {
    let mut world = World::new();
    world.create(&namespaces(), json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}));
    world
}

fn make(world: &mut World, resource: &GroupVersionResource, kind: &str, name: &str, finalizers: Value) {
    let mut object =
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "team", "finalizers": finalizers}});
    if kind == "Pod" {
        object["spec"] = json!({"containers": [{"name": "c", "image": "i"}]});
    }
    world.create(resource, object);
}

fn there(world: &mut World) -> Value {
    world.get(&namespaces(), "", "team").expect("it waits")
}

#[test]
fn everything_in_it_goes_with_it() {
    let mut world = team();
    let mut web = deployment("web", 2, "img:1");
    web["metadata"]["namespace"] = json!("team");
    world.create(&deployments(), web);
    world.delete(&namespaces(), "", "team", &Default::default());
    assert_eq!(world.get(&namespaces(), "", "team"), None);
    let left = world.list(&pods()).into_iter().chain(world.list(&maps())).filter(|o| o["metadata"]["namespace"] == "team");
    assert_eq!(left.count(), 0);
}

#[test]
fn pods_go_before_everything_else() {
    let mut world = team();
    make(&mut world, &pods(), "Pod", "slow", json!(["example.com/wait"]));
    make(&mut world, &maps(), "ConfigMap", "needed", Value::Null);
    world.delete(&namespaces(), "", "team", &Default::default());
    assert!(world.get(&maps(), "team", "needed").is_some(), "a pod that ends may still need it");
    let remaining = condition(&there(&mut world), "NamespaceContentRemaining").clone();
    assert_eq!(remaining["message"], "Some resources are remaining: pods. has 1 resource instances");
    world.patch(&pods(), "team", "slow", json!({"metadata": {"finalizers": null}}));
    assert_eq!(world.get(&namespaces(), "", "team"), None);
}

#[test]
fn its_conditions_say_what_it_waits_for() {
    let mut world = team();
    for name in ["a", "b"] {
        make(&mut world, &maps(), "ConfigMap", name, json!(["example.com/wait"]));
    }
    make(&mut world, &gvr("", "v1", "secrets"), "Secret", "s", json!(["example.com/other"]));
    world.delete(&namespaces(), "", "team", &Default::default());
    let waiting = there(&mut world);
    assert_eq!(waiting["status"]["phase"], "Terminating");
    for (kind, status, reason, message) in [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: configmaps. has 2 resource instances, secrets. has 1 resource instances",
        ),
        (
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: example.com/other in 1 resource instances, \
             example.com/wait in 2 resource instances",
        ),
    ] {
        let said = condition(&waiting, kind);
        assert_eq!(
            (&said["status"], &said["reason"], &said["message"]),
            (&json!(status), &json!(reason), &json!(message)),
            "{kind}"
        );
    }
    for (resource, name) in [(maps(), "a"), (maps(), "b"), (gvr("", "v1", "secrets"), "s")] {
        assert!(world.get(&namespaces(), "", "team").is_some());
        world.patch(&resource, "team", name, json!({"metadata": {"finalizers": null}}));
    }
    assert_eq!(world.get(&namespaces(), "", "team"), None);
}

#[test]
fn nothing_new_comes_into_a_namespace_that_goes() {
    let mut world = team();
    make(&mut world, &maps(), "ConfigMap", "a", json!(["example.com/wait"]));
    world.delete(&namespaces(), "", "team", &Default::default());
    let late = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": "team"}});
    let refused = world.admin().create(&maps(), "team", late).expect_err("it is going");
    assert!(refused.message.contains("because it is being terminated"), "{}", refused.message);
}
