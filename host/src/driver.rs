//! The order of things: inputs are gathered and stepped on one thread, records are made durable on another, and an answer
//! leaves only after everything that happened before it is durable.
//!
//! ```text
//!   requests ─▶ engine thread: gather, step ─▶ writer thread: append (one fsync for all that waits) ─▶ streams
//!                        └──────────── nothing to write, nothing being written ───────────────────────▶ streams
//! ```
//!
//! The two overlap: while one batch is being written, the next is being computed. A read may show what is not yet durable,
//! so it waits behind the write all the same. After a trap the engine is made anew from the journal; whoever waited is told so.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use cluster::wire::HostHealth;
use cluster::{Config, Input, Output, Record, StepInput, StreamId};
use object::{ApiError, Time};

use crate::engine::{Engine, Factory};
use crate::journal::Journal;
use crate::streams::Streams;

/// How many inputs go into one step at most: enough that the cost of a call does not matter, few enough that the first of
/// them does not wait for the last.
const MAX_BATCH: usize = 1024;

/// How many steps may wait for the journal before the engine waits too.
const MAX_WAITING_STEPS: usize = 64;

/// How many records one transaction holds at most.
const MAX_TRANSACTION: usize = 4096;

/// How long the journal may take for one transaction before the control plane is not healthy: `--etcd-healthcheck-timeout`.
const JOURNAL_PATIENCE_MILLIS: u64 = 2_000;

/// After a trap within this time since the last one, starting anew is delayed.
const TRAP_MEMORY: Duration = Duration::from_secs(60);

/// A handle through which facts reach the control plane. Cheap to clone.
#[derive(Clone)]
pub struct Inputs {
    sender: Sender<Message>,
    ending: Arc<AtomicBool>,
}

enum Message {
    Input(Input),
    Stop,
}

impl Inputs {
    /// Hands over a fact. After the end nobody listens, which is no error: the streams are abandoned then.
    pub fn send(&self, input: Input) {
        drop(self.sender.send(Message::Input(input)));
    }

    /// From now on whoever asks is told that this control plane is about to end.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

/// A running control plane.
pub struct Driver {
    inputs: Inputs,
    threads: Vec<JoinHandle<()>>,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

/// Where facts enter before the driver is there: the streams need it to say that a client left.
pub fn channel() -> (Inputs, Inbox) {
    let (sender, receiver) = mpsc::channel();
    let ending = Arc::<AtomicBool>::default();
    (Inputs { sender, ending: ending.clone() }, Inbox { receiver, ending })
}

/// The other end of [`Inputs`].
pub struct Inbox {
    receiver: Receiver<Message>,
    ending: Arc<AtomicBool>,
}

/// Called once, when the control plane has failed for good.
pub type OnFailure = Box<dyn FnOnce() + Send>;

impl Driver {
    /// Starts both threads; returns once the state is restored and the control plane serves.
    pub fn start(
        config: Config,
        factory: Box<dyn Factory>,
        journal: Box<dyn Journal>,
        (inputs, inbox): (Inputs, Inbox),
        streams: Arc<Streams>,
        on_failure: OnFailure,
    ) -> Result<Self> {
        let failure = Arc::<Mutex<Option<anyhow::Error>>>::default();
        let pending = Arc::<AtomicUsize>::default();
        let (commands, received) = mpsc::sync_channel(MAX_WAITING_STEPS);
        let appending = Appending::new();
        let writer = Writer { journal, streams: streams.clone(), pending: pending.clone(), appending: appending.clone() };
        let written = {
            let (failure, inputs) = (failure.clone(), inputs.clone());
            thread("journal", move || {
                if let Err(error) = writer.run(&received) {
                    fail(&failure, error.context("the journal failed"));
                    // Nothing can be answered any more: the other thread ends too, and tells those who wait.
                    drop(inputs.sender.send(Message::Stop));
                }
            })?
        };
        let (ready, is_ready) = mpsc::channel();
        let stepped = {
            let failure = failure.clone();
            thread("control-plane", move || {
                let mut stepper = Stepper {
                    config,
                    factory,
                    streams,
                    pending,
                    appending,
                    ending: inbox.ending,
                    commands,
                    last: Time::default(),
                };
                let started = stepper.restore();
                let result = started.and_then(|(engine, wake_at)| {
                    let _ = ready.send(());
                    stepper.run(engine, wake_at, &inbox.receiver)
                });
                if let Err(error) = result {
                    fail(&failure, error);
                }
                stepper.streams.abandon(503, &status(&ApiError::new(503, object::Reason::ServiceUnavailable, "shutting down")));
                on_failure();
            })?
        };
        let driver = Driver { inputs, threads: vec![stepped, written], failure };
        match is_ready.recv() {
            Ok(()) => Ok(driver),
            Err(_) => Err(driver.stop().err().unwrap_or_else(|| anyhow!("the control plane did not start"))),
        }
    }

