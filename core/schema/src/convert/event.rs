//! Events of the core group and of `events.k8s.io` are one kind with other names for its fields.

use object::{Value, json};

/// Core name, name in `events.k8s.io`, what Go writes where the field is empty (in core, in events).
type Rename = (&'static str, &'static str, fn() -> Option<Value>, fn() -> Option<Value>);

/// Where a field comes from, where it goes, and what is written there where it is empty.
type Move = (&'static str, &'static str, fn() -> Option<Value>);

fn nothing() -> Option<Value> {
    None
}

fn null() -> Option<Value> {
    Some(Value::Null)
}

fn empty_text() -> Option<Value> {
    Some("".into())
}

fn empty_object() -> Option<Value> {
    Some(json!({}))
}

const RENAMES: [Rename; 9] = [
    ("involvedObject", "regarding", empty_object, nothing),
    ("message", "note", nothing, nothing),
    ("source", "deprecatedSource", empty_object, empty_object),
    ("firstTimestamp", "deprecatedFirstTimestamp", null, null),
    ("lastTimestamp", "deprecatedLastTimestamp", null, null),
    ("count", "deprecatedCount", nothing, nothing),
    ("reportingComponent", "reportingController", empty_text, nothing),
    ("reportingInstance", "reportingInstance", empty_text, nothing),
    ("eventTime", "eventTime", null, null),
];

pub(super) fn to_core(event: &mut Value) {
    rename(event, |(core, events, written, _)| (*events, *core, *written));
}

pub(super) fn to_events(event: &mut Value) {
    rename(event, |(core, events, _, written)| (*core, *events, *written));
}

fn rename(event: &mut Value, direction: fn(&Rename) -> Move) {
    let Some(map) = event.as_object_mut() else { return };
    for rename in &RENAMES {
        let (from, to, written) = direction(rename);
        let value = map.remove(from).filter(|v| !is_empty(v)).or_else(written);
        if let Some(value) = value {
            map.insert(to.to_owned(), value);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    }
}
