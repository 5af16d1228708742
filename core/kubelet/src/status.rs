//! A pod's status as the API tells it: phase, conditions, containers.
//!
//! Everything is computed from the state of the pod's containers; only the times at which conditions changed are remembered.

use object::{Time, Value, json};

use crate::container::{Activity, ContainerWorker, Role, State, Terminated, full_name};
use crate::io::Config;
use crate::pod::Pod;
use crate::resize::Pending;

/// What the status is computed from.
pub(crate) struct Facts<'a> {
    pub config: &'a Config,
    pub pod: &'a Pod,
    pub containers: &'a [ContainerWorker],
    pub ips: &'a [String],
    pub start_time: Time,
    /// The pod has its address.
    pub has_sandbox: bool,
    /// The init containers are through.
    pub initialized: bool,
    /// The pod has ended, whatever its containers say, with this reason and message.
    pub failed: Option<(&'a str, &'a str)>,
    /// A change of its resources that waits.
    pub resize: Option<&'a Pending>,
}

/// A condition and when it last changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub kind: &'static str,
    pub status: bool,
    pub reason: &'static str,
    pub message: String,
    pub since: Time,
}

/// The phase that the containers make.
pub(crate) fn phase(facts: &Facts<'_>) -> &'static str {
    if facts.failed.is_some() {
        return "Failed";
    }
    if !facts.initialized {
        // An init container that failed for good takes the pod with it.
        let failed = |c: &ContainerWorker| c.ended().is_some_and(|exit| exit.exit_code != 0) && c.is_over(facts.pod);
        let dead = facts.containers.iter().any(|c| c.role == Role::Init && failed(c));
        return if dead { "Failed" } else { "Pending" };
    }
    // Those that will run again count as running: the pod lives on.
    let (mut running, mut waiting, mut failed) = (0, 0, 0);
    for container in facts.containers.iter().filter(|c| c.role == Role::Main) {
        if container.is_running() {
            running += 1;
        } else if let Some(exit) = container.ended() {
            running += u32::from(!container.is_over(facts.pod));
            failed += u32::from(exit.exit_code != 0);
        } else if container.last.is_some() {
            running += 1;
        } else {
            waiting += 1;
        }
    }
    match () {
        () if waiting > 0 => "Pending",
        () if running > 0 => "Running",
        () if failed > 0 => "Failed",
        () => "Succeeded",
    }
}

/// The kubelet's conditions, with the times of those in `before` that have not changed.
pub(crate) fn conditions(facts: &Facts<'_>, phase: &str, before: &[Condition], now: Time) -> Vec<Condition> {
    let ended = matches!(phase, "Succeeded" | "Failed");
    let finished = if phase == "Succeeded" { "PodCompleted" } else { "PodFailed" };
    let names = |wanted: &dyn Fn(&ContainerWorker) -> bool| -> Vec<&str> {
        facts.containers.iter().filter(|c| wanted(c)).map(|c| &*c.name).collect()
    };
    let incomplete = names(&|c| match c.role {
        Role::Init => c.ended().is_none_or(|exit| exit.exit_code != 0),
        Role::Sidecar => !c.is_started(),
        Role::Main | Role::Ephemeral => false,
    });
    let unready = names(&|c| matches!(c.role, Role::Sidecar | Role::Main) && !c.is_ready());
    let mut list = Vec::with_capacity(5);
    list.push(("PodReadyToStartContainers", facts.has_sandbox && !ended, "", String::new()));
    list.push(match () {
        () if phase == "Succeeded" => ("Initialized", true, "PodCompleted", String::new()),
        () if facts.initialized => ("Initialized", true, "", String::new()),
        () => (
            "Initialized",
            false,
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", incomplete.join(" ")),
        ),
    });
    let containers_ready = match () {
        () if ended => (false, finished, String::new()),
        () if unready.is_empty() => (true, "", String::new()),
        () => (false, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))),
    };
    let closed_gates = gates(facts.pod);
    list.push(match (&containers_ready, closed_gates.is_empty()) {
        ((true, ..), false) => ("Ready", false, "ReadinessGatesNotReady", closed_gates.join(", ")),
        ((status, reason, message), _) => ("Ready", *status, *reason, message.clone()),
    });
    list.push(("ContainersReady", containers_ready.0, containers_ready.1, containers_ready.2));
    list.into_iter()
        .map(|(kind, status, reason, message)| {
            let old = before.iter().find(|c| c.kind == kind && c.status == status);
            Condition { kind, status, reason, message, since: old.map_or(now, |c| c.since) }
        })
        .collect()
}

