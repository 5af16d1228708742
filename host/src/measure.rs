//! What only the host can measure: how long answers took, and what its process uses.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cluster::wire::{DURATION_BOUNDS, Durations, Kind, Measured};

/// Most kinds of requests that are told apart.
const MAX_KINDS: usize = 1 << 16;

/// How long requests took, by kind.
#[derive(Default)]
pub struct Meter(Mutex<Vec<Taken>>);

#[derive(Clone, Copy)]
struct Taken {
    counts: [u64; DURATION_BOUNDS.len() + 1],
    sum: u64,
}

impl Meter {
    /// A request of this kind took so long.
    pub fn took(&self, kind: Kind, duration: Duration) {
        let kind = kind as usize;
        if kind >= MAX_KINDS {
            return;
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() <= kind {
            all.resize(kind + 1, Taken { counts: [0; DURATION_BOUNDS.len() + 1], sum: 0 });
        }
        let taken = &mut all[kind];
        taken.counts[DURATION_BOUNDS.partition_point(|bound| *bound < micros)] += 1;
        taken.sum = taken.sum.saturating_add(micros);
    }

    /// Everything so far.
    pub fn measured(&self) -> Measured {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let durations = all.iter().enumerate().filter(|(_, taken)| taken.counts.iter().any(|count| *count > 0));
        let durations = durations.map(|(kind, taken)| Durations {
            kind: Kind::try_from(kind).unwrap_or(Kind::MAX),
            counts: taken.counts.to_vec(),
            sum: taken.sum,
        });
        Measured { durations: durations.collect(), process: process() }
    }
}

/// What Linux says of this process, under Prometheus' names.
fn process() -> Vec<(String, f64)> {
    let mut values = Vec::new();
    let mut say = |name: &str, value: Option<f64>| values.extend(value.map(|value| (name.to_owned(), value)));
    let page = 4096.0;
    // A clock tick is a hundredth of a second wherever Linux runs.
    let ticks = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before it may hold anything.
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    let field = |number: usize| fields.get(number - 3).copied();
    say("process_cpu_seconds_total", field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks));
    say("process_max_fds", max_fds());
    say("process_open_fds", std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64));
    say("process_resident_memory_bytes", field(24).map(|pages| pages * page));
    say("process_start_time_seconds", boot_time().zip(field(22)).map(|(boot, start)| boot + start / ticks));
    say("process_virtual_memory_bytes", field(23));
    values
}

fn max_fds() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

fn boot_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_kind() {
        let meter = Meter::default();
        meter.took(2, Duration::from_millis(5));
        meter.took(2, Duration::from_millis(6));
        meter.took(0, Duration::from_secs(100));
        let measured = meter.measured();
        let kinds: Vec<u32> = measured.durations.iter().map(|durations| durations.kind).collect();
        assert_eq!(kinds, [0, 2]);
        assert_eq!(measured.durations[0].counts.last(), Some(&1));
        assert_eq!((&measured.durations[1].counts[..3], measured.durations[1].sum), (&[1, 1, 0][..], 11_000));
        let names: Vec<&str> = measured.process.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        assert!(measured.process.iter().all(|(_, value)| *value > 0.0 || value.is_sign_positive()));
    }
}
