//! Streams that follow changes. A watcher is a filter and a position in the history; an event is encoded once for all
//! streams that want the same form of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use object::{Bytes, GroupResource, GroupVersionResource, Name, Result, Rng, Time, Value, json};
use schema::{Registry, Resource};
use store::{Event, Object, Progress, Store};

use crate::calls::Work;
use crate::edge::accept::{Accept, Form};
use crate::edge::list::{Filter, check_options, go_parse_uint};
use crate::edge::query::Query;
use crate::edge::render::{self, Include};
use crate::message::{Output, StreamId};
use crate::metrics::Events;
use crate::server::ApiServer;
use crate::write::Target;

/// How often a watch that asked for bookmarks gets one.
const BOOKMARK_SECONDS: u64 = 60;

/// All open watches.
pub struct Watches {
    by_resource: BTreeMap<GroupResource, BTreeMap<StreamId, Watcher>>,
    delivered: u64,
    /// When the next bookmark or end is due, or earlier.
    due: Option<Time>,
    /// Events of custom resources that have to be converted first, in the order in which they happened.
    held: BTreeMap<HeldKey, VecDeque<Held>>,
    /// Whose conversion is under way.
    converting: BTreeSet<HeldKey>,
    /// What was sent.
    pub(crate) events: Events,
    /// For how long watches go on that do not say so. Apart from the server's own numbers, which must not depend on who watches.
    rng: Rng,
}

/// A version of a custom resource.
pub(crate) type HeldKey = (GroupResource, Name);

/// An event that has to be converted.
struct Held {
    kind: &'static str,
    form: EventForm,
    first: bool,
    streams: Vec<StreamId>,
    event: Event,
}

/// How many events are converted at once.
const CONVERTED_AT_ONCE: usize = 100;

/// One open watch.
struct Watcher {
    filter: Filter,
    form: EventForm,
    /// Column definitions of a table go out with the first event only.
    columns_sent: bool,
    ends_at: Option<Time>,
    bookmark_at: Option<Time>,
}

/// Everything that decides how an event is written.
#[derive(Clone)]
struct EventForm {
    resource: Arc<Resource>,
    accept: Accept,
    include: Include,
}

/// Watchers whose events have the same bytes.
type Group<'a> = (&'static str, &'a str, &'a str, Accept, Include, bool);

impl Watches {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        Watches {
            by_resource: BTreeMap::new(),
            delivered: 0,
            due: None,
            held: BTreeMap::new(),
            converting: BTreeSet::new(),
            events: Events::default(),
            rng: Rng::new(seed ^ 0x7761_7463_6865_7321),
        }
    }

    /// How long a watch goes on that does not say so: `least` seconds, and up to as much again.
    fn some_time(&mut self, least: u32) -> Option<u64> {
        let least = u64::from(least);
        (least > 0).then(|| least + self.rng.below(least))
    }

    /// How many watches are open, by resource and scope.
    pub fn counts(&self) -> BTreeMap<(GroupVersionResource, &'static str), u64> {
        let mut counts = BTreeMap::new();
        for watcher in self.by_resource.values().flat_map(BTreeMap::values) {
            let scope = if watcher.filter.namespace.is_some() { "namespace" } else { "cluster" };
            *counts.entry((watcher.form.resource.gvr.clone(), scope)).or_default() += 1;
        }
        counts
    }

    /// Events up to this revision are history.
    pub fn start(&mut self, revision: u64) {
        self.delivered = revision;
    }

    /// Forgets a watch whose client is gone.
    pub fn close(&mut self, stream: StreamId) {
        for held in self.held.values_mut().flatten() {
            held.streams.retain(|waiting| *waiting != stream);
        }
        self.by_resource.values_mut().for_each(|watchers| drop(watchers.remove(&stream)));
        self.by_resource.retain(|_, watchers| !watchers.is_empty());
    }

    /// Ends the watches of a resource in versions that are not served any more.
    pub fn end_unserved(&mut self, resource: &GroupResource, registry: &Registry, outputs: &mut Vec<Output>) {
        let Some(watchers) = self.by_resource.get_mut(resource) else { return };
        watchers.retain(|stream, watcher| {
            let served = registry.resource(&watcher.form.resource.gvr).is_some();
            if !served {
                outputs.push(Output::End(*stream));
            }
            served
        });
        self.by_resource.retain(|_, watchers| !watchers.is_empty());
    }

    /// Whether [`Watches::run`] has something to do.
    pub fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Sends bookmarks and ends what has reached its time. Everything that was committed has been delivered before.
    pub fn run(&mut self, now: Time, revision: u64, outputs: &mut Vec<Output>) -> Progress {
        if !self.is_due(now) {
            return Progress { more: false, wake_at: self.due };
        }
        let mut next: Option<Time> = None;
        for (resource, watchers) in &mut self.by_resource {
            // A bookmark must not overtake events.
            let waits = self.held.keys().any(|(held, _)| held == resource);
            watchers.retain(|stream, watcher| {
                if watcher.ends_at.is_some_and(|end| end <= now) {
                    outputs.push(Output::End(*stream));
                    return false;
                }
                if waits && watcher.bookmark_at.is_some_and(|at| at <= now) {
                    watcher.bookmark_at = Some(now.plus_secs(1));
                } else if watcher.bookmark_at.is_some_and(|at| at <= now) {
                    let bytes = bookmark(&watcher.form, revision, false, !watcher.columns_sent, now);
                    outputs.push(Output::Data { streams: vec![*stream], bytes });
                    watcher.bookmark_at = Some(now.plus_secs(BOOKMARK_SECONDS));
                }
                next = [next, watcher.ends_at, watcher.bookmark_at].into_iter().flatten().min();
                true
            });
        }
        self.by_resource.retain(|_, watchers| !watchers.is_empty());
        self.due = next;
        Progress { more: false, wake_at: next }
    }

    /// Sends what was committed since the last call.
    pub fn deliver(&mut self, now: Time, store: &Store, outputs: &mut Vec<Output>) {
        let from = std::mem::replace(&mut self.delivered, store.revision());
        if self.by_resource.is_empty() {
            return;
        }
        // Delivery follows every step, and a step commits far less than the history holds.
        let Ok(events) = store.events_since(from) else { return };
        for event in events {
            if let Some(watchers) = self.by_resource.get_mut(&event.key().resource) {
                let before = outputs.len();
                deliver_one(now, watchers, event, &mut self.held, outputs);
                let kind = watchers.values().next().map(|watcher| &watcher.form.resource.kind);
                for output in outputs.iter().skip(before) {
                    if let (Output::Data { streams, bytes }, Some(kind)) = (output, kind) {
                        self.events.count(kind, streams.len(), bytes.len());
                    }
                }
            }
        }
    }
}

