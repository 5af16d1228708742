//! InterPodAffinity.

use object::{Value, json};

use super::World;
use crate::plugins::Plugin;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NOT_NEAR: &str = "node(s) didn't match pod affinity rules (for good)";
const TOO_NEAR: &str = "node(s) didn't match pod anti-affinity rules";
const UNWELCOME: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

/// Nodes `a` and `b` in zone `x`, `c` in zone `y`, `d` in none.
fn zones() -> World {
    let zone = |zone: &str| json!({"labels": {"zone": zone}});
    World::new(&[("a", zone("x")), ("b", zone("x")), ("c", zone("y")), ("d", json!({}))])
}

fn term(app: &str, key: &str) -> Value {
    json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key})
}

fn required(rule: &str, terms: Value) -> Value {
    json!({"affinity": {rule: {REQUIRED: terms}}})
}

fn preferred(rule: &str, weight: i64, term: Value) -> Value {
    json!({"affinity": {rule: {PREFERRED: [{"weight": weight, "podAffinityTerm": term}]}}})
}

#[test]
fn filters() {
    let near = |terms: Value| required("podAffinity", terms);
    let away = |terms: Value| required("podAntiAffinity", terms);
    let db = || json!({"app": "db"});
    let with = |mut term: Value, more: Value| {
        term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([term])
    };
    for (name, labels, spec, verdicts) in [
        ("near, in a zone", json!({}), near(json!([term("db", "zone")])), ["", "", NOT_NEAR, NOT_NEAR]),
        ("near, on a node", json!({}), near(json!([term("db", "kubernetes.io/hostname")])), ["", NOT_NEAR, NOT_NEAR, NOT_NEAR]),
        ("near nobody", json!({}), near(json!([term("none", "zone")])), [NOT_NEAR; 4]),
        (
            "near its own kind, of which it is the first",
            json!({"app": "new"}),
            near(json!([term("new", "zone")])),
            ["", "", "", NOT_NEAR],
        ),
        ("all terms must hold of one pod", json!({}), near(json!([term("db", "zone"), term("web", "zone")])), [NOT_NEAR; 4]),
        ("away, in a zone", json!({}), away(json!([term("db", "zone")])), [TOO_NEAR, TOO_NEAR, "", ""]),
        ("away from its own kind", db(), away(json!([term("db", "kubernetes.io/hostname")])), [TOO_NEAR, "", "", ""]),
        ("who runs there may not want it", json!({"app": "loud"}), json!({}), ["", "", UNWELCOME, ""]),
        (
            "in a namespace by name",
            json!({}),
            near(with(term("web", "zone"), json!({"namespaces": ["other"]}))),
            [NOT_NEAR, NOT_NEAR, "", NOT_NEAR],
        ),
        ("not in its own then", json!({}), near(with(term("db", "zone"), json!({"namespaces": ["other"]}))), [NOT_NEAR; 4]),
        (
            "in namespaces by label",
            json!({}),
            near(with(term("web", "zone"), json!({"namespaceSelector": {"matchLabels": {"team": "t"}}}))),
            [NOT_NEAR, NOT_NEAR, "", NOT_NEAR],
        ),
        (
            "in all namespaces",
            json!({}),
            near(with(term("web", "zone"), json!({"namespaceSelector": {}}))),
            [NOT_NEAR, NOT_NEAR, "", NOT_NEAR],
        ),
        (
            "of its own version",
            json!({"version": "1"}),
            near(with(term("db", "zone"), json!({"matchLabelKeys": ["version"]}))),
            ["", "", NOT_NEAR, NOT_NEAR],
        ),
        (
            "of another version",
            json!({"version": "1"}),
            near(with(term("db", "zone"), json!({"mismatchLabelKeys": ["version"]}))),
            [NOT_NEAR; 4],
        ),
    ] {
        let shy = away(json!([term("loud", "kubernetes.io/hostname")]));
        let mut world = zones()
            .namespace("default", json!({}))
            .namespace("other", json!({"team": "t"}))
            .runs("a", json!({"app": "db", "version": "1"}), json!({}))
            .runs("c", json!({"app": "web", "namespace": "other"}), json!({}))
            .runs("c", json!({"app": "shy"}), shy);
        assert_eq!(world.filter(Plugin::InterPodAffinity, &labels, &spec), verdicts, "{name}");
    }
}

#[test]
fn scores() {
    for (name, hard_weight, labels, spec, raw, normalized) in [
        (
            "would like to be near",
            1,
            json!({}),
            preferred("podAffinity", 10, term("db", "zone")),
            vec![10, 10, 0, 0],
            vec![100, 100, 0, 0],
        ),
        (
            "would rather not",
            1,
            json!({}),
            preferred("podAntiAffinity", 10, term("db", "zone")),
            vec![-10, -10, 0, 0],
            vec![0, 0, 100, 100],
        ),
        ("those there would like it", 1, json!({"app": "liked"}), json!({}), vec![0, 0, 7, 0], vec![0, 0, 100, 0]),
        ("those there need it", 3, json!({"app": "needed"}), json!({}), vec![3, 3, 0, 0], vec![100, 100, 0, 0]),
        ("which counts for nothing", 0, json!({"app": "needed"}), json!({}), vec![], vec![]),
        ("nobody cares", 1, json!({}), json!({}), vec![], vec![]),
    ] {
        let profiles = json!([{"pluginConfig": [{"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": hard_weight}}]}]);
        let zone = |zone: &str| json!({"labels": {"zone": zone}});
        let mut world = World::with(profiles, &[("a", zone("x")), ("b", zone("x")), ("c", zone("y")), ("d", json!({}))])
            .runs("a", json!({"app": "db"}), required("podAffinity", json!([term("needed", "zone")])))
            .runs("c", json!({"app": "fan"}), preferred("podAffinity", 7, term("liked", "kubernetes.io/hostname")));
        assert_eq!(world.score("InterPodAffinity", &labels, &spec), (raw, normalized), "{name}");
    }
}
