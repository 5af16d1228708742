//! Reading a container's log, as `kubectl logs` asks for it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use wasmkube_runner::log::rotated;

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes are sent in pieces of about this size.
const PIECE: usize = 32 << 10;
/// The runner keeps fewer files.
const MAX_FILES: u32 = 16;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Go on as the log grows.
    pub follow: bool,
    /// Put each line's time before it.
    pub timestamps: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Only lines from this time on, as the log writes time.
    pub since: Option<String>,
    /// Only so many bytes.
    pub limit: Option<u64>,
}

/// Sends a log. `running` says whether there may be more. Who listens may go away at any time.
pub async fn send(path: PathBuf, options: Options, running: impl Fn() -> bool, to: Sender<Bytes>) {
    let mut out = Out { left: options.limit.unwrap_or(u64::MAX), options, middle: [false; 2], buffer: Vec::new(), to };
    let mut file = None;
    let skip = out.options.tail.map_or(0, |tail| count(&path, &out.options).saturating_sub(tail));
    let mut number = 0;
    for older in history(&path) {
        file = Follower::open(&older).or(file);
        while let Some(line) = file.as_mut().and_then(Follower::next) {
            if !out.wants(&line) {
                continue;
            }
            if number >= skip && !out.line(&line).await {
                return;
            }
            number += u64::from(ends(&line));
        }
    }
    while out.flush().await && out.options.follow {
        // Asked before reading: what is written before the end is then always read.
        let more = running();
        let mut idle = true;
        while let Some(line) = file.as_mut().and_then(Follower::next) {
            idle = false;
            if out.wants(&line) && !out.line(&line).await {
                return;
            }
        }
        if !idle {
            continue;
        }
        let current = fs::metadata(&path).ok().map(|meta| meta.ino());
        if current.is_some() && current != file.as_ref().map(|file| file.inode) {
            file = Follower::open(&path).or(file);
        } else if !more {
            break;
        } else if tokio::time::timeout(LOOK, out.to.closed()).await.is_ok() {
            return;
        }
    }
}

/// The log's files, oldest first.
fn history(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = (1..MAX_FILES).map(|number| rotated(path, number)).take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(path.to_path_buf());
    files
}

/// Lines that are wanted.
fn count(path: &Path, options: &Options) -> u64 {
    let mut lines = 0;
    for file in history(path) {
        let Some(mut file) = Follower::open(&file) else { continue };
        let mut middle = false;
        while let Some(line) = file.next() {
            if wanted(&line, options) {
                middle = !ends(&line);
                lines += u64::from(!middle);
            }
        }
        lines += u64::from(middle);
    }
    lines
}

/// A log file that may grow.
struct Follower {
    reader: BufReader<File>,
    inode: u64,
    partial: Vec<u8>,
}

impl Follower {
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let inode = file.metadata().ok()?.ino();
        Some(Follower { reader: BufReader::new(file), inode, partial: Vec::new() })
    }

    /// The next whole line, with its end.
    fn next(&mut self) -> Option<Vec<u8>> {
        self.reader.read_until(b'\n', &mut self.partial).ok()?;
        (self.partial.last() == Some(&b'\n')).then(|| std::mem::take(&mut self.partial))
    }
}

/// Time, stream, tag and text of a line of the log.
fn parts(line: &[u8]) -> Option<[&[u8]; 4]> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    Some([parts.next()?, parts.next()?, parts.next()?, parts.next()?])
}

/// Whether this is a line of the container or the last piece of one.
fn ends(line: &[u8]) -> bool {
    parts(line).is_some_and(|[_, _, tag, _]| tag == b"F")
}

fn wanted(line: &[u8], options: &Options) -> bool {
    // Times are all written in one form, so they compare as text.
    options.since.as_ref().is_none_or(|since| parts(line).is_some_and(|[time, ..]| time >= since.as_bytes()))
}

struct Out {
    options: Options,
    left: u64,
    /// Whether the last piece of each stream was not the end of its line.
    middle: [bool; 2],
    buffer: Vec<u8>,
    to: Sender<Bytes>,
}

impl Out {
    fn wants(&self, line: &[u8]) -> bool {
        wanted(line, &self.options)
    }

    /// Takes a line of the log; false when there is nothing more to do.
    async fn line(&mut self, line: &[u8]) -> bool {
        let Some([time, stream, tag, text]) = parts(line) else { return true };
        let Some(middle) = self.middle.get_mut(usize::from(stream == b"stderr")) else { return true };
        if self.options.timestamps && !*middle {
            self.buffer.extend_from_slice(time);
            self.buffer.push(b' ');
        }
        *middle = tag != b"F";
        let text = if *middle { text.strip_suffix(b"\n").unwrap_or(text) } else { text };
        self.buffer.extend_from_slice(text);
        let full = self.buffer.len() as u64 >= self.left;
        if full || self.buffer.len() >= PIECE { self.flush().await && !full } else { true }
    }

    async fn flush(&mut self) -> bool {
        let mut piece = std::mem::take(&mut self.buffer);
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        piece.is_empty() || self.to.send(piece.into()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(path: &Path, options: Options) -> String {
        let (to, mut from) = tokio::sync::mpsc::channel(100);
        send(path.to_path_buf(), options, || false, to).await;
        let mut out = Vec::new();
        while let Some(bytes) = from.recv().await {
            out.extend_from_slice(&bytes);
        }
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn logs_are_read_as_asked() {
        let dir = std::env::temp_dir().join(format!("wasmkube-logs-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("0.log");
        let stamp = |second: u32| format!("2026-11-20T00:00:{second:02}.000000000Z");
        fs::write(rotated(&path, 1), format!("{} stdout F one\n{} stderr F two\n", stamp(1), stamp(2))).unwrap();
        fs::write(&path, format!("{} stdout P thr\n{} stdout F ee\n{} stdout P end", stamp(3), stamp(3), stamp(4))).unwrap();
        let none = Options::default;
        let cases = [
            ("all", none(), "one\ntwo\nthree\n".to_owned()),
            ("tail", Options { tail: Some(2), ..none() }, "two\nthree\n".to_owned()),
            ("no tail", Options { tail: Some(0), ..none() }, String::new()),
            ("since", Options { since: Some(stamp(2)), ..none() }, "two\nthree\n".to_owned()),
            ("limit", Options { limit: Some(5), ..none() }, "one\nt".to_owned()),
            ("times", Options { timestamps: true, tail: Some(1), ..none() }, format!("{} three\n", stamp(3))),
            ("followed to its end", Options { follow: true, ..none() }, "one\ntwo\nthree\n".to_owned()),
        ];
        for (name, options, want) in cases {
            assert_eq!(read(&path, options).await, want, "{name}");
        }
        assert_eq!(read(&dir.join("none.log"), none()).await, "");
        fs::remove_dir_all(dir).unwrap();
    }
}
