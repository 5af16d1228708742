//! Looks at everything that happens: keeps the whole history of a run, and asks each invariant about each change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use apiserver::ApiServer;
use object::value::str_at;
use object::{GroupResource, Value};
use serde::{Deserialize, Serialize};
use store::{Event, Key, Object, Store};

use super::Sabotage;
use super::facts::whole;
use super::invariants::{self, Change, INVARIANTS, Moment};
use super::node::Machine;
use super::reflector::News;
use super::watched::Watched;

/// What was not as it must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: String,
    /// What was seen.
    pub what: String,
}

/// All objects as they were after one change, and what invariants follow from one change to the next.
#[derive(Default)]
pub struct Memory {
    /// Everything there is.
    pub objects: BTreeMap<Key, Arc<Object>>,
    /// Who names whom as owner.
    pub dependants: BTreeMap<String, BTreeSet<Key>>,
    /// Pods by node.
    pub on_node: BTreeMap<String, BTreeSet<Key>>,
    /// Uids that have been given out.
    pub uids: BTreeSet<String>,
    /// Pods of Jobs that have succeeded, by the Job's uid.
    pub succeeded: BTreeMap<String, BTreeSet<String>>,
}

impl Memory {
    /// Objects of a resource, in one namespace or all.
    pub fn list<'a>(&'a self, resource: &GroupResource, namespace: Option<&'a str>) -> impl Iterator<Item = &'a Arc<Object>> {
        let from = Key::new(resource, namespace.unwrap_or(""), "");
        let resource = resource.clone();
        self.objects
            .range(from..)
            .take_while(move |(key, _)| key.resource == resource && namespace.is_none_or(|ns| *key.namespace == *ns))
            .map(|(_, object)| object)
    }

    /// Objects that name this uid as their owner.
    pub fn owned(&self, uid: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.dependants.get(uid).into_iter().flatten().filter_map(|key| self.objects.get(key))
    }

    fn apply(&mut self, event: &Event) {
        let key = event.key().clone();
        if let Some(old) = &event.old {
            for owner in &old.meta.owner_references {
                self.dependants.get_mut(&owner.uid).map(|of| of.remove(&key));
            }
            self.at_node(old, &key, false);
        }
        match &event.new {
            Some(new) => {
                for owner in &new.meta.owner_references {
                    self.dependants.entry(owner.uid.clone()).or_default().insert(key.clone());
                }
                self.at_node(new, &key, true);
                self.uids.insert(new.meta.uid.clone());
                invariants::remember(self, new);
                self.objects.insert(key, new.clone());
            }
            None => drop(self.objects.remove(&key)),
        }
    }

    fn at_node(&mut self, object: &Arc<Object>, key: &Key, there: bool) {
        if &*key.resource.resource != "pods" {
            return;
        }
        let node = &object.view::<super::facts::PodFacts>().node;
        if there && !node.is_empty() {
            self.on_node.entry(node.clone()).or_default().insert(key.clone());
        } else if let Some(of) = self.on_node.get_mut(node) {
            of.remove(key);
        }
    }
}

/// Follows a run.
pub struct Checker {
    memory: Memory,
    base: Vec<Arc<Object>>,
    base_revision: u64,
    log: Vec<Event>,
    followed: Option<u64>,
    counts: Vec<u64>,
    /// The highest revision that anybody outside has been told of.
    told: u64,
    sabotage: Option<Sabotage>,
    /// Changes that are not mere signs of life.
    essential: u64,
    last_essential: String,
    /// By machine, the names and uids of pods of which a container runs.
    running: BTreeMap<String, BTreeSet<NamedPod>>,
}

/// Namespace and name of a pod, and its uid.
type NamedPod = ((String, String), String);

impl Checker {
    /// A checker that has seen nothing.
    pub fn new(sabotage: Option<Sabotage>) -> Self {
        Checker {
            memory: Memory::default(),
            base: Vec::new(),
            base_revision: 0,
            log: Vec::new(),
            followed: None,
            counts: vec![0; INVARIANTS.len()],
            told: 0,
            sabotage,
            essential: 0,
            last_essential: String::new(),
            running: BTreeMap::new(),
        }
    }

    /// How often each invariant was looked at.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many revisions were written.
    pub fn revisions(&self) -> u64 {
        self.log.len() as u64
    }

    /// Changes so far that are not mere signs of life.
    pub fn essential_writes(&self) -> u64 {
        self.essential
    }

