//! Whether this server lives and is ready: kube-apiserver's named checks behind `/livez`, `/readyz` and `/healthz`. Each
//! looks at something; what only the host knows it tells with each such request.
//!
//! What has to be done once after the start is looked at until it was: as in kube-apiserver, such a check then stays ok for
//! the rest of this process' life, whatever becomes of the objects that were made.
//!
//! Left out are the checks of what is not here: the leases by which several API servers find each other.
//!
//! <https://kubernetes.io/docs/reference/using-api/health-checks/>

use std::collections::BTreeSet;

use object::GroupResource;
use serde::{Deserialize, Serialize};
use store::Key;

use crate::edge::query::Query;
use crate::server::ApiServer;

/// What the host knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHealth {
    /// Why nothing can be made durable now; empty if it can.
    pub journal: String,
    /// Why the audit log cannot be written; empty if it can.
    pub log: String,
    /// Whether the host ends.
    pub shutting_down: bool,
}

/// What checks ask about.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) host: HostHealth,
    /// Everything that was kept is back, and what every cluster has is there.
    pub(crate) started: bool,
    /// Controllers and scheduler follow the store.
    pub(crate) followed: bool,
    /// The checks whose work was done once.
    finished: BTreeSet<&'static str>,
}

/// Where a check counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Everywhere,
    Ready,
}

struct Check {
    name: &'static str,
    place: Where,
    /// Whether it is about something that is done once.
    once: bool,
    /// Why not, or nothing.
    run: fn(&ApiServer) -> Result<(), String>,
}

impl Check {
    fn ask(&self, api: &ApiServer) -> Result<(), String> {
        if api.health.finished.contains(self.name) { Ok(()) } else { (self.run)(api) }
    }
}

/// Looks anew each time.
const fn check(name: &'static str, run: fn(&ApiServer) -> Result<(), String>) -> Check {
    Check { name, place: Where::Everywhere, once: false, run }
}

/// Looks until something was done.
const fn once(name: &'static str, run: fn(&ApiServer) -> Result<(), String>) -> Check {
    Check { name, place: Where::Everywhere, once: true, run }
}

const fn ready(name: &'static str, run: fn(&ApiServer) -> Result<(), String>) -> Check {
    Check { name, place: Where::Ready, once: false, run }
}

/// In kube-apiserver's order.
const CHECKS: &[Check] = &[
    check("ping", |_| Ok(())),
    check("log", |api| if api.health.host.log.is_empty() { Ok(()) } else { Err("logging blocked".to_owned()) }),
    check("etcd", journal),
    ready("etcd-readiness", journal),
    ready("informer-sync", |api| if api.health.started { Ok(()) } else { Err("informers not started yet".to_owned()) }),
    once("poststarthook/start-apiserver-admission-initializer", |api| done(api.health.started)),
    once("poststarthook/generic-apiserver-start-informers", |api| done(api.health.followed)),
    once("poststarthook/priority-and-fairness-config-consumer", |api| done(api.flow.is_current())),
    once("poststarthook/priority-and-fairness-filter", |api| done(api.flow.takes_everybody())),
    once("poststarthook/storage-object-count-tracker-hook", |api| done(api.store.current().resources().next().is_some())),
    once("poststarthook/start-apiextensions-informers", |api| done(api.registry.serves("apiextensions.k8s.io", "v1"))),
    once("poststarthook/start-apiextensions-controllers", |api| done(api.definitions.are_settled())),
    once("poststarthook/crd-informer-synced", |api| done(api.health.started && api.definitions.are_settled())),
    once("poststarthook/start-system-namespaces-controller", |api| {
        let there = |name: &&str| has(api, "", "namespaces", "", name);
        done(["default", "kube-node-lease", "kube-public", "kube-system"].iter().all(there))
    }),
    once("poststarthook/start-cluster-authentication-info-controller", |api| {
        done(api.settings.client_ca.is_empty() || has(api, "", "configmaps", "kube-system", "extension-apiserver-authentication"))
    }),
    once("poststarthook/start-legacy-token-tracking-controller", |api| {
        done(has(api, "", "configmaps", "kube-system", "kube-apiserver-legacy-service-account-token-tracking"))
    }),
    once("poststarthook/start-service-ip-repair-controllers", |api| {
        done(api.store.current().count(&GroupResource::literal("networking.k8s.io", "ipaddresses")) > 0)
    }),
    once("poststarthook/rbac/bootstrap-roles", |api| {
        let roles = ["admin", "cluster-admin", "edit", "system:basic-user", "system:node", "view"];
        let group = "rbac.authorization.k8s.io";
        let bound = ["cluster-admin", "system:basic-user"].iter().all(|name| has(api, group, "clusterrolebindings", "", name));
        done(bound && roles.iter().all(|name| has(api, group, "clusterroles", "", name)))
    }),
    once("poststarthook/scheduling/bootstrap-system-priority-classes", |api| {
        let there = |name: &&str| has(api, "scheduling.k8s.io", "priorityclasses", "", name);
        done(["system-cluster-critical", "system-node-critical"].iter().all(there))
    }),
    once("poststarthook/priority-and-fairness-config-producer", |api| {
        let there = |resource: &&str| {
            ["exempt", "catch-all"].iter().all(|name| has(api, "flowcontrol.apiserver.k8s.io", resource, "", name))
        };
        done(["flowschemas", "prioritylevelconfigurations"].iter().all(there))
    }),
    once("poststarthook/bootstrap-controller", |api| done(has(api, "", "services", "default", "kubernetes"))),
    once("poststarthook/start-kubernetes-service-cidr-controller", |api| {
        done(has(api, "networking.k8s.io", "servicecidrs", "", "kubernetes"))
    }),
    once("poststarthook/aggregator-reload-proxy-client-cert", |api| {
        done(api.settings.front_proxy_ca.is_empty() || api.settings.front_proxy_ca.contains("-----BEGIN CERTIFICATE-----"))
    }),
    once("poststarthook/start-kube-aggregator-informers", |api| done(api.health.started)),
    once("poststarthook/apiservice-status-local-available-controller", |api| done(api.aggregation.is_settled())),
    once("poststarthook/apiservice-status-remote-available-controller", |api| done(api.aggregation.looks_after_all())),
    once("poststarthook/apiservice-registration-controller", |api| done(api.aggregation.is_settled())),
    once("poststarthook/apiservice-discovery-controller", |api| done(api.aggregation.is_settled())),
    once("poststarthook/kube-apiserver-autoregistration", registered),
    once("autoregister-completion", |api| registered(api).map_err(|_| "missing APIService".to_owned())),
    once("poststarthook/apiservice-openapi-controller", |api| done(api.registry.serves("", "v1"))),
    once("poststarthook/apiservice-openapiv3-controller", |api| done(api.registry.serves("", "v1"))),
    ready("shutdown", |api| if api.health.host.shutting_down { Err("process is shutting down".to_owned()) } else { Ok(()) }),
];

