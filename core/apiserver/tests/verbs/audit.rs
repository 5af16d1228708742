//! The audit log as a reader of it sees it.

use object::{Time, Value, json};
use wasmkube_apiserver::message::{Output, StaticToken};
use wasmkube_apiserver::{ApiServer, Settings};

use crate::Server;

fn server(rules: &str) -> Server {
    let token = |token: &str, user: &str, groups: &[&str]| StaticToken {
        token: token.into(),
        user: user.into(),
        uid: String::new(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
    };
    let tokens = vec![token("t", "admin", &["system:masters"])];
    let audit_policy = if rules.is_empty() {
        String::new()
    } else {
        format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitManagedFields: true\nrules: {rules}\n")
    };
    let mut api = ApiServer::new(Settings { tokens, history_limit: 100, audit_policy, ..Settings::default() });
    let now = Time(1_700_000_000_000_000);
    api.start(now, 0);
    api.take_outputs();
    Server { api, now, stream: 0 }
}

fn events(outputs: &[Output]) -> Vec<Value> {
    let lines = outputs.iter().filter_map(|output| if let Output::Audit(line) = output { Some(line) } else { None });
    lines.map(|line| serde_json::from_slice(line).expect("one line of JSON")).collect()
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map() -> Vec<u8> {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}).to_string().into_bytes()
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn levels_say_more_and_more() {
    for (level, count, sent, answered) in [
        ("None", 0, false, false),
        ("Metadata", 2, false, false),
        ("Request", 2, true, false),
        ("RequestResponse", 2, true, true),
    ] {
        let mut server = server(&format!("[{{level: {level}}}]"));
        let outputs = server.send("POST", MAPS, &[JSON, ("user-agent", "test/1"), ("audit-id", "mine")], &map());
        let events = events(&outputs);
        assert_eq!(events.len(), count, "{level}");
        let named = outputs.iter().any(|output| {
            matches!(output, Output::Respond { headers, .. } if headers.contains(&("audit-id".to_owned(), "mine".to_owned())))
        });
        assert_eq!(named, count > 0, "{level}");
        let Some(last) = events.last() else { continue };
        assert_eq!(last["requestObject"]["data"]["k"] == "v", sent, "{level}");
        assert_eq!(last["responseObject"]["data"]["k"] == "v", answered, "{level}");
        assert!(last["responseObject"]["metadata"].get("managedFields").is_none(), "{level}");
    }
}

#[test]
fn an_event_is_whole() {
    let mut server = server("[{level: Metadata}]");
    let outputs = server.send(
        "POST",
        MAPS,
        &[JSON, ("user-agent", "test/1"), ("audit-id", "mine"), ("x-forwarded-for", "10.0.0.1, x")],
        &map(),
    );
    let events = events(&outputs);
    let mut expect = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "mine", "stage": "RequestReceived",
        "requestURI": MAPS, "verb": "create",
        "user": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["10.0.0.1"], "userAgent": "test/1",
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"},
        "requestReceivedTimestamp": "2023-11-14T22:13:20.000000Z", "stageTimestamp": "2023-11-14T22:13:20.000000Z",
    });
    assert_eq!(events[0], expect);
    expect["stage"] = "ResponseComplete".into();
    expect["responseStatus"] = json!({"metadata": {}, "code": 201});
    expect["annotations"] = json!({"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""});
    assert_eq!(events[1], expect);
}

#[test]
fn refusals_say_why() {
    let mut server = server("[{level: Metadata, omitStages: [RequestReceived]}]");
    let outputs = server.send("GET", &format!("{MAPS}/none"), &[], b"");
    let missing = &events(&outputs)[0]["responseStatus"];
    assert_eq!((&missing["code"], &missing["reason"]), (&json!(404), &json!("NotFound")));

    let outputs = server.send("GET", MAPS, &[("impersonate-user", "jane")], b"");
    let forbidden = &events(&outputs)[0];
    assert_eq!(forbidden["user"]["username"], "admin");
    assert_eq!(forbidden["impersonatedUser"]["username"], "jane");
    assert_eq!(forbidden["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(forbidden["responseStatus"]["code"], 403);
}

#[test]
fn a_watch_begins_and_ends() {
    let mut server = server("[{level: Metadata, verbs: [watch]}]");
    let outputs = server.send("GET", &format!("{MAPS}?watch=true"), &[], b"");
    let stages: Vec<Value> = events(&outputs).iter().map(|event| event["stage"].clone()).collect();
    assert_eq!(stages, ["RequestReceived", "ResponseStarted"]);
    server.api.closed(server.stream);
    server.api.run(Time(server.now.0 + 5_000_000));
    let ended = events(&server.api.take_outputs());
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0]["stageTimestamp"], "2023-11-14T22:13:25.000000Z");
    assert_eq!((&ended[0]["stage"], &ended[0]["responseStatus"]["code"]), (&json!("ResponseComplete"), &json!(200)));
}

#[test]
fn without_a_policy_and_with_one_the_answers_are_the_same() {
    let answer = |rules: &str| {
        let outputs = server(rules).send("POST", MAPS, &[JSON], &map());
        outputs.into_iter().find_map(|output| if let Output::Respond { body, .. } = output { Some(body) } else { None })
    };
    assert!(answer("").is_some());
    assert_eq!(answer(""), answer("[{level: RequestResponse}]"));
    assert!(events(&server("").send("POST", MAPS, &[JSON], &map())).is_empty());
}
