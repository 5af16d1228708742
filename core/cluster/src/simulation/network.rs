//! The network between clients and the control plane: what is on its way, and what becomes of it.
//!
//! A connection keeps the order of what is sent on it and loses nothing in the middle, as TCP does; what it does lose is
//! everything from some point on. A request that is sent twice is one whose first connection broke after it had arrived.

use std::collections::BTreeMap;

use object::{Rng, Time};

use super::http::{Post, Reply};
use crate::wire::{Output, StreamId};

/// Who talks to the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The users.
    Users,
    /// A node.
    Node(u32),
    /// A client that watches.
    Watcher(u32),
}

/// What arrives somewhere.
#[derive(Debug)]
pub enum Arrival {
    /// A request at the control plane.
    Request {
        /// Whose.
        party: Party,
        /// The request.
        post: Post,
        /// Its answer does not get back.
        unanswered: bool,
    },
    /// An answer at a client.
    Reply {
        /// Whose.
        party: Party,
        /// To which of its requests.
        id: u64,
        /// The answer.
        reply: Reply,
    },
}

/// A stream of the control plane and the request it answers.
#[derive(Debug)]
struct Stream {
    party: Party,
    id: u64,
    /// Nothing of it arrives before this.
    last: Time,
    unanswered: bool,
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests sent.
    pub requests: u64,
    /// Requests or answers lost.
    pub lost: u64,
    /// Requests that arrived twice.
    pub twice: u64,
    /// Streams that broke.
    pub broken: u64,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    /// Largest additional delay in milliseconds.
    pub delay: u64,
    /// Of a thousand.
    pub lost: u32,
    /// Of a thousand.
    pub twice: u32,
    /// Until when.
    pub until: Time,
}

/// Everything that is on its way.
pub struct Network {
    seed: u64,
    agenda: BTreeMap<(Time, u64), Arrival>,
    sequence: u64,
    streams: BTreeMap<StreamId, Stream>,
    last_stream: StreamId,
    /// Who is cut off, and until when.
    cut: BTreeMap<Party, Time>,
    noise: Noise,
    /// Each link draws by itself.
    links: BTreeMap<Party, Rng>,
    /// What happened.
    pub counts: Counts,
    /// Swallows this many pieces of streams, which no network may.
    pub swallow: u32,
}

impl Network {
    /// A network that works.
    pub fn new(seed: u64) -> Self {
        Network {
            seed,
            agenda: BTreeMap::new(),
            sequence: 0,
            streams: BTreeMap::new(),
            last_stream: 0,
            cut: BTreeMap::new(),
            noise: Noise::default(),
            links: BTreeMap::new(),
            counts: Counts::default(),
            swallow: 0,
        }
    }

    /// From now on it is noisy.
    pub fn noise(&mut self, noise: Noise) {
        self.noise = noise;
    }

    /// Cuts a party off.
    pub fn cut(&mut self, now: Time, party: Party, until: Time) {
        self.cut.insert(party, until);
        self.break_streams(now, Some(party));
    }

