//! Requests and their answers as clients on the simulated network see them.

use object::{Bytes, Value};

/// A request that a client wants to send.
#[derive(Clone, Debug)]
pub struct Post {
    /// The client's own number of it.
    pub id: u64,
    /// HTTP method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Type of the body.
    pub content_type: &'static str,
    /// Body.
    pub body: Bytes,
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A whole answer.
    Whole(u16, Bytes),
    /// The head of a stream.
    Head,
    /// A piece of a stream.
    Data(Bytes),
    /// The end of a stream.
    End,
    /// Nothing: the connection broke, or nobody answered in time.
    Broken,
}

impl Reply {
    /// Status and JSON of a whole answer; 0 if there was none.
    pub fn json(&self) -> (u16, Value) {
        match self {
            Reply::Whole(status, body) => (*status, serde_json::from_slice(body).unwrap_or(Value::Null)),
            _ => (0, Value::Null),
        }
    }
}

/// What a client wants to send or give up.
#[derive(Debug, Default)]
pub struct Outbox {
    last: u64,
    /// Requests, in order.
    pub posts: Vec<Post>,
    /// Requests whose answers nobody waits for any more.
    pub closed: Vec<u64>,
}

/// Kinds of patches.
pub const JSON: &str = "application/json";
/// A merge patch.
pub const MERGE: &str = "application/merge-patch+json";
/// A strategic merge patch.
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";

impl Outbox {
    /// Sends a request; returns its number.
    pub fn send(&mut self, method: &'static str, target: String, content_type: &'static str, body: &Value) -> u64 {
        self.last += 1;
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.posts.push(Post { id: self.last, method, target, content_type, body });
        self.last
    }

    /// GET.
    pub fn get(&mut self, target: String) -> u64 {
        self.send("GET", target, JSON, &Value::Null)
    }
}