/// What keeps a pod with ready containers from being Ready.
fn gates(pod: &Pod) -> Vec<String> {
    let mut out = Vec::new();
    for gate in &pod.spec.readiness_gates {
        let condition = pod.status.conditions.iter().find(|c| c.kind == gate.condition_type);
        match condition {
            None => out.push(format!("corresponding condition of pod readiness gate {:?} does not exist.", gate.condition_type)),
            Some(c) if c.status != "True" => {
                out.push(format!("the status of pod readiness gate {:?} is not \"True\", but {}", gate.condition_type, c.status))
            }
            Some(_) => {}
        }
    }
    out
}

/// The whole status.
pub(crate) fn status(facts: &Facts<'_>, phase: &str, conditions: &[Condition]) -> Value {
    let generation = facts.pod.generation;
    let mut list: Vec<Value> = conditions.iter().map(|c| condition_json(c, generation)).collect();
    // The scheduler's condition stays; it has been seen at this generation too.
    list.extend(facts.pod.status.conditions.iter().filter(|c| c.kind == "PodScheduled").map(|c| {
        json!({
            "type": "PodScheduled", "status": c.status, "observedGeneration": generation, "lastProbeTime": null,
            "lastTransitionTime": c.last_transition_time.map(Time::rfc3339),
        })
    }));
    list.extend(resize_pending(facts));
    let containers = |field: &str| -> Vec<Value> {
        facts.containers.iter().filter(|c| c.role.field() == field).map(|c| container_json(facts, c)).collect()
    };
    let mut status = json!({
        "observedGeneration": generation,
        "phase": phase,
        "startTime": facts.start_time.rfc3339(),
    });
    // Not in the literal, which would copy it.
    status["conditions"] = Value::Array(list);
    let qos = &facts.pod.status.qos_class;
    if !qos.is_empty() {
        status["qosClass"] = qos.as_str().into();
    }
    if let Some((reason, message)) = facts.failed {
        status["reason"] = reason.into();
        status["message"] = message.into();
        if facts.containers.iter().all(|c| matches!(c.state, State::Idle)) {
            return status;
        }
    }
    let host_ips = &facts.config.addresses;
    if let Some(first) = host_ips.first() {
        status["hostIP"] = first.as_str().into();
        status["hostIPs"] = replaced(host_ips);
    }
    if let Some(first) = facts.ips.first() {
        status["podIP"] = first.as_str().into();
        status["podIPs"] = replaced(facts.ips);
    }
    if !facts.pod.spec.init_containers.is_empty() {
        status["initContainerStatuses"] = Value::Array(containers("initContainers"));
    }
    if !facts.pod.spec.ephemeral_containers.is_empty() {
        status["ephemeralContainerStatuses"] = Value::Array(containers("ephemeralContainers"));
    }
    status["containerStatuses"] = Value::Array(containers("containers"));
    status
}

/// `PodResizePending` while a change of resources waits; afterwards it is taken away.
fn resize_pending(facts: &Facts<'_>) -> Option<Value> {
    const KIND: &str = "PodResizePending";
    let there = facts.pod.status.conditions.iter().find(|c| c.kind == KIND);
    let Some(pending) = facts.resize else { return there.map(|_| json!({"type": KIND, "$patch": "delete"})) };
    Some(json!({
        "type": KIND, "status": "True", "observedGeneration": facts.pod.generation, "lastProbeTime": null,
        "lastTransitionTime": pending.since.rfc3339(), "reason": pending.reason, "message": pending.message,
    }))
}

/// Addresses in a strategic merge patch: these and no others. Without the directive those of a former life would stay.
fn replaced(ips: &[String]) -> Value {
    ips.iter().map(|ip| json!({"ip": ip})).chain([json!({"$patch": "replace"})]).collect()
}

fn condition_json(condition: &Condition, generation: i64) -> Value {
    let mut out = json!({
        "type": condition.kind,
        "status": if condition.status { "True" } else { "False" },
        "observedGeneration": generation,
        "lastProbeTime": null,
        "lastTransitionTime": condition.since.rfc3339(),
    });
    // In a strategic merge patch null takes away what stood there before.
    out["reason"] = if condition.reason.is_empty() { Value::Null } else { condition.reason.into() };
    out["message"] = if condition.message.is_empty() { Value::Null } else { condition.message.as_str().into() };
    out
}

