//! exec, attach, portforward and proxies: who is asked what, and what is refused before anybody is asked.

use object::{Value, json};
use wasmkube_apiserver::message::{Outgoing, Output, Relay};

use crate::{Server, answer};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn cluster() -> Server {
    let mut server = Server::new();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    assert_eq!(server.post("/api/v1/namespaces/default/serviceaccounts", account).0, 201);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "192.168.7.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}});
    assert_eq!(server.post("/api/v1/nodes", node).0, 201);
    let containers = json!([
        {"name": "main", "image": "x", "ports": [{"containerPort": 8080}]}, {"name": "side", "image": "x"}]);
    for (name, node) in [("web", "one"), ("waiting", "")] {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers}});
        if !node.is_empty() {
            pod["spec"]["nodeName"] = json!(node);
        }
        assert_eq!(server.post(PODS, pod).0, 201);
    }
    let mut web = server.get(&format!("{PODS}/web")).1;
    web["status"]["podIP"] = json!("10.244.1.7");
    assert_eq!(server.ask("PUT", &format!("{PODS}/web/status"), web).0, 200);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
    assert_eq!(server.post("/api/v1/namespaces/default/services", service).0, 201);
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": 8080, "name": "http"}],
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{"addresses": ["10.244.1.7"]}]});
    assert_eq!(server.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).0, 201);
    server
}

fn forwarded(outputs: &[Output]) -> Option<(&str, &Relay, &Outgoing)> {
    outputs.iter().find_map(|output| match output {
        Output::Forward { node, relay, outgoing, .. } => Some((node.as_str(), relay, outgoing)),
        _ => None,
    })
}

#[test]
fn streams_go_to_the_kubelet() {
    let mut server = cluster();
    for (target, expect) in [
        (
            "web/exec?container=main&command=ls&command=-l%20x&stdout=true&tty=false",
            "/exec/default/web/main?output=1&command=ls&command=-l%20x",
        ),
        ("web/attach?container=side&stdin=1&stdout=1", "/attach/default/web/side?input=1&output=1"),
        ("web/portforward?ports=8080", "/portForward/default/web?port=8080"),
    ] {
        let upgrade = [("upgrade", "websocket"), ("sec-websocket-protocol", "v5.channel.k8s.io"), ("x-secret", "kept")];
        let outputs = server.send("GET", &format!("{PODS}/{target}"), &upgrade, b"");
        let (node, relay, outgoing) = forwarded(&outputs).expect(target);
        assert_eq!((node, relay, outgoing.target.as_str()), ("one", &Relay::Stream, expect), "{target}");
        let has = |name: &str| outgoing.headers.iter().any(|(key, _)| key == name);
        assert!(has("upgrade") && has("sec-websocket-protocol") && !has("authorization"), "{target}");
    }
}

#[test]
fn proxies_go_to_pods_services_and_kubelets() {
    let mut server = cluster();
    let service = "/api/v1/namespaces/default/services";
    for (target, address, path) in [
        (format!("{PODS}/web/proxy/a/b?x=1"), "http 10.244.1.7:8080", "/a/b?x=1"),
        (format!("{PODS}/web:9000/proxy/"), "http 10.244.1.7:9000", "/"),
        (format!("{PODS}/https:web:443/proxy/x/"), "https 10.244.1.7:443", "/x/"),
        (format!("{service}/web:http/proxy/"), "http 10.244.1.7:8080", "/"),
        (format!("{service}/http:web:80/proxy/metrics"), "http 10.244.1.7:8080", "/metrics"),
        ("/api/v1/nodes/one/proxy/healthz".to_owned(), "https 192.168.7.1:10250", "/healthz"),
        ("/api/v1/nodes/one:10250/proxy/healthz".to_owned(), "https 192.168.7.1:10250", "/healthz"),
        ("/api/v1/nodes/one:9100/proxy/metrics".to_owned(), "http 192.168.7.1:9100", "/metrics"),
    ] {
        let outputs = server.send("GET", &target, &[], b"");
        let (_, relay, Outgoing { upstream, target: asked, .. }) = forwarded(&outputs).expect(&target);
        let scheme = if upstream.plain { "http" } else { "https" };
        let found = (format!("{scheme} {}:{}", upstream.address, upstream.address_port), asked.as_str());
        assert_eq!(found, (address.to_owned(), path), "{target}");
        let prefix = &target[..target.find("/proxy").unwrap() + "/proxy".len()];
        assert_eq!(relay, &Relay::Below(prefix.to_owned()), "{target}");
    }
    let outputs = server.send("POST", &format!("{PODS}/web/proxy/form"), &[("content-type", "text/plain")], b"hello");
    let (_, _, outgoing) = forwarded(&outputs).expect("any method");
    assert_eq!((outgoing.method.as_str(), &*outgoing.body), ("POST", &b"hello"[..]));
    let outputs = server.send("GET", &format!("{PODS}/web/proxy?x=1"), &[], b"");
    let location = outputs.iter().find_map(|output| match output {
        Output::Respond { status: 301, headers, .. } => headers.iter().find(|(name, _)| name == "location"),
        _ => None,
    });
    assert_eq!(location.map(|(_, to)| to.clone()), Some(format!("{PODS}/web/proxy/?x=1")));
}

