//! Garbage collection, told from the outside: <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>.

use crate::support::World;
use apiserver::{DeleteOptions, Propagation, gvr};
use object::{GroupVersionResource, Value, json};

fn maps() -> GroupVersionResource {
    gvr("", "v1", "configmaps")
}

/// A ConfigMap that names owners.
fn map(world: &mut World, name: &str, owners: Value) -> Value {
    let metadata = json!({"name": name, "namespace": "default", "ownerReferences": owners});
    world.create(&maps(), json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
}

fn reference(owner: &Value, blocks: bool) -> Value {
    let of = |key: &str| owner["metadata"][key].clone();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": of("name"), "uid": of("uid"), "blockOwnerDeletion": blocks})
}

/// The ConfigMaps of the test that are left.
fn left(world: &World) -> Vec<String> {
    world.names(&maps()).into_iter().filter(|name| name != "kube-root-ca.crt").collect()
}

fn delete(world: &mut World, name: &str, propagation: Propagation) {
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    world.delete(&maps(), "default", name, &options);
}

/// Takes or puts a finalizer, so that an object stays while it is deleted.
fn hold(world: &mut World, name: &str, finalizers: Value) {
    world.patch(&maps(), "default", name, json!({"metadata": {"finalizers": finalizers}}));
}

#[test]
fn in_the_background_the_owner_goes_first_and_its_dependents_after_it() {
    let mut world = World::new();
    let owner = map(&mut world, "owner", json!([]));
    let child = map(&mut world, "child", json!([reference(&owner, true)]));
    map(&mut world, "grandchild", json!([reference(&child, true)]));
    hold(&mut world, "child", json!(["example.com/wait"]));
    delete(&mut world, "owner", Propagation::Background);
    assert_eq!(left(&world), ["child", "grandchild"]);
    hold(&mut world, "child", Value::Null);
    assert_eq!(left(&world), Vec::<String>::new());
}

#[test]
fn in_the_foreground_the_owner_waits_for_dependents_that_block_it() {
    let mut world = World::new();
    let owner = map(&mut world, "owner", json!([]));
    map(&mut world, "blocking", json!([reference(&owner, true)]));
    map(&mut world, "other", json!([reference(&owner, false)]));
    hold(&mut world, "blocking", json!(["example.com/wait"]));
    hold(&mut world, "other", json!(["example.com/wait"]));
    delete(&mut world, "owner", Propagation::Foreground);
    let waiting = world.there(&maps(), "owner");
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    hold(&mut world, "blocking", Value::Null);
    assert_eq!(left(&world), ["other"], "the other one does not block");
    hold(&mut world, "other", Value::Null);
    assert_eq!(left(&world), Vec::<String>::new());
}

#[test]
fn foreground_deletion_goes_down_all_the_way() {
    let mut world = World::new();
    let owner = map(&mut world, "owner", json!([]));
    let child = map(&mut world, "child", json!([reference(&owner, true)]));
    map(&mut world, "grandchild", json!([reference(&child, true)]));
    hold(&mut world, "grandchild", json!(["example.com/wait"]));
    delete(&mut world, "owner", Propagation::Foreground);
    assert_eq!(left(&world), ["child", "grandchild", "owner"], "each waits for the next");
    hold(&mut world, "grandchild", Value::Null);
    assert_eq!(left(&world), Vec::<String>::new());
}

#[test]
fn orphans_are_left_behind_without_their_owner() {
    let mut world = World::new();
    let owner = map(&mut world, "owner", json!([]));
    let other = map(&mut world, "other", json!([]));
    map(&mut world, "child", json!([reference(&owner, true), reference(&other, false)]));
    delete(&mut world, "owner", Propagation::Orphan);
    assert_eq!(left(&world), ["child", "other"]);
    let owners = world.there(&maps(), "child")["metadata"]["ownerReferences"].clone();
    assert_eq!(owners, json!([reference(&other, false)]));
}

#[test]
fn an_object_lives_as_long_as_one_of_its_owners() {
    let mut world = World::new();
    let (a, b) = (map(&mut world, "a", json!([])), map(&mut world, "b", json!([])));
    map(&mut world, "child", json!([reference(&a, true), reference(&b, true)]));
    delete(&mut world, "a", Propagation::Background);
    assert_eq!(world.there(&maps(), "child")["metadata"]["ownerReferences"], json!([reference(&b, true)]));
    delete(&mut world, "b", Propagation::Foreground);
    assert_eq!(left(&world), Vec::<String>::new());
}

#[test]
fn owners_that_wait_for_each_other_in_a_circle_are_let_go() {
    let mut world = World::new();
    let a = map(&mut world, "a", json!([]));
    let b = map(&mut world, "b", json!([reference(&a, true)]));
    world.patch(&maps(), "default", "a", json!({"metadata": {"ownerReferences": [reference(&b, true)]}}));
    delete(&mut world, "a", Propagation::Foreground);
    assert_eq!(left(&world), Vec::<String>::new());
}

#[test]
fn an_owner_in_another_namespace_counts_as_gone_and_that_is_said() {
    let mut world = World::new();
    world.create(&gvr("", "v1", "namespaces"), json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "far"}}));
    let owner = world
        .create(&maps(), json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": "far"}}));
    map(&mut world, "child", json!([reference(&owner, false)]));
    assert_eq!(left(&world), Vec::<String>::new());
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    let shown = format!("[v1/ConfigMap, namespace: default, name: owner, uid: {uid}]");
    let told = format!("Warning OwnerRefInvalidNamespace: ownerRef {shown} does not exist in namespace \"default\"");
    assert_eq!(world.said("ConfigMap"), [told]);
}

