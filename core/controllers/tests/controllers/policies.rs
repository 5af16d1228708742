//! What a policy's status says of its expressions.

use crate::support::World;
use apiserver::gvr;
use object::{Value, json};

#[test]
fn expressions_are_checked_against_the_types_of_what_they_are_about() {
    let rule = |groups: &[&str], resources: &[&str]| json!({"apiGroups": groups, "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources});
    let apps = || rule(&["apps"], &["deployments"]);
    let undefined = |kind: &str, source: &str, at: usize, field: &str| {
        format!(
            "apps/v1, Kind={kind}: ERROR: <input>:1:{}: undefined field '{field}'\n | {source}\n | {}^\n",
            at + 1,
            ".".repeat(at)
        )
    };
    let cases: [(&str, Value, &str, Value); 8] = [
        ("nothing wrong", apps(), "object.spec.replicas > 1 && object.metadata.namespace != ''", json!([])),
        ("numbers or texts", apps(), "object.spec.strategy.rollingUpdate.maxSurge == '10%'", json!([])),
        (
            "unknown field",
            apps(),
            "object.replicas > 1",
            json!([{"fieldRef": "spec.validations[0].expression", "warning": undefined("Deployment", "object.replicas > 1", 6, "replicas")}]),
        ),
        (
            "of each kind",
            rule(&["apps"], &["replicasets", "deployments"]),
            "object.replicas > 1",
            json!([{
                "fieldRef": "spec.validations[0].expression",
                "warning": format!(
                    "{}\n{}",
                    undefined("Deployment", "object.replicas > 1", 6, "replicas"),
                    undefined("ReplicaSet", "object.replicas > 1", 6, "replicas"),
                ),
            }]),
        ),
        (
            "types that do not go together",
            apps(),
            "object.spec.replicas == '1'",
            json!([{
                "fieldRef": "spec.validations[0].expression",
                "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_==_' applied to \
                            '(int, string)'\n | object.spec.replicas == '1'\n | .....................^\n",
            }]),
        ),
        ("wildcards are not looked at", rule(&["*"], &["deployments"]), "object.nothing == 1", json!([])),
        ("subresources are not looked at", rule(&["apps"], &["deployments/scale"]), "object.nothing == 1", json!([])),
        ("variables", apps(), "variables.n > 1", json!([])),
    ];
    for (name, rule, expression, expect) in cases {
        let mut world = World::new();
        let policies = gvr("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies");
        let spec = json!({
            "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}],
            "variables": [{"name": "n", "expression": "object.spec.replicas"}],
        });
        let metadata = json!({"name": "p"});
        let kind = "ValidatingAdmissionPolicy";
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec});
        world.create(&policies, policy);
        world.settle();
        let status = world.get(&policies, "", "p").unwrap()["status"].clone();
        assert_eq!(status["observedGeneration"], 1, "{name}");
        let warnings = status["typeChecking"].get("expressionWarnings").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(warnings, expect, "{name}");
    }
}
