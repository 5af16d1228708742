//! Tables of objects and what is wrong with them.

mod jobs;
mod networks;
mod pods;
mod policies;
mod quotas;
mod reports;

use object::{GroupVersion, json};

use super::*;
use crate::{Registry, decode, default};

fn prepared(registry: &Registry, object: Value) -> (Value, std::sync::Arc<Resource>) {
    let gv = GroupVersion::parse(object["apiVersion"].as_str().unwrap()).unwrap();
    let resource = registry.kind(&gv.kind(object["kind"].as_str().unwrap())).unwrap().clone();
    let mut object = decode::from_value(resource.ty(), object).unwrap().object;
    default::default(&resource, &mut object);
    if resource.namespaced {
        object["metadata"]["namespace"] = "default".into();
    }
    (object, resource)
}

/// `field: message` of everything that is wrong.
fn errors(object: Value) -> Vec<String> {
    let registry = Registry::builtin();
    let (object, resource) = prepared(&registry, object);
    create(&resource, &object).iter().map(ToString::to_string).collect()
}

fn update_errors(old: Value, new: Value) -> Vec<String> {
    let registry = Registry::builtin();
    let (old, resource) = prepared(&registry, old);
    let (new, _) = prepared(&registry, new);
    update(&resource, &new, &old, "").iter().map(ToString::to_string).collect()
}

