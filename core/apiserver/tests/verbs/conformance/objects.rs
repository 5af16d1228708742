//! Namespaces, configuration, classes, storage, events, requests for certificates.

use object::{Value, json};

use super::{NULL, object, step, tell};

#[test]
fn namespaces() {
    let condition = json!([{"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched"}]);
    tell(
        "namespace status and finalizers",
        vec![
            step(
                "POST",
                "/api/v1/namespaces",
                object("v1", "Namespace", "n", json!({})),
                201,
                json!({"/status/phase": "Active"}),
            ),
            step(
                "merge",
                "/api/v1/namespaces/n/status",
                json!({"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": condition}}),
                200,
                json!({"/metadata/annotations/a": "b", "/status/conditions/0/message": "Patched", "/status/phase": "Active"}),
            ),
            step(
                "PUT",
                "/api/v1/namespaces/n/finalize",
                object("v1", "Namespace", "n", json!({"spec": {"finalizers": ["kubernetes", "e2e.example.com/fake"]}})),
                200,
                json!({"/spec/finalizers": ["kubernetes", "e2e.example.com/fake"]}),
            ),
            step(
                "merge",
                "/api/v1/namespaces/n",
                json!({"spec": {"finalizers": []}}),
                200,
                json!({"/spec/finalizers/1": "e2e.example.com/fake"}),
            ),
            step("DELETE", "/api/v1/namespaces/n", NULL, 200, json!({"/status/phase": "Terminating"})),
            step(
                "POST",
                "/api/v1/namespaces/n/configmaps",
                object("v1", "ConfigMap", "late", json!({})),
                403,
                json!({"/message": "unable to create new content in namespace n because it is being terminated", "/reason": "Forbidden",
                    "/details/causes/0/reason": "NamespaceTerminating"}),
            ),
            step("DELETE", "/api/v1/namespaces", NULL, 405, json!({})),
        ],
    );
}

#[test]
fn immutable_objects() {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    const MAP: &str = "/api/v1/namespaces/default/configmaps/m";
    const SECRET: &str = "/api/v1/namespaces/default/secrets/s";
    tell(
        "immutable config maps and secrets",
        vec![
            step("POST", MAPS, object("v1", "ConfigMap", "m", json!({"data": {"a": "b"}})), 201, json!({})),
            step("merge", MAP, json!({"immutable": true}), 200, json!({"/immutable": true})),
            step(
                "merge",
                MAP,
                json!({"data": {"a": "c"}}),
                422,
                json!({"/message": "data: Forbidden: field is immutable when `immutable` is set"}),
            ),
            step(
                "merge",
                MAP,
                json!({"binaryData": {"z": "YQ=="}}),
                422,
                json!({"/message": "binaryData: Forbidden: field is immutable when `immutable` is set"}),
            ),
            step(
                "merge",
                MAP,
                json!({"immutable": false}),
                422,
                json!({"/message": "immutable: Forbidden: field is immutable when `immutable` is set"}),
            ),
            step("merge", MAP, json!({"metadata": {"labels": {"x": "y"}}}), 200, json!({"/metadata/labels/x": "y"})),
            step(
                "POST",
                MAPS,
                object("v1", "ConfigMap", "k", json!({"data": {"": "b"}})),
                422,
                json!({"/message": "data[]: Invalid value: \"\""}),
            ),
            step(
                "POST",
                "/api/v1/namespaces/default/secrets",
                object("v1", "Secret", "s", json!({"stringData": {"a": "b"}, "immutable": true})),
                201,
                json!({"/data/a": "Yg==", "/type": "Opaque"}),
            ),
            step(
                "merge",
                SECRET,
                json!({"stringData": {"a": "c"}}),
                422,
                json!({"/message": "data: Forbidden: field is immutable when `immutable` is set"}),
            ),
            step(
                "merge",
                SECRET,
                json!({"type": "other"}),
                422,
                json!({"/message": "type: Invalid value: \"other\": field is immutable"}),
            ),
            step(
                "POST",
                "/api/v1/namespaces/default/secrets",
                object("v1", "Secret", "t", json!({"data": {"": "YQ=="}})),
                422,
                json!({"/message": "data[]: Invalid value: \"\""}),
            ),
        ],
    );
}

