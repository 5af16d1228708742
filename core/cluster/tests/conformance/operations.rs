//! What the suite asks of every kind: create, get, list, watch, patch, update, status, delete, deletecollection.

use object::value::str_at;
use object::{Value, json};

use crate::{World, name_of};

/// A kind, an object of it, and what is patched into the object and into its status.
struct Operations {
    api_version: &'static str,
    resource: &'static str,
    kind: &'static str,
    namespaced: bool,
    object: Value,
    patch: Value,
    status: Value,
}

impl Operations {
    fn collection(&self) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let namespace = if self.namespaced { "/namespaces/default" } else { "" };
        format!("{root}/{}{namespace}/{}", self.api_version, self.resource)
    }

    fn object(&self) -> Value {
        let mut object = self.object.clone();
        object["apiVersion"] = self.api_version.into();
        object["kind"] = self.kind.into();
        object["metadata"] = json!({"generateName": "e2e-", "labels": {"e2e": "x"}});
        object
    }
}

/// Whether all that `wanted` says holds of `object`.
fn holds(object: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(fields) => fields.iter().all(|(name, wanted)| object.get(name).is_some_and(|value| holds(value, wanted))),
        Value::Array(items) => {
            items.iter().all(|wanted| object.as_array().is_some_and(|all| all.iter().any(|item| holds(item, wanted))))
        }
        wanted => object == wanted,
    }
}

fn revision(object: &Value) -> u64 {
    str_at(object, &["metadata", "resourceVersion"]).parse().expect("a number")
}

fn run(world: &mut World, of: &Operations) {
    let (all, kind) = (of.collection(), of.kind);
    let some = format!("{all}?labelSelector=e2e%3Dx");
    let made: Vec<Value> = (0..3).map(|_| world.create(&all, &of.object())).collect();
    let place = format!("{all}/{}", name_of(&made[2]));
    let list = world.get(&some);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3), "{kind}");
    let watch = format!("{some}&watch=true&resourceVersion={}", revision(&list));
    let watch = world.driver.send("GET", &watch, "", "");

    let mut patch = of.patch.clone();
    patch["metadata"] = json!({"annotations": {"patched": "true"}});
    let patched = world.patch(&place, &patch);
    assert!(holds(&patched, &patch) && revision(&patched) > revision(&made[2]), "{kind}: {patched}");
    let mut wanted = world.get(&place);
    wanted["metadata"]["annotations"]["updated"] = "true".into();
    let updated = world.must("PUT", &place, &wanted);
    assert_eq!(updated["metadata"]["annotations"], json!({"patched": "true", "updated": "true"}), "{kind}");
    if !of.status.is_null() {
        let status = world.patch(&format!("{place}/status"), &json!({"status": of.status.clone()}));
        assert!(holds(&status["status"], &of.status), "{kind}: {status}");
        let read = world.get(&format!("{place}/status"));
        assert_eq!((str_at(&read, &["kind"]), name_of(&read)), (kind, name_of(&made[2])));
        let again = world.must("PUT", &format!("{place}/status"), &read);
        assert_eq!(again["status"], read["status"], "{kind}");
    }
    world.delete(&place);
    assert!(!world.exists(&place), "{kind}");
    world.must("DELETE", &some, &Value::Null);
    assert_eq!(world.items(&some), Vec::<Value>::new(), "{kind}");

    let events = world.driver.answer(watch).events();
    let told: Vec<&str> = events.iter().map(|event| str_at(event, &["type"])).collect();
    let deleted = told.iter().filter(|event| **event == "DELETED").count();
    assert!(told.starts_with(&["MODIFIED", "MODIFIED"]) && !told.contains(&"ADDED") && deleted == 3, "{kind}: {told:?}");
    assert!(events.iter().zip(events.iter().skip(1)).all(|(a, b)| revision(&a["object"]) < revision(&b["object"])), "{kind}");
    assert_eq!(events[0]["object"], patched, "{kind}: a watch shows what the answer showed");
}

fn condition(kind: &str) -> Value {
    json!({"conditions": [{"type": kind, "status": "False", "reason": "E2E", "message": "m", "lastTransitionTime": "2024-01-01T00:00:00Z"}]})
}

