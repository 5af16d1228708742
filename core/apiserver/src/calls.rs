//! Requests that need an answer from outside before they can be decided: from admission webhooks, conversion webhooks.
//!
//! Nothing is changed before a request's commit and everything before it is deterministic. So a request that lacks an answer
//! comes to nothing, is parked, and is run again from its beginning when the answer is there, with all its answers so far at
//! hand and with the same random numbers. If the cluster has changed meanwhile it may ask something else, as Kubernetes does
//! when a write has to be tried again.

use std::collections::{BTreeMap, BTreeSet};

use object::{ApiError, Reason, Result, Rng, Time};
use sha2::{Digest as _, Sha256};
use store::Progress;

use crate::aggregation::{self, Fetch};
use crate::client::Deferred;
use crate::edge::{Incoming, deadline};
use crate::message::{CallId, Outgoing, Output, Reply, StreamId};
use crate::server::ApiServer;
use crate::watch::HeldKey;

/// How much work may wait at once. Requests from outside are held to fewer by the seats of flow control.
const MAX_PARKED: usize = 1024;

/// How long work of the control plane may take in all.
const REQUEST_SECONDS: u64 = 60;

/// How many refusals of controllers' writes are kept until they ask again.
const MAX_REFUSED: usize = 256;

/// What names a question, or a controller's write: equal bytes, equal name.
pub(crate) type Digest = [u8; 32];

/// The digest of some parts.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What waits for answers.
pub(crate) enum Work {
    /// A request from outside.
    Request(Box<Incoming>),
    /// A write of a part of the control plane.
    Write(Box<Deferred>),
    /// Events of watches.
    Events(HeldKey),
    /// A look at the server behind an APIService.
    Probe(String),
    /// What a part of the control plane wants to read from another server.
    Fetch(Box<Fetch>),
}

struct Parked {
    work: Work,
    began: Time,
    rng: Rng,
    answers: BTreeMap<Digest, Reply>,
    missing: u32,
}

impl Parked {
    /// When nobody waits for it any more.
    fn deadline(&self) -> Time {
        match &self.work {
            Work::Request(incoming) => incoming.deadline,
            Work::Write(_) | Work::Events(_) | Work::Probe(_) | Work::Fetch(_) => self.began.plus_secs(REQUEST_SECONDS),
        }
    }
}

/// All calls that are under way, and who waits for them.
#[derive(Default)]
pub(crate) struct Calls {
    last: u64,
    /// The answers at hand for the request that is being run.
    answers: BTreeMap<Digest, Reply>,
    /// What that request wants to know before it can go on.
    wanted: BTreeMap<Digest, Outgoing>,
    parked: BTreeMap<u64, Parked>,
    /// When each of them has waited too long; those that wait no more may still be named.
    deadlines: BTreeSet<(Time, u64)>,
    /// Whose question a call is, and which.
    asked: BTreeMap<CallId, (u64, Digest)>,
    /// What came of writes of the control plane that were refused after they had waited.
    refused: BTreeMap<Digest, Box<ApiError>>,
}

impl Calls {
    /// Whether the request that is being run has to wait.
    pub(crate) fn are_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether this write of the control plane waits already.
    pub(crate) fn is_deferred(&self, key: &Digest) -> bool {
        self.parked.values().any(|parked| matches!(&parked.work, Work::Write(write) if write.key == *key))
    }

    /// Why this write of the control plane was refused, if it was. It is told once.
    pub(crate) fn take_refusal(&mut self, key: &Digest) -> Option<Box<ApiError>> {
        self.refused.remove(key)
    }

    /// The client of this stream went away, and needs nothing any more.
    pub(crate) fn closed(&mut self, stream: StreamId) {
        self.parked.retain(|_, parked| !matches!(&parked.work, Work::Request(incoming) if incoming.request.stream == stream));
    }
}

fn too_many() -> Box<ApiError> {
    let mut error = ApiError::new(429, Reason::TooManyRequests, "too many requests wait for webhooks, please try again later");
    error.details.retry_after_seconds = 1;
    error
}

impl ApiServer {
    /// The replies to these questions, in their order. If one is missing the request comes to nothing for now.
    pub(crate) fn call(&mut self, questions: Vec<Outgoing>) -> Result<Vec<Reply>> {
        let mut replies = Vec::with_capacity(questions.len());
        for outgoing in questions {
            let upstream = &outgoing.upstream;
            let port = upstream.port.to_le_bytes();
            let key = digest([upstream.host.as_bytes(), &port, outgoing.target.as_bytes(), &outgoing.body]);
            match self.calls.answers.get(&key) {
                Some(reply) => replies.push(reply.clone()),
                None => drop(self.calls.wanted.insert(key, outgoing)),
            }
        }
        if self.calls.are_wanted() { Err(ApiError::pending()) } else { Ok(replies) }
    }

