//! The life of the process, in the order that matters: join the cgroup while there is one thread, open what will be needed,
//! map the code, give up the rest, run.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use wasmkube_runner::engine;
use wasmkube_runner::log::{Stream, Writer};
use wasmkube_runner::spec::{Ending, Spec};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxView, WasiView};

use super::limits::Limits;
use super::output::{Output, SharedLog};
use super::sockets::{self, PodNetwork};
use super::{sandbox, signal};

/// Exit code of a container that could not be started.
const NOT_STARTED: i32 = 128;
/// Exit code after a trap: that of a process that aborts.
const ABORTED: i32 = 128 + libc::SIGABRT;
/// Exit code of a container that needed too much memory: that of a process the kernel kills.
const KILLED: i32 = 128 + libc::SIGKILL;

/// Runs the container described on standard input and returns its exit code.
pub fn main() -> i32 {
    match prepare() {
        Ok(container) => container.run(),
        Err(error) => {
            report(&format!("failed {error:#}"));
            NOT_STARTED
        }
    }
}

/// One line to the node agent. It may be gone; then nobody needs to know.
fn report(line: &str) {
    let line = format!("{}\n", line.replace('\n', " "));
    std::io::stdout().write_all(line.as_bytes()).ok();
}

/// State that the host functions work on.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pod: PodNetwork,
    limits: Limits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl State {
    fn network(&mut self) -> sockets::View<'_> {
        let wasi = WasiSocketsCtxView { ctx: self.wasi.sockets(), table: &mut self.table };
        sockets::View::new(wasi, &mut self.pod)
    }
}

/// A container that is ready to run.
struct Container {
    component: Component,
    linker: Linker<State>,
    store: Store<State>,
    end: End,
}

fn prepare() -> Result<Container> {
    signal::block();
    // SAFETY: a plain call. It fails only for a process that already leads a group, which then has what it needs.
    unsafe { libc::setsid() };
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("cannot read the container's description")?;
    let spec: Spec = serde_json::from_slice(&text).context("not a container's description")?;
    sandbox::join_cgroups(&spec)?;
    sandbox::limit_resources(&spec);
    let log = Writer::open(&spec.log).with_context(|| format!("cannot open the log {}", spec.log.path.display()))?;
    let log: SharedLog = Arc::new(Mutex::new(log));
    let ending = File::create(&spec.ending).with_context(|| format!("cannot write {}", spec.ending.display()))?;
    let engine = Engine::new(&engine::config()).map_err(wasm)?;
    // SAFETY: the node agent writes this file, by compiling a component, into a directory that no container can write.
    let component = unsafe { Component::deserialize_file(&engine, &spec.component) }
        .map_err(wasm)
        .with_context(|| format!("cannot load {}", spec.component.display()))?;
    let state = State {
        wasi: wasi(&spec, &log)?,
        table: ResourceTable::new(),
        pod: PodNetwork::new(&spec),
        limits: Limits::new(spec.memory_limit),
    };
    let mut store = Store::new(&engine, state);
    store.limiter(|state| &mut state.limits);
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(wasm)?;
    sockets::add_to_linker(&mut linker, State::network).map_err(wasm)?;
    for note in sandbox::enter(&spec)? {
        report(&format!("note {note}"));
    }
    Ok(Container { component, linker, store, end: End { log, file: Arc::new(Mutex::new(ending)) } })
}

