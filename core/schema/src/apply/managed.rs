//! `metadata.managedFields`: reading, writing, order, and the bounds on its length.

use object::order::Order as _;
use object::{Value, json};

use super::set::{Set, is_valid, unite};

/// Update managers beyond this number are folded into one.
const MAX_UPDATE_MANAGERS: usize = 10;
/// The manager they are folded into.
const ANCIENT: &str = "ancient-changes";

/// One manager's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    pub api_version: String,
    pub subresource: String,
    /// RFC 3339; an applier that never changed anything has none.
    pub time: Option<String>,
    pub fields: Set,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Managed {
    pub entries: Vec<Entry>,
}

/// What a client said about managedFields.
pub(super) enum Sent {
    /// Nothing that can be used: those of the live object hold.
    Live,
    /// They are to be forgotten.
    Reset,
    /// These.
    Own(Managed),
}

/// Reads what came with an update; the sets of fields are moved, not copied.
pub(super) fn sent(value: Option<Value>) -> Sent {
    let Some(Value::Array(list)) = value else { return Sent::Live };
    if matches!(list.as_slice(), [Value::Object(only)] if only.is_empty()) {
        return Sent::Reset;
    }
    match decode(list) {
        Some(managed) if !managed.is_empty() => Sent::Own(managed),
        _ => Sent::Live,
    }
}

/// The managers of an object; none if they cannot be read.
pub(super) fn of(object: &Value) -> Managed {
    let list = object::value::list_at(object, &["metadata", "managedFields"]);
    decode(list.to_vec()).unwrap_or_default()
}

fn decode(list: Vec<Value>) -> Option<Managed> {
    Some(Managed { entries: list.into_iter().map(decode_entry).collect::<Option<_>>()? })
}

fn decode_entry(mut value: Value) -> Option<Entry> {
    let fields = match value.get_mut("fieldsV1").map(Value::take) {
        None | Some(Value::Null) => Set::new(),
        Some(fields) if !is_valid(&fields, 0) => return None,
        Some(Value::Object(fields)) => fields,
        Some(_) => return None,
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let operation = text("operation");
    if !matches!(operation.as_str(), "Apply" | "Update") {
        return None;
    }
    Some(Entry {
        manager: text("manager"),
        operation,
        api_version: text("apiVersion"),
        subresource: text("subresource"),
        time: value.get("time").and_then(Value::as_str).map(str::to_owned),
        fields,
    })
}

/// Takes out the fields that nobody owns.
pub(super) fn strip(set: &mut Set) {
    set.remove("f:apiVersion");
    set.remove("f:kind");
    let Some(Value::Object(metadata)) = set.get_mut("f:metadata") else { return };
    metadata.remove(".");
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        metadata.remove(&["f:", field].concat());
    }
    if metadata.is_empty() {
        set.remove("f:metadata");
    }
}

impl Entry {
    /// An entry without fields.
    pub(super) fn identity(manager: &str, operation: &str, api_version: &str, subresource: &str) -> Entry {
        Entry {
            manager: manager.to_owned(),
            operation: operation.to_owned(),
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
            ..Entry::default()
        }
    }

    /// Whether both are entries of one manager. An applier is the same in all versions.
    fn is(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == "Apply" || self.api_version == other.api_version)
    }

    /// The manager in the words of a conflict.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == "Update" {
            text += &format!(" using {}", self.api_version);
        }
        text
    }

    fn seconds(&self) -> u64 {
        self.time.as_deref().and_then(object::Time::parse).map_or(0, object::Time::secs)
    }
}

impl Managed {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of this manager, made if there is none.
    pub(super) fn entry(&mut self, identity: Entry) -> &mut Entry {
        let at = self.entries.iter().position(|e| e.is(&identity)).unwrap_or_else(|| {
            self.entries.push(identity);
            self.entries.len() - 1
        });
        &mut self.entries[at]
    }

    /// Takes out the entry of this manager.
    pub(super) fn take(&mut self, identity: &Entry) -> Option<Entry> {
        let at = self.entries.iter().position(|e| e.is(identity))?;
        Some(self.entries.remove(at))
    }

    /// Drops managers that own nothing.
    pub(super) fn drop_empty(&mut self) {
        self.entries.retain(|e| !e.fields.is_empty());
    }

    /// Folds the oldest update managers of each version together until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut updates = self.entries.iter().filter(|e| e.operation == "Update").count();
        if updates <= MAX_UPDATE_MANAGERS {
            return;
        }
        let (mut oldest, mut kept): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.entries).into_iter().partition(|e| e.operation == "Update");
        oldest.order_by(|a, b| (a.seconds(), &a.manager).cmp(&(b.seconds(), &b.manager)));
        let mut first_of: Vec<Entry> = Vec::new();
        for entry in oldest {
            let first = first_of.iter_mut().find(|e| e.api_version == entry.api_version);
            match first {
                Some(first) if updates > MAX_UPDATE_MANAGERS => {
                    *first = Entry {
                        manager: ANCIENT.to_owned(),
                        subresource: String::new(),
                        time: entry.time,
                        ..std::mem::take(first)
                    };
                    unite(&mut first.fields, entry.fields);
                    updates -= 1;
                }
                None if updates > MAX_UPDATE_MANAGERS => first_of.push(entry),
                _ => kept.push(entry),
            }
        }
        kept.append(&mut first_of);
        self.entries = kept;
    }

    /// The list for the object, in Kubernetes' order: appliers before updaters, then by time and name.
    pub(super) fn encode(mut self) -> Value {
        self.entries.order_by_key(|e| {
            (e.operation.clone(), e.seconds(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
        });
        self.entries.into_iter().map(encode_entry).collect()
    }
}

fn encode_entry(entry: Entry) -> Value {
    let mut out = json!({
        "manager": entry.manager,
        "operation": entry.operation,
        "apiVersion": entry.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": Value::Null,
    });
    out["fieldsV1"] = Value::Object(entry.fields);
    // Kubernetes translates what came through a scale to the object's own fields, and drops the time on the way.
    if let Some(time) = entry.time.filter(|_| entry.subresource != "scale") {
        out["time"] = Value::from(time);
    }
    if !entry.subresource.is_empty() {
        out["subresource"] = Value::from(entry.subresource);
    }
    out
}
