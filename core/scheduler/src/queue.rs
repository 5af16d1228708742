//! Pods that wait for a node: those to be tried now, those that wait out a back-off, and those that nothing but a change in
//! the cluster can help. Models kube-scheduler's `PriorityQueue`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::Time;
use store::Key;

use crate::plugins::Plugin;
use crate::pod_info::PodInfo;

/// Back-off after the first failed attempt.
const INITIAL_BACKOFF_MILLIS: u64 = 1_000;
/// Longest back-off.
const MAX_BACKOFF_MILLIS: u64 = 10_000;
/// After this long without help, a pod is tried again anyway.
const LEFTOVER_SECONDS: u64 = 300;

/// A waiting pod.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// Failed attempts so far.
    pub attempts: u32,
    /// What ruled nodes out at the last attempt.
    pub rejected_by: BTreeSet<Plugin>,
    place: Place,
    /// When it came in, as a counter: first come, first served among equals.
    order: u64,
    last_attempt: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be tried.
    Active,
    /// Waits out a back-off.
    BackOff(Time),
    /// Waits for a change, or for this time.
    Unschedulable(Time),
    /// Not to be tried before its gates are gone.
    Gated,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Key, Waiting>,
    active: BTreeMap<(Reverse<i64>, u64), Key>,
    timed: BTreeSet<(Time, Key)>,
    order: u64,
}

impl Queue {
    /// A pod is new, or its own fields have changed so that it may fit now.
    pub fn add(&mut self, key: Key, pod: Arc<PodInfo>, now: Time) {
        let gated = !pod.gates.is_empty();
        let (attempts, order, last_attempt, rejected_by) = match self.remove(&key) {
            Some(before) => (before.attempts, before.order, before.last_attempt, before.rejected_by),
            None => {
                self.order += 1;
                (0, self.order, now, BTreeSet::new())
            }
        };
        let waiting = Waiting { pod, attempts, rejected_by, place: Place::Gated, order, last_attempt };
        self.waiting.insert(key.clone(), waiting);
        if !gated {
            self.activate(&key, now);
        }
    }

    /// A pod's object has changed in a way that does not matter here.
    pub fn refresh(&mut self, key: &Key, pod: Arc<PodInfo>) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.pod = pod;
        }
    }

    /// What is known of a waiting pod.
    pub fn get(&self, key: &Key) -> Option<&Waiting> {
        self.waiting.get(key)
    }

    /// A pod waits no more.
    pub fn remove(&mut self, key: &Key) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.unplace(key, &waiting);
        Some(waiting)
    }

    /// The next pod to be tried; it stays known until it is removed or put back.
    pub fn pop(&mut self, now: Time) -> Option<(Key, Waiting)> {
        self.wake(now);
        let (_, key) = self.active.pop_first()?;
        let waiting = self.waiting.get_mut(&key)?;
        waiting.attempts = waiting.attempts.saturating_add(1);
        waiting.last_attempt = now;
        waiting.place = Place::Gated;
        Some((key, waiting.clone()))
    }

    /// An attempt failed because of these plugins.
    pub fn failed(&mut self, key: &Key, rejected_by: BTreeSet<Plugin>, now: Time) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        waiting.rejected_by = rejected_by;
        let until = now.plus_secs(LEFTOVER_SECONDS);
        waiting.place = Place::Unschedulable(until);
        self.timed.insert((until, key.clone()));
    }

    /// An attempt failed for a reason that has nothing to do with the cluster's state.
    pub fn retry(&mut self, key: &Key, now: Time) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        let until = now.plus_millis(backoff_millis(waiting.attempts));
        waiting.place = Place::BackOff(until);
        self.timed.insert((until, key.clone()));
    }

    /// The cluster has changed: those whom it may help are tried again, after their back-off.
    pub fn changed(&mut self, helps: impl Fn(Plugin, &PodInfo) -> bool, now: Time) {
        let helped: Vec<Key> = self
            .waiting
            .iter()
            .filter(|(_, w)| matches!(w.place, Place::Unschedulable(_)) && w.rejected_by.iter().any(|p| helps(*p, &w.pod)))
            .map(|(key, _)| key.clone())
            .collect();
        for key in helped {
            self.activate(&key, now);
        }
    }

    /// Whether a pod could be tried at once.
    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// When a pod will be tried without any change.
    pub fn next_at(&self) -> Option<Time> {
        self.timed.first().map(|(at, _)| *at)
    }

    fn wake(&mut self, now: Time) {
        while let Some((at, key)) = self.timed.first().cloned()
            && at <= now
        {
            self.timed.remove(&(at, key.clone()));
            self.activate(&key, now);
        }
    }

    /// To the active queue, or to the back-off queue if the last attempt was too recent.
    fn activate(&mut self, key: &Key, now: Time) {
        let Some(mut waiting) = self.waiting.remove(key) else { return };
        self.unplace(key, &waiting);
        let until = waiting.last_attempt.plus_millis(backoff_millis(waiting.attempts));
        waiting.place = if now < until {
            self.timed.insert((until, key.clone()));
            Place::BackOff(until)
        } else {
            self.active.insert((Reverse(waiting.pod.priority), waiting.order), key.clone());
            Place::Active
        };
        self.waiting.insert(key.clone(), waiting);
    }

    fn unplace(&mut self, key: &Key, waiting: &Waiting) {
        match waiting.place {
            Place::Active => drop(self.active.remove(&(Reverse(waiting.pod.priority), waiting.order))),
            Place::BackOff(at) | Place::Unschedulable(at) => drop(self.timed.remove(&(at, key.clone()))),
            Place::Gated => {}
        }
    }
}

