//! What controllers read of a pod.

use object::value::{i64_at, list_at, str_at};
use object::{Time, Value};
use store::View;

/// A pod as controllers see it.
#[derive(Clone, Debug, Default)]
pub struct PodView {
    /// Node it is bound to, or empty.
    pub node: String,
    /// `status.phase`.
    pub phase: String,
    /// Whether its Ready condition is true.
    pub ready: bool,
    /// Since when the Ready condition is as it is.
    pub ready_since: Option<Time>,
    /// Restarts of its containers and of its sidecars, the largest of each.
    pub restarts: (i64, i64),
    /// Addresses.
    pub ips: Vec<String>,
    /// `spec.hostname` and `spec.subdomain`.
    pub hostname: (String, String),
    /// Named ports of its containers.
    pub ports: Vec<(String, u16, String)>,
    /// `controller.kubernetes.io/pod-deletion-cost`.
    pub deletion_cost: i64,
    /// Tolerations, for evictions.
    pub tolerations: Vec<Value>,
    /// Whether it wants devices by ResourceClaims, and whether any of these is made from a template.
    pub claims: (bool, bool),
}

impl View for PodView {
    fn of(pod: &Value) -> Self {
        let conditions = list_at(pod, &["status", "conditions"]);
        let ready = conditions.iter().find(|c| str_at(c, &["type"]) == "Ready");
        let statuses = list_at(pod, &["status", "containerStatuses"]);
        let containers = list_at(pod, &["spec", "containers"]);
        let ports = containers.iter().flat_map(|c| list_at(c, &["ports"])).filter_map(|port| {
            let number = i64_at(port, &["containerPort"]).and_then(|p| u16::try_from(p).ok())?;
            Some((str_at(port, &["name"]).to_owned(), number, str_at(port, &["protocol"]).to_owned()))
        });
        let most = |lists: &[Value], counts: &dyn Fn(&str) -> bool| {
            let counted = lists.iter().filter(|status| counts(str_at(status, &["name"])));
            counted.filter_map(|status| i64_at(status, &["restartCount"])).max().unwrap_or(0)
        };
        let sidecars: Vec<&str> = list_at(pod, &["spec", "initContainers"])
            .iter()
            .filter(|container| str_at(container, &["restartPolicy"]) == "Always")
            .map(|container| str_at(container, &["name"]))
            .collect();
        let initial = list_at(pod, &["status", "initContainerStatuses"]);
        let claims = list_at(pod, &["spec", "resourceClaims"]);
        let cost = object::meta::annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
        PodView {
            node: str_at(pod, &["spec", "nodeName"]).to_owned(),
            phase: str_at(pod, &["status", "phase"]).to_owned(),
            ready: ready.is_some_and(|c| str_at(c, &["status"]) == "True"),
            ready_since: ready.and_then(|c| Time::parse(str_at(c, &["lastTransitionTime"]))),
            restarts: (most(statuses, &|_| true), most(initial, &|name| sidecars.contains(&name))),
            ips: list_at(pod, &["status", "podIPs"]).iter().map(|ip| str_at(ip, &["ip"]).to_owned()).collect(),
            hostname: (str_at(pod, &["spec", "hostname"]).to_owned(), str_at(pod, &["spec", "subdomain"]).to_owned()),
            ports: ports.collect(),
            deletion_cost: cost.and_then(|c| c.parse().ok()).unwrap_or(0),
            tolerations: list_at(pod, &["spec", "tolerations"]).to_vec(),
            claims: (!claims.is_empty(), claims.iter().any(|claim| !str_at(claim, &["resourceClaimTemplateName"]).is_empty())),
        }
    }
}

impl PodView {
    /// Whether it ran to its end.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Whether it has been ready for `min_ready_seconds`.
    pub fn is_available(&self, min_ready_seconds: i64, now: Time) -> bool {
        self.ready && (min_ready_seconds <= 0 || self.available_at(min_ready_seconds).is_some_and(|at| at <= now))
    }

    /// When it will have been ready long enough, if it stays ready.
    pub fn available_at(&self, min_ready_seconds: i64) -> Option<Time> {
        let seconds = u64::try_from(min_ready_seconds).unwrap_or(0);
        self.ready_since.filter(|_| self.ready).map(|since| since.plus_secs(seconds))
    }
}
