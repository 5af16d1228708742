//! What is wrong with pods: a patch of a good one, and the causes it gives.

use object::{Value, json};

use super::{container_with, errors, pod_with, update_errors};

/// A good pod whose spec has these fields too.
fn pod(extra: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
    spec.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
    pod_with(spec)
}

fn volume(extra: Value) -> Value {
    let mut volume = json!({"name": "v"});
    volume.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
    pod(json!({"volumes": [volume]}))
}

/// Each case's causes, without the path they share.
fn check(prefix: &str, cases: Vec<(Value, &[&str])>) {
    for (object, expect) in cases {
        let expect: Vec<String> = expect.iter().map(|cause| format!("{prefix}{cause}")).collect();
        assert_eq!(errors(object.clone()), expect, "{object}");
    }
}

#[test]
fn containers() {
    let mount = |extra: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/x"});
        mount.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c", "image": "i", "volumeMounts": [mount]}]})
    };
    check(
        "spec.containers[0].",
        vec![
            (
                container_with(json!({"envFrom": [{}]})),
                &["envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`"],
            ),
            (
                container_with(json!({"env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]})),
                &[
                    "env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gpu\": supported values: \"limits.cpu\", \
                     \"limits.ephemeral-storage\", \"limits.memory\", \"requests.cpu\", \"requests.ephemeral-storage\", \"requests.memory\"",
                ],
            ),
            (
                container_with(json!({"env": [{"name": "a",
                    "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]})),
                &[
                    "env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are \
                     supported with the cpu resource",
                ],
            ),
            (
                container_with(json!({"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name['x']"}}}]})),
                &[
                    "env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['x']\": error converting fieldPath: field label \
                     does not support subscript: metadata.name['x']",
                ],
            ),
            (
                container_with(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}})),
                &[
                    "lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
                ],
            ),
            (
                container_with(json!({"readinessProbe":
                    {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": ""}]}}})),
                &[
                    "readinessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric \
                     characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
                ],
            ),
            (
                pod_with(mount(json!({"subPath": "a", "subPathExpr": "b"}))),
                &["volumeMounts[0].subPathExpr: Invalid value: \"b\": subPathExpr and subPath are mutually exclusive"],
            ),
            (
                pod_with(mount(json!({"mountPropagation": "Bidirectional"}))),
                &[
                    "volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
                ],
            ),
            (
                pod_with(mount(json!({"recursiveReadOnly": "Enabled"}))),
                &["volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
            ),
            (
                container_with(json!({"resources": {"claims": [{"name": "a"}]}})),
                &["resources.claims[0]: Not found: \"a\": must be one of the names in pod.spec.resourceClaims which is empty"],
            ),
            (
                container_with(json!({"resizePolicy": [{"resourceName": "gpu", "restartPolicy": "NotRequired"}]})),
                &["resizePolicy: Unsupported value: \"gpu\": supported values: \"cpu\", \"memory\""],
            ),
            (
                container_with(
                    json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
                ),
                &["restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
            ),
            (
                container_with(json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}})),
                &["securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"],
            ),
            (
                container_with(json!({"securityContext": {"procMount": "Unmasked"}})),
                &["securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`"],
            ),
            (
                container_with(json!({"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": " x"}}})),
                &["securityContext.appArmorProfile.localhostProfile: Invalid value: \" x\": must not be padded with whitespace"],
            ),
            (
                container_with(json!({"securityContext": {"windowsOptions": {"runAsUserName": "a\\b\\c"}}})),
                &[
                    "securityContext.windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": runAsUserName cannot contain more than \
                     one backslash",
                ],
            ),
        ],
    );
}

#[test]
fn volumes() {
    check(
        "spec.volumes[0].",
        vec![
            (volume(json!({"nfs": {"server": "s", "path": "p"}})), &["nfs.path: Invalid value: \"p\": must be an absolute path"]),
            (volume(json!({"gitRepo": {"repository": ""}})), &["gitRepo.repository: Required value"]),
            (
                volume(json!({"gcePersistentDisk": {"pdName": "a", "partition": 300}})),
                &["persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive"],
            ),
            (
                volume(json!({"iscsi": {"targetPortal": "t", "iqn": "x", "lun": 1}})),
                &["iscsi.iqn: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa"],
            ),
            (
                volume(json!({"fc": {"targetWWNs": ["a"]}})),
                &["fc.lun: Required value: lun is required if targetWWNs is specified"],
            ),
            (
                volume(json!({"flexVolume": {"driver": "d", "options": {"x.k8s.io/a": "b"}}})),
                &[
                    "flexVolume.options[x.k8s.io/a]: Invalid value: \"x.k8s.io/a\": kubernetes.io and k8s.io namespaces are reserved",
                ],
            ),
            (
                volume(json!({"configMap": {"name": "a", "items": [{"key": "k", "path": "..x", "mode": 512}]}})),
                &[
                    "configMap.items[0].path: Invalid value: \"..x\": must not start with '..'",
                    "configMap.items[0].mode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
                ],
            ),
            (
                volume(json!({"downwardAPI": {"items": [{"path": "a"}]}})),
                &["downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
            ),
            (
                volume(json!({"projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                    {"configMap": {"name": "m", "items": [{"key": "k", "path": "p"}]}}]}})),
                &["projected: Invalid value: \"m\": conflicting duplicate paths"],
            ),
            (
                volume(json!({"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}})),
                &["projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"],
            ),
            (
                volume(json!({"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "x"}, "spec": {}}}})),
                &[
                    "ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
                    "ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
                    "ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
                ],
            ),
        ],
    );
    let twice = pod(json!({"serviceAccountName": "s",
        "volumes": [{"name": "v", "downwardAPI": {}, "emptyDir": {}}, {"name": "w", "image": {}}]}));
    assert_eq!(
        errors(twice),
        [
            "spec.volumes[0].downwarAPI: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[1].image.reference: Required value",
        ]
    );
}

#[test]
fn scheduling() {
    let node = |term: Value| {
        let required = json!({"nodeSelectorTerms": [term]});
        pod(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}))
    };
    let near = |extra: Value| {
        let mut term = json!({"topologyKey": "zone"});
        term.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        pod(json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}))
    };
    let spread = |extra: Value| {
        let mut one = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"});
        one.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        pod(json!({"topologySpreadConstraints": [one]}))
    };
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    for (object, expect) in [
        (
            node(json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]})),
            format!("affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: \"-\": a valid label"),
        ),
        (
            node(json!({"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a"]}]})),
            format!(
                "affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchFields[0].key: Invalid value: \"metadata.uid\": not a valid field selector key"
            ),
        ),
        (
            near(json!({"matchLabelKeys": ["a"]})),
            format!(
                "affinity.podAffinity.{required}[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"
            ),
        ),
        (
            near(json!({"labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]})),
            format!(
                "affinity.podAffinity.{required}[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and mismatchLabelKeys"
            ),
        ),
        (
            spread(json!({"minDomains": 2})),
            "topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, \
             not ScheduleAnyway"
                .to_owned(),
        ),
        (
            spread(json!({"nodeTaintsPolicy": "x"})),
            "topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: \"x\": supported values: \"Honor\", \"Ignore\""
                .to_owned(),
        ),
    ] {
        let found = errors(object.clone());
        assert!(found.len() == 1 && found[0].starts_with(&format!("spec.{expect}")), "{object}: {found:?}");
    }
}

#[test]
fn specs() {
    check(
        "spec.",
        vec![
            (
                pod(json!({"hostNetwork": true, "hostUsers": false})),
                &["hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"],
            ),
            (
                pod(json!({"os": {"name": "windows"}, "hostUsers": true, "securityContext": {"runAsUser": 1}})),
                &[
                    "hostUsers: Forbidden: cannot be set for a windows pod",
                    "securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
                ],
            ),
            (
                pod(json!({"os": {"name": "plan9"}})),
                &["os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
            ),
            (
                pod(json!({"dnsPolicy": "None"})),
                &["dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
            ),
            (
                pod(json!({"dnsConfig": {"options": [{"value": "1"}]}})),
                &["dnsConfig.options[0]: Required value: must not be empty"],
            ),
            (
                pod(json!({"shareProcessNamespace": true, "hostPID": true})),
                &[
                    "securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
                ],
            ),
            (
                pod(json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}})),
                &[
                    "securityContext.sysctls[0].name: Invalid value: \"net.core.somaxconn\": may not be specified when 'hostNetwork' is true",
                ],
            ),
            (
                pod(json!({"resourceClaims": [{"name": "a"}]})),
                &[
                    "resourceClaims[0]: Invalid value: {\"Name\":\"a\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: \
                     must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
                ],
            ),
            (
                pod(json!({"resources": {"requests": {"cpu": "1"}},
                    "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]})),
                &[
                    "resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
                ],
            ),
            (
                pod(json!({"resources": {"requests": {"ephemeral-storage": "1"}}})),
                &[
                    "resources.requests[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"memory\"",
                ],
            ),
            (
                pod(json!({"nodeName": "n", "schedulingGates": [{"name": "a"}]})),
                &["nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
            ),
            (
                pod(json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]})),
                &["tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'"],
            ),
            (
                pod(json!({"preemptionPolicy": "x"})),
                &["preemptionPolicy: Unsupported value: \"x\": supported values: \"PreemptLowerPriority\", \"Never\""],
            ),
        ],
    );
    let mut costly = pod(json!({}));
    costly["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "+1"});
    assert_eq!(
        errors(costly),
        ["metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+1\": must be a 32bit integer"]
    );
}

#[test]
fn updates_of_gated_pods() {
    let gated = |selector: Value| pod(json!({"schedulingGates": [{"name": "a"}], "nodeSelector": selector}));
    assert_eq!(update_errors(gated(json!({"a": "b"})), gated(json!({"a": "b", "c": "d"}))), [""; 0]);
    assert_eq!(
        update_errors(gated(json!({"a": "b"})), gated(json!({"a": "c"}))),
        [
            "spec.nodeSelector: Invalid value: {\"a\":\"c\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        ]
    );
}
