//! What an update may not change, kind by kind, in Kubernetes' words.

use object::json;

use super::{NULL, object, step, tell};

#[test]
fn workloads() {
    const APPS: &str = "/apis/apps/v1/namespaces/default";
    let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": pod, "serviceName": "s"});
    let job =
        json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}, "suspend": true});
    let one = |resource: &str| -> &'static str { format!("{APPS}/{resource}/x").leak() };
    let all = |resource: &str| -> &'static str { format!("{APPS}/{resource}").leak() };
    let mut story = Vec::new();
    for (resource, kind) in [("deployments", "Deployment"), ("replicasets", "ReplicaSet"), ("daemonsets", "DaemonSet")] {
        let mut spec = spec.clone();
        spec.as_object_mut().unwrap().remove("serviceName");
        story.push(step(
            "POST",
            all(resource),
            object("apps/v1", kind, "x", json!({"spec": spec})),
            201,
            json!({"/metadata/generation": 1}),
        ));
        let other = json!({"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "c"}}}}});
        story.push(step("merge", one(resource), other, 422, json!({"/message": "spec.selector: Invalid value"})));
        let mismatch = json!({"spec": {"template": {"metadata": {"labels": {"a": "c"}}}}});
        story.push(step(
            "merge",
            one(resource),
            mismatch,
            422,
            json!({"/message": "`selector` does not match template `labels`"}),
        ));
    }
    story.extend([
        step("POST", all("statefulsets"), object("apps/v1", "StatefulSet", "x", json!({"spec": spec})), 201, json!({})),
        step(
            "merge",
            one("statefulsets"),
            json!({"spec": {"serviceName": "t"}}),
            422,
            json!({"/message": "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"}),
        ),
        step("POST", "/apis/batch/v1/namespaces/default/jobs", object("batch/v1", "Job", "x", json!({"spec": job})), 201, json!({"/spec/completionMode": "NonIndexed", "/spec/backoffLimit": 6})),
        step("merge", "/apis/batch/v1/namespaces/default/jobs/x", json!({"spec": {"completions": 3}}), 422, json!({"/message": "spec.completions: Invalid value: 3: field is immutable"})),
        step("strategic", "/apis/batch/v1/namespaces/default/jobs/x", json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}}), 422, json!({"/message": "spec.template: Invalid value"})),
        step("merge", "/apis/batch/v1/namespaces/default/jobs/x", json!({"spec": {"suspend": false, "parallelism": 2}}), 200, json!({"/spec/parallelism": 2})),
    ]);
    tell("workloads", story);
}

#[test]
fn cluster_objects() {
    const VOLUME: &str = "/api/v1/persistentvolumes/v";
    const NODE: &str = "/api/v1/nodes/n";
    tell(
        "nodes, volumes, bindings",
        vec![
            step(
                "POST",
                "/api/v1/nodes",
                object("v1", "Node", "n", json!({"spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}})),
                201,
                json!({}),
            ),
            step(
                "strategic",
                NODE,
                json!({"spec": {"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.1.0/24"]}}),
                422,
                json!({"/message": "Forbidden: node updates may not change podCIDR except from \"\" to valid"}),
            ),
            step("merge", NODE, json!({"spec": {"providerID": "a"}}), 200, json!({"/spec/providerID": "a"})),
            step(
                "merge",
                NODE,
                json!({"spec": {"providerID": "b"}}),
                422,
                json!({"/message": "spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid"}),
            ),
            step(
                "merge",
                NODE,
                json!({"spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]}}),
                200,
                json!({"/spec/unschedulable": true}),
            ),
            step(
                "POST",
                "/api/v1/persistentvolumes",
                object(
                    "v1",
                    "PersistentVolume",
                    "v",
                    json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}),
                ),
                201,
                json!({}),
            ),
            step(
                "merge",
                VOLUME,
                json!({"spec": {"hostPath": {"path": "/y"}}}),
                422,
                json!({"/message": "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"}),
            ),
            step(
                "merge",
                VOLUME,
                json!({"spec": {"volumeMode": "Block"}}),
                422,
                json!({"/message": "volumeMode: Invalid value: \"Block\": field is immutable"}),
            ),
            step(
                "merge",
                VOLUME,
                json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
                200,
                json!({"/spec/persistentVolumeReclaimPolicy": "Delete"}),
            ),
            step(
                "POST",
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                object(
                    "rbac.authorization.k8s.io/v1",
                    "ClusterRoleBinding",
                    "b",
                    json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}}),
                ),
                201,
                json!({}),
            ),
            step(
                "merge",
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/b",
                json!({"roleRef": {"name": "edit"}}),
                422,
                json!({"/message": "roleRef: Invalid value"}),
            ),
        ],
    );
}

