//! Addresses of pods: a range of 127.0.0.0/8 of the node's own, since every address there is local to the machine without
//! any set-up and without root. Pods of several nodes, and of several clusters on one machine, get different ranges.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use kubelet::pod::PodUid;

/// The first pod's and the last pod's last byte.
const FIRST: u8 = 2;
const LAST: u8 = 254;

/// The addresses of one node's pods.
#[derive(Debug)]
pub struct Addresses {
    range: [u8; 3],
    used: BTreeMap<PodUid, Ipv4Addr>,
    next: u8,
}

impl Addresses {
    /// The range of the node that keeps its data in this directory.
    pub fn of(node: &str, directory: &Path) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{node}\0{}", directory.display()).as_bytes());
        let (second, third) = match digest.as_ref() {
            [second, third, ..] => (*second, *third),
            _ => (0, 0),
        };
        // 127.0.0.0/10 is left to the machine.
        Addresses { range: [127, 64 + second % 128, third], used: BTreeMap::new(), next: FIRST }
    }

    /// The range, as `spec.podCIDR` says it.
    pub fn cidr(&self) -> String {
        let [first, second, third] = self.range;
        format!("{first}.{second}.{third}.0/24")
    }

    /// Gives a pod an address; the same one if it has one. Addresses are not used again soon. `None`: all are in use.
    pub fn take(&mut self, pod: &PodUid) -> Option<Ipv4Addr> {
        if let Some(address) = self.used.get(pod) {
            return Some(*address);
        }
        let [first, second, third] = self.range;
        for _ in FIRST..=LAST {
            let address = Ipv4Addr::new(first, second, third, self.next);
            self.next = if self.next >= LAST { FIRST } else { self.next + 1 };
            if !self.used.values().any(|used| *used == address) {
                self.used.insert(pod.clone(), address);
                return Some(address);
            }
        }
        None
    }

    /// Notes that a pod has this address from before.
    pub fn keep(&mut self, pod: &PodUid, address: &str) {
        if let Ok(address) = address.parse() {
            self.used.insert(pod.clone(), address);
        }
    }

    /// Takes a pod's address back.
    pub fn release(&mut self, pod: &PodUid) {
        self.used.remove(pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_pods_own() {
        let mut addresses = Addresses::of("a", Path::new("/data"));
        let other = Addresses::of("b", Path::new("/data"));
        assert_ne!(addresses.cidr(), other.cidr());
        let first = addresses.take(&"1".into()).unwrap();
        assert_eq!(addresses.take(&"1".into()), Some(first));
        addresses.release(&"1".into());
        let all: Vec<_> = (2..255).map(|n| addresses.take(&n.to_string().into()).unwrap()).collect();
        assert_ne!(all[0], first, "not again at once");
        assert!(all.iter().all(|address| address.is_loopback()));
        assert_eq!(addresses.take(&"late".into()), None);
        addresses.keep(&"old".into(), &first.to_string());
        assert_eq!(addresses.take(&"old".into()), Some(first));
    }
}
