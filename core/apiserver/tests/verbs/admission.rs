//! What admission gives, refuses and warns of.

use object::{Value, json};
use wasmkube_apiserver::message::Output;

use crate::Server;

const NAMESPACES: &str = "/api/v1/namespaces";

fn pod(name: &str, resources: Value) -> Value {
    let container = json!({"name": "c", "image": "i", "resources": resources});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
}

/// A server with a namespace that has a service account, as the controllers make it.
fn server() -> Server {
    let mut server = Server::new();
    server.post(NAMESPACES, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}));
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    server.post("/api/v1/namespaces/team/serviceaccounts", account);
    server
}

fn message(answer: (u16, Value)) -> String {
    answer.1["message"].as_str().unwrap_or("accepted").to_owned()
}

#[test]
fn limit_ranges_fill_in_and_bound() {
    let mut server = server();
    let limits = json!([{"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}}]);
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": limits}});
    server.post("/api/v1/namespaces/team/limitranges", range);
    let pods = "/api/v1/namespaces/team/pods";
    let created = server.post(pods, pod("a", json!({}))).1;
    assert_eq!(created["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}));
    let refused = message(server.post(pods, pod("b", json!({"limits": {"cpu": "2"}}))));
    assert_eq!(refused, "pods \"b\" is forbidden: maximum cpu usage per Container is 1, but limit is 2");
}

#[test]
fn quotas_count_what_is_there() {
    let mut server = server();
    let quota =
        |hard: Value| json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}});
    server.post("/api/v1/namespaces/team/resourcequotas", quota(json!({"pods": "1", "requests.cpu": "1"})));
    let pods = "/api/v1/namespaces/team/pods";
    let half = json!({"requests": {"cpu": "500m"}});
    assert_eq!(
        message(server.post(pods, pod("none", json!({})))),
        "pods \"none\" is forbidden: failed quota: q: must specify requests.cpu for: c"
    );
    assert_eq!(message(server.post(&format!("{pods}?dryRun=All"), pod("a", half.clone()))), "accepted");
    assert_eq!(message(server.post(pods, pod("a", half.clone()))), "accepted", "a dry run used nothing");
    assert_eq!(
        message(server.post(pods, pod("b", half))),
        "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    );
}

/// What is kept from one write to the next is what counting everything says.
#[test]
fn usage_is_exact() {
    let mut server = server();
    let hard = json!({
        "pods": "50", "requests.cpu": "100", "limits.memory": "100Gi", "count/configmaps": "20", "services.nodeports": "9",
        "requests.storage": "1Ti", "count/deployments.apps": "3",
    });
    let scoped = json!({"hard": {"pods": "50"}, "scopes": ["NotBestEffort"]});
    let mut quotas = Vec::new();
    for (name, spec) in [("all", json!({"hard": hard})), ("scoped", scoped)] {
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec});
        quotas.push(server.post("/api/v1/namespaces/team/resourcequotas", quota).1);
    }
    let claim = |amount: &str| json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": amount}}});
    let kinds = ["pods", "configmaps", "services", "persistentvolumeclaims"];
    let mut rng = object::Rng::new(11);
    for round in 0..300 {
        let (kind, name) = (kinds[rng.below(4) as usize], format!("x{}", rng.below(6)));
        let path = format!("/api/v1/namespaces/team/{kind}");
        let amount = ["100m", "1", "2k"][rng.below(3) as usize];
        let memory = ["1Gi", "1M", "1e3"][rng.below(3) as usize];
        let object = match kind {
            "pods" if rng.below(3) == 0 => pod(&name, json!({})),
            "pods" => pod(&name, json!({"requests": {"cpu": amount}, "limits": {"memory": memory}})),
            "services" => {
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}})
            }
            "configmaps" => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}),
            _ => json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim(memory)}),
        };
        match rng.below(3) {
            0 => drop(server.ask("DELETE", &format!("{path}/{name}?gracePeriodSeconds=0"), Value::Null)),
            1 => {
                let patch =
                    json!({"metadata": {"labels": {"round": round.to_string()}}, "status": {"phase": "Succeeded"}}).to_string();
                let merge = [("content-type", "application/merge-patch+json")];
                let part = if kind == "pods" { "/status" } else { "" };
                server.send("PATCH", &format!("{path}/{name}{part}"), &merge, patch.as_bytes());
            }
            _ => drop(server.post(&path, object)),
        }
        for quota in &quotas {
            let afresh = wasmkube_apiserver::admission::quota::Accounts::default().used(server.api.store(), quota);
            assert_eq!(server.api.quota_used(quota), afresh, "round {round}: {kind} {name}");
        }
    }
}

