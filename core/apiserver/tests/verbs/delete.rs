//! DELETE of one object and of a collection.

use object::{Value, json};

use super::{CONFIGMAPS, Server, configmap};

#[test]
fn preconditions_must_hold() {
    let mut server = Server::new();
    server.post(CONFIGMAPS, configmap("a"));
    let (status, _) = server.ask("DELETE", &format!("{CONFIGMAPS}/a"), json!({"preconditions": {"uid": "other"}}));
    assert_eq!(status, 409);
    let (status, done) = server.ask("DELETE", &format!("{CONFIGMAPS}/a"), Value::Null);
    assert_eq!((status, done["status"].as_str()), (200, Some("Success")));
    assert_eq!(server.get(&format!("{CONFIGMAPS}/a")).0, 404);
}

#[test]
fn finalizers_are_waited_for() {
    let mut server = Server::new();
    let mut object = configmap("a");
    object["metadata"]["finalizers"] = json!(["example.com/wait"]);
    server.post(CONFIGMAPS, object);
    let (_, waiting) = server.ask("DELETE", &format!("{CONFIGMAPS}/a"), Value::Null);
    assert_eq!(waiting["metadata"]["deletionTimestamp"], "2023-11-14T22:13:20Z");
    let kind = [("content-type", "application/merge-patch+json")];
    server.send("PATCH", &format!("{CONFIGMAPS}/a"), &kind, br#"{"metadata":{"finalizers":null}}"#);
    assert_eq!(server.get(&format!("{CONFIGMAPS}/a")).0, 404);
}

#[test]
fn a_collection_is_deleted_as_far_as_it_is_selected() {
    let mut server = Server::new();
    for name in ["a", "b"] {
        server.post(CONFIGMAPS, configmap(name));
    }
    server.ask("DELETE", &format!("{CONFIGMAPS}?labelSelector=name%3Da"), Value::Null);
    assert_eq!(server.get(&format!("{CONFIGMAPS}/a")).0, 404);
    assert_eq!(server.get(&format!("{CONFIGMAPS}/b")).0, 200);
}
