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

/// CustomResourceDefinition resources custom resource defaulting for requests and from storage works
#[test]
fn what_was_kept_is_read_by_todays_schema() {
    let mut server = Server::new();
    assert_eq!(server.ask("POST", DEFINITIONS, definition("backups", "Backup")).0, 201);
    let mut old = backup("old");
    old["status"] = json!({"last": "never"});
    server.post(BACKUPS, old);
    let place = format!("{DEFINITIONS}/backups.a.io");
    let change = |server: &mut Server, edit: &dyn Fn(&mut Value)| {
        let mut definition = server.get(&place).1;
        edit(&mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]);
        assert_eq!(server.ask("PUT", &place, definition).0, 200);
    };
    change(&mut server, &|fields| fields["by"] = json!({"type": "string", "default": "cron"}));
    let kept = server.get(&format!("{BACKUPS}/old")).1;
    assert_eq!(kept["spec"], json!({"schedule": "daily", "keep": 3, "by": "cron"}));
    server.post(BACKUPS, backup("new"));
    change(&mut server, &|fields| {
        fields["by"].as_object_mut().unwrap().remove("default");
        fields["where"] = json!({"type": "string", "default": "here"});
        fields.as_object_mut().unwrap().remove("keep");
    });
    let list = server.get(BACKUPS).1;
    let specs: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["spec"]).collect();
    let here = json!({"schedule": "daily", "by": "cron", "where": "here"});
    assert_eq!(specs, [&here, &json!({"schedule": "daily", "where": "here"})], "kept with a default, and read with one");
    let watch = server.send("GET", &format!("{BACKUPS}?watch=1&resourceVersion=0"), &[], &[]);
    assert!(watch.iter().any(|output| format!("{output:?}").contains("where")), "watches see the same");
}

/// FieldValidation should create/apply a CR with unknown fields for CRD with no validation schema
#[test]
fn what_no_schema_describes_can_be_applied() {
    let mut server = Server::new();
    let mut anything = definition("backups", "Backup");
    anything["spec"]["versions"][0]["schema"] = anything["spec"]["versions"][1]["schema"].clone();
    assert_eq!(server.ask("POST", DEFINITIONS, anything).0, 201);
    let body = "apiVersion: a.io/v1\nkind: Backup\nmetadata: {name: a}\nspec: {cron: daily, ports: [{port: 80}], deep: {x: 1}}";
    let target = format!("{BACKUPS}/a?fieldManager=m&fieldValidation=Strict");
    let outputs = server.send("PATCH", &target, &[("content-type", "application/apply-patch+yaml")], body.as_bytes());
    let (code, applied) = crate::answer(&outputs);
    assert_eq!((code, &applied["spec"]["deep"]), (201, &json!({"x": 1})), "{applied}");
    assert_eq!(
        applied["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:spec": {".": {}, "f:cron": {}, "f:deep": {".": {}, "f:x": {}}, "f:ports": {}}})
    );
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
    let kept = restored.store().list(&object::GroupResource::literal("a.io", "backups"), None).count();
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
        {"rule": "self.keep <= 10", "messageExpression": "'at most 10, not %d'.format([self.keep])", "fieldPath": ".keep"},
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

