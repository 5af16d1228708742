//! Points in time, always handed in from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z. The only clock core knows is the `now` argument of `step`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// From whole seconds since the epoch.
    pub fn from_secs(secs: u64) -> Self {
        Time(secs.saturating_mul(1_000_000))
    }

    /// From milliseconds since the epoch.
    pub fn from_millis(millis: u64) -> Self {
        Time(millis.saturating_mul(1_000))
    }

    /// Whole seconds since the epoch.
    pub fn secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This time plus `millis` milliseconds.
    pub fn plus_millis(self, millis: u64) -> Self {
        Time(self.0.saturating_add(millis.saturating_mul(1_000)))
    }

    /// This time plus `secs` seconds.
    pub fn plus_secs(self, secs: u64) -> Self {
        self.plus_millis(secs.saturating_mul(1_000))
    }

    /// Milliseconds from `earlier` to this time, 0 if `earlier` is later.
    pub fn millis_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// Whole seconds from `earlier` to this time, 0 if `earlier` is later.
    pub fn secs_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }

    /// `metav1.Time`: RFC 3339 in UTC with whole seconds, `2026-11-20T22:00:00Z`.
    pub fn rfc3339(self) -> String {
        rfc3339(self.0 as i64)
    }

    /// `metav1.MicroTime`: RFC 3339 in UTC with six decimals.
    pub fn rfc3339_micros(self) -> String {
        rfc3339_micros(self.0 as i64)
    }

    /// As HTTP's headers have it: `Fri, 20 Nov 2026 22:00:00 GMT`.
    pub fn http_date(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (y, mo, d, h, mi, s) = civil(self.0 as i64);
        let day = DAYS[(self.secs() / 86_400 % 7) as usize];
        let month = usize::try_from(mo - 1).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"Jan");
        format!("{day}, {d:02} {month} {y:04} {h:02}:{mi:02}:{s:02} GMT")
    }

    /// Reads RFC 3339 with any offset and any number of decimals (those beyond microseconds are dropped).
    pub fn parse(text: &str) -> Option<Self> {
        u64::try_from(parse(text)?).ok().map(Time)
    }
}

/// Go's zero time, the beginning of the year 1, in microseconds since 1970.
const GO_ZERO: i64 = -62_135_596_800_000_000;

/// The text of a time in microseconds since 1970, which may lie before, as `metav1.Time` or `metav1.MicroTime`. `None` for Go's
/// zero time, which stands for no time.
pub fn canonical(micros: i64, decimals: bool) -> Option<String> {
    (micros != GO_ZERO).then(|| if decimals { rfc3339_micros(micros) } else { rfc3339(micros) })
}

fn rfc3339(micros: i64) -> String {
    let (y, mo, d, h, mi, s) = civil(micros);
    // Written by hand: every write of an object does it dozens of times, and the formatting machinery is slow.
    let mut out = String::with_capacity(20);
    for (number, digits, after) in [(y, 4, '-'), (mo, 2, '-'), (d, 2, 'T'), (h, 2, ':'), (mi, 2, ':'), (s, 2, 'Z')] {
        let number = u32::try_from(number).unwrap_or(0);
        for place in (0..digits).rev() {
            out.push(char::from(b'0' + (number / 10u32.pow(place) % 10) as u8));
        }
        out.push(after);
    }
    out
}

fn rfc3339_micros(micros: i64) -> String {
    let (y, mo, d, h, mi, s) = civil(micros);
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{:06}Z", micros.rem_euclid(1_000_000))
}

/// Reads RFC 3339 as microseconds since 1970; see [`Time::parse`] for times that cannot lie before.
pub fn parse(text: &str) -> Option<i64> {
    let b = text.as_bytes();
    let num = |from: usize, to: usize| -> Option<i64> {
        let part = text.get(from..to)?;
        if part.bytes().all(|c| c.is_ascii_digit()) { part.parse().ok() } else { None }
    };
    let sep = |at: usize, c: &[u8]| b.get(at).is_some_and(|x| c.contains(x));
    if !(sep(4, b"-") && sep(7, b"-") && sep(10, b"Tt") && sep(13, b":") && sep(16, b":")) {
        return None;
    }
    let (y, mo, d, h, mi, s) = (num(0, 4)?, num(5, 7)?, num(8, 10)?, num(11, 13)?, num(14, 16)?, num(17, 19)?);
    if !(1..=12).contains(&mo) || d < 1 || d > days_in_month(y, mo) || h > 23 || mi > 59 || s > 60 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0i64;
    if sep(at, b".") {
        at += 1;
        let start = at;
        while b.get(at).is_some_and(u8::is_ascii_digit) {
            if at - start < 6 {
                micros += i64::from(b[at] - b'0') * 10i64.pow(5 - (at - start) as u32);
            }
            at += 1;
        }
        if at == start {
            return None;
        }
    }
    let offset = match b.get(at)? {
        b'Z' | b'z' if at + 1 == b.len() => 0,
        sign @ (b'+' | b'-') if at + 6 == b.len() && sep(at + 3, b":") => {
            let minutes = num(at + 1, at + 3)? * 60 + num(at + 4, at + 6)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let secs = days_from_civil(y, mo, d) * 86_400 + h * 3_600 + mi * 60 + s - offset * 60;
    secs.checked_mul(1_000_000)?.checked_add(micros)
}

fn civil(micros: i64) -> (i64, i64, i64, i64, i64, i64) {
    let secs = micros.div_euclid(1_000_000);
    let (days, rest) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    let (y, m, d) = civil_from_days(days);
    (y, m, d, rest / 3_600, rest % 3_600 / 60, rest % 60)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

fn days_in_month(y: i64, m: i64) -> i64 {
    match m {
        4 | 6 | 9 | 11 => 30,
        2 if (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 => 29,
        2 => 28,
        _ => 31,
    }
}

// The proleptic Gregorian calendar counted in 400-year eras whose years begin in March, so that the leap day comes last.
pub(crate) fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http() {
        for (time, expect) in [
            ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("2026-11-20T22:00:05Z", "Fri, 20 Nov 2026 22:00:05 GMT"),
            ("2024-02-29T01:02:03Z", "Thu, 29 Feb 2024 01:02:03 GMT"),
        ] {
            assert_eq!(Time::parse(time).unwrap().http_date(), expect);
        }
    }

    #[test]
    fn formats_and_parses() {
        for (secs, text) in
            [(0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_795_212_345, "2026-11-20T22:05:45Z")]
        {
            assert_eq!(Time::from_secs(secs).rfc3339(), text);
            assert_eq!(Time::parse(text), Some(Time::from_secs(secs)));
        }
        assert_eq!(Time(1_500_000).rfc3339_micros(), "1970-01-01T00:00:01.500000Z");
        assert_eq!(Time::parse("1970-01-01T01:00:01.5+01:00"), Some(Time(1_500_000)));
        for bad in [
            "",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "1969-01-01T00:00:00Z",
        ] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_before_1970_have_texts_too() {
        for text in ["0001-01-01T00:00:02.000000Z", "1969-12-31T23:59:59.999999Z", "2026-11-20T22:05:45.000001Z"] {
            assert_eq!(canonical(parse(text).expect(text), true).as_deref(), Some(text));
        }
        assert_eq!(canonical(-1, false).as_deref(), Some("1969-12-31T23:59:59Z"));
        assert_eq!(canonical(parse("0001-01-01T00:00:00Z").expect("a time"), false), None, "Go's zero time");
    }
}
