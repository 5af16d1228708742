//! Pods that wait for a node: those to be tried now, those that wait out a back-off, and those that nothing but a change in
//! the cluster can help. Models kube-scheduler's `PriorityQueue`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::Time;
use store::Key;

use crate::plugins::Plugin;
use crate::pod_info::{PodInfo, Template};

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
    /// Attempts so far.
    pub attempts: u32,
    /// What ruled nodes out at the last attempt.
    pub rejected_by: BTreeSet<Plugin>,
    place: Place,
    /// When it came in or failed, as a counter: first come, first served among equals.
    order: u64,
    last_attempt: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be tried.
    Active,
    /// Waits out a back-off, unless nobody else is to be tried.
    BackOff(Time),
    /// Waits out a back-off after an error.
    Error(Time),
    /// Waits for a change, or for this time.
    Unschedulable(Time),
    /// Not to be tried before its gates are gone; or it is being tried.
    Gated,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Key, Waiting>,
    active: BTreeMap<(Reverse<i64>, u64), Key>,
    backoff: BTreeSet<(Time, Key)>,
    /// Who becomes active at some time without any help.
    timed: BTreeSet<(Time, Key)>,
    /// Who waits for a change, by what ruled nodes out and by template: equal pods are asked about once.
    unschedulable: BTreeMap<(Plugin, u32), BTreeSet<Key>>,
    order: u64,
}

impl Queue {
    /// A pod is new, or its own fields have changed so that it may fit now.
    pub fn add(&mut self, key: Key, pod: Arc<PodInfo>, now: Time) {
        let gated = !pod.gates.is_empty();
        let (attempts, order, last_attempt, rejected_by) = match self.remove(&key) {
            Some(before) => (before.attempts, before.order, before.last_attempt, before.rejected_by),
            None => (0, self.next_order(), now, BTreeSet::new()),
        };
        let waiting = Waiting { pod, attempts, rejected_by, place: Place::Gated, order, last_attempt };
        self.waiting.insert(key.clone(), waiting);
        if !gated {
            self.activate(&key, now);
        }
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// A pod's object has changed in a way that does not help it.
    pub fn refresh(&mut self, key: &Key, pod: Arc<PodInfo>) {
        let Some(mut waiting) = self.waiting.remove(key) else { return };
        self.unplace(key, &waiting);
        waiting.pod = pod;
        self.put(key, waiting);
    }

    /// What is known of a waiting pod.
    pub fn get(&self, key: &Key) -> Option<&Waiting> {
        self.waiting.get(key)
    }

    /// Attempts at a pod so far.
    pub fn attempts(&self, key: &Key) -> u32 {
        self.waiting.get(key).map_or(0, |waiting| waiting.attempts)
    }

    /// A pod waits no more.
    pub fn remove(&mut self, key: &Key) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.unplace(key, &waiting);
        Some(waiting)
    }

    /// The next pod to be tried; it stays known until it is removed or put back. When nobody is left, those that wait out a
    /// back-off are tried early: there is nothing to be saved by waiting.
    pub fn pop(&mut self, now: Time) -> Option<(Key, Waiting)> {
        self.wake(now);
        let key = match self.active.pop_first() {
            Some((_, key)) => key,
            None => self.backoff.pop_first()?.1,
        };
        let waiting = self.waiting.get_mut(&key)?;
        waiting.attempts = waiting.attempts.saturating_add(1);
        waiting.last_attempt = now;
        waiting.place = Place::Gated;
        Some((key, waiting.clone()))
    }

    /// An attempt failed because of these plugins.
    pub fn failed(&mut self, key: &Key, rejected_by: BTreeSet<Plugin>, now: Time) {
        let order = self.next_order();
        let Some(mut waiting) = self.waiting.remove(key) else { return };
        self.unplace(key, &waiting);
        waiting.rejected_by = rejected_by;
        waiting.order = order;
        waiting.place = Place::Unschedulable(now.plus_secs(LEFTOVER_SECONDS));
        self.put(key, waiting);
    }

    /// An attempt failed for a reason that has nothing to do with the cluster's state.
    pub fn retry(&mut self, key: &Key, now: Time) {
        let Some(mut waiting) = self.waiting.remove(key) else { return };
        self.unplace(key, &waiting);
        waiting.place = Place::Error(now.plus_millis(backoff_millis(waiting.attempts)));
        self.put(key, waiting);
    }

    /// The cluster has changed: those whom it may help are tried again, after their back-off. It can only help those that one
    /// of `plugins` ruled out.
    pub fn changed(&mut self, plugins: &[Plugin], helps: impl Fn(Plugin, &Template) -> bool, now: Time) {
        if self.unschedulable.is_empty() {
            return;
        }
        let mut helped: BTreeSet<Key> = BTreeSet::new();
        for plugin in plugins {
            for ((_, _), keys) in self.unschedulable.range((*plugin, 0)..=(*plugin, u32::MAX)) {
                let one = keys.first().and_then(|key| self.waiting.get(key));
                if one.is_some_and(|waiting| helps(*plugin, &waiting.pod)) {
                    helped.extend(keys.iter().cloned());
                }
            }
        }
        for key in helped {
            self.activate(&key, now);
        }
    }