/// A definition of rules at `spec`, and perhaps at fields below; the answer's causes, by the last of their fields' parts.
fn causes_of(server: &mut Server, spec: Value) -> (u64, Vec<(String, String)>) {
    let mut ruled = definition("rules", "Rule");
    let versions = ruled["spec"]["versions"].as_array_mut().expect("a list");
    versions.truncate(1);
    ruled["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = spec;
    let (code, answer) = server.post(DEFINITIONS, ruled);
    let text = |cause: &Value, key: &str| cause[key].as_str().unwrap_or_default().to_owned();
    let causes = answer["details"]["causes"].as_array().cloned().unwrap_or_default();
    let place = "spec.validation.openAPIV3Schema.properties[spec]";
    let short = |field: String| field.replace(place, "").replace("x-kubernetes-validations", "rules");
    (u64::from(code), causes.iter().map(|cause| (short(text(cause, "field")), text(cause, "message"))).collect())
}

const ADVICE: &str =
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";

#[test]
fn rules_that_do_not_fit_their_schema_are_refused() {
    let mut server = Server::new();
    let rule = |more: &str| {
        let quoted = r#"{"Rule":"#;
        format!("Invalid value: {quoted}{more}")
    };
    let no_more = r#""Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}"#;
    let cases: Vec<(&str, Value, &str, String)> = vec![
        (
            "a field that is not declared",
            json!({"rule": "self.nope > 0"}),
            ".rules[0].rule",
            rule(&format!(
                "\"self.nope \\u003e 0\",{no_more}: compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope > 0\n | ....^"
            )),
        ),
        (
            "types that do not compare",
            json!({"rule": "self.size == 'large'", "reason": "FieldValueInvalid"}),
            ".rules[0].rule",
            rule(
                "\"self.size == 'large'\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":\"FieldValueInvalid\",\"FieldPath\":\"\",\"OptionalOldSelf\":null}: compilation failed: ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(int, string)'\n | self.size == 'large'\n | ..........^",
            ),
        ),
        (
            "what is not true or false",
            json!({"rule": "self.size"}),
            ".rules[0].rule",
            rule(&format!("\"self.size\",{no_more}: cel expression must evaluate to a bool")),
        ),
        (
            "a message that is no text",
            json!({"rule": "self.size > 1", "messageExpression": "self.size"}),
            ".rules[0].messageExpression",
            rule(
                "\"self.size \\u003e 1\",\"Message\":\"\",\"MessageExpression\":\"self.size\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: messageExpression must evaluate to a string",
            ),
        ),
        (
            "a rule that costs too much",
            json!({"rule": "self.names.all(a, self.names.all(b, a == b))"}),
            ".rules[0].rule",
            format!("Forbidden: estimated rule cost exceeds budget by factor of more than 100x {ADVICE}"),
        ),
        (
            "a rule that costs a little too much",
            json!({"rule": "self.names.exists(a, a.matches('^[a-z]+$'))"}),
            ".rules[0].rule",
            format!("Forbidden: estimated rule cost exceeds budget by factor of more than 100x {ADVICE}"),
        ),
        (
            "a message whose parts are of no known size",
            json!({"rule": "self.size > 1", "messageExpression": "'not ' + string(self.size)"}),
            ".rules[0].messageExpression",
            format!("Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x {ADVICE}"),
        ),
        (
            "an optional old value that is not used",
            json!({"rule": "self.size > 1", "optionalOldSelf": true}),
            ".rules[0].optionalOldSelf",
            "Invalid value: true: may not be set if oldSelf is not used in rule".to_owned(),
        ),
        (
            "a rule of more lines without a message",
            json!({"rule": "self.size > 1 &&\nself.size < 5"}),
            ".rules[0].message",
            "Required value: message must be specified if rule contains line breaks".to_owned(),
        ),
    ];
    for (name, rule, field, message) in cases {
        let names = json!({"type": "array", "items": {"type": "string"}});
        let spec = json!({
            "type": "object", "properties": {"size": {"type": "integer"}, "names": names}, "x-kubernetes-validations": [rule],
        });
        let (code, causes) = causes_of(&mut server, spec);
        assert_eq!((code, causes.first()), (422, Some(&(field.to_owned(), message))), "{name}");
    }
}

#[test]
fn rules_below_lists_are_counted_as_often_as_they_apply() {
    let mut server = Server::new();
    let item = json!({"type": "string", "maxLength": 5, "x-kubernetes-validations": [{"rule": "self.contains('keyword')"}]});
    let list = |most: Value| json!({"type": "array", "maxItems": most, "items": item.clone()});
    let fits = json!({"type": "object", "properties": {"few": list(json!(100_000))}});
    assert_eq!(causes_of(&mut server, fits).0, 201);
    server.send("DELETE", &format!("{DEFINITIONS}/rules.a.io"), &[], b"");
    let spec = json!({"type": "object", "properties": {"some": list(json!(4_000_000)), "many": list(json!(50_000_000))}});
    let (code, causes) = causes_of(&mut server, spec);
    let at = |list: &str| format!(".properties[{list}].items.rules[0].rule");
    let cost = |factor: &str| format!("Forbidden: estimated rule cost exceeds budget by factor of {factor} {ADVICE}");
    let part = "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
    let total = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    assert_eq!(
        (code, causes),
        (
            422,
            vec![
                (at("many"), cost("15.0x")),
                (at("some"), cost("1.200000x")),
                (at("many"), part.to_owned()),
                (at("some"), part.to_owned()),
                (
                    "spec.validation.openAPIV3Schema".to_owned(),
                    format!("Forbidden: {total} exceeds budget by factor of 1.6x {ADVICE}")
                ),
            ]
        )
    );
}

#[test]
fn rules_about_changes_need_values_that_can_be_told_apart() {
    let mut server = Server::new();
    let item = |rule: &str| {
        let properties = json!({"name": {"type": "string", "maxLength": 5}});
        json!({
            "type": "object", "properties": properties, "required": ["name"],
            "x-kubernetes-validations": [{"rule": rule, "message": "no"}],
        })
    };
    let list = |kind: &str| {
        json!({
            "type": "array", "maxItems": 5, "x-kubernetes-list-type": kind, "items": item("self.name == oldSelf.name"),
        })
    };
    let mut named = list("map");
    named["x-kubernetes-list-map-keys"] = json!(["name"]);
    let (code, causes) =
        causes_of(&mut server, json!({"type": "object", "properties": {"plain": list("atomic"), "named": named}}));
    let why = "oldSelf cannot be used on the uncorrelatable portion of the schema within spec.validation.openAPIV3Schema.properties[spec].properties[plain]";
    assert_eq!(
        (code, causes),
        (
            422,
            vec![(
                ".properties[plain].items.rules[0].rule".to_owned(),
                format!("Invalid value: \"self.name == oldSelf.name\": {why}")
            )]
        )
    );
}

#[test]
fn metadata_and_what_is_not_declared_are_out_of_sight() {
    let mut server = Server::new();
    let told = |server: &mut Server, rule: &str| {
        let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
            "port": {"x-kubernetes-int-or-string": true}, "name-space": {"type": "string", "maxLength": 3},
        }, "x-kubernetes-validations": [{"rule": rule}]});
        let (code, causes) = causes_of(server, spec);
        server.send("DELETE", &format!("{DEFINITIONS}/rules.a.io"), &[], b"");
        let message = causes.first().map(|(_, message)| message.clone()).unwrap_or_default();
        (code, message.split("ERROR: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default().to_owned())
    };
    for rule in [
        "self.template.metadata.name == 'a' && self.template.kind == 'Pod'",
        "type(self.port) == int ? self.port < 5 : self.port.startsWith('a')",
        "self.name__dash__space == ''",
    ] {
        assert_eq!(told(&mut server, rule), (201, String::new()), "{rule}");
    }
    for (rule, why) in [
        ("self.template.metadata.labels.size() == 0", "<input>:1:23: undefined field 'labels'"),
        ("self.template.spec.x == 0", "<input>:1:14: undefined field 'spec'"),
        ("self.other == 0", "<input>:1:5: undefined field 'other'"),
    ] {
        assert_eq!(told(&mut server, rule), (422, why.to_owned()), "{rule}");
    }
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