    /// Where facts enter.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Takes what has arrived, makes it durable, and ends both threads. Returns why it failed, if it did.
    pub fn stop(mut self) -> Result<()> {
        drop(self.inputs.sender.send(Message::Stop));
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow!("a thread of the control plane panicked"))?;
        }
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    // The native engine needs the room that the other one has by its settings.
    std::thread::Builder::new().name(name.to_owned()).stack_size(16 << 20).spawn(work).context("cannot start a thread")
}

/// Remembers the first failure: those after it follow from it.
fn fail(failure: &Mutex<Option<anyhow::Error>>, error: anyhow::Error) {
    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

fn status(error: &ApiError) -> Bytes {
    error.to_status().to_string().into()
}

/// What the engine thread asks of the writer thread.
enum Command {
    /// Make these durable, then deliver those.
    Commit { records: Vec<Record>, outputs: Vec<Output> },
    /// Everything before this is delivered; send all objects as steps of a restore.
    Load(SyncSender<Loaded>),
}

/// A piece of what the journal holds.
enum Loaded {
    Batch(Vec<Record>),
    End(u64),
    Failed(anyhow::Error),
}

struct Writer {
    journal: Box<dyn Journal>,
    streams: Arc<Streams>,
    pending: Arc<AtomicUsize>,
    appending: Appending,
}

impl Writer {
    fn run(mut self, commands: &Receiver<Command>) -> Result<()> {
        let mut next = commands.recv().ok();
        while let Some(command) = next.take() {
            match command {
                Command::Load(reply) => {
                    let loaded = self.journal.load(&mut |batch| reply.send(Loaded::Batch(batch)).context("nobody restores"));
                    // Who restores says what went wrong, so that it is said once and in full.
                    let end = loaded.map_or_else(Loaded::Failed, Loaded::End);
                    let failed = matches!(end, Loaded::Failed(_));
                    reply.send(end).context("nobody restores")?;
                    if failed {
                        return Ok(());
                    }
                }
                Command::Commit { mut records, outputs } => {
                    let mut delivered = 1;
                    let mut waiting = vec![outputs];
                    // Group commit: everything that came meanwhile shares this fsync.
                    while records.len() < MAX_TRANSACTION {
                        match commands.try_recv() {
                            Ok(Command::Commit { records: more, outputs }) => {
                                records.extend(more);
                                waiting.push(outputs);
                                delivered += 1;
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    if !records.is_empty() {
                        self.appending.begin();
                        self.journal.append(&records)?;
                        self.appending.end();
                    }
                    waiting.into_iter().for_each(|outputs| self.streams.deliver(outputs));
                    self.pending.fetch_sub(delivered, Ordering::Release);
                }
            }
            if next.is_none() {
                next = commands.recv().ok();
            }
        }
        Ok(())
    }
}

struct Stepper {
    config: Config,
    factory: Box<dyn Factory>,
    streams: Arc<Streams>,
    /// Steps handed to the writer and not yet delivered. Only this thread adds.
    pending: Arc<AtomicUsize>,
    appending: Appending,
    ending: Arc<AtomicBool>,
    commands: SyncSender<Command>,
    last: Time,
}

type Running = (Box<dyn Engine>, Option<Time>);

impl Stepper {
    /// A new engine with the state of the journal.
    fn restore(&mut self) -> Result<Running> {
        let mut engine = self.factory.make()?;
        let configure = vec![Input::Configure(Box::new(self.config.clone()))];
        self.step(engine.as_mut(), configure)?;
        let (reply, loaded) = mpsc::sync_channel(2);
        self.commands.send(Command::Load(reply)).context("the journal failed")?;
        let revision = loop {
            match loaded.recv().context("the journal failed while it was read")? {
                Loaded::Batch(records) => drop(self.step(engine.as_mut(), vec![Input::Restore(records)])?),
                Loaded::End(revision) => break revision,
                Loaded::Failed(error) => return Err(error.context("cannot read the journal")),
            }
        };
        let wake_at = self.step(engine.as_mut(), vec![Input::Start { revision }])?;
        Ok((engine, wake_at))
    }

    /// Steps until told to stop. An error means that the journal failed or no engine can be made.
    fn run(&mut self, engine: Box<dyn Engine>, wake_at: Option<Time>, inbox: &Receiver<Message>) -> Result<()> {
        let mut running = (engine, wake_at);
        let mut traps = Traps::default();
        loop {
            let (mut inputs, stop) = self.gather(running.1, inbox);
            if inputs.iter().any(|input| asks_for(input, "/metrics")) {
                inputs.insert(0, Input::Measured(self.streams.meter().measured()));
            }
            if inputs.iter().any(asks_for_health) {
                inputs.insert(0, Input::Health(self.health()));
            }
            if !inputs.is_empty() || self.is_due(running.1) {
                match self.step(running.0.as_mut(), inputs) {
                    Ok(wake_at) => running.1 = wake_at,
                    Err(StepError::Journal) => return Err(anyhow!("the journal failed")),
                    Err(StepError::Trap(error)) => {
                        eprintln!("error: {error:#}; starting the control plane anew from its journal");
                        drop(running.0);
                        std::thread::sleep(traps.delay());
                        // What was computed before the trap may still be delivered; loading waits behind it.
                        running = self.restore()?;
                        let message = "the control plane was started anew; try again";
                        self.streams.abandon(500, &status(&ApiError::new(500, object::Reason::InternalError, message)));
                    }
                }
            }
            if stop {
                return Ok(());
            }
        }
    }

    /// Waits for inputs until `wake_at` and takes all there are, up to [`MAX_BATCH`]; true means that it is time to stop.
    fn gather(&self, wake_at: Option<Time>, inbox: &Receiver<Message>) -> (Vec<Input>, bool) {
        let first = match wake_at {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => match at.0.saturating_sub(self.now().0) {
                0 => inbox.try_recv().map_err(|error| match error {
                    mpsc::TryRecvError::Empty => RecvTimeoutError::Timeout,
                    mpsc::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
                micros => inbox.recv_timeout(Duration::from_micros(micros)),
            },
        };
        let mut inputs = Vec::new();
        let mut message = match first {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return (inputs, true),
        };
        while let Some(next) = message {
            match next {
                Message::Input(input) => inputs.push(input),
                Message::Stop => return (inputs, true),
            }
            message = if inputs.len() < MAX_BATCH { inbox.try_recv().ok() } else { None };
        }
        (inputs, false)
    }

    /// How the host is.
    fn health(&self) -> HostHealth {
        HostHealth {
            journal: if self.appending.is_stuck() { "context deadline exceeded".to_owned() } else { String::new() },
            log: if self.streams.audit_fails() { "logging blocked".to_owned() } else { String::new() },
            shutting_down: self.ending.load(Ordering::Relaxed),
        }
    }

    fn is_due(&self, wake_at: Option<Time>) -> bool {
        wake_at.is_some_and(|at| at <= self.now())
    }

    /// The wall clock, which never goes backwards here.
    fn now(&self) -> Time {
        let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros());
        self.last.max(Time(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    /// One step and what follows from it.
    fn step(&mut self, engine: &mut dyn Engine, inputs: Vec<Input>) -> Result<Option<Time>, StepError> {
        self.last = self.now();
        let asked: Vec<StreamId> = inputs.iter().filter(|input| asks_for_health(input)).filter_map(stream_of).collect();
        let output = engine.step(StepInput { now: self.last, inputs }).map_err(StepError::Trap)?;
        let mut records = Vec::new();
        let mut outputs = Vec::with_capacity(output.outputs.len());
        for output in output.outputs {
            match output {
                Output::Journal(record) => records.push(record),
                // Shows nothing that would have to be durable, and must be told when nothing can be made so.
                Output::Respond { stream, .. } if asked.contains(&stream) => self.streams.deliver(vec![output]),
                other => outputs.push(other),
            }
        }
        if records.is_empty() && self.pending.load(Ordering::Acquire) == 0 {
            self.streams.deliver(outputs);
        } else if !(records.is_empty() && outputs.is_empty()) {
            self.pending.fetch_add(1, Ordering::Relaxed);
            self.commands.send(Command::Commit { records, outputs }).map_err(|_| StepError::Journal)?;
        }
        Ok(output.wake_at)
    }
}

fn stream_of(input: &Input) -> Option<StreamId> {
    if let Input::Request(request) = input { Some(request.stream) } else { None }
}

/// Whether this is a request for how the server is.
fn asks_for_health(input: &Input) -> bool {
    ["/livez", "/readyz", "/healthz"].iter().any(|path| asks_for(input, path))
}

fn asks_for(input: &Input, path: &str) -> bool {
    matches!(input, Input::Request(request) if request.target.starts_with(path))
}

/// Since when the journal is being written, in milliseconds since the beginning and one more; 0 while it is not.
#[derive(Clone)]
struct Appending {
    begin: Instant,
    since: Arc<AtomicU64>,
}

impl Appending {
    fn new() -> Self {
        Appending { begin: Instant::now(), since: Arc::default() }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn begin(&self) {
        self.since.store(self.millis(), Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    fn is_stuck(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && self.millis().saturating_sub(since) > JOURNAL_PATIENCE_MILLIS
    }
}

/// Why a step came to nothing.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the journal failed")]
    Journal,
    #[error("{0:#}")]
    Trap(anyhow::Error),
}

/// Delays between traps, so that a control plane that traps at once does not burn a processor.
#[derive(Default)]
struct Traps {
    last: Option<Instant>,
    count: u32,
}

impl Traps {
    fn delay(&mut self) -> Duration {
        let recent = self.last.is_some_and(|last| last.elapsed() < TRAP_MEMORY);
        self.count = if recent { (self.count + 1).min(7) } else { 0 };
        self.last = Some(Instant::now());
        if self.count == 0 { Duration::ZERO } else { Duration::from_millis(50 << self.count) }
    }
}
