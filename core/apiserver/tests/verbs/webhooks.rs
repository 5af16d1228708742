//! Servers outside that change, judge and convert objects. The tests are these servers.

use object::{Value, json};
use wasmkube_apiserver::message::{Answered, CallId, Outgoing, Output};

use crate::{CONFIGMAPS, Server, answer, configmap, events};

const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A configuration with one webhook for ConfigMaps.
fn configuration(kind: &str, name: &str, more: Value) -> Value {
    let mut hook = json!({
        "name": format!("{name}.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": format!("https://hooks.example.com/{name}")},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        hook[key] = value.clone();
    }
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [hook]})
}

fn calls(outputs: &[Output]) -> Vec<(CallId, Outgoing)> {
    let call = |output: &Output| match output {
        Output::Call { call, outgoing } => Some((*call, outgoing.clone())),
        _ => None,
    };
    outputs.iter().filter_map(call).collect()
}

fn body(outgoing: &Outgoing) -> Value {
    serde_json::from_slice(&outgoing.body).expect("a question is JSON")
}

/// Lets `respond` answer all reviews until nothing is asked any more; returns everything that came of it.
fn serve(server: &mut Server, outputs: Vec<Output>, respond: impl Fn(&str, &Value) -> Value) -> Vec<Output> {
    let mut all = Vec::new();
    let mut waiting = outputs;
    loop {
        let asked = calls(&waiting);
        all.append(&mut waiting);
        if asked.is_empty() {
            return all;
        }
        for (call, outgoing) in asked {
            let review = body(&outgoing);
            let mut response = respond(&outgoing.target, &review["request"]);
            response["uid"] = review["request"]["uid"].clone();
            let review = json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response});
            let reply = Answered { status: 200, body: review.to_string().into_bytes().into() };
            server.api.answered(server.now, call, Ok(reply));
            waiting.extend(server.api.take_outputs().into_iter().filter(|output| !matches!(output, Output::Served { .. })));
        }
    }
}

fn send(server: &mut Server, method: &str, target: &str, body: &Value) -> Vec<Output> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    server.send(method, target, &[("content-type", "application/json")], &body)
}

fn patch(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": base64(operations.to_string().as_bytes())})
}

fn base64(bytes: &[u8]) -> String {
    schema::base64::encode(bytes)
}

#[test]
fn a_webhook_changes_what_is_stored() {
    let mut server = Server::new();
    server.post(MUTATING, configuration("MutatingWebhookConfiguration", "m", json!({})));
    let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("a"));
    let asked = calls(&outputs);
    let [(_, outgoing)] = asked.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(outputs.len(), 1, "nothing is answered or stored before the webhook has spoken");
    assert_eq!((outgoing.upstream.host.as_str(), outgoing.target.as_str()), ("hooks.example.com", "/m?timeout=10s"));
    let request = &body(outgoing)["request"];
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(
        (&request["operation"], &request["name"], &request["namespace"]),
        (&json!("CREATE"), &json!("a"), &json!("default"))
    );
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!(request["options"]["kind"], "CreateOptions");
    let operations = json!([{"op": "add", "path": "/data/added", "value": "yes"}]);
    let outputs = serve(&mut server, outputs, |_, _| patch(&operations));
    let (code, created) = answer(&outputs);
    assert_eq!((code, &created["data"]), (201, &json!({"k": "v", "added": "yes"})));
    assert!(matches!(outputs.iter().rev().nth(1), Some(Output::Journal(_))), "{outputs:?}");
}

#[test]
fn refusals_carry_what_the_webhook_said() {
    for (status, code, reason, message) in [
        (json!({"message": "no"}), 400, "", "admission webhook \"v.example.com\" denied the request: no"),
        (
            json!({"code": 403, "reason": "Forbidden"}),
            403,
            "Forbidden",
            "admission webhook \"v.example.com\" denied the request: Forbidden",
        ),
        (Value::Null, 400, "", "admission webhook \"v.example.com\" denied the request without explanation"),
    ] {
        let mut server = Server::new();
        server.post(VALIDATING, configuration("ValidatingWebhookConfiguration", "v", json!({})));
        let before = server.api.store().revision();
        let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("a"));
        let outputs = serve(&mut server, outputs, |_, _| json!({"allowed": false, "status": status, "warnings": ["mind this"]}));
        let (got, refusal) = answer(&outputs);
        assert_eq!(
            (got, refusal["reason"].as_str().unwrap_or_default(), refusal["message"].as_str()),
            (code, reason, Some(message))
        );
        assert_eq!(server.api.store().revision(), before, "a refused request changes nothing");
        let Some(Output::Respond { headers, .. }) = outputs.last() else { panic!("{outputs:?}") };
        assert!(headers.contains(&("warning".to_owned(), "299 - \"mind this\"".to_owned())), "{headers:?}");
    }
}

