//! Answers on their way out: who waits for which stream, and the bounded queues of streamed bodies.
//!
//! Bytes are shared among streams, never copied per watcher. A client that reads too slowly is cut off; the control plane
//! is told that it went away, as of every client that goes.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use cluster::wire::{Outgoing, Relay};
use cluster::{Input, Output, StreamId};
use hyper::body::Frame;
use tokio::sync::{mpsc, oneshot};

use crate::audit::AuditLog;
use crate::caller::Call;
use crate::measure::Meter;

/// How many bytes may wait for one client before it is cut off. The bytes of watch events are shared, so that this is not
/// memory per watcher unless each watches something else.
pub const STREAM_BUFFER: usize = 64 << 20;

/// What waiting costs besides its bytes.
const PIECE_OVERHEAD: usize = 64;

/// What the control plane answered.
#[derive(Debug)]
pub enum Answer {
    /// All of it.
    Whole {
        /// HTTP status code.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(String, String)>,
        /// Body.
        body: Bytes,
    },
    /// The head of a streamed answer; [`Ticket::body`] makes a body of the rest.
    Stream {
        /// HTTP status code.
        status: u16,
        /// Headers, names in lower case.
        headers: Vec<(String, String)>,
        /// What is still to come.
        rest: Rest,
    },
    /// Another server answers instead.
    Forward(Relay, Outgoing),
}

/// How the registry tells the control plane that a client is gone.
pub type Notify = Arc<dyn Fn(Input) + Send + Sync>;

/// All streams that wait for something.
pub struct Streams {
    waiting: Mutex<HashMap<StreamId, Waiting>>,
    next: AtomicU64,
    limit: usize,
    notify: Notify,
    calls: mpsc::UnboundedSender<Call>,
    audit: OnceLock<AuditLog>,
    meter: Meter,
}

/// What a stream waits for.
enum Waiting {
    /// Its head.
    Head(oneshot::Sender<Answer>, Instant),
    /// More of its body.
    Body(Arc<Mutex<Queue>>),
}

/// Bytes that a client has not yet taken.
#[derive(Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    size: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

/// How a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    CutOff,
}

impl Streams {
    /// An empty registry; `notify` hears of clients that went away, `limit` is that of [`STREAM_BUFFER`]; questions to
    /// servers outside go to `calls`.
    pub fn new(notify: Notify, limit: usize, calls: mpsc::UnboundedSender<Call>) -> Arc<Self> {
        Arc::new(Streams {
            waiting: Mutex::default(),
            next: AtomicU64::new(1),
            limit,
            notify,
            calls,
            audit: OnceLock::new(),
            meter: Meter::default(),
        })
    }

    /// Sends events of the audit log there, from now on.
    pub fn audit_to(&self, log: AuditLog) {
        drop(self.audit.set(log));
    }

    /// How long answers took.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether there is an audit log that cannot be written.
    pub fn audit_fails(&self) -> bool {
        self.audit.get().is_some_and(AuditLog::fails)
    }

    /// A new stream that waits for its head. Dropping the ticket while the answer is incomplete means the client left.
    pub fn open(self: &Arc<Self>) -> (Ticket, oneshot::Receiver<Answer>) {
        let stream = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(stream, Waiting::Head(sender, Instant::now()));
        (Ticket { stream, streams: self.clone() }, receiver)
    }

    /// Gives these wishes to those who wait for them. `Journal` outputs must be durable by now.
    pub fn deliver(self: &Arc<Self>, outputs: Vec<Output>) {
        // Before anything is locked: this may wait for a disk.
        if let Some(log) = self.audit.get() {
            for output in &outputs {
                if let Output::Audit(line) = output {
                    log.write(line.clone());
                }
            }
        }
        let mut waiting = lock(&self.waiting);
        let mut gone = Vec::new();
        let mut answered = None;
        for output in outputs {
            match output {
                Output::Journal(_) | Output::Audit(_) => {}
                // At the end of the host nobody asks any more, and nobody waits for the reply.
                Output::Call { call, outgoing } => drop(self.calls.send((call, outgoing))),
                Output::Respond { stream, status, headers, body } => {
                    answered = began(&waiting, stream);
                    answer(&mut waiting, stream, Answer::Whole { status, headers, body });
                }
                Output::Served { stream, kind } => {
                    if let Some((_, began)) = answered.take().filter(|(answered, _)| *answered == stream) {
                        self.meter.took(kind, began.elapsed());
                    }
                }
                Output::Forward { stream, relay, outgoing, .. } => {
                    answer(&mut waiting, stream, Answer::Forward(relay, outgoing));
                }
                Output::Open { stream, status, headers } => {
                    let queue = Arc::<Mutex<Queue>>::default();
                    if answer(&mut waiting, stream, Answer::Stream { status, headers, rest: Rest(queue.clone()) }) {
                        waiting.insert(stream, Waiting::Body(queue));
                    }
                }
                Output::Data { streams, bytes } => {
                    for stream in streams {
                        if let Some(Waiting::Body(queue)) = waiting.get(&stream)
                            && !lock(queue).push(bytes.clone(), self.limit)
                        {
                            waiting.remove(&stream);
                            gone.push(stream);
                        }
                    }
                }
                Output::End(stream) => {
                    if let Some(Waiting::Body(queue)) = waiting.remove(&stream) {
                        lock(&queue).finish(End::Complete);
                    }
                }
            }
        }
        drop(waiting);
        gone.into_iter().for_each(|stream| (self.notify)(Input::Closed(stream)));
    }