    /// A reply arrived.
    pub fn answered(&mut self, now: Time, call: CallId, reply: Reply) {
        let Some((id, key)) = self.calls.asked.remove(&call) else { return };
        let Some(parked) = self.calls.parked.get_mut(&id) else { return };
        parked.answers.insert(key, reply);
        parked.missing = parked.missing.saturating_sub(1);
        if parked.missing == 0
            && let Some(parked) = self.calls.parked.remove(&id)
        {
            self.resume(now, parked);
        }
    }

    /// Lets work wait for what it wants to know. It began with these random numbers; those that come now are others.
    pub(crate) fn park(&mut self, work: Work, began: Time, rng: Rng) {
        self.rng = Rng::new(self.rng.next_u64());
        self.wait(Parked { work, began, rng, answers: BTreeMap::new(), missing: 0 });
    }

    fn wait(&mut self, mut parked: Parked) {
        let wanted = std::mem::take(&mut self.calls.wanted);
        if self.calls.parked.len() >= MAX_PARKED {
            return self.give_up(parked.work, too_many());
        }
        let deadline = parked.deadline();
        if deadline <= self.now {
            return self.give_up_late(parked.work);
        }
        self.calls.last += 1;
        let id = self.calls.last;
        for (key, outgoing) in wanted {
            self.calls.last += 1;
            let call = self.calls.last;
            self.calls.asked.insert(call, (id, key));
            self.outputs.push(Output::Call { call, outgoing });
            parked.missing += 1;
        }
        self.calls.deadlines.insert((deadline, id));
        self.calls.parked.insert(id, parked);
    }

    /// Runs work again, with what is known by now.
    fn resume(&mut self, now: Time, mut parked: Parked) {
        self.now = now;
        let others = std::mem::replace(&mut self.rng, parked.rng.clone());
        self.calls.answers = std::mem::take(&mut parked.answers);
        let waits = match parked.work {
            Work::Request(incoming) => self.respond(parked.began, incoming).map(Work::Request),
            Work::Write(write) => self.write_deferred(parked.began, write).map(Work::Write),
            Work::Events(key) if self.release(now, &key) => {
                self.conversion_ended(&key);
                None
            }
            Work::Events(key) => Some(Work::Events(key)),
            Work::Fetch(fetch) => (!aggregation::run_fetch(self, now, &fetch)).then_some(Work::Fetch(fetch)),
            Work::Probe(name) => (!aggregation::probe(self, now, &name)).then_some(Work::Probe(name)),
        };
        self.rng = others;
        let answers = std::mem::take(&mut self.calls.answers);
        if let Some(work) = waits {
            self.wait(Parked { work, answers, ..parked });
        }
    }

    /// Gives up what has waited too long.
    pub(crate) fn calls_exceeded(&mut self, now: Time) -> Progress {
        while let Some((deadline, id)) = self.calls.deadlines.first().copied() {
            match self.calls.parked.get(&id) {
                Some(_) if deadline > now => return Progress { more: false, wake_at: Some(deadline) },
                Some(_) | None => drop(self.calls.deadlines.pop_first()),
            }
            if let Some(parked) = self.calls.parked.remove(&id) {
                self.give_up_late(parked.work);
            }
        }
        Progress::default()
    }

    fn give_up_late(&mut self, work: Work) {
        let changes = !matches!(&work, Work::Request(incoming) if !incoming.asked.changes());
        self.give_up(work, deadline::exceeded(changes));
    }

    fn give_up(&mut self, work: Work, error: Box<ApiError>) {
        match work {
            Work::Request(incoming) => self.refuse(&incoming, &error),
            Work::Write(write) => self.refuse_deferred(write.key, error),
            // They are tried again with the next event.
            Work::Events(key) => self.conversion_ended(&key),
            // The next look is not far.
            Work::Probe(_) => {}
            Work::Fetch(fetch) => self.aggregation.fetched(self.now, &fetch, Err(error)),
        }
    }

    /// Keeps why a write of the control plane was refused until it is tried again.
    pub(crate) fn refuse_deferred(&mut self, key: Digest, error: Box<ApiError>) {
        if self.calls.refused.len() >= MAX_REFUSED {
            self.calls.refused.pop_first();
        }
        self.calls.refused.insert(key, error);
    }
}
