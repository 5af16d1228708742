//! The parts of Kubernetes objects that the page shows, read from the API's JSON; everything else is skipped.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;

/// `namespace/name`, or just the name of an object without a namespace.
pub type Id = Rc<str>;

/// What every object carries.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub creation_timestamp: String,
    pub deletion_timestamp: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<Owner>,
}

impl Meta {
    /// The object's id.
    pub fn id(&self) -> Id {
        if self.namespace.is_empty() { self.name.as_str().into() } else { format!("{}/{}", self.namespace, self.name).into() }
    }

    /// The owner that manages this object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Owner {
    pub kind: String,
    pub name: String,
    pub controller: bool,
}

/// A condition of a pod, node or deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// Whether the condition `kind` is true.
fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|c| c.kind == kind && c.status == "True")
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub node_name: String,
    pub containers: Vec<Container>,
}

/// A container as it should be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub resources: Resources,
}

/// What a container asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub requests: BTreeMap<String, String>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    pub phase: String,
    pub reason: String,
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    pub conditions: Vec<Condition>,
    pub container_statuses: Vec<ContainerStatus>,
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// A container as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    pub name: String,
    pub ready: bool,
    pub restart_count: u32,
    pub state: ContainerState,
    pub last_state: ContainerState,
}

/// Exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub waiting: Option<StateDetail>,
    pub running: Option<StateDetail>,
    pub terminated: Option<StateDetail>,
}

/// Why a container is in its state.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StateDetail {
    pub reason: String,
    pub message: String,
    pub exit_code: Option<i32>,
}

/// How a pod is drawn: its phase as a person would name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Waits for a node.
    Pending,
    /// No node fits.
    Unschedulable,
    /// Has a node; images and containers are being prepared.
    Creating,
    /// Runs, but is not ready.
    Starting,
    /// Runs and is ready.
    Ready,
    /// Crashes, cannot get its image, or ended with an error.
    Failing,
    /// Ended as it should.
    Done,
    /// Is being deleted.
    Leaving,
}

impl Look {
    /// CSS class.
    pub fn class(self) -> &'static str {
        match self {
            Look::Pending => "pending",
            Look::Unschedulable => "unschedulable",
            Look::Creating => "creating",
            Look::Starting => "starting",
            Look::Ready => "ready",
            Look::Failing => "failing",
            Look::Done => "done",
            Look::Leaving => "leaving",
        }
    }
}

impl Pod {
    /// How to draw this pod.
    pub fn look(&self) -> Look {
        if self.metadata.deletion_timestamp.is_some() {
            return Look::Leaving;
        }
        match self.status.phase.as_str() {
            "Succeeded" => return Look::Done,
            "Failed" => return Look::Failing,
            _ if self.trouble().is_some() => return Look::Failing,
            "Running" if holds(&self.status.conditions, "Ready") => return Look::Ready,
            "Running" => return Look::Starting,
            _ => {}
        }
        let unscheduled = self.status.conditions.iter().any(|c| c.kind == "PodScheduled" && c.reason == "Unschedulable");
        match (self.spec.node_name.is_empty(), unscheduled) {
            (true, true) => Look::Unschedulable,
            (true, false) => Look::Pending,
            (false, _) => Look::Creating,
        }
    }

    /// The word kubectl's STATUS column shows.
    pub fn word(&self) -> String {
        if self.metadata.deletion_timestamp.is_some() {
            return "Terminating".to_owned();
        }
        let reason = self.details().find(|(detail, _)| !detail.reason.is_empty() && detail.reason != "Completed");
        match reason {
            Some((detail, _)) if self.status.phase != "Succeeded" => detail.reason.clone(),
            _ if !self.status.reason.is_empty() => self.status.reason.clone(),
            _ if self.status.phase == "Succeeded" => "Completed".to_owned(),
            _ => self.status.phase.clone(),
        }
    }

    /// What keeps this pod from working, in one sentence.
    pub fn why(&self) -> Option<String> {
        let blocked = self.status.conditions.iter().find(|c| c.kind == "PodScheduled" && c.status == "False");
        self.trouble()
            .map(|detail| if detail.message.is_empty() { detail.reason.clone() } else { detail.message.clone() })
            .or_else(|| blocked.map(|condition| condition.message.clone()))
            .filter(|text| !text.is_empty())
    }

    /// Ready containers and all containers.
    pub fn readiness(&self) -> (usize, usize) {
        (self.status.container_statuses.iter().filter(|c| c.ready).count(), self.spec.containers.len())
    }

    /// How often containers were started again.
    pub fn restarts(&self) -> u32 {
        self.status.container_statuses.iter().map(|c| c.restart_count).sum()
    }

    /// The last word of a generated name, or the name's end.
    pub fn short_name(&self) -> &str {
        let name = self.metadata.name.as_str();
        let last = name.rsplit('-').next().unwrap_or(name);
        if self.metadata.owner_references.is_empty() || last.len() > 6 { name } else { last }
    }

    fn details(&self) -> impl Iterator<Item = (&StateDetail, bool)> {
        let all = self.status.init_container_statuses.iter().chain(&self.status.container_statuses);
        all.filter_map(|c| match &c.state {
            ContainerState { waiting: Some(detail), .. } => Some((detail, true)),
            ContainerState { terminated: Some(detail), .. } => Some((detail, false)),
            _ => None,
        })
    }

