//! Reads an object of a known type: from bytes, or from a JSON value that a patch has made.
//!
//! One pass does what Go's typed decoding and encoding do between them: values of the wrong type are refused in the
//! words of Go's decoder, fields that are not declared are dropped and named, fields given twice are named (bytes only),
//! nulls and empty values that Go would leave out are left out, those it always writes are put in, and times and
//! quantities take their canonical form. The result is what is stored and compared.

mod patched;

use std::fmt;

use object::quantity::Quantity;
use object::time;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::gotype::{embedded, go_type, shown_number};
use crate::resource::Resource;
use crate::types::{Field, Format, Shape, Type};

pub use patched::resource_after_patch;

/// An object as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object in the form in which it is stored.
    pub object: Value,
    /// What strict decoding complains about, in the order of the document: `unknown field "spec.nope"`,
    /// `duplicate field "data.a"`. Refused, warned of or ignored as `fieldValidation` says; see [`strict_error`].
    pub strict: Vec<String>,
}

/// Why an object could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It is not JSON.
    Syntax(String),
    /// A value has the wrong type. The message is that of Go's decoder.
    Type(String),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Syntax(m) | DecodeError::Type(m) => f.write_str(m),
        }
    }
}

/// Makes `object` say that it is of this kind.
pub fn put_kind(object: &mut Value, group: &str, version: &str, kind: &str) {
    if let Value::Object(map) = object {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        map.insert("apiVersion".to_owned(), api_version.into());
        map.insert("kind".to_owned(), kind.into());
    }
}

/// The message for `fieldValidation=Strict`.
pub fn strict_error(strict: &[String]) -> String {
    format!("strict decoding error: {}", strict.join(", "))
}

/// Reads an object of a resource, built-in or custom, from JSON.
pub fn resource_from_slice(resource: &Resource, json: &[u8]) -> Result<Decoded, DecodeError> {
    match &resource.custom {
        Some(custom) => crate::crd::from_slice(resource, custom, json),
        None => from_slice(resource.ty(), json),
    }
}

/// Reads an object of a resource from a JSON value.
pub fn resource_from_value(resource: &Resource, value: Value) -> Result<Decoded, DecodeError> {
    match &resource.custom {
        Some(custom) => crate::crd::from_value(resource, custom, value),
        None => from_value(resource.ty(), value),
    }
}

/// Reads JSON.
pub fn from_slice(ty: Type<'_>, json: &[u8]) -> Result<Decoded, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut decoded = run(ty, &mut deserializer, Some(json))?;
    deserializer.end().map_err(|e| DecodeError::Syntax(e.to_string()))?;
    finish_root(&mut decoded);
    Ok(decoded)
}

/// Reads a JSON value.
pub fn from_value(ty: Type<'_>, value: Value) -> Result<Decoded, DecodeError> {
    let mut decoded = run(ty, value, None)?;
    finish_root(&mut decoded);
    Ok(decoded)
}

fn finish_root(decoded: &mut Decoded) {
    if decoded.object.is_null() {
        decoded.object = Value::Object(Map::new());
    }
}

fn run<'de, D: Deserializer<'de, Error = serde_json::Error>>(
    ty: Type<'_>,
    from: D,
    json: Option<&[u8]>,
) -> Result<Decoded, DecodeError> {
    let mut context = Context::default();
    let seed = Seed { ty, field: None, owner: ty, path: &Path::Root, cx: &mut context };
    match seed.deserialize(from) {
        Ok(object) => Ok(Decoded { object, strict: context.strict }),
        Err(error) => Err(context.failed(&error, json)),
    }
}

