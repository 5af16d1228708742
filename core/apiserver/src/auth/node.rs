//! The Node authorizer: a kubelet reads and writes what belongs to its node and to the pods bound to it, and nothing else.
//! What the graph of pods does not decide is decided by the rules of the role `system:node`.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/node/>

use std::collections::BTreeSet;

use object::selector::FieldOperator;
use object::value::{at, list_at, str_at};
use object::{GroupResource, Value};
use store::{Key, View};

use super::rbac::RoleRef;
use super::{Attributes, Decision};
use crate::identity::UserInfo;
use crate::server::ApiServer;

/// The node that a user is, if it is one.
pub fn node_of(user: &UserInfo) -> Option<&str> {
    let is_node = user.groups.iter().any(|group| group == "system:nodes");
    user.name.strip_prefix("system:node:").filter(|_| is_node)
}

/// What a pod gives its node a right to.
#[derive(Default)]
struct PodRefs {
    node: String,
    service_account: String,
    is_mirror: bool,
    secrets: BTreeSet<String>,
    config_maps: BTreeSet<String>,
    claims: BTreeSet<String>,
    resource_claims: BTreeSet<String>,
}

impl View for PodRefs {
    fn of(pod: &Value) -> Self {
        let mut refs = PodRefs {
            node: str_at(pod, &["spec", "nodeName"]).to_owned(),
            service_account: str_at(pod, &["spec", "serviceAccountName"]).to_owned(),
            is_mirror: object::meta::annotation(pod, "kubernetes.io/config.mirror").is_some(),
            ..PodRefs::default()
        };
        let mut add = |set: fn(&mut PodRefs) -> &mut BTreeSet<String>, name: &str| {
            if !name.is_empty() {
                set(&mut refs).insert(name.to_owned());
            }
        };
        for secret in list_at(pod, &["spec", "imagePullSecrets"]) {
            add(|r| &mut r.secrets, str_at(secret, &["name"]));
        }
        for kind in ["containers", "initContainers", "ephemeralContainers"] {
            for container in list_at(pod, &["spec", kind]) {
                for source in list_at(container, &["envFrom"]) {
                    add(|r| &mut r.secrets, str_at(source, &["secretRef", "name"]));
                    add(|r| &mut r.config_maps, str_at(source, &["configMapRef", "name"]));
                }
                for variable in list_at(container, &["env"]) {
                    add(|r| &mut r.secrets, str_at(variable, &["valueFrom", "secretKeyRef", "name"]));
                    add(|r| &mut r.config_maps, str_at(variable, &["valueFrom", "configMapKeyRef", "name"]));
                }
            }
        }
        for volume in list_at(pod, &["spec", "volumes"]) {
            add(|r| &mut r.secrets, str_at(volume, &["secret", "secretName"]));
            add(|r| &mut r.config_maps, str_at(volume, &["configMap", "name"]));
            add(|r| &mut r.claims, str_at(volume, &["persistentVolumeClaim", "claimName"]));
            if at(volume, &["ephemeral"]).is_some() {
                let claim = format!("{}-{}", str_at(pod, &["metadata", "name"]), str_at(volume, &["name"]));
                add(|r| &mut r.claims, &claim);
            }
            for kind in ["cephfs", "rbd", "flexVolume", "iscsi", "scaleIO", "storageos", "cinder"] {
                add(|r| &mut r.secrets, str_at(volume, &[kind, "secretRef", "name"]));
            }
            add(|r| &mut r.secrets, str_at(volume, &["csi", "nodePublishSecretRef", "name"]));
            for source in list_at(volume, &["projected", "sources"]) {
                add(|r| &mut r.secrets, str_at(source, &["secret", "name"]));
                add(|r| &mut r.config_maps, str_at(source, &["configMap", "name"]));
            }
        }
        for status in list_at(pod, &["status", "resourceClaimStatuses"]) {
            add(|r| &mut r.resource_claims, str_at(status, &["resourceClaimName"]));
        }
        for claim in list_at(pod, &["spec", "resourceClaims"]) {
            add(|r| &mut r.resource_claims, str_at(claim, &["resourceClaimName"]));
        }
        refs
    }
}

/// What of the API a pod refers to that one without an API server cannot have.
pub fn referenced(pod: &Value) -> Option<&'static str> {
    let refs = PodRefs::of(pod);
    let bundle = |source: &Value| source.get("clusterTrustBundle").is_some();
    let volumes = || list_at(pod, &["spec", "volumes"]).iter();
    let found = [
        (!refs.service_account.is_empty(), "a service account"),
        (!refs.secrets.is_empty(), "secrets"),
        (!refs.config_maps.is_empty(), "configmaps"),
        (volumes().any(|volume| list_at(volume, &["projected", "sources"]).iter().any(bundle)), "clustertrustbundles"),
        (volumes().any(|volume| volume.get("persistentVolumeClaim").is_some()), "persistentvolumeclaims"),
        (!list_at(pod, &["spec", "resourceClaims"]).is_empty(), "resourceclaims"),
    ];
    found.into_iter().find(|(there, _)| *there).map(|(_, what)| what)
}

