//! Health as probes and people see it.

use expect_test::expect;
use object::{Value, json};
use wasmkube_apiserver::HostHealth;
use wasmkube_apiserver::message::Output;

use crate::Server;

fn ask(server: &mut Server, target: &str) -> (u16, String) {
    let outputs = server.send("GET", target, &[], b"");
    let found = outputs.iter().rev().find_map(|output| match output {
        Output::Respond { status, body, .. } => Some((*status, String::from_utf8_lossy(body).into_owned())),
        _ => None,
    });
    found.expect("an answer")
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn a_server_is_ready_when_its_parts_have_begun() {
    let mut server = Server::new();
    let (code, text) = ask(&mut server, "/readyz");
    assert_eq!(code, 500);
    assert!(text.contains("[-]poststarthook/generic-apiserver-start-informers failed: reason withheld\n"), "{text}");
    assert!(text.ends_with("readyz check failed\n"), "always in full when something fails: {text}");
    let single = ask(&mut server, "/readyz/poststarthook/generic-apiserver-start-informers");
    assert_eq!(single, (500, "internal server error: not finished\n".to_owned()));
    server.api.followed();
    for endpoint in ["/livez", "/readyz", "/healthz", "/livez/ping", "/readyz/poststarthook/rbac/bootstrap-roles"] {
        assert_eq!(ask(&mut server, endpoint), (200, "ok".to_owned()), "{endpoint}");
    }
    assert_eq!(ask(&mut server, "/livez/shutdown").0, 404, "only readiness ends with the process");
    assert_eq!(ask(&mut server, "/livez/nothing"), (404, "404 page not found\n".to_owned()));
    expect![[r#"
        [+]ping ok
        [+]log ok
        [+]etcd excluded: ok
        [+]etcd-readiness ok
        [+]informer-sync ok
        [+]poststarthook/start-apiserver-admission-initializer ok
        [+]poststarthook/generic-apiserver-start-informers ok
        [+]poststarthook/priority-and-fairness-config-consumer ok
        [+]poststarthook/priority-and-fairness-filter ok
        [+]poststarthook/storage-object-count-tracker-hook ok
        [+]poststarthook/start-apiextensions-informers ok
        [+]poststarthook/start-apiextensions-controllers ok
        [+]poststarthook/crd-informer-synced ok
        [+]poststarthook/start-system-namespaces-controller ok
        [+]poststarthook/start-cluster-authentication-info-controller ok
        [+]poststarthook/start-legacy-token-tracking-controller ok
        [+]poststarthook/start-service-ip-repair-controllers ok
        [+]poststarthook/rbac/bootstrap-roles ok
        [+]poststarthook/scheduling/bootstrap-system-priority-classes ok
        [+]poststarthook/priority-and-fairness-config-producer ok
        [+]poststarthook/bootstrap-controller ok
        [+]poststarthook/start-kubernetes-service-cidr-controller ok
        [+]poststarthook/aggregator-reload-proxy-client-cert ok
        [+]poststarthook/start-kube-aggregator-informers ok
        [+]poststarthook/apiservice-status-local-available-controller ok
        [+]poststarthook/apiservice-status-remote-available-controller ok
        [+]poststarthook/apiservice-registration-controller ok
        [+]poststarthook/apiservice-discovery-controller ok
        [+]poststarthook/kube-apiserver-autoregistration ok
        [+]autoregister-completion ok
        [+]poststarthook/apiservice-openapi-controller ok
        [+]poststarthook/apiservice-openapiv3-controller ok
        [+]shutdown ok
        warn: some health checks cannot be excluded: no matches for "a","b"
        readyz check passed
    "#]]
    .assert_eq(&ask(&mut server, "/readyz?verbose&exclude=b&exclude=etcd&exclude=a").1);
    let (livez, readyz) = (ask(&mut server, "/livez?verbose").1, ask(&mut server, "/readyz?verbose").1);
    assert_eq!(lines(&livez) + 3, lines(&readyz), "{livez}");
    assert!(!livez.contains("]informer-sync") && !livez.contains("shutdown") && !livez.contains("etcd-readiness"), "{livez}");
}

#[test]
fn what_goes_wrong_is_noticed() {
    let ns = |server: &mut Server| {
        drop(server.ask("DELETE", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical", Value::Null))
    };
    let roles = |server: &mut Server| {
        drop(server.ask("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin", Value::Null));
    };
    let host = |health: HostHealth| move |server: &mut Server| server.api.host_health(health.clone());
    type Change = Box<dyn Fn(&mut Server)>;
    let changes: [(&str, Change, &str, u16, u16); 5] = [
        (
            "the journal",
            Box::new(host(HostHealth { journal: "context deadline exceeded".to_owned(), ..HostHealth::default() })),
            "etcd",
            500,
            500,
        ),
        ("the audit log", Box::new(host(HostHealth { log: "blocked".to_owned(), ..HostHealth::default() })), "log", 500, 500),
        ("the end", Box::new(host(HostHealth { shutting_down: true, ..HostHealth::default() })), "shutdown", 200, 500),
        ("a priority class", Box::new(ns), "poststarthook/scheduling/bootstrap-system-priority-classes", 500, 500),
        ("a role", Box::new(roles), "poststarthook/rbac/bootstrap-roles", 500, 500),
    ];
    for (name, change, check, livez, readyz) in changes {
        let mut server = Server::new();
        server.api.followed();
        change(&mut server);
        let live = ask(&mut server, "/livez");
        let ready = ask(&mut server, "/readyz");
        assert_eq!((live.0, ready.0), (livez, readyz), "{name}: {}", ready.1);
        assert!(ready.1.contains(&format!("[-]{check} failed: reason withheld\n")), "{name}: {}", ready.1);
        assert_eq!(ask(&mut server, &format!("/readyz?exclude={check}&exclude=etcd-readiness")).0, 200, "{name}");
    }
    let mut server = Server::new();
    server.api.host_health(HostHealth {
        journal: "context deadline exceeded".to_owned(),
        shutting_down: true,
        ..HostHealth::default()
    });
    for (check, text) in [
        ("etcd", "internal server error: error getting data from etcd: context deadline exceeded\n"),
        ("shutdown", "internal server error: process is shutting down\n"),
    ] {
        assert_eq!(ask(&mut server, &format!("/readyz/{check}")), (500, text.to_owned()));
    }
}

#[test]
fn a_new_definition_is_no_reason_to_fail() {
    let mut server = Server::new();
    server.api.followed();
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.a.io"},
        "spec": {
            "group": "a.io", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    server.hand_in("POST", definitions, &[("content-type", "application/json")], definition.to_string().as_bytes());
    assert_eq!(ask(&mut server, "/readyz?exclude=shutdown").1, "ok", "in the same step");
    server.hand_in("DELETE", &format!("{definitions}/things.a.io"), &[], b"");
    assert_eq!(ask(&mut server, "/readyz").1, "ok");
}
