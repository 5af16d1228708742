//! POST to a collection.

use object::{Value, json};
use wasmkube_apiserver::message::{Output, Record};

use super::{CONFIGMAPS, Server, configmap};

#[test]
fn a_new_object_gets_its_identity_and_is_journaled_before_the_answer() {
    let mut server = Server::new();
    let outputs = server.send("POST", CONFIGMAPS, &[], configmap("a").to_string().as_bytes());
    match outputs.as_slice() {
        [Output::Journal(Record::Put { key, value, .. }), Output::Respond { status: 201, body, .. }] => {
            assert_eq!(key, "/registry/configmaps/default/a");
            let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
            assert_eq!(parse(value), parse(body), "what is answered is what is kept");
        }
        other => panic!("{other:?}"),
    }
    let (status, object) = server.get(&format!("{CONFIGMAPS}/a"));
    assert_eq!(status, 200);
    assert_eq!(object["metadata"]["creationTimestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(object["metadata"]["uid"].as_str().map(str::len), Some(36));
}

#[test]
fn names_are_generated_and_taken_once() {
    let mut server = Server::new();
    let (status, object) = server.post(CONFIGMAPS, json!({"metadata": {"generateName": "x-"}}));
    assert_eq!((status, object["metadata"]["name"].as_str().map(str::len)), (201, Some(7)));
    assert_eq!(server.post(CONFIGMAPS, configmap("a")).0, 201);
    let (status, refused) = server.post(CONFIGMAPS, configmap("a"));
    assert_eq!((status, refused["message"].as_str()), (409, Some("configmaps \"a\" already exists")));
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut server = Server::new();
    let before = server.api.store().revision();
    assert_eq!(server.post(&format!("{CONFIGMAPS}?dryRun=All"), configmap("a")).0, 201);
    assert_eq!(server.api.store().revision(), before);
    assert_eq!(server.get(&format!("{CONFIGMAPS}/a")).0, 404);
}

#[test]
fn yaml_that_says_a_key_twice_warns_and_the_last_one_counts() {
    let mut server = Server::new();
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\n";
    let outputs = server.send("POST", CONFIGMAPS, &[("content-type", "application/yaml")], yaml);
    let Some(Output::Respond { status: 201, headers, .. }) = outputs.last() else { panic!("{outputs:?}") };
    let warning = headers.iter().find(|(k, _)| k == "warning").map(|(_, v)| v.as_str());
    assert_eq!(warning, Some(r#"299 - "line 5: key \"name\" already set in map""#));
    assert_eq!(server.get(&format!("{CONFIGMAPS}/b")).0, 200);
}

/// `WarningsOnCreate` of pods, claims and services.
#[test]
fn what_is_odd_is_accepted_with_a_warning() {
    let container = object::json!({"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]});
    for (case, path, kind, spec, warning) in [
        (
            "an old label",
            "/api/v1/namespaces/default/replicationcontrollers",
            "ReplicationController",
            object::json!({"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}}}),
            "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \\\"kubernetes.io/os\\\" instead",
        ),
        (
            "a variable twice",
            "/api/v1/namespaces/default/replicationcontrollers",
            "ReplicationController",
            object::json!({"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}}),
            "spec.template.spec.containers[0].env[1]: hides previous definition of \\\"A\\\", which may be dropped when using apply",
        ),
        (
            "part of a byte",
            "/api/v1/namespaces/default/persistentvolumeclaims",
            "PersistentVolumeClaim",
            object::json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}}),
            "spec.resources.requests[storage]: fractional byte value \\\"1500m\\\" is invalid, must be an integer",
        ),
        (
            "a name that nobody asks for",
            "/api/v1/namespaces/default/services",
            "Service",
            object::json!({"ports": [{"port": 80}], "externalName": "x.example.com"}),
            "spec.externalName is ignored when spec.type is not \\\"ExternalName\\\"",
        ),
    ] {
        let mut server = Server::new();
        let body = object::json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}).to_string();
        let outputs = server.send("POST", path, &[("content-type", "application/json")], body.as_bytes());
        let Some(Output::Respond { status: 201, headers, .. }) = outputs.last() else { panic!("{case}: {outputs:?}") };
        let warnings: Vec<&str> = headers.iter().filter(|(name, _)| name == "warning").map(|(_, text)| text.as_str()).collect();
        assert_eq!(warnings, [format!("299 - \"{warning}\"")], "{case}");
    }
}
