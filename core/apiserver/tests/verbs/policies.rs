//! Policies of admission as a client meets them.

use object::{Time, Value, json};
use wasmkube_apiserver::admission::PodSecurityConfiguration;
use wasmkube_apiserver::message::{Output, StaticToken};
use wasmkube_apiserver::{ApiServer, Settings};

use crate::{CONFIGMAPS, Server, answer, configmap};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// A policy for ConfigMaps with this in its spec too.
fn policy(name: &str, spec: Value) -> Value {
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]});
    let mut whole = json!({"matchConstraints": {"resourceRules": [rule]}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": whole})
}

fn binding(name: &str, spec: Value) -> Value {
    let mut whole = json!({"policyName": name, "validationActions": ["Deny"]});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": whole})
}

impl Server {
    /// Puts a policy to work.
    fn policy(&mut self, name: &str, spec: Value, bound: Value) {
        let (code, answer) = self.post(&format!("{GROUP}/validatingadmissionpolicies"), policy(name, spec));
        assert_eq!(code, 201, "{answer}");
        let (code, answer) = self.post(&format!("{GROUP}/validatingadmissionpolicybindings"), binding(name, bound));
        assert_eq!(code, 201, "{answer}");
    }

    /// Code, and what the policy `p` said, of making a ConfigMap.
    fn made(&mut self, object: Value) -> (u16, String) {
        let (code, answer) = self.post(CONFIGMAPS, object);
        let message = answer["message"].as_str().unwrap_or_default();
        let said = message.rsplit_once("denied request: ").map_or(message, |(_, said)| said);
        (code, said.to_owned())
    }
}

fn validations(expressions: &[&str]) -> Value {
    json!(expressions.iter().map(|source| json!({"expression": source})).collect::<Vec<_>>())
}

#[test]
fn what_is_said_of_a_refusal() {
    let one = |expression: &str, more: Value| {
        let mut validation = json!({"expression": expression});
        validation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"validations": [validation]})
    };
    let failed = |source: &str, why: &str| format!("expression '{source}' resulted in error: {why}");
    let cases: [(&str, Value, u16, String); 11] = [
        ("holds", one("true", json!({})), 201, String::new()),
        ("no message", one(" object.data.k == 'x' ", json!({})), 422, "failed expression: object.data.k == 'x'".into()),
        ("message", one("false", json!({"message": " no "})), 422, "no".into()),
        ("made", one("false", json!({"messageExpression": "'k is ' + object.data.k", "message": "no"})), 422, "k is v".into()),
        (
            "made of nothing",
            one("false", json!({"messageExpression": "string(object.data.nothing)", "message": "no"})),
            422,
            "no".into(),
        ),
        ("made blank", one("false", json!({"messageExpression": "' '", "message": "no"})), 422, "no".into()),
        ("forbidden", one("false", json!({"reason": "Forbidden"})), 403, "failed expression: false".into()),
        ("too large", one("false", json!({"reason": "RequestEntityTooLarge"})), 413, "failed expression: false".into()),
        ("error", one("object.data.x == 'v'", json!({})), 422, failed("object.data.x == 'v'", "no such key: x")),
        (
            "condition in error",
            json!({"validations": [{"expression": "true"}], "matchConditions": [{"name": "c", "expression": "object.data.x == 'v'"}]}),
            422,
            failed("object.data.x == 'v'", "no such key: x"),
        ),
        (
            "conditions in error",
            json!({"validations": [{"expression": "true"}], "matchConditions": [
                {"name": "a", "expression": "object.x == 1"}, {"name": "b", "expression": "object.y == 1"},
            ]}),
            422,
            format!("[{}, {}]", failed("object.x == 1", "no such key: x"), failed("object.y == 1", "no such key: y")),
        ),
    ];
    for (name, spec, code, said) in cases {
        let mut server = Server::new();
        server.policy("p", spec.clone(), json!({}));
        assert_eq!(server.made(configmap("a")), (code, said), "{name}");
        let mut lenient = spec;
        lenient["failurePolicy"] = "Ignore".into();
        let mut server = Server::new();
        server.policy("p", lenient, json!({}));
        let code = if name.contains("error") { 201 } else { code };
        assert_eq!(server.made(configmap("a")).0, code, "{name}, failures ignored");
    }
}