    /// A violation of the invariant of this name.
    pub fn violation(&self, name: &str, what: String) -> Violation {
        Violation { invariant: name.to_owned(), what }
    }

    fn count(&mut self, name: &str) {
        if let Some(at) = INVARIANTS.iter().position(|i| i.name == name)
            && let Some(count) = self.counts.get_mut(at)
        {
            *count += 1;
        }
    }

    fn hold(&mut self, name: &str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
        self.count(name);
        if holds { Ok(()) } else { Err(self.violation(name, what())) }
    }

    /// A control plane has come up with what was durable up to `revision`: that must be what had been seen of it.
    pub fn started(&mut self, store: &Store, revision: u64) -> Result<(), Violation> {
        let Ok(restored) = store.at(revision) else { return Ok(()) };
        let found: BTreeMap<Key, Arc<Object>> =
            restored.resources().flat_map(|r| restored.list(r, None)).map(|o| (o.key.clone(), o.clone())).collect();
        if self.followed.is_none() {
            self.base = found.values().cloned().collect();
            self.base_revision = revision;
            self.rebuild();
            self.followed = Some(revision);
            return Ok(());
        }
        let told = self.told;
        self.hold("no-answered-write-lost", told <= revision, || {
            format!("revision {told} was shown, the journal ends at {revision}")
        })?;
        self.log.retain(|event| event.revision <= revision);
        self.rebuild();
        let differs = |key: &Key| match (self.memory.objects.get(key), found.get(key)) {
            (Some(a), Some(b)) => a.bytes != b.bytes,
            (a, b) => a.is_some() != b.is_some(),
        };
        let wrong = self.memory.objects.keys().chain(found.keys()).find(|key| differs(key)).cloned();
        let message = |key: &Key| {
            let show =
                |o: Option<&Arc<Object>>| o.map_or("nothing".to_owned(), |o| String::from_utf8_lossy(&o.bytes).into_owned());
            format!("{key:?} was {} and came back as {}", show(self.memory.objects.get(key)), show(found.get(key)))
        };
        let what = wrong.as_ref().map(message);
        self.hold("no-answered-write-lost", wrong.is_none(), || what.unwrap_or_default())?;
        self.followed = Some(revision);
        Ok(())
    }

    fn rebuild(&mut self) {
        self.memory = Memory::default();
        for object in &self.base {
            self.memory.apply(&Event { revision: object.revision, old: None, new: Some(object.clone()) });
        }
        for event in &self.log {
            self.memory.apply(event);
        }
    }

    /// An answer leaves: what it shows must be durable.
    pub fn answered(&mut self, body: &[u8], durable: u64) -> Result<(), Violation> {
        // Enough to find it without parsing lists: the first resourceVersion of a list is its own.
        let text = String::from_utf8_lossy(body.get(..body.len().min(4_096)).unwrap_or_default());
        let Some((_, rest)) = text.split_once("\"resourceVersion\":\"") else { return Ok(()) };
        let Some(revision) = rest.split('"').next().and_then(|digits| digits.parse::<u64>().ok()) else { return Ok(()) };
        self.told = self.told.max(revision.min(durable.max(self.told)));
        self.hold("durable-before-visible", revision <= durable, || {
            format!("an answer shows revision {revision}, the journal stands at {durable}")
        })
    }

    /// Looks at everything that a step has changed.
    pub fn step(&mut self, api: &ApiServer, tell: bool) -> Result<Vec<String>, Violation> {
        let store = api.store();
        let from = self.followed.unwrap_or(0);
        let mut told = Vec::new();
        let Ok(events) = store.events_since(from) else {
            return Err(self.violation("revisions-have-no-gaps", format!("revision {from} is forgotten within a step")));
        };
        let events: Vec<Event> = events.cloned().collect();
        for event in events {
            let last = self.followed.unwrap_or(0);
            self.hold("revisions-have-no-gaps", event.revision == last + 1, || format!("{} follows {last}", event.revision))?;
            if tell {
                told.push(line(&event));
            }
            let verb = api.verb_of(event.revision);
            let change = Change { event: &event, memory: &self.memory, verb, sabotage: self.sabotage };
            for (invariant, count) in INVARIANTS.iter().zip(&mut self.counts) {
                let Moment::Change(resources, check) = &invariant.moment else { continue };
                if !resources.is_empty() && !resources.contains(&&*event.key().resource.resource) {
                    continue;
                }
                *count += 1;
                check(&change).map_err(|what| Violation {
                    invariant: invariant.name.to_owned(),
                    what: format!("{}: {what}", line(&event)),
                })?;
            }
            if is_essential(&event) {
                self.essential += 1;
                self.last_essential = line(&event);
            }
            self.memory.apply(&event);
            self.followed = Some(event.revision);
            self.log.push(event);
        }
        Ok(told)
    }

