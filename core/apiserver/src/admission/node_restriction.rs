//! NodeRestriction: a kubelet writes what belongs to its own node and nothing else.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>

use std::collections::{BTreeMap, BTreeSet};

use object::value::{at, bool_at, list_at, str_at};
use object::{ApiError, GroupResource, Result, Value};
use store::Key;

use super::{Attributes, Operation};
use crate::auth::node;
use crate::server::ApiServer;

const MIRROR: &str = "kubernetes.io/config.mirror";
const LEASES: &str = "kube-node-lease";
/// Labels under this prefix are the administrator's alone.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Prefixes of Kubernetes under which a kubelet may set any label.
const KUBELET_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// The other labels of Kubernetes that a kubelet may set.
const KUBELET_LABELS: [&str; 10] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// Judges what a kubelet writes; everybody else may pass.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    let Some(node) = node::node_of(attributes.user) else { return Ok(()) };
    let request = Request { api, node, attributes, object };
    let gvr = &attributes.target.resource.gvr;
    let why = match (&*gvr.group, &*gvr.resource, attributes.target.subresource.as_str()) {
        ("", "pods", "") => request.pod()?,
        ("", "pods", "status") => request.pod_status(),
        ("", "pods", "eviction") => request.eviction()?,
        ("", "pods", other) => Some(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed")),
        ("", "nodes", _) => request.node(),
        ("", "persistentvolumeclaims", "status") => request.claim_status(),
        ("", "persistentvolumeclaims", _) => Some("may only update PVC status".to_owned()),
        ("", "serviceaccounts", "token") => request.token()?,
        ("coordination.k8s.io", "leases", _) if attributes.target.namespace != LEASES => {
            Some(format!("can only access leases in the {LEASES:?} system namespace"))
        }
        ("coordination.k8s.io", "leases", _) => request.named("node lease"),
        ("storage.k8s.io", "csinodes", _) => request.named("CSINode"),
        _ => None,
    };
    why.map_or(Ok(()), |why| Err(attributes.forbidden(&why)))
}

struct Request<'a> {
    api: &'a ApiServer,
    node: &'a str,
    attributes: &'a Attributes<'a>,
    object: &'a Value,
}

/// Why something is refused, if it is.
type Refusal = Option<String>;

