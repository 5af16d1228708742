//! What is measured, printed as one table: wasm beside native, within one run on one machine. Nothing here decides a test.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::replay::Server;
use crate::shell::{self, cargo, output};

/// One line of the table.
struct Row {
    what: String,
    wasm: String,
    native: String,
    aim: &'static str,
}

/// `cargo xtask bench`: builds everything, then measures.
pub fn run(_rows: &[String]) -> Result<()> {
    let dist = crate::dist::build()?;
    crate::shell::run(&mut cargo(["build", "--quiet", "--release", "-p", "wasmkube", "--examples"]))?;
    let mut rows = Vec::new();
    for row in api_rows()? {
        rows.push(row);
    }
    let mut add = |what: &str, wasm: String, native: String, aim| rows.push(Row { what: what.to_owned(), wasm, native, aim });
    let (wasm, native) = (first_start("wasm")?, first_start("native")?);
    add("first start to a Ready node", wasm.0, native.0, "< 1 s");
    add("idle memory, control plane and node agent", wasm.1, native.1, "< 150 MiB");
    let starts =
        output(Command::new(shell::target().join("release/examples/container-start")).arg("200").env("WASMKUBE_HOME", &dist))?;
    for line in starts.lines().filter(|line| line.contains(" p50 ")) {
        let (what, figures) = line.split_once(" p50 ").unwrap_or((line, ""));
        let what = what.trim();
        let aim = if what.contains("container") { "p50 < 10 ms" } else { "" };
        add(&format!("start: {what}"), format!("p50 {}", figures.trim()), String::new(), aim);
    }
    let pods = output(&mut cargo(["run", "--quiet", "--release", "-p", "wasmkube-cluster", "--example", "many_pods"]))?;
    let alone = output(&mut cargo(["run", "--quiet", "--release", "-p", "wasmkube-scheduler", "--example", "alone"]))?;
    let size = compressed_core(&dist.join("web"))?;
    add("core for the browser, brotli", format!("{:.2} MiB", size as f64 / 1_048_576.0), String::new(), "< 1.2 MiB");
    for (what, took, aim) in browser(&dist)? {
        add(&what, took, String::new(), aim);
    }
    print(&rows);
    println!(
        "\nOne step after another in one thread, natively (`cargo run --release -p wasmkube-cluster --example many_pods`):\n{pods}"
    );
    println!(
        "\nThe scheduler's algorithm alone (aim: 5,000 pods/s at 5,000 nodes, less than 2 times the cost of 1,000 nodes):\n{alone}"
    );
    Ok(())
}

fn print(rows: &[Row]) {
    let what = rows.iter().map(|r| r.what.chars().count()).max().unwrap_or(0);
    println!("\n{:<what$}  {:>38}  {:>10}  {:>12}", "", "wasm", "native", "aim");
    for row in rows {
        println!("{:<what$}  {:>38}  {:>10}  {:>12}", row.what, row.wasm, row.native, row.aim);
    }
}

/// One figure of the load generator: which run, where in its answer, how to say it, and what is wanted.
type Figure = (&'static str, &'static str, fn(f64) -> String, &'static str, &'static str);

/// The API under load, over TLS, with the journal on disk.
const FIGURES: [Figure; 21] = [
    ("requests", "/creates/per_second", whole, "ConfigMap creates/s, 64 clients", ">= 3,000"),
    ("requests", "/creates/p99_us", in_ms, "  p99 latency", ""),
    ("requests", "/creates/cpu_us", in_us, "  server CPU per create", "< 150 us"),
    ("requests", "/gets/per_second", whole, "ConfigMap gets/s, 64 clients", ">= 8,000"),
    ("requests", "/gets/p99_us", in_ms, "  p99 latency", ""),
    ("requests", "/gets/cpu_us", in_us, "  server CPU per get", "< 60 us"),
    ("list", "/cpu_ms", ms, "LIST of 5,000 ConfigMaps, server CPU", "< 8 ms"),
    ("list", "/bytes", mb, "  bytes", "4.8 MB"),
    ("watches", "/events_per_second", whole, "events/s to 100 watchers, 16 writers", ">= 300,000"),
    ("watches", "/writes_per_second", whole, "  writes/s", ""),
    ("watches", "/lost", whole, "  events lost", "0"),
    ("growth", "/1000/create_p50_us", in_us, "create among 1,000 objects, p50", ""),
    ("growth", "/100000/create_p50_us", in_us, "create among 100,000 objects, p50", "< 1.3 times"),
    ("growth", "/1000/get_p50_us", in_us, "get among 1,000 objects, p50", ""),
    ("growth", "/100000/get_p50_us", in_us, "get among 100,000 objects, p50", "< 1.3 times"),
    ("growth", "/resident_mib", mib, "memory with 100,000 objects", "< 600 MiB"),
    ("scheduling", "/pods_per_second", whole, "5,000 pods made and bound, 1,000 nodes, pods/s", ">= 4,000"),
    ("scheduling", "/cpu_us", in_us, "  server CPU per pod", ""),
    ("deployment=10000", "/seconds", seconds, "Deployment of 10,000 pods running, 1,000 nodes", "< 5 s"),
    ("deployment=10000", "/cpu_us", in_us, "  server CPU per pod", ""),
    ("deployment=10000", "/resident_mib", mib, "  memory", ""),
];

