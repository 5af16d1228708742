//! The definitions of two operators as they are found in the wild, and what their objects become: `tests/fixtures/operators`.

use object::{Value, json};

use crate::{Server, answer};

const CERTIFICATES: &str = include_str!("../../../../tests/fixtures/operators/certificates.yaml");
const DATABASES: &str = include_str!("../../../../tests/fixtures/operators/databases.yaml");
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CERTS: &str = "/apis/certs.example.com/v1/namespaces/default/certificates";
const DBS: &str = "/apis/data.example.com/v1/namespaces/default/databases";

fn server() -> Server {
    let mut server = Server::new();
    for file in [CERTIFICATES, DATABASES] {
        for definition in serde_saphyr::from_multiple::<Value>(file).expect("the fixture is YAML") {
            let (status, answer) = server.post(DEFINITIONS, definition);
            assert_eq!(status, 201, "{answer}");
        }
    }
    server
}

fn certificate(spec: Value) -> Value {
    let mut all = json!({"secretName": "tls", "dnsNames": ["a"], "issuerRef": {"name": "ca"}});
    merge(&mut all, spec);
    json!({"apiVersion": "certs.example.com/v1", "kind": "Certificate", "metadata": {"name": "x"}, "spec": all})
}

fn database(spec: Value) -> Value {
    let mut all = json!({"engine": "mysql", "storage": {"size": "1Gi"}, "noBackup": true});
    merge(&mut all, spec);
    json!({"apiVersion": "data.example.com/v1", "kind": "Database", "metadata": {"name": "x"}, "spec": all})
}

/// Replaces the members given; null removes.
fn merge(into: &mut Value, from: Value) {
    for (key, value) in from.as_object().cloned().unwrap_or_default() {
        match value {
            Value::Null => drop(into.as_object_mut().and_then(|o| o.remove(&key))),
            value => into[key] = value,
        }
    }
}

/// What a create leaves in the spec, or the message that refuses it.
fn outcome(server: &mut Server, collection: &str, object: Value) -> Result<Value, String> {
    let (status, answer) = server.post(&format!("{collection}?dryRun=All"), object);
    if status == 201 { Ok(answer["spec"].clone()) } else { Err(answer["message"].as_str().unwrap_or_default().to_owned()) }
}

#[test]
fn definitions_are_kept_whole() {
    let mut server = server();
    for (name, file) in [("certificates.certs", CERTIFICATES), ("databases.data", DATABASES)] {
        let sent = serde_saphyr::from_multiple::<Value>(file).unwrap().swap_remove(0);
        let kept = server.get(&format!("{DEFINITIONS}/{name}.example.com")).1;
        for (sent, kept) in sent["spec"]["versions"].as_array().unwrap().iter().zip(kept["spec"]["versions"].as_array().unwrap())
        {
            let (sent, kept) = (&sent["schema"]["openAPIV3Schema"], &kept["schema"]["openAPIV3Schema"]);
            assert_eq!(sent, kept, "{name}: not even a default of false is lost");
        }
    }
}

#[test]
fn defaults_and_pruning() {
    let mut server = server();
    let spec = outcome(&mut server, CERTS, certificate(json!({"typo": 1, "issuerRef": {"name": "ca", "typo": 2}}))).unwrap();
    assert_eq!(
        spec,
        json!({
            "secretName": "tls", "dnsNames": ["a"], "emailAddresses": [], "duration": "2160h", "privateKey": {"algorithm": "ECDSA"},
            "issuerRef": {"name": "ca", "kind": "Issuer", "group": "certs.example.com"},
        })
    );
    let more = json!({
        "unknown": 1, "storage": {"size": 5, "className": null, "note": null},
        "parameters": {"max_connections": 3, "shared_buffers": {"any": ["thing"]}},
        "podTemplate": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "typo": 1, "labels": {"a": "b"}}, "spec": {"x": 1}},
        "users": [{"name": "a"}, {"name": "a", "host": "b", "typo": 1}],
    });
    let spec = outcome(&mut server, DBS, database(more)).unwrap();
    assert_eq!(
        spec,
        json!({
            "engine": "mysql", "paused": false, "replicas": 1, "port": 5432, "noBackup": true,
            // A null stays where it is allowed, also where there is a default.
            "storage": {"size": 5, "className": null, "note": null},
            "parameters": {"max_connections": 3, "shared_buffers": {"any": ["thing"]}},
            "podTemplate": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"x": 1}},
            "users": [{"name": "a", "host": "%"}, {"name": "a", "host": "b"}],
        })
    );
}

