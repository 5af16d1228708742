//! GET of a collection: pages, selectors, the past.

use object::{Value, json};

use super::{CONFIGMAPS, Server, configmap};

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

fn filled() -> Server {
    let mut server = Server::new();
    for name in ["a", "b", "c", "d", "e"] {
        server.post(CONFIGMAPS, configmap(name));
    }
    server
}

#[test]
fn pages_show_the_state_of_the_first_one() {
    let mut server = filled();
    let (_, first) = server.get(&format!("{CONFIGMAPS}?limit=2"));
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(3)));
    // What happens between two pages is not seen by the second.
    server.ask("DELETE", &format!("{CONFIGMAPS}/d"), Value::Null);
    let token = first["metadata"]["continue"].as_str().expect("there is more");
    let (_, second) = server.get(&format!("{CONFIGMAPS}?limit=9&continue={token}"));
    assert_eq!(names(&second), ["c", "d", "e"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
}

#[test]
fn a_page_token_outlives_the_history_by_nothing() {
    let mut server = filled();
    let (_, first) = server.get(&format!("{CONFIGMAPS}?limit=2"));
    for i in 0..101 {
        server.post(CONFIGMAPS, configmap(&format!("x{i}")));
    }
    let token = first["metadata"]["continue"].as_str().expect("there is more");
    let (status, expired) = server.get(&format!("{CONFIGMAPS}?limit=2&continue={token}"));
    assert_eq!((status, expired["reason"].as_str()), (410, Some("Expired")));
}

/// Servers with support for API chunking should support continue listing from the last key if the original version has been
/// compacted away, though the list is inconsistent
#[test]
fn a_page_token_ends_after_some_minutes_and_another_goes_on() {
    let mut server = filled();
    let (_, first) = server.get(&format!("{CONFIGMAPS}?limit=2"));
    let page = |server: &mut Server, list: &Value| {
        let token = list["metadata"]["continue"].as_str().expect("there is more");
        server.get(&format!("{CONFIGMAPS}?limit=2&continue={token}"))
    };
    let minutes = |server: &mut Server, of: std::ops::Range<u64>| {
        for minute in of {
            server.now = server.now.plus_secs(60);
            server.api.run(server.now);
            server.post(CONFIGMAPS, configmap(&format!("z{minute}")));
        }
    };
    minutes(&mut server, 0..4);
    assert_eq!(page(&mut server, &first).0, 200);
    minutes(&mut server, 4..7);
    let (code, expired) = page(&mut server, &first);
    assert_eq!((code, expired["reason"].as_str()), (410, Some("Expired")));
    let (_, second) = page(&mut server, &expired);
    assert_eq!((names(&second), &second["metadata"]["remainingItemCount"]), (vec!["c", "d"], &json!(8)));
    assert_ne!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let (_, third) = page(&mut server, &second);
    assert_eq!(third["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"], "consistent from there on");
    // A watch still begins where the first list was made.
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = server.send("GET", &format!("{CONFIGMAPS}?watch=1&resourceVersion={revision}"), &[], &[]);
    assert_eq!(crate::events(&watch).iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["ADDED"; 7]);
}

#[test]
fn selectors_choose() {
    let mut server = filled();
    for (query, expect) in [
        ("labelSelector=name+in+(a,c)", vec!["a", "c"]),
        ("labelSelector=!name", vec![]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
    ] {
        assert_eq!(names(&server.get(&format!("{CONFIGMAPS}?{query}")).1), expect, "{query}");
    }
    assert_eq!(server.get(&format!("{CONFIGMAPS}?fieldSelector=data%3Db")).0, 400);
}

/// Events API should ensure that an event can be fetched, patched, deleted, and listed
#[test]
fn events_are_selected_by_who_reports_them_in_either_version() {
    let mut server = Server::new();
    let event = |fields: Value| {
        let mut event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "new"}, "type": "Normal",
            "reason": "Test", "regarding": {"namespace": "default"}});
        event.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        event
    };
    let new = event(json!({"eventTime": "2026-01-01T00:00:00.000000Z", "action": "Do", "note": "n",
        "reportingController": "test-controller", "reportingInstance": "node"}));
    assert_eq!(server.post("/apis/events.k8s.io/v1/namespaces/default/events", new).0, 201);
    let old = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "old"}, "type": "Normal",
        "involvedObject": {"namespace": "default"}, "source": {"component": "test-source"}, "reportingComponent": "test-controller"});
    assert_eq!(server.post("/api/v1/namespaces/default/events", old).0, 201);
    for (list, selector, expect) in [
        ("/api/v1/namespaces/default/events", "source%3Dtest-controller", vec!["new"]),
        ("/api/v1/namespaces/default/events", "source%3Dtest-source", vec!["old"]),
        ("/api/v1/namespaces/default/events", "reportingComponent%3Dtest-controller", vec!["new", "old"]),
        ("/apis/events.k8s.io/v1/namespaces/default/events", "reportingController%3Dtest-controller", vec!["new", "old"]),
    ] {
        assert_eq!(names(&server.get(&format!("{list}?fieldSelector={selector}")).1), expect, "{list} {selector}");
    }
}

#[test]
fn the_past_can_be_read_and_the_future_cannot() {
    let mut server = filled();
    let revision = server.api.store().revision();
    server.ask("DELETE", &format!("{CONFIGMAPS}/a"), Value::Null);
    let (_, past) = server.get(&format!("{CONFIGMAPS}?resourceVersion={revision}&resourceVersionMatch=Exact"));
    assert_eq!(names(&past), ["a", "b", "c", "d", "e"]);
    assert_eq!(server.get(&format!("{CONFIGMAPS}?resourceVersion={}", revision + 1000)).0, 504);
}