    /// A pod itself has changed so that it may fit now; it keeps its back-off.
    pub fn activate_now(&mut self, key: &Key, now: Time) {
        if self.waiting.get(key).is_some_and(|waiting| matches!(waiting.place, Place::Unschedulable(_))) {
            self.activate(key, now);
        }
    }

    /// Whether a pod could be tried at once.
    pub fn has_active(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
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
        while let Some((at, key)) = self.backoff.first().cloned()
            && at <= now
        {
            self.activate(&key, now);
        }
    }

    /// To the active queue, or to the back-off queue if the last attempt was too recent.
    fn activate(&mut self, key: &Key, now: Time) {
        let Some(mut waiting) = self.waiting.remove(key) else { return };
        self.unplace(key, &waiting);
        let until = waiting.last_attempt.plus_millis(backoff_millis(waiting.attempts));
        waiting.place = if now < until { Place::BackOff(until) } else { Place::Active };
        self.put(key, waiting);
    }

    fn put(&mut self, key: &Key, waiting: Waiting) {
        match waiting.place {
            Place::Active => drop(self.active.insert((Reverse(waiting.pod.priority), waiting.order), key.clone())),
            Place::BackOff(at) => drop(self.backoff.insert((at, key.clone()))),
            Place::Error(at) => drop(self.timed.insert((at, key.clone()))),
            Place::Unschedulable(at) => {
                self.timed.insert((at, key.clone()));
                for plugin in &waiting.rejected_by {
                    self.unschedulable.entry((*plugin, waiting.pod.class)).or_default().insert(key.clone());
                }
            }
            Place::Gated => {}
        }
        self.waiting.insert(key.clone(), waiting);
    }

    fn unplace(&mut self, key: &Key, waiting: &Waiting) {
        match waiting.place {
            Place::Active => drop(self.active.remove(&(Reverse(waiting.pod.priority), waiting.order))),
            Place::BackOff(at) => drop(self.backoff.remove(&(at, key.clone()))),
            Place::Error(at) => drop(self.timed.remove(&(at, key.clone()))),
            Place::Unschedulable(at) => {
                self.timed.remove(&(at, key.clone()));
                for plugin in &waiting.rejected_by {
                    let at = (*plugin, waiting.pod.class);
                    if let Some(keys) = self.unschedulable.get_mut(&at) {
                        keys.remove(key);
                        if keys.is_empty() {
                            self.unschedulable.remove(&at);
                        }
                    }
                }
            }
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
        Key::new(&GroupResource::literal("", "pods"), "default", name)
    }

    fn pod(priority: i64) -> Arc<PodInfo> {
        Arc::new(PodInfo { template: Arc::new(Template { priority, ..Template::default() }), ..PodInfo::default() })
    }

    const FIT: [Plugin; 1] = [Plugin::NodeResourcesFit];

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
    fn an_unschedulable_pod_waits_for_a_change_that_can_help() {
        let (mut queue, now) = (Queue::default(), Time::from_secs(100));
        queue.add(key("a"), pod(0), now);
        assert!(queue.pop(now).is_some());
        queue.failed(&key("a"), BTreeSet::from(FIT), now);
        for (what, plugins, helps) in [("does not help", &FIT[..], false), ("concerns others", &[Plugin::NodePorts][..], true)] {
            queue.changed(plugins, |_, _| helps, now);
            assert!(queue.pop(now).is_none(), "a change that {what}");
        }
        assert_eq!(queue.next_at(), Some(now.plus_secs(300)));
        queue.changed(&FIT, |_, _| true, now);
        assert!(queue.pop(now).is_some(), "nobody else is to be tried, so it need not wait");
        queue.failed(&key("a"), BTreeSet::from(FIT), now);
        assert!(queue.pop(now.plus_secs(299)).is_none());
        assert!(queue.pop(now.plus_secs(300)).is_some(), "tried at last without any help");
    }

    #[test]
    fn who_failed_lately_lets_others_go_first() {
        let (mut queue, now) = (Queue::default(), Time::from_secs(100));
        queue.add(key("a"), pod(10), now);
        assert!(queue.pop(now).is_some());
        queue.failed(&key("a"), BTreeSet::from(FIT), now);
        queue.add(key("b"), pod(0), now);
        queue.changed(&FIT, |_, _| true, now);
        let order: Vec<String> = std::iter::from_fn(|| queue.pop(now)).map(|(k, _)| k.name.to_string()).collect();
        assert_eq!(order, ["b", "a"], "a waits out its back-off as long as there are others");
    }

    #[test]
    fn errors_are_waited_out() {
        let (mut queue, now) = (Queue::default(), Time::from_secs(100));
        queue.add(key("a"), pod(0), now);
        for seconds in [1, 2, 4, 8, 10, 10] {
            assert!(queue.pop(now.plus_secs(1_000)).is_some());
            queue.retry(&key("a"), now);
            assert_eq!(queue.next_at(), Some(now.plus_secs(seconds)));
            assert!(queue.pop(now).is_none());
        }
    }

    #[test]
    fn gates_hold_a_pod_back() {
        let (mut queue, now) = (Queue::default(), Time::from_secs(1));
        let template = Template { gates: vec!["hold".into()], ..Template::default() };
        queue.add(key("a"), Arc::new(PodInfo { template: Arc::new(template), ..PodInfo::default() }), now);
        assert!(queue.pop(now).is_none());
        queue.add(key("a"), pod(0), now);
        assert!(queue.pop(now).is_some());
    }
}