#[test]
fn what_expressions_see() {
    for (name, expression, holds) in [
        ("request", "request.operation == 'CREATE' && request.name == 'a' && request.namespace == 'default'", true),
        ("resource", "request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'", true),
        ("nothing that is empty", "!has(request.subResource) && !request.dryRun", true),
        ("user", "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups", true),
        ("namespace", "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'", true),
        ("old", "oldObject == null", true),
        ("no parameters", "params == null", true),
        ("authorizer", "authorizer.group('').resource('secrets').check('get').allowed()", true),
        ("of the request", "authorizer.requestResource.check('create').allowed()", true),
        ("path", "authorizer.path('/metrics').check('get').allowed()", true),
        ("account", "authorizer.serviceAccount('default', 'a').group('').resource('pods').check('list').allowed()", false),
        ("variables", "variables.one == 1 && variables.two == 2", true),
        ("variables that fail in vain", "variables.one == 1 || variables.bad", true),
        ("variables that fail", "variables.bad == 1", false),
    ] {
        let mut server = Server::new();
        let variables = json!([
            {"name": "bad", "expression": "object.nothing"}, {"name": "one", "expression": "1"},
            {"name": "two", "expression": "variables.one + 1"},
        ]);
        // There is a kind of parameters, but the binding names none.
        let kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        let spec = json!({"variables": variables, "paramKind": kind, "validations": [{"expression": expression}]});
        server.policy("p", spec, json!({}));
        let (code, said) = server.made(configmap("a"));
        assert_eq!(code == 201, holds, "{name}: {said}");
    }
}

#[test]
fn parameters() {
    let kind = json!({"apiVersion": "v1", "kind": "Secret"});
    let cases: [(&str, Value, Value, u16, &str); 8] = [
        ("named", kind.clone(), json!({"name": "good", "namespace": "kube-system"}), 201, ""),
        ("all hold", kind.clone(), json!({"selector": {"matchLabels": {"is": "good"}}, "namespace": "kube-system"}), 201, ""),
        ("one does not", kind.clone(), json!({"selector": {}, "namespace": "kube-system"}), 422, "bad"),
        (
            "none",
            kind.clone(),
            json!({"name": "none"}),
            422,
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
        ),
        ("none matters", kind.clone(), json!({"name": "none", "parameterNotFoundAction": "Allow"}), 201, ""),
        ("of the request's namespace", kind, json!({"name": "good"}), 201, ""),
        (
            "namespace of what has none",
            json!({"apiVersion": "v1", "kind": "Namespace"}),
            json!({"name": "default", "namespace": "default"}),
            422,
            "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`",
        ),
        (
            "no such kind",
            json!({"apiVersion": "a.io/v1", "kind": "B"}),
            json!({"name": "x"}),
            422,
            "failed to configure policy: failed to find resource referenced by paramKind: 'a.io/v1, Kind=B'",
        ),
    ];
    for (name, kind, mut reference, code, said) in cases {
        let mut server = Server::new();
        for (namespace, name) in [("kube-system", "good"), ("kube-system", "bad"), ("default", "good")] {
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"is": name}}});
            assert_eq!(server.post(&format!("/api/v1/namespaces/{namespace}/secrets"), secret).0, 201);
        }
        reference.as_object_mut().unwrap().entry("parameterNotFoundAction").or_insert("Deny".into());
        let validation =
            json!({"expression": "params.metadata.name == 'good'", "messageExpression": "string(params.metadata.name)"});
        server.policy("p", json!({"paramKind": kind, "validations": [validation]}), json!({"paramRef": reference}));
        assert_eq!(server.made(configmap("a")), (code, said.to_owned()), "{name}");
    }
}

