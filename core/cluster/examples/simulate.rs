//! Plays seeds of the simulator: `cargo xtask simulate` builds and starts this.
//!
//! `simulate [--seeds N] [--from S | --seed S] [--faults a,b | none] [--seconds T] [--break NAME] [--replay FILE] [--out FILE] [--tell]`

use std::collections::BTreeMap;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
#[allow(clippy::disallowed_types)]
use std::time::Instant;

use wasmkube_cluster::simulation::{FAULTS, Outcome, SABOTAGES, Script, Simulator, Violation, generate, invariants, minimise};

/// A simulated cluster makes and drops little trees without end; with this it does so a quarter faster.
#[cfg(not(target_family = "wasm"))]
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs that minimising may take.
const MINIMISING_RUNS: u32 = 300;

struct Options {
    seeds: u64,
    from: u64,
    seconds: u64,
    faults: Vec<String>,
    sabotage: String,
    replay: String,
    out: String,
    tell: bool,
    keep_going: bool,
}

/// A failure as it is kept in a file.
#[derive(serde::Serialize, serde::Deserialize)]
struct Trace {
    /// What was violated when it was found.
    violation: Violation,
    script: Script,
}

fn parse() -> Result<Options, String> {
    let mut options = Options {
        seeds: 100,
        from: 0,
        seconds: u64::MAX,
        faults: FAULTS.iter().map(|f| (*f).to_owned()).collect(),
        sabotage: String::new(),
        replay: String::new(),
        out: "simulation-trace.json".to_owned(),
        tell: false,
        keep_going: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        if flag == "--tell" {
            options.tell = true;
            continue;
        }
        if flag == "--keep-going" {
            options.keep_going = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{flag} needs a number"));
        match flag.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--seed" => (options.from, options.seeds) = (number()?, 1),
            "--seconds" => options.seconds = number()?,
            "--faults" => options.faults = value.split(',').filter(|f| *f != "none").map(str::to_owned).collect(),
            "--break" => options.sabotage = value,
            "--replay" => options.replay = value,
            "--out" => options.out = value,
            _ => return Err(format!("{flag} is no option")),
        }
    }
    if let Some(unknown) = options.faults.iter().find(|f| !FAULTS.contains(&f.as_str())) {
        return Err(format!("{unknown} is no fault; there are {}", FAULTS.join(", ")));
    }
    Ok(options)
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    steps: u64,
    revisions: u64,
    millis: u64,
    operations: [u64; 3],
    faults: BTreeMap<&'static str, u64>,
    checks: Vec<u64>,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.revisions += outcome.revisions;
        self.millis += outcome.millis;
        self.operations.iter_mut().zip(outcome.operations).for_each(|(sum, n)| *sum += n);
        outcome.faults.iter().for_each(|(name, n)| *self.faults.entry(name).or_default() += n);
        self.checks.resize(outcome.checks.len().max(self.checks.len()), 0);
        self.checks.iter_mut().zip(&outcome.checks).for_each(|(sum, n)| *sum += n);
    }

    fn print(&self, took: Duration) {
        let [done, refused, given_up] = self.operations;
        let per_second = self.seeds as f64 / took.as_secs_f64().max(0.001);
        println!("seeds        {} in {:.1} s, {per_second:.1} per second", self.seeds, took.as_secs_f64());
        println!("steps        {}, {} revisions, {} s of virtual time", self.steps, self.revisions, self.millis / 1_000);
        println!("operations   {done} done, {refused} refused, {given_up} given up");
        let faults: Vec<String> = self.faults.iter().map(|(name, n)| format!("{name} {n}")).collect();
        println!("faults       {}", faults.join(", "));
        println!("invariants, and how often each was looked at:");
        for (name, n) in invariants().zip(&self.checks) {
            println!("  {name:<40} {n}");
        }
    }
}

