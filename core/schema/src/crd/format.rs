//! Named formats of texts that Kubernetes checks; all others say nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A format that restricts a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    DateTime,
    Date,
    Duration,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    Email,
    Hostname,
    Uri,
    Uuid(Option<u8>),
    Byte,
    HexColor,
}

const NAMES: [(&str, Format); 19] = [
    ("date-time", Format::DateTime),
    ("datetime", Format::DateTime),
    ("date", Format::Date),
    ("duration", Format::Duration),
    ("ipv4", Format::Ipv4),
    ("ipv6", Format::Ipv6),
    ("cidr", Format::Cidr),
    ("mac", Format::Mac),
    ("email", Format::Email),
    ("hostname", Format::Hostname),
    ("uri", Format::Uri),
    ("uuid", Format::Uuid(None)),
    ("uuid3", Format::Uuid(Some(3))),
    ("uuid4", Format::Uuid(Some(4))),
    ("uuid5", Format::Uuid(Some(5))),
    ("byte", Format::Byte),
    ("hexcolor", Format::HexColor),
    ("ip", Format::Ipv4),
    ("base64", Format::Byte),
];

impl Format {
    /// The format of this name, if it is one that is checked.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name && !matches!(name, "ip" | "base64")).map(|(_, format)| *format)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// Whether a text has the format.
    pub fn matches(self, text: &str) -> bool {
        match self {
            Format::DateTime => object::Time::parse(text).is_some(),
            Format::Date => text.len() == 10 && object::Time::parse(&format!("{text}T00:00:00Z")).is_some(),
            Format::Duration => cel::parse_duration(text).is_some(),
            Format::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Format::Cidr => is_cidr(text),
            Format::Mac => is_mac(text),
            Format::Email => text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && is_hostname(host)),
            Format::Hostname => is_hostname(text),
            Format::Uri => is_uri(text),
            Format::Uuid(version) => is_uuid(text, version),
            Format::Byte => crate::base64::decode(text).is_some(),
            Format::HexColor => {
                let digits = text.strip_prefix('#').unwrap_or(text);
                matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
            }
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = if address.parse::<Ipv4Addr>().is_ok() {
        32
    } else if address.parse::<Ipv6Addr>().is_ok() {
        128
    } else {
        return false;
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_hostname(text: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    !text.is_empty() && text.len() <= 255 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// An absolute URI, or an absolute path, as Go's `url.ParseRequestURI` takes them.
fn is_uri(text: &str) -> bool {
    if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return false;
    }
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    text.starts_with('/') || scheme.is_some_and(is_scheme)
}

fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let well_formed = digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit);
    let said = digits.get(12).and_then(|b| char::from(*b).to_digit(16));
    well_formed && version.is_none_or(|version| said == Some(u32::from(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (name, good, bad) in [
            ("date-time", "2020-01-01T00:00:00Z", "now"),
            ("date", "2020-01-31", "2020-02-31"),
            ("duration", "1h30m", "1x"),
            ("ipv4", "10.0.0.1", "999.1.1.1"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:1b:44:11:3a:b7", "00:1b"),
            ("email", "a@b.io", "a"),
            ("hostname", "a.b", "-a"),
            ("uri", "https://x/y", "x y"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ("byte", "YQ==", "?"),
        ] {
            let format = Format::named(name).unwrap();
            assert_eq!((format.name(), format.matches(good), format.matches(bad)), (name, true, false));
        }
        assert!(Format::named("int32").is_none() && Format::named("anything").is_none());
    }
}