#[test]
fn device_claims() {
    const CLAIMS: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    const TEMPLATES: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates";
    const SLICES: &str = "/apis/resource.k8s.io/v1/resourceslices";
    let devices = json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu.example.com"}}]}});
    let other = json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "tpu.example.com"}}]}});
    let slice = json!({"spec": {"driver": "gpu.example.com", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "devices": [{"name": "d"}]}});
    tell(
        "ResourceClaims, templates and slices",
        vec![
            step(
                "POST",
                CLAIMS,
                object("resource.k8s.io/v1", "ResourceClaim", "c", json!({"spec": devices})),
                201,
                json!({"/spec/devices/requests/0/exactly/allocationMode": "ExactCount", "/spec/devices/requests/0/exactly/count": 1}),
            ),
            step(
                "merge",
                "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/c",
                json!({"spec": other}),
                422,
                json!({"/message": "spec: Invalid value"}),
            ),
            step(
                "POST",
                TEMPLATES,
                object("resource.k8s.io/v1", "ResourceClaimTemplate", "t", json!({"spec": {"spec": devices}})),
                201,
                json!({}),
            ),
            step(
                "merge",
                "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates/t",
                json!({"spec": {"spec": other}}),
                422,
                json!({"/message": "spec: Invalid value"}),
            ),
            step("POST", SLICES, object("resource.k8s.io/v1", "ResourceSlice", "s", slice), 201, json!({})),
            step(
                "merge",
                "/apis/resource.k8s.io/v1/resourceslices/s",
                json!({"spec": {"driver": "tpu.example.com"}}),
                422,
                json!({"/message": "spec.driver: Invalid value: \"tpu.example.com\": field is immutable"}),
            ),
            step(
                "merge",
                "/apis/resource.k8s.io/v1/resourceslices/s",
                json!({"spec": {"nodeName": "m"}}),
                422,
                json!({"/message": "spec.nodeName: Invalid value: \"m\": field is immutable"}),
            ),
            step(
                "GET",
                "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.driver%3Dgpu.example.com,spec.nodeName%3Dn",
                NULL,
                200,
                json!({"/items/0/metadata/name": "s"}),
            ),
        ],
    );
}