fn main() -> ExitCode {
    match parse().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let mut simulator = Simulator::new(options.tell);
    if !options.sabotage.is_empty() {
        let known = || SABOTAGES.map(|(name, _)| name).join(", ");
        let found = SABOTAGES.iter().find(|(name, _)| *name == options.sabotage);
        simulator.sabotage = Some(found.ok_or_else(|| format!("--break knows {}", known()))?.1);
    }
    if !options.replay.is_empty() {
        return replay(&simulator, &options.replay);
    }
    let faults: Vec<&str> = options.faults.iter().map(String::as_str).collect();
    let breaks = if options.sabotage.is_empty() { String::new() } else { format!(", broken: {}", options.sabotage) };
    println!("seeds {}..{}, faults: {}{breaks}", options.from, options.from.saturating_add(options.seeds), faults.join(","));
    // Panics of the control plane are reported as violations; the message of each would only be in the way.
    if !options.tell {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let begin = now();
    let mut totals = Totals::default();
    let mut violating = Vec::new();
    play(&simulator, options, &faults, begin, |seed, mut outcome| {
        totals.add(&outcome);
        tell(&mut outcome);
        let Some(violation) = outcome.violation.clone() else { return true };
        println!("\nseed {seed} violates {}: {}", violation.invariant, violation.what);
        violating.push((seed, outcome));
        options.keep_going
    });
    violating.sort_by_key(|(seed, _)| *seed);
    let failed = violating.len();
    if let Some((seed, outcome)) = violating.into_iter().next().filter(|_| !options.keep_going) {
        shrink(&simulator, &generate(seed, &faults), outcome, &options.out)?;
    }
    println!();
    totals.print(begin.elapsed());
    println!(
        "{}",
        if failed == 0 { "no invariant was violated".to_owned() } else { format!("{failed} seeds violate an invariant") }
    );
    Ok(failed == 0)
}

/// Plays the seeds on all processors. `done` gets each outcome, in whatever order they come, and says whether to go on.
#[allow(clippy::disallowed_types)]
fn play(simulator: &Simulator, options: &Options, faults: &[&str], begin: Instant, mut done: impl FnMut(u64, Outcome) -> bool) {
    let end = options.from.saturating_add(options.seeds);
    let next = AtomicU64::new(options.from);
    // What a run tells is read in the order in which it happened.
    let players = if options.tell { 1 } else { std::thread::available_parallelism().map_or(1, NonZero::get) };
    let (send, outcomes) = std::sync::mpsc::sync_channel(players);
    std::thread::scope(|scope| {
        for _ in 0..players {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = begin.elapsed().as_secs() >= options.seconds;
                    if seed >= end || late || send.send((seed, simulator.run(&generate(seed, faults)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for (seed, outcome) in &outcomes {
            if !done(seed, outcome) {
                // Others finish what they play: one of them may be a smaller seed.
                next.store(end, Ordering::Relaxed);
            }
        }
    });
}

/// Finds what a violation takes, tells it and keeps it.
fn shrink(simulator: &Simulator, script: &Script, outcome: Outcome, out: &str) -> Result<(), String> {
    let (small, outcome) = minimise(simulator, script, outcome, MINIMISING_RUNS);
    let Some(violation) = outcome.violation else { return Ok(()) };
    let (before, after) = (script.steps.len(), small.steps.len());
    println!("minimised from {before} to {after} steps on {} nodes: {}", small.nodes, violation.what);
    let trace = Trace { violation, script: small };
    let text = serde_json::to_string_pretty(&trace).map_err(|why| why.to_string())?;
    keep(out, &text)?;
    println!("{text}\nkept in {out}; replay it with `cargo xtask simulate --replay {out}`");
    Ok(())
}

fn tell(outcome: &mut Outcome) {
    for line in outcome.story.drain(..) {
        println!("{line}");
    }
}

fn replay(simulator: &Simulator, file: &str) -> Result<bool, String> {
    let text = read(file)?;
    let trace: Trace = serde_json::from_str(&text).map_err(|why| format!("{file}: {why}"))?;
    println!(
        "seed {}, {} steps, found as a violation of {}",
        trace.script.seed,
        trace.script.steps.len(),
        trace.violation.invariant
    );
    let mut outcome = simulator.run(&trace.script);
    tell(&mut outcome);
    match outcome.violation {
        Some(violation) => {
            println!("violates {}: {}", violation.invariant, violation.what);
            Ok(false)
        }
        None => {
            println!("no invariant was violated");
            Ok(true)
        }
    }
}

// An example may look at the clock and write files; core may not.
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)]
fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|why| format!("{file}: {why}"))
}

#[allow(clippy::disallowed_methods)]
fn keep(file: &str, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|why| format!("{file}: {why}"))
}
