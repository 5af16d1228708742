//! Types, as the checker knows them, and how they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Types with more parts than this are taken as `dyn`, so that work on types is bounded.
const MOST_PARTS: u32 = 1000;

/// A type of CEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// What an expression has in which something is wrong already.
    Error,
    /// dyn
    Dyn,
    /// null
    Null,
    /// bool
    Bool,
    /// int
    Int,
    /// uint
    Uint,
    /// double
    Double,
    /// string
    Text,
    /// bytes
    Bytes,
    /// timestamp
    Timestamp,
    /// duration
    Duration,
    /// An object with declared fields.
    Object(Arc<Object>),
    /// A type with parameters, or one that only functions know: `list`, `map`, `type`, `optional_type`, `net.IP` …
    Of(Arc<Of>),
    /// A type that is not known yet.
    Param(u32),
}

/// An object's type. Two of one name are the same type.
#[derive(Debug)]
pub struct Object {
    /// How errors call it.
    pub name: String,
    /// The fields that expressions may name, as they write them.
    pub fields: BTreeMap<String, Type>,
    /// Whether fields that are not declared are there as well, of any type.
    pub open: bool,
}

impl Object {
    /// The type of a field.
    pub(crate) fn field(&self, name: &str) -> Option<Type> {
        self.fields.get(name).cloned().or(self.open.then_some(Type::Dyn))
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Object {}

/// A type with parameters.
#[derive(Debug, PartialEq, Eq)]
pub struct Of {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: Vec<Type>,
    parts: u32,
}

impl Type {
    /// A type with parameters.
    pub fn of(name: &str, parameters: Vec<Type>) -> Type {
        let parts = 1 + parameters.iter().map(Type::parts).sum::<u32>();
        if parts > MOST_PARTS { Type::Dyn } else { Type::Of(Arc::new(Of { name: name.to_owned(), parameters, parts })) }
    }

    /// `list(element)`
    pub fn list(element: Type) -> Type {
        Type::of("list", vec![element])
    }

    /// `map(key, value)`
    pub fn map(key: Type, value: Type) -> Type {
        Type::of("map", vec![key, value])
    }

    /// `optional_type(value)`
    pub fn optional(value: Type) -> Type {
        Type::of("optional_type", vec![value])
    }

    /// An object with these fields.
    pub fn object(name: impl Into<String>, fields: impl IntoIterator<Item = (String, Type)>) -> Type {
        Type::Object(Arc::new(Object { name: name.into(), fields: fields.into_iter().collect(), open: false }))
    }

    /// An object with any fields.
    pub fn open_object(name: impl Into<String>) -> Type {
        Type::Object(Arc::new(Object { name: name.into(), fields: BTreeMap::new(), open: true }))
    }

    fn parts(&self) -> u32 {
        match self {
            Type::Of(of) => of.parts,
            _ => 1,
        }
    }

    /// The name of a type with parameters, and these.
    pub(crate) fn parameters(&self) -> (&str, &[Type]) {
        match self {
            Type::Of(of) => (&of.name, &of.parameters),
            _ => ("", &[]),
        }
    }

    /// The parameter of `list` and its like.
    pub(crate) fn parameter(&self, name: &str) -> Option<&Type> {
        match self.parameters() {
            (known, [first, ..]) if known == name => Some(first),
            _ => None,
        }
    }

    /// The type inside an optional.
    pub(crate) fn unwrapped(&self) -> Option<&Type> {
        self.parameter("optional_type")
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// The type that a word names: `int`, `kubernetes.authorization.Authorizer`.
    pub fn named(word: &str) -> Type {
        match word {
            "dyn" => Type::Dyn,
            "null" | "null_type" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::Text,
            "bytes" => Type::Bytes,
            "timestamp" | "google.protobuf.Timestamp" => Type::Timestamp,
            "duration" | "google.protobuf.Duration" => Type::Duration,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            other => Type::of(other, Vec::new()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Type::Error => "!error!",
            Type::Dyn => "dyn",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::Text => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::Object(object) => &object.name,
            Type::Of(of) => &of.name,
            Type::Param(number) => return write!(f, "_var{number}"),
        };
        f.write_str(word)?;
        match self.parameters().1 {
            [] => Ok(()),
            parameters => f.write_str(&signature(parameters, false)),
        }
    }
}

/// `(int, string)`; with a receiver, `list(int).(string)`.
pub(crate) fn signature(types: &[Type], method: bool) -> String {
    let (first, rest) = match types {
        [first, rest @ ..] if method => (format!("{first}."), rest),
        all => (String::new(), all),
    };
    let rest: Vec<String> = rest.iter().map(Type::to_string).collect();
    format!("{first}({})", rest.join(", "))
}
