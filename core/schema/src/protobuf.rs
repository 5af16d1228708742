//! Reads Kubernetes' protobuf encoding of objects, which Go's typed clients (and `kubectl create`) send, into JSON.
//!
//! The body is `k8s\0` and a `runtime.Unknown` message around the object's own. Field numbers are in the type graph
//! ([`FieldNode::number`](crate::types::FieldNode::number), from `overlay/protobuf.txt`); types follow from the shapes, since
//! Kubernetes generates both from the same Go types. Answers are always JSON: every client that sends protobuf reads it.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::types::{Format, Shape, Type};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How deep messages may stand in each other; the same bound as JSON's.
const MAX_DEPTH: u32 = 128;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error decoding protobuf: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

type Result<T> = std::result::Result<T, Malformed>;

/// Reads an object of this type. `apiVersion` and `kind` are those the envelope names.
pub fn to_json(body: &[u8], ty: Type<'_>) -> Result<Value> {
    let message = body.strip_prefix(MAGIC).ok_or(Malformed("the magic number is missing"))?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in fields(message) {
        match field? {
            (1, Wire::Bytes(type_meta)) => {
                for field in fields(type_meta) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = string(text)?,
                        (2, Wire::Bytes(text)) => kind = string(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            (3, Wire::Bytes(encoding)) if !encoding.is_empty() => return Err(Malformed("the content is encoded")),
            _ => {}
        }
    }
    let mut object = value(ty, Wire::Bytes(raw), 0)?;
    if let Value::Object(map) = &mut object {
        for (name, text) in [("apiVersion", api_version), ("kind", kind)] {
            if !text.is_empty() {
                map.insert(name.to_owned(), text.into());
            }
        }
    }
    Ok(object)
}

/// The content of a field.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn bytes(self) -> Result<&'a [u8]> {
        if let Wire::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed("a message or text was expected")) }
    }

    fn varint(self) -> Result<u64> {
        if let Wire::Varint(bits) = self { Ok(bits) } else { Err(Malformed("a whole number was expected")) }
    }
}

/// The fields of a message, in order: number and content.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Wire<'_>)>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Wire<'a>)> {
    let key = varint(rest)?;
    let wire = match key & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed(u64::from_le_bytes(take(rest, 8)?.try_into().map_err(|_| Malformed("a field is cut off"))?)),
        2 => {
            let length = varint(rest)?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => {
            let bytes = take(rest, 4)?.try_into().map_err(|_| Malformed("a field is cut off"))?;
            Wire::Fixed(u64::from(u32::from_le_bytes(bytes)))
        }
        _ => return Err(Malformed("a field has an unknown wire type")),
    };
    Ok((key >> 3, wire))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let length = usize::try_from(length).map_err(|_| Malformed("a length is too large"))?;
    let (taken, left) = rest.split_at_checked(length).ok_or(Malformed("a field is cut off"))?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut bits = 0;
    for shift in (0..64).step_by(7) {
        let (first, left) = rest.split_first().ok_or(Malformed("a number is cut off"))?;
        *rest = left;
        bits |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(bits);
        }
    }
    Err(Malformed("a number is too long"))
}

fn string(bytes: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed("a text is not UTF-8"))
}

/// A value of this type. `Null` stands for what JSON leaves out.
fn value(ty: Type<'_>, wire: Wire<'_>, depth: u32) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(Malformed("messages stand too deep in each other"));
    }
    Ok(match ty.shape() {
        Shape::Boolean => Value::Bool(wire.varint()? != 0),
        // Negative numbers of 32 bits are sent with 64.
        Shape::Integer { .. } => Value::from(wire.varint()? as i64),
        Shape::Number => match wire {
            Wire::Fixed(bits) => Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number),
            _ => return Err(Malformed("a number was expected")),
        },
        Shape::String(Format::Plain) => string(wire.bytes()?)?.into(),
        Shape::String(Format::Byte) => crate::base64::encode(wire.bytes()?).into(),
        Shape::String(format) => time(wire.bytes()?, *format == Format::MicroTime)?,
        Shape::Quantity => match first(wire.bytes()?, 1)? {
            Some(text) => string(text.bytes()?)?.into(),
            None => "0".into(),
        },
        Shape::IntOrString => int_or_string(wire.bytes()?)?,
        // RawExtension, FieldsV1 and JSON all hold JSON's bytes in their first field.
        Shape::Any | Shape::Embedded => match first(wire.bytes()?, 1)? {
            Some(raw) => serde_json::from_slice(raw.bytes()?).map_err(|_| Malformed("embedded JSON is malformed"))?,
            None => Value::Null,
        },
        Shape::ObjectOr(id) => object_or(ty, ty.types().ty(*id), wire.bytes()?, depth)?,
        Shape::Struct(_) => message(ty, wire.bytes()?, depth)?,
        // As the value of a map, a list is a message of its own (`ExtraValue`).
        Shape::List(id, _) => {
            let mut items = Vec::new();
            for field in fields(wire.bytes()?) {
                if let (1, item) = field? {
                    items.push(value(ty.types().ty(*id), item, depth + 1)?);
                }
            }
            Value::Array(items)
        }
        Shape::Map(_) => return Err(Malformed("a map stands where no map can")),
    })
}