#[test]
fn equivalent_versions_are_meant_too() {
    let rule = json!({"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "operations": ["CREATE"], "resources": ["horizontalpodautoscalers"]});
    for (how, code) in [("Equivalent", 422), ("Exact", 201)] {
        let mut server = Server::new();
        let constraints = json!({"matchPolicy": how, "resourceRules": [rule]});
        let seen = "has(object.spec.metrics) && request.kind.version == 'v2' && request.requestKind.version == 'v1'";
        let spec = json!({"matchConstraints": constraints, "validations": [{"expression": format!("!({seen})"), "message": "seen as v2"}]});
        server.policy("p", spec, json!({}));
        let target = json!({"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"});
        let scaler = json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": {"maxReplicas": 2, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 50},
        });
        let (got, answer) = server.post("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", scaler);
        assert_eq!(got, code, "{how}: {answer}");
    }
}

#[test]
fn what_is_excluded_is_not_meant() {
    let rule = |names: Value| json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"], "resourceNames": names});
    let mut server = Server::new();
    let bound = json!({"matchResources": {"excludeResourceRules": [rule(json!(["free"]))]}});
    server.policy("p", json!({"validations": validations(&["false"])}), bound);
    assert_eq!(server.made(configmap("free")).0, 201);
    assert_eq!(server.made(configmap("other")).0, 422);
}

#[test]
fn budgets_end() {
    let mut server = Server::new();
    let list = format!("[{}]", vec!["1"; 200].join(","));
    let heavy = format!("{list}.all(a, {list}.all(b, {list}.all(c, a + b + c == 3)))");
    server.policy("p", json!({"validations": validations(&[&heavy])}), json!({}));
    let (code, said) = server.made(configmap("a"));
    assert_eq!(code, 422);
    assert!(said.ends_with("resulted in error: operation cancelled: actual cost limit exceeded"), "{said}");
    let mut server = Server::new();
    server.policy("p", json!({"validations": validations(&[heavy.as_str(); 11])}), json!({}));
    let spent = "validation failed due to running out of cost budget, no further validation rules will be run";
    assert_eq!(server.made(configmap("a")), (422, spent.to_owned()));
}

/// A server that writes an audit log.
fn audited() -> Server {
    audited_with(Value::Null)
}

/// The same, with this PodSecurityConfiguration.
fn audited_with(pod_security: Value) -> Server {
    let token =
        StaticToken { token: "t".into(), user: "admin".into(), groups: vec!["system:masters".into()], ..StaticToken::default() };
    let audit_policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n".to_owned();
    let pod_security = PodSecurityConfiguration::parse(&pod_security).unwrap().into();
    let settings = Settings { tokens: vec![token], history_limit: 100, audit_policy, pod_security, ..Settings::default() };
    let mut api = ApiServer::new(settings);
    let now = Time(1_700_000_000_000_000);
    api.start(now, 0);
    api.take_outputs();
    Server { api, now, stream: 0 }
}

