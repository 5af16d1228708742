//! Custom resources behave like built-in ones, by what their definition says.

use object::{Value, json};
use wasmkube_apiserver::message::{Output, Record};
use wasmkube_apiserver::{ApiServer, Settings};

use crate::Server;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BACKUPS: &str = "/apis/a.io/v1/namespaces/default/backups";

fn definition(plural: &str, kind: &str) -> Value {
    let spec = json!({"type": "object", "properties": {
        "schedule": {"type": "string", "minLength": 1},
        "keep": {"type": "integer", "default": 3, "minimum": 1},
    }, "required": ["schedule"]});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": {
        "type": "object", "properties": {"last": {"type": "string"}},
    }}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.a.io")},
        "spec": {
            "group": "a.io", "scope": "Namespaced", "names": {"plural": plural, "kind": kind, "shortNames": ["bk"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}},
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                 "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
            ],
        },
    })
}

fn backup(name: &str) -> Value {
    json!({"apiVersion": "a.io/v1", "kind": "Backup", "metadata": {"name": name}, "spec": {"schedule": "daily"}})
}

fn condition(definition: &Value, kind: &str) -> String {
    let all = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == kind);
    found.map(|c| format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())).unwrap_or_default()
}

#[test]
fn a_definition_is_served_at_once_and_takes_its_objects_with_it() {
    let mut server = Server::new();
    assert_eq!(server.ask("GET", BACKUPS, Value::Null).0, 404);
    assert_eq!(server.ask("POST", DEFINITIONS, definition("backups", "Backup")).0, 201);
    let created = server.post(BACKUPS, backup("a"));
    assert_eq!((created.0, &created.1["spec"]["keep"]), (201, &json!(3)), "defaults come from the schema");
    let mut wrong = backup("b");
    wrong["spec"] = json!({"keep": 0});
    let refused = server.post(BACKUPS, wrong);
    assert_eq!(
        refused.1["message"],
        "Backup.a.io \"b\" is invalid: [spec.schedule: Required value, spec.keep: Invalid value: 0: spec.keep in body should be greater than or equal to 1]"
    );
    let deleted = server.ask("DELETE", &format!("{DEFINITIONS}/backups.a.io"), Value::Null);
    assert_eq!(deleted.0, 200);
    assert_eq!(server.ask("GET", &format!("{DEFINITIONS}/backups.a.io"), Value::Null).0, 404);
    assert_eq!(server.ask("GET", BACKUPS, Value::Null).0, 404);
}

#[test]
fn a_deleted_definition_waits_for_finalizers_of_its_objects() {
    let mut server = Server::new();
    server.post(DEFINITIONS, definition("backups", "Backup"));
    let mut held = backup("held");
    held["metadata"]["finalizers"] = json!(["a.io/wait"]);
    server.post(BACKUPS, held);
    server.ask("DELETE", &format!("{DEFINITIONS}/backups.a.io"), Value::Null);
    let definition = server.ask("GET", &format!("{DEFINITIONS}/backups.a.io"), Value::Null).1;
    assert_eq!(condition(&definition, "Terminating"), "True InstanceDeletionInProgress");
    assert_eq!(server.post(BACKUPS, backup("new")).0, 405, "nothing new while it ends");
    let free = json!([{"op": "remove", "path": "/metadata/finalizers"}]).to_string();
    let json_patch = [("content-type", "application/json-patch+json")];
    server.send("PATCH", &format!("{BACKUPS}/held"), &json_patch, free.as_bytes());
    assert_eq!(server.ask("GET", &format!("{DEFINITIONS}/backups.a.io"), Value::Null).0, 404);
}

