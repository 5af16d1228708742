//! Priority and fairness as clients see them: whose turn it is, who is told to come back, and what answers say of it.

use object::{Value, json};
use wasmkube_apiserver::message::{CallId, ClientCertificate, Output, Request, StaticToken, StreamId};
use wasmkube_apiserver::{ApiServer, Settings};

use crate::{CONFIGMAPS, Server, configmap};

/// A server where the group `testers` may do everything but is not exempt from waiting.
fn server(seats: u32) -> Server {
    let mut server = Server::new();
    let token =
        StaticToken { token: "t".into(), user: "admin".into(), groups: vec!["system:masters".into()], ..StaticToken::default() };
    server.api = ApiServer::new(Settings {
        tokens: vec![token],
        max_requests_inflight: seats,
        max_mutating_requests_inflight: 0,
        ..Settings::default()
    });
    server.api.start(server.now, 0);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "testers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "testers"}],
    });
    assert_eq!(server.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).0, 201);
    server
}

impl Server {
    /// Hands over a request of a tester; what comes of it is among the outputs of this step or a later one.
    fn hand(&mut self, user: &str, method: &str, target: &str, body: &Value) -> StreamId {
        self.stream += 1;
        let certificate = ClientCertificate { common_name: user.to_owned(), organizations: vec!["testers".to_owned()] };
        let request = Request {
            stream: self.stream,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }.into(),
            certificate: Some(certificate),
            peer: String::new(),
        };
        self.api.handle(self.now, request);
        self.stream
    }

    /// The rest of a step: answers by stream, with their status.
    fn step(&mut self) -> Vec<(StreamId, u16)> {
        self.api.run(self.now);
        let answer = |output: &Output| match output {
            Output::Respond { stream, status, .. } => Some((*stream, *status)),
            _ => None,
        };
        self.api.take_outputs().iter().filter_map(answer).collect()
    }
}

