//! The last words of a container: what it left in its termination message file, or the end of its log.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Most bytes of a message, as in Kubernetes.
const MAX_MESSAGE: u64 = 4096;
/// Most bytes and lines of a log that stands in for one.
const MAX_TAIL: u64 = 2048;
const MAX_LINES: usize = 80;

/// What the container wrote at `path`, which must really be below `root`: a container can make links. `None` for nothing.
pub fn last_words(root: &Path, path: &Path) -> Option<String> {
    let (root, path) = (root.canonicalize().ok()?, path.canonicalize().ok()?);
    if !path.starts_with(&root) || !path.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_MESSAGE).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of a log without its timestamps.
pub fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(log)?;
        let from = file.metadata()?.len().saturating_sub(4 * MAX_TAIL);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let mut lines: Vec<&str> = Vec::new();
    let mut size = 0;
    for line in text.lines().rev().take(MAX_LINES) {
        let Some(words) = line.splitn(4, ' ').nth(3) else { continue };
        size += words.len() as u64 + 1;
        if size > MAX_TAIL {
            break;
        }
        lines.push(words);
    }
    lines.iter().rev().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_only_inside() {
        let dir = std::env::temp_dir().join(format!("wasmkube-words-{}", std::process::id()));
        let root = dir.join("root");
        fs::create_dir_all(root.join("dev")).unwrap();
        let path = root.join("dev/termination-log");
        assert_eq!(last_words(&root, &path), None);
        fs::write(&path, "goodbye").unwrap();
        assert_eq!(last_words(&root, &path).as_deref(), Some("goodbye"));
        fs::write(dir.join("secret"), "secret").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.join("secret"), &path).unwrap();
        assert_eq!(last_words(&root, &path), None, "a link that leads outside");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_log_stands_in() {
        let path = std::env::temp_dir().join(format!("wasmkube-tail-{}", std::process::id()));
        let lines: String = (0..200).map(|n| format!("2026-11-20T00:00:00.000000000Z stderr F line {n}\n")).collect();
        fs::write(&path, lines).unwrap();
        let tail = tail(&path);
        assert_eq!(tail.lines().count(), MAX_LINES);
        assert!(tail.ends_with("line 199\n"));
        fs::remove_file(path).unwrap();
    }
}