#[test]
fn names_belong_to_the_first_who_takes_them() {
    let mut server = Server::new();
    server.post(DEFINITIONS, definition("backups", "Backup"));
    server.post(DEFINITIONS, definition("copies", "Backup"));
    let second = server.ask("GET", &format!("{DEFINITIONS}/copies.a.io"), Value::Null).1;
    assert_eq!(condition(&second, "Established"), "False NotAccepted");
    assert_eq!(server.ask("GET", "/apis/a.io/v1/copies", Value::Null).0, 404);
    server.ask("DELETE", &format!("{DEFINITIONS}/backups.a.io"), Value::Null);
    let second = server.ask("GET", &format!("{DEFINITIONS}/copies.a.io"), Value::Null).1;
    assert_eq!(condition(&second, "Established"), "True InitialNamesAccepted", "the names are free now");
    assert_eq!(server.ask("GET", "/apis/a.io/v1/copies", Value::Null).0, 200);
}

#[test]
fn a_restart_finds_objects_whose_group_sorts_before_their_definition() {
    let mut server = Server::new();
    let mut records = Vec::new();
    for (target, object) in [(DEFINITIONS, definition("backups", "Backup")), (BACKUPS, backup("a"))] {
        let outputs = server.send("POST", target, &[], object.to_string().as_bytes());
        records.extend(outputs.into_iter().filter_map(|o| if let Output::Journal(record) = o { Some(record) } else { None }));
    }
    records.sort_by_key(|record| match record {
        Record::Put { key, revision, .. } | Record::Delete { key, revision } => (key.clone(), *revision),
    });
    let mut restored = ApiServer::new(Settings { history_limit: 100, ..Settings::default() });
    assert!(restored.restore(records).is_empty());
    restored.start(server.now, server.api.store().revision());
    let kept = restored.store().list(&object::GroupResource::new("a.io", "backups"), None).count();
    assert_eq!(kept, 1);
    assert!(restored.registry().serves("a.io", "v1beta1"));
}

#[test]
fn versions_share_objects_and_old_ones_warn() {
    let mut server = Server::new();
    server.post(DEFINITIONS, definition("backups", "Backup"));
    server.post(BACKUPS, backup("a"));
    let outputs = server.send("GET", "/apis/a.io/v1beta1/namespaces/default/backups/a", &[], b"");
    let Some(Output::Respond { status: 200, headers, body, .. }) = outputs.last() else { panic!("{outputs:?}") };
    let warning = headers.iter().find(|(key, _)| key == "warning").map(|(_, text)| text.as_str());
    assert_eq!(warning, Some("299 - \"a.io/v1beta1 Backup is deprecated; use a.io/v1 Backup\""));
    let object: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((&object["apiVersion"], &object["spec"]["schedule"]), (&json!("a.io/v1beta1"), &json!("daily")));
}

#[test]
fn rules_judge_values_and_changes() {
    let mut server = Server::new();
    let mut ruled = definition("backups", "Backup");
    let schema = &mut ruled["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    schema["x-kubernetes-validations"] = json!([
        {"rule": "self.keep <= 10", "messageExpression": "'at most 10, not ' + string(self.keep)", "fieldPath": ".keep"},
        {"rule": "self.schedule == oldSelf.schedule", "message": "schedule is immutable", "reason": "FieldValueForbidden"},
    ]);
    assert_eq!(server.post(DEFINITIONS, ruled.clone()).0, 201);
    let mut many = backup("a");
    many["spec"]["keep"] = json!(11);
    assert_eq!(
        server.post(BACKUPS, many).1["message"],
        "Backup.a.io \"a\" is invalid: spec.keep: Invalid value: at most 10, not 11"
    );
    assert_eq!(server.post(BACKUPS, backup("a")).0, 201, "a rule about a change does not hold back a create");
    let merge = [("content-type", "application/merge-patch+json")];
    let patch = |spec: Value| json!({"spec": spec}).to_string();
    let outputs = server.send("PATCH", &format!("{BACKUPS}/a"), &merge, patch(json!({"schedule": "hourly"})).as_bytes());
    let refused = crate::answer(&outputs);
    assert_eq!(refused.1["message"], "Backup.a.io \"a\" is invalid: spec: Forbidden: schedule is immutable");
    let unreadable = &mut ruled["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    unreadable["x-kubernetes-validations"] = json!([{"rule": "self.keep <="}]);
    ruled["metadata"]["name"] = json!("others.a.io");
    ruled["spec"]["names"] = json!({"plural": "others", "kind": "Other"});
    let refused = server.post(DEFINITIONS, ruled);
    let message = refused.1["message"].as_str().unwrap_or_default();
    assert!(refused.0 == 422 && message.contains("compilation failed: ERROR: <input>:1:13: Syntax error"), "{message}");
}