fn headers(outputs: &[Output]) -> Vec<(String, String)> {
    let of = |output: &Output| match output {
        Output::Respond { headers, .. } | Output::Open { headers, .. } => Some(headers.clone()),
        _ => None,
    };
    outputs.iter().find_map(of).unwrap_or_default()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

#[test]
fn a_noisy_client_does_not_delay_a_quiet_one() {
    let mut server = server(600);
    for number in 0..40 {
        let mut object = configmap(&format!("c-{number}"));
        object["data"]["k"] = "x".repeat(4_000).into();
        assert_eq!(server.post(CONFIGMAPS, object).0, 201);
    }
    let (mut refused, mut served) = (0, 0);
    for round in 0..6 {
        for _ in 0..1_000 {
            server.hand("noisy", "GET", CONFIGMAPS, &Value::Null);
        }
        let quiet = server.hand("quiet", "GET", &format!("{CONFIGMAPS}/c-1"), &Value::Null);
        let mut turns = 0;
        loop {
            turns += 1;
            let answers = server.step();
            refused += answers.iter().filter(|(_, status)| *status == 429).count();
            served += answers.iter().filter(|(stream, status)| *status == 200 && *stream != quiet).count();
            if let Some((_, status)) = answers.iter().find(|(stream, _)| *stream == quiet) {
                assert_eq!(*status, 200);
                break;
            }
        }
        assert!(turns <= 2, "round {round}: the quiet client waited for {turns} steps");
    }
    assert!(refused > 4_000, "{refused} were told to come back");
    assert!(served > 50, "{served} were served meanwhile");
    let mut rest = 0;
    while !server.step().is_empty() {
        rest += 1;
    }
    assert!(rest < 60, "all that waits is served in the end");
}

#[test]
fn answers_say_where_their_requests_were_placed() {
    let mut server = server(600);
    let uid = |server: &mut Server, resource: &str, name: &str| {
        let target = format!("/apis/flowcontrol.apiserver.k8s.io/v1/{resource}/{name}");
        server.get(&target).1["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
    };
    for (user, target, schema, level) in [
        ("jane", CONFIGMAPS, "global-default", "global-default"),
        ("jane", "/readyz", "probes", "exempt"),
        ("jane", "/api/v1/nodes?watch=true", "global-default", "global-default"),
        ("system:kube-scheduler", "/api/v1/pods", "kube-scheduler", "workload-high"),
        (
            "system:kube-scheduler",
            "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
            "system-leader-election",
            "leader-election",
        ),
        ("system:serviceaccount:kube-system:x", "/api/v1/pods", "kube-system-service-accounts", "workload-high"),
    ] {
        let wanted = (uid(&mut server, "flowschemas", schema), uid(&mut server, "prioritylevelconfigurations", level));
        assert!(!wanted.0.is_empty() && !wanted.1.is_empty(), "{schema}");
        server.hand(user, "GET", target, &Value::Null);
        let said = headers(&server.api.take_outputs());
        let said = (
            header(&said, "x-kubernetes-pf-flowschema-uid").to_owned(),
            header(&said, "x-kubernetes-pf-prioritylevel-uid").to_owned(),
        );
        assert_eq!(said, wanted, "{user} {target}");
    }
    server.hand("jane", "GET", "/api/v1/namespaces/default/pods/p/log", &Value::Null);
    let said = headers(&server.api.take_outputs());
    assert_eq!(header(&said, "x-kubernetes-pf-flowschema-uid"), "", "what goes on for long is nobody's turn");
}

fn calls(outputs: &[Output]) -> Vec<CallId> {
    outputs.iter().filter_map(|output| if let Output::Call { call, .. } = output { Some(*call) } else { None }).collect()
}

#[test]
fn who_waits_for_a_webhook_keeps_its_seat() {
    let mut server = server(4);
    let hook = json!({
        "name": "v.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://hooks.example.com/v"}, "failurePolicy": "Ignore",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
    });
    let kind = "ValidatingWebhookConfiguration";
    let hooks =
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "v"}, "webhooks": [hook]});
    assert_eq!(server.post("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", hooks).0, 201);
    let first = server.hand("jane", "POST", CONFIGMAPS, &configmap("a"));
    let asked = calls(&server.api.take_outputs());
    let second = server.hand("jane", "GET", CONFIGMAPS, &Value::Null);
    let third = server.hand("jane", "GET", CONFIGMAPS, &Value::Null);
    assert_eq!(server.step(), [], "there is no second seat");
    let text = |server: &mut Server, table: &str| -> Vec<String> {
        let outputs = server.send("GET", &format!("/debug/api_priority_and_fairness/{table}?includeRequestDetails=1"), &[], b"");
        let body = outputs.iter().find_map(|o| if let Output::Respond { body, .. } = o { Some(body.clone()) } else { None });
        String::from_utf8_lossy(&body.unwrap_or_default()).lines().map(str::to_owned).collect()
    };
    let level =
        text(&mut server, "dump_priority_levels").into_iter().find(|line| line.starts_with("global-default")).unwrap_or_default();
    let cells: Vec<&str> = level.split(',').map(str::trim).collect();
    assert_eq!(cells, ["global-default", "2", "false", "false", "2", "1", "1", "0", "0", "0"]);
    let requests = text(&mut server, "dump_requests");
    assert!(requests.len() == 3 && requests[1].contains("jane,") && requests[1].contains("configmaps,"), "{requests:?}");
    assert_eq!(text(&mut server, "dump_queues").len(), 3);
    server.api.closed(second);
    server.api.answered(server.now, asked[0], Err("connection refused".to_owned()));
    assert_eq!(server.step(), [(first, 201), (third, 200)], "the seat is free again, and who left is not served");

    server.hand("jane", "POST", CONFIGMAPS, &configmap("b"));
    let late = server.hand("jane", "GET", CONFIGMAPS, &Value::Null);
    server.now = server.now.plus_secs(14);
    assert_eq!(server.step(), []);
    server.now = server.now.plus_secs(1);
    server.api.run(server.now);
    let outputs = server.api.take_outputs();
    let Some(Output::Respond { stream, status, headers, body }) = outputs.first() else { panic!("{outputs:?}") };
    assert_eq!((*stream, *status, header(headers, "retry-after")), (late, 429, "1"));
    assert_eq!(body.as_ref(), b"Too many requests, please try again later.\n");
}