/// The first number in `json` that reads as `value`, as it is written.
fn literal(json: &[u8], value: f64) -> Option<String> {
    let mut at = 0;
    let mut in_string = false;
    while let Some(byte) = json.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'-' | b'0'..=b'9' if !in_string => {
                let rest = json.get(at..)?;
                let is_number = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = rest.iter().take_while(|b| is_number(b)).count();
                let text = std::str::from_utf8(rest.get(..length)?).ok()?;
                if text.parse() == Ok(value) {
                    return Some(text.to_owned());
                }
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[derive(Default)]
struct Context {
    strict: Vec<String>,
    failure: Option<Failure>,
}

impl Context {
    /// Why reading ended with an error.
    fn failed(self, error: &serde_json::Error, json: Option<&[u8]>) -> DecodeError {
        match self.failure {
            Some(Failure::Message(message)) => DecodeError::Type(message),
            // serde hands over large and fractional numbers as f64; the message wants them as they were written.
            Some(Failure::Number { value, rest }) => {
                let text = json.and_then(|j| literal(j, value)).unwrap_or_else(|| shown_number(value));
                DecodeError::Type(format!("json: cannot unmarshal number {text} {rest}"))
            }
            None => DecodeError::Syntax(error.to_string()),
        }
    }
}

enum Failure {
    Message(String),
    Number { value: f64, rest: String },
}

/// Where the decoder stands; lives on the stack and becomes text only when something is wrong.
enum Path<'p> {
    Root,
    /// A field, and the embedded struct that Go's messages name before it.
    Field(&'p Path<'p>, &'p str, &'static str),
    Key(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    /// `spec.containers[0].image`.
    fn full(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Field(above, name, _) | Path::Key(above, name) => {
                let above = above.full();
                if above.is_empty() { (*name).to_owned() } else { format!("{above}.{name}") }
            }
            Path::Item(above, at) => format!("{}[{at}]", above.full()),
        }
    }

    /// `spec.containers.image`: Go names the fields only.
    fn fields(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Field(above, name, embedded) => {
                let above = above.fields();
                let parts = [above.as_str(), embedded, name];
                parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
            }
            Path::Key(above, _) | Path::Item(above, _) => above.fields(),
        }
    }
}

struct Seed<'a, 'c> {
    ty: Type<'a>,
    /// The field this value, or the list or map around it, belongs to.
    field: Option<Field<'a>>,
    /// The struct that field belongs to.
    owner: Type<'a>,
    path: &'c Path<'c>,
    cx: &'c mut Context,
}

impl Seed<'_, '_> {
    fn fail<T, E: serde::de::Error>(&mut self, message: String) -> Result<T, E> {
        self.cx.failure = Some(Failure::Message(message));
        Err(E::custom(""))
    }

    /// `into Go struct field PodSpec.spec.hostNetwork of type bool`.
    fn target(&self) -> String {
        let ty = go_type(self.ty, if matches!(self.path, Path::Field(..)) { self.field } else { None });
        let path = self.path.fields();
        match self.ty.shape() {
            Shape::String(Format::DateTime | Format::MicroTime) => "into Go value of type string".to_owned(),
            _ if path.is_empty() => format!("into Go value of type {ty}"),
            _ => format!("into Go struct field {}.{path} of type {ty}", self.owner.short_name()),
        }
    }

    fn mismatch<T, E: serde::de::Error>(&mut self, what: &str) -> Result<T, E> {
        if matches!(self.ty.shape(), Shape::Quantity) {
            return self.fail(QUANTITY_FORMAT.to_owned());
        }
        let message = format!("json: cannot unmarshal {what} {}", self.target());
        self.fail(message)
    }

    fn number<E: serde::de::Error>(mut self, value: i64, text: String) -> Result<Value, E> {
        match self.ty.shape() {
            Shape::Integer { bits: 32 } | Shape::IntOrString if i32::try_from(value).is_err() => {
                self.mismatch(&format!("number {text}"))
            }
            Shape::Integer { .. } | Shape::IntOrString | Shape::Number | Shape::Any => Ok(Value::from(value)),
            Shape::ObjectOr(_) => Ok(Value::from(value)),
            Shape::Quantity => self.quantity(&text),
            _ => self.mismatch("number"),
        }
    }

    fn quantity<E: serde::de::Error>(mut self, text: &str) -> Result<Value, E> {
        match Quantity::parse(text) {
            Some(quantity) => Ok(Value::from(quantity.to_string())),
            None => self.fail(QUANTITY_FORMAT.to_owned()),
        }
    }