fn done(is_done: bool) -> Result<(), String> {
    if is_done { Ok(()) } else { Err("not finished".to_owned()) }
}

fn journal(api: &ApiServer) -> Result<(), String> {
    match api.health.host.journal.as_str() {
        "" => Ok(()),
        why => Err(format!("error getting data from etcd: {why}")),
    }
}

fn has(api: &ApiServer, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
    api.store.get(&Key::new(&GroupResource::new(group, resource), namespace, name)).is_some()
}

/// Whether everything that is served has its APIService.
fn registered(api: &ApiServer) -> Result<(), String> {
    let mut all = api.registry.groups().iter().flat_map(|group| group.versions.iter().map(move |version| (&group.name, version)));
    let of = |group: &str, version: &str| format!("{version}.{group}");
    done(all.all(|(group, version)| has(api, "apiregistration.k8s.io", "apiservices", "", &of(group, version))))
}

/// Remembers which of what has to be done once is done by now. Before the start much only seems done, for there is nothing.
pub(crate) fn remember(api: &mut ApiServer) {
    if !api.health.started {
        return;
    }
    for check in CHECKS.iter().filter(|check| check.once) {
        if check.ask(api).is_ok() {
            api.health.finished.insert(check.name);
        }
    }
}

/// The checks behind one of the three paths.
fn checks(endpoint: &str) -> impl Iterator<Item = &'static Check> + use<> {
    let is_ready = endpoint == "readyz";
    CHECKS.iter().filter(move |check| check.place == Where::Everywhere || is_ready)
}

/// The names of the checks behind one of the three paths.
pub(crate) fn names(endpoint: &str) -> impl Iterator<Item = &'static str> + use<> {
    checks(endpoint).map(|check| check.name)
}

/// The answer of one check: status and text. Nothing if there is no such check.
pub(crate) fn one(api: &ApiServer, endpoint: &str, name: &str) -> Option<(u16, String)> {
    let check = checks(endpoint).find(|check| check.name == name)?;
    Some(match check.ask(api) {
        Ok(()) => (200, "ok".to_owned()),
        Err(why) => (500, format!("internal server error: {why}\n")),
    })
}

/// The answer of all checks together.
pub(crate) fn all(api: &ApiServer, endpoint: &str, query: &Query) -> (u16, String) {
    let mut excluded: Vec<&str> = query.all("exclude").collect();
    excluded.sort_unstable();
    excluded.dedup();
    let (mut text, mut failed) = (String::new(), false);
    for check in checks(endpoint) {
        let name = check.name;
        if let Some(at) = excluded.iter().position(|other| *other == name) {
            excluded.remove(at);
            text += &format!("[+]{name} excluded: ok\n");
        } else if check.ask(api).is_ok() {
            text += &format!("[+]{name} ok\n");
        } else {
            // Anybody may ask. Who may ask for a single check is told why.
            failed = true;
            text += &format!("[-]{name} failed: reason withheld\n");
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        text += &format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(","));
    }
    match (failed, query.has("verbose")) {
        (true, _) => (500, format!("{text}{endpoint} check failed\n")),
        (false, true) => (200, format!("{text}{endpoint} check passed\n")),
        (false, false) => (200, "ok".to_owned()),
    }
}

impl ApiServer {
    /// The host says how it is.
    pub fn host_health(&mut self, health: HostHealth) {
        self.health.host = health;
    }

    /// Controllers and scheduler have seen what there is, and follow it from now on.
    pub fn followed(&mut self) {
        if !self.health.followed {
            self.health.followed = true;
            remember(self);
        }
    }
}
