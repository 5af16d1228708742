//! The simulator itself: what it has found stays fixed, and what is deliberately wrong is found.

use wasmkube_cluster::simulation::{FAULTS, SABOTAGES, Script, Simulator, generate};

/// Reads a script out of a failure's file.
fn script(text: &str) -> Script {
    let trace: object::Value = serde_json::from_str(text).expect("a trace is JSON");
    serde_json::from_value(trace["script"].clone()).expect("a trace holds a script")
}

#[test]
fn what_was_found_stays_fixed() {
    let simulator = Simulator::default();
    for (name, text) in TRACES {
        let outcome = simulator.run(&script(text));
        assert_eq!(outcome.violation, None, "{name}");
    }
}

/// Failures that were found, minimised; each has been fixed.
const TRACES: &[(&str, &str)] = &[
    ("a bookmark before events of its own step", include_str!("../traces/bookmark-before-events.json")),
    ("a DaemonSet with surge that is rolled twice", include_str!("../traces/a-daemon-set-rolled-twice.json")),
    ("a pod deleted while its image is on its way", include_str!("../traces/deleted-while-pulling.json")),
    ("a Service whose name had slices before", include_str!("../traces/orphaned-slices.json")),
    ("a StatefulSet that finds the revisions of one before it", include_str!("../traces/an-orphaned-revision.json")),
];

#[test]
fn what_is_deliberately_wrong_is_found() {
    for (name, sabotage) in SABOTAGES {
        let mut simulator = Simulator::new(false);
        simulator.sabotage = Some(sabotage);
        let found = (0..40).find_map(|seed| simulator.run(&generate(seed, &FAULTS)).violation.map(|v| (seed, v.invariant)));
        let wanted: &[&str] = match name {
            "forgetful-journal" => &["no-answered-write-lost"],
            "swallowed-events" => &["watches-equal-lists"],
            "lying-node" => &["one-pod-per-identity-runs", "nodes-run-what-is-bound"],
            _ => &["a-pod-fits-where-it-is-bound"],
        };
        let (seed, invariant) = found.unwrap_or_default();
        assert!(wanted.contains(&invariant.as_str()), "{name}: seed {seed} violates {invariant:?}");
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let simulator = Simulator::new(true);
    let script = generate(3, &FAULTS);
    let (first, second) = (simulator.run(&script), simulator.run(&script));
    assert_eq!(first.story, second.story);
    assert!(!first.story.is_empty());
}
