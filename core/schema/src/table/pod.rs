//! Pods: their status in one word.

use object::value::{at, i64_at, list_at, str_at};
use object::{Time, Value, json};

use super::{Printer, Row};

/// What is gathered over the containers of a pod.
struct Seen {
    reason: String,
    ready: i64,
    restarts: i64,
    last_restart: Option<Time>,
}

pub(super) fn pod(p: &Printer<'_>) -> Row {
    let init_specs = p.list(&["spec", "initContainers"]);
    let restartable = init_specs.iter().filter(|c| is_restartable(c)).count();
    let total = p.list(&["spec", "containers"]).len() + restartable;
    let mut seen = Seen { reason: first_reason(p), ready: 0, restarts: 0, last_restart: None };
    let (waiting, sidecars) = init_containers(p, init_specs, &mut seen);
    if !waiting || p.condition("Initialized") {
        (seen.restarts, seen.last_restart) = sidecars;
        main_containers(p, &mut seen);
    }
    let phase = p.text(&["status", "phase"]);
    if p.deleting() && p.text(&["status", "reason"]) == "NodeLost" {
        seen.reason = "Unknown".to_owned();
    } else if p.deleting() && !matches!(phase, "Succeeded" | "Failed") {
        seen.reason = "Terminating".to_owned();
    }
    let restarts = match seen.last_restart {
        Some(time) if seen.restarts != 0 => format!("{} ({} ago)", seen.restarts, super::human_duration(time, p.now)),
        _ => seen.restarts.to_string(),
    };
    let address = p.list(&["status", "podIPs"]).first().map_or("", |ip| str_at(ip, &["ip"]));
    let address = if address.is_empty() { p.text(&["status", "podIP"]) } else { address };
    Row {
        cells: vec![
            p.name(),
            format!("{}/{total}", seen.ready).into(),
            seen.reason.into(),
            restarts.into(),
            p.age(),
            if address.is_empty() { "<none>".into() } else { address.into() },
            p.text_or(&["spec", "nodeName"], "<none>"),
            p.text_or(&["status", "nominatedNodeName"], "<none>"),
            gates(p),
        ],
        conditions: match phase {
            "Succeeded" => completed("Succeeded", "The pod has completed successfully."),
            "Failed" => completed("Failed", "The pod failed."),
            _ => Vec::new(),
        },
    }
}

fn completed(reason: &str, message: &str) -> Vec<Value> {
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

fn first_reason(p: &Printer<'_>) -> String {
    let gated = p
        .list(&["status", "conditions"])
        .iter()
        .any(|c| str_at(c, &["type"]) == "PodScheduled" && str_at(c, &["reason"]) == "SchedulingGated");
    match p.text(&["status", "reason"]) {
        _ if gated => "SchedulingGated".to_owned(),
        "" => p.text(&["status", "phase"]).to_owned(),
        reason => reason.to_owned(),
    }
}

fn is_restartable(spec: &Value) -> bool {
    str_at(spec, &["restartPolicy"]) == "Always"
}

fn later(last: &mut Option<Time>, status: &Value) {
    let finished = Time::parse(str_at(status, &["lastState", "terminated", "finishedAt"]));
    *last = (*last).max(finished);
}

/// Whether the pod still waits for one of them; restarts of those that run beside the main containers.
fn init_containers(p: &Printer<'_>, specs: &[Value], seen: &mut Seen) -> (bool, (i64, Option<Time>)) {
    let mut sidecars = (0, None);
    for (index, status) in p.list(&["status", "initContainerStatuses"]).iter().enumerate() {
        let restarts = i64_at(status, &["restartCount"]).unwrap_or(0);
        seen.restarts += restarts;
        later(&mut seen.last_restart, status);
        let sidecar = specs.iter().any(|s| is_restartable(s) && str_at(s, &["name"]) == str_at(status, &["name"]));
        if sidecar {
            sidecars.0 += restarts;
            later(&mut sidecars.1, status);
        }
        let terminated = at(status, &["state", "terminated"]);
        let exit = terminated.and_then(|t| i64_at(t, &["exitCode"]));
        let waiting = str_at(status, &["state", "waiting", "reason"]);
        if terminated.is_some() && exit.unwrap_or(0) == 0 {
            continue;
        }
        if sidecar && object::value::bool_at(status, &["started"]) {
            seen.ready += i64::from(object::value::bool_at(status, &["ready"]));
            continue;
        }
        seen.reason = match terminated {
            Some(terminated) => format!("Init:{}", end_reason(terminated)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{}", specs.len()),
        };
        return (true, sidecars);
    }
    (false, sidecars)
}

fn end_reason(terminated: &Value) -> String {
    let reason = str_at(terminated, &["reason"]);
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match i64_at(terminated, &["signal"]).unwrap_or(0) {
        0 => format!("ExitCode:{}", i64_at(terminated, &["exitCode"]).unwrap_or(0)),
        signal => format!("Signal:{signal}"),
    }
}

fn main_containers(p: &Printer<'_>, seen: &mut Seen) {
    let mut running = false;
    for status in p.list(&["status", "containerStatuses"]).iter().rev() {
        seen.restarts += i64_at(status, &["restartCount"]).unwrap_or(0);
        later(&mut seen.last_restart, status);
        let waiting = str_at(status, &["state", "waiting", "reason"]);
        if !waiting.is_empty() {
            seen.reason = waiting.to_owned();
        } else if let Some(terminated) = at(status, &["state", "terminated"]) {
            seen.reason = end_reason(terminated);
        } else if object::value::bool_at(status, &["ready"]) && at(status, &["state", "running"]).is_some() {
            running = true;
            seen.ready += 1;
        }
    }
    if seen.reason == "Completed" && running {
        seen.reason = if p.condition("Ready") { "Running".to_owned() } else { "NotReady".to_owned() };
    }
}

fn gates(p: &Printer<'_>) -> Value {
    let gates = p.list(&["spec", "readinessGates"]);
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|g| {
        let kind = str_at(g, &["conditionType"]);
        list_at(p.object, &["status", "conditions"])
            .iter()
            .any(|c| str_at(c, &["type"]) == kind && str_at(c, &["status"]) == "True")
    });
    format!("{}/{}", open.count(), gates.len()).into()
}
