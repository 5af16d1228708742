//! What admission lets a kubelet write, and who may approve certificates.

use object::{Value, json};

use crate::{Server, answer};

const PODS: &str = "/api/v1/namespaces/team/pods";

/// A server with two nodes and a pod on each.
fn server() -> Server {
    let mut server = Server::new();
    for namespace in ["team", "kube-node-lease"] {
        server.post("/api/v1/namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    server.post("/api/v1/namespaces/team/serviceaccounts", account);
    for node in ["a", "b"] {
        let labels = json!({"topology.kubernetes.io/zone": format!("zone-{node}")});
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}});
        server.post("/api/v1/nodes", object);
        let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "i"}]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("on-{node}")}, "spec": spec});
        server.post(PODS, pod);
    }
    server
}

fn ask_as(server: &mut Server, who: [&str; 2], method: &str, target: &str, body: Value) -> String {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let headers = [("content-type", kind), ("impersonate-user", who[0]), ("impersonate-group", who[1])];
    let (code, answer) = answer(&server.send(method, target, &headers, body.to_string().as_bytes()));
    if code < 300 { "fine".to_owned() } else { answer["message"].as_str().unwrap_or_default().to_owned() }
}

#[test]
fn a_kubelet_writes_only_what_is_its_own() {
    let mut server = server();
    let uid = server.get("/api/v1/nodes/a").1["metadata"]["uid"].clone();
    let pod_uid = server.get(&format!("{PODS}/on-b")).1["metadata"]["uid"].clone();
    let mirror = |name: &str, more: Value, spec: Value| {
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "a", "uid": uid, "controller": true});
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "ownerReferences": [owner],
            "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i"}]}});
        pod["metadata"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        pod
    };
    let lease = |name: &str| json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}});
    let token = |bound: Value| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let tokens = "/api/v1/namespaces/team/serviceaccounts/default/token";
    let labels = |key: &str| json!({"metadata": {"labels": {key: "x"}}});
    for (name, method, target, body, said) in [
        ("own label", "PATCH", "/api/v1/nodes/a", labels("disk"), "fine"),
        (
            "a label of the administrator",
            "PATCH",
            "/api/v1/nodes/a",
            labels("node-restriction.kubernetes.io/x"),
            "nodes \"a\" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x",
        ),
        (
            "taints",
            "PATCH",
            "/api/v1/nodes/a",
            json!({"spec": {"taints": []}}),
            "nodes \"a\" is forbidden: node \"a\" is not allowed to modify taints",
        ),
        (
            "an ordinary pod",
            "POST",
            PODS,
            mirror("p", json!({"annotations": {}}), json!({})),
            "pods \"p\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" annotation, node \"a\" can only create mirror pods",
        ),
        (
            "a mirror pod elsewhere",
            "POST",
            PODS,
            mirror("p", json!({}), json!({"nodeName": "b"})),
            "pods \"p\" is forbidden: node \"a\" can only create pods with spec.nodeName set to itself",
        ),
        (
            "a mirror pod of nobody",
            "POST",
            PODS,
            mirror("p", json!({"ownerReferences": []}), json!({})),
            "pods \"p\" is forbidden: node \"a\" can only create pods with an owner reference set to itself",
        ),
        ("a mirror pod", "POST", PODS, mirror("m", json!({}), json!({})), "fine"),
        (
            "status of its pod",
            "PATCH",
            "/api/v1/namespaces/team/pods/on-a/status",
            json!({"status": {"phase": "Running"}}),
            "fine",
        ),
        (
            "status of another's",
            "PATCH",
            "/api/v1/namespaces/team/pods/on-b/status",
            json!({"status": {"phase": "Running"}}),
            "pods \"on-b\" is forbidden: node \"a\" can only update pod status for pods with spec.nodeName set to itself",
        ),
        (
            "deletion of another's",
            "DELETE",
            "/api/v1/namespaces/team/pods/on-b",
            json!({}),
            "pods \"on-b\" is forbidden: node \"a\" can only delete pods with spec.nodeName set to itself",
        ),
        ("its lease", "POST", leases, lease("a"), "fine"),
        (
            "a token for nothing",
            "POST",
            tokens,
            token(Value::Null),
            "serviceaccounts \"default\" is forbidden: node requested token not bound to a pod",
        ),
        (
            "a token for another's pod",
            "POST",
            tokens,
            token(json!({"apiVersion": "v1", "kind": "Pod", "name": "on-b", "uid": pod_uid})),
            "serviceaccounts \"default\" is forbidden: node requested token bound to a pod scheduled on a different node",
        ),
    ] {
        let answer = ask_as(&mut server, ["system:node:a", "system:nodes"], method, target, body);
        assert_eq!(answer, said, "{name}");
    }
}

#[test]
fn approving_takes_the_right_for_the_signer() {
    let mut server = server();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "approver"}, "rules": [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": ["example.com/*"], "verbs": ["approve"]},
    ]});
    server.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "approver"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "approver"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}]});
    server.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding);
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    for (signer, said) in [
        ("example.com/s", "fine"),
        (
            "other.com/s",
            "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to approve requests with signerName \"other.com/s\"",
        ),
    ] {
        let spec = json!({"request": "eA==", "signerName": signer, "usages": ["client auth"]});
        let object = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "r"}, "spec": spec});
        let mut made = server.post(requests, object).1;
        made["status"] = json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Fine", "message": "m"}]});
        let answer = ask_as(&mut server, ["ann", "people"], "PUT", &format!("{requests}/r/approval"), made);
        assert_eq!(answer, said);
        server.ask("DELETE", &format!("{requests}/r"), Value::Null);
    }
}

#[test]
fn pods_say_in_which_zone_they_are() {
    let mut server = server();
    let zone = |pod: &Value| pod["metadata"]["labels"]["topology.kubernetes.io/zone"].clone();
    assert_eq!(zone(&server.get(&format!("{PODS}/on-a")).1), "zone-a", "from the start");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(zone(&server.post(PODS, pod).1), Value::Null);
    let binding =
        json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "b"}});
    assert_eq!(server.post(&format!("{PODS}/p/binding"), binding).0, 201);
    assert_eq!(zone(&server.get(&format!("{PODS}/p")).1), "zone-b", "when it is bound");
}
