//! The image `wasmkube/stress`: eats what it is told to, for trying out limits.
//!
//! `--memory 64Mi` takes so much memory and keeps it; `--cpu 0.5` keeps that share of one CPU busy (a program has one
//! thread, so more than 1 is 1); `--seconds 10` ends after so long, otherwise it goes on until it is stopped.

use std::time::{Duration, Instant};

/// Memory is taken in steps of this many bytes, so that a log shows how far it came.
const STEP: usize = 4 << 20;
/// Work and rest alternate in periods of this length.
const PERIOD: Duration = Duration::from_millis(100);

#[derive(Debug, Default, PartialEq)]
struct Wishes {
    memory: usize,
    cpu: f64,
    seconds: Option<f64>,
}

fn main() {
    let wishes = match parse(std::env::args().skip(1)) {
        Ok(wishes) => wishes,
        Err(problem) => {
            eprintln!("{problem}\nusage: stress [--memory 64Mi] [--cpu 0.5] [--seconds 10]");
            std::process::exit(2);
        }
    };
    let end = wishes.seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs_f64(seconds)));
    let memory = take(wishes.memory);
    println!("holding {} bytes, keeping {} of a CPU busy", wishes.memory, wishes.cpu);
    let mut sum = 0u64;
    while end.is_none_or(|end| Instant::now() < end) {
        let start = Instant::now();
        let busy = PERIOD.mul_f64(wishes.cpu);
        while start.elapsed() < busy {
            sum = (0..10_000u64).fold(sum, |sum, number| std::hint::black_box(sum.wrapping_mul(31) ^ number));
        }
        std::thread::sleep(PERIOD.saturating_sub(start.elapsed()));
    }
    println!("done ({} bytes held, {sum:x})", memory.iter().map(Vec::len).sum::<usize>());
}

/// Takes memory and writes to all of it, so that it is really used.
fn take(bytes: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    let mut left = bytes;
    while left > 0 {
        let step = left.min(STEP);
        taken.push(vec![1; step]);
        left -= step;
    }
    taken
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wishes, String> {
    let mut wishes = Wishes::default();
    while let Some(flag) = arguments.next() {
        let (flag, value) = match flag.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), value.to_owned()),
            None => (flag.clone(), arguments.next().ok_or(format!("{flag} needs a value"))?),
        };
        let wrong = || format!("{flag}: {value:?} is not an amount");
        match flag.as_str() {
            "--memory" => wishes.memory = bytes(&value).ok_or_else(wrong)?,
            "--cpu" => wishes.cpu = fraction(&value).ok_or_else(wrong)?.min(1.0),
            "--seconds" => wishes.seconds = Some(fraction(&value).ok_or_else(wrong)?),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    Ok(wishes)
}

fn fraction(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| (0.0..=1e9).contains(number))
}

fn bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: usize = match &text[digits.len()..] {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let parse = |text: &str| parse(text.split_whitespace().map(str::to_owned));
        assert_eq!(parse("--memory 64Mi --cpu=0.5"), Ok(Wishes { memory: 64 << 20, cpu: 0.5, seconds: None }));
        assert_eq!(parse("--cpu 4 --seconds 2"), Ok(Wishes { memory: 0, cpu: 1.0, seconds: Some(2.0) }));
        for wrong in ["--memory", "--memory 1Xi", "--cpu -1", "--speed 3", "--seconds inf"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