#[test]
fn what_cannot_be_reached_is_refused() {
    let mut server = cluster();
    let upgrade = [("upgrade", "SPDY/3.1")];
    for (target, code, message) in [
        (format!("{PODS}/none/exec?command=ls"), 404, "pods \"none\" not found"),
        (
            format!("{PODS}/web/exec?command=ls"),
            400,
            "a container name must be specified for pod web, choose one of: [main side]",
        ),
        (format!("{PODS}/web/exec?command=ls&container=x"), 400, "container x is not valid for pod web"),
        (format!("{PODS}/waiting/exec?command=ls&container=main"), 400, "pod waiting does not have a host assigned"),
        (format!("{PODS}/waiting/portforward"), 400, "pod waiting does not have a host assigned"),
        (format!("{PODS}/waiting/proxy/"), 400, "address not allowed"),
        (format!("{PODS}/a:web:1:2/proxy/"), 400, "invalid pod request \"a:web:1:2\""),
        ("/api/v1/namespaces/default/services/web:81/proxy/".to_owned(), 503, "no service port 81 found for service \"web\""),
        ("/api/v1/namespaces/default/services/web/proxy/".to_owned(), 503, "no endpoints available for service \"web\""),
        ("/api/v1/nodes/two/proxy/".to_owned(), 404, "nodes \"two\" not found"),
    ] {
        let (status, body) = answer(&server.send("GET", &target, &upgrade, b""));
        assert_eq!((status, body["message"].as_str().unwrap_or_default()), (code, message), "{target}");
    }
    let (status, body) = answer(&server.send("POST", &format!("{PODS}/web/attach?container=main"), &[], b""));
    assert_eq!((status, body["message"].as_str()), (400, Some("Upgrade request required")));
    assert_eq!(server.ask("PUT", &format!("{PODS}/web/exec"), Value::Null).0, 405);
}

#[test]
fn a_websocket_needs_the_right_to_create() {
    let mut server = cluster();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "looker"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]});
    assert_eq!(server.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role).0, 201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "looker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "looker"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "joe"}]});
    assert_eq!(server.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).0, 201);
    let target = format!("{PODS}/web/exec?container=main&command=ls");
    let outputs = server.send("GET", &target, &[("impersonate-user", "joe"), ("upgrade", "SPDY/3.1")], b"");
    assert!(forwarded(&outputs).is_some());
    let (status, body) = answer(&server.send("GET", &target, &[("impersonate-user", "joe"), ("upgrade", "websocket")], b""));
    let refused = "pods \"web\" is forbidden: User \"joe\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"default\"";
    assert_eq!((status, body["message"].as_str()), (403, Some(refused)));
}

#[test]
fn webhooks_hear_of_connections() {
    let mut server = cluster();
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "streams"}, "webhooks": [{"name": "streams.example.com", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://hooks.example.com/streams"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": ["pods/*"]}]}]});
    assert_eq!(server.post("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", configuration).0, 201);
    let outputs = server.send("POST", &format!("{PODS}/web/exec?container=main&command=ls"), &[("upgrade", "SPDY/3.1")], b"");
    let asked = outputs.iter().find_map(|output| if let Output::Call { outgoing, .. } = output { Some(outgoing) } else { None });
    let review: Value = serde_json::from_slice(&asked.expect("the webhook is asked").body).unwrap();
    let request = &review["request"];
    let expect = json!({"kind": "PodExecOptions", "apiVersion": "v1", "container": "main", "command": ["ls"]});
    assert_eq!(
        (&request["operation"], &request["subResource"], &request["object"]),
        (&json!("CONNECT"), &json!("exec"), &expect)
    );
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "PodExecOptions"}));
}