#[test]
fn failure_policy_decides_when_a_webhook_cannot_be_asked() {
    let failed = "dial tcp 10.0.0.1:443: connect: connection refused";
    for (policy, code) in [("Fail", 500), ("Ignore", 201)] {
        for kind in ["Mutating", "Validating"] {
            let mut server = Server::new();
            let path = if kind == "Mutating" { MUTATING } else { VALIDATING };
            server.post(path, configuration(&format!("{kind}WebhookConfiguration"), "h", json!({"failurePolicy": policy})));
            let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("a"));
            let (call, _) = calls(&outputs).remove(0);
            server.api.answered(server.now, call, Err(failed.to_owned()));
            let (got, answer) = answer(&server.api.take_outputs());
            assert_eq!(got, code, "{kind} {policy}: {answer}");
            if code == 500 {
                let message = format!(
                    "Internal error occurred: failed calling webhook \"h.example.com\": failed to call webhook: \
                     Post \"https://hooks.example.com/h?timeout=10s\": {failed}"
                );
                assert_eq!((answer["message"].as_str(), answer["reason"].as_str()), (Some(&*message), Some("InternalError")));
            }
        }
    }
}

#[test]
fn answers_must_be_answers() {
    for (response, why) in [
        (json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}), "webhook response was absent"),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "response": {"uid": "UID", "allowed": true}}),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got v1, Kind=Pod",
        ),
        (
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": {"uid": "UID", "allowed": true, "patch": "W10="}}),
            "webhook returned response.patch but not response.patchType",
        ),
    ] {
        let mut server = Server::new();
        server.post(MUTATING, configuration("MutatingWebhookConfiguration", "m", json!({})));
        let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("a"));
        let (call, outgoing) = calls(&outputs).remove(0);
        let uid = body(&outgoing)["request"]["uid"].as_str().unwrap_or_default().to_owned();
        let reply = response.to_string().replace("UID", &uid);
        server.api.answered(server.now, call, Ok(Answered { status: 200, body: reply.into_bytes().into() }));
        let (code, refusal) = answer(&server.api.take_outputs());
        let message = refusal["message"].as_str().unwrap_or_default();
        assert_eq!(code, 500);
        assert!(message.ends_with(&format!("received invalid webhook response: {why}")), "{message}");
    }
}

/// <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy>
#[test]
fn webhooks_see_the_object_again_when_others_changed_it() {
    let mut server = Server::new();
    server.post(MUTATING, configuration("MutatingWebhookConfiguration", "a", json!({"reinvocationPolicy": "IfNeeded"})));
    server.post(MUTATING, configuration("MutatingWebhookConfiguration", "b", json!({})));
    let seen = std::cell::RefCell::new(Vec::new());
    let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("c"));
    let outputs = serve(&mut server, outputs, |target, request| {
        let name = target[1..2].to_owned();
        let count = request["object"]["data"].as_object().map_or(0, |data| data.len());
        seen.borrow_mut().push((name.clone(), count));
        if request["object"]["data"].get(&name).is_some() {
            return json!({"allowed": true});
        }
        patch(&json!([{"op": "add", "path": format!("/data/{name}"), "value": "1"}]))
    });
    assert_eq!(answer(&outputs).0, 201);
    let expected: Vec<(String, usize)> = [("a", 1), ("b", 2), ("a", 3)].map(|(name, n)| (name.to_owned(), n)).into();
    assert_eq!(seen.into_inner(), expected, "the first is asked again after the second, once");
}

