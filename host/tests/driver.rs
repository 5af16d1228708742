//! The order of things in the driver, with an engine that counts: nothing leaves before it is durable, a trap is survived
//! from the journal, an end makes durable what arrived.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use cluster::wire::HostHealth;
use cluster::{Config, Input, Output, Record, Request, StepInput, StepOutput};
use http_body_util::BodyExt as _;
use wasmkube::driver::{self, Driver, Inputs};
use wasmkube::engine::{Engine, Factory};
use wasmkube::journal::Journal;
use wasmkube::journal::memory::Memory;
use wasmkube::streams::{Answer, Streams};

/// Counts POSTs durably; GET says the count; `/watch` streams; `/trap` traps.
#[derive(Default)]
struct Counter {
    count: u64,
    watchers: Vec<u64>,
    health: HostHealth,
}

impl Engine for Counter {
    fn step(&mut self, input: StepInput) -> Result<StepOutput> {
        let mut outputs = Vec::new();
        for input in input.inputs {
            match input {
                Input::Answered { .. } => {}
                Input::Health(health) => self.health = health,
                Input::Measured(_) => {}
                Input::Restore(records) => self.count = records.iter().map(Record::revision).max().unwrap_or(0),
                Input::Closed(stream) => self.watchers.retain(|watcher| *watcher != stream),
                Input::Request(request) => self.answer(request, &mut outputs)?,
                Input::Configure(_) | Input::Start { .. } => {}
            }
        }
        Ok(StepOutput { outputs, wake_at: None })
    }
}

impl Counter {
    fn answer(&mut self, request: Request, outputs: &mut Vec<Output>) -> Result<()> {
        let stream = request.stream;
        match request.target.as_str() {
            "/trap" => bail!("as told"),
            "/watch" => {
                self.watchers.push(stream);
                outputs.push(Output::Open { stream, status: 200, headers: Vec::new() });
                return Ok(());
            }
            "/readyz" => {
                let body = format!("{:?}", self.health).into();
                outputs.push(Output::Respond { stream, status: 200, headers: Vec::new(), body });
                return Ok(());
            }
            _ => {}
        }
        if request.method == "POST" {
            self.count += 1;
            let value = Bytes::from(self.count.to_string());
            outputs.push(Output::Journal(Record::Put { revision: self.count, key: "/count".into(), value: value.clone() }));
            outputs.push(Output::Data { streams: self.watchers.clone(), bytes: value });
        }
        outputs.push(Output::Respond { stream, status: 200, headers: Vec::new(), body: self.count.to_string().into() });
        Ok(())
    }
}

/// A journal whose appends wait for permission.
#[derive(Clone, Default)]
struct Slow {
    kept: Arc<Mutex<Memory>>,
    closed: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

impl Journal for Slow {
    fn load(&mut self, visit: &mut dyn FnMut(Vec<Record>) -> Result<()>) -> Result<u64> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).load(visit)
    }
    fn append(&mut self, records: &[Record]) -> Result<()> {
        while self.closed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        anyhow::ensure!(!self.broken.load(Ordering::SeqCst), "the disk is full");
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).append(records)
    }
}

struct World {
    driver: Driver,
    inputs: Inputs,
    streams: Arc<Streams>,
    journal: Slow,
    failed: Arc<AtomicBool>,
}

fn start(journal: Slow, limit: usize) -> Result<World> {
    let (inputs, inbox) = driver::channel();
    let notify = inputs.clone();
    let streams = Streams::new(Arc::new(move |input| notify.send(input)), limit, tokio::sync::mpsc::unbounded_channel().0);
    let failed = Arc::<AtomicBool>::default();
    let told = failed.clone();
    let factory: Box<dyn Factory> = Box::new(|| Ok(Box::<Counter>::default() as Box<dyn Engine>));
    let driver = Driver::start(
        Config::default(),
        factory,
        Box::new(journal.clone()),
        (inputs.clone(), inbox),
        streams.clone(),
        Box::new(move || told.store(true, Ordering::SeqCst)),
    )?;
    Ok(World { driver, inputs, streams, journal, failed })
}

impl World {
    fn send(&self, method: &str, target: &str) -> (wasmkube::streams::Ticket, tokio::sync::oneshot::Receiver<Answer>) {
        let (ticket, answer) = self.streams.open();
        let request = Request { stream: ticket.stream(), method: method.into(), target: target.into(), ..Request::default() };
        self.inputs.send(Input::Request(request));
        (ticket, answer)
    }

