//! A container's log in the format of Kubernetes' container runtime interface:
//! `2026-11-20T22:31:00.123456789Z stdout F a line`, with `P` for a piece of a line that goes on.
//!
//! The runner writes it itself, so that neither a copy through the node agent is needed nor is anything lost while the
//! agent restarts.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::spec;

/// Longer lines are split into pieces.
pub const MAX_LINE: usize = 16 << 10;

/// One of a container's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Writes a container's log.
pub struct Writer {
    file: File,
    written: u64,
    limits: spec::Log,
    pending: [Vec<u8>; 2],
    line: Vec<u8>,
}

impl Writer {
    /// Opens the log for appending.
    pub fn open(log: &spec::Log) -> io::Result<Self> {
        let file = open(&log.path)?;
        let written = file.metadata()?.len();
        Ok(Writer { file, written, limits: log.clone(), pending: [Vec::new(), Vec::new()], line: Vec::new() })
    }

    /// Takes bytes that the container wrote.
    pub fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        let now = now();
        self.line.clear();
        let pending = &mut self.pending[stream as usize];
        while let Some(at) = bytes.iter().position(|b| *b == b'\n') {
            pending.extend_from_slice(&bytes[..at]);
            bytes = &bytes[at + 1..];
            split_long(&mut self.line, now, stream, pending);
            push(&mut self.line, now, stream, "F", pending);
            pending.clear();
        }
        pending.extend_from_slice(bytes);
        split_long(&mut self.line, now, stream, pending);
        self.put()
    }

    /// Writes what is left of unfinished lines.
    pub fn finish(&mut self) -> io::Result<()> {
        let now = now();
        self.line.clear();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let pending = &mut self.pending[stream as usize];
            if !pending.is_empty() {
                push(&mut self.line, now, stream, "P", pending);
                pending.clear();
            }
        }
        self.put()
    }

    fn put(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.line)?;
        self.written += self.line.len() as u64;
        if self.limits.max_bytes > 0 && self.written >= self.limits.max_bytes {
            self.rotate()?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.limits.max_files.max(1)).rev() {
            let from = if number == 1 { self.limits.path.clone() } else { rotated(&self.limits.path, number - 1) };
            match std::fs::rename(from, rotated(&self.limits.path, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.limits.max_files <= 1 {
            self.file.set_len(0)?;
        } else {
            self.file = open(&self.limits.path)?;
        }
        self.written = 0;
        Ok(())
    }
}

/// The log's older files: 1 is the youngest of them.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn split_long(out: &mut Vec<u8>, now: Duration, stream: Stream, pending: &mut Vec<u8>) {
    while pending.len() > MAX_LINE {
        push(out, now, stream, "P", &pending[..MAX_LINE]);
        pending.drain(..MAX_LINE);
    }
}

fn push(out: &mut Vec<u8>, now: Duration, stream: Stream, tag: &str, text: &[u8]) {
    out.extend_from_slice(timestamp(now).as_bytes());
    out.extend_from_slice(format!(" {} {tag} ", stream.name()).as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// RFC 3339 with nanoseconds, from the time since 1970.
pub fn timestamp(since: Duration) -> String {
    let (days, rest) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    // Civil date from days, counting years from March so that a leap day comes last.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("wasmkube-log-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&dir).ok();
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The log without its timestamps.
    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn lines_are_tagged() {
        let dir = scratch("tags");
        let log = spec::Log { path: dir.join("0.log"), max_bytes: 0, max_files: 1 };
        let mut writer = Writer::open(&log).unwrap();
        writer.write(Stream::Stdout, b"one\ntw").unwrap();
        writer.write(Stream::Stderr, b"oops\n").unwrap();
        writer.write(Stream::Stdout, b"o\n\nend").unwrap();
        writer.finish().unwrap();
        assert_eq!(lines(&log.path), ["stdout F one", "stderr F oops", "stdout F two", "stdout F ", "stdout P end"]);
        writer.write(Stream::Stdout, &[b'x'; MAX_LINE + 3]).unwrap();
        writer.write(Stream::Stdout, b"\n").unwrap();
        let all = lines(&log.path);
        assert_eq!(all[5], format!("stdout P {}", "x".repeat(MAX_LINE)));
        assert_eq!(all[6], "stdout F xxx");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn old_files_are_kept_up_to_a_number() {
        let dir = scratch("rotate");
        let log = spec::Log { path: dir.join("0.log"), max_bytes: 60, max_files: 3 };
        let mut writer = Writer::open(&log).unwrap();
        for number in 0..8 {
            writer.write(Stream::Stdout, format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(lines(&log.path), [""; 0]);
        assert_eq!(lines(&rotated(&log.path, 1)), ["stdout F line 6", "stdout F line 7"]);
        assert_eq!(lines(&rotated(&log.path, 2)), ["stdout F line 4", "stdout F line 5"]);
        assert!(!rotated(&log.path, 3).exists());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn time_is_written_as_kubernetes_does() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, 5, "2000-02-29T00:00:00.000000005Z"),
            (1_795_215_059, 120_000_000, "2026-11-20T22:50:59.120000000Z"),
        ];
        for (seconds, nanos, text) in cases {
            assert_eq!(timestamp(Duration::new(seconds, nanos)), text);
        }
    }
}