#[test]
fn pod_security_has_defaults_and_exempts() {
    let defaults = json!({"enforce": "baseline", "enforce-version": "v1.34"});
    let violates = "violates PodSecurity \"baseline:v1.34\": host namespaces (hostPID=true)";
    for (name, exemptions, spec, why, exempt) in [
        ("nobody", json!({}), json!({}), violates, Value::Null),
        ("namespace", json!({"namespaces": ["default"]}), json!({}), "", json!("namespace")),
        ("other namespace", json!({"namespaces": ["other"]}), json!({}), violates, Value::Null),
        ("user", json!({"usernames": ["admin"]}), json!({}), "", json!("user")),
        (
            "runtime class",
            json!({"runtimeClasses": ["sandbox"]}),
            json!({"runtimeClassName": "sandbox"}),
            "",
            json!("runtimeClass"),
        ),
    ] {
        let mut server = audited_with(json!({"defaults": defaults, "exemptions": exemptions}));
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        server.post("/api/v1/namespaces/default/serviceaccounts", account);
        let class =
            json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "sandbox"}, "handler": "h"});
        server.post("/apis/node.k8s.io/v1/runtimeclasses", class);
        let mut whole = json!({"hostPID": true, "containers": [{"name": "c", "image": "i"}]});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": whole}).to_string();
        let json = [("content-type", "application/json")];
        let outputs = server.send("POST", "/api/v1/namespaces/default/pods", &json, pod.as_bytes());
        let message = answer(&outputs).1["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(message.trim_start_matches("pods \"p\" is forbidden: "), why, "{name}");
        let said = annotations(&outputs).get("pod-security.kubernetes.io/exempt").cloned().unwrap_or_default();
        assert_eq!(said, exempt, "{name}");
    }
    PodSecurityConfiguration::parse(&json!({"defaults": {"warn": "strict"}})).unwrap_err();
}

/// What the last line of the audit log is annotated with.
fn annotations(outputs: &[Output]) -> Value {
    let lines = outputs.iter().filter_map(|o| if let Output::Audit(line) = o { Some(line) } else { None });
    let last: Value = serde_json::from_slice(lines.last().unwrap()).unwrap();
    last["annotations"].clone()
}