/// What the container sees of the world.
fn wasi(spec: &Spec, log: &SharedLog) -> Result<WasiCtx> {
    let mut wasi = WasiCtx::builder();
    wasi.args(&spec.args).envs(&spec.env).allow_blocking_current_thread(true);
    wasi.stdout(Output::new(log, Stream::Stdout)).stderr(Output::new(log, Stream::Stderr));
    if !spec.working_dir.is_empty() {
        wasi.initial_cwd(&spec.working_dir);
    }
    for mount in &spec.mounts {
        let access = if mount.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        wasi.preopened_dir(&mount.source, &mount.path, access)
            .map_err(wasm)
            .with_context(|| format!("cannot mount {} at {}", mount.source.display(), mount.path))?;
    }
    if let Some(own) = spec.address {
        wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true);
        wasi.socket_addr_check(move |address, purpose| {
            use wasmtime_wasi::sockets::SocketAddrUse as Use;
            let allowed = match purpose {
                Use::TcpBind | Use::UdpBind => address.ip() == own || (address.ip().is_unspecified() && address.port() == 0),
                Use::TcpListen => address.ip() == own,
                Use::TcpConnect | Use::UdpSend | Use::TcpAccept | Use::UdpReceive => true,
            };
            Box::pin(async move { allowed })
        });
    }
    Ok(wasi.build())
}

impl Container {
    fn run(mut self) -> i32 {
        let end = self.end.clone();
        let on_term = self.end.clone();
        let watching = signal::watch(move || {
            let ending = Ending { code: signal::TERMINATED, ..Ending::default() };
            on_term.record(&ending);
            // Not `exit`: the container may hold locks that destructors want.
            // SAFETY: ends the process; everything that must be written has been.
            unsafe { libc::_exit(ending.code) }
        });
        if let Err(error) = watching {
            report(&format!("failed cannot start a thread: {error}"));
            return NOT_STARTED;
        }
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build() {
            Ok(runtime) => runtime,
            Err(error) => {
                report(&format!("failed cannot start: {error}"));
                return NOT_STARTED;
            }
        };
        let result = runtime.block_on(self.call());
        let ending = ending(result, self.store.data().limits.exceeded);
        if !ending.message.is_empty() {
            end.say(&ending.message);
        }
        end.record(&ending);
        // Threads that still look up names must not hold the end up.
        runtime.shutdown_background();
        ending.code
    }

    async fn call(&mut self) -> wasmtime::Result<Result<(), ()>> {
        let command = match Command::instantiate_async(&mut self.store, &self.component, &self.linker).await {
            Ok(command) => command,
            Err(error) => {
                if self.store.data().limits.exceeded {
                    // It was started, as far as its memory went.
                    report("started");
                } else {
                    report(&format!("failed {error:#}"));
                }
                return Err(error);
            }
        };
        report("started");
        detach();
        command.wasi_cli_run().call_run(&mut self.store).await
    }
}

/// Lets go of the pipes to the node agent.
fn detach() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for fd in 0..=2 {
            // SAFETY: both descriptors are open; the old ones are only used through these numbers.
            unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), fd) };
        }
    }
}

fn ending(result: wasmtime::Result<Result<(), ()>>, out_of_memory: bool) -> Ending {
    match result {
        _ if out_of_memory => Ending { code: KILLED, out_of_memory, message: String::new() },
        Ok(Ok(())) => Ending::default(),
        Ok(Err(())) => Ending { code: 1, ..Ending::default() },
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => Ending { code: exit.0, ..Ending::default() },
            None => Ending { code: ABORTED, out_of_memory: false, message: format!("{error:?}") },
        },
    }
}

/// Where the end of the container is written to, from whichever thread sees it first.
#[derive(Clone)]
struct End {
    log: SharedLog,
    file: Arc<Mutex<File>>,
}

impl End {
    /// Tells people in the container's own log.
    fn say(&self, message: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        for line in message.lines() {
            log.write(Stream::Stderr, format!("{line}\n").as_bytes()).ok();
        }
    }

    /// Tells the node agent. The lock is kept, so that only the first ending counts.
    fn record(&self, ending: &Ending) {
        // A container that is in the middle of a write holds the log; its last piece is then lost, its end is not.
        if let Ok(mut log) = self.log.try_lock() {
            log.finish().ok();
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(text) = serde_json::to_vec(ending) {
            file.write_all(&text).ok();
        }
        std::mem::forget(file);
    }
}

fn wasm(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}
