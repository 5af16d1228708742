//! Everything the page knows, and how it changes: a pure reducer.

use std::collections::BTreeMap;
use std::rc::Rc;

use yew::Reducible;

use crate::model::{EndpointSlice, Event, Id, Meta, Node, Pod, Service, Workload};

/// Events kept for the feed.
const MAX_EVENTS: usize = 400;

/// Objects of one kind by id; shared, so that a clone of the state is cheap.
pub type Table<T> = Rc<BTreeMap<Id, Rc<T>>>;

/// What the page watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Pod,
    Node,
    Deployment,
    ReplicaSet,
    Service,
    EndpointSlice,
    Event,
}

impl Kind {
    /// All of them, in the order in which the page wants them.
    pub const ALL: [Kind; 7] =
        [Kind::Node, Kind::Pod, Kind::Deployment, Kind::ReplicaSet, Kind::Service, Kind::EndpointSlice, Kind::Event];

    /// Where all objects of this kind are listed.
    pub fn path(self) -> &'static str {
        match self {
            Kind::Pod => "/api/v1/pods",
            Kind::Node => "/api/v1/nodes",
            Kind::Deployment => "/apis/apps/v1/deployments",
            Kind::ReplicaSet => "/apis/apps/v1/replicasets",
            Kind::Service => "/api/v1/services",
            Kind::EndpointSlice => "/apis/discovery.k8s.io/v1/endpointslices",
            Kind::Event => "/api/v1/events",
        }
    }

    /// Where the object `id` is.
    pub fn object_path(self, id: &str) -> String {
        let (base, plural) = self.path().rsplit_once('/').unwrap_or_default();
        match id.split_once('/') {
            Some((namespace, name)) => format!("{base}/namespaces/{namespace}/{plural}/{name}"),
            None => format!("{base}/{plural}/{id}"),
        }
    }
}

/// An object of any kind that is watched.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Pod(Pod),
    Node(Node),
    Deployment(Workload),
    ReplicaSet(Workload),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Event(Event),
}

impl Object {
    /// Reads an object of `kind`; `None` if it is not one.
    pub fn parse(kind: Kind, json: &str) -> Option<Object> {
        Some(match kind {
            Kind::Pod => Object::Pod(serde_json::from_str(json).ok()?),
            Kind::Node => Object::Node(serde_json::from_str(json).ok()?),
            Kind::Deployment => Object::Deployment(serde_json::from_str(json).ok()?),
            Kind::ReplicaSet => Object::ReplicaSet(serde_json::from_str(json).ok()?),
            Kind::Service => Object::Service(serde_json::from_str(json).ok()?),
            Kind::EndpointSlice => Object::EndpointSlice(serde_json::from_str(json).ok()?),
            Kind::Event => Object::Event(serde_json::from_str(json).ok()?),
        })
    }

    /// Its metadata.
    pub fn meta(&self) -> &Meta {
        match self {
            Object::Pod(o) => &o.metadata,
            Object::Node(o) => &o.metadata,
            Object::Deployment(o) | Object::ReplicaSet(o) => &o.metadata,
            Object::Service(o) => &o.metadata,
            Object::EndpointSlice(o) => &o.metadata,
            Object::Event(o) => &o.metadata,
        }
    }
}

/// What a reflector saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// These are all objects of the kind.
    Replace(Kind, Vec<Object>),
    /// This object is new or changed.
    Put(Box<Object>),
    /// This object is gone.
    Gone(Kind, Id),
}

/// Whether there is a cluster behind the page.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Connection {
    /// The control plane is being loaded.
    #[default]
    Opening,
    /// It runs. `restored`: it went on where an earlier visit stopped.
    Live { restored: bool },
    /// It stopped and will not come back by itself.
    Lost(String),
}

/// What the detail drawer shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub kind: Kind,
    pub id: Id,
}

/// The panes of a narrow screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    #[default]
    Cluster,
    Editor,
    Terminal,
    Events,
}

