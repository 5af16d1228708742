//! `cargo xtask …`: the one entry for building, running, testing and measuring. CI calls nothing else.
//!
//! Each command is a module; this file only chooses. Start reading at [`dist`], which assembles what the others run.

mod bench;
mod dist;
mod lint;
mod replay;
mod shell;
mod simulate;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND [ARGUMENTS]

  up [ARGUMENTS]      build everything that is missing and start a one-node cluster; arguments go to `wasmkube up`
                      (--data-dir D, --port P, --web-port P, --simulated-nodes N, --control-plane-only, --engine wasm|native)
  build               build everything into target/dist
  web [--dev]         build only the playground, into target/dist/web; with --dev quick and large
  test [--only STEP]  every check, in the order below; STEP is one of:
                      tidy, fmt, clippy, core, core-wasm, simulate, build, host, e2e, browser, replay
  lint                tidy, fmt and clippy
  replay [AREA…]      hold the recorded conversations beside this checkout (../shared/replay) against a fresh server
  simulate            whole clusters under faults, in virtual time; fails with a seed and a minimised trace
                      (--seeds N, --from S, --seed S, --seconds T, --faults a,b|none, --break NAME, --replay FILE, --out FILE,
                      --tell, --keep-going)
  bench [ROW…]        measure, and print one table
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = match command.as_str() {
        "up" => dist::up(&rest),
        "build" => dist::build().map(drop),
        "web" => web::command(&rest),
        "test" => test::run(&rest),
        "lint" => lint::run(),
        "replay" => replay::run(&rest),
        "bench" => bench::run(&rest),
        "simulate" => simulate::run(&rest),
        _ => {
            eprint!("{HELP}");
            return if matches!(command.as_str(), "help" | "--help" | "-h") { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
