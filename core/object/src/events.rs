//! Events about objects, as client-go's recorder writes them: repeated events are counted, many similar ones are combined,
//! and a source that says too much about one object is cut short.
//!
//! Pure: it is told the time, and says what to write.
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::time::Time;
use crate::value::{at, str_at};

/// So many different messages of one reason about one object are written singly; what follows is combined.
const MAX_SIMILAR: u32 = 10;
/// How long events count as similar.
const SIMILAR_SECONDS: u64 = 600;
/// A source may write so many events about one object at once...
const BURST: u64 = 25;
/// ...and then one in so many seconds.
const REFILL_SECONDS: u64 = 300;
/// How many objects and messages are remembered.
const MAX_REMEMBERED: usize = 4096;

/// Normal or Warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    /// Nothing to worry about.
    Normal,
    /// Something to look at.
    Warning,
}

impl EventType {
    /// The text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// What the recorder wants written.
#[derive(Clone, Debug, PartialEq)]
pub enum EventWrite {
    /// Create this event in its namespace.
    Create(Value),
    /// Patch (merge) the event of this namespace and name.
    Patch {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Merge patch.
        patch: Value,
    },
}

/// Remembers what was said, for one source.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    component: String,
    host: String,
    said: BTreeMap<String, Said>,
    similar: BTreeMap<String, Similar>,
    tokens: BTreeMap<String, Tokens>,
}

#[derive(Clone, Debug)]
struct Said {
    name: String,
    count: u64,
    last: Time,
}

#[derive(Clone, Debug)]
struct Similar {
    messages: u32,
    last: Time,
}

#[derive(Clone, Debug)]
struct Tokens {
    left: u64,
    refilled: Time,
}

impl Recorder {
    /// A recorder for a component, and the node it runs on (empty for none).
    pub fn new(component: &str, host: &str) -> Self {
        Recorder { component: component.to_owned(), host: host.to_owned(), ..Recorder::default() }
    }

    /// Says something about an object. `None` if too much was said already.
    pub fn event(&mut self, now: Time, about: &Value, kind: EventType, reason: &str, message: &str) -> Option<EventWrite> {
        let involved = reference(about);
        let object =
            format!("{}/{}/{}", str_at(&involved, &["kind"]), str_at(&involved, &["namespace"]), str_at(&involved, &["uid"]));
        self.forget(now);
        let subject = format!("{object}/{}/{reason}", kind.as_str());
        let mut key = format!("{subject}/{message}");
        let mut text = message.to_owned();
        if !self.said.contains_key(&key) {
            let similar = self.similar.entry(subject.clone()).or_insert(Similar { messages: 0, last: now });
            similar.messages += 1;
            similar.last = now;
            if similar.messages > MAX_SIMILAR {
                key = subject;
                text = format!("(combined from similar events): {message}");
            }
        }
        if !self.take_token(now, &object) {
            return None;
        }
        if let Some(said) = self.said.get_mut(&key) {
            said.count += 1;
            said.last = now;
            let patch = json!({"count": said.count, "lastTimestamp": now.rfc3339(), "message": text});
            return Some(EventWrite::Patch { namespace: namespace_of(&involved), name: said.name.clone(), patch });
        }
        // Sources do not know of each other: what they say tells their events of one moment apart.
        let salt = [&self.component, &self.host, &key]
            .iter()
            .flat_map(|text| text.bytes())
            .fold(0u32, |h, b| h.wrapping_mul(0x0100_0193) ^ u32::from(b));
        let name = format!("{}.{:x}{:05x}", str_at(&involved, &["name"]), now.0, (salt ^ (salt >> 20)) & 0xf_ffff);
        self.said.insert(key, Said { name: name.clone(), count: 1, last: now });
        Some(EventWrite::Create(self.written(now, involved, kind, reason, &text, &name)))
    }