    /// Everything works again.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.noise = Noise::default();
    }

    /// Open streams break: all, or those of one party. The control plane notices as well; returned is what it is told.
    pub fn break_streams(&mut self, now: Time, party: Option<Party>) -> Vec<StreamId> {
        let broken: Vec<StreamId> =
            self.streams.iter().filter(|(_, s)| party.is_none_or(|p| p == s.party)).map(|(id, _)| *id).collect();
        for stream in &broken {
            let Some(Stream { party, id, last, .. }) = self.streams.remove(stream) else { continue };
            self.counts.broken += 1;
            let after = self.draw(party, 3_000_000) + 1_000;
            self.put(Time(now.0 + after).max(last), Arrival::Reply { party, id, reply: Reply::Broken });
        }
        broken
    }

    /// The control plane is gone: every open request breaks.
    pub fn plane_gone(&mut self, now: Time) {
        self.break_streams(now, None);
    }

    /// When something arrives.
    pub fn next(&self) -> Option<Time> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// What has arrived by now.
    pub fn arrived(&mut self, now: Time) -> Option<Arrival> {
        let entry = self.agenda.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// A client sends a request.
    pub fn send(&mut self, now: Time, party: Party, post: Post) {
        self.counts.requests += 1;
        let id = post.id;
        if self.is_cut(now, party) {
            let after = 500_000 + self.draw(party, 4_000_000);
            return self.put(Time(now.0 + after), Arrival::Reply { party, id, reply: Reply::Broken });
        }
        let at = Time(now.0 + self.latency(now, party));
        let noisy = now < self.noise.until;
        let fate = self.draw(party, 1_000) as u32;
        if noisy && fate < self.noise.lost {
            self.counts.lost += 1;
            let after = 2_000_000 + self.draw(party, 3_000_000);
            self.put(Time(now.0 + after), Arrival::Reply { party, id, reply: Reply::Broken });
            if fate.is_multiple_of(2) {
                self.put(at, Arrival::Request { party, post, unanswered: true });
            }
        } else if noisy && fate < self.noise.lost + self.noise.twice {
            self.counts.twice += 1;
            self.put(at, Arrival::Request { party, post: post.clone(), unanswered: true });
            let again = Time(at.0 + self.latency(now, party));
            self.put(again, Arrival::Request { party, post, unanswered: false });
        } else {
            self.put(at, Arrival::Request { party, post, unanswered: false });
        }
    }

    /// A request has arrived; the stream that its answer will be, or nothing if it did not get through after all.
    pub fn open(&mut self, now: Time, party: Party, id: u64, unanswered: bool, plane_up: bool) -> Option<StreamId> {
        if !plane_up || self.is_cut(now, party) {
            if !unanswered {
                let after = if plane_up { 500_000 + self.draw(party, 4_000_000) } else { self.latency(now, party) };
                self.put(Time(now.0 + after), Arrival::Reply { party, id, reply: Reply::Broken });
            }
            return None;
        }
        self.last_stream += 1;
        self.streams.insert(self.last_stream, Stream { party, id, last: now, unanswered });
        Some(self.last_stream)
    }

    /// A client no longer waits; the stream that ends, if it has begun.
    pub fn close(&mut self, party: Party, id: u64) -> Option<StreamId> {
        let stream = self.streams.iter().find(|(_, s)| s.party == party && s.id == id).map(|(stream, _)| *stream)?;
        self.streams.remove(&stream);
        Some(stream)
    }

    /// All streams of a party, which is gone.
    pub fn close_all(&mut self, party: Party) -> Vec<StreamId> {
        let of: Vec<StreamId> = self.streams.iter().filter(|(_, s)| s.party == party).map(|(stream, _)| *stream).collect();
        self.streams.retain(|_, s| s.party != party);
        of
    }

    /// The control plane has said something.
    pub fn leave(&mut self, now: Time, output: Output) {
        match output {
            Output::Respond { stream, status, body, .. } => self.piece(now, stream, Reply::Whole(status, body), true),
            Output::Open { stream, .. } => self.piece(now, stream, Reply::Head, false),
            Output::Data { streams, bytes } => {
                for stream in streams {
                    let watcher = self.streams.get(&stream).is_some_and(|s| matches!(s.party, Party::Watcher(_)));
                    if self.swallow > 0 && watcher {
                        self.swallow -= 1;
                        continue;
                    }
                    self.piece(now, stream, Reply::Data(bytes.clone()), false);
                }
            }
            Output::End(stream) => self.piece(now, stream, Reply::End, true),
            Output::Journal(_) | Output::Call { .. } | Output::Forward { .. } | Output::Served { .. } | Output::Audit(_) => {}
        }
    }

    fn piece(&mut self, now: Time, stream: StreamId, reply: Reply, last: bool) {
        let Some((party, id, before, unanswered)) = self.streams.get(&stream).map(|s| (s.party, s.id, s.last, s.unanswered))
        else {
            return;
        };
        let at = Time(now.0 + self.latency(now, party)).max(before);
        if last {
            self.streams.remove(&stream);
        } else if let Some(stream) = self.streams.get_mut(&stream) {
            stream.last = at;
        }
        if !unanswered {
            self.put(at, Arrival::Reply { party, id, reply });
        }
    }

    fn is_cut(&self, now: Time, party: Party) -> bool {
        self.cut.get(&party).is_some_and(|until| now < *until)
    }

    fn latency(&mut self, now: Time, party: Party) -> u64 {
        let extra = if now < self.noise.until { self.noise.delay * 1_000 } else { 0 };
        200 + self.draw(party, 2_000) + self.draw(party, extra + 1)
    }

    fn draw(&mut self, party: Party, below: u64) -> u64 {
        let salt = match party {
            Party::Users => 1,
            Party::Node(index) => 1_000 + u64::from(index),
            Party::Watcher(index) => 2_000 + u64::from(index),
        };
        let seed = self.seed ^ salt.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        self.links.entry(party).or_insert_with(|| Rng::new(seed)).below(below)
    }

    fn put(&mut self, at: Time, arrival: Arrival) {
        self.sequence += 1;
        self.agenda.insert((at, self.sequence), arrival);
    }
}
