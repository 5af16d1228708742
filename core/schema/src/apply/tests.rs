//! Ownership of fields, case by case.

use object::{GroupVersionKind, Time, Value, json};

use super::{Writer, apply, reset_fields, update};
use crate::Registry;

struct World {
    registry: Registry,
    kind: GroupVersionKind,
    object: Option<Value>,
    now: Time,
}

impl World {
    fn new(group: &str, kind: &str) -> Self {
        let kind = GroupVersionKind::new(group, "v1", kind);
        World { registry: Registry::builtin(), kind, object: None, now: Time::from_secs(1_000_000) }
    }

    fn writer<'a>(&'a self, manager: &'a str, subresource: &'a str) -> Writer<'a> {
        let resource = self.registry.kind(&self.kind).expect("a built-in kind");
        Writer {
            manager,
            subresource,
            kind: &self.kind,
            ty: resource.ty(),
            reset: reset_fields(resource.has_status(), subresource),
            now: self.now,
        }
    }

    fn full(&self, mut body: Value) -> Value {
        body["apiVersion"] = Value::from(self.kind.api_version());
        body["kind"] = Value::from(&*self.kind.kind);
        if body["metadata"]["name"].is_null() {
            body["metadata"]["name"] = Value::from("a");
        }
        body
    }

    /// Applies, and gives the managers as `manager: fields` or the message of the error.
    fn apply(&mut self, manager: &str, force: bool, body: Value) -> Value {
        self.now = self.now.plus_secs(1);
        let patch = self.full(body);
        match apply(self.object.as_ref(), patch, &self.writer(manager, ""), force) {
            Ok(applied) => {
                self.object = Some(applied.object);
                self.managers()
            }
            Err(error) => Value::from(error.message),
        }
    }

    fn update(&mut self, manager: &str, subresource: &str, body: Value) -> Value {
        self.now = self.now.plus_secs(1);
        let mut new = self.full(body);
        update(self.object.as_ref(), &mut new, &self.writer(manager, subresource));
        self.object = Some(new);
        self.managers()
    }

    fn managers(&self) -> Value {
        let list = self.object.iter().flat_map(|o| object::value::list_at(o, &["metadata", "managedFields"]));
        list.map(|e| (e["manager"].as_str().unwrap_or("").to_owned(), e["fieldsV1"].clone())).collect()
    }

    fn field(&self, pointer: &str) -> Value {
        self.object.as_ref().and_then(|o| o.pointer(pointer)).cloned().unwrap_or(Value::Null)
    }
}

#[test]
fn conflicts_force_and_shared_ownership() {
    let mut w = World::new("", "ConfigMap");
    assert_eq!(w.apply("m1", false, json!({"data": {"k": "1", "s": "x"}})), json!({"m1": {"f:data": {"f:k": {}, "f:s": {}}}}));
    assert_eq!(w.apply("m2", false, json!({"data": {"k": "2"}})), "Apply failed with 1 conflict: conflict with \"m1\": .data.k");
    assert_eq!(
        w.apply("m2", false, json!({"data": {"k": "2", "s": "y"}})),
        "Apply failed with 2 conflicts: conflicts with \"m1\":\n- .data.k\n- .data.s"
    );
    let shared = w.apply("m2", false, json!({"data": {"k": "1"}}));
    assert_eq!(shared, json!({"m1": {"f:data": {"f:k": {}, "f:s": {}}}, "m2": {"f:data": {"f:k": {}}}}));
    assert_eq!(w.field("/metadata/managedFields/0/time"), Value::Null, "an apply that changes nothing has no time");
    assert_eq!(w.apply("m1", true, json!({"data": {"k": "3"}})), json!({"m1": {"f:data": {"f:k": {}}}}));
    assert_eq!(w.field("/data"), json!({"k": "3"}));
    assert_eq!(w.update("editor", "", json!({"data": {"k": "e"}})), json!({"editor": {"f:data": {"f:k": {}}}}));
    assert_eq!(
        w.apply("m1", false, json!({"data": {"k": "3"}})),
        "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.k"
    );
}

