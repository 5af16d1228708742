//! What the node reports about the machine it is on.

use std::fs;

use kubelet::io::Config;
use object::Quantity;

/// Pods of one node, Kubernetes' default.
const PODS: u32 = 110;

/// The machine's facts.
pub fn config() -> Config {
    let quantity = |text: String| Quantity::parse(&text);
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    let amounts = [
        ("cpu", quantity(cpus.to_string())),
        ("memory", quantity(format!("{}Ki", kib.unwrap_or(0)))),
        ("ephemeral-storage", quantity(format!("{}Ki", disk_kib()))),
        ("pods", quantity(PODS.to_string())),
    ];
    let capacity: kubelet::pod::Quantities =
        amounts.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), amount?))).collect();
    Config {
        runtime_version: format!("wasmkube://{}", env!("CARGO_PKG_VERSION")),
        os_image: os_image(),
        kernel_version: line("/proc/sys/kernel/osrelease"),
        machine_id: line("/etc/machine-id"),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        allocatable: capacity.clone(),
        capacity,
        ..Config::default()
    }
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn os_image() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn disk_kib() -> u64 {
    // SAFETY: all-zero is a valid statvfs, the path ends in a zero byte, and the call fills what it is given.
    unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(c"/".as_ptr(), &raw mut stat) != 0 {
            return 0;
        }
        stat.f_blocks.saturating_mul(stat.f_frsize) / 1024
    }
}
