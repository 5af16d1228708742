//! Fair queues: who is next. Knows nothing of requests and of the API.
//!
//! A server that runs one request after the other has two things to share: its time, and the places of requests that wait
//! for somebody outside while they are being served. Places are Kubernetes' seats: each level has a number of its own and may
//! borrow what others lend and do not use. Time is shared by start-time fair queueing, first among the levels in proportion to
//! their seats, then among the queues of a level equally; what a request has really cost is charged when it is done. A flow
//! is spread over a few queues of its level (shuffle sharding), so that it meets few others, and takes the shortest of them.
//!
//! <https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use object::Time;

use super::config::{LevelSpec, Response};

/// One unit of work in the levels' virtual time, before it is divided by a level's seats.
const UNIT: u64 = 1 << 16;

/// What is taken as a request's cost until it is known.
const GUESS: u64 = 1;

/// How many queues a flow is spread over at most.
const MAX_HAND: u32 = 16;

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its queue is full.
    QueueFull,
    /// There is no seat, and nobody waits in this level.
    ConcurrencyLimit,
    /// It waited too long.
    TimeOut,
}

impl Refusal {
    /// As it stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::QueueFull => "queue-full",
            Refusal::ConcurrencyLimit => "concurrency-limit",
            Refusal::TimeOut => "time-out",
        }
    }
}

/// What has become of a level's requests.
#[derive(Debug, Default)]
pub struct Counts {
    /// They were served.
    pub dispatched: u64,
    /// There was no room.
    pub rejected: u64,
    /// They waited too long.
    pub timed_out: u64,
    /// Their clients left while they waited.
    pub cancelled: u64,
}

/// Something that waits.
#[derive(Debug)]
pub struct Waiting<T> {
    /// Its name.
    pub id: u64,
    /// Since when.
    pub since: Time,
    /// What it is.
    pub item: T,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// The virtual time at which its next request may begin.
    start: u64,
}

/// A priority level at work.
#[derive(Debug)]
pub struct Level<T> {
    /// What it was told.
    pub spec: LevelSpec,
    /// Its own seats.
    pub nominal: u64,
    /// Its seats that nobody else may use.
    reserved: u64,
    /// How many seats it may use in all.
    most: u64,
    /// Requests that are being served.
    pub executing: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// What has become of its requests.
    pub counts: Counts,
    /// Whether it is gone from the API and only finishes what it has.
    pub quiescing: bool,
    /// The virtual time of its queues...
    clock: u64,
    /// ...and its own among the levels.
    start: u64,
    queues: BTreeMap<u32, Queue<T>>,
    /// The queue that was served last, so that equal ones take turns.
    last: u32,
}

/// A request that is to be served now.
#[derive(Debug)]
pub struct Next<T> {
    /// What waited.
    pub waiting: Waiting<T>,
    /// In which level.
    pub level: Arc<str>,
    queue: u32,
}

/// All levels.
#[derive(Debug)]
pub struct Levels<T> {
    levels: BTreeMap<Arc<str>, Level<T>>,
    seats: u64,
    /// The virtual time of the levels.
    clock: u64,
    executing: u64,
    waiting: u64,
    places: BTreeMap<u64, (Arc<str>, u32)>,
}

impl<T> Levels<T> {
    /// None yet; `seats` is what the whole server has.
    pub fn new(seats: u64) -> Self {
        Levels { levels: BTreeMap::new(), seats, clock: 0, executing: 0, waiting: 0, places: BTreeMap::new() }
    }

    /// From now on there are these levels. Those that are no more finish what they have.
    pub fn configure(&mut self, specs: Vec<LevelSpec>) {
        self.levels.values_mut().for_each(|level| level.quiescing = true);
        for spec in specs {
            let level = self.levels.entry(spec.name.clone()).or_insert_with(|| Level::new(spec.clone()));
            level.quiescing = false;
            level.spec = spec;
        }
        self.levels.retain(|_, level| !level.quiescing || level.executing + level.waiting > 0);
        let shares = self.levels.values().map(|level| level.spec.shares).sum::<u64>().max(1);
        for level in self.levels.values_mut() {
            let spec = &level.spec;
            level.nominal = (self.seats * spec.shares).div_ceil(shares);
            level.reserved = level.nominal - percent(level.nominal, spec.lendable_percent);
            let borrowed = spec.borrowing_percent.map_or(self.seats, |limit| percent(level.nominal, limit));
            level.most = level.nominal.saturating_add(borrowed).min(self.seats).max(1);
        }
    }

    /// The levels by name.
    pub fn all(&self) -> impl Iterator<Item = &Level<T>> {
        self.levels.values()
    }

