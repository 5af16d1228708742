//! The bound on a container's linear memories.

use wasmtime::{ResourceLimiter, Result, bail};

/// Counts all memories of a store together.
#[derive(Debug, Default)]
pub struct Limits {
    /// Bytes that may be used.
    memory: Option<u64>,
    /// Bytes that are used.
    used: u64,
    /// Whether more was asked for than there may be.
    pub exceeded: bool,
}

impl Limits {
    /// Bounds all memories together to so many bytes; `None` for no bound.
    pub fn new(memory: Option<u64>) -> Self {
        Limits { memory, ..Limits::default() }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let used = self.used.saturating_add(desired.saturating_sub(current) as u64);
        if let Some(limit) = self.memory
            && used > limit
        {
            // As on Linux, where memory is promised freely and a process that goes beyond its limit is killed.
            self.exceeded = true;
            bail!("the container needs more than its memory limit of {limit} bytes");
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && desired <= 10_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut limits = Limits::new(Some(100));
        assert!(limits.memory_growing(0, 60, None).unwrap());
        assert!(!limits.memory_growing(0, 30, Some(20)).unwrap(), "the memory's own maximum");
        assert!(limits.memory_growing(0, 40, None).unwrap(), "a second memory");
        assert!(!limits.exceeded);
        assert!(limits.memory_growing(60, 61, None).is_err());
        assert!(limits.exceeded);
    }
}