/// 1 s after the first failure, doubling up to 10 s.
fn backoff_millis(attempts: u32) -> u64 {
    match attempts.checked_sub(1) {
        None => 0,
        Some(doublings) => INITIAL_BACKOFF_MILLIS.saturating_mul(1 << doublings.min(16)).min(MAX_BACKOFF_MILLIS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::GroupResource;

    fn key(name: &str) -> Key {
        Key::new(&GroupResource::new("", "pods"), "default", name)
    }

    fn pod(priority: i64) -> Arc<PodInfo> {
        Arc::new(PodInfo { priority, ..PodInfo::default() })
    }

    #[test]
    fn higher_priority_goes_first_then_who_came_first() {
        let (mut queue, now) = (Queue::default(), Time::from_secs(1));
        for (name, priority) in [("a", 0), ("b", 10), ("c", 0)] {
            queue.add(key(name), pod(priority), now);
        }
        let order: Vec<String> = std::iter::from_fn(|| queue.pop(now)).map(|(k, _)| k.name.to_string()).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn an_unschedulable_pod_waits_for_a_change_that_can_help_and_then_for_its_back_off() {
        let (mut queue, now) = (Queue::default(), Time::from_secs(100));
        queue.add(key("a"), pod(0), now);
        assert!(queue.pop(now).is_some());
        queue.failed(&key("a"), BTreeSet::from([Plugin::NodeResourcesFit]), now);
        queue.changed(|_, _| false, now);
        assert_eq!(queue.next_at(), Some(now.plus_secs(300)), "what does not help wakes nobody");
        queue.changed(|plugin, _| plugin == Plugin::NodeResourcesFit, now);
        assert!(queue.pop(now).is_none());
        assert_eq!(queue.next_at(), Some(now.plus_secs(1)));
        assert!(queue.pop(now.plus_secs(1)).is_some());
        queue.failed(&key("a"), BTreeSet::from([Plugin::NodeResourcesFit]), now.plus_secs(1));
        queue.changed(|_, _| true, now.plus_secs(1));
        assert_eq!(queue.next_at(), Some(now.plus_secs(3)), "the second wait is twice as long");
    }

    #[test]
    fn gates_hold_a_pod_back() {
        let (mut queue, now) = (Queue::default(), Time::from_secs(1));
        queue.add(key("a"), Arc::new(PodInfo { gates: vec!["hold".into()], ..PodInfo::default() }), now);
        assert!(queue.pop(now).is_none());
        queue.add(key("a"), pod(0), now);
        assert!(queue.pop(now).is_some());
    }
}
