//! Keeps the page's objects equal to the cluster's: list, then watch from there, and again when that ends (the habit of
//! client-go's Reflector).

use std::cell::RefCell;
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use gloo_timers::future::TimeoutFuture;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::api::{self, Abort};
use crate::state::{Change, Kind, Object};

/// Changes are shown at most this often.
const BATCH_MS: u32 = 40;
const RETRY_MS: u32 = 500;

/// Collects changes of all reflectors and hands them on together.
pub struct Batch {
    waiting: RefCell<Vec<Change>>,
    timer: RefCell<Option<Timeout>>,
    give: Box<dyn Fn(Vec<Change>)>,
}

impl Batch {
    /// Hands batches to `give`.
    pub fn new(give: impl Fn(Vec<Change>) + 'static) -> Rc<Self> {
        Rc::new(Batch { waiting: RefCell::default(), timer: RefCell::default(), give: Box::new(give) })
    }

    fn add(self: &Rc<Self>, changes: impl IntoIterator<Item = Change>) {
        self.waiting.borrow_mut().extend(changes);
        let mut timer = self.timer.borrow_mut();
        if timer.is_none() {
            let batch = self.clone();
            *timer = Some(Timeout::new(BATCH_MS, move || {
                batch.timer.replace(None);
                let changes = batch.waiting.take();
                (batch.give)(changes);
            }));
        }
    }
}

/// Reflects one kind until `abort` is called.
pub async fn run(kind: Kind, batch: Rc<Batch>, abort: Rc<Abort>) {
    while !abort.aborted() {
        match list(kind).await {
            Some((version, objects)) => {
                batch.add([Change::Replace(kind, objects)]);
                watch(kind, version, &batch, &abort).await;
            }
            None => TimeoutFuture::new(RETRY_MS).await,
        }
    }
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMeta,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
}

async fn list(kind: Kind) -> Option<(String, Vec<Object>)> {
    let text = api::get(kind.path()).await.ok()?;
    let list: List = serde_json::from_str(&text).ok()?;
    let objects = list.items.iter().filter_map(|item| Object::parse(kind, item.get())).collect();
    Some((list.metadata.resource_version, objects))
}

/// Watches from `version` for as long as the server can go on from where the last watch ended.
async fn watch(kind: Kind, version: String, batch: &Rc<Batch>, abort: &Rc<Abort>) {
    let place = Rc::new(RefCell::new(Place { version, lines: Lines::default(), expired: false }));
    while !abort.aborted() && !place.borrow().expired {
        let path = format!("{}?watch=true&allowWatchBookmarks=true&resourceVersion={}", kind.path(), place.borrow().version);
        let (seen, to) = (place.clone(), batch.clone());
        place.borrow_mut().lines = Lines::default();
        let status = api::stream(&path, move |text| to.add(seen.borrow_mut().take(kind, &text)), abort).await;
        match status {
            Ok(200) => {}
            Ok(_) => return TimeoutFuture::new(RETRY_MS).await,
            Err(_) => TimeoutFuture::new(RETRY_MS).await,
        }
    }
}

/// How far a watch has come.
struct Place {
    version: String,
    lines: Lines,
    expired: bool,
}

#[derive(Deserialize)]
struct WatchEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: ListMeta,
}

impl Place {
    fn take(&mut self, kind: Kind, text: &str) -> Vec<Change> {
        let lines = self.lines.push(text);
        lines.iter().filter_map(|line| self.event(kind, line)).collect()
    }

    fn event(&mut self, kind: Kind, line: &str) -> Option<Change> {
        let event: WatchEvent = serde_json::from_str(line).ok()?;
        if event.kind == "ERROR" {
            self.expired = true;
            return None;
        }
        let bookmark: Bookmark = serde_json::from_str(event.object.get()).ok()?;
        self.version = bookmark.metadata.resource_version;
        if event.kind == "BOOKMARK" {
            return None;
        }
        let object = Object::parse(kind, event.object.get())?;
        Some(if event.kind == "DELETED" { Change::Gone(kind, object.meta().id()) } else { Change::Put(Box::new(object)) })
    }
}

/// Cuts a stream of text into lines.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn push(&mut self, text: &str) -> Vec<String> {
        self.0.push_str(text);
        let Some(end) = self.0.rfind('\n') else { return Vec::new() };
        let rest = self.0.split_off(end + 1);
        let whole = std::mem::replace(&mut self.0, rest);
        whole.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        assert!(lines.push("ab").is_empty());
        assert_eq!(lines.push("c\nd\n\nef"), ["abc", "d"]);
        assert_eq!(lines.push("\n"), ["ef"]);
    }

    #[test]
    fn a_watch_keeps_its_place_and_knows_when_it_is_lost() {
        let mut place = Place { version: "1".to_owned(), lines: Lines::default(), expired: false };
        let event = |kind: &str, version: u32| {
            let meta = serde_json::json!({"name": "a", "namespace": "d", "resourceVersion": version.to_string()});
            format!("{}\n", serde_json::json!({"type": kind, "object": {"metadata": meta}}))
        };
        assert!(matches!(place.take(Kind::Pod, &event("ADDED", 2))[..], [Change::Put(_)]));
        assert_eq!(place.take(Kind::Pod, &event("DELETED", 3)), [Change::Gone(Kind::Pod, "d/a".into())]);
        assert!(place.take(Kind::Pod, &event("BOOKMARK", 9)).is_empty());
        assert_eq!(place.version, "9");
        assert!(place.take(Kind::Pod, "{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n").is_empty());
        assert!(place.expired);
    }
}
