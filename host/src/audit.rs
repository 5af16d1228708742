//! The audit log's file: events come as finished lines, and are written in their order by a thread of their own.
//!
//! As with kube-apiserver's log backend in its mode `blocking`, nothing is left out when the disk is slow: the control plane
//! waits. A file that grows beyond its size is renamed as kube-apiserver does it (`audit-2026-01-02T15-04-05.000.log`).

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use object::Time;

/// How many events may wait for the disk.
const WAITING: usize = 1024;

/// How large a file becomes where nothing is said, in MiB.
const DEFAULT_MAX_SIZE: u64 = 100;

/// What is recorded and where to.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// A file with an `audit.k8s.io/v1` Policy.
    pub policy: PathBuf,
    /// Where events go; `-` is standard output.
    pub path: PathBuf,
    /// Largest size of a file in MiB; 0 is 100.
    pub max_size: u64,
    /// How many full files are kept; 0 is all.
    pub max_backup: u32,
}

impl AuditOptions {
    /// The policy's text, if it is one.
    pub fn policy(&self) -> Result<String> {
        let name = self.policy.display();
        let text = std::fs::read_to_string(&self.policy)
            .with_context(|| format!("--audit-policy-file: failed to read file path {name}"))?;
        cluster::wire::check_audit_policy(&text).map_err(|why| anyhow::anyhow!("--audit-policy-file {name}: {why}"))?;
        Ok(text)
    }
}

enum Message {
    Line(Bytes),
    Flush(Sender<()>),
}

/// A handle to the log. Cheap to clone.
#[derive(Clone)]
pub struct AuditLog {
    sender: SyncSender<Message>,
    /// Whether the last thing handed over could not be written.
    fails: Arc<AtomicBool>,
}

impl AuditLog {
    /// Opens the log, and goes on at its end.
    pub fn open(options: &AuditOptions) -> Result<Self> {
        let mut log = Log::open(options).with_context(|| format!("--audit-log-path {}", options.path.display()))?;
        let (sender, receiver) = sync_channel(WAITING);
        let fails = log.fails.clone();
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || log.run(&receiver))
            .context("cannot start a thread")?;
        Ok(AuditLog { sender, fails })
    }

    /// Hands over one line; waits while too many wait.
    pub fn write(&self, line: Bytes) {
        drop(self.sender.send(Message::Line(line)));
    }

    /// Whether it cannot be written.
    pub fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Returns when everything handed over is written.
    pub fn flush(&self) {
        let (sender, receiver) = channel();
        if self.sender.send(Message::Flush(sender)).is_ok() {
            let _ = receiver.recv();
        }
    }
}

struct Log {
    out: BufWriter<Box<dyn Write + Send>>,
    /// Nothing for standard output, which does not grow.
    path: Option<PathBuf>,
    size: u64,
    max_size: u64,
    max_backup: u32,
    fails: Arc<AtomicBool>,
}

impl Log {
    fn open(options: &AuditOptions) -> Result<Self> {
        let max_size = if options.max_size == 0 { DEFAULT_MAX_SIZE } else { options.max_size } << 20;
        let max_backup = options.max_backup;
        if options.path == Path::new("-") {
            let out = BufWriter::new(Box::new(std::io::stdout()) as Box<dyn Write + Send>);
            return Ok(Log { out, path: None, size: 0, max_size, max_backup, fails: Arc::default() });
        }
        let (file, size) = append(&options.path)?;
        let out = BufWriter::new(Box::new(file) as Box<dyn Write + Send>);
        Ok(Log { out, path: Some(options.path.clone()), size, max_size, max_backup, fails: Arc::default() })
    }

    /// Writes until nobody is left to hand lines over. What cannot be written is said, and the next line is tried again.
    fn run(&mut self, receiver: &Receiver<Message>) {
        while let Ok(mut message) = receiver.recv() {
            let mut waiting = Vec::new();
            let mut result = Ok(());
            loop {
                match message {
                    Message::Line(line) => result = result.and(self.line(&line)),
                    Message::Flush(done) => waiting.push(done),
                }
                match receiver.try_recv() {
                    Ok(next) => message = next,
                    Err(_) => break,
                }
            }
            result = result.and(self.out.flush().map_err(anyhow::Error::from));
            self.fails.store(result.is_err(), Ordering::Relaxed);
            if let Err(error) = result {
                eprintln!("error: the audit log: {error:#}");
            }
            for done in waiting {
                let _ = done.send(());
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let length = line.len() as u64;
        if self.size > 0
            && self.size + length > self.max_size
            && let Some(path) = self.path.clone()
        {
            self.out.flush()?;
            std::fs::rename(&path, backup(&path, now()))?;
            let (file, size) = append(&path)?;
            self.out = BufWriter::new(Box::new(file));
            self.size = size;
            self.remove_old(&path)?;
        }
        self.out.write_all(line)?;
        self.size += length;
        Ok(())
    }

    fn remove_old(&self, path: &Path) -> Result<()> {
        if self.max_backup == 0 {
            return Ok(());
        }
        let (stem, extension) = name(path);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut old: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        old.retain(|path| {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let stamp = file.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
            stamp.is_some_and(|stamp| stamp.len() == "2006-01-02T15-04-05.000".len() && stamp.as_bytes().get(10) == Some(&b'T'))
        });
        // Their names sort by their age.
        old.sort();
        let surplus = old.len().saturating_sub(self.max_backup as usize);
        for path in old.into_iter().take(surplus) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The file, for its owner only, and how much is in it.
fn append(path: &Path) -> Result<(File, u64)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn name(path: &Path) -> (String, String) {
    let part = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = part(path.extension());
    (part(path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
}

/// A name that is not taken: two files may fill within a millisecond.
fn backup(path: &Path, mut now: Time) -> PathBuf {
    let (stem, extension) = name(path);
    loop {
        let stamp: String = now.rfc3339_micros().replace(':', "-").chars().take(23).collect();
        let candidate = path.with_file_name(format!("{stem}-{stamp}{extension}"));
        if !candidate.exists() {
            return candidate;
        }
        now = Time(now.0 + 1000);
    }
}

fn now() -> Time {
    let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros());
    Time(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_renamed_and_the_oldest_go() {
        let folder = std::env::temp_dir().join(format!("wasmkube-audit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.log");
        std::fs::write(folder.join("audit-notes.log"), "kept").unwrap();
        let options = AuditOptions { policy: PathBuf::new(), path: path.clone(), max_size: 1, max_backup: 2 };
        let line = Bytes::from([vec![b'x'; 400 << 10], vec![b'\n']].concat());
        for _ in 0..2 {
            // The second life goes on in the same file.
            let log = AuditLog::open(&options).unwrap();
            for _ in 0..5 {
                log.write(line.clone());
            }
            log.flush();
        }
        let sizes = |path: &Path| std::fs::metadata(path).unwrap().len() / line.len() as u64;
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 4, "{files:?}");
        assert_eq!((sizes(&files[0]), sizes(&files[1]), sizes(&path)), (2, 2, 2), "{files:?}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
