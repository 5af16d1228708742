//! The control plane as a component: what it asks for, and that it behaves as core does natively.
//!
//! These need the built component in `$WASMKUBE_HOME`, where `cargo xtask test` puts it; without it they say so and pass.

use anyhow::{Context as _, Result};
use cluster::{Config, Input, Request, StepInput};
use object::Time;
use wasmkube::engine::{Engine, native::Native, wasm};
use wasmkube::install::Install;

/// All that the component may import: what printing takes, and the seed of hash maps (a constant here).
const ALLOWED: [&str; 14] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
];

fn component() -> Result<Option<wasm::Loaded>> {
    let install = Install::find()?;
    if std::env::var_os("WASMKUBE_HOME").is_none() || !install.control_plane_precompiled().is_file() {
        eprintln!("no control plane in $WASMKUBE_HOME: skipped");
        return Ok(None);
    }
    wasm::load(&install).map(Some)
}

#[test]
fn it_imports_nothing_but_what_printing_takes() -> Result<()> {
    let Some(component) = component()? else { return Ok(()) };
    for import in component.imports() {
        let name = import.split('@').next().unwrap_or_default();
        assert!(ALLOWED.contains(&name), "the control plane asks for {import}");
    }
    Ok(())
}

#[test]
fn it_answers_as_core_does_natively() -> Result<()> {
    let Some(component) = component()? else { return Ok(()) };
    let mut engines: [Box<dyn Engine>; 2] = [Box::new(component.instantiate()?), Box::<Native>::default()];
    let request = |stream, method: &str, target: &str, body: &'static str| {
        Input::Request(Request {
            stream,
            method: method.into(),
            target: target.into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: bytes::Bytes::from_static(body.as_bytes()),
            certificate: Some(cluster::wire::ClientCertificate {
                common_name: "admin".into(),
                organizations: vec!["system:masters".into()],
            }),
            peer: String::new(),
        })
    };
    let maps = "/api/v1/namespaces/default/configmaps";
    let script = [
        vec![
            Input::Configure(Box::new(Config { seed: 7, simulated_nodes: 1, ..Config::default() })),
            Input::Start { revision: 0 },
        ],
        vec![request(1, "GET", "/version", ""), request(2, "GET", &format!("{maps}?watch=1"), "")],
        vec![request(3, "POST", maps, r#"{"metadata":{"generateName":"a-"},"data":{"k":"v"}}"#), Input::Closed(2)],
        vec![request(4, "GET", "/api/v1/pods?limit=-1", ""), request(5, "PUT", "/nowhere", "{")],
        vec![],
    ];
    for (n, inputs) in (0u64..).zip(script) {
        let input = StepInput { now: Time::from_secs(1_760_000_000 + n), inputs };
        let [wasm, native] = &mut engines;
        let (wasm, native) = (wasm.step(input.clone())?, native.step(input)?);
        assert_eq!(wasm, native, "step {n}");
    }
    Ok(())
}

/// The recorded minute of a cluster that the browser replays too: the same bytes come out here, natively and there.
#[test]
fn the_demo_trace_gives_the_bytes_that_native_core_gives() -> Result<()> {
    let Some(component) = component()? else { return Ok(()) };
    let mut engine = component.instantiate()?;
    let trace = cluster::trace::demo_trace();
    let mut out = Vec::new();
    for step in &trace {
        let bytes = engine.call(&cluster::wire::encode(step))?;
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(&bytes);
    }
    let native = cluster::trace::run(&trace);
    assert_eq!(cluster::trace::digest(&out), cluster::trace::digest(&native));
    assert!(out == native, "equal digests of different bytes");
    println!("{} steps, {} bytes, digest {}", trace.len(), out.len(), cluster::trace::digest(&out));
    Ok(())
}

#[test]
fn a_trap_is_an_error() -> Result<()> {
    let Some(component) = component()? else { return Ok(()) };
    let mut engine = component.instantiate()?;
    let trapped = engine.call(b"no StepInput").err().context("it took nonsense")?;
    assert!(format!("{trapped:#}").contains("trapped"), "{trapped:#}");
    Ok(())
}
