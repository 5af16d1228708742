//! Probes of one running container: when the next is due, and what their results add up to. Models the kubelet's
//! `prober` workers.

use object::Time;
use serde_json::Value;

use crate::io::{Check, ProbeKind, ProbeResult};
use crate::pod::{Container, Handler, Probe};

/// All three probes of a running container.
#[derive(Clone, Debug)]
pub(crate) struct Probes {
    startup: Option<Prober>,
    liveness: Option<Prober>,
    readiness: Option<Prober>,
}

/// One probe.
#[derive(Clone, Debug)]
struct Prober {
    next: Time,
    in_flight: bool,
    /// What the results so far add up to.
    healthy: bool,
    /// Results in a row that were like the last one.
    run: u32,
    last: Option<bool>,
}

/// What a result means for the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing beyond what the probes now say.
    Continue,
    /// The container must be restarted.
    Restart,
}

impl Probes {
    /// The probes of a container that has just begun (or was found running) at `since`.
    pub fn new(spec: &Container, since: Time) -> Self {
        let begin = |probe: &Option<Probe>, healthy: bool| {
            probe.as_ref().map(|p| Prober {
                next: since.plus_secs(u64::from(p.initial_delay_seconds)),
                in_flight: false,
                healthy,
                run: 0,
                last: None,
            })
        };
        Probes {
            startup: begin(&spec.startup_probe, false),
            liveness: begin(&spec.liveness_probe, true),
            readiness: begin(&spec.readiness_probe, false),
        }
    }

    /// The startup probe has succeeded, or there is none.
    pub fn started(&self) -> bool {
        self.startup.as_ref().is_none_or(|p| p.healthy)
    }

    /// The container may get traffic.
    pub fn ready(&self) -> bool {
        self.started() && self.readiness.as_ref().is_none_or(|p| p.healthy)
    }

    /// The probes that are due; they count as under way from now on.
    pub fn due(&mut self, spec: &Container, now: Time) -> Vec<ProbeKind> {
        let kinds = self.active();
        let mut due = Vec::new();
        for kind in kinds {
            let Some(period) = probe_of(spec, kind).map(|p| p.period_seconds.max(1)) else { continue };
            if let Some(prober) = self.get(kind)
                && !prober.in_flight
                && prober.next <= now
            {
                prober.in_flight = true;
                prober.next = now.plus_secs(u64::from(period));
                due.push(kind);
            }
        }
        due
    }

    /// When the next probe is due.
    pub fn next_wake(&mut self) -> Option<Time> {
        self.active().into_iter().filter_map(|kind| self.get(kind).filter(|p| !p.in_flight).map(|p| p.next)).min()
    }

    /// Takes a result.
    pub fn result(&mut self, spec: &Container, kind: ProbeKind, result: &ProbeResult, now: Time) -> Verdict {
        let Some(probe) = probe_of(spec, kind) else { return Verdict::Continue };
        let Some(prober) = self.get(kind) else { return Verdict::Continue };
        prober.in_flight = false;
        let success = match result {
            ProbeResult::Success => true,
            ProbeResult::Failure(_) => false,
            ProbeResult::Error(_) => return Verdict::Continue,
        };
        prober.run = if prober.last == Some(success) { prober.run.saturating_add(1) } else { 1 };
        prober.last = Some(success);
        let threshold = if success { probe.success_threshold } else { probe.failure_threshold };
        if prober.run < threshold.max(1) {
            return Verdict::Continue;
        }
        let turned = prober.healthy != success;
        prober.healthy = success;
        match (kind, success) {
            (ProbeKind::Startup, true) if turned => {
                // The others need not wait for their turn once the container is up.
                for other in [&mut self.liveness, &mut self.readiness].into_iter().flatten() {
                    other.next = other.next.min(now);
                }
                Verdict::Continue
            }
            (ProbeKind::Startup | ProbeKind::Liveness, false) => Verdict::Restart,
            _ => Verdict::Continue,
        }
    }

    fn active(&self) -> Vec<ProbeKind> {
        if self.started() { vec![ProbeKind::Liveness, ProbeKind::Readiness] } else { vec![ProbeKind::Startup] }
    }

    fn get(&mut self, kind: ProbeKind) -> Option<&mut Prober> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
        }
    }
}

/// The probe of this kind in a container's spec.
pub(crate) fn probe_of(spec: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => spec.startup_probe.as_ref(),
        ProbeKind::Liveness => spec.liveness_probe.as_ref(),
        ProbeKind::Readiness => spec.readiness_probe.as_ref(),
    }
}

/// `Startup`, `Liveness`, `Readiness`.
pub(crate) fn kind_name(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Startup => "Startup",
        ProbeKind::Liveness => "Liveness",
        ProbeKind::Readiness => "Readiness",
    }
}

/// A handler with its port and host resolved.
pub(crate) fn check(handler: &Handler, container: &Container, ip: &str) -> Check {
    let host = |given: &str| if given.is_empty() { ip.to_owned() } else { given.to_owned() };
    if let Some(exec) = &handler.exec {
        return Check::Exec(exec.command.clone());
    }
    if let Some(get) = &handler.http_get {
        return match port(&get.port, container) {
            Some(port) => Check::HttpGet {
                tls: get.scheme == "HTTPS",
                host: host(&get.host),
                port,
                path: if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) },
                headers: get.http_headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
            },
            None => Check::Impossible(format!("couldn't find port: {} in container {}", get.port, container.name)),
        };
    }
    if let Some(tcp) = &handler.tcp_socket {
        return match port(&tcp.port, container) {
            Some(port) => Check::TcpSocket { host: host(&tcp.host), port },
            None => Check::Impossible(format!("couldn't find port: {} in container {}", tcp.port, container.name)),
        };
    }
    if let Some(grpc) = &handler.grpc {
        return Check::Grpc { host: ip.to_owned(), port: grpc.port, service: grpc.service.clone().unwrap_or_default() };
    }
    match &handler.sleep {
        Some(sleep) => Check::Sleep { seconds: u64::try_from(sleep.seconds).unwrap_or(0) },
        None => Check::Impossible("missing probe handler".to_owned()),
    }
}

fn port(port: &Value, container: &Container) -> Option<u16> {
    match port {
        Value::Number(n) => n.as_u64().and_then(|n| u16::try_from(n).ok()),
        Value::String(name) => {
            let named = container.ports.iter().find(|p| p.name == *name).map(|p| p.container_port);
            named.or_else(|| name.parse().ok())
        }
        _ => None,
    }
    .filter(|port| *port > 0)
}
