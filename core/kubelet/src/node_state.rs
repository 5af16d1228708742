//! What all pods of one node share: images, ConfigMaps and Secrets, Services, and where wishes are collected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::Time;

use crate::io::{Config, Data, ImageInfo, Output, PodEvent, PodRef, Reference, ServiceEnv};
use crate::pod::{Pod, PodUid};

/// The node's shared state.
#[derive(Debug, Default)]
pub(crate) struct NodeState {
    /// Images on the node.
    pub images: BTreeMap<Arc<str>, ImageInfo>,
    /// Images that are being pulled.
    pub pulling: BTreeSet<Arc<str>>,
    /// ConfigMaps and Secrets that pods here need.
    references: BTreeMap<Reference, Watched>,
    /// The Services of the cluster.
    pub services: Arc<Vec<ServiceEnv>>,
    /// The Node object's labels, once they are known.
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Watched {
    users: BTreeSet<PodUid>,
    /// `None` as long as no answer has come.
    data: Option<Option<Arc<Data>>>,
}

/// A ConfigMap or Secret as far as it is known.
pub(crate) enum Lookup {
    /// No answer has come yet.
    Unknown,
    /// There is none of this name.
    Missing,
    /// Its content.
    Data(Arc<Data>),
}

impl NodeState {
    /// The state of a node with these labels and nothing on it.
    pub fn with_labels(labels: BTreeMap<String, String>) -> Self {
        NodeState { labels, ..NodeState::default() }
    }

    /// What is known of `reference`.
    pub fn lookup(&self, reference: &Reference) -> Lookup {
        match self.references.get(reference).and_then(|w| w.data.as_ref()) {
            None => Lookup::Unknown,
            Some(None) => Lookup::Missing,
            Some(Some(data)) => Lookup::Data(data.clone()),
        }
    }

    /// Notes that `pod` needs `references`, and asks for those that nobody needed before.
    pub fn acquire(&mut self, pod: &PodUid, references: BTreeSet<Reference>, out: &mut Vec<Output>) {
        for reference in references {
            let watched = self.references.entry(reference.clone()).or_insert_with(|| {
                out.push(Output::Fetch(reference));
                Watched::default()
            });
            watched.users.insert(pod.clone());
        }
    }

    /// Notes that `pod` needs nothing any more.
    pub fn release(&mut self, pod: &PodUid, out: &mut Vec<Output>) {
        self.references.retain(|reference, watched| {
            watched.users.remove(pod);
            if watched.users.is_empty() {
                out.push(Output::Forget(reference.clone()));
            }
            !watched.users.is_empty()
        });
    }

    /// Takes an answer; returns the pods that care.
    pub fn fetched(&mut self, reference: &Reference, data: Option<Arc<Data>>) -> Vec<PodUid> {
        let Some(watched) = self.references.get_mut(reference) else { return Vec::new() };
        watched.data = Some(data);
        watched.users.iter().cloned().collect()
    }
}

/// What a transition may see and say.
pub(crate) struct Context<'a> {
    /// The time.
    pub now: Time,
    /// The node's facts.
    pub config: &'a Config,
    /// What its pods share.
    pub node: &'a mut NodeState,
    /// Wishes so far.
    pub out: &'a mut Vec<Output>,
}

impl Context<'_> {
    /// Records an event about `pod`, or about its container at `field_path`.
    pub fn event(&mut self, pod: &Pod, field_path: String, warning: bool, reason: &'static str, message: String) {
        self.out.push(Output::Event(PodEvent { pod: pod.reference(), field_path, warning, reason, message }));
    }
}

impl Pod {
    /// The pod's names.
    pub fn reference(&self) -> PodRef {
        PodRef { uid: self.uid.clone(), namespace: self.namespace.clone(), name: self.name.clone() }
    }
}