#[test]
fn classes() {
    const PRIORITY: &str = "/apis/scheduling.k8s.io/v1/priorityclasses/p";
    const STORAGE: &str = "/apis/storage.k8s.io/v1/storageclasses/s";
    tell(
        "PriorityClass, StorageClass, RuntimeClass, IngressClass",
        vec![
            step(
                "POST",
                "/apis/scheduling.k8s.io/v1/priorityclasses",
                object("scheduling.k8s.io/v1", "PriorityClass", "p", json!({"value": 1000})),
                201,
                json!({"/preemptionPolicy": "PreemptLowerPriority"}),
            ),
            step(
                "merge",
                PRIORITY,
                json!({"value": 2000}),
                422,
                json!({"/message": "value: Forbidden: may not be changed in an update."}),
            ),
            step(
                "json",
                PRIORITY,
                json!([{"op": "replace", "path": "/value", "value": 5}]),
                422,
                json!({"/message": "value: Forbidden"}),
            ),
            step("merge", PRIORITY, json!({"description": "d"}), 200, json!({"/description": "d", "/value": 1000})),
            step(
                "POST",
                "/apis/scheduling.k8s.io/v1/priorityclasses",
                object("scheduling.k8s.io/v1", "PriorityClass", "system-x", json!({"value": 1})),
                422,
                json!({"/message": "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only"}),
            ),
            step(
                "POST",
                "/apis/storage.k8s.io/v1/storageclasses",
                object("storage.k8s.io/v1", "StorageClass", "s", json!({"provisioner": "e2e.example.com/x"})),
                201,
                json!({"/reclaimPolicy": "Delete", "/volumeBindingMode": "Immediate"}),
            ),
            step(
                "merge",
                STORAGE,
                json!({"parameters": {"a": "b"}}),
                422,
                json!({"/message": "parameters: Forbidden: updates to parameters are forbidden."}),
            ),
            step("merge", STORAGE, json!({"metadata": {"labels": {"x": "y"}}}), 200, json!({"/metadata/labels/x": "y"})),
            step(
                "POST",
                "/apis/node.k8s.io/v1/runtimeclasses",
                object("node.k8s.io/v1", "RuntimeClass", "r", json!({"handler": "h"})),
                201,
                json!({"/handler": "h"}),
            ),
            step(
                "merge",
                "/apis/node.k8s.io/v1/runtimeclasses/r",
                json!({"handler": "i"}),
                422,
                json!({"/message": "handler: Invalid value: \"i\": field is immutable"}),
            ),
            step(
                "POST",
                "/apis/networking.k8s.io/v1/ingressclasses",
                object("networking.k8s.io/v1", "IngressClass", "i", json!({"spec": {"controller": "e2e.example.com/c"}})),
                201,
                json!({"/metadata/generation": 1}),
            ),
            step(
                "merge",
                "/apis/networking.k8s.io/v1/ingressclasses/i",
                json!({"spec": {"controller": "other.example.com/c"}}),
                422,
                json!({"/message": "spec.controller: Invalid value: \"other.example.com/c\": field is immutable"}),
            ),
            step(
                "DELETE",
                "/apis/networking.k8s.io/v1/ingressclasses?labelSelector=e2e%3Dyes",
                NULL,
                200,
                json!({"/kind": "IngressClassList"}),
            ),
        ],
    );
}

