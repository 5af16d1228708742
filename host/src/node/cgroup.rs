//! Control groups: one per container, below one per pod, below one per quality-of-service class, as Kubernetes lays them out.
//!
//! Both versions are spoken. Where neither can be used (no root, or a machine without them) containers run with the bounds
//! inside the engine only.

mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Threads that one container may have; the runner itself needs a handful.
const PIDS: u32 = 64;
/// With less memory than this the runner itself cannot start. The bound inside the engine stays exact.
const LEAST_MEMORY: i64 = 12 << 20;

/// Where this node's groups are made.
#[derive(Clone, Debug)]
pub enum Cgroups {
    /// Version 1: a hierarchy per controller.
    V1(v1::Hierarchies),
    /// Version 2: one hierarchy.
    V2(PathBuf),
    /// None can be made.
    None,
}

/// What a container's group allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU in thousandths it is sure to get.
    pub cpu_request_milli: i64,
    /// CPU in thousandths it cannot exceed.
    pub cpu_limit_milli: Option<i64>,
    /// Bytes of memory it cannot exceed.
    pub memory: Option<i64>,
}

/// A container's group: its directories, one per hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    version: u8,
    directories: Vec<PathBuf>,
}

/// What a group has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in nanoseconds.
    pub cpu_nanos: u64,
    /// Memory in bytes.
    pub memory: u64,
}

impl Cgroups {
    /// Finds what the machine has and makes this node's own directory `name` there. The reason says why there is none.
    pub fn find(name: &str) -> (Self, Option<String>) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let found = v2::find(&mounts, name).map(|found| found.map(Cgroups::V2));
        match found.unwrap_or_else(|| v1::find(&mounts, name).map(Cgroups::V1)) {
            Ok(cgroups) => (cgroups, None),
            Err(error) => (Cgroups::None, Some(error.to_string())),
        }
    }

    /// Makes a container's group. `None` if there are no groups here.
    pub fn create(&self, class: &str, pod: &str, container: &str, limits: &Limits) -> io::Result<Option<Group>> {
        let class = match class {
            "Guaranteed" => String::new(),
            class => class.to_ascii_lowercase(),
        };
        let path = Path::new("kubepods").join(class).join(format!("pod{pod}")).join(container);
        let memory = limits.memory.map(|bytes| bytes.max(LEAST_MEMORY));
        let limits = Limits { memory, ..*limits };
        match self {
            Cgroups::None => Ok(None),
            Cgroups::V1(hierarchies) => hierarchies.create(&path, &limits, PIDS).map(Some),
            Cgroups::V2(base) => v2::create(base, &path, &limits, PIDS).map(Some),
        }
    }

    /// Removes all of this node's groups that are empty.
    pub fn clean(&self) {
        match self {
            Cgroups::None => {}
            Cgroups::V1(hierarchies) => hierarchies.bases().for_each(remove_tree),
            Cgroups::V2(base) => remove_tree(base),
        }
    }
}

impl Group {
    /// The files through which a thread joins, for version 1.
    pub fn tasks(&self) -> Vec<PathBuf> {
        if self.version == 1 { self.directories.iter().map(|dir| dir.join("tasks")).collect() } else { Vec::new() }
    }

    /// The directory in which a process can be started, for version 2.
    pub fn start_directory(&self) -> Option<&Path> {
        if self.version == 2 { self.directories.first().map(PathBuf::as_path) } else { None }
    }

    /// Whether the kernel has killed a process of this group for lack of memory.
    pub fn was_out_of_memory(&self) -> bool {
        let file = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        self.read(file).is_some_and(|text| field(&text, "oom_kill").is_some_and(|kills| kills > 0))
    }

    /// What the group has used so far.
    pub fn usage(&self) -> Usage {
        let number = |file: &str| self.read(file).and_then(|text| text.trim().parse().ok());
        if self.version == 1 {
            Usage { cpu_nanos: number("cpuacct.usage").unwrap_or(0), memory: number("memory.usage_in_bytes").unwrap_or(0) }
        } else {
            let cpu = self.read("cpu.stat").and_then(|text| field(&text, "usage_usec")).unwrap_or(0);
            Usage { cpu_nanos: cpu.saturating_mul(1000), memory: number("memory.current").unwrap_or(0) }
        }
    }

    /// Processes in the group.
    pub fn processes(&self) -> Vec<i32> {
        let text = self.read("cgroup.procs").unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removes the group and what becomes empty above it. Its processes must have ended.
    pub fn remove(&self) {
        for directory in &self.directories {
            if let Err(error) = fs::remove_dir(directory)
                && error.kind() != io::ErrorKind::NotFound
            {
                eprintln!("node: cannot remove cgroup {}: {error}", directory.display());
            }
            // The pod's own; it is refused while the pod has other containers.
            if let Some(pod) = directory.parent() {
                fs::remove_dir(pod).ok();
            }
        }
    }

    fn read(&self, file: &str) -> Option<String> {
        self.directories.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok())
    }
}

/// The number after a name in a file of `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Removes empty groups, deepest first. The depth of our groups is known: base, kubepods, class, pod, container.
fn remove_tree(base: &Path) {
    remove_below(base, 5);
}

fn remove_below(directory: &Path, depth: u32) {
    if depth > 0
        && let Ok(entries) = fs::read_dir(directory)
    {
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            remove_below(&entry.path(), depth - 1);
        }
    }
    fs::remove_dir(directory).ok();
}

/// `cpu.shares` for a request.
fn shares(milli: i64) -> i64 {
    (milli.saturating_mul(1024) / 1000).clamp(2, 262_144)
}

/// Microseconds of CPU per period of 100 ms.
fn quota(milli: i64) -> i64 {
    milli.saturating_mul(100).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!([0, 100, 1000, 1_000_000].map(shares), [2, 102, 1024, 262_144]);
        assert_eq!([1, 500, 2000].map(quota), [1000, 50_000, 200_000]);
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), Some(3));
        assert_eq!(field("low 0\noom_kill 0\n", "oom_kill"), Some(0));
        assert_eq!(field("", "oom_kill"), None);
    }

    #[test]
    fn groups_are_made_and_removed() {
        let (cgroups, reason) = Cgroups::find(&format!("wasmkube-test-{}", std::process::id()));
        if let Some(reason) = reason {
            println!("skipped: no cgroups can be made here ({reason})");
            return;
        }
        let limits = Limits { cpu_request_milli: 100, cpu_limit_milli: Some(500), memory: Some(64 << 20) };
        let group = cgroups.create("Burstable", "uid", "web-0", &limits).unwrap().unwrap();
        let again = cgroups.create("Burstable", "uid", "web-0", &limits).unwrap().unwrap();
        assert_eq!(group, again, "making it again is the same");
        let limit = if group.version == 1 { "memory.limit_in_bytes" } else { "memory.max" };
        assert_eq!(group.read(limit).unwrap().trim(), (64 << 20).to_string());
        assert!(!group.was_out_of_memory());
        assert!(group.processes().is_empty());
        group.remove();
        assert!(group.directories.iter().all(|dir| !dir.exists()));
        cgroups.clean();
        let left = group.directories.iter().any(|dir| dir.ancestors().nth(4).is_some_and(Path::exists));
        assert!(!left, "nothing is left");
    }
}
