//! Tables of objects and what defaulting makes of them.

use object::json;

use super::*;
use crate::{Registry, decode};

/// Decodes and defaults `object`, whose kind and apiVersion say what it is.
fn defaulted(object: Value) -> Value {
    let registry = Registry::builtin();
    let gv = object::GroupVersion::parse(object["apiVersion"].as_str().unwrap()).unwrap();
    let resource = registry.kind(&gv.kind(object["kind"].as_str().unwrap())).unwrap();
    let mut object = decode::from_value(resource.ty(), object).unwrap().object;
    default(resource, &mut object);
    let mut again = object.clone();
    default(resource, &mut again);
    assert_eq!(object, again, "defaulting twice");
    object
}

fn pod(spec: Value) -> Value {
    defaulted(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}))
}

#[test]
fn a_pod_gets_what_kubernetes_gives_it() {
    assert_eq!(
        pod(json!({"containers": [{"name": "c", "image": "img:1", "ports": [{"containerPort": 80}]}]}))["spec"],
        json!({
            "containers": [{
                "name": "c", "image": "img:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
        })
    );
}

#[test]
fn the_pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("reg.io:5000/x/y", "Always"),
        ("reg.io:5000/x/y:2", "IfNotPresent"),
        ("x/y@sha256:aaaa", "IfNotPresent"),
    ] {
        let spec = pod(json!({"containers": [{"name": "c", "image": image}]}));
        assert_eq!(spec["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn requests_come_from_limits_and_host_ports_from_ports() {
    let pod = pod(json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}}]}));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
    assert_eq!(container["ports"][0]["hostPort"], 80);
}

#[test]
fn volumes_and_probes() {
    let pod = pod(json!({
        "containers": [{"name": "c", "image": "i", "livenessProbe": {"grpc": {"port": 9}, "periodSeconds": 0},
            "lifecycle": {"preStop": {"httpGet": {"port": 1}}}}],
        "volumes": [{"name": "a"}, {"name": "s", "secret": {"secretName": "s"}}, {"name": "h", "hostPath": {"path": "/x"}}],
    }));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        container["livenessProbe"],
        json!({"grpc": {"port": 9, "service": ""}, "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1})
    );
    assert_eq!(container["lifecycle"]["preStop"]["httpGet"], json!({"path": "/", "port": 1, "scheme": "HTTP"}));
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "a", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
            {"name": "h", "hostPath": {"path": "/x", "type": ""}}])
    );
}

#[test]
fn strategies_get_parameters_only_where_they_have_some() {
    for (strategy, expect) in [
        (json!({}), json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})),
        (json!({"type": "Recreate"}), json!({"type": "Recreate"})),
        (
            json!({"rollingUpdate": {"maxSurge": 3}}),
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": "25%"}}),
        ),
    ] {
        let deployment = defaulted(json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"strategy": strategy}}));
        assert_eq!(deployment["spec"]["strategy"], expect);
        assert_eq!(deployment["spec"]["replicas"], 1);
    }
}

#[test]
fn services() {
    let service = |spec: Value| defaulted(json!({"apiVersion": "v1", "kind": "Service", "spec": spec}));
    assert_eq!(
        service(json!({"ports": [{"port": 80}]})),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "sessionAffinity": "None", "type": "ClusterIP"},
            "status": {"loadBalancer": {}}})
    );
    assert_eq!(service(json!({"type": "ExternalName", "externalName": "x"}))["spec"]["internalTrafficPolicy"], Value::Null);
    let balanced = service(json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}));
    assert_eq!(balanced["spec"]["allocateLoadBalancerNodePorts"], true);
    assert_eq!(balanced["spec"]["externalTrafficPolicy"], "Cluster");
    assert_eq!(balanced["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
}

#[test]
fn jobs_are_defaulted_but_not_the_templates_of_cron_jobs() {
    let job =
        defaulted(json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}));
    assert_eq!((&job["spec"]["completions"], &job["spec"]["backoffLimit"]), (&json!(1), &json!(6)));
    assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
    let cron = defaulted(json!({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {}}}}));
    assert_eq!(cron["spec"]["jobTemplate"]["spec"]["completions"], Value::Null);
    assert_eq!(cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(cron["spec"]["concurrencyPolicy"], "Allow");
}

#[test]
fn ranges_of_limits() {
    let range = defaulted(json!({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": [
        {"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "4Ki"}}, {"type": "Pod", "max": {"cpu": "1"}}]}}));
    assert_eq!(
        range["spec"]["limits"],
        json!([
            {"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "4Ki"}, "default": {"cpu": "1"},
                "defaultRequest": {"cpu": "1", "memory": "4Ki"}},
            {"type": "Pod", "max": {"cpu": "1"}},
        ])
    );
}

#[test]
fn autoscalers_get_both_directions() {
    let hpa = defaulted(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "spec": {"maxReplicas": 3, "behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}}}}));
    assert_eq!(hpa["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
    let behavior = &hpa["spec"]["behavior"];
    assert_eq!(behavior["scaleUp"]["stabilizationWindowSeconds"], 0);
    assert_eq!(behavior["scaleDown"]["policies"][0]["type"], "Pods");
    assert_eq!(behavior["scaleDown"]["stabilizationWindowSeconds"], Value::Null);
}

#[test]
fn texts_of_a_secret_become_data() {
    let secret =
        defaulted(json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "eA=="}, "stringData": {"a": "foo", "b": ""}}));
    assert_eq!(secret["data"], json!({"a": "Zm9v", "b": ""}));
    assert_eq!(secret["stringData"], Value::Null);
    assert_eq!(secret["type"], "Opaque");
}
