//! Metrics as text, in Prometheus' format.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Counted, DURATION_BOUNDS, EVENT_BOUNDS, Histogram, Labels, SIZE_BOUNDS, WAIT_BOUNDS};
use crate::server::ApiServer;

/// The first bound of the service-level histogram, which has those from there on.
const SLI_FROM: usize = 2;

/// Microseconds in a second, bytes in a byte.
const MICROS: f64 = 1e6;
const BYTES: f64 = 1.0;

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    /// One metric of one value.
    fn single(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, labels, value);
    }

    /// Buckets from their counts; `above` is what no bound holds.
    fn histogram(&mut self, name: &str, labels: &str, unit: f64, bounds: &[u64], counts: &[u64], (above, sum): (u64, u64)) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (bound, count) in bounds.iter().zip(counts) {
            total += count;
            let _ = writeln!(self.0, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {total}", number(*bound as f64 / unit));
        }
        total += above;
        let _ = writeln!(self.0, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {total}");
        self.line(&format!("{name}_sum"), labels, number(sum as f64 / unit));
        self.line(&format!("{name}_count"), labels, total);
    }

    fn counted<const N: usize>(&mut self, name: &str, labels: &str, unit: f64, bounds: &[u64; N], histogram: &Histogram<N>) {
        self.histogram(name, labels, unit, bounds, &histogram.counts, (histogram.above, histogram.sum));
    }
}

/// A number as Go prints it.
fn number(value: f64) -> String {
    if value.abs() >= 1e21 || (value != 0.0 && value.abs() < 1e-4) { format!("{value:e}") } else { value.to_string() }
}

/// Everything.
pub fn text(api: &ApiServer) -> String {
    let mut text = Text(String::with_capacity(64 << 10));
    requests(&mut text, api);
    watches(&mut text, api);
    flows(&mut text, api);
    objects(&mut text, api);
    control_plane(&mut text, api);
    for (name, value) in &api.metrics.measured.process {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        text.single(name, kind, process_help(name), "", number(*value));
    }
    text.0
}

fn labels_of(labels: &Labels, dry_run: bool) -> String {
    let Labels { verb, group, version, resource, subresource, scope, .. } = labels;
    let dry = match (dry_run, labels.dry_run) {
        (false, _) => "",
        (true, true) => "dry_run=\"All\",",
        (true, false) => "dry_run=\"\",",
    };
    format!(
        "component=\"apiserver\",{dry}group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
         subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
    )
}

fn requests(text: &mut Text, api: &ApiServer) {
    let all = &api.metrics.requests;
    let total = "apiserver_request_total";
    text.head(
        total,
        "counter",
        "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
    );
    for (labels, counted) in all {
        let shown = labels_of(labels, true);
        for (code, count) in &counted.codes {
            text.line(total, &format!("code=\"{code}\",{shown}"), count);
        }
    }
    durations(text, api);
    let sizes = "apiserver_response_sizes";
    text.head(
        sizes,
        "histogram",
        "[STABLE] Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
    );
    for (labels, counted) in all.iter().filter(|(labels, _)| matches!(labels.verb, "GET" | "LIST")) {
        text.counted(sizes, &labels_of(labels, false), BYTES, &SIZE_BOUNDS, &counted.sizes);
    }
    text.head(
        "apiserver_current_inflight_requests",
        "gauge",
        "[STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
    );
    let (reading, changing) = api.flow.executing();
    text.line("apiserver_current_inflight_requests", "request_kind=\"mutating\"", changing);
    text.line("apiserver_current_inflight_requests", "request_kind=\"readOnly\"", reading);
    text.head("authentication_attempts", "counter", "[ALPHA] Counter of authenticated attempts.");
    text.line("authentication_attempts", "result=\"failure\"", api.metrics.unauthenticated);
    text.line("authentication_attempts", "result=\"success\"", api.metrics.authenticated);
    let audit = "[ALPHA] Counter of audit events generated and sent to the audit backend.";
    text.single("apiserver_audit_event_total", "counter", audit, "", api.metrics.audit_events);
}

