//! Metrics as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};

use object::{Value, json};
use wasmkube_apiserver::message::Output;
use wasmkube_apiserver::metrics::{DURATION_BOUNDS, Durations, Measured};

use crate::{CONFIGMAPS, Server, configmap};

fn text(server: &mut Server) -> String {
    let outputs = server.send("GET", "/metrics", &[], b"");
    let body = outputs.iter().find_map(|o| if let Output::Respond { body, .. } = o { Some(body.to_vec()) } else { None });
    String::from_utf8(body.expect("an answer")).expect("text")
}

/// The value of the sample with this name that has all these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of = |line: &&str| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(|label| rest.contains(label))
    };
    text.lines().find(of)?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn every_sample_has_a_help_and_a_type_and_histograms_add_up() {
    let mut server = Server::new();
    server.post(CONFIGMAPS, configmap("a"));
    server.send("GET", &format!("{CONFIGMAPS}?watch=true"), &[], b"");
    server.post(CONFIGMAPS, configmap("b"));
    let text = text(&mut server);
    let (mut typed, mut helped, mut seen) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(help.split(' ').next().unwrap_or_default()), "twice: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            typed.insert(name, kind);
        } else {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix).filter(|base| typed.get(base) == Some(&"histogram")));
            let base = base.unwrap_or(name);
            assert!(typed.contains_key(base) && helped.contains(base), "{line}");
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(sample.to_owned()), "twice: {line}");
        }
    }
    let labels = ["verb=\"POST\"", "resource=\"configmaps\"", "code=\"201\"", "scope=\"namespace\"", "dry_run=\"\""];
    assert_eq!(value(&text, "apiserver_request_total", &labels), Some(2.0));
    assert_eq!(value(&text, "apiserver_longrunning_requests", &["resource=\"configmaps\"", "scope=\"namespace\""]), Some(1.0));
    assert_eq!(value(&text, "apiserver_watch_events_total", &["kind=\"ConfigMap\""]), Some(1.0));
    assert_eq!(value(&text, "apiserver_watch_events_sizes_count", &["kind=\"ConfigMap\""]), Some(1.0));
    assert_eq!(value(&text, "apiserver_storage_objects", &["resource=\"flowschemas.flowcontrol.apiserver.k8s.io\""]), Some(13.0));
    assert_eq!(value(&text, "apiserver_resource_objects", &["resource=\"flowschemas\"", "group=\"flow"]), Some(13.0));
    let exempt = ["flow_schema=\"exempt\"", "priority_level=\"exempt\""];
    assert_eq!(value(&text, "apiserver_flowcontrol_dispatched_requests_total", &exempt), Some(4.0));
    assert_eq!(value(&text, "apiserver_flowcontrol_current_executing_requests", &exempt), Some(1.0), "this one");
    assert_eq!(value(&text, "apiserver_current_inflight_requests", &["readOnly"]), Some(1.0));
    let waits = "apiserver_flowcontrol_request_wait_duration_seconds_bucket";
    assert_eq!(value(&text, waits, &["flow_schema=\"exempt\"", "le=\"0\""]), Some(4.0));
    assert_eq!(value(&text, "authentication_attempts", &["success"]), Some(4.0));
    assert_eq!(value(&text, "apiserver_flowcontrol_nominal_limit_seats", &["\"workload-low\""]), Some(245.0));
}

#[test]
fn what_the_host_measures_is_shown_under_the_labels_of_its_kind() {
    let mut server = Server::new();
    let outputs = server.send_raw("GET", &format!("{CONFIGMAPS}/none"), &[], b"");
    let kind = outputs.iter().find_map(|output| if let Output::Served { kind, .. } = output { Some(*kind) } else { None });
    let kind = kind.expect("every answer says what it is counted as");
    let mut counts = vec![0; DURATION_BOUNDS.len() + 1];
    (counts[0], counts[2], counts[DURATION_BOUNDS.len()]) = (2, 1, 1);
    let durations = vec![Durations { kind, counts, sum: 70_000_000 }, Durations { kind: 999, ..Durations::default() }];
    server.api.measured(Measured { durations, process: vec![("process_open_fds".to_owned(), 12.0)] });
    let text = text(&mut server);
    let labels = |bound: &str| format!("le=\"{bound}\"");
    for (bound, count) in [("0.005", 2.0), ("0.025", 2.0), ("0.05", 3.0), ("60", 3.0), ("+Inf", 4.0)] {
        let found = value(&text, "apiserver_request_duration_seconds_bucket", &["configmaps", "verb=\"GET\"", &labels(bound)]);
        assert_eq!(found, Some(count), "{bound}");
    }
    let sli = "apiserver_request_sli_duration_seconds_bucket";
    assert_eq!(value(&text, sli, &["configmaps", &labels("0.025")]), None);
    assert_eq!(value(&text, sli, &["configmaps", &labels("0.05")]), Some(3.0), "what is below the first bound is in it");
    assert_eq!(value(&text, "apiserver_request_duration_seconds_sum", &["configmaps"]), Some(70.0));
    assert_eq!(value(&text, "apiserver_request_duration_seconds_count", &["configmaps"]), Some(4.0));
    assert_eq!(value(&text, "process_open_fds", &[]), Some(12.0));
}

#[test]
fn refusals_of_our_own_are_counted() {
    let mut server = Server::new();
    let nobody = wasmkube_apiserver::UserInfo::service_account("kube-system", "nobody");
    let maps = wasmkube_apiserver::gvr("", "v1", "configmaps");
    let refused = server.api.client(server.now, &nobody).create(&maps, "default", configmap("a"));
    assert_eq!(refused.map_err(|error| error.code), Err::<std::sync::Arc<Value>, u16>(403));
    let refusals: Vec<_> = server.api.refusals().map(|(user, code, count)| (user.to_owned(), code, count)).collect();
    assert!(refusals.contains(&("system:serviceaccount:kube-system:nobody".to_owned(), 403, 1)), "{refusals:?}");
    let text = text(&mut server);
    assert_eq!(value(&text, "wasmkube_refused_writes_total", &["code=\"403\"", "kube-system:nobody"]), Some(1.0));
    assert_eq!(server.get("/api/v1/namespaces/default/configmaps/a").1["reason"], json!("NotFound"));
}
