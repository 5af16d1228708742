//! PodTopologySpread.

use object::{Value, json};

use super::World;
use crate::plugins::Plugin;

const FULL: &str = "node(s) didn't match pod topology spread constraints";
const MISSING: &str = "node(s) didn't match pod topology spread constraints (missing required label) (for good)";

/// Nodes `a` and `b` in zone `x`, `c` in zone `y`, `d` in none; pods of the kind on `a`, `a`, `b`, `c`.
fn zones() -> World {
    let zone = |zone: &str| json!({"labels": {"zone": zone}});
    let tainted = json!({"labels": {"zone": "y"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let mut world = World::new(&[("a", zone("x")), ("b", zone("x")), ("c", tainted), ("d", json!({}))]);
    for node in ["a", "a", "b", "c"] {
        world = world.runs(node, json!({"app": "x"}), json!({}));
    }
    world.runs("c", json!({"app": "x", "namespace": "other"}), json!({}))
}

fn constraint(key: &str, more: Value) -> Value {
    let mut constraint = json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}}});
    constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"topologySpreadConstraints": [constraint]})
}

#[test]
fn filters() {
    let own = || json!({"app": "x"});
    let mut selected = constraint("kubernetes.io/hostname", json!({}));
    selected["nodeSelector"] = json!({"zone": "x"});
    let mut anywhere = constraint("kubernetes.io/hostname", json!({"nodeAffinityPolicy": "Ignore"}));
    anywhere["nodeSelector"] = json!({"zone": "x"});
    for (name, labels, spec, verdicts) in [
        ("over zones", own(), constraint("zone", json!({})), [FULL, FULL, "", MISSING]),
        ("with more skew", own(), constraint("zone", json!({"maxSkew": 3})), ["", "", "", MISSING]),
        ("one that does not count itself", json!({}), constraint("zone", json!({"maxSkew": 2})), ["", "", "", MISSING]),
        ("over nodes", own(), constraint("kubernetes.io/hostname", json!({})), [FULL, FULL, FULL, ""]),
        (
            "too few domains make the emptiest empty",
            own(),
            constraint("zone", json!({"maxSkew": 2, "minDomains": 3})),
            [FULL, FULL, "", MISSING],
        ),
        ("enough domains", own(), constraint("zone", json!({"maxSkew": 3, "minDomains": 2})), ["", "", "", MISSING]),
        ("only nodes that it wants count", own(), selected, [FULL, "", "", ""]),
        ("or all of them", own(), anywhere, [FULL, FULL, FULL, ""]),
        ("tainted nodes count", own(), constraint("zone", json!({"maxSkew": 2})), [FULL, FULL, "", MISSING]),
        ("unless they are not to", own(), constraint("zone", json!({"nodeTaintsPolicy": "Honor"})), ["", "", "", MISSING]),
        (
            "of its own version",
            json!({"app": "x", "v": "2"}),
            constraint("zone", json!({"matchLabelKeys": ["v"]})),
            ["", "", "", MISSING],
        ),
        ("a wish rules out nobody", own(), constraint("zone", json!({"whenUnsatisfiable": "ScheduleAnyway"})), ["", "", "", ""]),
    ] {
        assert_eq!(zones().filter(Plugin::PodTopologySpread, &labels, &spec), verdicts, "{name}");
    }
}

#[test]
fn scores() {
    let soft = |key: &str| constraint(key, json!({"whenUnsatisfiable": "ScheduleAnyway"}));
    for (name, spec, raw, normalized) in [
        // Two zones weigh ln(2 + 2): 3 pods are 4.2, one is 1.4.
        ("over zones", soft("zone"), [4, 4, 1, 0], [25, 25, 100, 0]),
        // Four nodes weigh ln(4 + 2).
        ("over nodes", soft("kubernetes.io/hostname"), [4, 2, 2, 0], [0, 50, 50, 100]),
    ] {
        assert_eq!(
            zones().score("PodTopologySpread", &json!({"app": "x"}), &spec),
            (raw.to_vec(), normalized.to_vec()),
            "{name}"
        );
    }
}