fn durations(text: &mut Text, api: &ApiServer) {
    let kinds: BTreeMap<u32, &Labels> =
        api.metrics.requests.iter().map(|(labels, Counted { kind, .. })| (*kind, labels)).collect();
    for (name, from, help) in [
        (
            "apiserver_request_duration_seconds",
            0,
            "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
        ),
        (
            "apiserver_request_sli_duration_seconds",
            SLI_FROM,
            "[ALPHA] Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.",
        ),
    ] {
        text.head(name, "histogram", help);
        for durations in &api.metrics.measured.durations {
            let Some(labels) = kinds.get(&durations.kind) else { continue };
            let (below, rest) = durations.counts.split_at_checked(from).unwrap_or_default();
            let Some((first, others)) = rest.split_first() else { continue };
            let mut counts = vec![first + below.iter().sum::<u64>()];
            counts.extend(others);
            let above = counts.pop().unwrap_or(0);
            let bounds = DURATION_BOUNDS.get(from..).unwrap_or_default();
            text.histogram(name, &labels_of(labels, from == 0), MICROS, bounds, &counts, (above, durations.sum));
        }
    }
}

fn watches(text: &mut Text, api: &ApiServer) {
    let name = "apiserver_longrunning_requests";
    text.head(
        name,
        "gauge",
        "[STABLE] Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
    );
    for ((gvr, scope), count) in api.watches.counts() {
        let (group, version, resource) = (&gvr.group, &gvr.version, &gvr.resource);
        let labels = format!(
            "component=\"apiserver\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"\",\
             verb=\"WATCH\",version=\"{version}\""
        );
        text.line(name, &labels, count);
    }
    let labels =
        |of: &object::GroupVersionKind| format!("group=\"{}\",kind=\"{}\",version=\"{}\"", of.group, of.kind, of.version);
    let events = &api.watches.events.0;
    text.head("apiserver_watch_events_total", "counter", "[ALPHA] Number of events sent in watch clients");
    for (key, (count, _)) in events {
        text.line("apiserver_watch_events_total", &labels(key), count);
    }
    text.head("apiserver_watch_events_sizes", "histogram", "[ALPHA] Watch event size distribution in bytes");
    for (key, (_, sizes)) in events {
        text.counted("apiserver_watch_events_sizes", &labels(key), BYTES, &EVENT_BOUNDS, sizes);
    }
}

fn flows(text: &mut Text, api: &ApiServer) {
    let all = &api.metrics.flows;
    let of = |schema: &str, level: &str| format!("flow_schema=\"{schema}\",priority_level=\"{level}\"");
    let dispatched = "apiserver_flowcontrol_dispatched_requests_total";
    text.head(dispatched, "counter", "[BETA] Number of requests executed by API Priority and Fairness subsystem");
    for ((schema, level), flow) in all.iter().filter(|(_, flow)| flow.dispatched > 0) {
        text.line(dispatched, &of(schema, level), flow.dispatched);
    }
    let rejected = "apiserver_flowcontrol_rejected_requests_total";
    text.head(rejected, "counter", "[BETA] Number of requests rejected by API Priority and Fairness subsystem");
    for ((schema, level), flow) in all {
        for (reason, count) in &flow.rejected {
            text.line(rejected, &format!("{},reason=\"{reason}\"", of(schema, level)), count);
        }
    }
    let (waiting, executing) = api.flow.by_schema();
    for (name, help, counts) in [
        (
            "apiserver_flowcontrol_current_inqueue_requests",
            "[BETA] Number of requests currently pending in queues of the API Priority and Fairness subsystem",
            &waiting,
        ),
        (
            "apiserver_flowcontrol_current_executing_requests",
            "[BETA] Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
            &executing,
        ),
    ] {
        text.head(name, "gauge", help);
        for (schema, level) in all.keys() {
            text.line(name, &of(schema, level), counts.get(schema).copied().unwrap_or(0));
        }
    }
    let waits = "apiserver_flowcontrol_request_wait_duration_seconds";
    text.head(waits, "histogram", "[BETA] Length of time a request spent waiting in its queue");
    for ((schema, level), flow) in all.iter().filter(|(_, flow)| flow.dispatched > 0) {
        text.counted(waits, &format!("execute=\"true\",{}", of(schema, level)), MICROS, &WAIT_BOUNDS, &flow.waits);
    }
    let nominal = "apiserver_flowcontrol_nominal_limit_seats";
    text.head(nominal, "gauge", "[BETA] Nominal number of execution seats configured for each priority level");
    for level in api.flow.levels() {
        text.line(nominal, &format!("priority_level=\"{}\"", level.spec.name), level.nominal);
    }
}