/// Judges what a kubelet wants; `None` for everybody else.
pub fn authorize(api: &ApiServer, user: &UserInfo, wanted: &Attributes<'_>) -> Option<Decision> {
    let node = node_of(user)?;
    let request = Request { api, node, wanted };
    let decision = match (wanted.group, wanted.resource) {
        ("", "secrets") => request.referenced(|r| &r.secrets),
        ("", "configmaps") => request.referenced(|r| &r.config_maps),
        ("resource.k8s.io", "resourceclaims") => request.referenced(|r| &r.resource_claims),
        ("", "persistentvolumeclaims") => request.referenced(|r| &r.claims),
        ("", "persistentvolumes") => request.volume(),
        ("", "serviceaccounts") => request.account(),
        ("coordination.k8s.io", "leases") => request.named("kube-node-lease", "lease"),
        ("storage.k8s.io", "csinodes") => request.named("", "CSINode"),
        ("", "nodes") => request.nodes(),
        ("", "pods") => request.pods(),
        _ => Ok(()),
    };
    Some(match decision.and_then(|()| request.by_rules()) {
        Ok(()) => Decision { allowed: true, reason: String::new() },
        Err(reason) => Decision { allowed: false, reason },
    })
}

struct Request<'a> {
    api: &'a ApiServer,
    node: &'a str,
    wanted: &'a Attributes<'a>,
}

/// Allowed, or why not.
type Verdict = Result<(), String>;

impl Request<'_> {
    fn by_rules(&self) -> Verdict {
        let role = RoleRef { kind: "ClusterRole".to_owned(), name: "system:node".to_owned() };
        let rules = role.rules(&self.api.store, "").unwrap_or_default();
        if rules.iter().any(|rule| rule.allows(self.wanted)) { Ok(()) } else { Err(String::new()) }
    }

    /// Whether some pod of this namespace that is bound to the node is as wanted.
    fn any_pod(&self, namespace: &str, wanted: impl Fn(&PodRefs) -> bool) -> bool {
        let pods = GroupResource::literal("", "pods");
        let mut pods = self.api.store.list(&pods, Some(namespace)).map(|pod| pod.view::<PodRefs>());
        pods.any(|pod| pod.node == self.node && wanted(pod))
    }

    fn unrelated(&self) -> String {
        format!("no relationship found between node '{}' and this object", self.node)
    }

    /// One object by name, to read, that a pod of the node names.
    fn referenced(&self, names: fn(&PodRefs) -> &BTreeSet<String>) -> Verdict {
        if self.wanted.subresource == "status" && self.wanted.resource == "persistentvolumeclaims" {
            // Volumes are expanded by the node they are mounted on.
        } else if !matches!(self.wanted.verb, "get" | "list" | "watch") || !self.wanted.subresource.is_empty() {
            return Err("can only read resources of this type".to_owned());
        }
        if self.wanted.name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        let found = self.any_pod(self.wanted.namespace, |pod| !pod.is_mirror && names(pod).contains(self.wanted.name));
        if found { Ok(()) } else { Err(self.unrelated()) }
    }

    /// A volume that a pod of the node claims.
    fn volume(&self) -> Verdict {
        let volume = self.api.store.get(&Key::new(&GroupResource::literal("", "persistentvolumes"), "", self.wanted.name));
        let claim = volume.map(|volume| {
            let volume = volume.value();
            let text = |key: &str| str_at(&volume, &["spec", "claimRef", key]).to_owned();
            (text("namespace"), text("name"))
        });
        let found = claim
            .is_some_and(|(namespace, name)| !namespace.is_empty() && self.any_pod(&namespace, |pod| pod.claims.contains(&name)));
        if found { Ok(()) } else { Err(self.unrelated()) }
    }

    /// The account of a pod of the node: its token, or itself.
    fn account(&self) -> Verdict {
        let found = self.any_pod(self.wanted.namespace, |pod| pod.service_account == self.wanted.name);
        if found { Ok(()) } else { Err(self.unrelated()) }
    }

    /// What has the node's own name.
    fn named(&self, namespace: &str, what: &str) -> Verdict {
        if self.wanted.namespace != namespace {
            return Err(format!("can only access leases in the {namespace:?} system namespace"));
        }
        // The name of a new object stands in its body, where admission reads it.
        if self.wanted.verb != "create" && self.wanted.name != self.node {
            return Err(format!("can only access node {} with the same name as the requesting node", what.to_lowercase()));
        }
        Ok(())
    }

    fn nodes(&self) -> Verdict {
        let reads_one =
            self.wanted.verb == "get" || (matches!(self.wanted.verb, "list" | "watch") && !self.wanted.name.is_empty());
        if reads_one && self.wanted.name != self.node {
            return Err(format!("node '{}' cannot read '{}', only its own Node object", self.node, self.wanted.name));
        }
        if matches!(self.wanted.verb, "list" | "watch") && self.wanted.name.is_empty() {
            return Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node));
        }
        Ok(())
    }

    fn pods(&self) -> Verdict {
        match self.wanted.verb {
            "list" | "watch" => {
                let own = self.wanted.fields.iter().any(|term| {
                    term.field == "spec.nodeName" && term.operator == FieldOperator::Equals && term.value == self.node
                });
                if own { Ok(()) } else { Err("can only list/watch pods with spec.nodeName field selector".to_owned()) }
            }
            "get" => {
                let key = Key::new(&GroupResource::literal("", "pods"), self.wanted.namespace, self.wanted.name);
                let own = self.api.store.get(&key).is_some_and(|pod| pod.view::<PodRefs>().node == self.node);
                if own { Ok(()) } else { Err(self.unrelated()) }
            }
            _ => Ok(()),
        }
    }
}
