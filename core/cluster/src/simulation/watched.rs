//! Clients that watch, and what they must have seen.

use std::collections::BTreeMap;

use object::{GroupResource, Rng, Value};
use store::Object;

use super::user::collection;

/// What such a client follows, and what it believes is there.
#[derive(Debug)]
pub struct Watched {
    /// The resource.
    pub resource: GroupResource,
    version: &'static str,
    namespace: &'static str,
    label: Option<(&'static str, &'static str)>,
    /// Objects by namespace and name.
    pub model: BTreeMap<(String, String), Value>,
    /// Everything up to this revision is known.
    pub position: u64,
}

impl Watched {
    /// The watching clients of a run.
    pub fn all(seed: u64) -> Vec<Watched> {
        let of = |version: &'static str, plural: &str, namespace, label| {
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let resource = GroupResource::new(group, plural);
            Watched { resource, version, namespace, label, model: BTreeMap::new(), position: 0 }
        };
        let mut all = vec![of("v1", "pods", "", None), of("v1", "pods", "a", Some(("app", "d0")))];
        all.push(match Rng::new(seed ^ 0x7761_7463).below(5) {
            0 => of("apps/v1", "deployments", "", None),
            1 => of("apps/v1", "replicasets", "a", None),
            2 => of("batch/v1", "jobs", "", None),
            3 => of("v1", "nodes", "", None),
            _ => of("discovery.k8s.io/v1", "endpointslices", "", None),
        });
        all
    }

    /// The path that it follows.
    pub fn target(&self) -> String {
        let path = collection(self.version, self.namespace, &self.resource.resource);
        match self.label {
            Some((key, value)) => format!("{path}?labelSelector={key}%3D{value}"),
            None => path,
        }
    }

    /// Whether an object belongs to what is followed.
    pub fn wants(&self, object: &Object) -> bool {
        object.key.resource == self.resource
            && (self.namespace.is_empty() || *object.key.namespace == *self.namespace)
            && self.label.is_none_or(|(key, value)| object.meta.labels.get(key).is_some_and(|v| v == value))
    }
}
