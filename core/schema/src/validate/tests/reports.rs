//! Statuses, resizes, autoscalers and what storage needs.

use object::{Value, json};

use super::{container_with, errors, prepared, update_errors};
use crate::Registry;

fn causes(subresource: &str, old: Value, new: Value) -> Vec<String> {
    let registry = Registry::builtin();
    let (old, resource) = prepared(&registry, old);
    let (new, _) = prepared(&registry, new);
    super::update(&resource, &new, &old, subresource).iter().map(ToString::to_string).collect()
}

#[test]
fn statuses() {
    let deployment = |status: Value| {
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "status": status,
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}})
    };
    assert_eq!(
        causes("status", deployment(json!({"collisionCount": 2})), deployment(json!({"readyReplicas": 1, "collisionCount": 1}))),
        [
            "status.readyReplicas: Invalid value: 1: cannot be greater than status.replicas",
            "status.collisionCount: Invalid value: 1: cannot be decremented",
        ]
    );
    let pod = |state: Value| {
        let mut pod = container_with(json!({}));
        pod["spec"]["restartPolicy"] = "Never".into();
        pod["status"] = json!({"containerStatuses": [{"name": "c", "state": state}]});
        pod
    };
    assert_eq!(
        causes("status", pod(json!({"terminated": {"exitCode": 1}})), pod(json!({"running": {}}))),
        ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]
    );
}

#[test]
fn resizes() {
    let pod = |limits: Value| container_with(json!({"resources": {"limits": limits}}));
    let both = json!({"cpu": "1", "memory": "1Gi"});
    assert_eq!(causes("resize", pod(both.clone()), pod(json!({"cpu": "2", "memory": "2Gi"}))), [""; 0]);
    assert_eq!(
        causes("resize", pod(json!({"cpu": "1"})), pod(json!({"cpu": "1", "example.com/a": "1"}))),
        ["spec: Forbidden: only cpu and memory resources are mutable"]
    );
    assert_eq!(
        causes("resize", pod(both), pod(json!({"cpu": "1"}))),
        [
            "spec: Invalid value: null: Pod QOS Class may not change as a result of resizing",
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
        ]
    );
}

#[test]
fn autoscalers() {
    let cases: Vec<(Value, &[&str])> = vec![
        (
            json!({"behavior": {"scaleUp": {"policies": []}}}),
            &["behavior.scaleUp.policies: Required value: must specify at least one Policy"],
        ),
        (json!({"behavior": {"scaleUp": {}}}), &[]),
        (
            json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": -1}}}),
            &["behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero"],
        ),
        (
            json!({"metrics": [{"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue"}}}]}),
            &["metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue"],
        ),
        (
            json!({"metrics": [{"type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Share", "averageUtilization": 5}}}]}),
            &["metrics[0].resource.target.type: Invalid value: \"Share\": must be either Utilization, Value, or AverageValue"],
        ),
        (
            json!({"metrics": [{"type": "External", "external": {"metric": {"name": "m"},
                "target": {"type": "Value", "value": "1", "averageValue": "1"}}}]}),
            &["metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"],
        ),
    ];
    for (extra, expect) in cases {
        let mut spec = json!({"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}});
        spec.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        let object =
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec});
        let expect: Vec<String> = expect.iter().map(|cause| format!("spec.{cause}")).collect();
        assert_eq!(errors(object), expect, "{extra}");
    }
}

#[test]
fn storage() {
    let volume = |extra: Value| {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}});
        spec.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": spec})
    };
    let of_class = |kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": "storage.k8s.io/v1", "kind": kind, "metadata": {"name": "x"}});
        object.as_object_mut().unwrap().append(&mut rest.as_object().unwrap().clone());
        object
    };
    let cases: Vec<(Value, &[&str])> = vec![
        (
            volume(json!({"local": {"path": "/a/../b"}})),
            &[
                "spec.local.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ],
        ),
        (
            volume(json!({"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"})),
            &["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
        ),
        (
            volume(json!({"csi": {"driver": "d", "volumeHandle": "h", "nodePublishSecretRef": {"name": "s"}}})),
            &["spec.csi.nodePublishSecretRef.namespace: Required value"],
        ),
        (
            volume(json!({"hostPath": {"path": "/x"}, "nodeAffinity": {}})),
            &["spec.nodeAffinity.required: Required value: must specify required node constraints"],
        ),
        (
            of_class("CSINode", json!({"spec": {"drivers": [{"name": "d", "nodeID": "n"}, {"name": "d", "nodeID": "n"}]}})),
            &["spec.drivers[1].name: Duplicate value: \"d\""],
        ),
        (
            of_class("VolumeAttachment", json!({"spec": {"attacher": "a", "nodeName": "n", "source": {}}})),
            &["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"],
        ),
        (
            of_class("VolumeAttributesClass", json!({"driverName": "d"})),
            &["parameters: Required value: must contain at least one key/value pair"],
        ),
        (
            of_class(
                "StorageClass",
                json!({"provisioner": "p",
                "allowedTopologies": [{"matchLabelExpressions": [{"key": "a", "values": ["x", "x"]}]}]}),
            ),
            &["allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"x\""],
        ),
    ];
    for (object, expect) in cases {
        assert_eq!(errors(object.clone()), expect, "{object}");
    }
    let claim = |source: Value| {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        spec["dataSource"] = source;
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec})
    };
    assert_eq!(
        errors(claim(json!({"kind": "Pod", "name": "x"})))[0],
        "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup"
    );
    let unchanged = claim(Value::Null);
    assert_eq!(update_errors(unchanged.clone(), unchanged), [""; 0]);
}
