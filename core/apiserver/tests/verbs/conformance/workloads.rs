//! Pods and what makes them, statuses, and the checking of fields.

use object::json;

use super::{NULL, object, step, tell};

#[test]
fn statuses_are_written_by_patches() {
    const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q/status";
    const BUDGET: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/b/status";
    const VOLUME: &str = "/api/v1/persistentvolumes/v/status";
    const JOB: &str = "/apis/batch/v1/namespaces/default/jobs/j/status";
    let condition = json!({"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}});
    tell(
        "status subresources",
        vec![
            step(
                "POST",
                "/api/v1/namespaces/default/resourcequotas",
                object("v1", "ResourceQuota", "q", json!({"spec": {"hard": {"pods": "5"}}})),
                201,
                json!({"/status": {}}),
            ),
            step(
                "merge",
                QUOTA,
                json!({"status": {"hard": {"cpu": "750m"}, "used": {"pods": "2"}}}),
                200,
                json!({"/status/hard/cpu": "750m", "/spec/hard": {"pods": "5"}}),
            ),
            step("json", QUOTA, json!([{"op": "replace", "path": "/status/used/pods", "value": "x"}]), 422, json!({})),
            step(
                "POST",
                "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
                object(
                    "policy/v1",
                    "PodDisruptionBudget",
                    "b",
                    json!({"spec": {"minAvailable": "20%", "selector": {"matchLabels": {"a": "b"}}}}),
                ),
                201,
                json!({"/status/disruptionsAllowed": 0}),
            ),
            step(
                "json",
                BUDGET,
                json!([{"op": "add", "path": "/status/disruptedPods", "value": {"pod": "2026-01-01T00:00:00Z"}}]),
                200,
                json!({"/status/disruptedPods/pod": "2026-01-01T00:00:00Z"}),
            ),
            step(
                "merge",
                BUDGET,
                json!({"status": {"disruptionsAllowed": -1}}),
                422,
                json!({"/message": "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"}),
            ),
            step(
                "POST",
                "/api/v1/persistentvolumes",
                object(
                    "v1",
                    "PersistentVolume",
                    "v",
                    json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}, "storageClassName": "s"}}),
                ),
                201,
                json!({"/status/phase": "Pending", "/metadata/finalizers": ["kubernetes.io/pv-protection"]}),
            ),
            step(
                "merge",
                VOLUME,
                json!({"metadata": {"annotations": {"a": "b"}}, "status": {"message": "StatusPatched", "reason": "E2E"}}),
                200,
                json!({"/status/message": "StatusPatched", "/metadata/annotations/a": "b"}),
            ),
            step(
                "POST",
                "/apis/batch/v1/namespaces/default/jobs",
                object("batch/v1", "Job", "j", json!({"spec": {"template": template}})),
                201,
                json!({}),
            ),
            step(
                "merge",
                JOB,
                json!({"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [condition], "startTime": "2026-01-01T00:00:00Z"}}),
                200,
                json!({"/status/conditions/0/type": "StatusPatch"}),
            ),
            step(
                "POST",
                "/apis/batch/v1/namespaces/default/cronjobs",
                object(
                    "batch/v1",
                    "CronJob",
                    "c",
                    json!({"spec": {"schedule": "*/1 * * * ?", "jobTemplate": {"spec": {"template": template}}}}),
                ),
                201,
                json!({"/spec/concurrencyPolicy": "Allow", "/spec/suspend": false}),
            ),
            step(
                "merge",
                "/apis/batch/v1/namespaces/default/cronjobs/c/status",
                json!({"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}}),
                200,
                json!({"/status/lastScheduleTime": "2026-01-01T00:00:00Z", "/metadata/generation": 1}),
            ),
            step(
                "POST",
                "/apis/apps/v1/namespaces/default/statefulsets",
                object(
                    "apps/v1",
                    "StatefulSet",
                    "s",
                    json!({"spec": {"serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
                ),
                201,
                json!({"/status/replicas": 0, "/spec/podManagementPolicy": "OrderedReady"}),
            ),
            step(
                "merge",
                "/apis/apps/v1/namespaces/default/statefulsets/s/scale",
                json!({"spec": {"replicas": 4}}),
                200,
                json!({"/spec/replicas": 4, "/status/selector": "a=b"}),
            ),
            step(
                "merge",
                "/apis/apps/v1/namespaces/default/statefulsets/s/status",
                json!({"status": {"conditions": [condition]}}),
                200,
                json!({"/status/conditions/0/type": "StatusPatch", "/spec/replicas": 4}),
            ),
        ],
    );
}

#[test]
fn pods() {
    const ALL: &str = "/api/v1/namespaces/default/pods";
    const ONE: &str = "/api/v1/namespaces/default/pods/p";
    let spec = json!({"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0});
    tell(
        "pods: generation, status, ephemeral containers, gates, collections",
        vec![
            step(
                "POST",
                ALL,
                object("v1", "Pod", "p", json!({"spec": spec})),
                201,
                json!({"/metadata/generation": 1, "/status/qosClass": "BestEffort"}),
            ),
            step(
                "strategic",
                ONE,
                json!({"spec": {"containers": [{"name": "c", "image": "j"}]}}),
                200,
                json!({"/metadata/generation": 2}),
            ),
            step("merge", ONE, json!({"metadata": {"labels": {"x": "y"}}}), 200, json!({"/metadata/generation": 2})),
            step("merge", ONE, json!({"metadata": {"generation": 100}}), 200, json!({"/metadata/generation": 2})),
            step(
                "strategic",
                "/api/v1/namespaces/default/pods/p/status",
                json!({"status": {"message": "patched", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}}),
                200,
                json!({"/status/message": "patched", "/metadata/generation": 2}),
            ),
            step(
                "strategic",
                "/api/v1/namespaces/default/pods/p/ephemeralcontainers",
                json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "b"}]}}),
                200,
                json!({"/spec/ephemeralContainers/0/terminationMessagePath": "/dev/termination-log", "/metadata/generation": 3}),
            ),
            step(
                "strategic",
                ONE,
                json!({"spec": {"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}]}}),
                200,
                json!({"/metadata/generation": 4}),
            ),
            step("merge", ONE, json!({"spec": {"activeDeadlineSeconds": 100}}), 200, json!({"/metadata/generation": 5})),
            step(
                "merge",
                ONE,
                json!({"spec": {"nodeName": "n"}}),
                422,
                json!({"/message": "pod updates may not change fields other than"}),
            ),
            step(
                "POST",
                ALL,
                object(
                    "v1",
                    "Pod",
                    "gated",
                    json!({"spec": {"containers": [{"name": "c", "image": "i"}], "schedulingGates": [{"name": "e2e.example.com/g"}]}}),
                ),
                201,
                json!({"/status/conditions/0/reason": "SchedulingGated"}),
            ),
            step(
                "POST",
                "/api/v1/namespaces/default/pods/gated/binding",
                json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "gated"}, "target": {"kind": "Node", "name": "n"}}),
                409,
                json!({"/message": "has non-empty .spec.schedulingGates"}),
            ),
            step(
                "merge",
                "/api/v1/namespaces/default/pods/gated",
                json!({"spec": {"nodeSelector": {"a": "b"}}}),
                200,
                json!({"/spec/nodeSelector/a": "b"}),
            ),
            step(
                "merge",
                "/api/v1/namespaces/default/pods/gated",
                json!({"spec": {"schedulingGates": []}}),
                200,
                json!({"/spec/schedulingGates": NULL}),
            ),
            step(
                "DELETE",
                "/api/v1/namespaces/default/pods?labelSelector=e2e%3Dyes",
                json!({"gracePeriodSeconds": 0}),
                200,
                json!({"/kind": "PodList", "/items/1/metadata/name": "p"}),
            ),
            step("GET", ALL, NULL, 200, json!({"/items": []})),
            step(
                "POST",
                ALL,
                object(
                    "v1",
                    "Pod",
                    "bad",
                    json!({"spec": {"containers": [{"name": "c", "image": "i"}], "securityContext": {"sysctls": [{"name": "foo-", "value": "1"}]}}}),
                ),
                422,
                json!({"/message": "spec.securityContext.sysctls[0].name: Invalid value: \"foo-\""}),
            ),
        ],
    );
}

#[test]
fn field_validation() {
    const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments?fieldValidation=Strict";
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "unknown1": "v", "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i", "unknownNested": "v"}]}}});
    let deployment = object("apps/v1", "Deployment", "d", json!({"spec": spec}));
    tell(
        "server-side field validation",
        vec![
            step(
                "POST",
                DEPLOYMENTS,
                deployment.clone(),
                400,
                json!({"/message": "strict decoding error: unknown field \"spec.template.spec.containers[0].unknownNested\", unknown field \"spec.unknown1\""}),
            ),
            step(
                "POST",
                "/apis/apps/v1/namespaces/default/deployments?fieldValidation=Ignore",
                deployment.clone(),
                201,
                json!({}),
            ),
            step(
                "merge",
                "/apis/apps/v1/namespaces/default/deployments/d?fieldValidation=Strict",
                json!({"spec": {"unknown1": "v", "paused": true}}),
                422,
                json!({"/message": "strict decoding error: unknown field \"spec.unknown1\""}),
            ),
            step(
                "strategic",
                "/apis/apps/v1/namespaces/default/deployments/d?fieldValidation=Strict",
                json!({"spec": {"unknown1": "v", "paused": true}}),
                422,
                json!({"/message": "strict decoding error: unknown field \"spec.unknown1\""}),
            ),
            step(
                "apply",
                "/apis/apps/v1/namespaces/default/deployments/d?fieldValidation=Strict&fieldManager=m&force=true",
                deployment,
                500,
                json!({"/message": "failed to create typed patch object (/d; apps/v1, Kind=Deployment): errors:\n  .spec.template.spec.containers[name=\"c\"].unknownNested: field not declared in schema\n  .spec.unknown1: field not declared in schema"}),
            ),
        ],
    );
}
