//! When a CronJob's Jobs start.

use object::cron::Schedule;
use object::value::{at, i64_at, str_at};
use object::zone::Zone;
use object::{Time, Value};

/// More missed times than this are worth a warning.
const MANY: u64 = 100;
/// So many times are looked at one by one, for schedules whose times are not evenly apart.
const LOOKED_AT: u32 = 1_000;

/// The schedule of a CronJob, and from when on it counts.
pub struct Timing {
    schedule: Schedule,
    zone: Zone,
    since: Time,
    deadline: Option<u64>,
}

/// The last time that has passed without a Job.
pub struct Missed {
    pub at: Time,
    pub too_many: bool,
}

impl Timing {
    /// Reads it; the error is the reason and message of an event.
    pub fn read(cron: &Value) -> Result<Self, (&'static str, String)> {
        let name = str_at(cron, &["spec", "timeZone"]);
        let zone = Zone::named(name).map_err(|why| ("UnknownTimeZone", format!("invalid timeZone: {name:?}: {why}")))?;
        let text = str_at(cron, &["spec", "schedule"]);
        let schedule =
            Schedule::parse(text).map_err(|why| ("UnparseableSchedule", format!("unparseable schedule: {text:?} : {why}")))?;
        let time = |path: &[&str]| at(cron, path).and_then(Value::as_str).and_then(Time::parse);
        let since = time(&["status", "lastScheduleTime"]).or_else(|| time(&["metadata", "creationTimestamp"]));
        let deadline = i64_at(cron, &["spec", "startingDeadlineSeconds"]).and_then(|s| u64::try_from(s).ok());
        Ok(Timing { schedule, zone, since: since.unwrap_or_default(), deadline })
    }

    /// The last time up to now that no Job was made for; older ones than the deadline do not count.
    pub fn missed(&self, now: Time) -> Option<Missed> {
        let floor = self.deadline.map(|seconds| Time(now.0.saturating_sub(seconds.saturating_mul(1_000_000))));
        let first = self.following(floor.map_or(self.since, |floor| floor.max(self.since)))?;
        if first > now {
            return None;
        }
        let second = self.following(first).filter(|second| *second <= now);
        let Some(second) = second else { return Some(Missed { at: first, too_many: false }) };
        let between = second.secs_since(first).max(1);
        let count = now.secs_since(first) / between + 1;
        // Near the end, if times are evenly apart; otherwise from there on, which may be past a gap.
        let near = first.plus_secs(count.saturating_sub(2).saturating_mul(between));
        let mut last = second;
        let mut at = if self.following(near).is_some_and(|next| next <= now) { near } else { second };
        for _ in 0..LOOKED_AT {
            let Some(next) = self.following(at).filter(|next| *next <= now) else { break };
            (last, at) = (next, next);
        }
        Some(Missed { at: last, too_many: count > MANY })
    }

    /// The next time.
    pub fn next(&self, now: Time) -> Option<Time> {
        match &self.schedule {
            // Counts from the last one that was due.
            Schedule::Every(seconds) => {
                let passed = now.secs().saturating_sub(self.since.secs()) / seconds;
                Some(self.since.plus_secs((passed + 1).saturating_mul(*seconds)))
            }
            Schedule::Fields(_) => self.following(now),
        }
    }

    /// A time on the clocks of the CronJob's zone.
    pub fn local(&self, time: Time) -> String {
        let offset = self.zone.offset_at(time.secs());
        if offset == 0 {
            return time.rfc3339();
        }
        let shifted = Time::from_secs(time.secs().saturating_add_signed(offset)).rfc3339();
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
        format!("{}{sign}{:02}:{:02}", shifted.trim_end_matches('Z'), minutes / 60, minutes % 60)
    }

    fn following(&self, time: Time) -> Option<Time> {
        self.schedule.next(time, &self.zone)
    }
}

/// `Fri, 20 Nov 2026 22:00:00 +0000`.
pub fn rfc1123(time: Time) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time.rfc3339();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let day = usize::try_from(time.secs() / 86_400 % 7).ok().and_then(|day| DAYS.get(day)).unwrap_or(&"");
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1))).unwrap_or(&"");
    format!("{day}, {} {month} {} {} +0000", part(8, 10), part(0, 4), part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::json;

    fn missed(schedule: &str, deadline: Option<u64>, now: &str) -> Option<(String, bool)> {
        let mut cron =
            json!({"metadata": {"creationTimestamp": "2026-11-20T22:00:30Z"}, "spec": {"schedule": schedule, "timeZone": "UTC"}});
        if let Some(deadline) = deadline {
            cron["spec"]["startingDeadlineSeconds"] = deadline.into();
        }
        let timing = Timing::read(&cron).unwrap_or_else(|(_, why)| panic!("{why}"));
        timing.missed(Time::parse(now).expect(now)).map(|m| (m.at.rfc3339(), m.too_many))
    }

    #[test]
    fn the_last_missed_time_is_found() {
        let at = |text: &str, too_many| Some((text.to_owned(), too_many));
        for (name, schedule, deadline, now, wanted) in [
            ("none yet", "0 * * * *", None, "2026-11-20T22:59:59Z", None),
            ("the first", "0 * * * *", None, "2026-11-20T23:00:00Z", at("2026-11-20T23:00:00Z", false)),
            ("two", "0 * * * *", None, "2026-11-21T00:30:00Z", at("2026-11-21T00:00:00Z", false)),
            ("of many", "* * * * *", None, "2026-11-21T22:00:10Z", at("2026-11-21T22:00:00Z", true)),
            ("uneven", "0 0 * * 1-5", None, "2026-11-29T12:00:00Z", at("2026-11-27T00:00:00Z", false)),
            ("past the deadline", "0 * * * *", Some(60), "2026-11-20T23:30:00Z", None),
        ] {
            assert_eq!(missed(schedule, deadline, now), wanted, "{name}");
        }
    }

    #[test]
    fn times_are_written_as_mails_write_them() {
        assert_eq!(rfc1123(Time::parse("2026-11-20T22:00:00Z").expect("a time")), "Fri, 20 Nov 2026 22:00:00 +0000");
    }
}