impl Pane {
    /// All of them, in tab order, with their names.
    pub const ALL: [(Pane, &'static str); 4] =
        [(Pane::Cluster, "Cluster"), (Pane::Editor, "YAML"), (Pane::Terminal, "Terminal"), (Pane::Events, "Events")];
}

/// Everything that can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The connection is now this.
    Connected(Connection),
    /// The cluster changed.
    Changed(Vec<Change>),
    /// The farewell of these pods is over.
    Swept(Vec<Id>),
    /// Show details of an object.
    Select(Selection),
    /// Show no details.
    Deselect,
    /// Show this pane (on narrow screens).
    Show(Pane),
}

/// Everything the page knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub connection: Connection,
    pub pods: Table<Pod>,
    pub nodes: Table<Node>,
    pub deployments: Table<Workload>,
    pub replica_sets: Table<Workload>,
    pub services: Table<Service>,
    pub slices: Table<EndpointSlice>,
    pub events: Table<Event>,
    /// Pods that are gone and still fade on the screen.
    pub leaving: Table<Pod>,
    /// The colour of each owner: the order in which they were first seen.
    pub colours: Rc<BTreeMap<Id, usize>>,
    pub selection: Option<Selection>,
    pub pane: Pane,
}

impl Reducible for State {
    type Action = Action;

    fn reduce(self: Rc<Self>, action: Action) -> Rc<Self> {
        let mut next = (*self).clone();
        next.apply(action);
        Rc::new(next)
    }
}

impl State {
    /// Takes one action.
    pub fn apply(&mut self, action: Action) {
        match action {
            Action::Connected(connection) => self.connection = connection,
            Action::Changed(changes) => changes.into_iter().for_each(|change| self.change(change)),
            Action::Swept(ids) => {
                let leaving = Rc::make_mut(&mut self.leaving);
                ids.iter().for_each(|id| {
                    leaving.remove(id);
                });
            }
            Action::Select(selection) => self.selection = Some(selection),
            Action::Deselect => self.selection = None,
            Action::Show(pane) => self.pane = pane,
        }
    }

    /// The owner a pod is coloured by: its Deployment, else its controller, else itself.
    pub fn owner_of(&self, pod: &Pod) -> Id {
        let namespace = &pod.metadata.namespace;
        let Some(controller) = pod.metadata.controller() else { return format!("Pod {}", pod.metadata.id()).into() };
        let set: Id = format!("{namespace}/{}", controller.name).into();
        let above =
            self.replica_sets.get(&set).filter(|_| controller.kind == "ReplicaSet").and_then(|rs| rs.metadata.controller());
        let top = above.unwrap_or(controller);
        format!("{} {namespace}/{}", top.kind, top.name).into()
    }

    /// Whether a newer ReplicaSet of the same Deployment has taken over from the one that made `pod`.
    pub fn outdated(&self, pod: &Pod) -> bool {
        let namespace = &pod.metadata.namespace;
        let set = pod.metadata.controller().filter(|c| c.kind == "ReplicaSet").map(|c| format!("{namespace}/{}", c.name));
        let Some(set) = set.and_then(|id| self.replica_sets.get(id.as_str())) else { return false };
        let Some(owner) = set.metadata.controller() else { return false };
        let deployment = self.deployments.get(format!("{namespace}/{}", owner.name).as_str());
        deployment.is_some_and(|deployment| set.revision() < deployment.revision())
    }

    /// The ReplicaSets of a Deployment, newest revision first.
    pub fn history(&self, deployment: &Workload) -> Vec<Rc<Workload>> {
        let mine = |set: &&Rc<Workload>| {
            set.metadata.namespace == deployment.metadata.namespace
                && set.metadata.controller().is_some_and(|c| c.kind == "Deployment" && c.name == deployment.metadata.name)
        };
        let mut sets: Vec<_> = self.replica_sets.values().filter(mine).cloned().collect();
        sets.sort_by_key(|set| std::cmp::Reverse(set.revision()));
        sets
    }

    /// Ready endpoints of a Service.
    pub fn endpoints(&self, service: &Service) -> usize {
        let mine = |slice: &&Rc<EndpointSlice>| {
            slice.metadata.namespace == service.metadata.namespace
                && slice.metadata.labels.get("kubernetes.io/service-name") == Some(&service.metadata.name)
        };
        self.slices.values().filter(mine).map(|slice| slice.ready()).sum()
    }

