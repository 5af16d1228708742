//! What the server's process costs, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// A running server.
pub struct Process(u32);

impl Process {
    pub fn new(pid: u32) -> Self {
        Process(pid)
    }

    /// CPU time used so far, in user and system mode, by all its threads.
    pub fn cpu(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // The second field is the program's name in parentheses and may hold spaces.
        let (_, fields) = text.rsplit_once(')').context("no fields in stat")?;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // USER_HZ is 100 on every Linux there is.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Memory in use, in MiB.
    pub fn resident(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let kib = text.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.context("no VmRSS in status")? / 1024.0)
    }
}