fn container_json(facts: &Facts<'_>, container: &ContainerWorker) -> Value {
    let spec = container.spec(facts.pod);
    // A finished init container counts as ready for ever.
    let done = container.role == Role::Init && container.ended().is_some_and(|exit| exit.exit_code == 0);
    let (state, last) = states(facts, container);
    let mut out = json!({
        "name": &*container.name,
        "image": spec.map_or("", |s| &*s.image),
        // Which image it is shows once the container exists.
        "imageID": if container.container_id.is_empty() { "" } else { &*container.image_id },
        "ready": container.role != Role::Ephemeral && container.is_ready() || done,
        "started": container.is_started(),
        "restartCount": container.attempt,
    });
    // Not in the literal, which would copy them.
    out["state"] = state;
    out["lastState"] = last.map_or_else(|| json!({}), terminated_json);
    if !container.container_id.is_empty() {
        out["containerID"] = container.container_id.as_str().into();
    }
    if let Some(spec) = spec {
        let list = |amounts: &crate::pod::Quantities| -> Value {
            amounts
                .iter()
                .map(|(name, amount)| (name.clone(), Value::from(amount.to_string())))
                .collect::<object::Map<_, _>>()
                .into()
        };
        let (requests, limits) = (&spec.resources.requests, &spec.resources.limits);
        let mut resources = json!({});
        if !requests.is_empty() {
            out["allocatedResources"] = list(requests);
            resources["requests"] = list(requests);
        }
        if !limits.is_empty() {
            resources["limits"] = list(limits);
        }
        if container.is_running() {
            out["resources"] = resources;
        }
        if !spec.volume_mounts.is_empty() {
            out["volumeMounts"] = spec.volume_mounts.iter().map(mount_json).collect();
        }
    }
    out
}

fn mount_json(mount: &crate::pod::VolumeMount) -> Value {
    let mut out = json!({"name": mount.name, "mountPath": mount.mount_path});
    if mount.read_only {
        out["readOnly"] = true.into();
        out["recursiveReadOnly"] = "Disabled".into();
    }
    out
}

/// `state` and what stands in `lastState`.
fn states<'a>(facts: &Facts<'_>, container: &'a ContainerWorker) -> (Value, Option<&'a Terminated>) {
    let waiting = |reason: &str, message: String| {
        let mut out = json!({"reason": reason});
        if !message.is_empty() {
            out["message"] = message.into();
        }
        under("waiting", out)
    };
    let not_yet = || {
        let before = if facts.initialized || container.role != Role::Main || facts.pod.spec.init_containers.is_empty() {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        let init_waits = container.role.is_init() && matches!(container.state, State::Idle);
        waiting(if init_waits { "PodInitializing" } else { before }, String::new())
    };
    let last = container.last.as_ref();
    match &container.state {
        State::Idle | State::Pulling | State::Starting => (not_yet(), last),
        State::Refused { reason, message, .. } if !reason.is_empty() => (waiting(reason, message.clone()), last),
        State::Refused { .. } => (not_yet(), last),
        State::PullFailed { reason, message, backing_off: false, .. } => (waiting(reason, message.clone()), last),
        State::PullFailed { reason, message, .. } => {
            let image = container.spec(facts.pod).map(|s| s.image.clone()).unwrap_or_default();
            (waiting("ImagePullBackOff", format!("Back-off pulling image {image:?}: {reason}: {message}")), last)
        }
        State::Running(running) if running.activity == Activity::PostStart => (not_yet(), last),
        State::Running(running) => (json!({"running": {"startedAt": running.since.rfc3339()}}), last),
        State::Ended(exit) | State::CrashLoop { exit, told: false, .. } => (terminated_json(exit), last),
        State::CrashLoop { exit, .. } => {
            let message = format!(
                "back-off {} restarting failed container={} pod={}",
                container.crash_wait(),
                container.name,
                full_name(facts.pod)
            );
            (waiting("CrashLoopBackOff", message), Some(exit))
        }
    }
}

/// An object with one field.
fn under(field: &str, value: Value) -> Value {
    Value::Object([(field.to_owned(), value)].into_iter().collect())
}

fn terminated_json(exit: &Terminated) -> Value {
    let mut out = json!({"exitCode": exit.exit_code, "reason": exit.reason});
    if exit.signal != 0 {
        out["signal"] = exit.signal.into();
    }
    if !exit.message.is_empty() {
        out["message"] = exit.message.as_str().into();
    }
    out["startedAt"] = exit.started_at.map_or(Value::Null, |t| t.rfc3339().into());
    out["finishedAt"] = exit.finished_at.map_or(Value::Null, |t| t.rfc3339().into());
    if !exit.container_id.is_empty() {
        out["containerID"] = exit.container_id.as_str().into();
    }
    under("terminated", out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_replace_those_of_a_former_life() {
        let patch = super::replaced(&["10.244.0.3".to_owned()]);
        assert_eq!(patch, serde_json::json!([{"ip": "10.244.0.3"}, {"$patch": "replace"}]));
    }
}
