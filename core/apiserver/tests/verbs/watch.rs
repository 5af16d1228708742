//! GET of a collection with `watch=true`.

use object::Value;
use wasmkube_apiserver::message::Output;

use super::{CONFIGMAPS, Server, configmap, events};

fn open(server: &mut Server, query: &str) -> Vec<Output> {
    server.send("GET", &format!("{CONFIGMAPS}?watch=true&{query}"), &[], b"")
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[test]
fn a_watch_begins_where_it_is_told_to() {
    let mut server = Server::new();
    server.post(CONFIGMAPS, configmap("a"));
    let revision = server.api.store().revision();
    server.post(CONFIGMAPS, configmap("b"));
    assert_eq!(events(&open(&mut server, &format!("resourceVersion={revision}"))), [pair("ADDED", "b")]);
}

#[test]
fn an_event_leaves_once_for_all_who_want_it() {
    let mut server = Server::new();
    let revision = server.api.store().revision();
    for _ in 0..3 {
        open(&mut server, &format!("resourceVersion={revision}"));
    }
    let outputs = server.send("POST", CONFIGMAPS, &[], configmap("a").to_string().as_bytes());
    let data: Vec<_> =
        outputs.iter().filter_map(|o| if let Output::Data { streams, .. } = o { Some(streams) } else { None }).collect();
    assert_eq!(data, [&vec![1, 2, 3]]);
}

#[test]
fn what_begins_to_match_is_added_and_what_ceases_to_is_deleted() {
    let mut server = Server::new();
    server.post(CONFIGMAPS, configmap("a"));
    let revision = server.api.store().revision();
    open(&mut server, &format!("resourceVersion={revision}&labelSelector=on"));
    let mut seen = Vec::new();
    for labels in [r#"{"on":"1"}"#, r#"{"on":"2"}"#, r#"{"on":null}"#, r#"{"off":"1"}"#] {
        let patch = format!(r#"{{"metadata":{{"labels":{labels}}}}}"#);
        let kind = [("content-type", "application/merge-patch+json")];
        seen.extend(events(&server.send("PATCH", &format!("{CONFIGMAPS}/a"), &kind, patch.as_bytes())));
    }
    assert_eq!(seen, [pair("ADDED", "a"), pair("MODIFIED", "a"), pair("DELETED", "a")]);
}

#[test]
fn initial_events_end_with_a_bookmark() {
    let mut server = Server::new();
    server.post(CONFIGMAPS, configmap("a"));
    let query = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    assert_eq!(events(&open(&mut server, query)), [pair("ADDED", "a"), pair("BOOKMARK", "")]);
}

#[test]
fn a_watch_from_before_the_history_is_told_so_and_ends() {
    let mut server = Server::new();
    for i in 0..120 {
        server.post(CONFIGMAPS, configmap(&format!("x{i}")));
    }
    let outputs = open(&mut server, "resourceVersion=1");
    assert_eq!(events(&outputs), [pair("ERROR", "")]);
    assert!(matches!(outputs.last(), Some(Output::End(_))));
}

#[test]
fn a_watch_ends_at_its_time() {
    let mut server = Server::new();
    open(&mut server, "timeoutSeconds=5");
    server.api.take_outputs();
    server.now = server.now.plus_secs(5);
    server.api.run(server.now);
    assert_eq!(server.api.take_outputs(), [Output::End(1)]);
    server.ask("POST", CONFIGMAPS, Value::Null);
}