    fn text<E: serde::de::Error>(mut self, text: String) -> Result<Value, E> {
        match self.ty.shape() {
            Shape::String(Format::Plain) | Shape::Any | Shape::IntOrString | Shape::ObjectOr(_) => Ok(Value::from(text)),
            Shape::String(format @ (Format::DateTime | Format::MicroTime)) => match time::parse(&text) {
                Some(micros) => Ok(time::canonical(micros, *format == Format::MicroTime).map_or(Value::Null, Value::from)),
                None => {
                    let layout = if *format == Format::MicroTime { ".000000" } else { "" };
                    let year = if text.is_empty() { "" } else { &text };
                    let message = format!(
                        "parsing time {text:?} as \"2006-01-02T15:04:05{layout}Z07:00\": cannot parse {year:?} as \"2006\""
                    );
                    self.fail(message)
                }
            },
            Shape::String(Format::Byte) => match illegal_base64(&text) {
                None => Ok(Value::from(text.replace(['\r', '\n'], ""))),
                Some(at) => self.fail(format!("illegal base64 data at input byte {at}")),
            },
            Shape::Quantity => self.quantity(&text),
            _ => self.mismatch("string"),
        }
    }
}

const QUANTITY_FORMAT: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Position at which Go's decoder would stop, if it would.
fn illegal_base64(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut digits = 0usize;
    let mut padding = 0usize;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' | b'\n' => {}
            b'=' if digits % 4 >= 2 && padding < 4 - digits % 4 => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return Some(at),
        }
    }
    if (digits + padding).is_multiple_of(4) { None } else { Some(bytes.len() - bytes.len() % 4) }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(mut self, v: bool) -> Result<Value, E> {
        match self.ty.shape() {
            Shape::Boolean | Shape::Any | Shape::ObjectOr(_) => Ok(Value::from(v)),
            _ => self.mismatch("bool"),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Value, E> {
        self.number(v, v.to_string())
    }

    fn visit_u64<E: serde::de::Error>(mut self, v: u64) -> Result<Value, E> {
        match (i64::try_from(v), self.ty.shape()) {
            (Ok(small), _) => self.number(small, v.to_string()),
            (_, Shape::Number | Shape::Any | Shape::ObjectOr(_)) => Ok(Value::from(v)),
            (_, Shape::Quantity) => self.quantity(&v.to_string()),
            (_, Shape::Integer { .. } | Shape::IntOrString) => self.mismatch(&format!("number {v}")),
            _ => self.mismatch("number"),
        }
    }

    fn visit_f64<E: serde::de::Error>(mut self, v: f64) -> Result<Value, E> {
        match self.ty.shape() {
            Shape::Number | Shape::Any | Shape::ObjectOr(_) => Ok(Value::from(v)),
            Shape::Quantity => self.quantity(&shown_number(v)),
            Shape::Integer { .. } | Shape::IntOrString => {
                self.cx.failure = Some(Failure::Number { value: v, rest: self.target() });
                Err(E::custom(""))
            }
            _ => self.mismatch("number"),
        }
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Value, E> {
        self.text(v.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, v: String) -> Result<Value, E> {
        self.text(v)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        if matches!(self.ty.shape(), Shape::Any | Shape::ObjectOr(_)) {
            let mut list = Vec::new();
            while let Some(item) = seq.next_element::<Value>()? {
                list.push(item);
            }
            return Ok(Value::Array(list));
        }
        let Some(items) = self.ty.items() else { return self.mismatch("array") };
        let mut list = Vec::new();
        loop {
            let path = Path::Item(self.path, list.len());
            let seed = Seed { ty: items, field: self.field, owner: self.owner, path: &path, cx: &mut *self.cx };
            match seq.next_element_seed(seed)? {
                Some(Value::Null) => list.push(zero(items, 0)),
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        match self.ty.shape() {
            Shape::Any | Shape::Embedded => {
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    out.insert(key, value);
                }
            }
            Shape::Map(values) => {
                let values = self.ty.types().ty(*values);
                while let Some(key) = map.next_key::<String>()? {
                    let path = Path::Key(self.path, &key);
                    let seed = Seed { ty: values, field: self.field, owner: self.owner, path: &path, cx: &mut *self.cx };
                    let value = match map.next_value_seed(seed)? {
                        Value::Null => zero(values, 0),
                        value => value,
                    };
                    if out.contains_key(&key) {
                        self.cx.strict.push(format!("duplicate field {:?}", path.full()));
                    }
                    out.insert(key, value);
                }
            }
            Shape::Struct(_) | Shape::ObjectOr(_) => {
                while let Some(key) = map.next_key::<String>()? {
                    let path = Path::Field(self.path, &key, embedded(self.ty, &key));
                    let Some(field) = self.ty.field(&key) else {
                        map.next_value::<IgnoredAny>()?;
                        self.cx.strict.push(format!("unknown field {:?}", path.full()));
                        continue;
                    };
                    if out.contains_key(&key) {
                        self.cx.strict.push(format!("duplicate field {:?}", path.full()));
                    }
                    let owner = match self.ty.shape() {
                        Shape::ObjectOr(id) => self.ty.types().ty(*id),
                        _ => self.ty,
                    };
                    let seed = Seed { ty: field.ty(), field: Some(field), owner, path: &path, cx: &mut *self.cx };
                    let value = map.next_value_seed(seed)?;
                    out.insert(key, value);
                }
                normalize(self.ty, &mut out);
            }
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return match self.mismatch::<Value, A::Error>("object") {
                    Ok(value) => Ok(value),
                    Err(_) => Err(A::Error::custom("")),
                };
            }
        }
        Ok(Value::Object(out))
    }
}

/// Brings the fields of a struct to the form Go would write: empty values leave, those always written come.
fn normalize(ty: Type<'_>, out: &mut Map<String, Value>) {
    out.retain(|key, value| {
        let Some(field) = ty.field(key) else { return true };
        let node = field.node();
        match value {
            Value::Null => node.zero,
            Value::Bool(false) => node.zero || node.pointer || !is_boolean(field),
            Value::Number(n) if n.as_i64() == Some(0) => node.zero || node.pointer || !is_integer(field),
            Value::String(s) if s.is_empty() => node.zero || node.pointer || !is_text(field),
            // What Go always writes it writes as null here.
            Value::Array(list) if list.is_empty() => node.required && !node.zero || node.pointer || field.ty().items().is_none(),
            Value::Object(map) if map.is_empty() => node.zero || node.required || field.ty().values().is_none(),
            _ => true,
        }
    });
    fill(ty, out);
}

/// Puts in what Go always writes.
pub(crate) fn fill(ty: Type<'_>, out: &mut Map<String, Value>) {
    for field in ty.fields().filter(|f| f.node().zero) {
        if out.get(field.name()).is_none_or(Value::is_null) {
            out.insert(field.name().to_owned(), zero(field.ty(), 0));
        }
    }
}

fn is_boolean(field: Field<'_>) -> bool {
    matches!(field.ty().shape(), Shape::Boolean)
}

fn is_integer(field: Field<'_>) -> bool {
    matches!(field.ty().shape(), Shape::Integer { .. })
}

fn is_text(field: Field<'_>) -> bool {
    matches!(field.ty().shape(), Shape::String(_))
}

/// What Go writes for a value of this type that was never set.
pub fn zero(ty: Type<'_>, depth: u32) -> Value {
    match ty.shape() {
        Shape::Boolean => Value::Bool(false),
        Shape::String(Format::Plain) => Value::from(""),
        Shape::Integer { .. } | Shape::Number | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::from("0"),
        Shape::Struct(_) if depth < 8 => {
            Value::Object(ty.fields().filter(|f| f.node().zero).map(|f| (f.name().to_owned(), zero(f.ty(), depth + 1))).collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
