//! Control groups, version 2: one hierarchy, in which controllers are enabled level by level.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Group, Limits, quota, shares};

const CONTROLLERS: &str = "+cpu +memory +pids";

/// Finds the hierarchy in the mount table and makes this node's directory in it. `None` if the machine has none, or one
/// without the controllers (they are then in hierarchies of version 1).
pub fn find(mounts: &str, name: &str) -> Option<io::Result<PathBuf>> {
    let root = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("cgroup2 ").then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })?;
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    if !controllers.split_whitespace().any(|controller| controller == "memory") {
        return None;
    }
    let base = root.join(name);
    Some(enable(&root).and_then(|()| fs::create_dir_all(&base)).map_err(|error| in_file(&base, &error)).map(|()| base))
}

/// Makes a group; what is above it passes the controllers on.
pub fn create(base: &Path, path: &Path, limits: &Limits, pids: u32) -> io::Result<Group> {
    let mut directory = base.to_path_buf();
    for part in path {
        enable(&directory).map_err(|error| in_file(&directory, &error))?;
        directory.push(part);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(in_file(&directory, &error)),
            _ => {}
        }
    }
    fs::write(directory.join("cpu.weight"), weight(shares(limits.cpu_request_milli)).to_string())?;
    if let Some(milli) = limits.cpu_limit_milli {
        fs::write(directory.join("cpu.max"), format!("{} 100000", quota(milli)))?;
    }
    if let Some(bytes) = limits.memory {
        fs::write(directory.join("memory.max"), bytes.to_string())?;
        // Machines without swap have no such file.
        fs::write(directory.join("memory.swap.max"), "0").ok();
        fs::write(directory.join("memory.oom.group"), "1").ok();
    }
    fs::write(directory.join("pids.max"), pids.to_string())?;
    Ok(Group { version: 2, directories: vec![directory] })
}

fn enable(directory: &Path) -> io::Result<()> {
    fs::write(directory.join("cgroup.subtree_control"), CONTROLLERS)
}

/// `cpu.weight` (1 to 10,000) for `cpu.shares` (2 to 262,144).
fn weight(shares: i64) -> i64 {
    1 + (shares - 2) * 9_999 / 262_142
}

fn in_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 39, 10_000]);
    }
}
