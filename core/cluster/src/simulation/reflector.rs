//! Keeps up with a collection: one list, then a watch from there, and again whenever that breaks. The clients of the
//! simulation do it as real ones do.

use object::value::str_at;
use object::{Time, Value};

use super::http::{Outbox, Reply};

/// How long after a failure the next attempt is made.
const RETRY_MILLIS: u64 = 300;

/// What is new.
pub enum News {
    /// All there is, at this revision.
    All(Vec<Value>, u64),
    /// An event of the watch: its type, and its object.
    Event(String, Value),
}

/// One collection that is followed.
#[derive(Debug)]
pub struct Reflector {
    target: String,
    state: State,
    /// From where a watch goes on; empty if a list is needed first.
    position: String,
    partial: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Idle(Time),
    Listing(u64),
    Watching(u64),
}

impl Reflector {
    /// Follows the collection at this path, which may have a query.
    pub fn new(target: impl Into<String>) -> Self {
        Reflector { target: target.into(), state: State::Idle(Time(0)), position: String::new(), partial: Vec::new() }
    }

    /// When [`Reflector::run`] has something to do.
    pub fn wake(&self) -> Option<Time> {
        if let State::Idle(at) = self.state { Some(at) } else { None }
    }

    /// Sends what is due.
    pub fn run(&mut self, now: Time, out: &mut Outbox) {
        if !matches!(self.state, State::Idle(at) if at <= now) {
            return;
        }
        self.partial.clear();
        if self.position.is_empty() {
            self.state = State::Listing(out.get(self.target.clone()));
            return;
        }
        let joint = if self.target.contains('?') { '&' } else { '?' };
        let watch = format!("{}{joint}watch=true&allowWatchBookmarks=true&resourceVersion={}", self.target, self.position);
        self.state = State::Watching(out.get(watch));
    }

    /// The request that an answer may belong to.
    pub fn waits_for(&self) -> Option<u64> {
        match self.state {
            State::Idle(_) => None,
            State::Listing(id) | State::Watching(id) => Some(id),
        }
    }

    /// Takes an answer to its own request.
    pub fn reply(&mut self, now: Time, reply: &Reply, tell: &mut dyn FnMut(News)) {
        match (&self.state, reply) {
            (State::Listing(_), Reply::Whole(200, _)) => {
                let (_, mut list) = reply.json();
                str_at(&list, &["metadata", "resourceVersion"]).clone_into(&mut self.position);
                let items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
                tell(News::All(items, self.position.parse().unwrap_or(0)));
                self.state = State::Idle(now);
            }
            (State::Watching(_), Reply::Head) => {}
            (State::Watching(_), Reply::Data(bytes)) => self.data(now, bytes, tell),
            (State::Watching(_), Reply::Whole(410, _)) => self.expired(now),
            (_, Reply::End) => self.state = State::Idle(now),
            _ => self.state = State::Idle(now.plus_millis(RETRY_MILLIS)),
        }
    }

    fn data(&mut self, now: Time, bytes: &[u8], tell: &mut dyn FnMut(News)) {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let Ok(mut event) = serde_json::from_slice::<Value>(&line) else { continue };
            let object = event.get_mut("object").map(Value::take).unwrap_or_default();
            let kind = str_at(&event, &["type"]).to_owned();
            if kind == "ERROR" {
                return self.expired(now);
            }
            let at = str_at(&object, &["metadata", "resourceVersion"]);
            if !at.is_empty() {
                at.clone_into(&mut self.position);
            }
            tell(News::Event(kind, object));
        }
    }

    /// The history no longer reaches back to where this stands.
    fn expired(&mut self, now: Time) {
        self.position.clear();
        self.state = State::Idle(now.plus_millis(RETRY_MILLIS));
    }
}