#[test]
fn pod_security_speaks_in_the_audit_log() {
    let mut server = audited();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    server.post("/api/v1/namespaces/default/serviceaccounts", account);
    let labels = json!({"pod-security.kubernetes.io/audit": "baseline", "pod-security.kubernetes.io/audit-version": "v1.30"});
    let patch = json!({"metadata": {"labels": labels}}).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    server.send("PATCH", "/api/v1/namespaces/default", &merge, patch.as_bytes());
    let spec = json!({"hostPID": true, "containers": [{"name": "c", "image": "i"}]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}).to_string();
    let outputs = server.send("POST", "/api/v1/namespaces/default/pods", &[("content-type", "application/json")], pod.as_bytes());
    assert_eq!(answer(&outputs).0, 201);
    let found = annotations(&outputs);
    assert_eq!(found["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
    let would = "would violate PodSecurity \"baseline:v1.30\": host namespaces (hostPID=true)";
    assert_eq!(found["pod-security.kubernetes.io/audit-violations"], would);
}

#[test]
fn warnings_and_the_audit_log() {
    let mut server = audited();
    let stated = json!([
        {"key": "who", "valueExpression": "'by ' + request.userInfo.username"},
        {"key": "none", "valueExpression": "object.data.k == 'v' ? '' : 'x'"},
    ]);
    let spec = json!({"validations": validations(&["true", "false"]), "auditAnnotations": stated});
    server.policy("p", spec, json!({"validationActions": ["Warn", "Audit"]}));
    let outputs = server.send("POST", CONFIGMAPS, &[("content-type", "application/json")], configmap("a").to_string().as_bytes());
    assert_eq!(answer(&outputs).0, 201);
    let headers =
        outputs.iter().find_map(|o| if let Output::Respond { headers, .. } = o { Some(headers) } else { None }).unwrap();
    let warned = "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': failed expression: false\"";
    assert!(headers.contains(&("warning".to_owned(), warned.to_owned())), "{headers:?}");
    let found = annotations(&outputs);
    let failure = found["validation.policy.admission.k8s.io/validation_failure"].as_str().unwrap();
    let failure: Value = serde_json::from_str(failure).unwrap();
    assert_eq!(
        failure,
        json!([{"message": "failed expression: false", "policy": "p", "binding": "p", "expressionIndex": 1, "validationActions": ["Warn", "Audit"]}])
    );
    assert_eq!(found["p/who"], "by admin");
    assert!(found.get("p/none").is_none());
}

/// A server that has mutating policies.
fn trying_out() -> Server {
    let token =
        StaticToken { token: "t".into(), user: "admin".into(), groups: vec!["system:masters".into()], ..StaticToken::default() };
    let settings = Settings {
        tokens: vec![token],
        history_limit: 100,
        runtime_config: wasmkube_apiserver::RuntimeConfig::parse("admissionregistration.k8s.io/v1beta1=true").unwrap(),
        features: wasmkube_apiserver::Features::parse("MutatingAdmissionPolicy=true").unwrap(),
        ..Settings::default()
    };
    let mut api = ApiServer::new(settings);
    let now = Time(1_700_000_000_000_000);
    api.start(now, 0);
    api.take_outputs();
    Server { api, now, stream: 0 }
}

impl Server {
    /// Puts a mutating policy for Deployments and ConfigMaps to work.
    fn mutating(&mut self, name: &str, spec: Value) {
        let group = "/apis/admissionregistration.k8s.io/v1beta1";
        let rule = |group: &str, resource: &str| json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]});
        let rules = json!([rule("", "configmaps"), rule("apps", "deployments")]);
        let mut whole = json!({"matchConstraints": {"resourceRules": rules}, "reinvocationPolicy": "Never"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object = |kind: &str, spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1beta1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let (code, answer) = self.post(&format!("{group}/mutatingadmissionpolicies"), object("MutatingAdmissionPolicy", whole));
        assert_eq!(code, 201, "{answer}");
        let bound = object("MutatingAdmissionPolicyBinding", json!({"policyName": name}));
        assert_eq!(self.post(&format!("{group}/mutatingadmissionpolicybindings"), bound).0, 201);
    }
}

fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn json_patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

#[test]
fn mutating_policies_are_off_where_nothing_is_said() {
    for (mut server, code) in [(Server::new(), 404), (trying_out(), 200)] {
        assert_eq!(server.get("/apis/admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies").0, code);
        let (_, group) = server.get("/apis/admissionregistration.k8s.io");
        let versions: Vec<&str> = group["versions"].as_array().unwrap().iter().filter_map(|v| v["version"].as_str()).collect();
        assert_eq!(versions, if code == 200 { vec!["v1", "v1beta1"] } else { vec!["v1"] });
    }
}

#[test]
fn mutating_policies_change_objects() {
    let many = |patches: &[Value]| json!({"mutations": patches});
    let deployment = || {
        let labels = json!({"app": "d"});
        let pod = json!({"containers": [{"name": "c", "image": "i", "args": ["a"]}]});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"app": "d"}},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        })
    };
    let side = "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [
        Object.spec.template.spec.containers{name: 'side', image: 'proxy'}]}}}}";
    let cases: [(&str, Value, &str, Value); 9] = [
        ("field", many(&[apply("Object{spec: Object.spec{replicas: 3}}")]), "/spec/replicas", json!(3)),
        (
            "map beside what is there",
            many(&[apply("Object{metadata: Object.metadata{labels: {'tier': string(object.spec.replicas)}}}")]),
            "/metadata/labels",
            json!({"app": "d", "tier": "1"}),
        ),
        ("list by its keys", many(&[apply(side)]), "/spec/template/spec/containers/1/image", json!("proxy")),
        ("what is there stays", many(&[apply(side)]), "/spec/template/spec/containers/0/args", json!(["a"])),
        ("defaults", many(&[apply(side)]), "/spec/template/spec/containers/1/imagePullPolicy", json!("Always")),
        (
            "one after another",
            many(&[
                apply("Object{spec: Object.spec{replicas: 3}}"),
                apply("Object{spec: Object.spec{replicas: object.spec.replicas + 1}}"),
            ]),
            "/spec/replicas",
            json!(4),
        ),
        (
            "operations",
            many(&[json_patch("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'x'}]")]),
            "/metadata/labels",
            json!({"app": "d", "a/b": "x"}),
        ),
        (
            "a test that fails",
            many(&[json_patch(
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 7}, JSONPatch{op: 'replace', path: '/spec/replicas', value: 8}]",
            )]),
            "/spec/replicas",
            json!(1),
        ),
        (
            "variables and conditions",
            json!({
                "variables": [{"name": "n", "expression": "object.spec.replicas + 4"}],
                "matchConditions": [{"name": "c", "expression": "object.metadata.name == 'd'"}],
                "mutations": [apply("Object{spec: Object.spec{replicas: variables.n}}")],
            }),
            "/spec/replicas",
            json!(5),
        ),
    ];
    for (name, spec, pointer, expect) in cases {
        let mut server = trying_out();
        server.mutating("m", spec);
        let (code, made) = server.post("/apis/apps/v1/namespaces/default/deployments", deployment());
        assert_eq!(code, 201, "{name}: {made}");
        assert_eq!(made.pointer(pointer), Some(&expect), "{name}");
    }
}