    /// Events, latest first.
    pub fn latest_events(&self, about: Option<(&str, &str)>, most: usize) -> Vec<Rc<Event>> {
        let wanted = |event: &&Rc<Event>| {
            let involved = &event.involved_object;
            about.is_none_or(|(namespace, name)| {
                involved.name == name && (involved.namespace == namespace || namespace.is_empty())
            })
        };
        let mut events: Vec<_> = self.events.values().filter(wanted).cloned().collect();
        events.sort_by(|a, b| (b.at(), version(&b.metadata)).cmp(&(a.at(), version(&a.metadata))));
        events.truncate(most);
        events
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Put(object) => self.put(*object),
            Change::Gone(kind, id) => self.remove(kind, &id),
            Change::Replace(kind, objects) => {
                let known: Vec<Id> = self.ids(kind);
                for id in known {
                    if !objects.iter().any(|object| object.meta().id() == id) {
                        self.remove(kind, &id);
                    }
                }
                objects.into_iter().for_each(|object| self.put(object));
            }
        }
    }

    fn put(&mut self, object: Object) {
        let id = object.meta().id();
        match object {
            Object::Pod(pod) => {
                let owner = self.owner_of(&pod);
                if !self.colours.contains_key(&owner) {
                    let next = self.colours.len();
                    Rc::make_mut(&mut self.colours).insert(owner, next);
                }
                insert(&mut self.pods, id, pod);
            }
            Object::Node(node) => insert(&mut self.nodes, id, node),
            Object::Deployment(deployment) => {
                // Its pods may only come later, or their ReplicaSet: a Deployment claims its colour when it appears.
                let owner: Id = format!("Deployment {id}").into();
                if !self.colours.contains_key(&owner) {
                    let next = self.colours.len();
                    Rc::make_mut(&mut self.colours).insert(owner, next);
                }
                insert(&mut self.deployments, id, deployment);
            }
            Object::ReplicaSet(set) => insert(&mut self.replica_sets, id, set),
            Object::Service(service) => insert(&mut self.services, id, service),
            Object::EndpointSlice(slice) => insert(&mut self.slices, id, slice),
            Object::Event(event) => {
                insert(&mut self.events, id, event);
                self.forget_old_events();
            }
        }
    }

    fn remove(&mut self, kind: Kind, id: &Id) {
        match kind {
            Kind::Pod => {
                if let Some(pod) = Rc::make_mut(&mut self.pods).remove(id) {
                    Rc::make_mut(&mut self.leaving).insert(id.clone(), pod);
                }
            }
            Kind::Node => drop(Rc::make_mut(&mut self.nodes).remove(id)),
            Kind::Deployment => drop(Rc::make_mut(&mut self.deployments).remove(id)),
            Kind::ReplicaSet => drop(Rc::make_mut(&mut self.replica_sets).remove(id)),
            Kind::Service => drop(Rc::make_mut(&mut self.services).remove(id)),
            Kind::EndpointSlice => drop(Rc::make_mut(&mut self.slices).remove(id)),
            // Events expire in the cluster; what is on the screen may stay until newer ones push it out.
            Kind::Event => {}
        }
        if self.selection.as_ref().is_some_and(|s| s.kind == kind && s.id == *id) {
            self.selection = None;
        }
    }

    fn ids(&self, kind: Kind) -> Vec<Id> {
        match kind {
            Kind::Pod => self.pods.keys().cloned().collect(),
            Kind::Node => self.nodes.keys().cloned().collect(),
            Kind::Deployment => self.deployments.keys().cloned().collect(),
            Kind::ReplicaSet => self.replica_sets.keys().cloned().collect(),
            Kind::Service => self.services.keys().cloned().collect(),
            Kind::EndpointSlice => self.slices.keys().cloned().collect(),
            Kind::Event => Vec::new(),
        }
    }

    // Forgets in blocks, so that a busy cluster does not sort all events again for each new one.
    fn forget_old_events(&mut self) {
        if self.events.len() <= MAX_EVENTS * 2 {
            return;
        }
        let kept = self.latest_events(None, MAX_EVENTS);
        self.events = Rc::new(kept.into_iter().map(|event| (event.metadata.id(), event)).collect());
    }
}

fn insert<T: Clone>(table: &mut Table<T>, id: Id, object: T) {
    Rc::make_mut(table).insert(id, Rc::new(object));
}