fn deliver_one(
    now: Time,
    watchers: &mut BTreeMap<StreamId, Watcher>,
    event: &Event,
    held: &mut BTreeMap<HeldKey, VecDeque<Held>>,
    outputs: &mut Vec<Output>,
) {
    let mut groups: BTreeMap<Group<'_>, (EventForm, Vec<StreamId>)> = BTreeMap::new();
    let mut parsed = Parsed::default();
    for (stream, watcher) in watchers.iter_mut() {
        let Some(kind) = event_type(&watcher.filter, event, &mut parsed) else { continue };
        let form = &watcher.form;
        let first = form.accept.form == Form::Table && !watcher.columns_sent;
        watcher.columns_sent = true;
        let gvr = &watcher.form.resource.gvr;
        let group = (kind, &*gvr.group, &*gvr.version, form.accept, form.include, first);
        groups.entry(group).or_insert_with(|| (form.clone(), Vec::new())).1.push(*stream);
    }
    for ((kind, _, _, _, _, first), (form, streams)) in groups {
        if form.resource.custom.as_ref().is_some_and(|custom| !custom.is_as_stored(&form.resource)) {
            let key = (form.resource.storage.resource.clone(), form.resource.kind.version.clone());
            held.entry(key).or_default().push_back(Held { kind, form, first, streams, event: event.clone() });
            continue;
        }
        let Some(object) = shown_object(kind, event) else { continue };
        outputs.push(Output::Data { streams, bytes: change_bytes(kind, &form, object, event.revision, first, now) });
    }
}

/// The object that an event shows, as it is stored.
fn shown_object<'a>(kind: &str, event: &'a Event) -> Option<&'a Arc<Object>> {
    if kind == "DELETED" { event.old.as_ref().or(event.new.as_ref()) } else { event.new.as_ref().or(event.old.as_ref()) }
}

/// An event about `object`. The last state of one that is gone carries the revision of its end.
fn change_bytes(kind: &str, form: &EventForm, object: &Object, revision: u64, first: bool, now: Time) -> Bytes {
    if kind == "DELETED" {
        event_bytes(kind, form, &last_state(object, revision), first, now)
    } else {
        event_bytes(kind, form, object, first, now)
    }
}

/// What the objects of an event say, once a filter had to know.
#[derive(Default)]
struct Parsed {
    old: Option<Value>,
    new: Option<Value>,
}