#[test]
fn what_was_wrong_before_does_not_hold_back_other_changes() {
    let mut server = Server::new();
    server.post(DEFINITIONS, definition("backups", "Backup"));
    server.post(BACKUPS, backup("a"));
    let stricter = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/schedule/maxLength", "value": 2}]);
    let json_patch = [("content-type", "application/json-patch+json")];
    server.send("PATCH", &format!("{DEFINITIONS}/backups.a.io"), &json_patch, stricter.to_string().as_bytes());
    let merge = [("content-type", "application/merge-patch+json")];
    let change = |server: &mut Server, spec: Value| {
        let outputs = server.send("PATCH", &format!("{BACKUPS}/a"), &merge, json!({"spec": spec}).to_string().as_bytes());
        crate::answer(&outputs).0
    };
    assert_eq!(change(&mut server, json!({"keep": 5})), 200, "the schedule is too long, but it was so before");
    assert_eq!(change(&mut server, json!({"schedule": "weekly"})), 422);
}

/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#crd-selectable-fields>
#[test]
fn fields_that_a_definition_names_can_be_selected() {
    let mut server = Server::new();
    let mut shirts = definition("backups", "Backup");
    shirts["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.schedule"}, {"jsonPath": ".spec.keep"}]);
    assert_eq!(server.ask("POST", DEFINITIONS, shirts).0, 201);
    let mut hourly = backup("often");
    hourly["spec"] = json!({"schedule": "hourly", "keep": 24});
    for object in [backup("a"), backup("b"), hourly] {
        assert_eq!(server.post(BACKUPS, object).0, 201);
    }
    for (selector, expect) in [
        ("spec.schedule%3Ddaily", "a b"),
        ("spec.schedule!%3Ddaily", "often"),
        ("spec.keep%3D24", "often"),
        ("spec.schedule%3Ddaily,metadata.name%3Db", "b"),
        ("spec.schedule%3Dnever", ""),
    ] {
        let (code, list) = server.get(&format!("{BACKUPS}?fieldSelector={selector}"));
        let names: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!((code, names.join(" ").as_str()), (200, expect), "{selector}");
    }
    let (code, refused) = server.get(&format!("{BACKUPS}?fieldSelector=status.last%3Dx"));
    assert_eq!((code, &refused["message"]), (400, &json!("field label not supported: status.last")));
    // The other version names none.
    assert_eq!(server.get("/apis/a.io/v1beta1/namespaces/default/backups?fieldSelector=spec.keep%3D24").0, 400);
}

#[test]
fn watches_end_with_what_they_watch() {
    let mut server = Server::new();
    assert_eq!(server.ask("POST", DEFINITIONS, definition("backups", "Backup")).0, 201);
    assert_eq!(server.post(BACKUPS, backup("a")).0, 201);
    let watched = |server: &mut Server, version: &str| {
        server.send("GET", &format!("/apis/a.io/{version}/backups?watch=true"), &[], b"");
        server.stream
    };
    let (new, old) = (watched(&mut server, "v1"), watched(&mut server, "v1beta1"));
    let ended = |outputs: &[Output]| -> Vec<u64> {
        outputs.iter().filter_map(|output| if let Output::End(stream) = output { Some(*stream) } else { None }).collect()
    };
    let patch = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]).to_string();
    let path = format!("{DEFINITIONS}/backups.a.io");
    let outputs = server.send("PATCH", &path, &[("content-type", "application/json-patch+json")], patch.as_bytes());
    assert_eq!(ended(&outputs), [old], "a version is not served any more");
    let outputs = server.send("DELETE", &path, &[], b"");
    assert_eq!(ended(&outputs), [new]);
    assert_eq!(crate::events(&outputs), [("DELETED".to_owned(), "a".to_owned())], "the end of the objects is told before");
}
