//! Streams that follow changes. A watcher is a filter and a position in the history; an event is encoded once for all
//! streams that want the same form of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::{Bytes, GroupResource, Result, Time, json};
use schema::Resource;
use store::{Event, Object, Progress, Store};

use crate::edge::accept::{Accept, Form};
use crate::edge::list::{Filter, check_options, go_parse_uint};
use crate::edge::query::Query;
use crate::edge::render::{self, Include};
use crate::message::{Output, StreamId};
use crate::server::ApiServer;
use crate::write::Target;

/// How often a watch that asked for bookmarks gets one.
const BOOKMARK_SECONDS: u64 = 60;

/// All open watches.
#[derive(Default)]
pub struct Watches {
    by_resource: BTreeMap<GroupResource, BTreeMap<StreamId, Watcher>>,
    delivered: u64,
}

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
type Group<'a> = (&'a str, &'a str, &'a str, Accept, Include, bool);

impl Watches {
    /// How many watches are open.
    pub fn count(&self) -> usize {
        self.by_resource.values().map(BTreeMap::len).sum()
    }

    /// Events up to this revision are history.
    pub fn start(&mut self, revision: u64) {
        self.delivered = revision;
    }

    /// Forgets a watch whose client is gone.
    pub fn close(&mut self, stream: StreamId) {
        self.by_resource.values_mut().for_each(|watchers| drop(watchers.remove(&stream)));
        self.by_resource.retain(|_, watchers| !watchers.is_empty());
    }

    /// Sends bookmarks and ends what has reached its time.
    pub fn run(&mut self, now: Time, revision: u64, outputs: &mut Vec<Output>) -> Progress {
        let mut next: Option<Time> = None;
        for watchers in self.by_resource.values_mut() {
            watchers.retain(|stream, watcher| {
                if watcher.ends_at.is_some_and(|end| end <= now) {
                    outputs.push(Output::End(*stream));
                    return false;
                }
                if watcher.bookmark_at.is_some_and(|at| at <= now) {
                    let bytes = bookmark(&watcher.form, revision, false);
                    outputs.push(Output::Data { streams: vec![*stream], bytes });
                    watcher.bookmark_at = Some(now.plus_secs(BOOKMARK_SECONDS));
                }
                next = [next, watcher.ends_at, watcher.bookmark_at].into_iter().flatten().min();
                true
            });
        }
        self.by_resource.retain(|_, watchers| !watchers.is_empty());
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
                deliver_one(now, watchers, event, outputs);
            }
        }
    }
}

fn deliver_one(now: Time, watchers: &mut BTreeMap<StreamId, Watcher>, event: &Event, outputs: &mut Vec<Output>) {
    let mut groups: BTreeMap<Group<'_>, (EventForm, Vec<StreamId>)> = BTreeMap::new();
    for (stream, watcher) in watchers.iter_mut() {
        let Some(kind) = event_type(&watcher.filter, event) else { continue };
        let form = &watcher.form;
        let first = form.accept.form == Form::Table && !watcher.columns_sent;
        watcher.columns_sent = true;
        let gvr = &watcher.form.resource.gvr;
        let group = (kind, &*gvr.group, &*gvr.version, form.accept, form.include, first);
        groups.entry(group).or_insert_with(|| (form.clone(), Vec::new())).1.push(*stream);
    }
    for ((kind, _, _, _, _, first), (form, streams)) in groups {
        let Some(object) = event.new.as_ref().or(event.old.as_ref()) else { continue };
        let bytes = if kind == "DELETED" {
            let gone = last_state(event);
            event_bytes(kind, &form, gone.as_deref().unwrap_or(object), first, now)
        } else {
            event_bytes(kind, &form, object, first, now)
        };
        outputs.push(Output::Data { streams, bytes });
    }
}

/// What an event is to a filter: an object that begins to match was added, one that ceases to was deleted.
fn event_type(filter: &Filter, event: &Event) -> Option<&'static str> {
    let matches = |object: &Option<Arc<Object>>| object.as_ref().is_some_and(|o| filter.matches(o));
    match (matches(&event.old), matches(&event.new)) {
        (false, true) => Some("ADDED"),
        (true, true) => Some("MODIFIED"),
        (true, false) => Some("DELETED"),
        (false, false) => None,
    }
}

/// The last state of a deleted object, at the revision of its deletion.
fn last_state(event: &Event) -> Option<Arc<Object>> {
    let old = event.old.as_ref()?;
    let mut value = old.value();
    object::value::set(&mut value, &["metadata", "resourceVersion"], event.revision.to_string());
    Some(Arc::new(Object::new(old.key.clone(), event.revision, &value)))
}

fn event_bytes(kind: &str, form: &EventForm, object: &Object, columns: bool, now: Time) -> Bytes {
    let body = match form.accept.form {
        Form::Table => {
            let value = render::value_of(&form.resource, object);
            let metadata = json!({"resourceVersion": object.revision.to_string()});
            let table = render::table(&form.resource, &[value], metadata, form.include, now, columns);
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
fn bookmark(form: &EventForm, revision: u64, initial_end: bool) -> Bytes {
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
            object = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
                "columnDefinitions": null, "rows": null});
        }
    }
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
        let form = EventForm { resource: target.resource.clone(), accept, include };
        let bookmarks = query.flag("allowWatchBookmarks");
        let initial = query.flag("sendInitialEvents");
        let headers = vec![("content-type".to_owned(), accept.content_type().to_owned())];
        // Whatever was committed before belongs to the past of this watch.
        self.deliver_events(now);
        let mut watcher =
            Watcher { filter, form, columns_sent: false, ends_at: timeout.map(|s| now.plus_secs(s)), bookmark_at: None };
        if bookmarks {
            watcher.bookmark_at = Some(now.plus_secs(BOOKMARK_SECONDS));
        }
        self.outputs.push(Output::Open { stream, status: 200, headers });
        let mut begin = Vec::new();
        if initial || from == 0 {
            for object in self.store.list(&target.resource.storage.resource, watcher.filter.namespace.as_deref()) {
                if watcher.filter.matches(object) {
                    let first = watcher.form.accept.form == Form::Table && !watcher.columns_sent;
                    watcher.columns_sent = true;
                    begin.push(event_bytes("ADDED", &watcher.form, object, first, now));
                }
            }
            if initial && bookmarks {
                begin.push(bookmark(&watcher.form, self.store.revision(), true));
            }
        } else {
            let past: std::result::Result<Vec<Event>, _> = self
                .store
                .events_since(from)
                .map(|events| events.filter(|e| e.key().resource == target.resource.storage.resource).cloned().collect());
            match past {
                Ok(events) => {
                    for event in &events {
                        let mut one = BTreeMap::from([(stream, watcher)]);
                        let mut out = Vec::new();
                        deliver_one(now, &mut one, event, &mut out);
                        begin.extend(
                            out.into_iter().filter_map(|o| if let Output::Data { bytes, .. } = o { Some(bytes) } else { None }),
                        );
                        match one.remove(&stream) {
                            Some(back) => watcher = back,
                            None => return Ok(()),
                        }
                    }
                }
                Err(compacted) => {
                    let error = object::ApiError::expired(format!("too old resource version: {from} ({})", compacted.oldest));
                    begin.push(line("ERROR", error.to_status().to_string().as_bytes()));
                    self.send(stream, begin);
                    self.outputs.push(Output::End(stream));
                    return Ok(());
                }
            }
        }
        self.send(stream, begin);
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
    }
}