/// What an event is to a filter: an object that begins to match was added, one that ceases to was deleted.
fn event_type(filter: &Filter, event: &Event, parsed: &mut Parsed) -> Option<&'static str> {
    let matches = |object: &Option<Arc<Object>>, value: &mut Option<Value>| {
        object.as_ref().is_some_and(|object| filter.matches_parsed(object, value))
    };
    match (matches(&event.old, &mut parsed.old), matches(&event.new, &mut parsed.new)) {
        (false, true) => Some("ADDED"),
        (true, true) => Some("MODIFIED"),
        (true, false) => Some("DELETED"),
        (false, false) => None,
    }
}

/// The last state of a deleted object, at the revision of its deletion.
fn last_state(object: &Object, revision: u64) -> Object {
    let mut value = object.value();
    object::value::set(&mut value, &["metadata", "resourceVersion"], revision.to_string());
    Object::new(object.key.clone(), revision, &value)
}

fn event_bytes(kind: &str, form: &EventForm, object: &Object, columns: bool, now: Time) -> Bytes {
    let body = match form.accept.form {
        Form::Table => {
            let value = render::value_of(&form.resource, object);
            let metadata = json!({"resourceVersion": object.revision.to_string()});
            let mut table = render::table(&form.resource, &[value], metadata, form.include, now, columns);
            form.accept.name(&mut table);
            table.to_string().into()
        }
        _ => render::stored(
            &form.resource,
            object,
            Accept { encoding: crate::edge::accept::Encoding::Json, ..form.accept },
            form.include,
            now,
        ),
    };
    line(kind, &body)
}

fn line(kind: &str, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 32);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(body);
    out.extend_from_slice(b"}\n");
    out.into()
}

/// An event that only says how far the stream has come.
fn bookmark(form: &EventForm, revision: u64, initial_end: bool, columns: bool, now: Time) -> Bytes {
    let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
    if let Some(map) = metadata.as_object_mut() {
        map.remove("creationTimestamp");
    }
    if initial_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let kind = &form.resource.kind;
    let mut object = json!({"kind": &*kind.kind, "apiVersion": kind.api_version(), "metadata": metadata});
    match form.accept.form {
        Form::Object => {}
        Form::Partial => object = render::partial(&object),
        Form::Table => {
            let definitions = if columns { schema::table::column_definitions(&form.resource) } else { Value::Null };
            // One row of nothing, so that what the bookmark says has a place.
            let row = schema::table::row(&form.resource, &json!({"metadata": {}}), now);
            let rows = json!([{"cells": row.cells, "object": render::partial(&object)}]);
            let metadata = json!({"resourceVersion": revision.to_string()});
            object = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": definitions, "rows": rows});
        }
    }
    form.accept.name(&mut object);
    line("BOOKMARK", object.to_string().as_bytes())
}