fn whole(n: f64) -> String {
    format!("{n:.0}")
}

fn in_us(us: f64) -> String {
    format!("{us:.0} us")
}

fn in_ms(us: f64) -> String {
    format!("{:.1} ms", us / 1000.0)
}

fn ms(ms: f64) -> String {
    format!("{ms:.1} ms")
}

fn mb(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

fn mib(mib: f64) -> String {
    format!("{mib:.0} MiB")
}

/// Each run of the load generator against a server of its own, with either engine.
fn api_rows() -> Result<Vec<Row>> {
    let mut answers: BTreeMap<(&str, &str), Value> = BTreeMap::new();
    for what in ["requests", "list", "watches", "growth", "scheduling", "deployment=10000"] {
        for engine in ["wasm", "native"] {
            answers.insert((what, engine), load(what, engine)?);
        }
    }
    let say = |(run, pointer, form, ..): &Figure, engine: &str| {
        let number = answers.get(&(*run, engine)).and_then(|answer| answer.pointer(pointer)).and_then(Value::as_f64);
        number.map_or_else(|| "?".to_owned(), form)
    };
    let row = |f: &Figure| Row { what: f.3.to_owned(), wasm: say(f, "wasm"), native: say(f, "native"), aim: f.4 };
    Ok(FIGURES.iter().map(row).collect())
}

/// One run of the load generator against a control plane without nodes of this machine, and for Deployments with simulated ones.
fn load(what: &str, engine: &str) -> Result<Value> {
    let nodes = if what.starts_with("deployment") { "1000" } else { "0" };
    let server = Server::start_with(&["--control-plane-only", "--engine", engine, "--simulated-nodes", nodes])?;
    let load = shell::target().join("release/examples/load");
    let text = output(Command::new(load).arg(server.data.join("kubeconfig")).args([&server.pid().to_string(), what]))?;
    serde_json::from_str(text.trim()).context("the load generator printed no JSON")
}

/// How long a new cluster takes to have a Ready node, by its own word, and what it weighs when nothing happens.
fn first_start(engine: &str) -> Result<(String, String)> {
    let log = std::env::temp_dir().join(format!("wasmkube-bench-{}.log", std::process::id()));
    let server = Server::start_logged(&["--engine", engine], Some(&log))?;
    let ready = |text: &str| {
        let line = text.lines().find(|line| line.contains("ready after"))?;
        Some(line.split("after").nth(1)?.trim().to_owned())
    };
    let mut took = None;
    for _ in 0..600 {
        took = std::fs::read_to_string(&log).ok().and_then(|text| ready(&text));
        if took.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(5));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    let _ = std::fs::remove_file(&log);
    Ok((took.unwrap_or_else(|| "never".to_owned()), kib.map_or_else(|| "?".to_owned(), |kib| format!("{:.0} MiB", kib / 1024.0))))
}

/// The size of the largest compressed file whose name is core's.
fn compressed_core(web: &Path) -> Result<u64> {
    let mut size = 0;
    let mut directories = vec![web.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| format!("{}", directory.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else if entry.file_name() == "core.wasm.br" {
                size = size.max(entry.metadata()?.len());
            }
        }
    }
    Ok(size)
}

/// What the browser tests print of time: first paint, first answer, a thousand pods.
fn browser(dist: &Path) -> Result<Vec<(String, String, &'static str)>> {
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=spec"]).args(["tests/browser/api.test.mjs", "tests/browser/page.test.mjs"]);
    command.current_dir(shell::root()).env("PAGE_DIR", dist.join("web")).stderr(Stdio::null());
    let text = String::from_utf8_lossy(&command.output().context("cannot start node")?.stdout).into_owned();
    let mut rows = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some((what, took)) = line.split_once(" ready after ") {
            rows.push((format!("in the tab: {what} ready"), took.to_owned(), "< 2 s"));
        }
        if line.starts_with("first paint after") {
            for part in line.split(", ") {
                if let Some((what, took)) = part.split_once(" after ") {
                    rows.push((format!("page: {what}"), took.to_owned(), "< 1 s"));
                }
            }
        }
    }
    Ok(rows)
}
