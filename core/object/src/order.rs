//! Sorting for lists that are short or seldom sorted. The standard library's sort is made anew for every type and order, five
//! kilobytes each, which a page has to download; here only comparing is, and one sort of positions serves all.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Stable sorting in little code.
pub trait Order<T> {
    /// As `sort`.
    fn order(&mut self)
    where
        T: Ord;

    /// As `sort_by`.
    fn order_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering);

    /// As `sort_by_cached_key`.
    fn order_by_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K);
}

impl<T> Order<T> for [T] {
    fn order(&mut self)
    where
        T: Ord,
    {
        self.order_by(T::cmp);
    }

    fn order_by(&mut self, mut compare: impl FnMut(&T, &T) -> Ordering) {
        let order = sorted(self.len(), &mut |a, b| compare(&self[a], &self[b]));
        arrange(self, order);
    }

    fn order_by_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K) {
        let keys: Vec<K> = self.iter().map(key).collect();
        let order = sorted(keys.len(), &mut |a, b| keys[a].cmp(&keys[b]));
        arrange(self, order);
    }
}

/// The positions of the elements in their order.
fn sorted(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

/// Puts at each place the element whose position `order` has there, one cycle of places after another.
fn arrange<T>(list: &mut [T], mut order: Vec<usize>) {
    for start in 0..order.len() {
        let mut here = start;
        loop {
            let from = std::mem::replace(&mut order[here], here);
            if from == start || from == here {
                break;
            }
            list.swap(here, from);
            here = from;
        }
    }
}

/// A set of these. Collecting into one would sort them first, with a sort made for their type.
pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    for item in items {
        set.insert(item);
    }
    set
}

/// A map of these; of equal keys the last one counts.
pub fn map<K: Ord, V>(items: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in items {
        map.insert(key, value);
    }
    map
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_the_standard_library(list in proptest::collection::vec((0u8..20, 0u32..1000), 0..200)) {
            let (mut plain, mut by, mut by_key) = (list.clone(), list.clone(), list.clone());
            let (mut expect, mut expect_by, mut expect_by_key) = (list.clone(), list.clone(), list);
            plain.order();
            expect.sort();
            prop_assert_eq!(&plain, &expect);
            by.order_by(|a, b| (b.0 / 4).cmp(&(a.0 / 4)));
            expect_by.sort_by_key(|pair| std::cmp::Reverse(pair.0 / 4));
            prop_assert_eq!(&by, &expect_by, "stable");
            by_key.order_by_key(|pair| pair.0);
            expect_by_key.sort_by_key(|pair| pair.0);
            prop_assert_eq!(&by_key, &expect_by_key);
        }
    }
}