impl ApiServer {
    /// Opens a watch and sends what it begins with.
    pub(crate) fn open_watch(
        &mut self,
        now: Time,
        stream: StreamId,
        target: &Target,
        query: &Query,
        accept: Accept,
        include: Include,
    ) -> Result<()> {
        check_options(query, true)?;
        let filter = Filter::of(target, query)?;
        let version = query.get("resourceVersion");
        let from: u64 = if version.is_empty() {
            0
        } else {
            version.parse().map_err(|_| {
                let why = object::Cause::invalid("resourceVersion", &json!(version), &go_parse_uint(version));
                object::ApiError::new(500, object::Reason::Unknown, why.to_string())
            })?
        };
        let timeout = query.number("timeoutSeconds")?.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
        let timeout = timeout.or_else(|| self.watches.some_time(self.settings.min_request_timeout_seconds));
        let form = EventForm { resource: target.resource.clone(), accept, include };
        let bookmarks = query.flag("allowWatchBookmarks");
        let initial = query.flag("sendInitialEvents");
        let mut headers = vec![("content-type".to_owned(), accept.content_type().to_owned())];
        self.flow.headers(&mut headers);
        // Whatever was committed before belongs to the past of this watch.
        self.deliver_events(now);
        let mut watcher =
            Watcher { filter, form, columns_sent: false, ends_at: timeout.map(|s| now.plus_secs(s)), bookmark_at: None };
        if bookmarks {
            watcher.bookmark_at = Some(now.plus_secs(BOOKMARK_SECONDS));
        }
        let mut begin = Vec::new();
        if initial || from == 0 {
            let all = self.store.list(&target.resource.storage.resource, watcher.filter.namespace.as_deref());
            let selected: Vec<Arc<Object>> = all.filter(|object| watcher.filter.matches(object)).cloned().collect();
            let (resource, selected) = self.presented(&target.resource, selected)?;
            let form = EventForm { resource, ..watcher.form.clone() };
            for object in &selected {
                let first = form.accept.form == Form::Table && !watcher.columns_sent;
                watcher.columns_sent = true;
                begin.push(event_bytes("ADDED", &form, object, first, now));
            }
            if initial && bookmarks {
                begin.push(bookmark(&watcher.form, self.store.revision(), true, !watcher.columns_sent, now));
            }
        } else {
            let of_resource = |event: &&Event| event.key().resource == target.resource.storage.resource;
            let past = self.store.events_since(from).map(|events| events.filter(of_resource).cloned().collect());
            let past: Vec<Event> = match past {
                Ok(past) => past,
                Err(compacted) => {
                    let error = object::ApiError::expired(format!("too old resource version: {from} ({})", compacted.oldest));
                    begin.push(line("ERROR", error.to_status().to_string().as_bytes()));
                    self.outputs.push(Output::Open { stream, status: 200, headers });
                    self.send(stream, begin);
                    self.outputs.push(Output::End(stream));
                    return Ok(());
                }
            };
            let seen = past.iter().filter_map(|event| Some((event, event_type(&watcher.filter, event, &mut Parsed::default())?)));
            let (events, objects): (Vec<_>, Vec<_>) =
                seen.filter_map(|(event, kind)| Some(((kind, event.revision), shown_object(kind, event)?.clone()))).unzip();
            let (resource, objects) = self.presented(&target.resource, objects)?;
            let form = EventForm { resource, ..watcher.form.clone() };
            for ((kind, revision), object) in events.into_iter().zip(&objects) {
                let first = form.accept.form == Form::Table && !watcher.columns_sent;
                watcher.columns_sent = true;
                begin.push(change_bytes(kind, &form, object, revision, first, now));
            }
        }
        self.outputs.push(Output::Open { stream, status: 200, headers });
        self.send(stream, begin);
        self.watches.due = [self.watches.due, watcher.ends_at, watcher.bookmark_at].into_iter().flatten().min();
        self.watches.by_resource.entry(target.resource.storage.resource.clone()).or_default().insert(stream, watcher);
        Ok(())
    }

    fn send(&mut self, stream: StreamId, pieces: Vec<Bytes>) {
        if !pieces.is_empty() {
            self.outputs.push(Output::Data { streams: vec![stream], bytes: pieces.concat().into() });
        }
    }

    /// Sends what was committed since the last call to whoever watches it.
    pub(crate) fn deliver_events(&mut self, now: Time) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.watches.deliver(now, &self.store, &mut outputs);
        self.outputs = outputs;
        let held: Vec<HeldKey> = self.watches.held.keys().cloned().collect();
        for key in held {
            if self.watches.converting.contains(&key) {
                continue;
            }
            let rng = self.rng.clone();
            if !self.release(now, &key) {
                self.watches.converting.insert(key.clone());
                self.park(Work::Events(key), now, rng);
            }
        }
    }

    /// Sends events that had to be converted; false if an answer is missing.
    pub(crate) fn release(&mut self, now: Time, key: &HeldKey) -> bool {
        while let Some(held) = self.watches.held.get(key).filter(|held| !held.is_empty()) {
            let next = held.iter().take(CONVERTED_AT_ONCE);
            let objects = next.filter_map(|held| shown_object(held.kind, &held.event).cloned()).collect();
            let Some(resource) = held.front().map(|held| held.form.resource.clone()) else { break };
            let presented = self.presented(&resource, objects);
            if self.calls.are_wanted() {
                return false;
            }
            match presented {
                Ok((resource, objects)) => {
                    for object in objects {
                        let Some(held) = self.watches.held.get_mut(key).and_then(VecDeque::pop_front) else { break };
                        let form = EventForm { resource: resource.clone(), ..held.form };
                        let bytes = change_bytes(held.kind, &form, &object, held.event.revision, held.first, now);
                        if !held.streams.is_empty() {
                            self.outputs.push(Output::Data { streams: held.streams, bytes });
                        }
                    }
                }
                // Whoever watches begins again, and is told by its list.
                Err(error) => {
                    let told = line("ERROR", error.to_status().to_string().as_bytes());
                    for held in self.watches.held.remove(key).unwrap_or_default() {
                        for stream in held.streams {
                            self.watches.close(stream);
                            self.outputs.push(Output::Data { streams: vec![stream], bytes: told.clone() });
                            self.outputs.push(Output::End(stream));
                        }
                    }
                }
            }
        }
        self.watches.held.remove(key);
        true
    }

    /// A conversion has ended, well or not.
    pub(crate) fn conversion_ended(&mut self, key: &HeldKey) {
        self.watches.converting.remove(key);
    }
}
