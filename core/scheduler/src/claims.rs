//! What has to be done for a pod's claims between the choice of its node and its binding: devices are written into them; volumes are
//! given to them, or asked for on that node, and the pod waits until all have theirs.

use std::sync::Arc;

use apiserver::{ApiServer, PatchKind, gvr};
use object::events::EventType;
use object::value::list_at;
use object::{Result, Time, json};
use store::Key;

use crate::plugins::{Decision, Grant, claim_is_bound, is_reserved};
use crate::pod_info::PodInfo;
use crate::scheduler::{Nomination, Scheduler};

/// Keeps a claim that has devices from going away.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// So long volumes may take.
const TIMEOUT_SECONDS: u64 = 600;

/// A pod whose node is chosen and whose volumes are not there yet.
pub(crate) struct Pending {
    pod: Arc<PodInfo>,
    node: Arc<str>,
    claims: Vec<Key>,
    pub until: Time,
}

impl Scheduler {
    /// Writes into claims which devices are theirs, and that the pod uses them.
    pub(crate) fn grant(&mut self, api: &mut ApiServer, now: Time, pod: &PodInfo, grants: &[Grant]) -> Result<()> {
        let claims = gvr("resource.k8s.io", "v1", "resourceclaims");
        for Grant { claim, allocation } in grants {
            let Key { namespace, name, .. } = &claim.key;
            let mut client = api.client(now, &self.user);
            let mut revision = claim.revision.to_string();
            if allocation.is_some() && !claim.meta.finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
                let mut finalizers = claim.meta.finalizers.clone();
                finalizers.push(FINALIZER.to_owned());
                let patch = json!({"metadata": {"resourceVersion": revision, "finalizers": finalizers}});
                let written = client.patch(&claims, namespace, name, "", PatchKind::Merge, patch)?;
                object::value::str_at(&written, &["metadata", "resourceVersion"]).clone_into(&mut revision);
            }
            let mut status = json!({});
            if let Some(allocation) = allocation {
                status["allocation"] = allocation.clone();
            }
            if !is_reserved(claim, &pod.uid) {
                let mut users = list_at(&claim.value(), &["status", "reservedFor"]).to_vec();
                users.push(json!({"resource": "pods", "name": &*pod.name, "uid": &*pod.uid}));
                status["reservedFor"] = users.into();
            }
            let patch = json!({"metadata": {"resourceVersion": revision}, "status": status});
            client.patch(&claims, namespace, name, "status", PatchKind::Merge, patch)?;
        }
        Ok(())
    }

    /// Begins what a decision says; the pod counts as placed from now on.
    pub(crate) fn begin(
        &mut self,
        api: &mut ApiServer,
        now: Time,
        (key, pod): (&Key, &Arc<PodInfo>),
        node: &Arc<str>,
        decision: &Decision,
    ) -> Result<()> {
        let mut client = api.client(now, &self.user);
        for (claim, volume) in &decision.bind {
            let patch = json!({
                "metadata": {
                    "uid": volume.meta.uid, "resourceVersion": volume.revision.to_string(),
                    "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
                },
                "spec": {"claimRef": {
                    "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": &*claim.key.namespace,
                    "name": &*claim.key.name, "uid": claim.meta.uid, "resourceVersion": claim.revision.to_string(),
                }},
            });
            client.patch(&gvr("", "v1", "persistentvolumes"), "", &volume.key.name, "", PatchKind::Merge, patch)?;
        }
        for claim in &decision.provision {
            let patch = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": &**node}}});
            let claims = gvr("", "v1", "persistentvolumeclaims");
            client.patch(&claims, &claim.namespace, &claim.name, "", PatchKind::Merge, patch)?;
        }
        // Others should know that the node is as good as taken.
        let patch = json!({"metadata": {"uid": &*pod.uid}, "status": {"nominatedNodeName": &**node}});
        client.patch(&gvr("", "v1", "pods"), &pod.namespace, &pod.name, "status", PatchKind::Strategic, patch)?;
        let pending = Pending {
            pod: pod.clone(),
            node: node.clone(),
            claims: decision.claims().cloned().collect(),
            until: now.plus_secs(TIMEOUT_SECONDS),
        };
        self.assume(key, pod, node.clone(), now);
        self.pending.insert(key.clone(), pending);
        Ok(())
    }

    /// Goes on with those whose volumes are there, and gives up those who have waited too long.
    pub(crate) fn settle_claims(&mut self, api: &mut ApiServer, now: Time) {
        let keys: Vec<Key> = self.pending.keys().cloned().collect();
        for key in keys {
            let Some(pending) = self.pending.get(&key) else { continue };
            let mut done = true;
            let mut failed = (now >= pending.until).then(|| "binding volumes: context deadline exceeded".to_owned());
            for claim in &pending.claims {
                match api.store().get(claim).map(|claim| claim_is_bound(claim)) {
                    None => failed = Some(format!("binding volumes: persistentvolumeclaim {:?} not found", claim.name)),
                    Some(Ok(())) => {}
                    Some(Err(_)) => done = false,
                }
            }
            if !done && failed.is_none() {
                continue;
            }
            let Some(Pending { pod, node, .. }) = self.pending.remove(&key) else { continue };
            let result = match &failed {
                None => self.bind(api, now, &pod, &node).map_err(|error| error.to_string()),
                Some(why) => Err(why.clone()),
            };
            match result {
                Ok(()) => {
                    let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                    self.event(now, &pod, EventType::Normal, "Scheduled", message);
                }
                Err(message) => {
                    self.cache.displace(&key);
                    self.queue.add(key.clone(), pod.clone(), now);
                    self.queue.retry(&key, now);
                    self.write_condition(api, now, &key, &pod, ("SchedulerError", &message, &Nomination::Keep));
                    self.event(now, &pod, EventType::Warning, "FailedScheduling", message);
                }
            }
        }
    }
}
