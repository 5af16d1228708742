//! Schedules as cron writes them: five fields, or a descriptor such as `@hourly` or `@every 90s`. Zones are in [`crate::zone`].
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax>

use crate::time::Time;
use crate::zone::Zone;

/// A schedule that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Minute, hour, day of month, month, day of week; each a set of bits.
    Fields([u64; 5]),
    /// So many seconds after the time before.
    Every(u64),
}

/// Says that a field was written as `*`: days of the month and of the week then limit each other.
const STAR: u64 = 1 << 63;
/// A schedule that does not come true in so many days never does.
const HORIZON_DAYS: u64 = 5 * 366;

struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const BOUNDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: MONTHS },
    Bounds { min: 0, max: 6, names: DAYS },
];

impl Schedule {
    /// Reads a schedule; the error is what Kubernetes says.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let (location, spec) = match text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            None => ("", text),
        };
        if !location.is_empty() {
            Zone::named(location).map_err(|why| format!("provided bad location {location}: {why}"))?;
        }
        let spec = spec.trim();
        if spec.starts_with('@') {
            return Self::descriptor(spec);
        }
        let fields: Vec<&str> = spec.split_whitespace().collect();
        if fields.len() != BOUNDS.len() {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        }
        let mut sets = [0; 5];
        for ((set, field), bounds) in sets.iter_mut().zip(fields).zip(&BOUNDS) {
            for part in field.split(',').filter(|part| !part.is_empty()) {
                *set |= range(part, bounds)?;
            }
        }
        Ok(Schedule::Fields(sets))
    }

    fn descriptor(text: &str) -> Result<Self, String> {
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => {
                let Some(every) = text.strip_prefix("@every ") else { return Err(format!("unrecognized descriptor: {text}")) };
                let seconds = duration(every)
                    .ok_or_else(|| format!("failed to parse duration {text}: time: invalid duration {every:?}"))?;
                return Ok(Schedule::Every(seconds.max(1)));
            }
        };
        Self::parse(fields)
    }

    /// The next time after `after`, in whole seconds. `None` if it never comes.
    pub fn next(&self, after: Time, zone: &Zone) -> Option<Time> {
        match self {
            Schedule::Every(seconds) => Some(Time::from_secs(after.secs().saturating_add(*seconds))),
            Schedule::Fields(sets) => next_match(sets, after.secs(), zone).map(Time::from_secs),
        }
    }
}

fn next_match(sets: &[u64; 5], after: u64, zone: &Zone) -> Option<u64> {
    let [minutes, hours, days, months, weekdays] = *sets;
    let has = |set: u64, bit: i64| set & (1u64 << bit.clamp(0, 62)) != 0;
    let mut at = (after / 60 + 1) * 60;
    let end = after.saturating_add(HORIZON_DAYS * 86_400);
    while at <= end {
        let local = i64::try_from(at).ok()? + zone.offset_at(at);
        let (day, in_day) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (_, month, of_month) = crate::time::civil_from_days(day);
        let of_week = (day + 4).rem_euclid(7);
        let (hour, minute) = (in_day / 3_600, in_day % 3_600 / 60);
        let (fits_month, fits_week) = (has(days, of_month), has(weekdays, of_week));
        let either = days & STAR == 0 && weekdays & STAR == 0;
        let fits_day = if either { fits_month || fits_week } else { fits_month && fits_week };
        if !has(months, month) || !fits_day {
            // To the end of the day; the last hours one by one, since a clock may be put back or forward in them.
            let left = 86_400 - in_day;
            let to_hour = 3_600 - in_day % 3_600;
            at += if left > 3 * 3_600 { left - 2 * 3_600 } else { to_hour }.unsigned_abs().max(60) / 60 * 60;
        } else if !has(hours, hour) {
            at += ((60 - minute) * 60).unsigned_abs();
        } else if !has(minutes, minute) {
            at += 60;
        } else {
            return Some(at);
        }
    }
    None
}

