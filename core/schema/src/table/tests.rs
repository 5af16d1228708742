//! Rows of the kinds that are looked at most.

use object::json;

use super::*;
use crate::Registry;

fn printed(group: &str, version: &str, kind: &str, object: Value) -> Vec<Value> {
    let registry = Registry::builtin();
    let resource = registry.kind(&GroupVersionKind::new(group, version, kind)).unwrap();
    let now = Time::parse("2026-11-20T22:00:00Z").unwrap();
    let row = row(resource, &object, now);
    assert_eq!(row.cells.len(), columns(resource).len());
    row.cells
}

#[test]
fn durations_are_as_short_as_kubectl_shows_them() {
    for (seconds, text) in [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600 + 60, "8h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400 + 3600, "8d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (3000 * 86400, "8y"),
    ] {
        assert_eq!(human_duration(Time(0), Time::from_secs(seconds)), text);
    }
    assert_eq!(human_duration(Time::from_secs(1), Time(0)), "0s");
    assert_eq!(human_duration(Time::from_secs(3), Time(0)), "<invalid>");
}

fn pod_status(spec: Value, status: Value) -> (String, String, String) {
    let metadata = json!({"name": "p", "creationTimestamp": "2026-11-20T21:59:00Z"});
    let cells = printed("", "v1", "Pod", json!({"metadata": metadata, "spec": spec, "status": status}));
    assert_eq!(cells[4], "60s");
    let text = |i: usize| cells[i].as_str().unwrap().to_owned();
    (text(1), text(2), text(3))
}

#[test]
fn pods_say_what_they_wait_for() {
    let one = json!({"containers": [{"name": "c"}]});
    let init =
        json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]});
    let term = |code: i64| json!({"terminated": {"exitCode": code}});
    for (spec, status, expect) in [
        (&one, json!({"phase": "Pending"}), ("0/1", "Pending", "0")),
        (
            &one,
            json!({"phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2,
                "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-11-20T21:55:00Z"}}}]}),
            ("1/1", "Running", "2 (5m ago)"),
        ),
        (
            &one,
            json!({"phase": "Running", "containerStatuses": [{"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            ("0/1", "CrashLoopBackOff", "1"),
        ),
        (&one, json!({"phase": "Failed", "containerStatuses": [{"state": term(3)}]}), ("0/1", "ExitCode:3", "0")),
        (&one, json!({"phase": "Failed", "reason": "Evicted"}), ("0/1", "Evicted", "0")),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            ("0/2", "Init:0/2", "0"),
        ),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}),
            ("0/2", "Init:Error", "0"),
        ),
        (
            &init,
            json!({"phase": "Running", "initContainerStatuses": [{"name": "i", "state": term(0)},
                {"name": "s", "started": true, "ready": true, "state": {"running": {}}}],
                "containerStatuses": [{"ready": true, "state": {"running": {}}}]}),
            ("2/2", "Running", "0"),
        ),
    ] {
        let (ready, reason, restarts) = pod_status(spec.clone(), status.clone());
        assert_eq!((&*ready, &*reason, &*restarts), expect, "{status}");
    }
}

#[test]
fn services_show_their_addresses_and_ports() {
    let service = |spec: Value, status: Value| {
        let cells = printed("", "v1", "Service", json!({"metadata": {"name": "s"}, "spec": spec, "status": status}));
        cells[1..5].iter().map(|c| c.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let ports = json!([{"port": 80, "nodePort": 30080, "protocol": "TCP"}]);
    assert_eq!(
        service(
            json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": ports, "externalIPs": ["9.9.9.9"]}),
            json!({"loadBalancer": {"ingress": [{"hostname": "h.io"}, {"ip": "1.2.3.4"}]}})
        ),
        "LoadBalancer 10.0.0.1 1.2.3.4,h.io,9.9.9.9 80:30080/TCP"
    );
    assert_eq!(service(json!({"type": "LoadBalancer"}), json!({})), "LoadBalancer <none> <pending> <none>");
    assert_eq!(service(json!({"type": "ExternalName", "externalName": "x.io"}), json!({})), "ExternalName <none> x.io <none>");
}

#[test]
fn nodes_autoscalers_and_events() {
    let node = printed(
        "",
        "v1",
        "Node",
        json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}},
        "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
    );
    assert_eq!((&node[1], &node[2]), (&json!("NotReady,SchedulingDisabled"), &json!("worker")));
    let hpa = printed(
        "autoscaling",
        "v1",
        "HorizontalPodAutoscaler",
        json!({"metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "targetCPUUtilizationPercentage": 70}}),
    );
    assert_eq!((&hpa[1], &hpa[2]), (&json!("Deployment/d"), &json!("cpu: <unknown>/70%")));
    let event = printed(
        "events.k8s.io",
        "v1",
        "Event",
        json!({"metadata": {"name": "e"}, "note": " m\n", "reason": "R", "type": "Normal",
        "regarding": {"kind": "Pod", "name": "p"}, "eventTime": "2026-11-20T21:59:50.000000Z", "reportingController": "c"}),
    );
    assert_eq!(Value::Array(event), json!(["10s", "Normal", "R", "pod/p", "", "c", "m", "10s", 1, "e"]));
}

#[test]
fn every_kind_fills_every_column() {
    let registry = Registry::builtin();
    for resource in registry.resources().filter(|r| r.allows("list") && &*r.kind.kind != "ComponentStatus") {
        let cells =
            printed(&resource.kind.group, &resource.kind.version, &resource.kind.kind, json!({"metadata": {"name": "x"}}));
        assert!(!cells.contains(&Value::Null), "{}: {cells:?}", resource.kind);
    }
}

#[test]
fn what_is_missing() {
    let rules = |hosts: &[&str]| json!({"spec": {"rules": hosts.iter().map(|h| json!({"host": h})).collect::<Vec<_>>()}});
    for (name, group, kind, object, column, wanted) in [
        ("no subsets", "", "Endpoints", json!({}), 1, "<none>"),
        ("unready", "", "Endpoints", json!({"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1"}]}]}), 1, ""),
        ("claim not bound yet", "", "PersistentVolumeClaim", json!({"spec": {"volumeName": "v"}}), 3, "0"),
        ("claim", "", "PersistentVolumeClaim", json!({"spec": {}}), 3, ""),
        ("no host", "networking.k8s.io", "Ingress", rules(&["", ""]), 2, "*"),
        ("three hosts", "networking.k8s.io", "Ingress", rules(&["", "a", "b", "c"]), 2, "a,b,c"),
        ("three and one without", "networking.k8s.io", "Ingress", rules(&["a", "b", "c", ""]), 2, "a,b,c + 1 more..."),
        ("many", "networking.k8s.io", "Ingress", rules(&["", "a", "b", "c", "d"]), 2, "a,b,c + 2 more..."),
    ] {
        assert_eq!(printed(group, "v1", kind, object)[column], wanted, "{name}");
    }
}