    fn written(&self, now: Time, involved: Value, kind: EventType, reason: &str, message: &str, name: &str) -> Value {
        let mut source = json!({"component": self.component});
        if !self.host.is_empty() {
            source["host"] = self.host.as_str().into();
        }
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace_of(&involved)},
            "reason": reason, "message": message, "type": kind.as_str(),
            "reportingComponent": self.component, "reportingInstance": self.host,
            "firstTimestamp": now.rfc3339(), "lastTimestamp": now.rfc3339(), "count": 1,
        });
        // Not in the literal, which would copy them.
        event["involvedObject"] = involved;
        event["source"] = source;
        event
    }

    fn take_token(&mut self, now: Time, object: &str) -> bool {
        let tokens = self.tokens.entry(object.to_owned()).or_insert(Tokens { left: BURST, refilled: now });
        let earned = now.secs_since(tokens.refilled) / REFILL_SECONDS;
        if earned > 0 {
            tokens.left = (tokens.left + earned).min(BURST);
            tokens.refilled = now;
        }
        let allowed = tokens.left > 0;
        tokens.left = tokens.left.saturating_sub(1);
        allowed
    }

    /// Forgets what is old, and everything when too much is remembered: at worst an event is written twice.
    fn forget(&mut self, now: Time) {
        if self.said.len() >= MAX_REMEMBERED || self.similar.len() >= MAX_REMEMBERED || self.tokens.len() >= MAX_REMEMBERED {
            self.said.retain(|_, said| now.secs_since(said.last) < SIMILAR_SECONDS);
            self.similar.retain(|_, similar| now.secs_since(similar.last) < SIMILAR_SECONDS);
            self.tokens.retain(|_, tokens| now.secs_since(tokens.refilled) < REFILL_SECONDS * BURST);
        }
        if self.said.len() >= 2 * MAX_REMEMBERED || self.tokens.len() >= 2 * MAX_REMEMBERED {
            self.said.clear();
            self.similar.clear();
            self.tokens.clear();
        }
    }
}

fn namespace_of(involved: &Value) -> String {
    let namespace = str_at(involved, &["namespace"]);
    if namespace.is_empty() { "default".to_owned() } else { namespace.to_owned() }
}

/// The `ObjectReference` of an object.
pub fn reference(object: &Value) -> Value {
    let mut reference = json!({});
    for (key, path) in [
        ("kind", &["kind"][..]),
        ("apiVersion", &["apiVersion"]),
        ("name", &["metadata", "name"]),
        ("namespace", &["metadata", "namespace"]),
        ("uid", &["metadata", "uid"]),
        ("resourceVersion", &["metadata", "resourceVersion"]),
    ] {
        if let Some(value) = at(object, path) {
            reference[key] = value.clone();
        }
    }
    if let Some(field) = object.get("fieldPath") {
        reference["fieldPath"] = field.clone();
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_events_are_counted_and_many_are_combined() {
        let mut recorder = Recorder::new("replicaset-controller", "");
        let about =
            json!({"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "a", "uid": "u"}});
        let mut say =
            |at: u64, message: &str| recorder.event(Time::from_secs(at), &about, EventType::Normal, "SuccessfulCreate", message);
        let Some(EventWrite::Create(first)) = say(1, "Created pod: a") else { panic!("no event") };
        assert_eq!(first["involvedObject"]["uid"], "u");
        let Some(EventWrite::Patch { patch, .. }) = say(2, "Created pod: a") else { panic!("not counted") };
        assert_eq!(patch["count"], 2);
        for i in 0..9 {
            assert!(matches!(say(3, &format!("Created pod: {i}")), Some(EventWrite::Create(_))));
        }
        let Some(EventWrite::Create(combined)) = say(4, "Created pod: x") else { panic!("not combined") };
        assert_eq!(combined["message"], "(combined from similar events): Created pod: x");
        assert!(matches!(say(4, "Created pod: y"), Some(EventWrite::Patch { .. })));
        let silent = (0..40).filter(|i| say(5, &format!("Created pod: z{i}")).is_none()).count();
        assert!(silent >= 28, "one source said too much: {silent}");
    }
}