#[test]
fn events() {
    const CORE: &str = "/api/v1/namespaces/default/events/e";
    const NEW: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({"message": "m", "reason": "Test", "type": "Normal", "count": 1, "involvedObject": {"namespace": "default"}, "source": {"component": "c"}});
    let fresh = json!({"metadata": {"namespace": "default"}, "eventTime": "2026-01-01T00:00:00.123456Z", "reportingController": "test-controller", "reportingInstance": "test-node",
        "action": "Do", "reason": "Test", "type": "Normal", "note": "This is event", "regarding": {"namespace": "default"}});
    tell(
        "events in both groups",
        vec![
            step("POST", "/api/v1/namespaces/default/events", object("v1", "Event", "e", event), 201, json!({"/message": "m"})),
            step("strategic", CORE, json!({"message": "patched"}), 200, json!({"/message": "patched"})),
            step(
                "GET",
                "/apis/events.k8s.io/v1/namespaces/default/events/e",
                NULL,
                200,
                json!({"/note": "patched", "/deprecatedCount": 1, "/deprecatedSource/component": "c", "/eventTime": NULL}),
            ),
            step(
                "GET",
                "/api/v1/events?fieldSelector=reason%3DTest,source%3Dc",
                NULL,
                200,
                json!({"/items/0/metadata/name": "e"}),
            ),
            step(
                "POST",
                NEW,
                object("events.k8s.io/v1", "Event", "f", fresh),
                201,
                json!({"/eventTime": "2026-01-01T00:00:00.123456Z"}),
            ),
            step(
                "strategic",
                "/apis/events.k8s.io/v1/namespaces/default/events/f",
                json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}),
                200,
                json!({"/series/count": 2}),
            ),
            step(
                "merge",
                "/apis/events.k8s.io/v1/namespaces/default/events/f",
                json!({"note": "other"}),
                422,
                json!({"/message": "field is immutable"}),
            ),
            step(
                "GET",
                "/api/v1/namespaces/default/events/f",
                NULL,
                200,
                json!({"/message": "This is event", "/reportingComponent": "test-controller"}),
            ),
            step(
                "DELETE",
                "/apis/events.k8s.io/v1/namespaces/default/events?labelSelector=e2e%3Dyes",
                NULL,
                200,
                json!({"/kind": "EventList"}),
            ),
            step("GET", CORE, NULL, 404, json!({})),
        ],
    );
}