impl Request<'_> {
    fn operation(&self) -> &'static str {
        self.attributes.operation.as_str()
    }

    fn named(&self, what: &str) -> Refusal {
        (self.attributes.name != self.node).then(|| format!("can only access {what} with the same name as the requesting node"))
    }

    fn pod(&self) -> Result<Refusal> {
        let node = self.node;
        Ok(match self.attributes.operation {
            Operation::Create => return self.mirror_pod(),
            Operation::Delete => {
                let bound = self.attributes.old.map_or("", |pod| str_at(pod, &["spec", "nodeName"]));
                (bound != node).then(|| format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            _ => {
                Some(format!("unexpected operation {:?}, node {node:?} can only create and delete mirror pods", self.operation()))
            }
        })
    }

    /// A pod that stands for one that the kubelet runs by itself refers to nothing but its node.
    fn mirror_pod(&self) -> Result<Refusal> {
        let (node, pod) = (self.node, self.object);
        if object::meta::annotation(pod, MIRROR).is_none() {
            return Ok(Some(format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods")));
        }
        let only = |what: &str| Ok(Some(format!("node {node:?} can only create pods with {what} set to itself")));
        if str_at(pod, &["spec", "nodeName"]) != node {
            return only("spec.nodeName");
        }
        let owner = match list_at(pod, &["metadata", "ownerReferences"]) {
            [] => return only("an owner reference"),
            [owner] => owner,
            _ => return only("a single owner reference"),
        };
        let named = [("apiVersion", "v1"), ("kind", "Node"), ("name", node)];
        if named.iter().any(|(key, value)| str_at(owner, &[key]) != *value) {
            return only("an owner reference");
        }
        if !bool_at(owner, &["controller"]) {
            return only("a controller owner reference");
        }
        if bool_at(owner, &["blockOwnerDeletion"]) {
            return Ok(Some(format!("node {node:?} must not set blockOwnerDeletion on an owner reference")));
        }
        let nodes = GroupResource::literal("", "nodes");
        let stored = self.api.store.get(&Key::new(&nodes, "", node)).ok_or_else(|| ApiError::not_found(&nodes, node))?;
        let (said, is) = (str_at(owner, &["uid"]), &stored.meta.uid);
        if said != is {
            return Ok(Some(format!("node {node} UID mismatch: expected {said} got {is}")));
        }
        Ok(node::referenced(pod).map(|what| format!("node {node:?} can not create pods that reference {what}")))
    }

    fn pod_status(&self) -> Refusal {
        let node = self.node;
        let Some(old) = self.attributes.old.filter(|_| self.attributes.operation == Operation::Update) else {
            return Some(format!("unexpected operation {:?}", self.operation()));
        };
        if str_at(old, &["spec", "nodeName"]) != node {
            return Some(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"));
        }
        let same = |path: &[&str]| at(old, path) == at(self.object, path);
        if !same(&["metadata", "labels"]) {
            return Some(format!("node {node:?} cannot update labels through pod status"));
        }
        (!same(&["status", "resourceClaimStatuses"])).then(|| format!("node {node:?} cannot update resource claim statuses"))
    }

    fn eviction(&self) -> Result<Refusal> {
        let pod = self.stored_pod(self.attributes.name)?;
        let node = self.node;
        let own = str_at(&pod, &["spec", "nodeName"]) == node;
        Ok((!own).then(|| format!("node {node} can only evict pods with spec.nodeName set to itself")))
    }

    fn stored_pod(&self, name: &str) -> Result<Value> {
        let pods = GroupResource::literal("", "pods");
        let key = Key::new(&pods, &self.attributes.target.namespace, name);
        self.api.store.get(&key).map(|pod| pod.value()).ok_or_else(|| ApiError::not_found(&pods, name))
    }

    fn node(&self) -> Refusal {
        let (node, Attributes { name, old, operation, .. }) = (self.node, self.attributes);
        if *name != node {
            return Some(format!("node {node:?} is not allowed to modify node {name:?}"));
        }
        let labels = |object: &Value| object::meta::string_map(at(object, &["metadata", "labels"]));
        let (new, before) = (labels(self.object), old.map(labels).unwrap_or_default());
        match operation {
            Operation::Create => {
                let list = forbidden_labels(&new, &before)?;
                Some(format!("node {node:?} is not allowed to set the following labels: {list}"))
            }
            Operation::Update => {
                let changed = |path: &[&str]| old.and_then(|old| at(old, path)) != at(self.object, path);
                for (path, what) in [(["spec", "taints"], "taints"), (["metadata", "ownerReferences"], "ownerReferences")] {
                    if changed(&path) {
                        return Some(format!("node {node:?} is not allowed to modify {what}"));
                    }
                }
                let list = forbidden_labels(&new, &before)?;
                Some(format!("is not allowed to modify labels: {list}"))
            }
            _ => None,
        }
    }

    fn claim_status(&self) -> Refusal {
        let same = |path: &[&str]| self.attributes.old.and_then(|old| at(old, path)) == at(self.object, path);
        let keys = ["labels", "annotations", "finalizers", "ownerReferences"];
        let kept = same(&["status", "phase"]) && keys.iter().all(|key| same(&["metadata", key]));
        let node = self.node;
        (!kept).then(|| format!("node {node:?} is not allowed to update fields other than status.capacity and status.conditions"))
    }

    fn token(&self) -> Result<Refusal> {
        let text = |key: &str| str_at(self.object, &["spec", "boundObjectRef", key]);
        if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
            return Ok(Some("node requested token not bound to a pod".to_owned()));
        }
        if text("uid").is_empty() {
            return Ok(Some("node requested token with a pod binding without a uid".to_owned()));
        }
        let pod = self.stored_pod(text("name"))?;
        if str_at(&pod, &["metadata", "uid"]) != text("uid") {
            return Ok(Some(format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
                 deleted and then recreated",
                text("uid")
            )));
        }
        let own = str_at(&pod, &["spec", "nodeName"]) == self.node;
        Ok((!own).then(|| "node requested token bound to a pod scheduled on a different node".to_owned()))
    }
}

/// The labels that differ and that are not a kubelet's to set.
fn forbidden_labels(new: &BTreeMap<String, String>, old: &BTreeMap<String, String>) -> Option<String> {
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).filter(|key| new.get(*key) != old.get(*key)).collect();
    let list: Vec<&str> = keys.into_iter().map(String::as_str).filter(|key| is_forbidden(key)).collect();
    (!list.is_empty()).then(|| list.join(", "))
}

fn is_forbidden(label: &str) -> bool {
    let prefix = label.split_once('/').map_or("", |(prefix, _)| prefix);
    let under = |domain: &str| prefix == domain || prefix.strip_suffix(domain).is_some_and(|head| head.ends_with('.'));
    if under(RESTRICTED) {
        return true;
    }
    let kubelet = KUBELET_LABELS.contains(&label) || KUBELET_PREFIXES.into_iter().any(under);
    (under("kubernetes.io") || under("k8s.io")) && !kubelet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_kubelet() {
        for (label, forbidden) in [
            ("disk", false),
            ("example.com/disk", false),
            ("kubernetes.io/hostname", false),
            ("topology.kubernetes.io/zone", false),
            ("node.kubernetes.io/instance-type", false),
            ("x.kubelet.kubernetes.io/a", false),
            ("node-role.kubernetes.io/control-plane", true),
            ("kubernetes.io/mine", true),
            ("x.k8s.io/mine", true),
            ("node-restriction.kubernetes.io/a", true),
            ("x.node-restriction.kubernetes.io/a", true),
            ("notkubernetes.io/a", false),
        ] {
            assert_eq!(is_forbidden(label), forbidden, "{label}");
        }
    }
}