#[test]
fn pod_security_enforces_and_warns() {
    let mut server = server();
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"}}});
    let merge = [("content-type", "application/merge-patch+json")];
    server.send("PATCH", &format!("{NAMESPACES}/team"), &merge, labels.to_string().as_bytes());
    let mut host = pod("host", json!({}));
    host["spec"]["hostPID"] = json!(true);
    assert_eq!(
        message(server.post("/api/v1/namespaces/team/pods", host)),
        "pods \"host\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"
    );
    let body = pod("plain", json!({})).to_string();
    let outputs = server.send("POST", "/api/v1/namespaces/team/pods", &[], body.as_bytes());
    let Some(Output::Respond { status: 201, headers, .. }) = outputs.last() else { panic!("{outputs:?}") };
    let warning = headers.iter().find(|(key, _)| key == "warning").map(|(_, text)| text.as_str()).unwrap_or_default();
    assert!(
        warning.starts_with("299 - \"would violate PodSecurity \\\"restricted:latest\\\": allowPrivilegeEscalation != false")
    );
}

#[test]
fn pod_security_has_versions() {
    let spec = |extra: Value| {
        let mut container = json!({"name": "c", "image": "i"});
        let mut spec = json!({});
        for (key, value) in extra.as_object().unwrap() {
            let of = if key.starts_with("pod.") { &mut spec } else { &mut container };
            of[key.trim_start_matches("pod.")] = value.clone();
        }
        spec["containers"] = json!([container]);
        spec
    };
    let sysctl = |name: &str| json!({"pod.securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
    let selinux = json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}});
    let probe = json!({"livenessProbe": {"httpGet": {"host": "h", "port": 80}}});
    let own = json!({"pod.hostUsers": false, "securityContext": {"procMount": "Unmasked"}});
    let cases: [(&str, &str, &str, Value, Option<&str>); 12] = [
        ("keepalive", "baseline", "latest", sysctl("net.ipv4.tcp_keepalive_time"), None),
        (
            "keepalive before",
            "baseline",
            "v1.28",
            sysctl("net.ipv4.tcp_keepalive_time"),
            Some("forbidden sysctls (net.ipv4.tcp_keepalive_time)"),
        ),
        ("buffers", "baseline", "v1.32", sysctl("net.ipv4.tcp_rmem"), None),
        ("engines", "baseline", "v1.31", selinux.clone(), None),
        (
            "engines before",
            "baseline",
            "v1.30",
            selinux,
            Some("seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")"),
        ),
        (
            "hosts of probes",
            "baseline",
            "latest",
            probe.clone(),
            Some("probe or lifecycle host (container \"c\" uses probe or lifecycle host \"h\")"),
        ),
        ("hosts of probes before", "baseline", "v1.33", probe, None),
        ("users of its own", "baseline", "latest", own.clone(), None),
        (
            "users of its own before",
            "baseline",
            "v1.34",
            own,
            Some("procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")"),
        ),
        (
            "little was asked once",
            "restricted",
            "v1.18",
            json!({}),
            Some(
                "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
                  runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)",
            ),
        ),
        (
            "volumes are told of once",
            "restricted",
            "v1.7",
            json!({"pod.volumes": [{"name": "v", "hostPath": {"path": "/"}}], "pod.securityContext": {"runAsNonRoot": true}}),
            Some("restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")"),
        ),
        (
            "windows",
            "restricted",
            "v1.24",
            json!({"pod.os": {"name": "windows"}, "pod.securityContext": {"runAsNonRoot": true}}),
            Some(
                "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
                  unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
                  seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            ),
        ),
    ];
    for (name, level, version, extra, why) in cases {
        let mut server = server();
        let labels = json!({"pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/enforce-version": version});
        let merge = [("content-type", "application/merge-patch+json")];
        let patch = json!({"metadata": {"labels": labels}});
        server.send("PATCH", &format!("{NAMESPACES}/team"), &merge, patch.to_string().as_bytes());
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec(extra)});
        let said = message(server.post("/api/v1/namespaces/team/pods", pod));
        let expect = match why {
            Some(why) => format!("pods \"p\" is forbidden: violates PodSecurity \"{level}:{version}\": {why}"),
            None => "accepted".to_owned(),
        };
        assert_eq!(said, expect, "{name}");
    }
}

