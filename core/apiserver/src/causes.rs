//! Causes: who made each change, and which change it was a reaction to. From any object this leads back to a user's request.
//!
//! Whoever works inside the control plane says what it reacts to with [`ApiServer::reacting_to`]; every commit notes that
//! beside its revision, in a ring as long as the history. A kubelet outside reacts to the object it writes about, as it was; a
//! user to nothing. What is older than the ring, or than this process, is forgotten. Nothing depends on any of this.
//!
//! `GET /debug/causes/PATH`, where PATH is that of an object (`api/v1/namespaces/d/pods/x`), answers
//!
//! ```json
//! {"path": "/api/v1/namespaces/d/pods/x",
//!  "changed": [LINK, …], "created": [LINK, …]}
//! ```
//!
//! the chains of its last change and of its creation, the change itself first. A link is
//! `{"revision": "41", "time": …, "user": …, "verb": "create", "change": "created", "object": {apiVersion, kind, namespace, name,
//! uid}, "reactedTo": "40"}`; the last has `"request": "POST /apis/…"` instead of `reactedTo` if a request began it all, or is
//! `{"revision": "12", "forgotten": true}`. It is authorized as the nonResourceURL that it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use object::value::str_at;
use object::{ApiError, Result, Time, Value, json};
use store::{Event, Key};

use crate::edge::route::Route;
use crate::server::ApiServer;

/// How long a chain is shown at most.
const MAX_LINKS: u32 = 100;
/// So many writers are told apart.
const MAX_WRITERS: usize = 65_536;
/// So much of a request's target is kept.
const MAX_TARGET: usize = 256;

/// Why there is one revision.
struct Cause {
    revision: u64,
    at: Time,
    /// Position in the list of writers.
    who: u32,
    verb: &'static str,
    /// The revision that was reacted to, 0 for none.
    because: u64,
    /// The request, of somebody outside.
    request: Option<Arc<str>>,
}

/// What the write that is going on is to be noted as.
#[derive(Default)]
struct Current {
    who: u32,
    verb: &'static str,
    because: u64,
    /// It reacts to what it writes about.
    to_object: bool,
    request: Option<Arc<str>>,
}

/// The ring.
pub(crate) struct Causes {
    ring: VecDeque<Cause>,
    limit: usize,
    writers: Vec<Arc<str>>,
    places: BTreeMap<Arc<str>, u32>,
    current: Current,
}

impl Causes {
    /// A ring for so many revisions.
    pub fn new(limit: u32) -> Self {
        let mut causes = Causes {
            ring: VecDeque::new(),
            limit: limit as usize,
            writers: Vec::new(),
            places: BTreeMap::new(),
            current: Current::default(),
        };
        causes.own();
        causes
    }

    /// From now on it is the API server itself that writes.
    pub fn own(&mut self) {
        self.current = Current { who: self.place("system:apiserver"), verb: "update", ..Current::default() };
    }

    /// A part of the control plane writes.
    pub fn part(&mut self, user: &str, verb: &str) {
        self.current.who = self.place(user);
        self.current.verb = known(verb);
        self.current.to_object = is_node(user);
        self.current.request = None;
    }

    /// Somebody outside writes.
    pub fn request(&mut self, user: &str, verb: &str, method: &str, target: &str) {
        let is_node = is_node(user);
        let target: String = target.chars().take(MAX_TARGET).collect();
        self.current = Current {
            who: self.place(user),
            verb: known(verb),
            because: 0,
            to_object: is_node,
            request: (!is_node).then(|| format!("{method} {target}").into()),
        };
    }

    /// Whether the revision of the object that is written must be told.
    pub fn wants_object(&self) -> bool {
        self.current.to_object
    }

    /// Notes a revision; `object` is that of what it replaces.
    pub fn record(&mut self, at: Time, revision: u64, object: u64) {
        if self.ring.len() >= self.limit {
            self.ring.pop_front();
        }
        let Current { who, verb, because, to_object, ref request } = self.current;
        let because = if to_object { object } else { because };
        self.ring.push_back(Cause { revision, at, who, verb, because, request: request.clone() });
    }

    fn of(&self, revision: u64) -> Option<&Cause> {
        let first = self.ring.front()?.revision;
        let place = usize::try_from(revision.checked_sub(first)?).ok()?;
        self.ring.get(place).filter(|cause| cause.revision == revision)
    }

