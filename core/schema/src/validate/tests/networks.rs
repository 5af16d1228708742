//! Services, endpoints, ingresses and network policies: a patch of a good one, and the causes it gives.

use object::{Value, json};

use super::{errors, update_errors};

fn merged(base: Value, extra: &Value) -> Value {
    let mut base = base;
    base.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
    base
}

fn object(version: &str, kind: &str, spec: Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": spec})
}

fn service(extra: &Value) -> Value {
    object("v1", "Service", merged(json!({"ports": [{"port": 80}], "type": "ClusterIP"}), extra))
}

fn check(make: impl Fn(&Value) -> Value, cases: Vec<(Value, &[&str])>) {
    for (patch, expect) in cases {
        assert_eq!(errors(make(&patch)), expect, "{patch}");
    }
}

#[test]
fn services() {
    let headless = json!(["None"]);
    check(
        service,
        vec![
            (
                json!({"type": "NodePort", "clusterIP": "None", "clusterIPs": headless}),
                &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
            ),
            (
                json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90_000}}}),
                &[
                    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be greater than 0 and less than 86400",
                ],
            ),
            (
                json!({"externalIPs": ["127.0.0.1"]}),
                &["spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"],
            ),
            (json!({"ipFamilies": ["IPv4", "IPv4"]}), &["spec.ipFamilies[1]: Duplicate value: \"IPv4\""]),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
                &[
                    "spec.clusterIPs: Invalid value: [\"10.0.0.1\",\"10.0.0.2\"]: may specify no more than one IP for each IP family",
                ],
            ),
            (
                json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv6"]}),
                &["spec.clusterIPs[0]: Invalid value: \"10.0.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`"],
            ),
            (
                json!({"allocateLoadBalancerNodePorts": true}),
                &["spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"],
            ),
            (
                json!({"healthCheckNodePort": 30000}),
                &[
                    "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
                ],
            ),
            (
                json!({"trafficDistribution": "Far"}),
                &[
                    "spec.trafficDistribution: Unsupported value: \"Far\": supported values: \"PreferClose\", \"PreferSameNode\", \"PreferSameZone\"",
                ],
            ),
            (
                json!({"type": "ExternalName", "externalName": "a.b", "ipFamilies": ["IPv4"]}),
                &["spec.ipFamilies: Forbidden: may not be set for ExternalName services"],
            ),
        ],
    );
    let two = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "RequireDualStack"});
    let one = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilyPolicy": "RequireDualStack"});
    assert_eq!(
        update_errors(service(&two), service(&one)),
        [
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be set to 'SingleStack' when releasing the secondary clusterIP"
        ]
    );
}

#[test]
fn policies() {
    let peer = |peer: Value| json!({"ingress": [{"from": [peer]}]});
    let port = |port: Value| json!({"ingress": [{"ports": [port]}]});
    check(
        |extra| object("networking.k8s.io/v1", "NetworkPolicy", merged(json!({"podSelector": {}}), extra)),
        vec![
            (
                peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}})),
                &["spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"],
            ),
            (
                port(json!({"endPort": 5})),
                &["spec.ingress[0].ports[0].endPort: Invalid value: 5: may not be specified when `port` is not specified"],
            ),
            (
                port(json!({"port": 9, "endPort": 5})),
                &["spec.ingress[0].ports[0].endPort: Invalid value: 9: must be greater than or equal to `port`"],
            ),
            (
                json!({"policyTypes": ["Both"]}),
                &["spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Ingress\", \"Egress\""],
            ),
        ],
    );
}

#[test]
fn ingresses() {
    let path = |kind: &str, path: &str| {
        let backend = json!({"service": {"name": "s", "port": {"number": 1}}});
        json!({"rules": [{"http": {"paths": [{"pathType": kind, "path": path, "backend": backend}]}}]})
    };
    check(
        |extra| object("networking.k8s.io/v1", "Ingress", extra.clone()),
        vec![
            (path("Prefix", "/a//b"), &["spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"]),
            (path("Exact", "/a/.."), &["spec.rules[0].http.paths[0].path: Invalid value: \"/a/..\": cannot end with '/..'"]),
            (
                json!({"defaultBackend": {}}),
                &["spec.defaultBackend: Invalid value: \"\": resource or service backend is required"],
            ),
            (
                json!({"defaultBackend": {"service": {"name": "s"}}}),
                &["spec.defaultBackend: Required value: port name or number is required"],
            ),
            (
                json!({"defaultBackend": {"resource": {"kind": "", "name": "n"}}}),
                &["spec.defaultBackend.resource.kind: Required value: kind is required"],
            ),
        ],
    );
    check(
        |extra| object("networking.k8s.io/v1", "IngressClass", merged(json!({"controller": "a.io/x"}), extra)),
        vec![
            (
                json!({"parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}),
                &["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"],
            ),
            (
                json!({"controller": "a.io/ x"}),
                &[
                    "spec.controller: Invalid value: \" x\": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
                ],
            ),
        ],
    );
}

#[test]
fn endpoints() {
    let slice = |extra: &Value| {
        let base = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "x"},
            "addressType": "IPv4"});
        merged(base, extra)
    };
    check(
        slice,
        vec![
            (
                json!({"endpoints": [{"addresses": ["::1"]}]}),
                &[
                    "endpoints[0].addresses[0]: Invalid value: \"::1\": must be an IPv4 address",
                    "endpoints[0].addresses[0]: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                ],
            ),
            (json!({"endpoints": [{"addresses": ["127.85.166.3"]}]}), &[]),
            (
                json!({"endpoints": [{"addresses": ["169.254.0.1"]}]}),
                &[
                    "endpoints[0].addresses[0]: Invalid value: \"169.254.0.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
                ],
            ),
            (
                json!({"endpoints": [{"addresses": ["10.0.0.1"], "hostname": "a.b"}]}),
                &["endpoints[0].hostname: Invalid value: \"a.b\": must not contain dots"],
            ),
            (json!({"ports": [{"name": "a"}, {"name": "a"}]}), &["ports[1].name: Duplicate value: \"a\""]),
        ],
    );
}
