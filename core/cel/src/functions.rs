//! Operators and functions: CEL's own, its extensions and Kubernetes' libraries.
//!
//! <https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries>

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use object::quantity::Quantity;

use crate::ast::Operator;
use crate::eval::{EvalError, Result, error, no_overload};
use crate::libraries;
use crate::strings;
use crate::value::{Key, Value};

/// Types that expressions can name.
pub const TYPES: [&str; 15] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "optional_type",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "net.IP",
    "net.CIDR",
];

/// A list that an expression makes is at most this long.
const MOST_ITEMS: usize = 100_000;

/// What a call costs beyond looking at its arguments once.
pub fn cost(name: &str, values: &[Value]) -> u64 {
    let weight = |i: usize| values.get(i).map_or(1, Value::weight);
    match name {
        // Pairs are compared.
        "sets.contains" | "sets.equivalent" | "sets.intersects" => weight(0).saturating_mul(weight(1)),
        "distinct" => weight(0).saturating_mul(weight(0)),
        "lists.range" => values.first().map_or(1, |n| if let Value::Int(n) = n { n.unsigned_abs() } else { 1 }),
        "matches" | "find" | "findAll" | "contains" | "replace" | "indexOf" | "lastIndexOf" => {
            weight(0).saturating_mul(weight(1).max(1))
        }
        // Somebody else has to look at all roles.
        "check" if matches!(values.first(), Some(Value::Check(_))) => 350_000,
        _ => 1,
    }
}

fn overflow<T>() -> Result<T> {
    error("integer overflow")
}

fn checked(value: Option<i64>) -> Result {
    value.map_or_else(overflow, |n| Ok(Value::Int(n)))
}

/// An operator between two values.
pub fn binary(operator: Operator, a: &Value, b: &Value) -> Result {
    let order = |holds: fn(Ordering) -> bool| match a.compare(b) {
        Some(ordering) => Ok(Value::Bool(holds(ordering))),
        None => no_overload(),
    };
    match operator {
        Operator::Equal => Ok(Value::Bool(a.equals(b))),
        Operator::NotEqual => Ok(Value::Bool(!a.equals(b))),
        Operator::Less => order(Ordering::is_lt),
        Operator::LessEqual => order(Ordering::is_le),
        Operator::Greater => order(Ordering::is_gt),
        Operator::GreaterEqual => order(Ordering::is_ge),
        Operator::In => match b {
            Value::List(list) => Ok(Value::Bool(list.iter().any(|item| item.equals(a)))),
            Value::Map(map) => Ok(Value::Bool(a.key().is_some_and(|key| map.contains_key(&key)))),
            _ => no_overload(),
        },
        _ => arithmetic(operator, a, b),
    }
}

