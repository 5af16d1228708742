//! Services, their addresses, and Ingresses.

use object::json;

use super::{NULL, object, step, tell};

#[test]
fn ingresses() {
    const ALL: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    const ONE: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/i";
    const STATUS: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/i/status";
    let spec = json!({"defaultBackend": {"service": {"name": "b", "port": {"number": 80}}}, "rules": [{"host": "a.example.com",
        "http": {"paths": [{"path": "/", "pathType": "ImplementationSpecific", "backend": {"service": {"name": "s", "port": {"name": "http"}}}}]}}]});
    tell(
        "Ingress",
        vec![
            step(
                "POST",
                ALL,
                object("networking.k8s.io/v1", "Ingress", "i", json!({"spec": spec})),
                201,
                json!({"/metadata/generation": 1, "/status": {"loadBalancer": {}}}),
            ),
            step(
                "merge",
                ONE,
                json!({"metadata": {"annotations": {"patched": "true"}}}),
                200,
                json!({"/metadata/generation": 1}),
            ),
            step(
                "merge",
                STATUS,
                json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}}),
                200,
                json!({"/status/loadBalancer/ingress/0/ip": "169.1.1.1", "/metadata/annotations/patchedstatus": "true"}),
            ),
            step(
                "json",
                STATUS,
                json!([{"op": "replace", "path": "/status/loadBalancer/ingress/0/ip", "value": "169.1.1.2"}]),
                200,
                json!({"/status/loadBalancer/ingress/0/ip": "169.1.1.2"}),
            ),
            step(
                "json",
                STATUS,
                json!([{"op": "replace", "path": "/status/loadBalancer/ingress/0/ip", "value": "none"}]),
                422,
                json!({"/message": "status.loadBalancer.ingress[0].ip: Invalid value: \"none\": must be a valid IP address"}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"rules": [{"host": "b.example.com"}]}}),
                200,
                json!({"/metadata/generation": 2, "/status/loadBalancer/ingress/0/ip": "169.1.1.2"}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"rules": [{"host": "1.2.3.4"}]}}),
                422,
                json!({"/message": "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"}),
            ),
            step("DELETE", ALL, NULL, 200, json!({"/kind": "IngressList"})),
        ],
    );
}

#[test]
fn service_addresses() {
    const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
    let parent = json!({"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "foo"}}});
    tell(
        "IPAddress and ServiceCIDR",
        vec![
            step("POST", ADDRESSES, object("networking.k8s.io/v1", "IPAddress", "192.168.44.33", parent.clone()), 201, json!({})),
            step(
                "POST",
                ADDRESSES,
                object("networking.k8s.io/v1", "IPAddress", "192.168.044.033", parent.clone()),
                422,
                json!({"/message": "metadata.name: Invalid value: \"192.168.044.033\": ParseAddr(\"192.168.044.033\"): IPv4 field has octet with leading zero"}),
            ),
            step(
                "POST",
                ADDRESSES,
                object("networking.k8s.io/v1", "IPAddress", "2001:DB8::1", parent),
                422,
                json!({"/message": "must be a canonical form IP address"}),
            ),
            step(
                "merge",
                "/apis/networking.k8s.io/v1/ipaddresses/192.168.44.33",
                json!({"metadata": {"labels": {"x": "y"}}}),
                200,
                json!({"/metadata/labels/x": "y"}),
            ),
            step(
                "merge",
                "/apis/networking.k8s.io/v1/ipaddresses/192.168.44.33",
                json!({"spec": {"parentRef": {"name": "bar"}}}),
                422,
                json!({"/message": "spec.parentRef: Invalid value"}),
            ),
            step("GET", "/apis/networking.k8s.io/v1/ipaddresses?fieldSelector=spec.parentRef.name%3Dfoo", NULL, 400, json!({})),
            step(
                "POST",
                "/apis/networking.k8s.io/v1/servicecidrs",
                object("networking.k8s.io/v1", "ServiceCIDR", "c", json!({"spec": {"cidrs": ["10.1.1.0/24"]}})),
                201,
                json!({}),
            ),
            step(
                "merge",
                "/apis/networking.k8s.io/v1/servicecidrs/c/status",
                json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
                200,
                json!({"/status/conditions/0/type": "Ready"}),
            ),
            step(
                "merge",
                "/apis/networking.k8s.io/v1/servicecidrs/c",
                json!({"spec": {"cidrs": ["10.1.2.0/24"]}}),
                422,
                json!({"/message": "spec.cidrs[0]: Invalid value: \"10.1.2.0/24\": field is immutable"}),
            ),
            step(
                "POST",
                "/apis/networking.k8s.io/v1/servicecidrs",
                object("networking.k8s.io/v1", "ServiceCIDR", "d", json!({"spec": {"cidrs": ["10.1.1.5/24"]}})),
                422,
                json!({"/message": "spec.cidrs[0]: Invalid value: \"10.1.1.5/24\": must not have bits set beyond the prefix length"}),
            ),
        ],
    );
}

#[test]
fn services_change_their_types() {
    const ONE: &str = "/api/v1/namespaces/default/services/s";
    const STATUS: &str = "/api/v1/namespaces/default/services/s/status";
    tell(
        "service types and status",
        vec![
            step(
                "POST",
                "/api/v1/namespaces/default/services",
                object("v1", "Service", "s", json!({"spec": {"type": "ExternalName", "externalName": "foo.example.com"}})),
                201,
                json!({"/spec/clusterIP": NULL}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"type": "ClusterIP", "externalName": null, "ports": [{"port": 80, "name": "http", "protocol": "TCP"}]}}),
                200,
                json!({"/spec/type": "ClusterIP", "/spec/ports/0/targetPort": 80, "/spec/ipFamilies/0": "IPv4"}),
            ),
            step("merge", ONE, json!({"spec": {"type": "NodePort"}}), 200, json!({"/spec/externalTrafficPolicy": "Cluster"})),
            step(
                "merge",
                ONE,
                json!({"spec": {"type": "ExternalName", "externalName": "bar.example.com", "clusterIP": "", "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null}}),
                200,
                json!({"/spec/clusterIP": NULL, "/spec/ports/0/nodePort": NULL}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"type": "LoadBalancer", "externalName": null, "loadBalancerClass": "e2e.example.com/lb"}}),
                200,
                json!({"/spec/allocateLoadBalancerNodePorts": true}),
            ),
            step(
                "merge",
                STATUS,
                json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}),
                200,
                json!({"/status/loadBalancer/ingress/0/ip": "203.0.113.1", "/status/loadBalancer/ingress/0/ipMode": "VIP", "/metadata/annotations/patchedstatus": "true"}),
            ),
            step(
                "merge",
                STATUS,
                json!({"status": {"conditions": [{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
                200,
                json!({"/status/conditions/0/type": "StatusUpdate"}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"loadBalancerClass": "other.example.com/lb"}}),
                422,
                json!({"/message": "spec.loadBalancerClass: Invalid value: \"other.example.com/lb\": may not change once set"}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null}}),
                200,
                json!({"/spec/allocateLoadBalancerNodePorts": NULL}),
            ),
            step(
                "DELETE",
                "/api/v1/namespaces/default/services?labelSelector=e2e%3Dyes",
                NULL,
                200,
                json!({"/kind": "ServiceList"}),
            ),
        ],
    );
}