#[test]
fn what_belongs_to_no_namespace_can_own_and_cannot_be_owned_by_what_does() {
    let mut world = World::new();
    let roles = gvr("rbac.authorization.k8s.io", "v1", "clusterroles");
    let role = |name: &str, owners: Value| {
        let metadata = json!({"name": name, "ownerReferences": owners});
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": []})
    };
    let owner = world.create(&roles, role("owner", json!([])));
    let of_role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": "owner",
        "uid": owner["metadata"]["uid"]});
    map(&mut world, "child", json!([of_role]));
    assert_eq!(left(&world), ["child"]);
    let missing = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "00000000-0000-4000-8000-000000000000"});
    world.create(&roles, role("odd", json!([missing])));
    world.delete(&roles, "", "owner", &DeleteOptions::default());
    assert_eq!(left(&world), Vec::<String>::new());
    assert!(world.get(&roles, "", "odd").is_some(), "nobody can say that its owner is gone");
}

#[test]
fn garbage_collection_keeps_what_it_cannot_judge() {
    let mut world = World::new();
    let maps = apiserver::gvr("", "v1", "configmaps");
    for (name, version, kind, kept) in [
        ("irregular", "v1", "Endpoints", false),
        ("unserved", "example.com/v1", "Widget", true),
        ("gone", "apps/v1", "Deployment", false),
    ] {
        let owner =
            json!({"apiVersion": version, "kind": kind, "name": "no-such", "uid": "00000000-0000-4000-8000-000000000000"});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default", "ownerReferences": [owner]}});
        world.create(&maps, object);
        assert_eq!(world.get(&maps, "default", name).is_some(), kept, "{name}");
    }
    let services = apiserver::gvr("", "v1", "endpoints");
    let owner = world
        .create(&services, json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e", "namespace": "default"}}));
    let reference = json!({"apiVersion": "v1", "kind": "Endpoints", "name": "e", "uid": owner["metadata"]["uid"]});
    world.create(&maps, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "namespace": "default", "ownerReferences": [reference]}}));
    assert!(world.get(&maps, "default", "owned").is_some(), "its owner is there");
}
