//! Equal inputs give equal outputs.

use object::value::str_at;
use wasmkube_cluster::wire::{Output, StepInput, StepOutput, decode, encode};
use wasmkube_cluster::{Config, driver::Driver, trace};

/// The steps' outputs out of [`trace::run`]'s bytes.
fn outputs(mut bytes: &[u8]) -> Vec<StepOutput> {
    let mut out = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let (step, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
        out.push(decode(step).expect("our own encoding"));
        bytes = rest;
    }
    out
}

#[test]
fn the_demo_trace_twice_gives_the_same_bytes() {
    let trace = trace::demo_trace();
    let (first, second) = (trace::run(&trace), trace::run(&trace));
    assert_eq!(trace::digest(&first), trace::digest(&second));
    assert!(first == second);
}

#[test]
fn the_demo_trace_shows_what_it_says() {
    let outputs = outputs(&trace::run(&trace::demo_trace()));
    let all: Vec<&Output> = outputs.iter().flat_map(|step| &step.outputs).collect();
    let text: String = all
        .iter()
        .filter_map(|output| match output {
            Output::Journal(wasmkube_cluster::Record::Put { value, .. }) => Some(String::from_utf8_lossy(value)),
            _ => None,
        })
        .collect();
    for word in ["ScalingReplicaSet", "Back-off restarting failed container", "Insufficient cpu", "ImagePullBackOff", "Killing"] {
        assert!(text.contains(word), "{word}");
    }
    let codes: Vec<u16> =
        all.iter().filter_map(|o| if let Output::Respond { status, .. } = o { Some(*status) } else { None }).collect();
    for code in [200, 201, 404, 409, 422] {
        assert!(codes.contains(&code), "{code} in {codes:?}");
    }
    assert!(all.iter().any(|o| matches!(o, Output::Data { .. })), "the watches saw something");
}

#[test]
fn a_recorded_trace_replays() {
    let mut driver = Driver::start(Config { simulated_nodes: 1, ..Config::default() });
    driver.record();
    driver.settle(3_000);
    let node = driver.get("/api/v1/nodes/sim-0001");
    assert_eq!(str_at(&node, &["metadata", "name"]), "sim-0001");
    let recorded = driver.take_trace();
    let bytes = encode(&recorded);
    assert_eq!(decode::<Vec<StepInput>>(&bytes).expect("our own encoding"), recorded);
}

#[test]
fn another_seed_gives_another_history() {
    let mut trace = trace::demo_trace();
    let first = trace::run(&trace);
    if let Some(wasmkube_cluster::Input::Configure(config)) = trace.first_mut().and_then(|s| s.inputs.first_mut()) {
        config.seed = 43;
    }
    assert!(first != trace::run(&trace));
}