fn message(ty: Type<'_>, bytes: &[u8], depth: u32) -> Result<Value> {
    let mut object = Map::new();
    fill(ty, bytes, 0, depth, &mut object)?;
    Ok(Value::Object(object))
}

/// Reads fields into `object`. `within` is the place of this message among those Go embeds, whose fields JSON inlines.
fn fill(ty: Type<'_>, bytes: &[u8], within: u32, depth: u32, object: &mut Map<String, Value>) -> Result<()> {
    let Shape::Struct(known) = ty.shape() else { return Err(Malformed("a message stands where no message can")) };
    for field in fields(bytes) {
        let (number, wire) = field?;
        // Fields of later versions are dropped, as Kubernetes does.
        let Some(number) = u8::try_from(number).ok().filter(|number| *number > 0) else { continue };
        let number = within << 8 | u32::from(number);
        let Some(field) = known.iter().find(|field| field.number == number) else {
            if known.iter().any(|field| field.number >> 8 == number || field.number >> 16 == number) {
                fill(ty, wire.bytes()?, number, depth + 1, object)?;
            }
            continue;
        };
        let of = ty.types().ty(field.node);
        match of.shape() {
            Shape::List(id, _) => {
                let slot = object.entry(field.name.as_ref()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = slot {
                    repeated(ty.types().ty(*id), wire, depth, items)?;
                }
            }
            Shape::Map(id) => {
                let slot = object.entry(field.name.as_ref()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(entries) = slot {
                    entry(ty.types().ty(*id), wire.bytes()?, depth, entries)?;
                }
            }
            _ => {
                let new = value(of, wire, depth + 1)?;
                if !new.is_null() {
                    object.insert(field.name.as_ref().to_owned(), new);
                }
            }
        }
    }
    Ok(())
}

/// One more item, or several numbers packed into one field.
fn repeated(of: Type<'_>, wire: Wire<'_>, depth: u32, items: &mut Vec<Value>) -> Result<()> {
    if let (Shape::Integer { .. } | Shape::Boolean, Wire::Bytes(mut packed)) = (of.shape(), wire) {
        while !packed.is_empty() {
            items.push(value(of, Wire::Varint(varint(&mut packed)?), depth + 1)?);
        }
        return Ok(());
    }
    items.push(value(of, wire, depth + 1)?);
    Ok(())
}

/// One entry of a map: key 1, value 2.
fn entry(of: Type<'_>, bytes: &[u8], depth: u32, entries: &mut Map<String, Value>) -> Result<()> {
    let (mut key, mut content) = (String::new(), None);
    for field in fields(bytes) {
        match field? {
            (1, wire) => key = string(wire.bytes()?)?,
            (2, wire) => content = Some(wire),
            _ => {}
        }
    }
    let empty = if matches!(of.shape(), Shape::Boolean | Shape::Integer { .. }) { Wire::Varint(0) } else { Wire::Bytes(&[]) };
    entries.insert(key, value(of, content.unwrap_or(empty), depth + 1)?);
    Ok(())
}

fn first(bytes: &[u8], number: u64) -> Result<Option<Wire<'_>>> {
    for field in fields(bytes) {
        let (found, wire) = field?;
        if found == number {
            return Ok(Some(wire));
        }
    }
    Ok(None)
}

/// Seconds and nanoseconds; nothing at all is Go's zero time, which JSON writes as null.
fn time(bytes: &[u8], micros: bool) -> Result<Value> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in fields(bytes) {
        match field? {
            (1, wire) => seconds = wire.varint()? as i64,
            (2, wire) => nanos = wire.varint()? as i64,
            _ => {}
        }
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let time = seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000);
    Ok(object::time::canonical(time, micros).map_or(Value::Null, Value::from))
}

