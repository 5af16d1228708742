//! How much the API server takes on at once: kube-apiserver's options of these names.

/// Limits of requests.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// Requests that only read and are served at once; with those that write, the seats that priority and fairness shares out.
    #[arg(long, default_value_t = 400)]
    pub max_requests_inflight: u32,
    /// Requests that write and are served at once.
    #[arg(long, default_value_t = 200)]
    pub max_mutating_requests_inflight: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_requests_inflight: 400, max_mutating_requests_inflight: 200 }
    }
}

impl Limits {
    /// Refuses what kube-apiserver refuses.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.max_requests_inflight.saturating_add(self.max_mutating_requests_inflight) > 0,
            "--max-requests-inflight and --max-mutating-requests-inflight must not both be 0"
        );
        Ok(())
    }
}