fn objects(text: &mut Text, api: &ApiServer) {
    let mut stored: BTreeMap<(String, String), (String, u64)> = BTreeMap::new();
    for resource in api.registry.resources().filter(|resource| resource.allows("list")) {
        let kept = &resource.storage.resource;
        stored
            .entry((kept.group.to_string(), kept.resource.to_string()))
            .or_insert_with(|| (kept.to_string(), api.store.current().count(kept) as u64));
    }
    let name = "apiserver_storage_objects";
    text.head(
        name,
        "gauge",
        "[STABLE] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
    );
    for (resource, count) in stored.values() {
        text.line(name, &format!("resource=\"{resource}\""), count);
    }
    let name = "apiserver_resource_objects";
    text.head(
        name,
        "gauge",
        "[ALPHA] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.",
    );
    for ((group, resource), (_, count)) in &stored {
        text.line(name, &format!("group=\"{group}\",resource=\"{resource}\""), count);
    }
    text.single("etcd_mvcc_db_revision", "gauge", "The revision of the store.", "", api.store.revision());
    let labels = format!("git_version=\"v1.35.0+wasmkube-{}\",major=\"1\",minor=\"35\"", env!("CARGO_PKG_VERSION"));
    let help = "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";
    text.single("kubernetes_build_info", "gauge", help, &labels, 1);
}

fn control_plane(text: &mut Text, api: &ApiServer) {
    for (name, kind, help, value) in [
        (
            "workqueue_adds_total",
            "counter",
            "[ALPHA] Total number of adds handled by workqueue",
            (|work| work.added) as fn(&super::Work) -> u64,
        ),
        ("workqueue_retries_total", "counter", "[ALPHA] Total number of retries handled by workqueue", |work| work.retried),
        ("workqueue_depth", "gauge", "[ALPHA] Current depth of workqueue", |work| work.depth),
    ] {
        text.head(name, kind, help);
        for (controller, work) in &api.metrics.work {
            text.line(name, &format!("name=\"{controller}\""), value(work));
        }
    }
    let name = "scheduler_schedule_attempts_total";
    let help = "[STABLE] Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.";
    text.head(name, "counter", help);
    for ((profile, result), count) in &api.metrics.attempts {
        text.line(name, &format!("profile=\"{profile}\",result=\"{result}\""), count);
    }
    let name = "wasmkube_refused_writes_total";
    text.head(name, "counter", "Writes of the control plane's own parts that were refused, by user and HTTP response code");
    for (user, code, count) in api.refusals() {
        text.line(name, &format!("code=\"{code}\",user=\"{user}\""), count);
    }
}

fn process_help(name: &str) -> &'static str {
    match name {
        "process_cpu_seconds_total" => "Total user and system CPU time spent in seconds.",
        "process_max_fds" => "Maximum number of open file descriptors.",
        "process_open_fds" => "Number of open file descriptors.",
        "process_resident_memory_bytes" => "Resident memory size in bytes.",
        "process_start_time_seconds" => "Start time of the process since unix epoch in seconds.",
        "process_virtual_memory_bytes" => "Virtual memory size in bytes.",
        _ => "What the host says of its process.",
    }
}