    fn place(&mut self, user: &str) -> u32 {
        if let Some(place) = self.places.get(user) {
            return *place;
        }
        if self.writers.len() >= MAX_WRITERS {
            return 0;
        }
        let name: Arc<str> = user.into();
        let place = u32::try_from(self.writers.len()).unwrap_or(0);
        self.writers.push(name.clone());
        self.places.insert(name, place);
        place
    }
}

/// Whether this is a kubelet.
fn is_node(user: &str) -> bool {
    user.starts_with("system:node:")
}

/// Verbs are few.
fn known(verb: &str) -> &'static str {
    match verb {
        "create" => "create",
        "patch" => "patch",
        "delete" => "delete",
        "deletecollection" => "deletecollection",
        _ => "update",
    }
}

impl ApiServer {
    /// What is written from now on by parts of the control plane reacts to this revision; 0 for none.
    pub fn reacting_to(&mut self, revision: u64) {
        self.causes.current.because = revision;
    }

    /// The verb of the request that made this revision; empty where that is forgotten.
    pub fn verb_of(&self, revision: u64) -> &'static str {
        self.causes.of(revision).map_or("", |cause| cause.verb)
    }

    /// The answer to a question for the causes of the object at this path.
    pub(crate) fn causes_of(&self, path: &str) -> Result<Value> {
        let Route::Resource { gvr, namespace, name, .. } = Route::parse(path) else { return Err(ApiError::no_such_path()) };
        let resource = self.resource(&gvr)?;
        let key = Key::new(&resource.storage.resource, &namespace, &name);
        let now = self.store.get(&key);
        let history = || self.store.events_since(self.store.oldest_revision()).into_iter().flatten();
        // Of what is gone, its end is the last change.
        let last = now.map(|o| o.revision).or_else(|| history().filter(|e| *e.key() == key).last().map(|e| e.revision));
        let Some(last) = last else { return Err(ApiError::not_found(&resource.group_resource(), &name)) };
        let made = history().filter(|e| *e.key() == key && e.old.is_none()).last().map(|e| e.revision);
        let created = made.map_or_else(|| vec![json!({"forgotten": true})], |revision| self.chain(revision));
        Ok(json!({"path": path, "changed": self.chain(last), "created": created}))
    }

    /// A change, what it reacted to, and so on.
    fn chain(&self, mut revision: u64) -> Vec<Value> {
        let mut links = Vec::new();
        for _ in 0..MAX_LINKS {
            let event = self.store.events_since(revision.saturating_sub(1)).ok().and_then(|mut events| events.next());
            let cause = self.causes.of(revision);
            let Some((cause, event)) = cause.zip(event.filter(|e| e.revision == revision)) else {
                links.push(json!({"revision": revision.to_string(), "forgotten": true}));
                break;
            };
            links.push(self.link(cause, event));
            if cause.because == 0 || cause.because >= revision {
                break;
            }
            revision = cause.because;
        }
        links
    }

    fn link(&self, cause: &Cause, event: &Event) -> Value {
        let change = match (&event.old, &event.new) {
            (None, _) => "created",
            (_, None) => "removed",
            _ => "changed",
        };
        let object = event.new.as_ref().or(event.old.as_ref()).map(|o| o.value()).unwrap_or_default();
        let mut about = json!({});
        for (name, path) in [
            ("apiVersion", &["apiVersion"] as &[&str]),
            ("kind", &["kind"]),
            ("namespace", &["metadata", "namespace"]),
            ("name", &["metadata", "name"]),
            ("uid", &["metadata", "uid"]),
        ] {
            let text = str_at(&object, path);
            if !text.is_empty() {
                about[name] = text.into();
            }
        }
        let user = self.causes.writers.get(cause.who as usize).map_or("", |name| name);
        let mut link = json!({
            "revision": cause.revision.to_string(), "time": cause.at.rfc3339_micros(), "user": user, "verb": cause.verb,
            "change": change, "object": about,
        });
        if cause.because != 0 {
            link["reactedTo"] = cause.because.to_string().into();
        }
        if let Some(request) = &cause.request {
            link["request"] = (**request).into();
        }
        link
    }
}
