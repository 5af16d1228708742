//! What is counted of requests and objects, in Prometheus' text format under kube-apiserver's names.
//!
//! <https://kubernetes.io/docs/reference/instrumentation/metrics/>

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::server::ApiServer;

/// What a request is counted as. Only what is served has a resource here, so that nobody can make labels up.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// In upper case, as kube-apiserver reports it.
    pub verb: &'static str,
    /// API group.
    pub group: Arc<str>,
    /// API version.
    pub version: Arc<str>,
    /// Resource.
    pub resource: Arc<str>,
    /// Subresource that the resource has.
    pub subresource: String,
    /// `resource`, `namespace`, `cluster`, or nothing.
    pub scope: &'static str,
}

/// Counters of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: BTreeMap<(Labels, u16), u64>,
}

impl Metrics {
    /// Counts an answered request.
    pub fn request(&mut self, labels: Labels, code: u16) {
        *self.requests.entry((labels, code)).or_default() += 1;
    }
}

/// The name under which a verb of the API is reported.
pub fn verb(verb: &str, is_apply: bool) -> &'static str {
    match verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if is_apply => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

/// Everything as text.
pub fn text(api: &ApiServer) -> String {
    let mut out = String::new();
    head(
        &mut out,
        "apiserver_request_total",
        "counter",
        "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
    );
    for ((labels, code), count) in &api.metrics.requests {
        let Labels { verb, group, version, resource, subresource, scope } = labels;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",group=\"{group}\",resource=\"{resource}\",\
             scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\"}} {count}"
        );
    }
    head(&mut out, "apiserver_storage_objects", "gauge", "Number of stored objects at the time of last check split by kind.");
    let mut stored: BTreeMap<String, u64> = BTreeMap::new();
    for resource in api.registry.resources().filter(|resource| resource.allows("list")) {
        let kept = &resource.storage.resource;
        stored.entry(kept.to_string()).or_insert_with(|| api.store.list(kept, None).count() as u64);
    }
    for (resource, count) in stored {
        let _ = writeln!(out, "apiserver_storage_objects{{resource=\"{resource}\"}} {count}");
    }
    head(&mut out, "apiserver_longrunning_requests", "gauge", "Gauge of all active long-running apiserver requests.");
    let _ = writeln!(out, "apiserver_longrunning_requests{{component=\"apiserver\",verb=\"WATCH\"}} {}", api.watches.count());
    head(&mut out, "etcd_mvcc_db_revision", "gauge", "The revision of the store.");
    let _ = writeln!(out, "etcd_mvcc_db_revision {}", api.store.revision());
    head(&mut out, "kubernetes_build_info", "gauge", "A metric with a constant '1' value labeled by version.");
    let _ = writeln!(
        out,
        "kubernetes_build_info{{git_version=\"v1.35.0+wasmkube-{}\",major=\"1\",minor=\"35\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
