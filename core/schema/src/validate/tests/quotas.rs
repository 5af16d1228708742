//! Quotas, ranges of limits and nodes.

use object::{Value, json};

use super::{errors, update_errors};

fn core(kind: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec})
}

#[test]
fn quotas() {
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({"hard": {"pods": "1", "count/jobs.batch": "2", "requests.nvidia.com/gpu": "1"}}), &[]),
        (
            json!({"hard": {"storage": "1"}}),
            &["hard[storage]: Invalid value: \"storage\": must be a standard resource for quota"],
        ),
        (json!({"hard": {"pods": "500m"}}), &["hard[pods]: Invalid value: \"500m\": must be an integer"]),
        (
            json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}),
            &["scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
        ),
        (
            json!({"scopes": ["Terminating", "NotTerminating"]}),
            &["scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes"],
        ),
        (
            json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}),
            &[
                "scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ],
        ),
    ];
    for (spec, expect) in cases {
        let expect: Vec<String> = expect.iter().map(|cause| format!("spec.{cause}")).collect();
        assert_eq!(errors(core("ResourceQuota", spec.clone())), expect, "{spec}");
    }
    let scoped = |scope: &str| core("ResourceQuota", json!({"scopes": [scope]}));
    assert_eq!(
        update_errors(scoped("Terminating"), scoped("BestEffort")),
        ["spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable"]
    );
}

#[test]
fn ranges_of_limits() {
    let cases: Vec<(Value, &[&str])> = vec![
        (json!([{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}]), &[]),
        (json!([{"type": "Node"}]), &["[0].type: Invalid value: \"Node\": must be a standard limit type or fully qualified"]),
        (
            json!([{"type": "Pod", "max": {"cpu": "2"}}, {"type": "Pod", "max": {"cpu": "2"}}]),
            &["[1].type: Duplicate value: \"Pod\""],
        ),
        (
            json!([{"type": "PersistentVolumeClaim"}]),
            &["[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided"],
        ),
        (
            json!([{"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}]),
            &["[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1"],
        ),
        (
            json!([{"type": "Pod", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}}]),
            &["[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than max/min = 2.000000"],
        ),
        (
            json!([{"type": "Pod", "max": {"storage": "2"}}]),
            &["[0].max[storage]: Invalid value: \"storage\": must be a standard resource for containers"],
        ),
    ];
    for (limits, expect) in cases {
        let expect: Vec<String> = expect.iter().map(|cause| format!("spec.limits{cause}")).collect();
        assert_eq!(errors(core("LimitRange", json!({"limits": limits}))), expect, "{limits}");
    }
}

#[test]
fn nodes() {
    let node = |spec: Value| errors(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": spec}));
    assert_eq!(
        node(json!({"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "b", "effect": "NoSchedule"}]})),
        [
            "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"b\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair"
        ]
    );
    assert_eq!(
        node(json!({"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]})),
        ["spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\"]: may specify no more than one CIDR for each IP family"]
    );
}
