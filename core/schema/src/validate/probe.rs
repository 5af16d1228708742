//! Probes and life cycle hooks of containers.

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::field;

pub(super) fn all(e: &mut Errors, container: &Value, grace: Option<i64>, path: &Path<'_>) {
    let (lifecycle, at) = (field(container, "lifecycle"), path.child("lifecycle"));
    for hook in ["postStart", "preStop"] {
        if !field(lifecycle, hook).is_null() {
            handler(e, field(lifecycle, hook), grace, &at.child(hook));
        }
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let (probe, path) = (field(container, kind), path.child(kind));
        if probe.is_null() {
            continue;
        }
        one(e, probe, &path);
        let threshold = field(probe, "successThreshold");
        if kind != "readinessProbe" && threshold.as_i64().unwrap_or(0) != 1 {
            e.invalid(&path.child("successThreshold"), threshold, "must be 1");
        }
        if kind == "readinessProbe" && !field(probe, "terminationGracePeriodSeconds").is_null() {
            let value = field(probe, "terminationGracePeriodSeconds");
            e.invalid(&path.child("terminationGracePeriodSeconds"), value, "must not be set for readinessProbes");
        }
    }
}

fn one(e: &mut Errors, probe: &Value, path: &Path<'_>) {
    handler(e, probe, None, path);
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        e.not_negative(&path.child(key), field(probe, key));
    }
    let grace = field(probe, "terminationGracePeriodSeconds");
    if grace.as_i64().is_some_and(|g| g <= 0) {
        e.invalid(&path.child("terminationGracePeriodSeconds"), grace, "must be greater than 0");
    }
}

/// Exactly one way to ask.
fn handler(e: &mut Errors, handler: &Value, grace: Option<i64>, path: &Path<'_>) {
    let mut kinds = 0;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let (action, at) = (field(handler, kind), path.child(kind));
        if action.is_null() {
            continue;
        }
        kinds += 1;
        if kinds > 1 {
            e.forbidden(&at, "may not specify more than 1 handler type");
            continue;
        }
        match kind {
            "exec" if items(field(action, "command")).is_empty() => e.required(&at.child("command"), ""),
            "httpGet" => http_get(e, action, &at),
            "tcpSocket" => port(e, field(action, "port"), &at.child("port")),
            "grpc" => {
                let number = field(action, "port").as_i64().unwrap_or(0);
                e.all(&at.child("port"), &number.into(), names::port_number(number));
            }
            "sleep" => sleep(e, action, grace, &at),
            _ => {}
        }
    }
    if kinds == 0 {
        e.required(path, "must specify a handler type");
    }
}

/// A hook may not sleep for longer than the pod has to end.
fn sleep(e: &mut Errors, action: &Value, grace: Option<i64>, path: &Path<'_>) {
    let seconds = field(action, "seconds").as_i64().unwrap_or(0);
    if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        e.invalid(path, &seconds.into(), &detail);
    }
}

fn http_get(e: &mut Errors, action: &Value, path: &Path<'_>) {
    if text(field(action, "path")).is_empty() {
        e.required(&path.child("path"), "");
    }
    port(e, field(action, "port"), &path.child("port"));
    let scheme = field(action, "scheme");
    if !matches!(text(scheme), "HTTP" | "HTTPS") {
        e.unsupported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    }
    let list = path.child("httpHeaders");
    for header in items(field(action, "httpHeaders")) {
        e.name(&list, text(field(header, "name")), names::http_header_name);
    }
}

/// `ValidatePortNumOrName`.
pub(super) fn port(e: &mut Errors, port: &Value, path: &Path<'_>) {
    match port {
        Value::String(name) => e.name(path, name, names::port_name),
        other => {
            let number = other.as_i64().unwrap_or(0);
            e.all(path, &number.into(), names::port_number(number));
        }
    }
}