#[test]
fn webhooks_are_asked_only_of_what_they_are_for() {
    for (case, more, asked) in [
        ("its kind", json!({}), true),
        (
            "another operation",
            json!({"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["*"]}]}),
            false,
        ),
        (
            "another resource",
            json!({"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}]}),
            false,
        ),
        ("other labels", json!({"objectSelector": {"matchLabels": {"name": "other"}}}), false),
        ("another namespace", json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}), false),
        (
            "a condition that holds",
            json!({"matchConditions": [{"name": "c", "expression": "object.metadata.name == 'a'"}]}),
            true,
        ),
        (
            "a condition that does not",
            json!({"matchConditions": [{"name": "c", "expression": "request.operation == 'DELETE'"}]}),
            false,
        ),
    ] {
        let mut server = Server::new();
        let (code, answer) = server.post(VALIDATING, configuration("ValidatingWebhookConfiguration", "v", more));
        assert_eq!(code, 201, "{case}: {answer}");
        let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("a"));
        assert_eq!(!calls(&outputs).is_empty(), asked, "{case}");
    }
}

#[test]
fn a_collection_is_judged_before_any_of_it_is_gone() {
    let mut server = Server::new();
    for name in ["a", "b", "c"] {
        server.post(CONFIGMAPS, configmap(name));
    }
    server.post(VALIDATING, configuration("ValidatingWebhookConfiguration", "v", json!({})));
    let outputs = send(&mut server, "DELETE", CONFIGMAPS, &Value::Null);
    let outputs = serve(&mut server, outputs, |_, request| json!({"allowed": request["name"] != "c"}));
    assert_eq!(answer(&outputs).0, 400);
    assert_eq!(server.get(CONFIGMAPS).1["items"].as_array().map(Vec::len), Some(3), "one was kept, so all were");
    let outputs = send(&mut server, "DELETE", CONFIGMAPS, &Value::Null);
    let outputs = serve(&mut server, outputs, |_, _| json!({"allowed": true}));
    assert_eq!((answer(&outputs).0, server.get(CONFIGMAPS).1["items"].as_array().map(Vec::len)), (200, Some(0)));
}

#[test]
fn a_client_that_left_is_not_served() {
    let mut server = Server::new();
    server.post(VALIDATING, configuration("ValidatingWebhookConfiguration", "v", json!({})));
    let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("a"));
    let (call, _) = calls(&outputs).remove(0);
    server.api.closed(server.stream);
    server.api.answered(server.now, call, Err("late".to_owned()));
    assert_eq!(server.api.take_outputs(), []);
    assert_eq!(server.get(&format!("{CONFIGMAPS}/a")).0, 404);
}

#[test]
fn a_service_is_reached_at_an_endpoint() {
    let service = json!({"clientConfig": {"service": {"namespace": "default", "name": "hooks", "path": "/check", "port": 8443}}});
    let mut server = Server::new();
    server.post(VALIDATING, configuration("ValidatingWebhookConfiguration", "v", service));
    let (code, refused) = server.post(CONFIGMAPS, configmap("a"));
    let prefix = "Internal error occurred: failed calling webhook \"v.example.com\": failed to call webhook: \
                  Post \"https://hooks.default.svc:8443/check?timeout=10s\": ";
    assert_eq!((code, refused["message"].as_str()), (500, Some(&*format!("{prefix}service \"hooks\" not found"))));
    let ports = json!([{"port": 8443, "targetPort": 9443}]);
    let spec = json!({"selector": {"app": "hooks"}, "ports": ports});
    server.post(
        "/api/v1/namespaces/default/services",
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hooks"}, "spec": spec}),
    );
    let refused = server.post(CONFIGMAPS, configmap("a")).1;
    assert_eq!(refused["message"].as_str(), Some(&*format!("{prefix}no endpoints available for service \"hooks\"")));
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": 9443, "name": ""}],
        "metadata": {"name": "hooks-1", "labels": {"kubernetes.io/service-name": "hooks"}},
        "endpoints": [{"addresses": ["10.244.0.9"], "conditions": {"ready": false}}, {"addresses": ["10.244.0.7"]}],
    });
    server.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice);
    let outputs = send(&mut server, "POST", CONFIGMAPS, &configmap("a"));
    let (_, outgoing) = calls(&outputs).remove(0);
    let upstream = outgoing.upstream;
    assert_eq!(
        (upstream.host.as_str(), upstream.address.as_str(), upstream.address_port),
        ("hooks.default.svc", "10.244.0.7", 9443)
    );
}

/// A definition whose `v1` has `host:port` where its storage version `v2` has two fields.
fn definition() -> Value {
    let schema = |properties: Value| {
        let spec = json!({"type": "object", "properties": properties});
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}})
    };
    let text = json!({"type": "string"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "sites.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "sites", "kind": "Site"},
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://hooks.example.com/convert"},
            }},
            "versions": [
                {"name": "v1", "served": true, "storage": false, "schema": schema(json!({"address": text}))},
                {"name": "v2", "served": true, "storage": true, "schema": schema(json!({"host": text, "port": text}))},
            ],
        },
    })
}

