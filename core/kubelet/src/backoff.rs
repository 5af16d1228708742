//! Back-off that doubles: for containers that crash and for images that cannot be pulled. Models client-go's
//! `flowcontrol.Backoff` as the kubelet uses it.

use object::Time;

/// The bounds of a back-off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// After the first failure.
    pub base_millis: u64,
    /// At most.
    pub max_millis: u64,
}

/// How long one thing that failed before has to wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackOff(Option<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    millis: u64,
    updated: Time,
}

impl BackOff {
    /// When the thing that failed at `failed` may be tried again, if that is later than `now`.
    pub fn until(&self, failed: Time, now: Time, bounds: Bounds) -> Option<Time> {
        let entry = self.0.filter(|e| !e.expired(failed, bounds))?;
        let until = failed.plus_millis(entry.millis);
        (now < until).then_some(until)
    }

    /// The wait that holds now, for messages.
    pub fn millis(&self) -> u64 {
        self.0.map_or(0, |e| e.millis)
    }

    /// Notes that the thing that failed at `failed` is tried again now; if it fails again, it will wait longer.
    pub fn next(&mut self, failed: Time, now: Time, bounds: Bounds) {
        let millis = match self.0 {
            Some(e) if !e.expired(failed, bounds) => (e.millis.saturating_mul(2)).min(bounds.max_millis),
            _ => bounds.base_millis.min(bounds.max_millis),
        };
        self.0 = Some(Entry { millis, updated: now });
    }
}

impl Entry {
    /// What ran well for twice the longest wait (ten minutes) starts over.
    fn expired(&self, failed: Time, bounds: Bounds) -> bool {
        failed.millis_since(self.updated) > bounds.max_millis.saturating_mul(2)
    }
}

/// `5m0s`, `10s`, `1m20s`: a duration as Go prints it.
pub(crate) fn go_duration(millis: u64) -> String {
    let (hours, minutes, seconds, rest) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60, millis % 1_000);
    if millis < 1_000 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, _) => format!("{minutes}m{seconds}{fraction}s"),
        _ => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_then_waits_double_up_to_five_minutes_and_reset_after_ten() {
        let bounds = Bounds { base_millis: 10_000, max_millis: 300_000 };
        let mut backoff = BackOff::default();
        let mut now = Time::from_secs(1_000);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let failed = now.plus_millis(1);
            let at = backoff.until(failed, failed, bounds).unwrap_or(failed);
            waits.push(at.secs_since(failed));
            backoff.next(failed, at, bounds);
            now = at;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        let long_after = now.plus_secs(601);
        assert_eq!(backoff.until(long_after, long_after, bounds), None);
    }

    #[test]
    fn durations_read_like_go() {
        for (millis, text) in
            [(0, "0s"), (250, "250ms"), (1_500, "1.5s"), (80_000, "1m20s"), (300_000, "5m0s"), (3_600_000, "1h0m0s")]
        {
            assert_eq!(go_duration(millis), text);
        }
    }
}