#[test]
fn what_certificates_may_not_say() {
    let mut server = server();
    let cases = [
        (
            "a rule of the whole spec",
            json!({"dnsNames": null}),
            "spec: Invalid value: at least one of commonName, dnsNames and emailAddresses is needed",
        ),
        (
            "a rule that makes its message and names its field",
            json!({"duration": "1h", "renewBefore": "2h"}),
            "spec.renewBefore: Invalid value: renewBefore 2h is not shorter than duration 1h",
        ),
        (
            "a rule below a default",
            json!({"privateKey": {"algorithm": "RSA", "size": 1024}}),
            "spec.privateKey.size: Invalid value: RSA keys have 2048 bits or more",
        ),
        ("a set", json!({"dnsNames": ["a", "b", "a"]}), "spec.dnsNames[2]: Duplicate value: \"a\""),
        (
            "an enum",
            json!({"issuerRef": {"name": "ca", "kind": "Other"}}),
            "spec.issuerRef.kind: Unsupported value: \"Other\": supported values: \"Issuer\", \"ClusterIssuer\"",
        ),
        (
            "a pattern in a list",
            json!({"emailAddresses": ["a@b", "c"]}),
            "spec.emailAddresses[1]: Invalid value: \"c\": spec.emailAddresses[1] in body should match '^[^@]+@[^@]+$'",
        ),
        ("a required field", json!({"issuerRef": {}}), "spec.issuerRef.name: Required value"),
        ("lengths", json!({"commonName": "c".repeat(65)}), "spec.commonName: Too long: may not be more than 64 bytes"),
    ];
    for (case, spec, message) in cases {
        let refused = outcome(&mut server, CERTS, certificate(spec)).unwrap_err();
        assert_eq!(refused, format!("Certificate.certs.example.com \"x\" is invalid: {message}"), "{case}");
    }
}