fn arithmetic(operator: Operator, a: &Value, b: &Value) -> Result {
    use Operator::{Add, Divide, Multiply, Remainder, Subtract};
    match (operator, a, b) {
        (Add, Value::Int(a), Value::Int(b)) => checked(a.checked_add(*b)),
        (Subtract, Value::Int(a), Value::Int(b)) => checked(a.checked_sub(*b)),
        (Multiply, Value::Int(a), Value::Int(b)) => checked(a.checked_mul(*b)),
        (Divide, Value::Int(_), Value::Int(0)) | (Divide, Value::Uint(_), Value::Uint(0)) => error("division by zero"),
        (Remainder, Value::Int(_), Value::Int(0)) | (Remainder, Value::Uint(_), Value::Uint(0)) => error("modulus by zero"),
        (Divide, Value::Int(a), Value::Int(b)) => checked(a.checked_div(*b)),
        (Remainder, Value::Int(a), Value::Int(b)) => checked(a.checked_rem(*b)),
        (_, Value::Uint(a), Value::Uint(b)) => {
            let value = match operator {
                Add => a.checked_add(*b),
                Subtract => a.checked_sub(*b),
                Multiply => a.checked_mul(*b),
                Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            value.map_or_else(|| error("unsigned integer overflow"), |n| Ok(Value::Uint(n)))
        }
        (Add, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Subtract, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Multiply, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        (Divide, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        (Add, Value::Text(a), Value::Text(b)) if a.len() + b.len() > strings::MOST_BYTES => error("string is too long"),
        (Add, Value::Text(a), Value::Text(b)) => Ok(format!("{a}{b}").into()),
        (Add, Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes(a.iter().chain(b.iter()).copied().collect())),
        (Add, Value::List(a), Value::List(b)) if a.len() + b.len() > MOST_ITEMS => error("list is too long"),
        (Add, Value::List(a), Value::List(b)) => Ok(Value::List(Arc::new(a.iter().chain(b.iter()).cloned().collect()))),
        (Add, Value::Duration(a), Value::Duration(b)) => a.checked_add(*b).map_or_else(overflow, |n| Ok(Value::Duration(n))),
        (Subtract, Value::Duration(a), Value::Duration(b)) => a.checked_sub(*b).map_or_else(overflow, |n| Ok(Value::Duration(n))),
        (Add, Value::Timestamp(t), Value::Duration(d)) | (Add, Value::Duration(d), Value::Timestamp(t)) => {
            t.checked_add(d / 1000).map_or_else(overflow, |n| Ok(Value::Timestamp(n)))
        }
        (Subtract, Value::Timestamp(t), Value::Duration(d)) => {
            t.checked_sub(d / 1000).map_or_else(overflow, |n| Ok(Value::Timestamp(n)))
        }
        (Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            a.checked_sub(*b).and_then(|n| n.checked_mul(1000)).map_or_else(overflow, |n| Ok(Value::Duration(n)))
        }
        _ => no_overload(),
    }
}

/// Calls a function; as a method, the receiver is the first value.
pub fn call(name: &str, method: bool, values: &[Value]) -> Result {
    let result = libraries::call(name, values).or_else(|| match values {
        [] => nothing(name),
        [one] => unary(name, one),
        [first, rest @ ..] => strings::call(name, first, rest).or_else(|| more(name, method, first, rest)),
    });
    result.unwrap_or_else(no_overload)
}

fn nothing(name: &str) -> Option<Result> {
    (name == "optional.none").then_some(Ok(Value::Optional(None)))
}

fn unary(name: &str, value: &Value) -> Option<Result> {
    if let Some(result) = strings::call(name, value, &[]) {
        return Some(result);
    }
    Some(match (name, value) {
        ("size", Value::List(list)) => Ok(Value::Int(list.len() as i64)),
        ("size", Value::Map(map)) => Ok(Value::Int(map.len() as i64)),
        ("size", Value::Bytes(bytes)) => Ok(Value::Int(bytes.len() as i64)),
        ("dyn", value) => Ok(value.clone()),
        ("type", value) => Ok(Value::Type(value.type_name())),
        ("int" | "uint" | "double" | "string" | "bool" | "bytes" | "timestamp" | "duration", value) => convert(name, value),
        ("optional.of", value) => Ok(Value::Optional(Some(Arc::new(value.clone())))),
        ("optional.ofNonZeroValue", value) => Ok(Value::Optional((!is_zero(value)).then(|| Arc::new(value.clone())))),
        ("hasValue", Value::Optional(value)) => Ok(Value::Bool(value.is_some())),
        ("value", Value::Optional(value)) => match value {
            Some(value) => Ok((**value).clone()),
            None => error("optional.none() dereference"),
        },
        ("isSorted", Value::List(list)) => {
            Ok(Value::Bool(list.windows(2).all(|pair| pair[0].compare(&pair[1]).is_some_and(Ordering::is_le))))
        }
        ("sum", Value::List(list)) => {
            let zero = match list.first() {
                Some(Value::Double(_)) => Value::Double(0.0),
                Some(Value::Uint(_)) => Value::Uint(0),
                Some(Value::Duration(_)) => Value::Duration(0),
                _ => Value::Int(0),
            };
            list.iter().try_fold(zero, |sum, item| arithmetic(Operator::Add, &sum, item))
        }
        ("min" | "max", Value::List(list)) => extreme(name, list),
        ("reverse", Value::List(list)) => Ok(Value::List(Arc::new(list.iter().rev().cloned().collect()))),
        ("distinct", Value::List(list)) => {
            let mut out: Vec<Value> = Vec::new();
            for item in list.iter() {
                if !out.iter().any(|there| there.equals(item)) {
                    out.push(item.clone());
                }
            }
            Ok(Value::List(Arc::new(out)))
        }
        ("sort", Value::List(list)) => {
            let mut out = (**list).clone();
            out.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
            Ok(Value::List(Arc::new(out)))
        }
        ("flatten", Value::List(list)) => Ok(Value::List(Arc::new(flat(list)))),
        ("optional.unwrap" | "unwrapOpt", Value::List(list)) => {
            let inner = list.iter().filter_map(|item| match item {
                Value::Optional(inner) => inner.as_ref().map(|inner| (**inner).clone()),
                other => Some(other.clone()),
            });
            Ok(Value::List(Arc::new(inner.collect())))
        }
        ("lists.range", Value::Int(n)) if *n < 0 => error(format!("lists.range: size must be non-negative, got {n}")),
        ("lists.range", Value::Int(n)) if *n > MOST_ITEMS as i64 => error("list is too long"),
        ("lists.range", Value::Int(n)) => Ok(Value::List(Arc::new((0..*n).map(Value::Int).collect()))),
        ("first", Value::List(list)) => Ok(Value::Optional(list.first().cloned().map(Arc::new))),
        ("last", Value::List(list)) => Ok(Value::Optional(list.last().cloned().map(Arc::new))),
        ("join", Value::List(_)) => return strings::call("join", value, &["".into()]),
        _ => return kubernetes(name, value).or_else(|| crate::strings::time(name, value)),
    })
}

/// What the lists in a list hold, in one.
fn flat(list: &[Value]) -> Vec<Value> {
    let parts = list.iter().flat_map(|item| match item {
        Value::List(inner) => (**inner).clone(),
        other => vec![other.clone()],
    });
    parts.collect()
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) => true,
        Value::Double(n) => *n == 0.0,
        Value::Text(text) => text.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Struct(object) => object.fields.is_empty(),
        _ => false,
    }
}

fn extreme(name: &str, list: &[Value]) -> Result {
    let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
    let Some(first) = list.first() else { return error(format!("{name} called on empty list")) };
    list.iter().try_fold(first.clone(), |best, item| match item.compare(&best) {
        Some(order) if order == wanted => Ok(item.clone()),
        Some(_) => Ok(best),
        None => no_overload(),
    })
}

fn convert(name: &str, value: &Value) -> Result {
    let wrong = || EvalError(format!("type conversion error from '{}' to '{name}'", value.type_name()));
    let out = match (name, value) {
        ("int", Value::Int(_)) | ("uint", Value::Uint(_)) | ("double", Value::Double(_)) | ("bool", Value::Bool(_)) => {
            Some(value.clone())
        }
        ("int", Value::Uint(n)) => i64::try_from(*n).ok().map(Value::Int),
        ("int", Value::Double(n)) if n.abs() < 9.2e18 => Some(Value::Int(*n as i64)),
        ("int", Value::Text(text)) => text.parse().ok().map(Value::Int),
        ("int", Value::Timestamp(n)) => Some(Value::Int(n.div_euclid(1_000_000))),
        ("uint", Value::Int(n)) => u64::try_from(*n).ok().map(Value::Uint),
        ("uint", Value::Double(n)) if *n >= 0.0 && *n < 1.8e19 => Some(Value::Uint(*n as u64)),
        ("uint", Value::Text(text)) => text.parse().ok().map(Value::Uint),
        ("double", Value::Int(n)) => Some(Value::Double(*n as f64)),
        ("double", Value::Uint(n)) => Some(Value::Double(*n as f64)),
        ("double", Value::Text(text)) => text.parse().ok().map(Value::Double),
        ("bool", Value::Text(text)) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        ("bytes", Value::Text(text)) => Some(Value::Bytes(text.as_bytes().into())),
        ("bytes", Value::Bytes(_)) | ("timestamp", Value::Timestamp(_)) | ("duration", Value::Duration(_)) => Some(value.clone()),
        ("timestamp", Value::Text(text)) => {
            object::Time::parse(text).and_then(|time| i64::try_from(time.0).ok()).map(Value::Timestamp)
        }
        ("timestamp", Value::Int(seconds)) => seconds.checked_mul(1_000_000).map(Value::Timestamp),
        ("int", Value::Duration(nanos)) => Some(Value::Int(*nanos)),
        ("duration", Value::Int(nanos)) => Some(Value::Duration(*nanos)),
        ("duration", Value::Text(text)) => strings::duration(text).map(Value::Duration),
        ("string", Value::Bytes(bytes)) => std::str::from_utf8(bytes).ok().map(Value::from),
        ("string", Value::List(_) | Value::Map(_) | Value::Null) => None,
        ("string", value) => Some(strings::shown(value).into()),
        _ => None,
    };
    out.ok_or_else(wrong)
}

fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse().ok().filter(|bits| *bits <= most).map(|bits| (address, bits))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    let (value, width) = match address {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let rest = width - u32::from(bits).min(width);
    if rest >= 128 { 0 } else { value >> rest << rest }
}

/// Kubernetes' libraries of one argument: quantities and addresses.
fn kubernetes(name: &str, value: &Value) -> Option<Result> {
    Some(match (name, value) {
        ("quantity", Value::Text(text)) => match Quantity::parse(text) {
            Some(quantity) => Ok(Value::Quantity(quantity)),
            None => error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        },
        ("isQuantity", Value::Text(text)) => Ok(Value::Bool(Quantity::parse(text).is_some())),
        ("isInteger", Value::Quantity(quantity)) => Ok(Value::Bool(quantity.is_integer())),
        ("asInteger", Value::Quantity(quantity)) if quantity.is_integer() => Ok(Value::Int(quantity.value())),
        ("asInteger", Value::Quantity(_)) => error("cannot convert value to integer"),
        ("asApproximateFloat", Value::Quantity(quantity)) => Ok(Value::Double(quantity.as_f64())),
        ("sign", Value::Quantity(quantity)) => Ok(Value::Int(i64::from(quantity.sign()))),
        ("ip", Value::Text(text)) => match text.parse() {
            Ok(ip) => Ok(Value::Ip(ip)),
            Err(_) => error(format!("IP Address {text:?} parse error during conversion from string")),
        },
        ("isIP", Value::Text(text)) => Ok(Value::Bool(text.parse::<IpAddr>().is_ok())),
        ("family", Value::Ip(ip)) => Ok(Value::Int(if ip.is_ipv4() { 4 } else { 6 })),
        ("isLoopback", Value::Ip(ip)) => Ok(Value::Bool(ip.is_loopback())),
        ("isLinkLocalMulticast", Value::Ip(ip)) => Ok(Value::Bool(match ip {
            IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
            IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
        })),
        ("isLinkLocalUnicast", Value::Ip(ip)) => Ok(Value::Bool(is_link_local(*ip))),
        ("isGlobalUnicast", Value::Ip(ip)) => {
            let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
            let other = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local(*ip);
            Ok(Value::Bool(!broadcast && !other))
        }
        ("isUnspecified", Value::Ip(ip)) => Ok(Value::Bool(ip.is_unspecified())),
        ("cidr", Value::Text(text)) => match cidr(text) {
            Some((address, bits)) => Ok(Value::Cidr(address, bits)),
            None => error(format!("network address parse error during conversion from string: invalid CIDR address: {text}")),
        },
        ("ip.isCanonical", Value::Text(text)) => match text.parse::<IpAddr>() {
            Ok(ip) => Ok(Value::Bool(ip.to_string() == **text)),
            Err(_) => error(format!("IP Address {text:?} parse error during conversion from string")),
        },
        ("masked", Value::Cidr(address, bits)) => {
            let rest = masked(*address, *bits);
            let network = match address {
                IpAddr::V4(_) => IpAddr::from(u32::try_from(rest).unwrap_or_default().to_be_bytes()),
                IpAddr::V6(_) => IpAddr::from(rest.to_be_bytes()),
            };
            Ok(Value::Cidr(network, *bits))
        }
        ("isCIDR", Value::Text(text)) => Ok(Value::Bool(cidr(text).is_some())),
        ("ip", Value::Cidr(address, _)) => Ok(Value::Ip(*address)),
        ("prefixLength", Value::Cidr(_, bits)) => Ok(Value::Int(i64::from(*bits))),
        _ => return None,
    })
}

/// Functions of two arguments and more.
fn more(name: &str, _method: bool, first: &Value, rest: &[Value]) -> Option<Result> {
    Some(match (name, first, rest) {
        ("or", Value::Optional(value), [other @ Value::Optional(_)]) => {
            Ok(if value.is_some() { first.clone() } else { other.clone() })
        }
        ("orValue", Value::Optional(value), [other]) => Ok(value.as_ref().map_or_else(|| other.clone(), |v| (**v).clone())),
        ("sets.contains", Value::List(a), [Value::List(b)]) => Ok(Value::Bool(within(b, a))),
        ("sets.equivalent", Value::List(a), [Value::List(b)]) => Ok(Value::Bool(within(a, b) && within(b, a))),
        ("sets.intersects", Value::List(a), [Value::List(b)]) => {
            Ok(Value::Bool(a.iter().any(|item| b.iter().any(|other| other.equals(item)))))
        }
        ("indexOf", Value::List(list), [item]) => {
            Ok(Value::Int(list.iter().position(|there| there.equals(item)).map_or(-1, |at| at as i64)))
        }
        ("lastIndexOf", Value::List(list), [item]) => {
            Ok(Value::Int(list.iter().rposition(|there| there.equals(item)).map_or(-1, |at| at as i64)))
        }
        ("flatten", Value::List(_), [Value::Int(depth)]) if *depth < 0 => error("level must be non-negative"),
        ("flatten", Value::List(list), [Value::Int(depth)]) => {
            let mut out = (**list).clone();
            for _ in 0..*depth {
                if !out.iter().any(|item| matches!(item, Value::List(_))) {
                    break;
                }
                out = flat(&out);
            }
            Ok(Value::List(Arc::new(out)))
        }
        ("slice", Value::List(list), [Value::Int(from), Value::Int(to)]) => {
            let part = usize::try_from(*from).ok().zip(usize::try_from(*to).ok()).and_then(|(from, to)| list.get(from..to));
            match part {
                Some(part) => Ok(Value::List(Arc::new(part.to_vec()))),
                None => error("slice out of bounds"),
            }
        }
        ("isGreaterThan", a, [b]) => return quantities(a, b, Ordering::is_gt),
        ("isLessThan", a, [b]) => return quantities(a, b, Ordering::is_lt),
        ("compareTo", Value::Quantity(a), [Value::Quantity(b)]) => Ok(Value::Int(a.cmp(b) as i64)),
        ("add", Value::Quantity(a), [b]) => return whole(b).map(|b| Ok(Value::Quantity(*a + b))),
        ("sub", Value::Quantity(a), [b]) => return whole(b).map(|b| Ok(Value::Quantity(*a - b))),
        ("containsIP", Value::Cidr(network, bits), [other]) => {
            let ip = match other {
                Value::Ip(ip) => Some(*ip),
                Value::Text(text) => text.parse().ok(),
                _ => None,
            };
            let Some(ip) = ip else { return Some(error("IP address parse error during conversion from string")) };
            Ok(Value::Bool(ip.is_ipv4() == network.is_ipv4() && masked(ip, *bits) == masked(*network, *bits)))
        }
        ("containsCIDR", Value::Cidr(network, bits), [other]) => {
            let inner = match other {
                Value::Cidr(address, bits) => Some((*address, *bits)),
                Value::Text(text) => cidr(text),
                _ => None,
            };
            let Some((address, inner)) = inner else {
                return Some(error("network address parse error during conversion from string"));
            };
            let same = address.is_ipv4() == network.is_ipv4() && masked(address, *bits) == masked(*network, *bits);
            Ok(Value::Bool(same && inner >= *bits))
        }
        _ => return None,
    })
}

fn within(small: &[Value], large: &[Value]) -> bool {
    small.iter().all(|item| large.iter().any(|other| other.equals(item)))
}

fn whole(value: &Value) -> Option<Quantity> {
    match value {
        Value::Quantity(quantity) => Some(*quantity),
        Value::Int(n) => Some(Quantity::new(*n, object::quantity::Format::DecimalSI)),
        _ => None,
    }
}

fn quantities(a: &Value, b: &Value, holds: fn(Ordering) -> bool) -> Option<Result> {
    match (a, b) {
        (Value::Quantity(a), Value::Quantity(b)) => Some(Ok(Value::Bool(holds(a.cmp(b))))),
        _ => None,
    }
}

/// The parts of an address of the web, as a map.
pub(crate) fn parts(entries: [(&str, Value); 6]) -> Value {
    let map: BTreeMap<Key, Value> = entries.into_iter().map(|(key, value)| (Key::Text(key.into()), value)).collect();
    Value::Map(Arc::new(map))
}
