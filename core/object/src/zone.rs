//! Time zones: the rules that hold from now on, by the names of IANA's data base (`zones.txt`: a rule of POSIX's `TZ`, and
//! the names it holds for).

use crate::time::{civil_from_days, days_from_civil};

const ZONES: &str = include_str!("zones.txt");

/// The rule of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    standard: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    offset: i64,
    begins: Change,
    ends: Change,
}

/// A change of clocks: month, week of it (5 is the last), day of the week, and seconds from its midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    month: i64,
    week: i64,
    weekday: i64,
    time: i64,
}

impl Zone {
    /// Universal time.
    pub fn utc() -> Self {
        Zone { standard: 0, summer: None }
    }

    /// The zone of this name; the error is what Go says.
    pub fn named(name: &str) -> Result<Self, String> {
        let unknown = || format!("unknown time zone {name}");
        if name.is_empty() || name == "UTC" {
            return Ok(Self::utc());
        }
        let named = |line: &&str| line.split(' ').skip(1).any(|known| known == name);
        let rule = ZONES.lines().find(named).and_then(|line| line.split(' ').next()).ok_or_else(unknown)?;
        Self::parse(rule).ok_or_else(unknown)
    }

    fn parse(rule: &str) -> Option<Self> {
        let mut parts = rule.split(',');
        let rest = skip_name(parts.next()?);
        let (standard, rest) = clock(rest)?;
        if rest.is_empty() {
            return Some(Zone { standard: -standard, summer: None });
        }
        let rest = skip_name(rest);
        let summer = if rest.is_empty() { 3_600 - standard } else { -clock(rest)?.0 };
        let (begins, ends) = (Change::parse(parts.next()?)?, Change::parse(parts.next()?)?);
        Some(Zone { standard: -standard, summer: Some(Summer { offset: summer, begins, ends }) })
    }

    /// Seconds that clocks are before universal time.
    pub fn offset_at(&self, seconds: u64) -> i64 {
        let Some(summer) = &self.summer else { return self.standard };
        let at = i64::try_from(seconds).unwrap_or(i64::MAX / 2);
        let (year, _, _) = civil_from_days((at + self.standard).div_euclid(86_400));
        let (begins, ends) = (summer.begins.on(year) - self.standard, summer.ends.on(year) - summer.offset);
        let is_summer = if begins < ends { begins <= at && at < ends } else { !(ends <= at && at < begins) };
        if is_summer { summer.offset } else { self.standard }
    }
}

impl Change {
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = text.split_once('/').unwrap_or((text, "2"));
        let mut numbers = day.strip_prefix('M')?.split('.').map(|n| n.parse::<i64>().ok());
        let (month, week, weekday) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(Change { month, week, weekday, time: clock(time)?.0 })
    }

    /// The change in a year, on clocks that were not changed yet.
    fn on(&self, year: i64) -> i64 {
        let first = days_from_civil(year, self.month, 1);
        let mut day = first + (self.weekday - (first + 4)).rem_euclid(7) + (self.week - 1) * 7;
        let (next_year, next_month) = if self.month == 12 { (year + 1, 1) } else { (year, self.month + 1) };
        while day >= days_from_civil(next_year, next_month, 1) {
            day -= 7;
        }
        day * 86_400 + self.time
    }
}

/// What comes after a zone's short name, which is letters or anything in angle brackets.
fn skip_name(text: &str) -> &str {
    match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>').map_or("", |(_, rest)| rest),
        None => text.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    }
}

/// `[+-]h[:mm[:ss]]` in seconds, and what comes after it.
fn clock(text: &str) -> Option<(i64, &str)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(digits.len());
    let (clock, rest) = digits.split_at(end);
    let mut seconds = 0;
    for (part, scale) in clock.split(':').zip([3_600, 60, 1]) {
        seconds += part.parse::<i64>().ok()? * scale;
    }
    Some((sign * seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;

    #[test]
    fn every_zone_can_be_read() {
        for rule in ZONES.lines().filter_map(|line| line.split(' ').next()) {
            assert!(Zone::parse(rule).is_some(), "{rule}");
        }
        assert_eq!(Zone::named("Mars/Olympus"), Err("unknown time zone Mars/Olympus".to_owned()));
    }

    #[test]
    fn clocks_are_changed_when_the_rules_say() {
        for (name, at, minutes) in [
            ("UTC", "2026-07-01T00:00:00Z", 0),
            ("Asia/Kathmandu", "2026-07-01T00:00:00Z", 345),
            ("Europe/Berlin", "2026-03-29T00:59:59Z", 60),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", 120),
            ("Europe/Berlin", "2026-10-25T00:59:59Z", 120),
            ("Europe/Berlin", "2026-10-25T01:00:00Z", 60),
            ("America/New_York", "2026-03-08T07:00:00Z", -240),
            ("Australia/Sydney", "2026-01-01T00:00:00Z", 660),
            ("Australia/Sydney", "2026-07-01T00:00:00Z", 600),
            ("Europe/Dublin", "2026-07-01T00:00:00Z", 60),
            ("Europe/Dublin", "2026-01-01T00:00:00Z", 0),
        ] {
            let at = Time::parse(at).expect(at).secs();
            assert_eq!(Zone::named(name).expect(name).offset_at(at), minutes * 60, "{name} at {at}");
        }
    }
}
