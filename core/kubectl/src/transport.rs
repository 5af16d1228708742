//! What kubectl needs from outside.

use std::future::Future;
use std::pin::Pin;

use object::{Bytes, Time};

/// A future that stays on its thread, so that it works in a page too.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One HTTP request. The transport adds what belongs to the connection: host, authentication, length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Method, upper case.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

/// An answer whose body is still to come.
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Box<dyn Body>,
}

/// A body that arrives in pieces.
pub trait Body {
    /// The next piece; `None` at the end. The error is for people.
    fn next(&mut self) -> Local<'_, Result<Option<Bytes>, String>>;
}

/// A whole body is a stream of one piece.
impl Body for Bytes {
    fn next(&mut self) -> Local<'_, Result<Option<Bytes>, String>> {
        let piece = std::mem::take(self);
        Box::pin(async move { Ok((!piece.is_empty()).then_some(piece)) })
    }
}

/// A way to the API, and the time.
pub trait Transport {
    /// Sends a request; the error is for people (`dial tcp 127.0.0.1:6443: connect: connection refused`).
    fn send(&self, request: Request) -> Local<'_, Result<Response, String>>;
    /// Comes back after so many milliseconds.
    fn sleep(&self, millis: u64) -> Local<'_, ()>;
    /// Now, for ages.
    fn now(&self) -> Time;
}

/// Where `-f` reads from.
pub trait Files {
    /// The files at `path` with their names: one, or those of a directory that can hold manifests, sorted. The error is for
    /// people (`the path "x" does not exist`).
    fn read(&self, path: &str, recursive: bool) -> Local<'_, Result<Vec<(String, Bytes)>, String>>;
}

/// Where text goes.
pub trait Output {
    /// Standard output.
    fn stdout(&mut self, text: &[u8]);
    /// Standard error.
    fn stderr(&mut self, text: &[u8]);
}
