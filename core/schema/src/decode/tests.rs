//! Tables of bodies and what becomes of them.

use object::GroupVersionKind;
use serde_json::json;

use super::*;
use crate::Registry;

fn decode(kind: &str, json: &str) -> Result<Decoded, DecodeError> {
    let registry = Registry::builtin();
    let group = if matches!(kind, "Deployment" | "StatefulSet") { "apps" } else { "" };
    let resource = registry.kind(&GroupVersionKind::new(group, "v1", kind)).unwrap();
    from_slice(resource.ty(), json.as_bytes())
}

#[test]
fn refuses_wrong_types_in_the_words_of_go() {
    for (kind, json, message) in [
        (
            "Pod",
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"name":5}]}}"#,
            "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
        ),
        (
            "Pod",
            r#"{"spec":{"hostNetwork":"yes"}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            "Pod",
            r#"{"spec":{"terminationGracePeriodSeconds":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
        ),
        (
            "Pod",
            r#"{"spec":{"terminationGracePeriodSeconds":99999999999999999999}}"#,
            "json: cannot unmarshal number 99999999999999999999 into Go struct field \
             PodSpec.spec.terminationGracePeriodSeconds of type int64",
        ),
        (
            "Pod",
            r#"{"spec":{"priority":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            "Pod",
            r#"{"metadata":{"labels":["a"]}}"#,
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            "Pod",
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        ("Pod", r#"{"spec":"x"}"#, "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        (
            "Pod",
            r#"{"metadata":{"creationTimestamp":"yesterday"}}"#,
            r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#,
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":{}}}}]}}"#,
            "json: cannot unmarshal object into Go struct field \
             HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port of type int32",
        ),
        ("Secret", r#"{"data":{"a":"%%"}}"#, "illegal base64 data at input byte 0"),
    ] {
        assert_eq!(decode(kind, json), Err(DecodeError::Type(message.to_owned())), "{json}");
    }
}

#[test]
fn names_unknown_and_duplicate_fields_in_order() {
    let decoded = decode(
        "Deployment",
        r#"{"spec":{"replica":2,"template":{"spec":{"containers":[{"imagee":"x","name":"c","name":"d"}]}}},"dta":1}"#,
    )
    .unwrap();
    assert_eq!(
        decoded.strict,
        [
            r#"unknown field "spec.replica""#,
            r#"unknown field "spec.template.spec.containers[0].imagee""#,
            r#"duplicate field "spec.template.spec.containers[0].name""#,
            r#"unknown field "dta""#
        ]
    );
    assert_eq!(decoded.object["spec"]["template"]["spec"]["containers"][0]["name"], "d");
    let decoded = decode("ConfigMap", r#"{"data":{"a":"1","a":"2"},"immutable":false,"immutable":false}"#).unwrap();
    assert_eq!(decoded.strict, [r#"duplicate field "data.a""#, r#"duplicate field "immutable""#]);
    assert_eq!(decoded.object["data"]["a"], "2");
    assert_eq!(strict_error(&decoded.strict), r#"strict decoding error: duplicate field "data.a", duplicate field "immutable""#);
}

#[test]
fn normalizes_as_go_would_write() {
    let pod = json!({
        "metadata": {"labels": {"a": null}, "annotations": {}, "creationTimestamp": null},
        "spec": {
            "hostNetwork": false, "nodeName": "", "terminationGracePeriodSeconds": 0, "priority": null,
            "containers": [{"name": "c", "image": "i", "args": [], "stdin": false, "ports": [{"containerPort": 80, "hostPort": 0}],
                "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}],
        },
    });
    let registry = Registry::builtin();
    let ty = registry.kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap().ty();
    assert_eq!(
        from_value(ty, pod).unwrap().object,
        json!({
            "metadata": {"labels": {"a": ""}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}],
                    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}],
            },
            "status": {},
        })
    );
}

#[test]
fn decoding_is_idempotent() {
    let registry = Registry::builtin();
    for resource in registry.resources() {
        let once = from_value(resource.ty(), json!({})).unwrap().object;
        let twice = from_value(resource.ty(), once.clone()).unwrap().object;
        assert_eq!(once, twice, "{}", resource.kind);
    }
}

#[test]
fn after_a_patch_the_rest_need_not_be_read_again() {
    let registry = Registry::builtin();
    let resource = registry.resource(&object::GroupVersionResource::literal("apps", "v1", "deployments")).unwrap();
    let stored = json!({
        "metadata": {"name": "d", "labels": {"a": "1"}, "annotations": {"b": "2"}},
        "spec": {
            "replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {"nodeName": "n", "nodeSelector": {"a": "b"}, "containers": [{"name": "c", "image": "i"}]}},
        },
        "status": {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]},
    });
    let stored = resource_from_value(resource, stored).unwrap().object;
    let containers = |container| json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    for patch in [
        json!({}),
        json!({"metadata": {"labels": {"a": null}}}),
        json!({"metadata": {"labels": {"a": 1}}}),
        json!({"metadata": {"labels": {}, "nope": {"x": 1}}, "nope": 1, "spec": {"nope": [1]}}),
        json!({"metadata": null, "spec": null, "status": null}),
        json!({"spec": {"replicas": "two"}}),
        json!({"spec": {"replicas": 0, "minReadySeconds": 0, "paused": false}}),
        json!({"spec": {"replicas": 3_000_000_000_u64}}),
        json!({"spec": {"template": {"spec": {"nodeName": "", "nodeSelector": {}, "hostNetwork": false}}}}),
        json!({"spec": {"template": {"spec": {"nodeSelector": {"c": 5}}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate", "nope": true}}}),
        json!({"spec": {"template": 5}}),
        containers(json!({"name": "c", "imagee": "x", "resources": {"limits": {"cpu": 1}}})),
        containers(json!({"name": "new", "ports": [{"containerPort": "x"}]})),
        json!({"status": {"replicas": 0, "conditions": [{"type": "Available", "status": "False", "lastUpdateTime": null}]}}),
    ] {
        let mut merged = stored.clone();
        let mut strategic = stored.clone();
        object::patch::merge::apply(&mut merged, patch.clone()).unwrap();
        let made = crate::strategic::apply(&mut strategic, patch.clone(), resource.ty()).is_ok().then_some(strategic);
        for new in [Some(merged), made].into_iter().flatten() {
            let whole = resource_from_value(resource, new.clone());
            let part = patched::resource_after_patch(resource, new, &patch);
            assert_eq!(part, whole, "{patch}");
        }
    }
}
