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
    let journal = HostHealth { journal: "context deadline exceeded".to_owned(), ..HostHealth::default() };
    let log = HostHealth { log: "blocked".to_owned(), ..HostHealth::default() };
    let end = HostHealth { shutting_down: true, ..HostHealth::default() };
    for (name, health, check, livez, readyz) in [
        ("the journal", journal, "etcd", 500, 500),
        ("the audit log", log, "log", 500, 500),
        ("the end", end, "shutdown", 200, 500),
    ] {
        let mut server = Server::new();
        server.api.followed();
        server.api.host_health(health);
        let live = ask(&mut server, "/livez");
        let ready = ask(&mut server, "/readyz");
        assert_eq!((live.0, ready.0), (livez, readyz), "{name}: {}", ready.1);
        assert!(ready.1.contains(&format!("[-]{check} failed: reason withheld\n")), "{name}: {}", ready.1);
        assert_eq!(ask(&mut server, &format!("/readyz?exclude={check}&exclude=etcd-readiness")).0, 200, "{name}");
        server.api.host_health(HostHealth::default());
        assert_eq!(ask(&mut server, "/readyz").0, 200, "{name}: and what is right again too");
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
fn nothing_is_done_before_the_start() {
    let failed = |text: &str| -> String {
        let names = text.lines().filter_map(|line| line.strip_prefix("[-]"));
        names.filter_map(|line| line.strip_suffix(" failed: reason withheld")).map(|name| format!("{name}\n")).collect()
    };
    let mut server = Server::before_start();
    expect![[r#"
        informer-sync
        poststarthook/start-apiserver-admission-initializer
        poststarthook/generic-apiserver-start-informers
        poststarthook/storage-object-count-tracker-hook
        poststarthook/crd-informer-synced
        poststarthook/start-system-namespaces-controller
        poststarthook/start-legacy-token-tracking-controller
        poststarthook/start-service-ip-repair-controllers
        poststarthook/rbac/bootstrap-roles
        poststarthook/scheduling/bootstrap-system-priority-classes
        poststarthook/priority-and-fairness-config-producer
        poststarthook/bootstrap-controller
        poststarthook/start-kubernetes-service-cidr-controller
        poststarthook/start-kube-aggregator-informers
        poststarthook/kube-apiserver-autoregistration
        autoregister-completion
    "#]]
    .assert_eq(&failed(&ask(&mut server, "/readyz").1));
    let roles = ask(&mut server, "/readyz/poststarthook/rbac/bootstrap-roles");
    assert_eq!(roles, (500, "internal server error: not finished\n".to_owned()));
    server.api.start(server.now, 0);
    assert_eq!(failed(&ask(&mut server, "/readyz").1), "poststarthook/generic-apiserver-start-informers\n");
}

#[test]
fn what_was_done_once_after_the_start_is_not_asked_for_again() {
    for (object, check) in [
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin", "poststarthook/rbac/bootstrap-roles"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:basic-user", "poststarthook/rbac/bootstrap-roles"),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
            "poststarthook/scheduling/bootstrap-system-priority-classes",
        ),
        ("/api/v1/namespaces/default/services/kubernetes", "poststarthook/bootstrap-controller"),
        (
            "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking",
            "poststarthook/start-legacy-token-tracking-controller",
        ),
    ] {
        let mut server = Server::new();
        server.api.followed();
        assert_eq!(server.ask("DELETE", object, Value::Null).0, 200, "{object}");
        assert_eq!(server.get(object).0, 404, "{object}");
        for endpoint in ["livez", "readyz", "healthz"] {
            assert_eq!(ask(&mut server, &format!("/{endpoint}")), (200, "ok".to_owned()), "{object}");
            assert_eq!(ask(&mut server, &format!("/{endpoint}/{check}")), (200, "ok".to_owned()), "{object}");
        }
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
