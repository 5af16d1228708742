//! Zones of nodes: when too many nodes of one are lost at once it is probably not the nodes that failed, and eviction slows down
//! or stops.
//!
//! <https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction>

use std::collections::BTreeMap;

use object::{ObjectMeta, Time};

/// A zone loses a node in so much time.
const INTERVAL_SECONDS: u64 = 10;
/// A large zone that is disrupted in part loses a node in so much time; a small one none.
const SLOW_INTERVAL_SECONDS: u64 = 100;
/// A zone of more nodes than this is large.
const LARGE: u32 = 50;
/// From so many percent on a zone is disrupted.
const UNHEALTHY_PERCENT: u32 = 55;

/// How a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Normal,
    Partial,
    Full,
}

#[derive(Default)]
struct Zone {
    ready: u32,
    not_ready: u32,
    /// When the next of its nodes may be given up.
    next: Option<Time>,
}

impl Zone {
    fn state(&self) -> State {
        let all = self.ready + self.not_ready;
        match self.not_ready {
            0 => State::Normal,
            _ if self.ready == 0 => State::Full,
            n if n > 2 && n * 100 >= all * UNHEALTHY_PERCENT => State::Partial,
            _ => State::Normal,
        }
    }
}

/// What a change of a node changes for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Nothing.
    None,
    /// Its zone goes another way.
    Zone,
    /// All zones were lost at once: nobody is given up any more.
    AllLost,
    /// Some zone is back.
    Back,
}

/// All nodes by their zones.
#[derive(Default)]
pub struct Zones {
    members: BTreeMap<String, (String, bool)>,
    zones: BTreeMap<String, Zone>,
    stopped: bool,
}

impl Zones {
    /// A node was seen, or (`None`) is gone.
    pub fn note(&mut self, node: &str, seen: Option<(&ObjectMeta, bool)>) -> Shift {
        let new = seen.map(|(meta, ready)| (zone_of(meta), ready));
        if self.members.get(node) == new.as_ref() {
            return Shift::None;
        }
        let zone = new.as_ref().map(|(zone, _)| zone.clone());
        let before = zone.as_ref().and_then(|zone| self.zones.get(zone)).map(Zone::state);
        let old = match new {
            Some((zone, ready)) => {
                let counted = self.zones.entry(zone.clone()).or_default();
                *counted.count(ready) += 1;
                self.members.insert(node.to_owned(), (zone, ready))
            }
            None => self.members.remove(node),
        };
        if let Some((zone, ready)) = old
            && let Some(counted) = self.zones.get_mut(&zone)
        {
            *counted.count(ready) -= 1;
            if counted.ready + counted.not_ready == 0 {
                self.zones.remove(&zone);
            }
        }
        let stopped = !self.zones.is_empty() && self.zones.values().all(|zone| zone.state() == State::Full);
        let after = zone.as_ref().and_then(|zone| self.zones.get(zone)).map(Zone::state);
        match (std::mem::replace(&mut self.stopped, stopped), stopped) {
            (false, true) => Shift::AllLost,
            (true, false) => Shift::Back,
            _ if before.is_some() && before != after => Shift::Zone,
            _ => Shift::None,
        }
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// The nodes that share a node's zone.
    pub fn neighbours(&self, node: &str) -> impl Iterator<Item = &str> {
        let zone = self.members.get(node).map(|(zone, _)| zone);
        self.members.iter().filter(move |(_, (other, _))| Some(other) == zone).map(|(name, _)| name.as_str())
    }

    /// Whether nobody is given up because everything seems lost.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Asks whether a node may be given up now; else when to ask again, if time alone can change that.
    pub fn give_up(&mut self, node: &str, now: Time) -> Result<(), Option<Time>> {
        let Some((zone, _)) = self.members.get(node) else { return Err(None) };
        let Some(zone) = self.zones.get_mut(zone) else { return Err(None) };
        let interval = match zone.state() {
            State::Partial if zone.ready + zone.not_ready <= LARGE => return Err(None),
            State::Partial => SLOW_INTERVAL_SECONDS,
            State::Normal | State::Full => INTERVAL_SECONDS,
        };
        if let Some(next) = zone.next.filter(|next| *next > now) {
            return Err(Some(next));
        }
        zone.next = Some(now.plus_secs(interval));
        Ok(())
    }
}

impl Zone {
    fn count(&mut self, ready: bool) -> &mut u32 {
        if ready { &mut self.ready } else { &mut self.not_ready }
    }
}

fn zone_of(meta: &ObjectMeta) -> String {
    let label = |key: &str| meta.labels.get(key).map_or("", String::as_str);
    format!("{}:{}", label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(zones: &mut Zones, node: &str, zone: &str, ready: bool) -> Shift {
        let labels = BTreeMap::from([("topology.kubernetes.io/zone".to_owned(), zone.to_owned())]);
        zones.note(node, Some((&ObjectMeta { labels, ..ObjectMeta::default() }, ready)))
    }

    #[test]
    fn a_zone_is_given_up_node_by_node() {
        let (mut zones, now) = (Zones::default(), Time::from_secs(100));
        for name in ["a", "b", "c", "d"] {
            note(&mut zones, name, "west", true);
        }
        note(&mut zones, "a", "west", false);
        note(&mut zones, "b", "west", false);
        assert_eq!(zones.give_up("a", now), Ok(()));
        assert_eq!(zones.give_up("b", now), Err(Some(now.plus_secs(10))));
        assert_eq!(note(&mut zones, "c", "west", false), Shift::Zone, "three of four are too many");
        assert_eq!(zones.give_up("b", now.plus_secs(10)), Err(None), "a small zone keeps what it has");
    }

    #[test]
    fn when_everything_is_lost_nobody_is_given_up() {
        let mut zones = Zones::default();
        note(&mut zones, "a", "west", true);
        note(&mut zones, "b", "east", true);
        assert_eq!(note(&mut zones, "a", "west", false), Shift::Zone);
        assert_eq!(note(&mut zones, "b", "east", false), Shift::AllLost);
        assert!(zones.stopped());
        assert_eq!(note(&mut zones, "b", "east", true), Shift::Back);
        assert_eq!(zones.note("b", None), Shift::AllLost);
        assert_eq!(zones.note("a", None), Shift::Back, "no nodes are none lost");
    }
}
