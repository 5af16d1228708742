//! Jobs as CronJobs make them: a patch of a good one, and the causes it gives.

use object::{Value, json};

use super::errors;

#[test]
fn job_templates() {
    let policy = |rule: Value| json!({"podFailurePolicy": {"rules": [rule]}});
    let codes = |codes: Value| policy(json!({"action": "Count", "onExitCodes": codes}));
    let success = |rule: Value| json!({"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [rule]}});
    let cases: Vec<(Value, &[&str])> = vec![
        (json!({}), &[]),
        (json!({"managedBy": "a.io/".to_owned() + &"x".repeat(60)}), &["managedBy: Too long: may not be more than 63 bytes"]),
        (
            json!({"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1, "maxFailedIndexes": 3}),
            &["maxFailedIndexes: Invalid value: 3: must be less than or equal to completions"],
        ),
        (
            json!({"completionMode": "Indexed", "completions": 100_001, "backoffLimitPerIndex": 1}),
            &["maxFailedIndexes: Required value: must be specified when completions is above 100000"],
        ),
        (
            policy(json!({"action": "FailIndex", "onPodConditions": [{"type": "a", "status": "True"}]})),
            &["podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set"],
        ),
        (
            policy(json!({"action": "Count", "onPodConditions": [{"type": "a", "status": "x"}]})),
            &[
                "podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: \"x\": supported values: \"False\", \"True\", \"Unknown\"",
            ],
        ),
        (
            codes(json!({"operator": "In", "values": [2, 1, 1], "containerName": "d"})),
            &[
                "podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"d\": must be one of the container or initContainer names in the pod template",
                "podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 1",
                "podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1,1]: must be ordered",
            ],
        ),
        (
            success(json!({})),
            &["successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified"],
        ),
        (
            success(json!({"succeededCount": 2, "succeededIndexes": "0"})),
            &[
                "successPolicy.rules[0].succeededCount: Invalid value: 2: must be less than or equal to 1 (the number of indexes in the specified succeededIndexes field)",
            ],
        ),
        (
            success(json!({"succeededIndexes": "2,1"})),
            &[
                "successPolicy.rules[0].succeededIndexes: Invalid value: \"2,1\": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1",
            ],
        ),
        (json!({"selector": {}}), &["selector: Invalid value: {}: `selector` will be auto-generated"]),
    ];
    for (extra, expect) in cases {
        let pod = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
        let mut spec = json!({"template": {"spec": pod}});
        spec.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
        let object = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
            "spec": {"schedule": "@daily", "jobTemplate": {"spec": spec}}});
        let expect: Vec<String> = expect.iter().map(|cause| format!("spec.jobTemplate.spec.{cause}")).collect();
        assert_eq!(errors(object), expect, "{extra}");
    }
}