#[test]
fn a_namespace_that_enforces_more_warns_of_what_it_holds() {
    let mut server = server();
    for name in ["b", "a"] {
        server.post("/api/v1/namespaces/team/pods", pod(name, json!({})));
    }
    let mut host = pod("host", json!({}));
    host["spec"]["hostPID"] = json!(true);
    server.post("/api/v1/namespaces/team/pods", host);
    let mut warnings = |level: &str| -> Vec<String> {
        let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
        let merge = [("content-type", "application/merge-patch+json")];
        let outputs = server.send("PATCH", &format!("{NAMESPACES}/team"), &merge, labels.to_string().as_bytes());
        let Some(Output::Respond { status: 200, headers, .. }) = outputs.last() else { panic!("{outputs:?}") };
        headers.iter().filter(|(key, _)| key == "warning").map(|(_, text)| text.clone()).collect()
    };
    let head = |level: &str| {
        format!(
            "299 - \"existing pods in namespace \\\"team\\\" violate the new PodSecurity enforce level \\\"{level}:latest\\\"\""
        )
    };
    assert_eq!(warnings("baseline"), [head("baseline"), "299 - \"host: host namespaces\"".to_owned()]);
    let rules = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile";
    assert_eq!(warnings("restricted")[..2], [head("restricted"), format!("299 - \"a (and 1 other pod): {rules}\"")]);
    assert!(warnings("baseline").is_empty(), "less than before");
}

#[test]
fn accounts_may_list_all_that_their_pods_get() {
    let mut server = server();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "secrets": [{"name": "known"}],
        "metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}});
    server.post("/api/v1/namespaces/team/serviceaccounts", account);
    let why = "is not allowed because service account strict does not reference that";
    for (name, spec, said) in [
        ("listed", json!({"volumes": [{"name": "v", "secret": {"secretName": "known"}}]}), "accepted".to_owned()),
        (
            "volume",
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
            format!("volume with secret.secretName=\"s\" {why} secret"),
        ),
        (
            "env",
            json!({"containers": [{"name": "c", "image": "i", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}),
            format!("container c with envVar E referencing secret.secretName=\"s\" {why} secret"),
        ),
        ("pull", json!({"imagePullSecrets": [{"name": "p"}]}), format!("imagePullSecrets[0].name=\"p\" {why} imagePullSecret")),
    ] {
        let mut pod = pod(name, json!({}));
        pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        pod["spec"]["serviceAccountName"] = json!("strict");
        let said = if said == "accepted" { said } else { format!("pods \"{name}\" is forbidden: {said}") };
        assert_eq!(message(server.post("/api/v1/namespaces/team/pods", pod)), said, "{name}");
    }
}

#[test]
fn quotas_of_claims_by_their_attributes() {
    let mut server = server();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gold"}, "spec": {
        "hard": {"persistentvolumeclaims": "1"},
        "scopeSelector": {"matchExpressions": [{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}]},
    }});
    assert_eq!(message(server.post("/api/v1/namespaces/team/resourcequotas", quota)), "accepted");
    let claim = |name: &str, class: Value| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeAttributesClassName": class,
        }})
    };
    let claims = "/api/v1/namespaces/team/persistentvolumeclaims";
    for (name, class, fits) in
        [("a", json!("gold"), true), ("b", Value::Null, true), ("c", json!("silver"), true), ("d", json!("gold"), false)]
    {
        let said = message(server.post(claims, claim(name, class)));
        assert_eq!(said == "accepted", fits, "{name}: {said}");
    }
}

#[test]
fn evictions_ask_the_budget() {
    let mut server = server();
    let mut running = pod("a", json!({}));
    running["metadata"]["labels"] = json!({"app": "x"});
    server.post("/api/v1/namespaces/team/pods", running);
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let merge = [("content-type", "application/merge-patch+json")];
    server.send("PATCH", "/api/v1/namespaces/team/pods/a/status", &merge, status.to_string().as_bytes());
    let budgets = "/apis/policy/v1/namespaces/team/poddisruptionbudgets";
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}});
    server.post(
        budgets,
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": spec}),
    );
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    let target = "/api/v1/namespaces/team/pods/a/eviction";
    let refused = server.post(target, eviction.clone());
    assert_eq!((refused.0, &refused.1["details"]["causes"][0]["reason"]), (429, &json!("DisruptionBudget")));
    let spare = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1}});
    server.send("PATCH", &format!("{budgets}/p/status"), &merge, spare.to_string().as_bytes());
    let mut another = eviction.clone();
    another["deleteOptions"] = json!({"preconditions": {"resourceVersion": "1"}});
    assert_eq!(server.post(target, another.clone()).0, 409);
    another["deleteOptions"] = json!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}});
    assert_eq!(server.post(target, another).0, 409);
    let untouched = server.get(&format!("{budgets}/p")).1["status"].clone();
    assert_eq!(
        (&untouched["disruptionsAllowed"], &untouched["disruptedPods"]),
        (&json!(1), &Value::Null),
        "a refusal spends nothing"
    );
    assert_eq!(server.post(target, eviction).0, 201);
    assert_eq!(server.get(&format!("{budgets}/p")).1["status"]["disruptionsAllowed"], json!(0));
    assert_eq!(server.get("/api/v1/namespaces/team/pods/a").0, 404, "it was bound to no node");
}