/// The conversion webhook of [`definition`].
fn convert(_: &str, request: &Value) -> Value {
    let wanted = &request["desiredAPIVersion"];
    let converted = request["objects"].as_array().into_iter().flatten().map(|object| {
        let mut object = object.clone();
        object["apiVersion"] = wanted.clone();
        let text = |key: &str| object["spec"][key].as_str().unwrap_or_default().to_owned();
        object["spec"] = if wanted == "example.com/v2" {
            let address = text("address");
            let (host, port) = address.split_once(':').unwrap_or((&address, ""));
            json!({"host": host, "port": port})
        } else {
            json!({"address": format!("{}:{}", text("host"), text("port"))})
        };
        object
    });
    json!({"result": {"status": "Success"}, "convertedObjects": converted.collect::<Vec<Value>>()})
}

#[test]
fn versions_are_converted_by_a_webhook() {
    let mut server = Server::new();
    let (code, made) = server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition());
    assert_eq!(code, 201, "{made}");
    let (v1, v2) = ("/apis/example.com/v1/namespaces/default/sites", "/apis/example.com/v2/namespaces/default/sites");
    let outputs = send(&mut server, "GET", &format!("{v1}?watch=1"), &Value::Null);
    assert!(matches!(outputs.as_slice(), [Output::Open { .. }]), "{outputs:?}");

    let site = json!({"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "a"}, "spec": {"address": "h:80"}});
    let outputs = send(&mut server, "POST", v1, &site);
    let outputs = serve(&mut server, outputs, convert);
    let (code, created) = answer(&outputs);
    assert_eq!(
        (code, &created["spec"], &created["apiVersion"]),
        (201, &json!({"address": "h:80"}), &json!("example.com/v1")),
        "{created}"
    );
    assert!(created["metadata"]["resourceVersion"].is_string());
    assert_eq!(events(&outputs), [("ADDED".to_owned(), "a".to_owned())], "{outputs:?}");

    let stored = server.get(&format!("{v2}/a")).1;
    assert_eq!(stored["spec"], json!({"host": "h", "port": "80"}), "kept in the storage version, shown without asking");

    let outputs = server.send(
        "PATCH",
        &format!("{v1}/a"),
        &[("content-type", "application/merge-patch+json")],
        br#"{"spec":{"address":"h:81"}}"#,
    );
    let outputs = serve(&mut server, outputs, convert);
    let (code, patched) = answer(&outputs);
    assert_eq!((code, &patched["spec"]), (200, &json!({"address": "h:81"})), "{patched}");
    assert_eq!(events(&outputs), [("MODIFIED".to_owned(), "a".to_owned())]);
    assert_eq!(server.get(&format!("{v2}/a")).1["spec"]["port"], "81");

    let outputs = send(&mut server, "GET", v1, &Value::Null);
    let outputs = serve(&mut server, outputs, convert);
    assert_eq!(answer(&outputs).1["items"][0]["spec"], json!({"address": "h:81"}));
    let again = send(&mut server, "GET", &format!("{v1}/a"), &Value::Null);
    assert!(calls(&again).is_empty(), "what was converted once is known");

    let outputs = send(&mut server, "DELETE", &format!("{v1}/a"), &Value::Null);
    let outputs = serve(&mut server, outputs, convert);
    assert_eq!(answer(&outputs).0, 200);
    assert_eq!(events(&outputs), [("DELETED".to_owned(), "a".to_owned())]);
}

#[test]
fn a_conversion_that_fails_says_why() {
    let mut server = Server::new();
    server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition());
    let v1 = "/apis/example.com/v1/namespaces/default/sites";
    let site = json!({"apiVersion": "example.com/v1", "kind": "Site", "metadata": {"name": "a"}, "spec": {"address": "h:80"}});
    let outputs = send(&mut server, "POST", v1, &site);
    let outputs = serve(&mut server, outputs, |_, _| json!({"result": {"status": "Failure", "message": "cannot"}}));
    let (code, refusal) = answer(&outputs);
    let message = "conversion webhook for example.com/v1, Kind=Site failed: cannot";
    assert_eq!((code, refusal["message"].as_str()), (500, Some(message)));
    assert_eq!(server.get("/apis/example.com/v2/namespaces/default/sites").1["items"], json!([]));
}
