//! PodTopologySpread: pods of a kind must (or should) be spread evenly over the values of a node label.

use super::{MAX_SCORE, Plugin, Rejection};
use crate::cache::Cache;
use crate::node_info::NodeInfo;
use crate::pod_info::{SpreadConstraint, Template};
use crate::tally::{Counted, Inclusion, TallyId, TallyKey};
use crate::topology::{KeyId, NO_DOMAIN};

const HOSTNAME: &str = "kubernetes.io/hostname";

/// One constraint, and the tally of the pods that it counts.
#[derive(Clone, Debug)]
struct Counting {
    tally: TallyId,
    key: KeyId,
    max_skew: i64,
    min_domains: i64,
    /// 1 if the pod itself counts.
    own: i64,
    by_node: bool,
}

/// The constraints of a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread {
    hard: Vec<Counting>,
    soft: Vec<Counting>,
    /// Nodes without one of the labels do not count; not so with constraints that nobody asked for.
    all_labels: bool,
}

impl Spread {
    /// Finds the tallies. `defaults` are the constraints of a pod that has none; `system` says that nobody asked for them.
    pub fn of(pod: &Template, defaults: &[SpreadConstraint], system: bool, cache: &mut Cache) -> Self {
        let all = if pod.spread.is_empty() { defaults } else { &pod.spread };
        if all.is_empty() {
            return Spread::default();
        }
        let all_labels = !(pod.spread.is_empty() && system);
        let mut spread = Spread { all_labels, ..Spread::default() };
        for constraint in all {
            let together = all.iter().filter(|other| other.required == constraint.required);
            let keys: Vec<String> = together.map(|c| c.topology_key.clone()).collect();
            let by_node = !constraint.required && constraint.topology_key == HOSTNAME;
            let inclusion = Inclusion {
                keys: if constraint.required || all_labels { keys } else { Vec::new() },
                wanted: constraint.honors_affinity.then(|| (pod.node_selector.clone(), pod.required_nodes.clone())),
                tolerations: constraint.honors_taints.then(|| pod.tolerations.clone()),
            };
            let (tallies, world) = cache.counting();
            let key = tallies.key(&constraint.topology_key, world);
            let tally = TallyKey {
                counted: Counted::Alike(pod.namespace.to_string(), constraint.selector.clone()),
                topology: key,
                inclusion: (!by_node).then_some(inclusion),
            };
            let counting = Counting {
                tally: tallies.ask(tally, world),
                key,
                max_skew: constraint.max_skew,
                min_domains: constraint.min_domains.unwrap_or(1),
                own: i64::from(constraint.selector.matches(&pod.labels)),
                by_node,
            };
            if constraint.required { &mut spread.hard } else { &mut spread.soft }.push(counting);
        }
        spread
    }

    /// Whether it can rule out any node.
    pub fn rules_out(&self) -> bool {
        !self.hard.is_empty()
    }

    /// Rules out nodes whose domain is too full already.
    pub fn filter(&self, cache: &Cache, node: &NodeInfo) -> Result<(), Rejection> {
        for constraint in &self.hard {
            let domain = cache.tallies.topologies.domain(constraint.key, node.slot);
            if domain == NO_DOMAIN {
                let reason = "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Rejection::unresolvable(Plugin::PodTopologySpread, reason));
            }
            let Some(tally) = cache.tallies.get(constraint.tally) else { continue };
            let emptiest = match tally.emptiest() {
                _ if i64::from(tally.domains()) < constraint.min_domains => 0,
                Some(emptiest) => i64::from(emptiest),
                // Nowhere would a pod count.
                None => continue,
            };
            if i64::from(tally.count(domain)) + constraint.own - emptiest > constraint.max_skew {
                return Err(Rejection::new(Plugin::PodTopologySpread, "node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }

    /// Whether ranking makes a difference.
    pub fn has_preferences(&self) -> bool {
        !self.soft.is_empty()
    }

    /// How full each node's domains are; a domain weighs more where there are many. `None` for nodes that do not count.
    pub fn raw(&self, cache: &Cache, nodes: &[u32]) -> Vec<Option<i64>> {
        let topologies = &cache.tallies.topologies;
        let labelled = |slot: u32| !self.all_labels || self.soft.iter().all(|c| topologies.domain(c.key, slot) != NO_DOMAIN);
        let mut sums: Vec<Option<i64>> = nodes.iter().map(|slot| labelled(*slot).then_some(0)).collect();
        for constraint in &self.soft {
            let Some(tally) = cache.tallies.get(constraint.tally) else { continue };
            let domains = topologies.of(constraint.key);
            let domain = |slot: u32| domains.get(slot as usize).copied().filter(|domain| *domain != NO_DOMAIN);
            let size = if constraint.by_node {
                sums.iter().flatten().count() as u64
            } else {
                let known = nodes.iter().zip(&sums).filter(|(_, sum)| sum.is_some()).filter_map(|(slot, _)| domain(*slot));
                distinct(known)
            };
            let weight = ln(size + 2);
            for (slot, sum) in nodes.iter().zip(&mut sums) {
                let (Some(sum), Some(domain)) = (sum.as_mut(), domain(*slot)) else { continue };
                *sum += i64::from(tally.count(domain)) * weight + (constraint.max_skew - 1) * UNIT;
            }
        }
        sums.into_iter().map(|sum| sum.map(|sum| (sum + UNIT / 2) / UNIT)).collect()
    }
}

/// How many different numbers there are.
fn distinct(numbers: impl Iterator<Item = u32>) -> u64 {
    let (mut seen, mut count): (Vec<u64>, u64) = (Vec::new(), 0);
    for number in numbers {
        let (word, bit) = (number as usize / 64, 1u64 << (number % 64));
        if seen.len() <= word {
            seen.resize(word + 1, 0);
        }
        if let Some(word) = seen.get_mut(word)
            && *word & bit == 0
        {
            *word |= bit;
            count += 1;
        }
    }
    count
}

/// Emptier domains are better: from 100 down.
pub(super) fn normalized(raw: &[Option<i64>]) -> Vec<i64> {
    let (low, high) = (raw.iter().flatten().min().copied().unwrap_or(0), raw.iter().flatten().max().copied().unwrap_or(0));
    let score = |full: i64| if high == 0 { MAX_SCORE } else { MAX_SCORE * (high + low - full) / high };
    raw.iter().map(|full| full.map_or(0, score)).collect()
}

/// One, in the fixed-point numbers of [`ln`].
const UNIT: i64 = 1 << 16;

/// The natural logarithm in fixed point: a library's would not give the same bits everywhere.
fn ln(number: u64) -> i64 {
    const LN_2: u64 = 45_426;
    let whole = u64::from(number.max(1).ilog2());
    // The mantissa, between 1 and 2 with 31 bits after the point; squaring it shifts out one bit of the logarithm at a time.
    let mut mantissa = (u128::from(number.max(1)) << 31 >> whole) as u64;
    let mut log = whole << 16;
    for bit in (0..16).rev() {
        mantissa = ((u128::from(mantissa) * u128::from(mantissa)) >> 31) as u64;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            log |= 1 << bit;
        }
    }
    ((log * LN_2) >> 16) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms() {
        for (number, thousandths) in [(2, 693), (3, 1098), (5, 1609), (10, 2302), (1002, 6909)] {
            let found = ln(number) * 1000 / UNIT;
            assert!((found - thousandths).abs() <= 1, "{number}: {found}");
        }
    }

    #[test]
    fn different_numbers_are_counted_once() {
        assert_eq!(distinct([3, 70, 3, 0, 70].into_iter()), 3);
    }
}