#[test]
fn certificate_requests() {
    const ALL: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    const APPROVAL: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/r/approval";
    const STATUS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/r/status";
    let minimal: std::collections::BTreeMap<String, Value> =
        serde_saphyr::from_str(include_str!("../../fixtures/minimal.yaml")).unwrap();
    let spec = minimal["certificates.k8s.io/v1/certificatesigningrequests"].clone();
    tell(
        "certificate signing requests",
        vec![
            step(
                "POST",
                ALL,
                object("certificates.k8s.io/v1", "CertificateSigningRequest", "r", spec),
                201,
                json!({"/spec/username": "admin"}),
            ),
            step(
                "merge",
                APPROVAL,
                json!({"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {"conditions": [{"type": "ApprovalPatch", "status": "True", "reason": "e2e"}]}}),
                200,
                json!({"/status/conditions/0/type": "ApprovalPatch", "/metadata/annotations/patchedapproval": "true"}),
            ),
            step(
                "merge",
                STATUS,
                json!({"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"certificate": "bm90IHBlbQ=="}}),
                422,
                json!({"/message": "status.certificate: Invalid value"}),
            ),
            step(
                "json",
                STATUS,
                json!([{"op": "add", "path": "/status/conditions/-", "value": {"type": "Failed", "status": "True", "reason": "r"}}]),
                200,
                json!({"/status/conditions/1/type": "Failed"}),
            ),
            step(
                "json",
                STATUS,
                json!([{"op": "add", "path": "/status/conditions/-", "value": {"type": "Approved", "status": "True"}}]),
                200,
                json!({"/status/conditions/1/type": "Failed", "/status/conditions/2": NULL}),
            ),
            step(
                "merge",
                "/apis/certificates.k8s.io/v1/certificatesigningrequests/r",
                json!({"spec": {"signerName": "example.com/other"}}),
                200,
                json!({"/spec/signerName": "example.com/signer"}),
            ),
        ],
    );
}

#[test]
fn access_control_and_leases() {
    const FLOWS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    tell(
        "leases, FlowSchemas, revisions, accounts",
        vec![
            step(
                "POST",
                "/apis/coordination.k8s.io/v1/namespaces/default/leases",
                object(
                    "coordination.k8s.io/v1",
                    "Lease",
                    "l",
                    json!({"spec": {"holderIdentity": "h", "leaseDurationSeconds": 30, "acquireTime": "2026-01-01T00:00:00.000001Z", "leaseTransitions": 0}}),
                ),
                201,
                json!({"/spec/acquireTime": "2026-01-01T00:00:00.000001Z", "/spec/leaseTransitions": 0}),
            ),
            step(
                "strategic",
                "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
                json!({"spec": {"leaseDurationSeconds": 0}}),
                422,
                json!({"/message": "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"}),
            ),
            step(
                "POST",
                FLOWS,
                object(
                    "flowcontrol.apiserver.k8s.io/v1",
                    "FlowSchema",
                    "f",
                    json!({"spec": {"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"}, "distinguisherMethod": {"type": "ByUser"}, "rules": [{"subjects": [{"kind": "User", "user": {"name": "u"}}], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["*"]}]}]}}),
                ),
                201,
                json!({}),
            ),
            step(
                "merge",
                "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/f/status",
                json!({"status": {"conditions": [{"type": "PatchStatusFailed", "status": "False", "reason": "e2e"}]}}),
                200,
                json!({"/status/conditions/0/type": "PatchStatusFailed"}),
            ),
            step(
                "merge",
                "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/f",
                json!({"spec": {"matchingPrecedence": 9999}}),
                200,
                json!({"/metadata/generation": 2}),
            ),
            step(
                "DELETE",
                "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas?labelSelector=e2e%3Dyes",
                NULL,
                200,
                json!({"/kind": "FlowSchemaList"}),
            ),
            step(
                "POST",
                "/apis/apps/v1/namespaces/default/controllerrevisions",
                object("apps/v1", "ControllerRevision", "c", json!({"revision": 1, "data": {"a": 1}})),
                201,
                json!({"/data/a": 1}),
            ),
            step(
                "merge",
                "/apis/apps/v1/namespaces/default/controllerrevisions/c",
                json!({"data": {"a": 2}}),
                422,
                json!({"/message": "data: Invalid value"}),
            ),
            step(
                "merge",
                "/apis/apps/v1/namespaces/default/controllerrevisions/c",
                json!({"revision": 3}),
                200,
                json!({"/revision": 3}),
            ),
            step(
                "POST",
                "/api/v1/namespaces/default/serviceaccounts",
                object("v1", "ServiceAccount", "a", json!({})),
                201,
                json!({"/automountServiceAccountToken": NULL}),
            ),
            step(
                "strategic",
                "/api/v1/namespaces/default/serviceaccounts/a",
                json!({"automountServiceAccountToken": false}),
                200,
                json!({"/automountServiceAccountToken": false}),
            ),
            step(
                "POST",
                "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}),
                201,
                json!({"/status/userInfo/username": "admin"}),
            ),
        ],
    );
}

#[test]
fn storage_objects() {
    const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";
    const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
    tell(
        "CSI objects and claims",
        vec![
            step(
                "POST",
                "/apis/storage.k8s.io/v1/csidrivers",
                object(
                    "storage.k8s.io/v1",
                    "CSIDriver",
                    "d.example.com",
                    json!({"spec": {"volumeLifecycleModes": ["Ephemeral"]}}),
                ),
                201,
                json!({"/spec/attachRequired": true, "/spec/fsGroupPolicy": "ReadWriteOnceWithFSType", "/spec/requiresRepublish": false, "/spec/podInfoOnMount": false, "/spec/storageCapacity": false}),
            ),
            step(
                "merge",
                "/apis/storage.k8s.io/v1/csidrivers/d.example.com",
                json!({"spec": {"attachRequired": false}}),
                422,
                json!({"/message": "spec.attachedRequired: Invalid value: false: field is immutable"}),
            ),
            step(
                "POST",
                "/apis/storage.k8s.io/v1/csinodes",
                object(
                    "storage.k8s.io/v1",
                    "CSINode",
                    "n",
                    json!({"spec": {"drivers": [{"name": "d.example.com", "nodeID": "x", "topologyKeys": ["a"]}]}}),
                ),
                201,
                json!({}),
            ),
            step(
                "merge",
                "/apis/storage.k8s.io/v1/csinodes/n",
                json!({"spec": {"drivers": [{"name": "d.example.com", "nodeID": "y", "topologyKeys": ["a"]}]}}),
                422,
                json!({"/message": "field is immutable"}),
            ),
            step(
                "POST",
                ATTACHMENTS,
                object(
                    "storage.k8s.io/v1",
                    "VolumeAttachment",
                    "a",
                    json!({"spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}}),
                ),
                201,
                json!({"/status/attached": false}),
            ),
            step(
                "merge",
                "/apis/storage.k8s.io/v1/volumeattachments/a/status",
                json!({"metadata": {"annotations": {"a": "b"}}, "status": {"attached": true}}),
                200,
                json!({"/status/attached": true, "/metadata/annotations/a": "b"}),
            ),
            step(
                "merge",
                "/apis/storage.k8s.io/v1/volumeattachments/a",
                json!({"spec": {"nodeName": "m"}}),
                422,
                json!({"/message": "spec: Invalid value"}),
            ),
            step(
                "POST",
                "/apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities",
                object("storage.k8s.io/v1", "CSIStorageCapacity", "c", json!({"storageClassName": "s", "capacity": "1Gi"})),
                201,
                json!({"/capacity": "1Gi"}),
            ),
            step(
                "merge",
                "/apis/storage.k8s.io/v1/namespaces/default/csistoragecapacities/c",
                json!({"storageClassName": "t"}),
                422,
                json!({"/message": "storageClassName: Invalid value: \"t\": field is immutable"}),
            ),
            step(
                "POST",
                CLAIMS,
                object(
                    "v1",
                    "PersistentVolumeClaim",
                    "p",
                    json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}}),
                ),
                201,
                json!({"/status/phase": "Pending", "/spec/volumeMode": "Filesystem", "/metadata/finalizers": ["kubernetes.io/pvc-protection"]}),
            ),
            step(
                "merge",
                "/api/v1/namespaces/default/persistentvolumeclaims/p/status",
                json!({"status": {"conditions": [{"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "m"}]}}),
                200,
                json!({"/status/conditions/0/type": "StatusPatched", "/status/phase": "Pending"}),
            ),
            step(
                "merge",
                "/api/v1/namespaces/default/persistentvolumeclaims/p",
                json!({"spec": {"accessModes": ["ReadWriteMany"]}}),
                422,
                json!({"/message": "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"}),
            ),
            step(
                "POST",
                "/apis/storage.k8s.io/v1/volumeattributesclasses",
                object(
                    "storage.k8s.io/v1",
                    "VolumeAttributesClass",
                    "v",
                    json!({"driverName": "d.example.com", "parameters": {"a": "b"}}),
                ),
                201,
                json!({}),
            ),
            step(
                "merge",
                "/apis/storage.k8s.io/v1/volumeattributesclasses/v",
                json!({"parameters": {"a": "c"}}),
                422,
                json!({"/message": "parameters: Forbidden: updates to parameters are forbidden."}),
            ),
        ],
    );
}