    /// Nothing runs on this machine any more.
    pub fn powered_off(&mut self, machine: &str) {
        self.running.remove(machine);
    }

    /// Looks at a machine after it has done something: no pod of it runs elsewhere under the same name.
    pub fn machine(&mut self, machine: &Machine) -> Result<(), Violation> {
        let names = machine.runtime.running().map(|(id, pod)| ((pod.namespace.clone(), pod.name.clone()), id.pod.to_string()));
        let here: BTreeSet<NamedPod> = names.collect();
        let mut twice = None;
        for (name, uid) in &here {
            let same_here = here.iter().find(|(other, own)| other == name && own != uid).map(|_| &machine.name);
            let elsewhere = self.running.iter().filter(|(other, _)| **other != machine.name);
            let there = elsewhere.filter(|(_, pods)| pods.iter().any(|(other, _)| other == name)).map(|(other, _)| other).next();
            if let Some(other) = same_here.or(there) {
                twice = Some(format!("{}/{} runs on {other} and as {uid} on {}", name.0, name.1, machine.name));
            }
        }
        self.running.insert(machine.name.clone(), here);
        self.hold("one-pod-per-identity-runs", twice.is_none(), || twice.clone().unwrap_or_default())
    }

    /// A watching client has heard something.
    pub fn watch(&mut self, watched: &mut Watched, news: News) -> Result<(), Violation> {
        let name = "watches-equal-lists";
        self.count(name);
        match news {
            News::All(items, revision) => {
                self.told = self.told.max(revision);
                let expected = self.list_at(watched, revision);
                let found: BTreeMap<(String, String), Value> = items.into_iter().map(|o| (names(&o), o)).collect();
                if expected.len() != found.len() || expected.iter().zip(&found).any(|(a, b)| a.0 != b.0 || !same(whole(a.1), b.1))
                {
                    let what = format!(
                        "the list of {} at {revision} shows {:?}, there are {:?}",
                        watched.target(),
                        found.keys().collect::<Vec<_>>(),
                        expected.keys().collect::<Vec<_>>()
                    );
                    return Err(self.violation(name, what));
                }
                watched.model = found;
                watched.position = revision;
            }
            News::Event(kind, object) => {
                let revision: u64 = str_at(&object, &["metadata", "resourceVersion"]).parse().unwrap_or(0);
                self.told = self.told.max(revision);
                let missed = self.relevant(watched, watched.position, revision.saturating_sub(u64::from(kind != "BOOKMARK")));
                if let Some((event, _)) = missed {
                    let what = format!(
                        "{} stood at {} and heard {kind} at {revision}, without {}",
                        watched.target(),
                        watched.position,
                        line(event)
                    );
                    return Err(self.violation(name, what));
                }
                if kind != "BOOKMARK" {
                    let there =
                        self.relevant(watched, revision - 1, revision).map(|(e, kind)| (kind, e.new.clone(), e.old.clone()));
                    let right = there.as_ref().is_some_and(|(wanted, new, old)| {
                        let shown = if *wanted == "DELETED" { new.as_ref().or(old.as_ref()) } else { new.as_ref() };
                        // What leaves a selection is shown as it was, or as it is: both are in use.
                        *wanted == kind && (*wanted == "DELETED" || shown.is_some_and(|o| same(whole(o), &object)))
                    });
                    if !right {
                        let what = format!(
                            "{} heard {kind} of {} at {revision}, where {:?} happened",
                            watched.target(),
                            super::user::named(&object),
                            there.map(|(kind, ..)| kind)
                        );
                        return Err(self.violation(name, what));
                    }
                    match kind.as_str() {
                        "DELETED" => drop(watched.model.remove(&names(&object))),
                        _ => drop(watched.model.insert(names(&object), object)),
                    }
                }
                watched.position = watched.position.max(revision);
            }
        }
        Ok(())
    }