#[test]
fn what_is_no_longer_applied_goes() {
    let mut w = World::new("", "ConfigMap");
    w.apply("m1", false, json!({"metadata": {"labels": {"l": "1"}}, "data": {"s": "1"}}));
    w.apply("m2", false, json!({"metadata": {"labels": {"l": "1"}}, "data": {"s": "1"}}));
    assert_eq!(
        w.apply("m1", false, json!({"data": {}})),
        json!({"m1": {"f:data": {}}, "m2": {"f:data": {"f:s": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}})
    );
    assert_eq!((w.field("/data"), w.field("/metadata/labels")), (json!({"s": "1"}), json!({"l": "1"})));
    assert_eq!(w.apply("m2", false, json!({})), json!({"m1": {"f:data": {}}}));
    assert_eq!((w.field("/data"), w.field("/metadata/labels")), (json!({}), Value::Null));
    assert_eq!(w.field("/metadata/name"), "a");
}

#[test]
fn lists_by_key() {
    let mut w = World::new("apps", "Deployment");
    let pod = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let names = |w: &World| -> Vec<String> {
        let list = w.field("/spec/template/spec/containers");
        list.as_array().into_iter().flatten().map(|c| c["name"].as_str().unwrap_or("").to_owned()).collect()
    };
    let managers =
        w.apply("m1", false, pod(json!([{"name": "x", "image": "i:1", "ports": [{"containerPort": 80}]}, {"name": "y"}])));
    let below = &managers["m1"]["f:spec"]["f:template"]["f:spec"]["f:containers"];
    assert_eq!(
        below["k:{\"name\":\"x\"}"],
        json!({".": {}, "f:image": {}, "f:name": {},
            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}})
    );
    assert_eq!(
        w.apply("m2", false, pod(json!([{"name": "x", "image": "other"}]))),
        "Apply failed with 1 conflict: conflict with \"m1\": .spec.template.spec.containers[name=\"x\"].image"
    );
    w.apply("m2", false, pod(json!([{"name": "z", "image": "z"}])));
    assert_eq!(names(&w), ["x", "y", "z"]);
    w.apply("m1", false, pod(json!([{"name": "y"}, {"name": "x", "image": "i:1"}])));
    assert_eq!(names(&w), ["y", "z", "x"]);
    assert_eq!(w.field("/spec/template/spec/containers/2/ports"), Value::Null);
    w.apply("m1", false, pod(json!([{"name": "y"}])));
    assert_eq!(names(&w), ["y", "z"]);
}

#[test]
fn typed_errors() {
    let mut w = World::new("apps", "Deployment");
    for (body, message) in [
        (json!({"spec": {"nope": 3}}), ".spec.nope: field not declared in schema"),
        (json!({"spec": {"replicas": "x"}}), ".spec.replicas: expected numeric (int or float), got string"),
        (json!({"metadata": {"labels": {"a": 1}}}), ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}"),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": "x", "ports": [{"containerPort": 81}, {"containerPort": 81}]}]}}}}),
            ".spec.template.spec.containers[name=\"x\"].ports: duplicate entries for key [containerPort=81,protocol=\"TCP\"]",
        ),
    ] {
        assert_eq!(
            w.apply("m", false, body),
            format!("failed to create typed patch object (/a; apps/v1, Kind=Deployment): {message}")
        );
    }
    assert_eq!(w.apply("m", false, json!({"metadata": {"managedFields": []}})), "metadata.managedFields must be nil");
}

