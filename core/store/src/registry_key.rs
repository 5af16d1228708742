//! kube-apiserver's own names for stored objects, so that a journal in etcd can be read by a stock Kubernetes.

use ::object::GroupResource;

use crate::Key;

/// Resources whose prefix is not their own name, from the storage factories of kube-apiserver.
const SPECIAL: [(&str, &str, &str); 6] = [
    ("", "nodes", "minions"),
    ("", "services", "services/specs"),
    ("", "endpoints", "services/endpoints"),
    ("", "replicationcontrollers", "controllers"),
    ("networking.k8s.io", "ingresses", "ingress"),
    ("apiregistration.k8s.io", "apiservices", "apiregistration.k8s.io/apiservices"),
];

/// The prefix below which objects of this resource are stored, with a slash at its end.
pub fn registry_prefix(resource: &GroupResource) -> String {
    let special = SPECIAL.iter().find(|(group, name, _)| *group == &*resource.group && *name == &*resource.resource);
    let built_in = !resource.group.contains('.') || resource.group.ends_with(".k8s.io");
    match special {
        Some((_, _, prefix)) => format!("/registry/{prefix}/"),
        None if built_in && &*resource.group != "apiextensions.k8s.io" => format!("/registry/{}/", resource.resource),
        None => format!("/registry/{}/{}/", resource.group, resource.resource),
    }
}

/// The name of this object in the journal.
pub fn registry_key(key: &Key) -> String {
    let mut text = registry_prefix(&key.resource);
    if !key.namespace.is_empty() {
        text.push_str(&key.namespace);
        text.push('/');
    }
    text.push_str(&key.name);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_kube_apiserver() {
        for (group, resource, namespace, name, expect) in [
            ("", "pods", "default", "web", "/registry/pods/default/web"),
            ("", "nodes", "", "n1", "/registry/minions/n1"),
            ("", "services", "default", "web", "/registry/services/specs/default/web"),
            ("apps", "deployments", "default", "web", "/registry/deployments/default/web"),
            ("coordination.k8s.io", "leases", "kube-node-lease", "n1", "/registry/leases/kube-node-lease/n1"),
            ("example.com", "widgets", "default", "w", "/registry/example.com/widgets/default/w"),
        ] {
            assert_eq!(registry_key(&Key::new(&GroupResource::new(group, resource), namespace, name)), expect);
        }
    }
}
