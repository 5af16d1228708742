//! Control groups, version 1: a directory in the hierarchy of each controller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Group, Limits, quota, shares};

/// This node's directory in each hierarchy that is needed. Hierarchies that the machine has not mounted are left out,
/// except for memory, without which the rest is of little use.
#[derive(Clone, Debug)]
pub struct Hierarchies {
    memory: PathBuf,
    cpu: Option<PathBuf>,
    accounting: Option<PathBuf>,
    pids: Option<PathBuf>,
}

/// Finds the hierarchies in the mount table and makes this node's directory in them.
pub fn find(mounts: &str, name: &str) -> io::Result<Hierarchies> {
    let all = mounted(mounts);
    let at = |controller: &str| all.iter().find(|(name, _)| name == controller).map(|(_, path)| path.join(name));
    let memory = at("memory").ok_or_else(|| io::Error::other("no memory controller is mounted"))?;
    let mut found = Hierarchies { memory, cpu: at("cpu"), accounting: at("cpuacct"), pids: at("pids") };
    // Controllers that are mounted together share a directory.
    if found.accounting == found.cpu {
        found.accounting = None;
    }
    for base in found.bases() {
        fs::create_dir_all(base).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", base.display())))?;
    }
    Ok(found)
}

/// Controllers and where they are mounted.
fn mounted(mounts: &str) -> Vec<(String, PathBuf)> {
    let mut all = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(path), mut right) = (left.split(' ').nth(4), right.split(' ')) else { continue };
        if right.next() == Some("cgroup") {
            let controllers = right.next_back().unwrap_or("").split(',');
            all.extend(controllers.map(|controller| (controller.to_owned(), PathBuf::from(path))));
        }
    }
    all
}

impl Hierarchies {
    /// This node's directories.
    pub fn bases(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.memory), self.cpu.as_ref(), self.accounting.as_ref(), self.pids.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Makes a group in each hierarchy.
    pub fn create(&self, path: &Path, limits: &Limits, pids: u32) -> io::Result<Group> {
        let mut directories = Vec::new();
        for base in self.bases() {
            let directory = base.join(path);
            fs::create_dir_all(&directory)?;
            directories.push(directory);
        }
        if let Some(bytes) = limits.memory {
            fs::write(self.memory.join(path).join("memory.limit_in_bytes"), bytes.to_string())?;
        }
        if let Some(cpu) = self.cpu.as_ref().map(|cpu| cpu.join(path)) {
            fs::write(cpu.join("cpu.shares"), shares(limits.cpu_request_milli).to_string())?;
            if let Some(milli) = limits.cpu_limit_milli {
                fs::write(cpu.join("cpu.cfs_period_us"), "100000")?;
                fs::write(cpu.join("cpu.cfs_quota_us"), quota(milli).to_string())?;
            }
        }
        if let Some(directory) = self.pids.as_ref().map(|base| base.join(path)) {
            fs::write(directory.join("pids.max"), pids.to_string())?;
        }
        Ok(Group { version: 1, directories })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_table_is_read() {
        let mounts = "\
33 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct
34 25 0:29 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory
35 25 0:30 / /sys/fs/cgroup/unified rw shared:13 - cgroup2 cgroup2 rw
";
        let all = mounted(mounts);
        let at = |name: &str| all.iter().find(|(controller, _)| controller == name).map(|(_, path)| path.to_str().unwrap());
        assert_eq!(at("memory"), Some("/sys/fs/cgroup/memory"));
        assert_eq!(at("cpuacct"), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(at("pids"), None);
    }
}
