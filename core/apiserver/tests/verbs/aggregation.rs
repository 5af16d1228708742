//! Groups that other servers serve. The tests are these servers.

use object::{Value, json};
use wasmkube_apiserver::message::{Answered, Identity, Output};

use crate::Server;

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

fn available(server: &mut Server, name: &str) -> (String, String) {
    let service = server.get(&format!("{SERVICES}/{name}")).1;
    let condition = &service["status"]["conditions"][0];
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

/// Lets the server do what is due.
fn run(server: &mut Server) -> Vec<Output> {
    server.api.run(server.now);
    server.api.take_outputs()
}

fn register(server: &mut Server) {
    let spec = json!({
        "group": "metrics.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
        "service": {"namespace": "default", "name": "metrics"},
    });
    let name = "v1.metrics.example.com";
    let service =
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec});
    assert_eq!(server.post(SERVICES, service).0, 201);
}

fn back(server: &mut Server) {
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics"}, "spec": {"ports": [{"port": 443}]}});
    assert_eq!(server.post("/api/v1/namespaces/default/services", service).0, 201);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": 6443, "name": ""}],
        "metadata": {"name": "metrics-1", "labels": {"kubernetes.io/service-name": "metrics"}},
        "endpoints": [{"addresses": ["10.244.0.7"]}],
    });
    assert_eq!(server.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).0, 201);
}

#[test]
fn what_is_served_here_has_its_own_apiservices() {
    let mut server = Server::new();
    assert_eq!(available(&mut server, "v1.apps"), ("True".to_owned(), "Local".to_owned()));
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "sites.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "sites", "kind": "Site"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]},
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    server.post(definitions, definition);
    assert_eq!(available(&mut server, "v1.example.com"), ("True".to_owned(), "Local".to_owned()));
    server.ask("DELETE", &format!("{definitions}/sites.example.com"), Value::Null);
    assert_eq!(server.get(&format!("{SERVICES}/v1.example.com")).0, 404, "it goes with what it stood for");
}

#[test]
fn requests_are_passed_on_to_the_server_of_their_group() {
    let mut server = Server::new();
    register(&mut server);
    run(&mut server);
    assert_eq!(available(&mut server, "v1.metrics.example.com"), ("False".to_owned(), "ServiceNotFound".to_owned()));
    let path = "/apis/metrics.example.com/v1/nodes?limit=5";
    let outputs = server.send("GET", path, &[], b"");
    assert!(matches!(outputs.as_slice(), [Output::Respond { status: 503, .. }]), "{outputs:?}");

    back(&mut server);
    let outputs = run(&mut server);
    let [Output::Call { call, outgoing }] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((outgoing.target.as_str(), outgoing.upstream.identity), ("/apis/metrics.example.com/v1", Identity::FrontProxy));
    let resources = json!({"resources": [{"name": "nodes", "singularName": "node", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get"]}]});
    let reply = Answered { status: 200, body: resources.to_string().into_bytes().into() };
    server.api.answered(server.now, *call, Ok(reply));
    server.api.take_outputs();
    assert_eq!(available(&mut server, "v1.metrics.example.com"), ("True".to_owned(), "Passed".to_owned()));

    let outputs = server.send("GET", path, &[("x-remote-user", "mallory")], b"");
    let [Output::Forward { outgoing, .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((outgoing.target.as_str(), outgoing.upstream.address.as_str()), (path, "10.244.0.7"));
    let users: Vec<&str> =
        outgoing.headers.iter().filter(|(name, _)| name == "x-remote-user").map(|(_, user)| user.as_str()).collect();
    assert_eq!(users, ["admin"], "nobody says who they are but the API server");
    assert!(!outgoing.headers.iter().any(|(name, _)| name == "authorization"), "tokens are not passed on");

    let address = server.get("/openapi/v3").1["paths"]["apis/metrics.example.com/v1"]["serverRelativeURL"].clone();
    let outputs = server.send("GET", address.as_str().expect("an address"), &[], b"");
    let [Output::Forward { outgoing, .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(outgoing.target, "/openapi/v3/apis/metrics.example.com/v1", "it describes itself");

    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let outputs = server.send("GET", "/apis", &[("accept", accept)], b"");
    let groups = crate::answer(&outputs).1;
    let group =
        groups["items"].as_array().and_then(|groups| groups.iter().find(|g| g["metadata"]["name"] == "metrics.example.com"));
    let resource = group.map(|group| group["versions"][0]["resources"][0]["responseKind"]["kind"].clone());
    assert_eq!(resource, Some(json!("NodeMetrics")));
}

#[test]
fn a_server_that_does_not_answer_is_not_available() {
    let mut server = Server::new();
    back(&mut server);
    register(&mut server);
    let outputs = run(&mut server);
    let [Output::Call { call, .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
    server.api.answered(server.now, *call, Err("dial tcp 10.244.0.7:6443: connect: connection refused".to_owned()));
    server.api.take_outputs();
    assert_eq!(available(&mut server, "v1.metrics.example.com"), ("False".to_owned(), "FailedDiscoveryCheck".to_owned()));
    assert!(run(&mut server).is_empty(), "it is not asked again at once");
    server.now = server.now.plus_secs(30);
    assert!(matches!(run(&mut server).as_slice(), [Output::Call { .. }]), "but after half a minute");
}
