//! NodeUnschedulable, TaintToleration, NodeAffinity, NodePorts, ImageLocality.

use object::{Value, json};

use super::World;
use crate::plugins::Plugin;

#[test]
fn node_unschedulable() {
    let cordoned = || World::new(&[("n", json!({"spec": {"unschedulable": true}}))]);
    for (name, tolerations, verdict) in [
        ("a cordoned node takes nobody", json!([]), "node(s) were unschedulable (for good)"),
        ("but who tolerates its taint", json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]), ""),
        ("or everything", json!([{"operator": "Exists"}]), ""),
        (
            "not who tolerates another effect of it",
            json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoExecute"}]),
            "node(s) were unschedulable (for good)",
        ),
    ] {
        let said = cordoned().filter(Plugin::NodeUnschedulable, &json!({}), &json!({"tolerations": tolerations}));
        assert_eq!(said, [verdict], "{name}");
    }
}

#[test]
fn taint_toleration_filters() {
    const NO: &str = "node(s) had untolerated taint(s) (for good)";
    let taint = |effect: &str| json!([{"key": "k", "value": "v", "effect": effect}]);
    for (name, taints, tolerations, verdict) in [
        ("no taint", json!([]), json!([]), ""),
        ("NoSchedule", taint("NoSchedule"), json!([]), NO),
        ("NoExecute", taint("NoExecute"), json!([]), NO),
        ("PreferNoSchedule rules out nobody", taint("PreferNoSchedule"), json!([]), ""),
        ("tolerated by value", taint("NoSchedule"), json!([{"key": "k", "operator": "Equal", "value": "v"}]), ""),
        ("another value", taint("NoSchedule"), json!([{"key": "k", "operator": "Equal", "value": "w"}]), NO),
        ("tolerated whatever the value", taint("NoSchedule"), json!([{"key": "k", "operator": "Exists"}]), ""),
        ("another effect", taint("NoExecute"), json!([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}]), NO),
    ] {
        let mut world = World::new(&[("n", json!({"spec": {"taints": taints}}))]);
        assert_eq!(world.filter(Plugin::TaintToleration, &json!({}), &json!({"tolerations": tolerations})), [verdict], "{name}");
    }
}

#[test]
fn taint_toleration_scores() {
    let soft = |keys: &[&str]| {
        let taints: Vec<Value> = keys.iter().map(|key| json!({"key": key, "effect": "PreferNoSchedule"})).collect();
        json!({"spec": {"taints": taints}})
    };
    let mut world = World::new(&[("a", soft(&[])), ("b", soft(&["x"])), ("c", soft(&["x", "y"]))]);
    for (name, tolerations, raw, normalized) in [
        ("fewer are better", json!([]), [0, 1, 2], [100, 50, 0]),
        ("those tolerated do not count", json!([{"key": "x", "operator": "Exists"}]), [0, 0, 1], [100, 100, 0]),
        ("all tolerated", json!([{"operator": "Exists"}]), [0, 0, 0], [100, 100, 100]),
    ] {
        let scores = world.score("TaintToleration", &json!({}), &json!({"tolerations": tolerations}));
        assert_eq!(scores, (raw.to_vec(), normalized.to_vec()), "{name}");
    }
}

