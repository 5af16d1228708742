//! Simulations of queues in which some flows ask for far more than there is.

use object::{Rng, Value, json};

use super::*;

/// A level with so many shares.
fn level(name: &str, shares: u64, response: Value) -> LevelSpec {
    LevelSpec::of(
        name,
        "",
        &json!({"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": response}}),
    )
}

fn queue() -> Value {
    json!({"type": "Queue", "queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50}})
}

fn exempt() -> LevelSpec {
    LevelSpec::of("exempt", "", &json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}))
}

struct World {
    levels: Levels<&'static str>,
    last: u64,
}

impl World {
    fn new(specs: Vec<LevelSpec>) -> Self {
        let mut levels = Levels::new(600);
        levels.configure(specs);
        World { levels, last: 0 }
    }

    fn ask(&mut self, level: &str, flow: &'static str) -> Result<u64, Refusal> {
        self.last += 1;
        let waiting = Waiting { id: self.last, since: Time(self.last), item: flow };
        self.levels.enqueue(level, flow_hash("schema", flow), waiting).map(|()| self.last).map_err(|(refusal, _)| refusal)
    }

    /// Serves the next one, which costs as much as its flow's requests do.
    fn serve(&mut self, cost: impl Fn(&str) -> u64) -> Option<(u64, &'static str)> {
        let next = self.levels.next(true)?;
        let account = next.account();
        self.levels.release(&next.level);
        self.levels.charge(&account, cost(next.waiting.item));
        Some((next.waiting.id, next.waiting.item))
    }
}

#[test]
fn a_noisy_flow_does_not_delay_a_quiet_one() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let mut world = World::new(vec![level("l", 20, queue()), exempt()]);
        let cost = |flow: &str| if flow.starts_with("noisy") { 20 } else { 1 };
        let (mut quiet, mut refused) = (None, 0);
        for turn in 0..4_000_u64 {
            for _ in 0..rng.below(8) {
                let flow = ["noisy-1", "noisy-2"][rng.below(2) as usize];
                refused += u64::from(world.ask("l", flow).is_err());
            }
            if quiet.is_none() && rng.below(10) == 0 {
                quiet = Some((world.ask("l", "quiet").expect("a quiet flow has room"), turn));
            }
            let served = world.serve(cost);
            if let (Some((id, since)), Some((done, _))) = (quiet, served)
                && id == done
            {
                assert!(turn - since <= 15, "seed {seed}: a quiet request waited for {} others", turn - since);
                quiet = None;
            }
        }
        assert!(refused > 1_000, "seed {seed}: whoever asks for too much is told so");
        assert!(quiet.is_none_or(|(_, since)| 4_000 - since <= 15), "seed {seed}: a quiet request was forgotten");
    }
}

#[test]
fn time_is_shared_by_shares() {
    let mut world = World::new(vec![level("small", 10, queue()), level("large", 40, queue())]);
    for _ in 0..100 {
        world.ask("small", "a").expect("room");
        world.ask("large", "b").expect("room");
    }
    let served: Vec<_> = (0..100).filter_map(|_| world.serve(|_| 1)).collect();
    let large = served.iter().filter(|(_, flow)| *flow == "b").count();
    assert!((78..=82).contains(&large), "{large} of 100 were of the level with four times the shares");
}

#[test]
fn who_costs_more_is_served_less_often() {
    let mut world = World::new(vec![level("l", 10, queue())]);
    for _ in 0..200 {
        let _ = world.ask("l", "cheap");
        let _ = world.ask("l", "dear");
    }
    let served: Vec<_> = (0..110).filter_map(|_| world.serve(|flow| if flow == "dear" { 10 } else { 1 })).collect();
    let dear = served.iter().filter(|(_, flow)| *flow == "dear").count();
    assert!((5..=60).contains(&dear), "{dear} of 110");
    assert!(dear < 110 - dear);
}

#[test]
fn exempt_requests_go_first() {
    let mut world = World::new(vec![level("l", 10, queue()), exempt()]);
    world.ask("l", "other").expect("room");
    world.ask("exempt", "admin").expect("room");
    world.ask("exempt", "admin").expect("room");
    let order: Vec<_> = (0..3).filter_map(|_| world.serve(|_| 1)).map(|(_, flow)| flow).collect();
    assert_eq!(order, ["admin", "admin", "other"]);
    world.ask("exempt", "admin").expect("room");
    world.ask("l", "other").expect("room");
    let next = world.levels.next(false).map(|next| next.waiting.item);
    assert_eq!(next, Some("other"), "not always");
}

#[test]
fn seats_are_lent_but_for_what_is_reserved() {
    let lends = |name: &str, percent: u64| LevelSpec { lendable_percent: percent, ..level(name, 50, queue()) };
    let mut world = World::new(vec![lends("a", 0), lends("b", 50)]);
    let nominal = |world: &World, name: &str| world.levels.get(name).map(|level| level.nominal);
    assert_eq!((nominal(&world, "a"), nominal(&world, "b")), (Some(300), Some(300)));
    let mut taken = 0;
    while world.levels.has_seat("a") {
        world.levels.seat("a");
        taken += 1;
    }
    assert_eq!(taken, 450, "its own 300 and half of the other's");
    let mut others = 0;
    while world.levels.has_seat("b") {
        world.levels.seat("b");
        others += 1;
    }
    assert_eq!(others, 150, "what it does not lend");
    world.ask("a", "x").expect("room");
    assert!(world.levels.next(true).is_none(), "without a seat nobody is served");
    world.levels.release("a");
    assert!(world.levels.next(true).is_some());
}

#[test]
fn what_finds_no_room_is_refused() {
    let mut world = World::new(vec![level("reject", 1, json!({"type": "Reject"})), level("l", 59, queue())]);
    for _ in 0..10 {
        world.levels.seat("reject");
    }
    assert_eq!(world.ask("reject", "a"), Err(Refusal::ConcurrencyLimit));
    let taken = (0..2_000).filter(|_| world.ask("l", "one").is_ok()).count();
    assert!((500..=650).contains(&taken), "{taken}: its seats, or its hand of queues if these hold more");
    assert_eq!(world.ask("l", "one"), Err(Refusal::QueueFull));
}

#[test]
fn waiting_ends() {
    let mut world = World::new(vec![level("l", 10, queue()), exempt()]);
    let ids: Vec<u64> = (0..3).map(|_| world.ask("l", "a").expect("room")).collect();
    assert_eq!(world.levels.forget(ids[1]), Some("a"));
    assert_eq!(world.levels.forget(ids[1]), None);
    let (expired, oldest) = world.levels.expire(Time(ids[0]));
    assert_eq!(expired.iter().map(|waiting| waiting.id).collect::<Vec<_>>(), [ids[0]]);
    assert_eq!(oldest, Some(Time(ids[2])));
    world.levels.configure(vec![exempt()]);
    assert!(world.levels.get("l").is_some_and(|level| level.quiescing), "who waits in a level that is gone is still served");
    assert_eq!(world.serve(|_| 1), Some((ids[2], "a")));
    assert!(world.levels.get("l").is_none());
}

#[test]
fn hands_are_different_queues() {
    let mut rng = Rng::new(7);
    for _ in 0..1_000 {
        let mut hand = deal(rng.next_u64(), 16, 4);
        hand.sort_unstable();
        hand.dedup();
        assert!(hand.len() == 4 && hand.iter().all(|queue| *queue < 16), "{hand:?}");
    }
    assert_eq!(deal(12_345, 3, 8).len(), 3, "no more than there are");
}
