//! The work queue: a key is in it once however often it is added, failures are tried again later and later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use object::Time;
use store::Key;

/// How long a key waits after failures.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// First delay; it doubles from there.
    pub base_millis: u64,
    /// Longest delay.
    pub max_millis: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base_millis: 5, max_millis: 1_000_000 }
    }
}

/// The change that a key is in the queue for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cause {
    /// Its revision; 0 for none.
    pub revision: u64,
    /// It is a change of what somebody wants, which counts more than one of what is.
    pub of_wishes: bool,
}

/// Keys to reconcile.
#[derive(Debug, Default)]
pub struct WorkQueue {
    ready: VecDeque<Key>,
    queued: BTreeSet<Key>,
    waiting: BTreeSet<(Time, Key)>,
    due: BTreeMap<Key, Time>,
    failures: BTreeMap<Key, u32>,
    /// Keys that come up again only from some time on, however often they are added before.
    held: BTreeMap<Key, Time>,
    added: u64,
    backoff: Backoff,
    /// Why keys are in the queue, ready or waiting.
    causes: BTreeMap<Key, Cause>,
    /// What is happening now: keys that are added are added for this.
    because: Cause,
}

impl WorkQueue {
    /// A queue with other delays than most.
    pub fn new(backoff: Backoff) -> Self {
        WorkQueue { backoff, ..WorkQueue::default() }
    }

    /// Adds a key, if it is not in the queue already; a key that is held comes when its time has come.
    pub fn add(&mut self, key: Key) {
        match self.held.get(&key) {
            Some(until) => self.add_at(key, *until),
            None => self.add_now(key),
        }
    }

    /// Lets what comes in for a key gather until then: looking at it costs more than one change of many is worth.
    pub fn hold(&mut self, key: Key, until: Time) {
        self.held.insert(key, until);
    }

    /// Keys that are added from now on are added because of this.
    pub fn reacting_to(&mut self, cause: Cause) {
        self.because = cause;
    }

    /// What the key that was popped last was added for.
    pub fn cause(&self) -> Cause {
        self.because
    }

    /// The first cause counts, unless one comes that counts more.
    fn note(&mut self, key: &Key) {
        match self.causes.get_mut(key) {
            Some(known) if known.of_wishes || !self.because.of_wishes => {}
            Some(known) => *known = self.because,
            None => drop(self.causes.insert(key.clone(), self.because)),
        }
    }

    /// Adds a key even if it is held.
    pub fn add_now(&mut self, key: Key) {
        self.note(&key);
        if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
            self.added += 1;
        }
    }

    /// Adds a key at a time; an earlier time that was asked for stays.
    pub fn add_at(&mut self, key: Key, at: Time) {
        self.note(&key);
        match self.due.get(&key) {
            Some(known) if *known <= at => return,
            Some(known) => drop(self.waiting.remove(&(*known, key.clone()))),
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.waiting.insert((at, key));
    }

    /// Adds a key again after a failure, with the delay its failures have earned.
    pub fn add_rate_limited(&mut self, key: Key, now: Time) {
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = self.backoff.base_millis.saturating_mul(1 << (*failures).min(30)).min(self.backoff.max_millis);
        *failures = failures.saturating_add(1);
        self.add_at(key, now.plus_millis(delay));
    }

    /// A key was reconciled: its failures are forgotten.
    pub fn forget(&mut self, key: &Key) {
        self.failures.remove(key);
    }

    /// The next key whose time has come.
    pub fn pop(&mut self, now: Time) -> Option<Key> {
        while let Some((at, _)) = self.waiting.first() {
            if *at > now {
                break;
            }
            if let Some((_, key)) = self.waiting.pop_first() {
                self.due.remove(&key);
                self.held.remove(&key);
                self.add_now(key);
            }
        }
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.because = self.causes.remove(&key).unwrap_or_default();
        // It may come up again at a time that was asked for before.
        if self.due.contains_key(&key) {
            self.note(&key);
        }
        Some(key)
    }

    /// How many keys could be taken now.
    pub fn depth(&self) -> u64 {
        self.ready.len() as u64
    }

    /// How many keys were ever added.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Whether a key could be taken now.
    pub fn has_ready(&self, now: Time) -> bool {
        !self.ready.is_empty() || self.next_at().is_some_and(|at| at <= now)
    }

    /// When the next waiting key is due.
    pub fn next_at(&self) -> Option<Time> {
        self.waiting.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::GroupResource;

    fn key(name: &str) -> Key {
        Key::new(&GroupResource::literal("", "pods"), "default", name)
    }

    #[test]
    fn a_key_is_queued_once_and_failures_back_off() {
        let mut queue = WorkQueue::default();
        let now = Time::from_secs(100);
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!((queue.pop(now), queue.pop(now)), (Some(key("a")), None));
        queue.add_rate_limited(key("a"), now);
        assert_eq!(queue.next_at(), Some(now.plus_millis(5)));
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.pop(now.plus_millis(5)), Some(key("a")));
        queue.add_rate_limited(key("a"), now);
        assert_eq!(queue.next_at(), Some(now.plus_millis(10)));
        queue.add_at(key("a"), now.plus_secs(5));
        assert_eq!(queue.next_at(), Some(now.plus_millis(10)), "the earlier time stays");
    }

    #[test]
    fn a_held_key_gathers_what_comes_in() {
        let mut queue = WorkQueue::default();
        let now = Time::from_secs(100);
        queue.hold(key("a"), now.plus_millis(50));
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!((queue.pop(now), queue.next_at()), (None, Some(now.plus_millis(50))));
        assert_eq!((queue.pop(now.plus_millis(50)), queue.pop(now.plus_millis(50))), (Some(key("a")), None));
        queue.add(key("a"));
        assert_eq!(queue.pop(now.plus_millis(51)), Some(key("a")), "it is held once");
        queue.hold(key("a"), now.plus_secs(9));
        queue.add_now(key("a"));
        assert_eq!(queue.pop(now.plus_millis(52)), Some(key("a")), "what cannot wait does not");
    }
}
