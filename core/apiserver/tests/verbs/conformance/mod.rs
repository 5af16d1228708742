//! What Kubernetes' conformance tests ask of the API alone, as sequences of calls: each story is one of those tests (or what of it
//! could differ here), each step a request with what must stand in its answer.

mod network;
mod objects;
mod updates;
mod workloads;

use object::{Value, json};

use crate::{Server, answer};

/// A request, the status of its answer, and values by JSON pointer. A text for `/message` need only be contained.
struct Step {
    /// `POST`, `GET`, `PUT`, `DELETE`, or the kind of a patch: `merge`, `strategic`, `json`, `apply`.
    method: &'static str,
    target: &'static str,
    body: Value,
    status: u16,
    see: Value,
}

fn step(method: &'static str, target: &'static str, body: Value, status: u16, see: Value) -> Step {
    Step { method, target, body, status, see }
}

fn tell(name: &str, story: Vec<Step>) {
    let mut server = Server::new();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    server.post("/api/v1/namespaces/default/serviceaccounts", account);
    let mut wrong = Vec::new();
    for (number, step) in story.into_iter().enumerate() {
        let patch = match step.method {
            "merge" => Some("application/merge-patch+json"),
            "strategic" => Some("application/strategic-merge-patch+json"),
            "json" => Some("application/json-patch+json"),
            "apply" => Some("application/apply-patch+yaml"),
            _ => None,
        };
        let body = if step.body.is_null() { Vec::new() } else { step.body.to_string().into_bytes() };
        let headers = [("content-type", patch.unwrap_or("application/json"))];
        let method = if patch.is_some() { "PATCH" } else { step.method };
        let (status, answer) = answer(&server.send(method, step.target, &headers, &body));
        let title = format!("{name}, step {number} ({} {})", step.method, step.target);
        if status != step.status {
            wrong.push(format!("{title}: {status} instead of {}: {}", step.status, answer["message"]));
            continue;
        }
        for (pointer, wanted) in step.see.as_object().into_iter().flatten() {
            let found = answer.pointer(pointer).unwrap_or(&Value::Null);
            let contained = pointer == "/message"
                && wanted.as_str().zip(found.as_str()).is_some_and(|(wanted, found)| found.contains(wanted));
            if found != wanted && !contained {
                wrong.push(format!("{title}: {pointer} is {found} instead of {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": {"e2e": "yes"}}});
    for (key, value) in rest.as_object().into_iter().flatten() {
        if key == "metadata" {
            for (key, value) in value.as_object().into_iter().flatten() {
                object["metadata"][key] = value.clone();
            }
        } else {
            object[key] = value.clone();
        }
    }
    object
}

const NULL: Value = Value::Null;

/// `chunking.go`: a list goes on after its version is compacted away, if the client accepts that it is no longer one version.
#[test]
fn lists_go_on_after_compaction() {
    let mut server = Server::new();
    for number in 0..9 {
        server.post(crate::CONFIGMAPS, crate::configmap(&format!("c{number}")));
    }
    let page = |server: &mut Server, token: &str| server.get(&format!("{}?limit=4&continue={token}", crate::CONFIGMAPS));
    let first = page(&mut server, "").1;
    assert_eq!((&first["metadata"]["remainingItemCount"], first["items"].as_array().unwrap().len()), (&json!(5), 4));
    for number in 0..120 {
        server.ask(
            "PUT",
            &format!("{}/c0", crate::CONFIGMAPS),
            object("v1", "ConfigMap", "c0", json!({"data": {"n": number.to_string()}})),
        );
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (status, expired) = page(&mut server, token);
    assert_eq!((status, &expired["reason"]), (410, &json!("Expired")));
    let token = expired["metadata"]["continue"].as_str().expect("a token to go on with");
    let (status, second) = page(&mut server, token);
    assert_eq!((status, &second["items"][0]["metadata"]["name"]), (200, &json!("c4")));
    assert_ne!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let third = page(&mut server, second["metadata"]["continue"].as_str().unwrap()).1;
    assert_eq!((&third["items"][0]["metadata"]["name"], &third["metadata"]["continue"]), (&json!("c8"), &NULL));
}

/// `table_conversion.go`: what has no table is not acceptable.
#[test]
fn tables() {
    let mut server = Server::new();
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let headers = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"), ("content-type", "application/json")];
    let target = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let refused = answer(&server.send("POST", target, &headers, review.to_string().as_bytes()));
    assert_eq!(refused.0, 406, "{}", refused.1);
}

/// The watch list of client-go 1.35: the first state, a bookmark that says it is complete, then what happens; and again from there.
#[test]
fn lists_through_watches() {
    let mut server = Server::new();
    server.post(crate::CONFIGMAPS, crate::configmap("a"));
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&resourceVersion=";
    for version in ["", "0", "1"] {
        let outputs = server.send("GET", &format!("{}?{query}{version}&timeoutSeconds=300", crate::CONFIGMAPS), &[], b"");
        let kinds: Vec<String> = crate::events(&outputs).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["ADDED", "BOOKMARK"], "resourceVersion {version:?}");
        let text: String = outputs
            .iter()
            .filter_map(|o| {
                if let wasmkube_apiserver::message::Output::Data { bytes, .. } = o {
                    Some(String::from_utf8_lossy(bytes).into_owned())
                } else {
                    None
                }
            })
            .collect();
        assert!(text.contains("\"k8s.io/initial-events-end\":\"true\""), "{text}");
    }
    let refused = |server: &mut Server, query: &str| {
        let (status, body) = server.get(&format!("{}?{query}", crate::CONFIGMAPS));
        (status, body["message"].as_str().unwrap_or_default().to_owned())
    };
    let cases = [
        ("watch=true&sendInitialEvents=true", 422, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        (
            "watch=true&resourceVersionMatch=Exact",
            422,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
        ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            422,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
    ];
    for (query, status, message) in cases {
        let found = refused(&mut server, query);
        assert!(found.0 == status && found.1.contains(message), "{query}: {found:?}");
    }
    // Not older than a version that is still to come: the client is told to come back.
    let future = refused(&mut server, "resourceVersion=99999&resourceVersionMatch=NotOlderThan");
    assert!(future.0 == 504 && future.1.contains("Too large resource version"), "{future:?}");
}