#[test]
fn what_databases_may_not_say() {
    let mut server = server();
    let cases = [
        (
            "both alternatives",
            json!({"backup": {"schedule": "daily"}}),
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
        (
            "no alternative",
            json!({"noBackup": null}),
            "[<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid, \
             spec.backup: Required value]",
        ),
        (
            "a number that is neither integer nor text",
            json!({"port": 1.5}),
            "spec.port: Invalid value: \"number\": spec.port in body must be of type integer,string: \"number\"",
        ),
        (
            "a pattern of text",
            json!({"maxUnavailable": "half"}),
            "spec.maxUnavailable: Invalid value: \"half\": spec.maxUnavailable in body should match '^[0-9]+%?$'",
        ),
        (
            "a map's size",
            json!({"labels": {"a": "1", "b": "2", "c": "3", "d": "4"}}),
            "spec.labels: Too many: 4: must have at most 3 items",
        ),
        ("a map's values", json!({"labels": {"a": "longer"}}), "spec.labels.a: Too long: may not be more than 5 bytes"),
        (
            "keys of a list",
            json!({"users": [{"name": "a"}, {"name": "a", "host": "%"}]}),
            "spec.users[1]: Duplicate value: {\"host\":\"%\",\"name\":\"a\"}",
        ),
        (
            "multiples",
            json!({"users": [{"name": "a", "weight": 0.7}]}),
            "spec.users[0].weight: Invalid value: 0.7: spec.users[0].weight in body should be a multiple of 0.5",
        ),
        (
            "an exclusive bound",
            json!({"users": [{"name": "a", "weight": 0}]}),
            "spec.users[0].weight: Invalid value: 0: spec.users[0].weight in body should be greater than 0",
        ),
        (
            "an embedded object without a kind",
            json!({"podTemplate": {"apiVersion": "v1", "spec": {}}}),
            "spec.podTemplate.kind: Required value",
        ),
        (
            "more than the maximum",
            json!({"replicas": 10}),
            "spec.replicas: Invalid value: 10: spec.replicas in body should be less than or equal to 9",
        ),
    ];
    let mut wrong = Vec::new();
    for (case, spec, message) in cases {
        let refused = outcome(&mut server, DBS, database(spec)).unwrap_err();
        if refused != format!("Database.data.example.com \"x\" is invalid: {message}") {
            wrong.push(format!("{case}: {refused}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn changes_are_judged_and_status_goes_its_own_way() {
    let mut server = server();
    let made = server.post(CERTS, certificate(json!({"isCA": true}))).1;
    assert_eq!(made["metadata"]["generation"], 1);
    let change = |server: &mut Server, target: &str, patch: Value| {
        let merge = [("content-type", "application/merge-patch+json")];
        answer(&server.send("PATCH", &format!("{CERTS}/x{target}"), &merge, patch.to_string().as_bytes()))
    };
    let refused = change(&mut server, "", json!({"spec": {"isCA": false}}));
    assert_eq!(refused.1["message"], "Certificate.certs.example.com \"x\" is invalid: spec: Forbidden: isCA cannot change");
    let condition = |kind: &str| json!({"type": kind, "status": "True"});
    let both = json!({"spec": {"secretName": "other"}, "status": {"conditions": [condition("Ready")]}});
    let main = change(&mut server, "", both.clone()).1;
    assert_eq!(
        (&main["spec"]["secretName"], main.get("status")),
        (&json!("other"), None),
        "the status is not the main resource's"
    );
    assert_eq!(main["metadata"]["generation"], 2);
    let status = change(&mut server, "/status", json!({"spec": {"secretName": "third"}, "status": both["status"]})).1;
    assert_eq!((&status["spec"]["secretName"], &status["status"]["conditions"][0]["type"]), (&json!("other"), &json!("Ready")));
    assert_eq!(status["metadata"]["generation"], 2);
    let twice = change(&mut server, "/status", json!({"status": {"conditions": [condition("Ready"), condition("Ready")]}}));
    assert_eq!(
        twice.1["message"],
        "Certificate.certs.example.com \"x\" is invalid: status.conditions[1]: Duplicate value: {\"type\":\"Ready\"}"
    );
}

fn apply(server: &mut Server, target: &str, manager: &str, object: &Value) -> (u16, Value) {
    let kind = [("content-type", "application/apply-patch+yaml")];
    answer(&server.send("PATCH", &format!("{target}?fieldManager={manager}"), &kind, object.to_string().as_bytes()))
}

#[test]
fn managers_share_what_the_schema_lets_them_share() {
    let mut server = server();
    let with = |spec: Value| json!({"apiVersion": "certs.example.com/v1", "kind": "Certificate", "metadata": {"name": "x"}, "spec": spec});
    let target = format!("{CERTS}/x");
    let first = with(json!({"secretName": "tls", "dnsNames": ["a", "b"], "issuerRef": {"name": "ca"}}));
    assert_eq!(apply(&mut server, &target, "one", &first).0, 201);
    let second = apply(&mut server, &target, "two", &with(json!({"dnsNames": ["c", "b"]})));
    assert_eq!((second.0, &second.1["spec"]["dnsNames"]), (200, &json!(["a", "c", "b"])), "sets are shared item by item");
    let atomic = apply(&mut server, &target, "two", &with(json!({"issuerRef": {"name": "ca", "kind": "ClusterIssuer"}})));
    assert_eq!(atomic.1["message"], "Apply failed with 1 conflict: conflict with \"one\": .spec.issuerRef");
    let status = |kind: &str, status: &str| {
        let mut object = with(json!({}));
        object.as_object_mut().unwrap().remove("spec");
        object["status"] = json!({"conditions": [{"type": kind, "status": status}]});
        object
    };
    let target = format!("{CERTS}/x/status");
    apply(&mut server, &target, "issuer", &status("Ready", "True"));
    let both = apply(&mut server, &target, "checker", &status("Valid", "True")).1;
    assert_eq!(both["status"]["conditions"].as_array().unwrap().len(), 2, "conditions are shared by their type");
    let conflict = apply(&mut server, &target, "checker", &status("Ready", "False"));
    assert_eq!(
        conflict.1["message"],
        "Apply failed with 1 conflict: conflict with \"issuer\" with subresource \"status\": .status.conditions[type=\"Ready\"].status"
    );
}

#[test]
fn scale_selectors_and_versions() {
    let mut server = server();
    assert_eq!(server.post(DBS, database(json!({"replicas": 2}))).0, 201);
    let merge = [("content-type", "application/merge-patch+json")];
    let status = json!({"status": {"replicas": 1, "selector": "app=x"}}).to_string();
    server.send("PATCH", &format!("{DBS}/x/status"), &merge, status.as_bytes());
    let scale = server.get(&format!("{DBS}/x/scale")).1;
    assert_eq!((&scale["spec"], &scale["status"]), (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "app=x"})));
    let scaled = answer(&server.send("PATCH", &format!("{DBS}/x/scale"), &merge, br#"{"spec":{"replicas":10}}"#));
    assert_eq!(scaled.0, 422, "the schema's maximum holds for the scale as well: {}", scaled.1);
    let scaled = answer(&server.send("PATCH", &format!("{DBS}/x/scale"), &merge, br#"{"spec":{"replicas":5}}"#));
    assert_eq!(scaled.1["spec"]["replicas"], 5);
    let count = |server: &mut Server, selector: &str| {
        let (status, list) = server.get(&format!("{DBS}?fieldSelector={selector}"));
        if status == 200 { list["items"].as_array().map(Vec::len) } else { None }
    };
    for (selector, found) in [
        ("spec.engine%3Dmysql,spec.paused%3Dfalse", Some(1)),
        ("spec.engine!%3Dmysql", Some(0)),
        ("spec.paused%3Dtrue", Some(0)),
        ("spec.replicas%3D5", None),
    ] {
        assert_eq!(count(&mut server, selector), found, "{selector}");
    }
    let old = "/apis/data.example.com/v1beta1/namespaces/default/databases/x";
    let seen = server.get(old).1;
    assert_eq!((&seen["apiVersion"], &seen["spec"]["replicas"]), (&json!("data.example.com/v1beta1"), &json!(5)));
    assert_eq!(server.get(&format!("{old}/scale")).0, 404, "the older version has no scale");
    // Kept in v1, whatever it was written as; what v1 does not know is gone.
    let mut written = seen;
    (written["spec"]["replicas"], written["spec"]["more"]) = (json!(3), json!(true));
    assert_eq!(server.ask("PUT", old, written).0, 200);
    let kept = server.get(&format!("{DBS}/x")).1;
    assert_eq!((&kept["spec"]["replicas"], kept["spec"].get("more")), (&json!(3), None));
}

#[test]
fn documents_and_tables_show_what_the_definition_says() {
    let mut server = server();
    let document = server.get("/openapi/v3/apis/certs.example.com/v1").1;
    let schema = &document["components"]["schemas"]["com.example.certs.v1.Certificate"];
    let spec = &schema["properties"]["spec"]["properties"];
    assert_eq!(spec["issuerRef"]["properties"]["kind"]["enum"], json!(["Issuer", "ClusterIssuer"]));
    assert_eq!(spec["privateKey"]["properties"]["size"]["format"], "int32");
    assert_eq!(schema["properties"]["spec"]["required"], json!(["secretName", "issuerRef"]));
    assert_eq!(
        schema["x-kubernetes-group-version-kind"],
        json!([{"group": "certs.example.com", "version": "v1", "kind": "Certificate"}])
    );
    let reference = &schema["properties"]["metadata"]["allOf"][0]["$ref"];
    assert_eq!(reference, "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    server.post(CERTS, certificate(json!({})));
    let accept = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let table = answer(&server.send("GET", CERTS, &accept, b"")).1;
    let names: Vec<&str> = table["columnDefinitions"].as_array().unwrap().iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["Name", "Ready", "Secret", "Issuer", "Status", "Age"]);
    assert_eq!(table["rows"][0]["cells"], json!(["x", null, "tls", "ca", null, "0s"]));
}