#[test]
fn mutations_that_cannot_be() {
    let denied = "policy 'm' with binding 'm' denied request: ";
    for (name, mutation, why) in [
        (
            "error",
            apply("Object{metadata: Object.metadata{name: object.nothing}}"),
            "expression 'Object{metadata: Object.metadata{name: object.nothing}}' resulted in error: no such key: nothing",
        ),
        (
            "types in the wrong place",
            apply("Object{data: Object.metadata{}}"),
            "type mismatch: unexpected type name \"Object.metadata\", expected \"Object.data\", which matches field name path from root Object type",
        ),
        (
            "unknown field",
            apply("Object{nothing: 1}"),
            "error applying patch: failed to convert patch object to typed object: .nothing: field not declared in schema",
        ),
        (
            "atomic",
            apply(
                "Object{metadata: Object.metadata{ownerReferences: [Object.metadata.ownerReferences{uid: 'a'}], managedFields: []}}",
            ),
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .metadata.managedFields, .metadata.ownerReferences[0]",
        ),
        (
            "operation",
            json_patch("[JSONPatch{op: 'remove', path: '/a/b'}]"),
            "JSONPath: remove operation does not apply: doc is missing path: \"/a/b\": missing value",
        ),
    ] {
        let mut server = trying_out();
        server.mutating("m", json!({"mutations": [mutation]}));
        let (code, answer) = server.post(CONFIGMAPS, configmap("a"));
        let expect = format!("{denied}{why}");
        assert_eq!((code, &answer["reason"], &answer["message"]), (403, &json!("Invalid"), &json!(expect)), "{name}");
        assert_eq!(answer["details"]["causes"], json!([{"message": expect}]), "{name}");
        let mut server = trying_out();
        server.mutating("m", json!({"mutations": [mutation], "failurePolicy": "Ignore"}));
        assert_eq!(server.post(CONFIGMAPS, configmap("a")).0, 201, "{name}, failures ignored");
    }
}

#[test]
fn policies_run_again_if_they_want_to() {
    let add = |key: &str| {
        let source = format!("Object{{data: {{'{key}': string(size(object.data))}}}}");
        json!([apply(&source)])
    };
    for (policy, expect) in
        [("Never", json!({"k": "v", "a": "1", "b": "2"})), ("IfNeeded", json!({"k": "v", "a": "3", "b": "3"}))]
    {
        let mut server = trying_out();
        server.mutating("a", json!({"mutations": add("a"), "reinvocationPolicy": policy}));
        server.mutating("b", json!({"mutations": add("b"), "reinvocationPolicy": policy}));
        assert_eq!(server.post(CONFIGMAPS, configmap("x")).1["data"], expect, "{policy}");
    }
}