    /// One level.
    pub fn get(&self, name: &str) -> Option<&Level<T>> {
        self.levels.get(name)
    }

    /// How many wait.
    pub fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Whether a level has a seat left: one of its own that nobody else may use, or one that no other level is entitled to.
    pub fn has_seat(&self, name: &str) -> bool {
        let Some(level) = self.levels.get(name) else { return true };
        if level.spec.exempt || level.executing < level.reserved || level.executing == 0 {
            return true;
        }
        let entitled = |other: &Level<T>| other.reserved.saturating_sub(other.executing);
        let kept: u64 = self.levels.values().filter(|other| other.spec.name != level.spec.name).map(entitled).sum();
        level.executing < level.most && self.executing + kept < self.seats
    }

    /// Whether a request of this level would overtake nobody if it were served at once: nobody waits, or it waits for nobody.
    pub fn is_free(&self, name: &str) -> bool {
        let is_exempt = |level: &Level<T>| level.spec.exempt && level.waiting == 0;
        (self.waiting == 0 || self.levels.get(name).is_some_and(is_exempt)) && self.has_seat(name)
    }

    /// Takes a seat, at once.
    pub fn seat(&mut self, name: &str) {
        if let Some(level) = self.levels.get_mut(name) {
            level.executing += 1;
            level.counts.dispatched += 1;
            self.executing += u64::from(!level.spec.exempt);
        }
    }

    /// Gives a seat back.
    pub fn release(&mut self, name: &str) {
        let Some(level) = self.levels.get_mut(name) else { return };
        level.executing = level.executing.saturating_sub(1);
        self.executing = self.executing.saturating_sub(u64::from(!level.spec.exempt));
        if level.quiescing && level.executing + level.waiting == 0 {
            self.levels.remove(name);
        }
    }

    /// Lets something wait, as one of the flow with this hash; `id` must be its own.
    pub fn enqueue(&mut self, name: &str, hash: u64, waiting: Waiting<T>) -> Result<(), (Refusal, T)> {
        let clock = self.clock;
        let has_seat = self.has_seat(name);
        let Some(level) = self.levels.get_mut(name) else { return Err((Refusal::ConcurrencyLimit, waiting.item)) };
        let at = match level.spec.response {
            _ if level.spec.exempt => 0,
            // Whoever waits for the server's time and not for a seat would be running elsewhere.
            Response::Reject if has_seat && level.executing + level.waiting < level.nominal.max(1) => 0,
            Response::Reject => {
                level.counts.rejected += 1;
                return Err((Refusal::ConcurrencyLimit, waiting.item));
            }
            Response::Queue { queues, hand, length } => {
                let length_of = |at: &u32| level.queues.get(at).map_or((0, 0), |queue| (queue.waiting.len(), queue.start));
                let at = deal(hash, queues, hand.min(MAX_HAND)).into_iter().min_by_key(length_of).unwrap_or(0);
                let is_full = length_of(&at).0 >= usize::try_from(length).unwrap_or(usize::MAX);
                if is_full && level.executing + level.waiting >= level.nominal {
                    level.counts.rejected += 1;
                    return Err((Refusal::QueueFull, waiting.item));
                }
                at
            }
        };
        if level.waiting == 0 {
            level.start = level.start.max(clock);
        }
        let queue = level.queues.entry(at).or_insert_with(|| Queue { waiting: VecDeque::new(), start: 0 });
        if queue.waiting.is_empty() {
            queue.start = queue.start.max(level.clock);
        }
        self.places.insert(waiting.id, (level.spec.name.clone(), at));
        queue.waiting.push_back(waiting);
        level.waiting += 1;
        self.waiting += 1;
        Ok(())
    }

    /// Who is served next, with a seat taken for it; `exempt_first` lets those that wait for nobody go before all others.
    pub fn next(&mut self, exempt_first: bool) -> Option<Next<T>> {
        if self.waiting == 0 {
            return None;
        }
        let ready = |level: &&Level<T>| level.waiting > 0 && self.has_seat(&level.spec.name);
        let rank = |level: &&Level<T>| (level.spec.exempt != exempt_first, level.start);
        let name = self.levels.values().filter(ready).min_by_key(rank)?.spec.name.clone();
        let level = self.levels.get_mut(&name)?;
        let at = level.next_queue()?;
        let queue = level.queues.get_mut(&at)?;
        let waiting = queue.waiting.pop_front()?;
        level.clock = level.clock.max(queue.start);
        queue.start += GUESS;
        level.last = at;
        level.waiting -= 1;
        self.waiting -= 1;
        self.clock = self.clock.max(level.start);
        level.start += GUESS * level.price();
        self.places.remove(&waiting.id);
        self.seat(&name);
        Some(Next { waiting, level: name, queue: at })
    }