    // A container that waits for the ordinary (ContainerCreating, PodInitializing) is no trouble; one that waits for
    // anything else, or that ended with an error, is.
    fn trouble(&self) -> Option<&StateDetail> {
        let found = self.details().find(|(detail, waiting)| match waiting {
            true => !matches!(detail.reason.as_str(), "" | "ContainerCreating" | "PodInitializing"),
            false => detail.exit_code.unwrap_or(0) != 0,
        });
        found.map(|(detail, _)| detail)
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

/// `spec` of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    pub unschedulable: bool,
}

/// `status` of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    pub allocatable: BTreeMap<String, String>,
    pub conditions: Vec<Condition>,
}

impl Node {
    /// Whether the node is in working order.
    pub fn ready(&self) -> bool {
        holds(&self.status.conditions, "Ready")
    }
}

/// A Deployment or ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Workload {
    pub metadata: Meta,
    pub spec: WorkloadSpec,
    pub status: WorkloadStatus,
}

/// `spec` of a workload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct WorkloadSpec {
    pub replicas: u32,
    pub paused: bool,
    pub template: Template,
}

/// `spec.template`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Template {
    pub spec: PodSpec,
}

/// `status` of a workload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadStatus {
    pub observed_generation: u64,
    pub replicas: u32,
    pub updated_replicas: u32,
    pub ready_replicas: u32,
    pub available_replicas: u32,
    pub conditions: Vec<Condition>,
}

impl Workload {
    /// The Deployment's revision this object stands for.
    pub fn revision(&self) -> u64 {
        self.metadata.annotations.get("deployment.kubernetes.io/revision").and_then(|r| r.parse().ok()).unwrap_or(0)
    }

    /// The images of its pods, without registry and path.
    pub fn images(&self) -> String {
        let short = |container: &Container| container.image.rsplit('/').next().unwrap_or_default().to_owned();
        self.spec.template.spec.containers.iter().map(short).collect::<Vec<_>>().join(", ")
    }
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Meta,
    pub spec: ServiceSpec,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    pub selector: BTreeMap<String, String>,
    pub ports: Vec<ServicePort>,
}

/// One of a Service's ports.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServicePort {
    pub port: u32,
}

/// Where a Service's traffic goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    pub metadata: Meta,
    #[serde(deserialize_with = "null_is_empty")]
    pub endpoints: Vec<Endpoint>,
}

/// One of a slice's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    pub conditions: EndpointConditions,
}

/// Whether an endpoint takes traffic.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    pub ready: Option<bool>,
}

impl EndpointSlice {
    /// Endpoints that take traffic.
    pub fn ready(&self) -> usize {
        self.endpoints.iter().filter(|e| e.conditions.ready != Some(false)).count()
    }
}

/// A core/v1 Event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Event {
    pub metadata: Meta,
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: String,
    pub message: String,
    pub count: Option<u32>,
    pub last_timestamp: Option<String>,
    pub event_time: Option<String>,
    pub involved_object: Involved,
}

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Involved {
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

impl Event {
    /// When it happened last; RFC 3339, so texts compare as times do.
    pub fn at(&self) -> &str {
        let known = self.last_timestamp.as_deref().or(self.event_time.as_deref());
        known.unwrap_or(&self.metadata.creation_timestamp)
    }
}

// Go writes a nil slice as null.
fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn looks() {
        let waiting = |reason: &str| {
            serde_json::json!({"spec": {"nodeName": "a"}, "status": {"phase": "Pending", "containerStatuses": [
                {"state": {"waiting": {"reason": reason}}}]}})
        };
        let running = |ready: &str| {
            serde_json::json!({"spec": {"nodeName": "a"}, "status": {"phase": "Running",
                "conditions": [{"type": "Ready", "status": ready}]}})
        };
        let cases = [
            ("no status yet", serde_json::json!({}), Look::Pending),
            (
                "no node fits",
                serde_json::json!({"status": {"phase": "Pending", "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}}),
                Look::Unschedulable,
            ),
            ("creating", waiting("ContainerCreating"), Look::Creating),
            ("crash loop", waiting("CrashLoopBackOff"), Look::Failing),
            ("image", waiting("ImagePullBackOff"), Look::Failing),
            ("running", running("False"), Look::Starting),
            ("ready", running("True"), Look::Ready),
            ("done", serde_json::json!({"status": {"phase": "Succeeded"}}), Look::Done),
            (
                "deleted",
                serde_json::json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}),
                Look::Leaving,
            ),
        ];
        for (name, json, look) in cases {
            assert_eq!(pod(json).look(), look, "{name}");
        }
    }

    #[test]
    fn words_and_reasons() {
        let crashing = pod(serde_json::json!({"spec": {"nodeName": "a", "containers": [{}]}, "status": {"phase": "Running",
            "containerStatuses": [{"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}]}}));
        assert_eq!(crashing.word(), "CrashLoopBackOff");
        assert_eq!(crashing.why().as_deref(), Some("back-off"));
        assert_eq!((crashing.restarts(), crashing.readiness()), (3, (0, 1)));
        let named =
            pod(serde_json::json!({"metadata": {"name": "web-7d4b9c-x2x7k", "ownerReferences": [{"kind": "ReplicaSet"}]}}));
        assert_eq!(named.short_name(), "x2x7k");
    }

    #[test]
    fn null_lists_are_empty() {
        let slice: EndpointSlice = serde_json::from_value(serde_json::json!({"endpoints": null})).unwrap();
        assert_eq!(slice.ready(), 0);
    }
}
