//! Seeded randomness: the only source of names, uids and jitter in core.

use serde::{Deserialize, Serialize};

/// A SplitMix64 generator. It need not be unpredictable, only well spread and the same on every target; secrets (tokens,
/// keys) arrive from outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rng(u64);

/// Letters and digits of generated names: no vowels and no look-alikes, as `k8s.io/apimachinery/pkg/util/rand` has them.
const SAFE_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Rng {
    /// Starts the sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64 }
    }

    /// A version 4 UUID, for `metadata.uid`.
    pub fn uuid(&mut self) -> String {
        let a = self.next_u64();
        let b = self.next_u64();
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    /// `length` characters of the alphabet of generated names (`generateName` appends five).
    pub fn suffix(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(SAFE_ALPHABET[self.below(SAFE_ALPHABET.len() as u64) as usize])).collect()
    }
}

/// Maps text to the alphabet of generated names, as Kubernetes does with the hashes it puts into names and labels.
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|b| char::from(SAFE_ALPHABET[b as usize % SAFE_ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_sequences() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.suffix(5), b.suffix(5));
        assert_ne!(a.uuid(), a.uuid());
        let uuid = a.uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    }
}
