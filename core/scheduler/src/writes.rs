//! What the scheduler writes: bindings, conditions, events, and the end of those who have to go.

use std::sync::Arc;

use apiserver::{ApiServer, DeleteOptions, PatchKind, Preconditions};
use object::events::{EventType, EventWrite};
use object::value::{list_at, str_at};
use object::{Result, Time, Value, json};
use store::{Key, Progress};

use crate::pod_info::PodInfo;
use crate::preemption::Candidate;
use crate::scheduler::{Nomination, Said, Scheduler};

impl Scheduler {
    /// Ends the victims, and sends those elsewhere for whom room was being made there and who go after `pod`.
    pub(crate) fn make_room(&mut self, api: &mut ApiServer, now: Time, pod: &Arc<PodInfo>, candidate: &Candidate) {
        let pods = &self.names.pods_v1;
        for victim in candidate.victims.iter().filter(|victim| !victim.deleting) {
            let message = format!("{}: preempting to accommodate a higher priority pod", pod.scheduler_name);
            let patch = json!({"metadata": {"uid": &*victim.uid}, "status": {"conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": message,
                "observedGeneration": victim.generation, "lastProbeTime": null, "lastTransitionTime": now.rfc3339(),
            }]}});
            let preconditions = Preconditions { uid: Some(victim.uid.to_string()), ..Preconditions::default() };
            let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
            let mut client = api.client(now, &self.user);
            // Who is gone already need not be ended; whoever cannot be is found again at the next attempt.
            let _ = client.patch(pods, &victim.namespace, &victim.name, "status", PatchKind::Strategic, patch);
            let _ = client.delete(pods, &victim.namespace, &victim.name, &options);
            let message = format!("Preempted by pod {} on node {}", pod.uid, candidate.node);
            self.unsaid.push_back(Said { at: now, pod: victim.clone(), kind: EventType::Normal, reason: "Preempted", message });
        }
        let lower = self.cache.nominated(&candidate.node).filter(|(_, other)| other.priority < pod.priority);
        for (_, other) in lower {
            let patch = json!({"metadata": {"uid": &*other.uid}, "status": {"nominatedNodeName": null}});
            let mut client = api.client(now, &self.user);
            let _ = client.patch(pods, &other.namespace, &other.name, "status", PatchKind::Strategic, patch);
        }
    }

    pub(crate) fn bind(&self, api: &mut ApiServer, now: Time, pod: &PodInfo, node: &str) -> Result<()> {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": &*pod.namespace, "name": &*pod.name, "uid": &*pod.uid},
            "target": {"kind": "Node", "name": node},
        });
        let mut client = api.client(now, &self.user);
        client.create_subresource(&self.names.pods_v1, &pod.namespace, &pod.name, "binding", binding).map(drop)
    }

    /// Writes why the pod waits into its PodScheduled condition, unless it stands there already.
    pub(crate) fn write_condition(
        &self,
        api: &mut ApiServer,
        now: Time,
        key: &Key,
        pod: &PodInfo,
        (reason, message, nomination): (&str, &str, &Nomination),
    ) {
        let Some(object) = api.store().get(key) else { return };
        let value = object.value();
        let old = list_at(&value, &["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "PodScheduled");
        let same = |field: &str, new: &str| old.is_some_and(|c| str_at(c, &[field]) == new);
        let nominated = str_at(&value, &["status", "nominatedNodeName"]);
        let nominate = match nomination {
            Nomination::Keep => None,
            Nomination::Clear => (!nominated.is_empty()).then_some(Value::Null),
            Nomination::Node(node) => (nominated != &**node).then(|| json!(&**node)),
        };
        let said = same("status", "False") && same("reason", reason) && same("message", message);
        if said && nominate.is_none() {
            return;
        }
        let since = old.filter(|_| same("status", "False")).map_or("", |c| str_at(c, &["lastTransitionTime"]));
        let since = if since.is_empty() { now.rfc3339() } else { since.to_owned() };
        let mut patch = json!({"metadata": {"uid": &*pod.uid}, "status": {"conditions": [{
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
            "observedGeneration": pod.generation, "lastProbeTime": null, "lastTransitionTime": since,
        }]}});
        if let Some(node) = nominate {
            patch["status"]["nominatedNodeName"] = node;
        }
        let mut client = api.client(now, &self.user);
        // The pod may be gone by now; if it is not, the next attempt writes again.
        let _ = client.patch(&self.names.pods_v1, &pod.namespace, &pod.name, "status", PatchKind::Strategic, patch);
    }

    /// Writes at most `budget` events. They can wait: nothing depends on them.
    pub fn speak(&mut self, api: &mut ApiServer, now: Time, budget: u32) -> Progress {
        for _ in 0..budget {
            let Some(said) = self.unsaid.pop_front() else { break };
            self.write_event(api, now, &said);
        }
        Progress { more: !self.unsaid.is_empty(), wake_at: None }
    }

    pub(crate) fn event(&mut self, at: Time, pod: &Arc<PodInfo>, kind: EventType, reason: &'static str, message: String) {
        self.unsaid.push_back(Said { at, pod: pod.clone(), kind, reason, message });
    }

    fn write_event(&mut self, api: &mut ApiServer, now: Time, said: &Said) {
        let pod = &said.pod;
        let about = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "namespace": &*pod.namespace, "name": &*pod.name, "uid": &*pod.uid,
        }});
        // Who was pushed off a node may have named another scheduler; then the first one speaks.
        let by_name = self.profiles.contains_key(&pod.scheduler_name);
        let profile = if by_name { self.profiles.get_mut(&pod.scheduler_name) } else { self.profiles.values_mut().next() };
        let Some((_, recorder)) = profile else { return };
        let Some(write) = recorder.event(said.at, &about, said.kind, said.reason, &said.message) else { return };
        let mut client = api.client(now, &self.user);
        let events = &self.names.events_v1;
        // An event that cannot be written (its namespace is going away) is lost, as on Kubernetes.
        let _ = match write {
            EventWrite::Create(event) => client.create(events, &pod.namespace, event),
            EventWrite::Patch { namespace, name, patch } => client.patch(events, &namespace, &name, "", PatchKind::Merge, patch),
        };
    }
}