    /// The first change of what is watched after one revision and up to another, and the type of event that it is.
    fn relevant(&self, watched: &Watched, after: u64, to: u64) -> Option<(&Event, &'static str)> {
        let from = self.log.partition_point(|event| event.revision <= after);
        self.log.get(from..)?.iter().take_while(|event| event.revision <= to).find_map(|event| {
            let before = event.old.as_ref().is_some_and(|o| watched.wants(o));
            let after = event.new.as_ref().is_some_and(|o| watched.wants(o));
            let kind = match (before, after) {
                (false, false) => return None,
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
            };
            Some((event, kind))
        })
    }

    fn list_at(&self, watched: &Watched, revision: u64) -> BTreeMap<(String, String), &Arc<Object>> {
        let name = |o: &Object| (o.key.namespace.to_string(), o.key.name.to_string());
        let mut all: BTreeMap<_, _> = self.base.iter().filter(|o| watched.wants(o)).map(|o| (name(o), o)).collect();
        let of_resource = self.log.iter().filter(|event| event.key().resource == watched.resource);
        for event in of_resource.take_while(|event| event.revision <= revision) {
            match &event.new {
                Some(new) if watched.wants(new) => drop(all.insert(name(new), new)),
                Some(gone) => drop(all.remove(&name(gone))),
                None => drop(event.old.as_ref().map(|old| all.remove(&name(old)))),
            }
        }
        all
    }

    /// Why this is not yet at rest: the invariant's name, and what is still missing.
    pub fn restless<'a>(
        &mut self,
        store: &Store,
        machines: &[Machine],
        watched: impl Iterator<Item = &'a Watched>,
    ) -> Option<(&'static str, String)> {
        let rest = invariants::Rest { memory: &self.memory, machines };
        for (invariant, count) in INVARIANTS.iter().zip(&mut self.counts) {
            let Moment::Rest(check) = &invariant.moment else { continue };
            *count += 1;
            if let Err(what) = check(&rest) {
                return Some((invariant.name, what));
            }
        }
        for watched in watched {
            if let Some((event, _)) = self.relevant(watched, watched.position, store.revision()) {
                return Some(("watches-are-told", format!("{} has not heard of {}", watched.target(), line(event))));
            }
        }
        self.count("watches-are-told");
        None
    }

    /// After a time of rest in which nothing was written.
    pub fn at_rest(&mut self) -> Result<(), Violation> {
        self.hold("nothing-turns-in-circles", true, String::new)
    }

    /// What was written last, but for signs of life.
    pub fn last_write(&self) -> String {
        format!("it does not stay at rest; the last write: {}", self.last_essential)
    }
}

/// Whether a change is more than a sign of life.
fn is_essential(event: &Event) -> bool {
    !matches!(&*event.key().resource.resource, "leases" | "events" | "nodes")
}

fn names(object: &Value) -> (String, String) {
    (str_at(object, &["metadata", "namespace"]).to_owned(), str_at(object, &["metadata", "name"]).to_owned())
}

/// Lists leave out the kind of their items.
fn same(stored: &Value, shown: &Value) -> bool {
    let (Some(stored), Some(shown)) = (stored.as_object(), shown.as_object()) else { return false };
    let fields = |of: &object::Map<String, Value>| {
        of.iter()
            .filter(|(k, _)| !matches!(k.as_str(), "kind" | "apiVersion"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    fields(stored) == fields(shown)
}

/// One change in a line.
pub fn line(event: &Event) -> String {
    let key = event.key();
    let verb = match (&event.old, &event.new) {
        (None, _) => "created",
        (_, None) => "removed",
        _ => "changed",
    };
    let of = |o: &Option<Arc<Object>>| {
        let o = o.as_ref()?;
        let text = match &*key.resource.resource {
            "pods" => {
                let pod = o.view::<super::facts::PodFacts>();
                let deleting = if o.meta.deletion_timestamp.is_some() { " deleting" } else { "" };
                format!("{} on {:?} ready={}{deleting}", pod.phase, pod.node, pod.ready)
            }
            "events" => {
                let event = whole(o);
                format!("{}: {}", str_at(event, &["reason"]), str_at(event, &["message"]))
            }
            _ => String::new(),
        };
        Some(text)
    };
    let detail = of(&event.new).or_else(|| of(&event.old)).unwrap_or_default();
    format!("{} {} {}/{} {verb} {detail}", event.revision, key.resource.resource, key.namespace, key.name)
}