    /// Ends everything that waits: the control plane that knew these streams is no more.
    pub fn abandon(&self, status: u16, body: &Bytes) {
        for (_, waiting) in std::mem::take(&mut *lock(&self.waiting)) {
            match waiting {
                Waiting::Head(sender, _) => {
                    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
                    // Whoever no longer listens needs no answer.
                    drop(sender.send(Answer::Whole { status, headers, body: body.clone() }));
                }
                Waiting::Body(queue) => lock(&queue).finish(End::CutOff),
            }
        }
    }

    /// Ends all streamed bodies as if they were complete. The control plane is not told: it ends too.
    pub fn end_bodies(&self) {
        lock(&self.waiting).retain(|_, waiting| match waiting {
            Waiting::Head(..) => true,
            Waiting::Body(queue) => {
                lock(queue).finish(End::Complete);
                false
            }
        });
    }

    /// How many streams wait for something.
    pub fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whose answer is about to be sent, and since when it was waited for.
fn began(waiting: &HashMap<StreamId, Waiting>, stream: StreamId) -> Option<(StreamId, Instant)> {
    if let Some(Waiting::Head(_, began)) = waiting.get(&stream) { Some((stream, *began)) } else { None }
}

/// Sends a head; false if nobody ever waited for it or it was sent before. That the client has left meanwhile is no matter:
/// its ticket says so.
fn answer(waiting: &mut HashMap<StreamId, Waiting>, stream: StreamId, answer: Answer) -> bool {
    match waiting.remove(&stream) {
        Some(Waiting::Head(sender, _)) => {
            drop(sender.send(answer));
            true
        }
        Some(body) => {
            waiting.insert(stream, body);
            false
        }
        None => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while one of these was held left nothing half done: every change is one insertion or removal.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// Adds a piece; false if the client is too slow, which is the end of this queue.
    fn push(&mut self, piece: Bytes, limit: usize) -> bool {
        self.size += piece.len() + PIECE_OVERHEAD;
        if self.size > limit {
            self.pieces = VecDeque::new();
            self.size = 0;
            self.finish(End::CutOff);
            return false;
        }
        self.pieces.push_back(piece);
        self.wake();
        true
    }

    fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Proof that a client waits for a stream. Dropped before the answer is complete, it tells the control plane so.
pub struct Ticket {
    stream: StreamId,
    streams: Arc<Streams>,
}

impl Ticket {
    /// The stream's name.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// The body of a streamed answer, as long as which this ticket lives.
    pub fn body(self, rest: Rest) -> StreamBody {
        StreamBody { queue: rest.0, _ticket: self }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if lock(&self.streams.waiting).remove(&self.stream).is_some() {
            (self.streams.notify)(Input::Closed(self.stream));
        }
    }
}

/// What is still to come of a streamed answer.
pub struct Rest(Arc<Mutex<Queue>>);

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

/// A streamed body.
pub struct StreamBody {
    queue: Arc<Mutex<Queue>>,
    _ticket: Ticket,
}

/// The client read too slowly, or the control plane was started anew.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut off")]
pub struct CutOff;

impl hyper::body::Body for StreamBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let mut queue = lock(&self.queue);
        if let Some(piece) = queue.pieces.pop_front() {
            queue.size = queue.size.saturating_sub(piece.len() + PIECE_OVERHEAD);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match queue.end {
            Some(End::Complete) => Poll::Ready(None),
            Some(End::CutOff) => Poll::Ready(Some(Err(CutOff))),
            None => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
