//! What bounds a connection: how long it may rest, and how long its client may take to read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::answer::Response;

/// What a connection is at. Cheap to clone.
#[derive(Clone)]
pub struct Activity(Arc<State>);

struct State {
    began: Instant,
    /// Requests that are under way.
    busy: AtomicU64,
    /// When the last one ended, in milliseconds since the beginning.
    rested: AtomicU64,
    /// Whether the connection has become a stream of bytes, about whose pauses nothing can be said.
    upgraded: AtomicBool,
}

/// One request of a connection, under way for as long as this lives.
pub struct Busy(Activity);

impl Activity {
    /// Of a connection that begins now.
    pub fn new() -> Self {
        Activity(Arc::new(State {
            began: Instant::now(),
            busy: AtomicU64::new(0),
            rested: AtomicU64::new(0),
            upgraded: AtomicBool::new(false),
        }))
    }

    /// A request begins.
    pub fn begin(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// From now on bytes go both ways.
    pub fn upgrade(&self) {
        self.0.upgraded.store(true, Ordering::Relaxed);
    }

    fn is_upgraded(&self) -> bool {
        self.0.upgraded.load(Ordering::Relaxed)
    }

    /// Ends when nothing was asked for this long.
    pub async fn rest(&self, limit: Duration) {
        let limit = millis(limit);
        loop {
            let now = millis(self.0.began.elapsed());
            let is_busy = self.0.busy.load(Ordering::Relaxed) > 0 || self.is_upgraded();
            let since = if is_busy { now } else { self.0.rested.load(Ordering::Relaxed) };
            match (since + limit).saturating_sub(now) {
                0 => return,
                left => tokio::time::sleep(Duration::from_millis(left)).await,
            }
        }
    }
}

impl Busy {
    /// Goes on until the body of this answer is sent, if that takes any time.
    pub fn until_sent(self, response: Response) -> Response {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0.upgrade();
        }
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            body.map_frame(move |frame| {
                let _goes_on = &self;
                frame
            })
            .boxed()
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let state = &self.0.0;
        state.rested.store(millis(state.began.elapsed()), Ordering::Relaxed);
        state.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A stream whose writes fail if the other end takes nothing for too long.
pub struct Patient<S> {
    stream: S,
    activity: Activity,
    limit: Duration,
    /// Runs while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Over this stream, which waits so long and not longer.
    pub fn new(stream: S, activity: Activity, limit: Duration) -> Self {
        Patient { stream, activity, limit, waits: None }
    }

    fn check<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() || self.activity.is_upgraded() {
            self.waits = None;
            return poll;
        }
        let limit = self.limit;
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(waits.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.check(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.check(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.check(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.check(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_cut_off_and_who_reads_is_not() {
        for (name, reads) in [("reads", true), ("does not read", false)] {
            let (ours, mut theirs) = tokio::io::duplex(1 << 10);
            let mut ours = Patient::new(ours, Activity::new(), Duration::from_millis(200));
            let reader = tokio::spawn(async move {
                let mut buffer = [0; 512];
                while reads && matches!(tokio::io::AsyncReadExt::read(&mut theirs, &mut buffer).await, Ok(1..)) {}
                // The other end stays open.
                std::future::pending::<()>().await;
                drop(theirs);
            });
            let written = ours.write_all(&[0; 8 << 10]).await;
            assert_eq!(written.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut), !reads, "{name}");
            reader.abort();
        }
    }

    #[tokio::test]
    async fn a_pause_of_an_upgraded_connection_is_nobodys_business() {
        let (ours, theirs) = tokio::io::duplex(64);
        let activity = Activity::new();
        activity.upgrade();
        let mut ours = Patient::new(ours, activity.clone(), Duration::from_millis(10));
        let patience = Duration::from_millis(200);
        assert!(tokio::time::timeout(patience, ours.write_all(&[0; 128])).await.is_err(), "it still waits");
        assert!(tokio::time::timeout(patience, activity.rest(Duration::from_millis(10))).await.is_err(), "it does not rest");
        drop(theirs);
    }

    #[tokio::test]
    async fn a_connection_rests_when_its_last_request_has_ended() {
        let activity = Activity::new();
        let busy = activity.begin();
        let rest = || tokio::time::timeout(Duration::from_millis(200), activity.rest(Duration::from_millis(10)));
        assert!(rest().await.is_err(), "it is busy");
        drop(busy);
        activity.rest(Duration::from_millis(10)).await;
    }
}