#[test]
fn definitions() {
    const ALL: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const ONE: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";
    const STATUS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com/status";
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}}}}});
    let spec = json!({"group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]});
    let condition = json!([{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set"}]);
    tell(
        "definitions and the fields of their objects",
        vec![
            step(
                "POST",
                ALL,
                object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.example.com", json!({"spec": spec})),
                201,
                json!({}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"scope": "Cluster"}}),
                422,
                json!({"/message": "spec.scope: Invalid value: \"Cluster\": field is immutable"}),
            ),
            step(
                "merge",
                ONE,
                json!({"spec": {"group": "other.com"}}),
                422,
                json!({"/message": "spec.group: Invalid value: \"other.com\": field is immutable"}),
            ),
            step(
                "merge",
                STATUS,
                json!({"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": condition}}),
                200,
                json!({"/status/conditions/0/type": "StatusUpdate"}),
            ),
            step(
                "POST",
                "/apis/example.com/v1/namespaces/default/things?fieldValidation=Strict",
                object("example.com/v1", "Thing", "t", json!({"spec": {"n": 1, "m": 2}})),
                400,
                json!({"/message": "strict decoding error: unknown field \"spec.m\""}),
            ),
            step(
                "POST",
                "/apis/example.com/v1/namespaces/default/things",
                object("example.com/v1", "Thing", "t", json!({"spec": {"n": 1, "m": 2}})),
                201,
                json!({"/spec": {"n": 1}}),
            ),
            step(
                "merge",
                "/apis/example.com/v1/namespaces/default/things/t?fieldValidation=Strict",
                json!({"spec": {"m": 2}}),
                422,
                json!({"/message": "strict decoding error: unknown field \"spec.m\""}),
            ),
            step(
                "strategic",
                "/apis/example.com/v1/namespaces/default/things/t",
                json!({"spec": {"n": 2}}),
                415,
                json!({"/reason": "UnsupportedMediaType"}),
            ),
            step(
                "PUT",
                "/apis/example.com/v1/namespaces/default/things/t",
                object("example.com/v1", "Thing", "t", json!({"spec": {"n": 1}})),
                422,
                json!({"/message": "metadata.resourceVersion: Invalid value: 0: must be specified for an update"}),
            ),
            step("GET", "/apis/example.com/v1/namespaces/default/things/t/status", NULL, 404, json!({})),
            step(
                "DELETE",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector=e2e%3Dyes",
                NULL,
                200,
                json!({"/kind": "CustomResourceDefinitionList"}),
            ),
            step("GET", "/apis/example.com/v1/namespaces/default/things/t", NULL, 404, json!({})),
        ],
    );
}

#[test]
fn names_and_identities() {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    const MAP: &str = "/api/v1/namespaces/default/configmaps/c";
    const NONE: &str = "/api/v1/namespaces/default/configmaps/none";
    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    let unnamed = json!({"/message": "the name of the object (c based on URL) was undeterminable: name must be provided"});
    let map = |metadata: object::Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    let lease = |metadata: object::Value| json!({"metadata": metadata, "spec": {"holderIdentity": "me"}});
    tell(
        "names and identities",
        vec![
            step("POST", MAPS, map(json!({"name": "c"})), 201, json!({})),
            step("PUT", MAP, map(json!({})), 400, unnamed.clone()),
            step("merge", MAP, json!({"metadata": null}), 400, unnamed.clone()),
            step("json", MAP, json!([{"op": "replace", "path": "", "value": {}}]), 400, unnamed),
            step(
                "apply",
                "/api/v1/namespaces/default/configmaps/none?fieldManager=m",
                map(json!({"name": "none", "uid": "1"})),
                409,
                json!({"/message": "configmaps \"none\": uid mismatch: the provided object specified uid 1, and no existing object was found"}),
            ),
            step("PUT", NONE, map(json!({"name": "none"})), 404, json!({})),
            step(
                "PUT",
                NONE,
                map(json!({"name": "none", "uid": "1"})),
                409,
                json!({"/message": "Precondition failed: UID in precondition: 1, UID in object meta: "}),
            ),
            // Some kinds are created by an update.
            step("PUT", LEASE, lease(json!({"name": "l", "resourceVersion": "1"})), 201, json!({"/spec/holderIdentity": "me"})),
            step("PUT", LEASE, lease(json!({"name": "l"})), 200, json!({})),
            step(
                "merge",
                "/api/v1/namespaces/default/configmaps/c?fieldManager=a%0Ab",
                json!({}),
                422,
                json!({"/message": "fieldManager: Invalid value: \"a\\nb\": invalid character U+000A (at position 1)"}),
            ),
        ],
    );
}

#[test]
fn options_and_questions() {
    const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    const PODS: &str = "/api/v1/namespaces/default/pods";
    let review = |selector: object::Value| json!({"spec": {"user": "u", "resourceAttributes": {"verb": "list", "resource": "pods", "labelSelector": selector}}});
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    tell(
        "options and questions",
        vec![
            step(
                "GET",
                "/api/v1/namespaces/default/pods?timeoutSeconds=x",
                NULL,
                400,
                json!({"/message": "strconv.ParseInt: parsing \"x\": invalid syntax"}),
            ),
            step(
                "POST",
                REVIEWS,
                review(json!({})),
                422,
                json!({"/message": "spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required"}),
            ),
            step(
                "POST",
                REVIEWS,
                review(json!({"rawSelector": "a", "requirements": [{"key": "a", "operator": "Exists"}]})),
                422,
                json!({"/message": "labelSelector.rawSelector: Invalid value: \"a\": may not specified at the same time as requirements"}),
            ),
            step(
                "POST",
                REVIEWS,
                review(json!({"requirements": [{"key": "a", "operator": "In"}]})),
                422,
                json!({"/message": "labelSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"}),
            ),
            step(
                "POST",
                REVIEWS,
                review(json!({"requirements": [{"key": "a", "operator": "New"}]})),
                201,
                json!({"/status/allowed": false}),
            ),
            step("POST", PODS, object("v1", "Pod", "p", pod), 201, json!({})),
            step(
                "POST",
                "/api/v1/namespaces/default/pods/p/eviction",
                json!({}),
                400,
                json!({"/message": "name in URL does not match name in Eviction object"}),
            ),
            step(
                "strategic",
                "/api/v1/namespaces/default/pods/p/resize",
                json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}}),
                422,
                json!({"/message": "spec: Invalid value: \"BestEffort\": Pod QOS Class may not change as a result of resizing"}),
            ),
            step(
                "strategic",
                "/api/v1/namespaces/default/pods/p/resize",
                json!({"spec": {"nodeName": "n", "containers": [{"name": "c", "image": "j"}]}}),
                200,
                json!({"/spec/containers/0/image": "i", "/spec/nodeName": null}),
            ),
        ],
    );
}