fn version(meta: &Meta) -> u64 {
    meta.resource_version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: Kind, json: serde_json::Value) -> Object {
        Object::parse(kind, &json.to_string()).unwrap()
    }

    fn put(object: Object) -> Change {
        Change::Put(Box::new(object))
    }

    fn pod(name: &str, owner: &str) -> Object {
        object(
            Kind::Pod,
            serde_json::json!({"metadata": {"name": name, "namespace": "default",
                "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "controller": true}]}}),
        )
    }

    fn set(name: &str, revision: &str) -> Object {
        object(
            Kind::ReplicaSet,
            serde_json::json!({"metadata": {"name": name, "namespace": "default",
                "annotations": {"deployment.kubernetes.io/revision": revision},
                "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}}),
        )
    }

    fn deployment(revision: &str) -> Object {
        object(
            Kind::Deployment,
            serde_json::json!({"metadata": {"name": "web", "namespace": "default",
                "annotations": {"deployment.kubernetes.io/revision": revision}}}),
        )
    }

    fn after(changes: Vec<Change>) -> State {
        let mut state = State::default();
        state.apply(Action::Changed(changes));
        state
    }

    #[test]
    fn a_pod_that_is_gone_fades_and_is_swept() {
        let mut state = after(vec![put(pod("a", "rs"))]);
        let id: Id = "default/a".into();
        state.apply(Action::Select(Selection { kind: Kind::Pod, id: id.clone() }));
        state.apply(Action::Changed(vec![Change::Gone(Kind::Pod, id.clone())]));
        assert!(state.pods.is_empty() && state.leaving.contains_key(&id));
        assert_eq!(state.selection, None, "details of what is gone close");
        state.apply(Action::Swept(vec![id]));
        assert!(state.leaving.is_empty());
    }

    #[test]
    fn a_new_list_replaces_what_was_known() {
        let mut state = after(vec![put(pod("a", "rs")), put(pod("b", "rs"))]);
        state.apply(Action::Changed(vec![Change::Replace(
            Kind::Pod,
            vec![match pod("b", "rs") {
                Object::Pod(p) => Object::Pod(p),
                other => other,
            }],
        )]));
        assert_eq!(state.pods.keys().map(|id| &**id).collect::<Vec<_>>(), ["default/b"]);
    }

    #[test]
    fn pods_have_their_deployments_colour_and_know_when_they_are_outdated() {
        let mut state = after(vec![put(deployment("1")), put(set("web-1", "1")), put(pod("web-1-a", "web-1"))]);
        let old = state.pods["default/web-1-a"].clone();
        assert_eq!(&*state.owner_of(&old), "Deployment default/web");
        assert!(!state.outdated(&old));
        state.apply(Action::Changed(vec![put(set("web-2", "2")), put(deployment("2"))]));
        assert!(state.outdated(&old));
        let revisions: Vec<_> = state.history(&state.deployments["default/web"]).iter().map(|s| s.revision()).collect();
        assert_eq!(revisions, [2, 1]);
        assert_eq!(state.colours.len(), 1);
    }

    #[test]
    fn events_come_latest_first_and_are_bounded() {
        let event = |n: usize| {
            object(
                Kind::Event,
                serde_json::json!({"metadata": {"name": format!("e{n}"), "namespace": "default"},
                    "lastTimestamp": format!("2026-01-01T00:{:02}:{:02}Z", n / 60, n % 60), "involvedObject": {"name": "a"}}),
            )
        };
        let state = after((0..2_000).map(|n| put(event(n))).collect());
        assert!(state.events.len() <= MAX_EVENTS * 2);
        assert_eq!(&*state.latest_events(None, 1)[0].metadata.id(), "default/e1999");
        assert!(state.latest_events(Some(("default", "b")), 5).is_empty());
    }

    #[test]
    fn paths() {
        assert_eq!(Kind::Pod.object_path("default/a"), "/api/v1/namespaces/default/pods/a");
        assert_eq!(Kind::Deployment.object_path("x/web"), "/apis/apps/v1/namespaces/x/deployments/web");
        assert_eq!(Kind::Node.object_path("node-1"), "/api/v1/nodes/node-1");
    }
}
