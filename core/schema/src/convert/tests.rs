//! Round trips between versions.

use object::json;

use super::*;

#[test]
fn events_of_both_groups_are_one_kind() {
    let core = json!({"apiVersion": "v1", "kind": "Event", "eventTime": null, "firstTimestamp": null, "lastTimestamp": null,
        "involvedObject": {"kind": "Pod"}, "message": "m", "metadata": {}, "reason": "R", "reportingComponent": "",
        "reportingInstance": "", "source": {}});
    let mut event = core.clone();
    convert(&mut event, &GroupVersionKind::new("events.k8s.io", "v1", "Event"));
    assert_eq!(
        event,
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "deprecatedFirstTimestamp": null,
            "deprecatedLastTimestamp": null, "deprecatedSource": {}, "eventTime": null, "metadata": {}, "note": "m",
            "reason": "R", "regarding": {"kind": "Pod"}})
    );
    convert(&mut event, &GroupVersionKind::new("", "v1", "Event"));
    assert_eq!(event, core);
}

#[test]
fn version_1_of_an_autoscaler_keeps_what_it_does_not_know_in_annotations() {
    let v2 = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {},
        "spec": {"maxReplicas": 3, "behavior": {"scaleUp": {"selectPolicy": "Max"}}, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}]},
        "status": {"currentMetrics": null, "desiredReplicas": 0}});
    let mut object = v2.clone();
    convert(&mut object, &GroupVersionKind::new("autoscaling", "v1", "HorizontalPodAutoscaler"));
    assert_eq!(object["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}));
    assert!(object["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap().contains("memory"));
    convert(&mut object, &GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler"));
    assert_eq!(object, v2);
}