fn int_or_string(bytes: &[u8]) -> Result<Value> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in fields(bytes) {
        match field? {
            (1, wire) => is_text = wire.varint()? == 1,
            (2, wire) => number = wire.varint()? as i64,
            (3, wire) => text = string(wire.bytes()?)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// The three types of `JSONSchemaPropsOr…`.
fn object_or(ty: Type<'_>, object: Type<'_>, bytes: &[u8], depth: u32) -> Result<Value> {
    let or_bool = ty.name().ends_with("OrBool");
    let mut allows = false;
    let mut items = Vec::new();
    for field in fields(bytes) {
        match field? {
            (1, wire) if or_bool => allows = wire.varint()? != 0,
            (2, wire) if ty.name().ends_with("OrStringArray") => items.push(string(wire.bytes()?)?.into()),
            (2, wire) if !or_bool => items.push(message(object, wire.bytes()?, depth + 1)?),
            (1 | 2, wire) => return message(object, wire.bytes()?, depth + 1),
            _ => {}
        }
    }
    Ok(if or_bool { allows.into() } else { Value::Array(items) })
}

#[cfg(test)]
mod tests {
    use object::gvk::GroupVersionResource;
    use serde_json::json;

    use super::*;
    use crate::Registry;

    /// `kubectl create configmap a --from-literal=x=y`, as kubectl 1.32 sends it.
    const CONFIG_MAP: &[u8] =
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x1b\x0a\x11\x0a\x01a\x12\x00\x1a\x00\x22\x00\x2a\x00\
        \x32\x00\x38\x00\x42\x00\x12\x06\x0a\x01x\x12\x01y\x1a\x00\x22\x00";

    fn tag(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    fn read(resource: (&str, &str, &str), raw: &[u8]) -> Result<Value> {
        let registry = Registry::builtin();
        let resource = registry.resource(&GroupVersionResource::new(resource.0, resource.1, resource.2)).unwrap();
        to_json(&[MAGIC, &tag(2, raw)].concat(), resource.ty())
    }

    #[test]
    fn what_kubectl_sends() {
        let registry = Registry::builtin();
        let ty = registry.resource(&GroupVersionResource::new("", "v1", "configmaps")).unwrap().ty();
        let object = to_json(CONFIG_MAP, ty).unwrap();
        assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("v1"), &json!("ConfigMap")));
        assert_eq!((&object["metadata"]["name"], &object["data"]), (&json!("a"), &json!({"x": "y"})));
        assert!(object["metadata"].get("creationTimestamp").is_none(), "{object}");
        for end in 0..CONFIG_MAP.len() {
            // Whatever is cut off: an answer or an error, never a panic.
            drop(to_json(&CONFIG_MAP[..end], ty));
        }
        assert_eq!(to_json(b"{}", ty), Err(Malformed("the magic number is missing")));
    }

    #[test]
    fn every_kind_of_value() {
        // spec 2 { containers 2 { name 1, ports 6 { containerPort 3 }, resources 8 { limits 1 { key 1, value 2 { 1 } } } } }
        let limits = tag(1, &[tag(1, b"cpu"), tag(2, &tag(1, b"1"))].concat());
        let container = [tag(1, b"c"), tag(6, &[0x18, 0x50]), tag(8, &limits)].concat();
        let pod = read(("", "v1", "pods"), &tag(2, &tag(2, &container))).unwrap();
        assert_eq!(
            pod["spec"]["containers"],
            json!([{"name": "c", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}])
        );
        let secret = read(("", "v1", "secrets"), &tag(2, &[tag(1, b"k"), tag(2, b"hi")].concat())).unwrap();
        assert_eq!(secret["data"], json!({"k": "aGk="}));
        // spec 2 { ports 1 { targetPort 4 { type 1 = string, strVal 3 } } }
        let port = tag(1, &tag(4, &[&[8, 1][..], &tag(3, b"web")].concat()));
        let service = read(("", "v1", "services"), &tag(2, &port)).unwrap();
        assert_eq!(service["spec"]["ports"], json!([{"targetPort": "web"}]));
        // spec 2 { renewTime 4 { seconds 1 } }
        let lease = read(("coordination.k8s.io", "v1", "leases"), &tag(2, &tag(4, &[8, 1]))).unwrap();
        assert_eq!(lease["spec"]["renewTime"], "1970-01-01T00:00:01.000000Z");
        // Lease lease API should be available: two seconds after Go's zero time.
        let seconds = [8, 0x82, 0x92, 0xb8, 0xc3, 0x98, 0xfe, 0xff, 0xff, 0xff, 1];
        let lease = read(("coordination.k8s.io", "v1", "leases"), &tag(2, &tag(4, &seconds))).unwrap();
        assert_eq!(lease["spec"]["renewTime"], "0001-01-01T00:00:02.000000Z");
    }

    #[test]
    fn every_field_of_every_kind_has_a_number() {
        let registry = Registry::builtin();
        let mut missing = Vec::new();
        for ty in registry.types().all_named().filter(|ty| ty.name().starts_with("io.k8s.api.")) {
            let without = ty.fields().filter(|field| field.node().number == 0);
            missing.extend(without.map(|field| format!("{}.{}", ty.name(), field.name())));
        }
        missing.retain(|name| !name.ends_with(".apiVersion") && !name.ends_with(".kind"));
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn nesting_is_bounded() {
        // JSONSchemaProps.not = 26 (two bytes of tag) within itself.
        let mut message = Vec::new();
        for _ in 0..1000 {
            let mut outer = vec![0xd2, 0x01];
            let mut length = message.len();
            while length > 0x7f {
                outer.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(&message);
            message = outer;
        }
        let registry = Registry::builtin();
        let ty = registry.types().named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps").unwrap();
        assert_eq!(value(ty, Wire::Bytes(&message), 0), Err(Malformed("messages stand too deep in each other")));
    }
}