    fn ask(&self, method: &str, target: &str) -> Result<(u16, String)> {
        let (_ticket, answer) = self.send(method, target);
        match answer.blocking_recv().context("no answer")? {
            Answer::Whole { status, body, .. } => Ok((status, String::from_utf8_lossy(&body).into_owned())),
            other => bail!("{other:?}"),
        }
    }
}

#[test]
fn reads_wait_for_the_writes_they_show() -> Result<()> {
    let world = start(Slow::default(), 1 << 20)?;
    world.journal.closed.store(true, Ordering::SeqCst);
    let (_first, mut written) = world.send("POST", "/");
    let (_second, mut read) = world.send("GET", "/");
    std::thread::sleep(Duration::from_millis(50));
    assert!(written.try_recv().is_err() && read.try_recv().is_err(), "an answer left before its write was durable");
    world.journal.closed.store(false, Ordering::SeqCst);
    for answer in [written, read] {
        let Answer::Whole { body, .. } = answer.blocking_recv()? else { bail!("no whole answer") };
        assert_eq!(&body[..], b"1");
    }
    world.driver.stop()
}

#[test]
fn a_trap_is_survived_from_the_journal() -> Result<()> {
    let world = start(Slow::default(), 1 << 20)?;
    assert_eq!(world.ask("POST", "/")?, (200, "1".to_owned()));
    assert_eq!(world.ask("POST", "/")?, (200, "2".to_owned()));
    let (status, body) = world.ask("GET", "/trap")?;
    assert!(status == 500 && body.contains("started anew"), "{status} {body}");
    assert_eq!(world.ask("GET", "/")?, (200, "2".to_owned()));
    assert_eq!(world.ask("POST", "/")?, (200, "3".to_owned()));
    world.driver.stop()?;
    let again = start(world.journal, 1 << 20)?;
    assert_eq!(again.ask("GET", "/")?, (200, "3".to_owned()));
    again.driver.stop()
}

#[test]
fn a_broken_journal_answers_nobody_and_ends_the_host() -> Result<()> {
    let world = start(Slow::default(), 1 << 20)?;
    world.journal.broken.store(true, Ordering::SeqCst);
    let (_ticket, answer) = world.send("POST", "/");
    let Answer::Whole { status, .. } = answer.blocking_recv()? else { bail!("no whole answer") };
    assert_eq!(status, 503, "a write that is not durable was answered");
    let error = world.driver.stop().err().context("the failure went unseen")?;
    assert!(format!("{error:#}").contains("the disk is full"), "{error:#}");
    assert!(world.failed.load(Ordering::SeqCst));
    Ok(())
}

#[test]
fn watchers_share_bytes_and_slow_ones_are_cut_off() -> Result<()> {
    let world = start(Slow::default(), 1000)?;
    let watch = || -> Result<_> {
        let (ticket, answer) = world.send("GET", "/watch");
        let Answer::Stream { rest, .. } = answer.blocking_recv()? else { bail!("no stream") };
        Ok(ticket.body(rest))
    };
    let (mut quick, mut slow, left) = (watch()?, watch()?, watch()?);
    drop(left);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for n in 1..=40 {
        world.ask("POST", "/")?;
        let frame = runtime.block_on(quick.frame()).context("the end")??;
        assert_eq!(frame.into_data().map_err(|_| anyhow::anyhow!("no data"))?, n.to_string());
    }
    assert!(runtime.block_on(slow.frame()).context("the end")?.is_err(), "nobody was cut off");
    assert_eq!(world.streams.len(), 1, "those who left and those cut off wait no more");
    world.driver.stop()
}

#[test]
fn health_is_told_while_the_journal_is_stuck() -> Result<()> {
    let world = start(Slow::default(), 1 << 20)?;
    let told = |world: &World| world.ask("GET", "/readyz").map(|(_, text)| text);
    assert!(told(&world)?.contains("journal: \"\", log: \"\", shutting_down: false"));
    world.journal.closed.store(true, Ordering::SeqCst);
    let (_ticket, written) = world.send("POST", "/");
    // Answered though nothing else is, for as long as it takes.
    let begin = std::time::Instant::now();
    while !told(&world)?.contains("context deadline exceeded") {
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(60), "a journal that is stuck is not noticed");
        std::thread::sleep(Duration::from_millis(20));
    }
    world.journal.closed.store(false, Ordering::SeqCst);
    written.blocking_recv()?;
    assert!(told(&world)?.contains("journal: \"\""));
    world.inputs.end();
    assert!(told(&world)?.contains("shutting_down: true"));
    world.driver.stop()
}