    /// Charges what something has really cost.
    pub fn charge(&mut self, next: &(Arc<str>, u32), cost: u64) {
        let Some(level) = self.levels.get_mut(&next.0) else { return };
        let more = cost.saturating_sub(GUESS);
        level.start += more * level.price();
        if let Some(queue) = level.queues.get_mut(&next.1) {
            queue.start += more;
        }
        // An empty queue that is not ahead of the others has nothing to remember.
        let clock = level.clock;
        level.queues.retain(|_, queue| !queue.waiting.is_empty() || queue.start > clock);
    }

    /// Takes out what has waited since before `limit`, and says since when the next one waits.
    pub fn expire(&mut self, limit: Time) -> (Vec<Waiting<T>>, Option<Time>) {
        let (mut expired, mut oldest) = (Vec::new(), None);
        if self.waiting == 0 {
            return (expired, oldest);
        }
        for level in self.levels.values_mut().filter(|level| level.waiting > 0 && !level.spec.exempt) {
            for queue in level.queues.values_mut() {
                while let Some(waiting) = queue.waiting.pop_front_if(|waiting| waiting.since <= limit) {
                    level.waiting -= 1;
                    level.counts.timed_out += 1;
                    self.waiting -= 1;
                    self.places.remove(&waiting.id);
                    expired.push(waiting);
                }
                let since = queue.waiting.front().map(|waiting| waiting.since);
                oldest = [oldest, since].into_iter().flatten().min();
            }
        }
        (expired, oldest)
    }

    /// Forgets something that waits; nothing if it does not.
    pub fn forget(&mut self, id: u64) -> Option<T> {
        let (name, at) = self.places.remove(&id)?;
        let level = self.levels.get_mut(&name)?;
        let queue = level.queues.get_mut(&at)?;
        let place = queue.waiting.iter().position(|waiting| waiting.id == id)?;
        let waiting = queue.waiting.remove(place)?;
        level.waiting -= 1;
        level.counts.cancelled += 1;
        self.waiting -= 1;
        Some(waiting.item)
    }
}

impl<T> Next<T> {
    /// Whom to charge.
    pub fn account(&self) -> (Arc<str>, u32) {
        (self.level.clone(), self.queue)
    }
}

impl<T> Level<T> {
    fn new(spec: LevelSpec) -> Self {
        Level {
            spec,
            nominal: 0,
            reserved: 0,
            most: 0,
            executing: 0,
            waiting: 0,
            counts: Counts::default(),
            quiescing: false,
            clock: 0,
            start: 0,
            queues: BTreeMap::new(),
            last: 0,
        }
    }

    /// How much of the levels' virtual time one unit of work is.
    fn price(&self) -> u64 {
        UNIT / self.nominal.clamp(1, UNIT)
    }

    /// The queue that may begin first; among equal ones the next after the one that was last.
    fn next_queue(&self) -> Option<u32> {
        let filled = self.queues.iter().filter(|(_, queue)| !queue.waiting.is_empty());
        filled.min_by_key(|(at, queue)| (queue.start, **at <= self.last, **at)).map(|(at, _)| *at)
    }

    /// Its queues: number, how many wait there, and what waits.
    pub fn queues(&self) -> impl Iterator<Item = (u32, u64, &VecDeque<Waiting<T>>)> {
        self.queues.iter().map(|(at, queue)| (*at, queue.start, &queue.waiting))
    }
}

fn percent(of: u64, percent: u64) -> u64 {
    (of * percent + 50) / 100
}

/// Deals `hand` different queues of `queues` to a flow.
fn deal(hash: u64, queues: u32, hand: u32) -> Vec<u32> {
    let mut dealt: Vec<u32> = Vec::with_capacity(hand as usize);
    let mut left = hash;
    for number in 0..hand.min(queues) {
        let rest = u64::from(queues - number);
        let mut card = (left % rest) as u32;
        left /= rest;
        // The card's number among those that are still in the deck.
        let mut taken = dealt.clone();
        taken.sort_unstable();
        for other in taken {
            card += u32::from(card >= other);
        }
        dealt.push(card);
    }
    dealt
}

/// A number that depends on every byte of a schema's name and a flow's distinguisher.
pub fn flow_hash(schema: &str, distinguisher: &str) -> u64 {
    let bytes = schema.bytes().chain([0]).chain(distinguisher.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // FNV's low bits know little of the first bytes, and dealing begins with the low bits.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
#[path = "simulation.rs"]
mod tests;
