//! The process of one container: reads its description, joins its cgroup, gives up everything it does not need, and runs
//! one precompiled WASI component.
//!
//! A WASI program knows no signals, so SIGTERM ends it as it ends a program without a handler: with exit code 143. It has
//! a session of its own and outlives the node agent, which finds it again by its state files.

mod program {
    pub mod limits;
    pub mod output;
    pub mod run;
    pub mod sandbox;
    pub mod signal;
    pub mod sockets;
    pub mod syscalls;
}

fn main() {
    std::process::exit(program::run::main());
}