#[test]
fn updates_own_what_they_change() {
    let mut w = World::new("", "ConfigMap");
    let managers = w.update("a", "", json!({"metadata": {"labels": {"l": "1"}}, "data": {"x": "1"}}));
    assert_eq!(managers, json!({"a": {"f:data": {".": {}, "f:x": {}}, "f:metadata": {"f:labels": {".": {}, "f:l": {}}}}}));
    let managers = w.update("b", "", json!({"metadata": {"labels": {"l": "1"}}, "data": {"x": "2", "y": "1"}}));
    assert_eq!(
        managers,
        json!({"a": {"f:data": {}, "f:metadata": {"f:labels": {".": {}, "f:l": {}}}}, "b": {"f:data": {"f:x": {}, "f:y": {}}}})
    );
    let reset = w.update("c", "", json!({"metadata": {"managedFields": [{}]}, "data": {"x": "3"}}));
    assert_eq!(reset, json!({}));
    let applied = w.apply("m", false, json!({"data": {"x": "3"}}));
    assert_eq!(applied, json!({"before-first-apply": {"f:data": {".": {}, "f:x": {}}}, "m": {"f:data": {"f:x": {}}}}));
}

#[test]
fn creating_does_not_own_what_go_always_writes() {
    let mut w = World::new("apps", "ReplicaSet");
    let managers = w.update(
        "m",
        "",
        json!({"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "r"}},
            "template": {"metadata": {"labels": {"a": "r"}}, "spec": {"containers": [{"name": "c", "resources": {}}], "securityContext": {}}}},
            "status": {"replicas": 3}}),
    );
    assert_eq!(
        managers["m"],
        json!({"f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:resources": {}}}, "f:securityContext": {}}}}})
    );
}

#[test]
fn old_updaters_are_folded_together() {
    let mut w = World::new("", "ConfigMap");
    let mut data = json!({});
    for i in 0..15 {
        data[format!("k{i:02}")] = Value::from("1");
        w.update(&format!("m{i:02}"), "", json!({"data": data}));
    }
    let managers = w.managers();
    assert_eq!(managers.as_object().map(|m| m.len()), Some(10));
    assert_eq!(managers["ancient-changes"]["f:data"].as_object().map(|m| m.len()), Some(7));
    assert!(managers.get("m06").is_some() && managers.get("m05").is_none());
}

#[test]
fn subresources_are_managers_of_their_own() {
    let mut w = World::new("", "Pod");
    w.update("m", "", json!({"spec": {"nodeName": "n"}}));
    w.update("m", "status", json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}}));
    let list = w.field("/metadata/managedFields");
    assert_eq!(list[1]["subresource"], "status");
    assert_eq!(list[1]["fieldsV1"], json!({"f:status": {"f:phase": {}}}));
    assert_eq!(list[0]["fieldsV1"], json!({"f:spec": {"f:nodeName": {}}}));
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_client() {
    let mut w = World::new("", "ConfigMap");
    let last =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1", "x": "1"}}).to_string();
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    w.update("client", "", json!({"metadata": {"annotations": annotations}, "data": {"k": "1", "x": "changed since"}}));
    assert_eq!(
        w.apply("kubectl", false, json!({"data": {"k": "2", "x": "2"}})),
        "Apply failed with 1 conflict: conflict with \"client\" using v1: .data.x"
    );
    let managers = w.apply("kubectl", false, json!({"data": {"k": "2"}}));
    assert_eq!(managers["kubectl"], json!({"f:data": {"f:k": {}}}));
    let text = w.field("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration");
    assert!(text.as_str().is_some_and(|t| t.contains("\"k\":\"2\"")), "{text}");
}

/// [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim
#[test]
fn a_key_without_default_may_be_left_out_while_another_is_given() {
    let world = World::new("resource.k8s.io", "ResourceClaim");
    let patch = world.full(json!({"status": {"devices": [{"driver": "d", "pool": "p", "device": "0"}]}}));
    let applied = apply(None, patch, &world.writer("driver", "status"), false).expect("three of four keys").object;
    let owned = &applied["metadata"]["managedFields"][0]["fieldsV1"]["f:status"]["f:devices"];
    assert!(owned[r#"k:{"device":"0","driver":"d","pool":"p"}"#].is_object(), "{owned}");
}
