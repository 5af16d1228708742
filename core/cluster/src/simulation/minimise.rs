//! Finds a small script that still fails as a large one does: delta debugging over its steps.

use super::script::Script;
use super::{Outcome, Simulator};

/// A script with as few steps as `attempts` runs could find, which violates the same invariant; and how it fails.
pub fn minimise(simulator: &Simulator, script: &Script, outcome: Outcome, attempts: u32) -> (Script, Outcome) {
    let Some(violation) = &outcome.violation else { return (script.clone(), outcome) };
    let name = violation.invariant.clone();
    let (mut best, mut how) = (script.clone(), outcome);
    let mut left = attempts;
    let mut parts = 2usize;
    while left > 0 && !best.steps.is_empty() && parts <= best.steps.len().max(2) {
        let size = best.steps.len().div_ceil(parts);
        let mut smaller = false;
        for part in (0..parts).rev() {
            let (from, to) = (part * size, ((part + 1) * size).min(best.steps.len()));
            if from >= to || left == 0 {
                continue;
            }
            let mut candidate = best.clone();
            candidate.steps.drain(from..to);
            left -= 1;
            if let Some(outcome) = fails(simulator, &candidate, &name) {
                (best, how) = (candidate, outcome);
                smaller = true;
                break;
            }
        }
        if smaller {
            parts = (parts - 1).max(2);
        } else if size <= 1 {
            break;
        } else {
            parts = (parts * 2).min(best.steps.len());
        }
    }
    while best.nodes > 1 && left > 0 {
        left -= 1;
        let candidate = Script { nodes: best.nodes - 1, ..best.clone() };
        let Some(outcome) = fails(simulator, &candidate, &name) else { break };
        (best, how) = (candidate, outcome);
    }
    (best, how)
}

fn fails(simulator: &Simulator, script: &Script, name: &str) -> Option<Outcome> {
    let outcome = simulator.run(script);
    outcome.violation.as_ref().is_some_and(|v| v.invariant == name).then_some(outcome)
}
