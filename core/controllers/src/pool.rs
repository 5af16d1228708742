//! Ranges of addresses to give out, lowest first.

use std::net::IpAddr;

/// So many addresses of a range are looked at for a free one at most.
const MAX_LOOKS: u128 = 65_536;

/// Some ranges.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    ranges: Vec<(IpAddr, u32)>,
    text: String,
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pool {
    /// Ranges as CIDRs, with commas between them; what is none is left out.
    pub fn parse(text: &str) -> Self {
        let ranges = text.split(',').filter_map(|range| {
            let (base, bits) = range.trim().split_once('/')?;
            let (base, bits) = (base.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
            (bits <= width(base)).then_some((base, bits))
        });
        Pool { ranges: ranges.collect(), text: text.to_owned() }
    }

    /// Whether there is nothing to give out.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether an address is one of these.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.ranges.iter().any(|(base, bits)| base.is_ipv4() == ip.is_ipv4() && span(*base, *bits).contains(&number(ip)))
    }

    /// The first address of a family that is not taken. The first and last of an IPv4 range of more than two are nobody's.
    pub fn first_free(&self, v6: bool, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        self.ranges.iter().filter(|(base, _)| base.is_ipv6() == v6).find_map(|(base, bits)| {
            let span = span(*base, *bits);
            let (mut first, mut last) = (*span.start(), *span.end());
            if !v6 && last - first > 1 {
                (first, last) = (first + 1, last - 1);
            }
            let last = last.min(first.saturating_add(MAX_LOOKS));
            (first..=last).filter_map(|number| address(number, v6)).find(|ip| !taken(*ip))
        })
    }
}

fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn address(number: u128, v6: bool) -> Option<IpAddr> {
    if v6 { Some(IpAddr::V6(number.into())) } else { u32::try_from(number).ok().map(|bits| IpAddr::V4(bits.into())) }
}

/// First and last address.
fn span(base: IpAddr, bits: u32) -> std::ops::RangeInclusive<u128> {
    let free = width(base) - bits;
    let rest = 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
    let first = number(base) & !rest;
    first..=first | rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_address_comes_first() {
        let pool = Pool::parse("192.0.2.8/30, 2001:db8::/126,nonsense");
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(pool.first_free(false, |_| false), Some(ip("192.0.2.9")));
        assert_eq!(pool.first_free(false, |taken| taken == ip("192.0.2.9")), Some(ip("192.0.2.10")));
        assert_eq!(pool.first_free(false, |_| true), None);
        assert_eq!(pool.first_free(true, |_| false), Some(ip("2001:db8::")));
        assert!(pool.contains(ip("192.0.2.11")) && !pool.contains(ip("192.0.2.12")) && !pool.contains(ip("::1")));
        assert!(Pool::parse("").is_empty() && Pool::parse("::/0").contains(ip("ffff::")));
    }
}
