//! Every directive, case by case.

use object::{Value, json};

use super::apply;
use crate::Registry;

/// A pod template's worth of lists: containers (by name), their ports and env, and finalizers (scalars).
fn deployment() -> Value {
    json!({
        "metadata": {"name": "d", "labels": {"a": "1"}, "finalizers": ["x/y", "z/w"]},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {"containers": [
                {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}], "args": ["1"]},
                {"name": "b", "image": "b:1"},
            ]}},
        },
    })
}

fn check(name: &str, patch: Value, pointer: &str, expect: Value) {
    let registry = Registry::builtin();
    let ty = registry.types().named("io.k8s.api.apps.v1.Deployment").expect("a built-in type");
    let mut target = deployment();
    match apply(&mut target, patch, ty) {
        Ok(()) => assert_eq!(target.pointer(pointer).unwrap_or(&Value::Null), &expect, "{name}"),
        Err(error) => assert_eq!(json!([error.code, error.message]), expect, "{name}"),
    }
}

fn pod(spec: Value) -> Value {
    json!({"spec": {"template": {"spec": spec}}})
}

const CONTAINERS: &str = "/spec/template/spec/containers";

#[test]
fn lists_merge_by_key() {
    let a = json!({"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}], "args": ["1"]});
    let b = json!({"name": "b", "image": "b:1"});
    let c = json!({"name": "c", "image": "c:1"});
    check("a new item comes first", pod(json!({"containers": [c]})), CONTAINERS, json!([c, a, b]));
    check("delete", pod(json!({"containers": [{"$patch": "delete", "name": "a"}]})), CONTAINERS, json!([b]));
    check("replace", pod(json!({"containers": [{"$patch": "replace"}, c]})), CONTAINERS, json!([c]));
    check(
        "nested",
        pod(json!({"containers": [{"name": "a", "args": ["2"], "image": null, "env": [{"name": "Y", "value": "2"}]}]})),
        "/spec/template/spec/containers/0",
        json!({"name": "a", "args": ["2"], "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}),
    );
    check(
        "order",
        pod(json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}], "containers": [c]})),
        CONTAINERS,
        json!([c, b, a]),
    );
    check("order alone", pod(json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]})), CONTAINERS, json!([b, a]));
    check("null", pod(json!({"containers": null})), CONTAINERS, Value::Null);
    check(
        "new list without directives",
        pod(json!({"initContainers": [{"name": "i", "env": [{"$patch": "delete", "name": "Q"}], "image": null}]})),
        "/spec/template/spec/initContainers",
        json!([{"name": "i", "env": []}]),
    );
}

#[test]
fn maps_and_scalars() {
    check("labels", json!({"metadata": {"labels": {"b": "2"}}}), "/metadata/labels", json!({"a": "1", "b": "2"}));
    check(
        "replace a map",
        json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}}),
        "/metadata/labels",
        json!({"b": "2"}),
    );
    check("delete a map", json!({"metadata": {"labels": {"$patch": "delete"}}}), "/metadata/labels", json!({}));
    check("add a scalar", json!({"metadata": {"finalizers": ["n/n"]}}), "/metadata/finalizers", json!(["n/n", "x/y", "z/w"]));
    check(
        "delete a scalar",
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/y"]}}),
        "/metadata/finalizers",
        json!(["z/w"]),
    );
    check(
        "retain keys",
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        "/spec/strategy",
        json!({"type": "Recreate"}),
    );
}

#[test]
fn errors_are_those_of_kubernetes() {
    check(
        "no merge key",
        pod(json!({"containers": [{"image": "noname"}]})),
        "",
        json!([500, "map: map[image:noname] does not contain declared merge key: name"]),
    );
    check(
        "unknown directive",
        json!({"spec": {"$patch": "explode"}}),
        "",
        json!([500, "unknown patch type: explode in map: map[$patch:explode]"]),
    );
    check(
        "retain keys without a field",
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}),
        "",
        json!([400, "invalid patch format of retainKeys"]),
    );
    check(
        "order does not fit",
        pod(json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]})),
        "",
        json!([500, "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n"]),
    );
}

#[test]
fn only_lists_lose_items() {
    let two = json!(["x/y", "z/w"]);
    check("no list", json!({"metadata": {"$deleteFromPrimitiveList/finalizers": "x/y"}}), "/metadata/finalizers", two);
    check("of a number", json!({"spec": {"$deleteFromPrimitiveList/replicas": ["1"]}}), "/spec/replicas", json!(1));
}