#[test]
fn node_affinity_filters() {
    const NO: &str = "node(s) didn't match Pod's node affinity/selector (for good)";
    let required = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    let expression = |operator: &str, values: Value| {
        required(json!([{"matchExpressions": [{"key": "n", "operator": operator, "values": values}]}]))
    };
    for (name, spec, verdict) in [
        ("nothing wanted", json!({}), ""),
        ("a label", json!({"nodeSelector": {"n": "5"}}), ""),
        ("another value", json!({"nodeSelector": {"n": "6"}}), NO),
        ("all labels", json!({"nodeSelector": {"n": "5", "m": "1"}}), NO),
        ("In", expression("In", json!(["4", "5"])), ""),
        ("NotIn", expression("NotIn", json!(["5"])), NO),
        ("Exists", expression("Exists", json!([])), ""),
        ("DoesNotExist", expression("DoesNotExist", json!([])), NO),
        ("Gt", expression("Gt", json!(["4"])), ""),
        ("Lt", expression("Lt", json!(["5"])), NO),
        (
            "one term is enough",
            required(
                json!([{"matchExpressions": [{"key": "x", "operator": "Exists"}]}, {"matchExpressions": [{"key": "n", "operator": "Exists"}]}]),
            ),
            "",
        ),
        ("no term matches nothing", required(json!([])), NO),
        ("an empty term matches nothing", required(json!([{}])), NO),
        ("by name", required(json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node"]}]}])), ""),
    ] {
        let mut world = World::new(&[("node", json!({"labels": {"n": "5"}}))]);
        assert_eq!(world.filter(Plugin::NodeAffinity, &json!({}), &spec), [verdict], "{name}");
    }
}

#[test]
fn node_affinity_of_the_configuration() {
    let term = |key: &str| json!({"matchExpressions": [{"key": key, "operator": "Exists"}]});
    let profile = json!([{"pluginConfig": [{"name": "NodeAffinity", "args": {"addedAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term("in")]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": term("good")}],
    }}}]}]);
    let mut world = World::with(
        profile,
        &[("a", json!({"labels": {"in": "", "good": ""}})), ("b", json!({"labels": {"in": ""}})), ("c", json!({}))],
    );
    let said = world.filter(Plugin::NodeAffinity, &json!({}), &json!({}));
    assert_eq!(said, ["", "", "node(s) didn't match scheduler-enforced node affinity (for good)"]);
    assert_eq!(world.score("NodeAffinity", &json!({}), &json!({})), (vec![5, 0, 0], vec![100, 0, 0]));
}

#[test]
fn node_ports() {
    const TAKEN: &str = "node(s) didn't have free ports for the requested pod ports";
    let port = |protocol: &str, ip: &str, port: u16| json!({"containers": [{"ports": [{"containerPort": 1, "hostPort": port, "hostIP": ip, "protocol": protocol}]}]});
    for (name, spec, verdict) in [
        ("the same", port("TCP", "127.0.0.1", 80), TAKEN),
        ("another number", port("TCP", "127.0.0.1", 81), ""),
        ("another protocol", port("UDP", "127.0.0.1", 80), ""),
        ("another address", port("TCP", "127.0.0.2", 80), ""),
        ("all addresses", port("TCP", "0.0.0.0", 80), TAKEN),
        ("no address is all", port("TCP", "", 80), TAKEN),
        (
            "on the node's network the port itself counts",
            json!({"hostNetwork": true, "containers": [{"ports": [{"containerPort": 80}]}]}),
            TAKEN,
        ),
        (
            "of a sidecar",
            json!({"initContainers": [{"restartPolicy": "Always", "ports": [{"containerPort": 1, "hostPort": 80}]}]}),
            TAKEN,
        ),
        (
            "an init container that ends has none",
            json!({"initContainers": [{"ports": [{"containerPort": 1, "hostPort": 80}]}]}),
            "",
        ),
    ] {
        let mut world = World::new(&[("n", json!({}))]).runs("n", json!({}), port("TCP", "127.0.0.1", 80));
        assert_eq!(world.filter(Plugin::NodePorts, &json!({}), &spec), [verdict], "{name}");
    }
}

#[test]
fn image_locality() {
    const MB: i64 = 1024 * 1024;
    let image = |name: &str, megabytes: i64| json!({"names": [name], "sizeBytes": megabytes * MB});
    let nodes = [
        ("a", json!({"images": [image("app:1", 500), image("tool:latest", 20)]})),
        ("b", json!({"images": [image("app:1", 500)]})),
        ("c", json!({})),
        ("d", json!({})),
    ];
    let container = |image: &str| json!({"containers": [{"image": image}]});
    for (name, spec, scores) in [
        // 500 MB on half of the nodes count as 250 of what is between 23 and 1000.
        ("scaled by how many nodes have it", container("app:1"), [23, 23, 0, 0]),
        ("too small to matter", container("tool"), [0, 0, 0, 0]),
        ("not there", container("app:2"), [0, 0, 0, 0]),
        ("shared among containers", json!({"containers": [{"image": "app:1"}, {"image": "x"}]}), [11, 11, 0, 0]),
        (
            "init containers count",
            json!({"initContainers": [{"image": "app:1"}], "containers": [{"image": "x"}]}),
            [11, 11, 0, 0],
        ),
    ] {
        let mut world = World::new(&nodes);
        assert_eq!(world.score("ImageLocality", &json!({}), &spec).1, scores, "{name}");
    }
}