#[test]
fn schemas_and_levels_count_from_the_moment_they_are_written() {
    let mut server = server(600);
    let base = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "jane"},
        "spec": {
            "priorityLevelConfiguration": {"name": "slow"}, "matchingPrecedence": 50, "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "jane"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
            }],
        },
    });
    let (code, created) = server.post(&format!("{base}/flowschemas"), schema);
    assert_eq!(code, 201, "{created}");
    let condition = |server: &mut Server| server.get(&format!("{base}/flowschemas/jane")).1["status"]["conditions"][0].clone();
    let said = condition(&mut server);
    assert_eq!(
        (&said["type"], &said["status"], &said["reason"], &said["message"]),
        (
            &json!("Dangling"),
            &json!("True"),
            &json!("NotFound"),
            &json!("This FlowSchema references the PriorityLevelConfiguration object named \"slow\" but there is no such object")
        )
    );
    let placed = |server: &mut Server| {
        server.hand("jane", "GET", CONFIGMAPS, &Value::Null);
        header(&headers(&server.api.take_outputs()), "x-kubernetes-pf-flowschema-uid").to_owned()
    };
    let uid = created["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    assert_ne!(placed(&mut server), uid, "a schema without its level is as if it were not there");
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "slow"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}},
    });
    let (code, made) = server.post(&format!("{base}/prioritylevelconfigurations"), level);
    assert_eq!(code, 201, "{made}");
    assert_eq!(placed(&mut server), uid);
    assert_eq!(condition(&mut server)["reason"], "Found");
    let managers = server.get(&format!("{base}/flowschemas/jane")).1["metadata"]["managedFields"].to_string();
    assert!(managers.contains("api-priority-and-fairness-config-consumer-v1"), "{managers}");
}

#[test]
fn requests_end_at_their_deadline() {
    let hook = json!({
        "name": "v.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
        "clientConfig": {"url": "https://hooks.example.com/v"}, "failurePolicy": "Ignore",
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
    });
    let kind = "ValidatingWebhookConfiguration";
    let hooks =
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "v"}, "webhooks": [hook]});
    for (name, parameter, seconds) in [
        ("none is the longest for a change", "", 34),
        ("a shorter one", "?timeout=5s", 5),
        ("a longer one is as none", "?timeout=2h", 34),
        ("nothing is as none", "?timeout=0", 34),
        ("less than nothing is as none", "?timeout=-5s", 34),
    ] {
        let mut server = server(600);
        server.post("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", hooks.clone());
        let stream = server.hand("jane", "POST", &format!("{CONFIGMAPS}{parameter}"), &configmap("a"));
        let asked = calls(&server.api.take_outputs());
        let begin = server.now;
        server.now = begin.plus_secs(seconds - 1);
        let wake_at = server.api.run(server.now).wake_at;
        assert_eq!(server.step(), [], "{name}");
        assert_eq!(wake_at.map(|at| at.min(begin.plus_secs(seconds))), wake_at, "{name}: it must be woken in time");
        server.now = begin.plus_secs(seconds);
        server.api.run(server.now);
        let outputs = server.api.take_outputs();
        let Some(Output::Respond { stream: answered, status, body, .. }) = outputs.first() else { panic!("{name}: {outputs:?}") };
        assert_eq!((*answered, *status), (stream, 504), "{name}");
        let said: Value = serde_json::from_slice(body).expect("a Status");
        let why = "Timeout: request did not complete within requested timeout - context deadline exceeded";
        assert_eq!((&said["reason"], &said["message"]), (&json!("Timeout"), &json!(why)), "{name}");
        server.api.answered(server.now, asked[0], Err("late".to_owned()));
        assert_eq!(server.step(), [], "{name}: it is answered once");
        assert_eq!(server.get(&format!("{CONFIGMAPS}/a")).0, 404, "{name}");
    }
    let mut server = server(600);
    let (code, said) = server.get("/version?timeout=10");
    let why = "invalid timeout specified in the request URL - time: missing unit in duration \"10\"";
    assert_eq!((code, said["message"].as_str()), (400, Some(why)));
    let outputs = server.send("GET", &format!("{CONFIGMAPS}?watch=true&timeout=x"), &[], b"");
    assert!(matches!(outputs.first(), Some(Output::Open { .. })), "what goes on by itself does not look at it");
}

#[test]
fn watches_end_after_some_time_of_their_own() {
    let mut server = server(600);
    let mut ends = Vec::new();
    for _ in 0..3 {
        server.send("GET", &format!("{CONFIGMAPS}?watch=true&resourceVersion=1"), &[], b"");
    }
    let begin = server.now;
    for minute in 0..=60 {
        server.now = begin.plus_secs(minute * 60);
        server.api.run(server.now);
        let ended = server.api.take_outputs().iter().filter(|output| matches!(output, Output::End(_))).count();
        ends.extend(std::iter::repeat_n(minute, ended));
    }
    assert_eq!(ends.len(), 3, "{ends:?}");
    assert!(ends.iter().all(|minute| (30..=60).contains(minute)), "{ends:?}");
}