/// One part of a field: `*`, `5`, `1-5`, each with a step.
fn range(part: &str, bounds: &Bounds) -> Result<u64, String> {
    let pieces: Vec<&str> = part.split('/').collect();
    let ends: Vec<&str> = pieces.first().copied().unwrap_or_default().split('-').collect();
    let mut star = 0;
    let (start, mut end) = match ends.as_slice() {
        ["*" | "?", ..] => {
            star = STAR;
            (bounds.min, bounds.max)
        }
        [one] => {
            let number = number_or_name(one, bounds)?;
            (number, number)
        }
        [from, to] => (number_or_name(from, bounds)?, number_or_name(to, bounds)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let step = match pieces.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if ends.len() == 1 {
                end = bounds.max;
            }
            if step > 1 {
                star = 0;
            }
            step
        }
        _ => return Err(format!("too many slashes: {part}")),
    };
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {part}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {part}", bounds.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((start..=end).step_by(step).fold(star, |set, bit| set | 1 << bit))
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_ascii_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(at) => Ok(bounds.min + at as u32),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let failed = |why: &str| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}");
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(failed("invalid syntax"));
    }
    let number: i64 = text.parse().map_err(|_| failed("value out of range"))?;
    if number < 0 {
        return Err(format!("negative number ({number}) not allowed: {text}"));
    }
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A duration as Go writes it (`1h30m`), in whole seconds.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text.trim_start_matches('+');
    let mut seconds = 0.0;
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (seconds < 9.2e9).then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone: &str, after: &str) -> String {
        let schedule = Schedule::parse(schedule).expect(schedule);
        let zone = Zone::named(zone).expect(zone);
        schedule.next(Time::parse(after).expect(after), &zone).map_or("never".to_owned(), Time::rfc3339)
    }

    #[test]
    fn schedules_say_when() {
        for (schedule, zone, after, wanted) in [
            ("* * * * *", "UTC", "2026-11-20T22:00:30Z", "2026-11-20T22:01:00Z"),
            ("*/15 * * * *", "UTC", "2026-11-20T22:00:00Z", "2026-11-20T22:15:00Z"),
            ("5/20 * * * *", "UTC", "2026-11-20T22:26:00Z", "2026-11-20T22:45:00Z"),
            ("0 3 * * mon-fri", "UTC", "2026-11-20T22:00:00Z", "2026-11-23T03:00:00Z"),
            ("0 0 13 * FRI", "UTC", "2026-11-20T22:00:00Z", "2026-11-27T00:00:00Z"),
            ("0 0 29 2 *", "UTC", "2026-11-20T22:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 31 2 *", "UTC", "2026-11-20T22:00:00Z", "never"),
            ("@hourly", "UTC", "2026-11-20T22:00:00Z", "2026-11-20T23:00:00Z"),
            ("@yearly", "UTC", "2026-11-20T22:00:00Z", "2027-01-01T00:00:00Z"),
            ("@every 1m30s", "UTC", "2026-11-20T22:00:00Z", "2026-11-20T22:01:30Z"),
            ("0 9 * * *", "Asia/Kolkata", "2026-11-20T22:00:00Z", "2026-11-21T03:30:00Z"),
            ("0 9 * * *", "Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-02T07:00:00Z"),
            // In the night when clocks go forward there is no half past two.
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),
            ("30 2 * * *", "America/New_York", "2026-11-01T06:00:00Z", "2026-11-01T07:30:00Z"),
        ] {
            assert_eq!(next(schedule, zone, after), wanted, "{schedule} in {zone}");
        }
    }

    #[test]
    fn wrong_schedules_are_refused_in_kubernetes_words() {
        for (schedule, wanted) in [
            ("", "empty spec string"),
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("*/2/3 * * * *", "too many slashes: */2/3"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("@never", "unrecognized descriptor: @never"),
        ] {
            assert_eq!(Schedule::parse(schedule), Err(wanted.to_owned()), "{schedule}");
        }
    }
}
