//! What expressions compute with.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use object::quantity::Quantity;

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// null
    Null,
    /// bool
    Bool(bool),
    /// int
    Int(i64),
    /// uint
    Uint(u64),
    /// double
    Double(f64),
    /// string
    Text(Arc<str>),
    /// bytes
    Bytes(Arc<[u8]>),
    /// list
    List(Arc<Vec<Value>>),
    /// map, and objects with fields
    Map(Arc<BTreeMap<Key, Value>>),
    /// timestamp, in microseconds since 1970
    Timestamp(i64),
    /// duration, in nanoseconds
    Duration(i64),
    /// optional
    Optional(Option<Arc<Value>>),
    /// A type, by its name.
    Type(&'static str),
    /// Kubernetes' quantity
    Quantity(Quantity),
    /// net.IP
    Ip(std::net::IpAddr),
    /// net.CIDR
    Cidr(std::net::IpAddr, u8),
    /// kubernetes.Semver
    Semver(Arc<crate::libraries::Semver>),
    /// kubernetes.NamedFormat, by its name
    Format(&'static str),
    /// An object with a type of its own, as expressions make them.
    Struct(Arc<Struct>),
    /// A question to the authorizer, as far as it was put.
    Check(Arc<crate::authorizer::Check>),
    /// The authorizer's answer.
    Decision(Arc<crate::authorizer::Decision>),
    /// A value whose computation failed; whoever asks for it gets the reason.
    Failed(Arc<str>),
}

/// What `Object.spec{…}` makes.
#[derive(Clone, Debug)]
pub struct Struct {
    /// The type's name: `Object.spec`.
    pub name: String,
    /// What it has.
    pub fields: BTreeMap<String, Value>,
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// bool
    Bool(bool),
    /// int, and uint where it fits
    Int(i64),
    /// string
    Text(Arc<str>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text.into())
    }
}

impl Value {
    /// JSON as CEL sees it: whole numbers are ints.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Value::Double(n.as_f64().unwrap_or_default()), Value::Int),
            Json::String(text) => Value::Text(text.as_str().into()),
            Json::Array(list) => Value::List(Arc::new(list.iter().map(Value::from_json).collect())),
            Json::Object(map) => {
                Value::Map(Arc::new(map.iter().map(|(k, v)| (Key::Text(k.as_str().into()), Value::from_json(v))).collect()))
            }
        }
    }

    /// As JSON; otherwise says what JSON has no form for.
    pub fn to_json(&self) -> Result<serde_json::Value, String> {
        use serde_json::Value as Json;
        let list = |list: &[Value]| list.iter().map(Value::to_json).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(n) => (*n).into(),
            Value::Uint(n) => (*n).into(),
            Value::Double(n) => (*n).into(),
            Value::Text(text) => Json::String(text.to_string()),
            Value::List(items) => list(items)?.into(),
            Value::Map(map) => {
                let entry = |(key, value): (&Key, &Value)| match key {
                    Key::Text(key) => Ok((key.to_string(), value.to_json()?)),
                    key => Err(format!("map key of type {}, not string", key.value().type_name())),
                };
                Json::Object(map.iter().map(entry).collect::<Result<_, _>>()?)
            }
            Value::Struct(object) => {
                let fields = object.fields.iter().map(|(key, value)| Ok((key.clone(), value.to_json()?)));
                Json::Object(fields.collect::<Result<_, String>>()?)
            }
            Value::Timestamp(_) | Value::Duration(_) => Json::String(crate::strings::shown(self)),
            other => return Err(format!("{} has no form in JSON", other.type_name())),
        })
    }

    /// Where the types of objects are not those of the fields in which they stand: `Object.spec` belongs into `spec`.
    pub fn misnamed(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Value::Struct(object) => {
                if object.name != path {
                    let wrong = format!(
                        "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                        object.name
                    );
                    found.push(wrong);
                }
                object.fields.iter().for_each(|(key, value)| value.misnamed(&format!("{path}.{key}"), found));
            }
            Value::List(items) => items.iter().for_each(|item| item.misnamed(path, found)),
            Value::Map(map) => map.values().for_each(|value| value.misnamed(path, found)),
            _ => {}
        }
    }

    /// A map with these texts as keys.
    pub fn map(entries: impl IntoIterator<Item = (String, Value)>) -> Self {
        Value::Map(Arc::new(entries.into_iter().map(|(key, value)| (Key::Text(key.into()), value)).collect()))
    }

    /// CEL's name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::Text(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Optional(_) => "optional_type",
            Value::Type(_) => "type",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Ip(_) => "net.IP",
            Value::Cidr(..) => "net.CIDR",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Format(_) => "kubernetes.NamedFormat",
            Value::Struct(_) => "object",
            Value::Check(check) => check.type_name(),
            Value::Decision(_) => "kubernetes.authorization.Decision",
            Value::Failed(_) => "error",
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As the key of a map.
    pub fn key(&self) -> Option<Key> {
        match self {
            Value::Bool(b) => Some(Key::Bool(*b)),
            Value::Int(n) => Some(Key::Int(*n)),
            Value::Uint(n) => i64::try_from(*n).ok().map(Key::Int),
            Value::Double(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(Key::Int(*n as i64)),
            Value::Text(text) => Some(Key::Text(text.clone())),
            _ => None,
        }
    }

    /// Roughly how much work it is to look at all of it.
    pub fn weight(&self) -> u64 {
        match self {
            Value::Text(text) => text.len() as u64 / 10,
            Value::Bytes(bytes) => bytes.len() as u64 / 10,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Struct(object) => object.fields.len() as u64,
            _ => 1,
        }
    }

    /// Equality as CEL has it: numbers of all types compare by value, different types are unequal.
    pub fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b)),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| a.equals(b)))
            }
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Type(a), Value::Type(b)) | (Value::Format(a), Value::Format(b)) => a == b,
            (Value::Semver(a), Value::Semver(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a, n), Value::Cidr(b, m)) => a == b && n == m,
            (Value::Struct(a), Value::Struct(b)) => {
                let same = |(key, a): (&String, &Value)| b.fields.get(key).is_some_and(|b| a.equals(b));
                a.name == b.name && a.fields.len() == b.fields.len() && a.fields.iter().all(same)
            }
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (a, b) => a.is_none() && b.is_none(),
            },
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// Order, where there is one.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Uint(b)) => Some(u64::try_from(*a).map_or(Ordering::Less, |a| a.cmp(b))),
            (Value::Uint(a), Value::Int(b)) => Some(u64::try_from(*b).map_or(Ordering::Greater, |b| a.cmp(&b))),
            (Value::Double(_) | Value::Int(_) | Value::Uint(_), Value::Double(_) | Value::Int(_) | Value::Uint(_)) => {
                self.number()?.partial_cmp(&other.number()?)
            }
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Quantity(a), Value::Quantity(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Uint(n) => Some(*n as f64),
            Value::Double(n) => Some(*n),
            _ => None,
        }
    }
}

impl Key {
    /// As a value.
    pub fn value(&self) -> Value {
        match self {
            Key::Bool(b) => Value::Bool(*b),
            Key::Int(n) => Value::Int(*n),
            Key::Text(text) => Value::Text(text.clone()),
        }
    }
}
