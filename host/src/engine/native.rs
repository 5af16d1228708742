//! Core linked into this program, for comparison and for tests.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};
use cluster::{Cluster, StepInput, StepOutput};

use super::Engine;

/// A cluster in this process.
#[derive(Default)]
pub struct Native {
    cluster: Cluster,
}

impl Engine for Native {
    fn step(&mut self, input: StepInput) -> Result<StepOutput> {
        // A panic is to the native engine what a trap is to the other one: the cluster is dropped after it, so that nobody
        // sees what it left half done.
        catch_unwind(AssertUnwindSafe(|| self.cluster.step(input.now, input.inputs))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            anyhow!("the control plane panicked: {}", text.unwrap_or("without a message"))
        })
    }
}
