//! Tables: what `kubectl get` shows of each kind (`pkg/printers/internalversion/printers.go`).
//!
//! The columns are data (the overlay); how a cell is filled is code, one function for each kind. Every cell is made, also
//! those that are shown only when wide: the client chooses. Kinds without columns of their own get Name and Created At.

mod cluster;
mod config;
mod custom;
mod network;
mod pod;
mod storage;
mod workloads;

use object::value::{at, list_at, str_at};
use object::{GroupVersionKind, Time, Value, json};

use crate::resource::{Column, Resource};

/// A row of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// One cell for each column.
    pub cells: Vec<Value>,
    /// What stands out of the row, for example that a pod is completed; mostly empty.
    pub conditions: Vec<Value>,
}

pub(crate) const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may \
allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation \
idempotence and configuration definition. Cannot be updated. More info: \
https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED_AT: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is \
represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The columns of a resource's tables.
pub fn columns(resource: &Resource) -> Vec<Column> {
    if !resource.columns.is_empty() {
        return resource.columns.clone();
    }
    let column = |name: &'static str, kind: &'static str, format: &'static str, description: &'static str| Column {
        name: name.into(),
        kind: kind.into(),
        format: format.into(),
        priority: 0,
        description: description.into(),
    };
    vec![column("Name", "string", "name", NAME), column("Created At", "date", "", CREATED_AT)]
}

/// `columnDefinitions` of a Table.
pub fn column_definitions(resource: &Resource) -> Value {
    let one = |c: &Column| json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority});
    columns(resource).iter().map(one).collect()
}

/// The row of an object in the version of `resource`.
pub fn row(resource: &Resource, object: &Value, now: Time) -> Row {
    if resource.columns.is_empty() {
        return Row { cells: general(object), conditions: Vec::new() };
    }
    let printer = Printer { object, now };
    if let Some(custom) = &resource.custom {
        return Row { cells: custom::cells(&printer, resource, custom), conditions: Vec::new() };
    }
    match (&*resource.kind.group, &*resource.kind.kind, &*resource.kind.version) {
        ("", "Pod", _) => pod::pod(&printer),
        // Both are printed as the version in which they are stored.
        ("events.k8s.io", "Event", _) | ("autoscaling", "HorizontalPodAutoscaler", "v1") => {
            let mut stored = object.clone();
            let GroupVersionKind { group, version, kind } = &resource.kind;
            crate::decode::put_kind(&mut stored, group, version, kind);
            crate::convert::convert(&mut stored, &resource.storage.kind);
            let printer = Printer { object: &stored, now };
            Row { cells: cells(&printer, resource), conditions: Vec::new() }
        }
        _ => Row { cells: cells(&printer, resource), conditions: Vec::new() },
    }
}

fn cells(p: &Printer<'_>, resource: &Resource) -> Vec<Value> {
    let (group, kind) = (&*resource.kind.group, &*resource.kind.kind);
    let found = workloads::cells(p, group, kind)
        .or_else(|| config::cells(p, group, kind))
        .or_else(|| network::cells(p, group, kind))
        .or_else(|| storage::cells(p, group, kind))
        .or_else(|| cluster::cells(p, group, kind));
    found.unwrap_or_else(|| {
        // A kind whose columns nobody fills: the name and the age are known of everything.
        let cell = |c: &Column| match (&*c.format, &*c.name) {
            ("name", _) => p.name(),
            (_, "Age") => p.age(),
            _ => Value::Null,
        };
        resource.columns.iter().map(cell).collect()
    })
}

fn general(object: &Value) -> Vec<Value> {
    vec![str_at(object, &["metadata", "name"]).into(), str_at(object, &["metadata", "creationTimestamp"]).into()]
}

/// An object about to be shown.
struct Printer<'a> {
    object: &'a Value,
    now: Time,
}

impl<'a> Printer<'a> {
    fn text(&self, path: &[&str]) -> &'a str {
        str_at(self.object, path)
    }

    /// The text at `path`, or `missing` where it is absent or empty.
    fn text_or(&self, path: &[&str], missing: &str) -> Value {
        match self.text(path) {
            "" => missing.into(),
            text => text.into(),
        }
    }

    fn int(&self, path: &[&str]) -> i64 {
        at(self.object, path).and_then(Value::as_i64).unwrap_or(0)
    }

    fn bool(&self, path: &[&str]) -> bool {
        at(self.object, path).and_then(Value::as_bool).unwrap_or(false)
    }

    fn list(&self, path: &[&str]) -> &'a [Value] {
        list_at(self.object, path)
    }

    fn at(&self, path: &[&str]) -> Option<&'a Value> {
        at(self.object, path)
    }

    fn name(&self) -> Value {
        self.text(&["metadata", "name"]).into()
    }

    fn age(&self) -> Value {
        self.since(self.text(&["metadata", "creationTimestamp"])).into()
    }

    fn deleting(&self) -> bool {
        !self.text(&["metadata", "deletionTimestamp"]).is_empty()
    }

    /// How long ago a time was, or `<unknown>`.
    fn since(&self, time: &str) -> String {
        Time::parse(time).map_or_else(|| "<unknown>".to_owned(), |t| human_duration(t, self.now))
    }

    /// Names and images of the containers at `path`.
    fn containers(&self, path: &[&str]) -> [Value; 2] {
        let all = self.list(path);
        ["name", "image"].map(|key| all.iter().map(|c| str_at(c, &[key])).collect::<Vec<_>>().join(",").into())
    }

    /// Whether the condition of this type is true.
    fn condition(&self, kind: &str) -> bool {
        self.list(&["status", "conditions"]).iter().any(|c| str_at(c, &["type"]) == kind && str_at(c, &["status"]) == "True")
    }
}

/// `HumanDuration`: the shortest form that says enough.
pub fn human_duration(from: Time, to: Time) -> String {
    if from.0 > to.0 {
        return if from.0 - to.0 >= 2_000_000 { "<invalid>".to_owned() } else { "0s".to_owned() };
    }
    let seconds = to.secs_since(from);
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    let pair = |big: u64, unit: &str, small: u64, rest: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{rest}") }
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => pair(hours / 24, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        () if hours < 24 * 365 * 8 => pair(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        () => format!("{}y", hours / 24 / 365),
    }
}

/// `a=b,c=d`, or `<none>`.
fn labels(map: Option<&Value>) -> Value {
    let pairs: Vec<String> = object::meta::string_map(map).iter().map(|(key, value)| format!("{key}={value}")).collect();
    joined(&pairs, ",", "<none>")
}

/// A label selector as text, or `<none>`.
fn selector(selector: Option<&Value>) -> Value {
    let Some(selector) = selector else { return "<none>".into() };
    match object::selector::LabelSelector::from_json(selector) {
        Ok(parsed) if parsed.is_empty() => "<none>".into(),
        Ok(parsed) => parsed.to_string().into(),
        Err(_) => "<error>".into(),
    }
}

fn joined(parts: &[String], separator: &str, none: &str) -> Value {
    if parts.is_empty() { none.into() } else { parts.join(separator).into() }
}

/// The first `max` of a list, and how many more there are.
fn some_of(mut parts: Vec<String>, max: usize, separator: &str) -> String {
    let more = parts.len().saturating_sub(max);
    parts.truncate(max);
    let shown = parts.join(separator);
    if more == 0 { shown } else { format!("{shown} + {more} more...") }
}

#[cfg(test)]
mod tests;