#[test]
fn nobody_reads_with_a_policys_eyes_what_they_may_not_read() {
    let mut server = Server::new();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let kinds = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
    let rules = json!([
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": kinds, "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]);
    let object = |kind: &str, more: Value| {
        let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "policies"}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    server.post(&format!("{rbac}/clusterroles"), object("ClusterRole", json!({"rules": rules})));
    let subjects = json!([{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}]);
    let role = json!({"kind": "ClusterRole", "name": "policies", "apiGroup": "rbac.authorization.k8s.io"});
    server.post(
        &format!("{rbac}/clusterrolebindings"),
        object("ClusterRoleBinding", json!({"subjects": subjects, "roleRef": role})),
    );
    let mut made = |resource: &str, object: Value| {
        let headers = [("content-type", "application/json"), ("impersonate-user", "bob")];
        let outputs = server.send("POST", &format!("{GROUP}/{resource}"), &headers, object.to_string().as_bytes());
        let (code, answer) = answer(&outputs);
        (code, answer["details"]["causes"][0]["message"].as_str().unwrap_or_default().to_owned())
    };
    let bob = "&{bob  [system:authenticated] map[]}";
    for (name, kind, code, why) in [
        ("readable", "ConfigMap", 201, String::new()),
        (
            "secret",
            "Secret",
            422,
            format!(
                "Forbidden: user {bob} must have \"get\" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)"
            ),
        ),
    ] {
        let spec = json!({"paramKind": {"apiVersion": "v1", "kind": kind}, "validations": validations(&["true"])});
        assert_eq!(made("validatingadmissionpolicies", policy(name, spec)), (code, why), "{name}");
    }
    let reference = json!({"paramRef": {"name": "p", "namespace": "default", "parameterNotFoundAction": "Deny"}});
    assert_eq!(made("validatingadmissionpolicybindings", binding("readable", reference.clone())).0, 201);
    let why = format!("Forbidden: user {bob} does not have \"get\" permission on the object referenced by paramRef");
    assert_eq!(made("validatingadmissionpolicybindings", binding("unknown", reference)), (422, why));
}

#[test]
fn webhooks_speak_in_the_audit_log() {
    let mut server = audited();
    let hook = |name: &str, more: Value| {
        let mut hook = json!({
            "name": format!("{name}.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": "https://hooks.example.com/x"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
        });
        hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hook
    };
    let hooks = json!([hook("away", json!({"failurePolicy": "Ignore"})), hook("there", json!({}))]);
    let kind = "MutatingWebhookConfiguration";
    let configuration =
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "m"}, "webhooks": hooks});
    assert_eq!(server.post(&format!("{GROUP}/mutatingwebhookconfigurations"), configuration).0, 201);
    let mut outputs =
        server.send("POST", CONFIGMAPS, &[("content-type", "application/json")], configmap("a").to_string().as_bytes());
    for away in [true, false] {
        let Some((call, outgoing)) = outputs.iter().find_map(|o| match o {
            Output::Call { call, outgoing } => Some((*call, outgoing.clone())),
            _ => None,
        }) else {
            panic!("{outputs:?}")
        };
        let asked: Value = serde_json::from_slice(&outgoing.body).unwrap();
        let response = json!({"uid": asked["request"]["uid"], "allowed": true, "auditAnnotations": {"k": "v"}});
        let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
        let answered = wasmkube_apiserver::message::Answered { status: 200, body: review.to_string().into_bytes().into() };
        server.api.answered(server.now, call, if away { Err("refused".to_owned()) } else { Ok(answered) });
        outputs = server.api.take_outputs();
    }
    let found = annotations(&outputs);
    assert_eq!(found["failed-open.mutation.webhook.admission.k8s.io/round_0_index_0"], "away.example.com");
    let mutated = "{\"configuration\":\"m\",\"webhook\":\"there.example.com\",\"mutated\":false}";
    assert_eq!(found["mutation.webhook.admission.k8s.io/round_0_index_1"], mutated);
    assert_eq!(found["there.example.com/k"], "v");
}