/// API priority and fairness should support FlowSchema / PriorityLevelConfiguration API operations; ValidatingAdmissionPolicy should
/// support ValidatingAdmissionPolicy / ValidatingAdmissionPolicyBinding API operations; RuntimeClass should support RuntimeClasses API
/// operations; CSIStorageCapacity should support CSIStorageCapacities API operations; lifecycles of ConfigMaps, Secrets, PodTemplates,
/// StorageClasses, CSIDrivers, CSINodes, VolumeAttachments, VolumeAttributesClasses and ServiceAccounts; DRA CRUD Tests
#[test]
fn kinds_support_every_operation() {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}});
    let rules = json!({"resourceRules": [{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}]});
    let subjects = json!([{"kind": "User", "user": {"name": "nobody"}}]);
    let flow = json!({"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"}, "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": subjects, "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]});
    let limited = json!({"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}});
    let request = json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}});
    let slice = json!({"driver": "d.example.com", "nodeName": "sim-0001", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}});
    let attachment = json!({"attacher": "e2e", "nodeName": "sim-0001", "source": {"persistentVolumeName": "pv"}});
    let (none, same) = (Value::Null, json!({}));
    let (flowcontrol, storage, dra) = ("flowcontrol.apiserver.k8s.io/v1", "storage.k8s.io/v1", "resource.k8s.io/v1");
    let admission = "admissionregistration.k8s.io/v1";
    let claimed = json!({"devices": [{"driver": "d.example.com", "pool": "p", "device": "0"}],
        "allocation": {"devices": {"results": [{"request": "r", "driver": "d.example.com", "pool": "p", "device": "0"}]}}});
    let table = [
        (
            flowcontrol,
            "flowschemas",
            "FlowSchema",
            false,
            json!({"spec": flow}),
            json!({"spec": {"matchingPrecedence": 9999}}),
            condition("PatchStatusFailed"),
        ),
        (
            flowcontrol,
            "prioritylevelconfigurations",
            "PriorityLevelConfiguration",
            false,
            json!({"spec": {"type": "Limited", "limited": limited}}),
            json!({"spec": {"limited": {"nominalConcurrencyShares": 4}}}),
            condition("PatchStatusFailed"),
        ),
        (
            admission,
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            false,
            json!({"spec": {"validations": [{"expression": "object.spec.replicas <= 100"}], "matchConstraints": rules}}),
            json!({"spec": {"failurePolicy": "Ignore"}}),
            condition("PatchStatusFailed"),
        ),
        (
            admission,
            "validatingadmissionpolicybindings",
            "ValidatingAdmissionPolicyBinding",
            false,
            json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}}),
            json!({"spec": {"validationActions": ["Warn"]}}),
            none.clone(),
        ),
        ("node.k8s.io/v1", "runtimeclasses", "RuntimeClass", false, json!({"handler": "h"}), same.clone(), none.clone()),
        ("v1", "configmaps", "ConfigMap", true, json!({"data": {"a": "b"}}), json!({"data": {"a": "c"}}), none.clone()),
        ("v1", "secrets", "Secret", true, json!({"data": {"a": "Yg=="}}), json!({"data": {"a": "Yw=="}}), none.clone()),
        (
            "v1",
            "serviceaccounts",
            "ServiceAccount",
            true,
            json!({}),
            json!({"automountServiceAccountToken": false}),
            none.clone(),
        ),
        ("v1", "podtemplates", "PodTemplate", true, json!({"template": template}), same.clone(), none.clone()),
        (storage, "storageclasses", "StorageClass", false, json!({"provisioner": "e2e"}), same.clone(), none.clone()),
        (
            storage,
            "csidrivers",
            "CSIDriver",
            false,
            json!({"spec": {"volumeLifecycleModes": ["Ephemeral"]}}),
            same.clone(),
            none.clone(),
        ),
        (
            storage,
            "csinodes",
            "CSINode",
            false,
            json!({"spec": {"drivers": [{"name": "e2e", "nodeID": "n"}]}}),
            same.clone(),
            none.clone(),
        ),
        (
            storage,
            "csistoragecapacities",
            "CSIStorageCapacity",
            true,
            json!({"storageClassName": "c", "capacity": "1Gi"}),
            json!({"capacity": "2Gi"}),
            none.clone(),
        ),
        (
            storage,
            "volumeattachments",
            "VolumeAttachment",
            false,
            json!({"spec": attachment}),
            same.clone(),
            json!({"attached": true}),
        ),
        (
            storage,
            "volumeattributesclasses",
            "VolumeAttributesClass",
            false,
            json!({"driverName": "e2e", "parameters": {"a": "b"}}),
            same.clone(),
            none.clone(),
        ),
        (
            dra,
            "deviceclasses",
            "DeviceClass",
            false,
            json!({"spec": {}}),
            json!({"spec": {"selectors": [{"cel": {"expression": "true"}}]}}),
            none.clone(),
        ),
        (dra, "resourceclaims", "ResourceClaim", true, json!({"spec": request.clone()}), same.clone(), claimed),
        (dra, "resourceclaimtemplates", "ResourceClaimTemplate", true, json!({"spec": {"spec": request}}), same, none.clone()),
        (
            dra,
            "resourceslices",
            "ResourceSlice",
            false,
            json!({"spec": slice}),
            json!({"spec": {"devices": [{"name": "0"}]}}),
            none,
        ),
    ];
    let mut world = World::start();
    for (api_version, resource, kind, namespaced, object, patch, status) in table {
        run(&mut world, &Operations { api_version, resource, kind, namespaced, object, patch, status });
    }
}
