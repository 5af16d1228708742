//! How much the API server takes on at once, and for how long: kube-apiserver's options where it has them.

use std::time::Duration;

/// Limits of requests and connections.
#[derive(Clone, Debug, clap::Args)]
pub struct Limits {
    /// Requests that only read and are served at once; with those that write, the seats that priority and fairness shares out.
    #[arg(long, default_value_t = 400)]
    pub max_requests_inflight: u32,
    /// Requests that write and are served at once.
    #[arg(long, default_value_t = 200)]
    pub max_mutating_requests_inflight: u32,
    /// How long a request may take that does not go on by itself, in Go's form (`1m0s`).
    #[arg(long, default_value = "1m0s", value_parser = duration)]
    pub request_timeout: Duration,
    /// Seconds that a watch goes on at least which does not say how long.
    #[arg(long, default_value_t = 1800)]
    pub min_request_timeout: u32,
    /// How long requests are still taken after `/readyz` has begun to say that the end is near.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub shutdown_delay_duration: Duration,
    /// Connections that are open at once; others wait to be accepted.
    #[arg(long, default_value_t = 10_000)]
    pub max_connections: u32,
    /// How long a connection may rest: as long as Go's servers and clients let it.
    #[arg(long, hide = true, default_value = "90s", value_parser = duration)]
    pub idle_timeout: Duration,
    /// How long a client may take to read anything of what it is sent.
    #[arg(long, hide = true, default_value = "60s", value_parser = duration)]
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_requests_inflight: 400,
            max_mutating_requests_inflight: 200,
            request_timeout: Duration::from_secs(60),
            min_request_timeout: 1800,
            shutdown_delay_duration: Duration::ZERO,
            max_connections: 10_000,
            idle_timeout: Duration::from_secs(90),
            write_timeout: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// Refuses what kube-apiserver refuses.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.max_requests_inflight.saturating_add(self.max_mutating_requests_inflight) > 0,
            "--max-requests-inflight and --max-mutating-requests-inflight must not both be 0"
        );
        anyhow::ensure!(!self.request_timeout.is_zero(), "--request-timeout must be more than 0");
        anyhow::ensure!(self.max_connections > 0, "--max-connections must be more than 0");
        Ok(())
    }

    /// Whole seconds of `--request-timeout`, at least one.
    pub fn request_timeout_seconds(&self) -> u32 {
        u32::try_from(self.request_timeout.as_secs().max(1)).unwrap_or(u32::MAX)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let micros = cluster::wire::parse_duration(text).map_err(|why| format!("time: {why}"))?;
    u64::try_from(micros).map(Duration::from_micros).map_err(|_| "it must not be negative".to_owned())
}