fn pod_with(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

/// A pod whose only container has these fields too.
fn container_with(extra: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
    pod_with(json!({"containers": [container]}))
}

#[test]
fn pods() {
    for (object, expect) in [
        (container_with(json!({})), &[][..]),
        (pod_with(json!({})), &["spec.containers: Required value"]),
        (container_with(json!({"image": ""})), &["spec.containers[0].image: Required value"]),
        (
            pod_with(json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}], "restartPolicy": "X"})),
            &[
                "spec.containers[1].name: Duplicate value: \"c\"",
                "spec.restartPolicy: Unsupported value: \"X\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ],
        ),
        (
            container_with(json!({"ports": [{"containerPort": 70_000, "protocol": "XYZ"}]})),
            &[
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[0].ports[0].protocol: Unsupported value: \"XYZ\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
        (
            container_with(json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}})),
            &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
        ),
        (
            container_with(json!({"livenessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}})),
            &["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
        ),
        (
            container_with(json!({"volumeMounts": [{"name": "nope", "mountPath": "/x", "subPath": "../y"}]})),
            &[
                "spec.containers[0].volumeMounts[0].name: Not found: \"nope\"",
                "spec.containers[0].volumeMounts.subPath: Invalid value: \"../y\": must not contain '..'",
            ],
        ),
        (
            container_with(
                json!({"env": [{"name": "A", "value": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            ),
            &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"],
        ),
    ] {
        assert_eq!(errors(object.clone()), expect, "{object}");
    }
}

#[test]
fn metadata_of_all_kinds() {
    let with = |metadata: Value| errors(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}));
    assert_eq!(with(json!({})), ["metadata.name: Required value: name or generateName is required"]);
    assert!(
        with(json!({"name": "UPPER"}))[0].starts_with("metadata.name: Invalid value: \"UPPER\": a lowercase RFC 1123 subdomain")
    );
    assert!(with(json!({"name": "a", "labels": {"bad key": "v"}}))[0].starts_with("metadata.labels: Invalid value: \"bad key\""));
    assert_eq!(
        with(json!({"name": "a", "finalizers": ["nodomain"]})),
        [
            "metadata.finalizers[0]: Invalid value: \"nodomain\": name is neither a standard finalizer name nor is it fully qualified"
        ]
    );
    let old = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata":
        {"name": "a", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.io/x"]}});
    let mut new = old.clone();
    new["metadata"]["uid"] = "v".into();
    new["metadata"]["finalizers"] = json!(["a.io/y"]);
    let wrong = [
        "metadata.uid: Invalid value: \"v\": field is immutable",
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
         finalizers []string{\"a.io/y\"}",
    ];
    assert_eq!(update_errors(old, new), [wrong, wrong].concat(), "by the registry, and by the kind");
}

fn deployment(selector: Value, labels: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": selector,
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[test]
fn deployments() {
    let good = deployment(json!({"matchLabels": {"a": "b"}}), json!({"a": "b"}));
    assert_eq!(errors(good.clone()), [""; 0]);
    assert_eq!(
        errors(deployment(json!({"matchLabels": {"a": "b"}}), json!({"a": "x"}))),
        ["spec.template.metadata.labels: Invalid value: {\"a\":\"x\"}: `selector` does not match template `labels`"]
    );
    assert_eq!(
        errors(deployment(json!({}), json!({"a": "x"}))),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]
    );
    let mut bad = good.clone();
    bad["spec"]["strategy"] = json!({"type": "Nope"});
    assert_eq!(
        errors(bad),
        [
            "spec.strategy: Unsupported value: {\"Type\":\"Nope\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\""
        ]
    );
    let moved = deployment(json!({"matchLabels": {"a": "c"}}), json!({"a": "c"}));
    assert_eq!(update_errors(good, moved), ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable"]);
}

#[test]
fn pods_change_little() {
    let old = container_with(json!({}));
    let change = |path: &[&str], value: Value| {
        let mut new = old.clone();
        object::value::set(&mut new, path, value);
        update_errors(old.clone(), new)
    };
    assert_eq!(change(&["spec", "containers"], json!([{"name": "c", "image": "other:1", "imagePullPolicy": "Always"}])), [""; 0]);
    assert!(
        change(&["spec", "nodeName"], json!("n"))[0].starts_with("spec: Forbidden: pod updates may not change fields other than")
    );
    assert_eq!(
        change(&["spec", "containers"], json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}])),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    assert_eq!(change(&["spec", "activeDeadlineSeconds"], json!(5)), [""; 0]);
}

#[test]
fn services_config_and_roles() {
    let service = |spec: Value| errors(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}));
    assert_eq!(service(json!({})), ["spec.ports: Required value"]);
    assert_eq!(
        service(json!({"ports": [{"port": 80}, {"port": 81}]})),
        ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"]
    );
    let immutable =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": true});
    let mut changed = immutable.clone();
    changed["data"]["a"] = "2".into();
    assert_eq!(update_errors(immutable, changed), ["data: Forbidden: field is immutable when `immutable` is set"]);
    let secret = |kind: &str, data: Value| {
        errors(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": kind, "data": data}))
    };
    assert_eq!(secret("kubernetes.io/tls", json!({"tls.crt": "eA=="})), ["data[tls.key]: Required value"]);
    assert_eq!(
        secret("kubernetes.io/dockerconfigjson", json!({".dockerconfigjson": "bm9wZQ=="})),
        [
            "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'o' in literal null (expecting 'u')"
        ]
    );
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]});
    assert_eq!(
        errors(role),
        ["rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"]
    );
}

#[test]
fn cron_jobs() {
    let with = |schedule: &str, zone: Value| {
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
        let spec = json!({"schedule": schedule, "timeZone": zone, "jobTemplate": {"spec": {"template": template}}});
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": spec})
    };
    for (object, expect) in [
        (with("*/5 * * * *", Value::Null), &[][..]),
        (with("@hourly", "Europe/Berlin".into()), &[]),
        (
            with("61 * * * *", Value::Null),
            &["spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61"],
        ),
        (
            with("TZ=UTC 1 * * * *", Value::Null),
            &[
                "spec.schedule: Invalid value: \"TZ=UTC 1 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ],
        ),
        (
            with("1 * * * *", "Mars/Olympus".into()),
            &["spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus"],
        ),
    ] {
        assert_eq!(errors(object.clone()), expect, "{object}");
    }
}

#[test]
fn machinery() {
    let kind = |kind: &str, version: &str, name: &str, spec: Value| {
        errors(json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}))
    };
    let service = json!({"group": "a.io", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 0,
        "insecureSkipTLSVerify": true, "service": {"name": "s", "namespace": ""}});
    assert_eq!(
        kind("APIService", "apiregistration.k8s.io/v1", "v2.a.io", service),
        [
            "metadata.name: Invalid value: \"v2.a.io\": must be `spec.version+\".\"+spec.group`: \"v1.a.io\"",
            "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            "spec.service.namespace: Required value",
        ]
    );
    let schema = json!({"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": ""}, "rules": [{"subjects": []}]});
    assert_eq!(
        kind("FlowSchema", "flowcontrol.apiserver.k8s.io/v1", "f", schema),
        [
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            "spec.rules[0].subjects: Required value: subjects must contain at least one value",
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ]
    );
    let queuing = json!({"queues": 2, "handSize": 3, "queueLengthLimit": 5});
    let level = json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}});
    assert_eq!(
        kind("PriorityLevelConfiguration", "flowcontrol.apiserver.k8s.io/v1", "p", level),
        ["spec.limited.limitResponse.queuing.handSize: Invalid value: 3: should not be greater than queues (2)"]
    );
    let request = json!({"request": "YQ==", "signerName": "plain", "usages": ["any", "any"], "expirationSeconds": 10});
    assert_eq!(
        kind("CertificateSigningRequest", "certificates.k8s.io/v1", "c", request),
        [
            "spec.usages[1]: Duplicate value: \"any\"",
            "spec.signerName: Invalid value: \"plain\": must be a fully qualified domain and path of the form \
             'example.com/signer-name'",
            "spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 600 seconds (10 minutes)",
        ]
    );
}

#[test]
fn questions_have_no_names() {
    let spec = json!({"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "n"}});
    let own = json!([{"manager": "m"}]);
    for (name, kind, metadata, wanted) in [
        ("nothing", "SubjectAccessReview", json!({"managedFields": own}), ""),
        ("a name", "SubjectAccessReview", json!({"name": "x"}), "metadata: Invalid value: {\"name\":\"x\"}: must be empty"),
        ("a namespace", "LocalSubjectAccessReview", json!({"namespace": "n"}), ""),
        (
            "both",
            "LocalSubjectAccessReview",
            json!({"name": "x", "namespace": "n"}),
            "metadata: Invalid value: {\"name\":\"x\",\"namespace\":\"n\"}: must be empty except for namespace",
        ),
    ] {
        let found = action("authorization.k8s.io", kind, &json!({"metadata": metadata, "spec": spec}));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.join(", "), wanted, "{name}");
    }
}