#[test]
fn requests_are_counted_by_what_they_asked() {
    let mut server = Server::new();
    server.get("/api/v1/namespaces/default/configmaps/none");
    server.get("/api/v1/namespaces/default/made-up-names");
    let outputs = server.send("GET", "/metrics", &[], b"");
    let Some(Output::Respond { status: 200, body, .. }) = outputs.last() else { panic!("{outputs:?}") };
    let text = String::from_utf8_lossy(body);
    assert!(text.contains(
        "apiserver_request_total{code=\"404\",component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\",scope=\"resource\",\
         subresource=\"\",verb=\"GET\",version=\"v1\"} 1"
    ), "{text}");
    assert!(!text.contains("made-up-names"), "nobody makes labels up");
    assert!(text.contains("apiserver_storage_objects{resource=\"namespaces\"} 4"));
}

#[test]
fn policies_deny_warn_and_take_parameters() {
    let mut server = server();
    let group = "/apis/admissionregistration.k8s.io/v1";
    let rules =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "size"},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": rules},
            "matchConditions": [{"name": "not-exempt", "expression": "object.metadata.name != 'exempt'"}],
            "variables": [{"name": "count", "expression": "has(object.data) ? object.data.size() : 0"}],
            "validations": [{"expression": "variables.count <= int(params.data.most)", "messageExpression": "'at most ' + params.data.most"}],
        },
    });
    assert_eq!(server.post(&format!("{group}/validatingadmissionpolicies"), policy).0, 201);
    server.post(
        "/api/v1/namespaces/default/configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limit"}, "data": {"most": "1"}}),
    );
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "team"},
        "spec": {
            "policyName": "size", "validationActions": ["Deny"],
            "paramRef": {"name": "limit", "namespace": "default", "parameterNotFoundAction": "Deny"},
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team"}}},
        },
    });
    assert_eq!(server.post(&format!("{group}/validatingadmissionpolicybindings"), binding).0, 201);
    let map =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1", "b": "2"}});
    let refused = server.post("/api/v1/namespaces/team/configmaps", map("x"));
    assert_eq!((refused.0, &refused.1["reason"]), (422, &json!("Invalid")));
    let why = "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'size' with binding 'team' denied request: at most 1";
    assert_eq!(refused.1["message"], why);
    assert_eq!(message(server.post("/api/v1/namespaces/team/configmaps", map("exempt"))), "accepted");
    assert_eq!(message(server.post("/api/v1/namespaces/default/configmaps", map("elsewhere"))), "accepted");
    server.ask("DELETE", "/api/v1/namespaces/default/configmaps/limit", Value::Null);
    let refused = message(server.post("/api/v1/namespaces/team/configmaps", map("y")));
    assert!(
        refused.ends_with("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"),
        "{refused}"
    );
}

#[test]
fn certificate_requests_name_their_maker_and_are_approved_by_a_door_of_their_own() {
    let mut server = Server::new();
    let target = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let spec = json!({"request": "eA==", "signerName": "example.com/s", "usages": ["client auth"], "username": "somebody-else"});
    let made = server.post(target, json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "r"}, "spec": spec}));
    assert_eq!((made.0, &made.1["spec"]["username"]), (201, &json!("admin")));
    let mut approved = made.1.clone();
    approved["status"] =
        json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Fine", "message": "m"}], "certificate": "eA=="});
    assert_eq!(server.ask("PUT", &format!("{target}/r/approval"), approved.clone()).0, 200);
    let stored = server.get(&format!("{target}/r/approval")).1;
    assert_eq!(stored["status"]["conditions"][0]["type"], "Approved");
    assert_eq!(stored["status"]["certificate"], Value::Null, "that is the signer's");
    approved["spec"]["username"] = json!("other");
    assert_eq!(server.ask("PUT", &format!("{target}/r"), approved).0, 409, "an old version");
}
