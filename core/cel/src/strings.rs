//! Functions of texts and of time, and how values are written as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::Time;
use regex_lite::Regex;

use crate::eval::{EvalError, Result, error};
use crate::functions::parts;
use crate::value::{Key, Value};

/// A text that a function makes is at most this long.
pub const MOST_BYTES: usize = 1 << 20;

/// A value as text, as `string()` and messages write it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Double(n) => n.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", shown(&key.value()), shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Timestamp(micros) => Time(u64::try_from(*micros).unwrap_or(0)).rfc3339(),
        Value::Duration(nanos) => format!("{}s", *nanos as f64 / 1e9),
        Value::Optional(Some(value)) => format!("optional({})", shown(value)),
        Value::Optional(None) => "optional.none()".to_owned(),
        Value::Type(name) => (*name).to_owned(),
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Cidr(address, bits) => format!("{address}/{bits}"),
        Value::Semver(version) => version.shown(),
        Value::Format(name) => (*name).to_owned(),
        Value::Struct(_) | Value::Check(_) | Value::Decision(_) => value.type_name().to_owned(),
        Value::Failed(why) => why.to_string(),
    }
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|_| EvalError(format!("error parsing regexp: `{pattern}`")))
}

fn int(n: usize) -> Result {
    Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn text(value: impl Into<String>) -> Result {
    let value: String = value.into();
    if value.len() > MOST_BYTES { error("string is too long") } else { Ok(value.into()) }
}

fn list(values: impl Iterator<Item = Value>) -> Result {
    Ok(Value::List(Arc::new(values.collect())))
}

/// Position in characters of what stands at a byte.
fn position(whole: &str, byte: Option<usize>) -> Result {
    match byte.and_then(|byte| whole.get(..byte)) {
        Some(before) => int(before.chars().count()),
        None => Ok(Value::Int(-1)),
    }
}

/// A function of a text, or of a list of texts; `None` where there is none of this name for these values.
pub fn call(name: &str, first: &Value, rest: &[Value]) -> Option<Result> {
    if let (Value::List(items), "join", [Value::Text(between)]) = (first, name, rest) {
        let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        return texts.map(|texts| text(texts.join(between)));
    }
    if let Value::Map(url) = first {
        return url_part(name, url);
    }
    let Value::Text(this) = first else { return None };
    match rest {
        [] => alone(name, this),
        [Value::Text(other)] => with_text(name, this, other),
        [Value::List(values)] if name == "format" => Some(format_text(this, values)),
        _ => with_numbers(name, this, rest),
    }
}

fn alone(name: &str, this: &str) -> Option<Result> {
    Some(match name {
        "size" => int(this.chars().count()),
        "lowerAscii" => text(this.to_ascii_lowercase()),
        "upperAscii" => text(this.to_ascii_uppercase()),
        "trim" => text(this.trim()),
        "reverse" => text(this.chars().rev().collect::<String>()),
        "quote" | "strings.quote" => text(format!("{this:?}")),
        "isURL" => Ok(Value::Bool(url(this).is_some())),
        "url" => match url(this) {
            Some(url) => Ok(url),
            None => error(format!("URL parse error during conversion from string: parse {this:?}: invalid URI for request")),
        },
        _ => return None,
    })
}

fn with_text(name: &str, this: &str, other: &str) -> Option<Result> {
    Some(match name {
        "contains" => Ok(Value::Bool(this.contains(other))),
        "startsWith" => Ok(Value::Bool(this.starts_with(other))),
        "endsWith" => Ok(Value::Bool(this.ends_with(other))),
        "matches" => regex(other).map(|regex| Value::Bool(regex.is_match(this))),
        "find" => regex(other).and_then(|regex| text(regex.find(this).map_or("", |found| found.as_str()))),
        "findAll" => regex(other).and_then(|regex| list(regex.find_iter(this).map(|found| found.as_str().into()))),
        "indexOf" => position(this, this.find(other)),
        "lastIndexOf" => position(this, this.rfind(other)),
        "split" => list(split(this, other, usize::MAX).into_iter().map(Value::from)),
        _ => return None,
    })
}

fn split(this: &str, by: &str, most: usize) -> Vec<String> {
    if by.is_empty() {
        return this.chars().map(String::from).collect();
    }
    this.splitn(most, by).map(str::to_owned).collect()
}

fn with_numbers(name: &str, this: &str, rest: &[Value]) -> Option<Result> {
    let chars = || this.chars().collect::<Vec<char>>();
    let slice = |from: &i64, to: Option<&i64>| {
        let chars = chars();
        let to = to.map_or(Some(chars.len()), |to| usize::try_from(*to).ok());
        let part =
            usize::try_from(*from).ok().zip(to).and_then(|(from, to)| chars.get(from..to).map(|p| p.iter().collect::<String>()));
        part.map_or_else(|| error("index out of range"), text)
    };
    Some(match (name, rest) {
        ("substring", [Value::Int(from)]) => slice(from, None),
        ("substring", [Value::Int(from), Value::Int(to)]) => slice(from, Some(to)),
        ("charAt", [Value::Int(at)]) => {
            let chars = chars();
            match usize::try_from(*at) {
                Ok(at) if at == chars.len() => text(""),
                Ok(at) if at < chars.len() => text(chars.iter().skip(at).take(1).collect::<String>()),
                _ => error(format!("index out of range: {at}")),
            }
        }
        ("replace", [Value::Text(from), Value::Text(to)]) => grown(this, from, to, usize::MAX),
        ("replace", [Value::Text(from), Value::Text(to), Value::Int(n)]) => {
            grown(this, from, to, usize::try_from(*n).unwrap_or(usize::MAX))
        }
        ("findAll", [Value::Text(pattern), Value::Int(n)]) => regex(pattern).and_then(|regex| {
            let most = usize::try_from(*n).unwrap_or(usize::MAX);
            list(regex.find_iter(this).take(most).map(|found| found.as_str().into()))
        }),
        ("lastIndexOf", [Value::Text(other), Value::Int(from)]) => {
            let end = usize::try_from(*from).ok().and_then(|from| this.char_indices().nth(from)).map(|(byte, _)| byte);
            // What is found may begin there at the latest.
            let found = end.and_then(|end| this.match_indices(&**other).take_while(|(at, _)| *at <= end).last());
            position(this, found.map(|(at, _)| at))
        }
        ("split", [Value::Text(by), Value::Int(n)]) => match n {
            0 => list(std::iter::empty()),
            n => list(split(this, by, usize::try_from(*n).unwrap_or(usize::MAX)).into_iter().map(Value::from)),
        },
        ("indexOf", [Value::Text(other), Value::Int(from)]) => {
            let start = usize::try_from(*from).ok().and_then(|from| this.char_indices().nth(from)).map(|(byte, _)| byte);
            let found = start.and_then(|start| this.get(start..)?.find(&**other).map(|at| at + start));
            position(this, found)
        }
        _ => return None,
    })
}

/// Replaces, unless the result would be too long.
fn grown(this: &str, from: &str, to: &str, most: usize) -> Result {
    let count = if from.is_empty() { this.chars().count() + 1 } else { this.matches(from).count() }.min(most);
    if this.len().saturating_add(count.saturating_mul(to.len())) > MOST_BYTES {
        return error("string is too long");
    }
    text(if most == usize::MAX { this.replace(from, to) } else { this.replacen(from, to, most) })
}

/// `"%s is %d".format([…])`.
fn format_text(this: &str, values: &[Value]) -> Result {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = this.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = digits.parse::<usize>().ok().filter(|p| *p <= 32);
        }
        let verb = chars.next();
        if verb == Some('%') {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else { return error("index 0 out of range") };
        match (verb, value) {
            (Some('s' | 'd'), value) => out += &shown(value),
            (Some('f'), Value::Double(n)) => out += &format!("{n:.*}", precision.unwrap_or(6)),
            (Some('f'), Value::Int(n)) => out += &format!("{:.*}", precision.unwrap_or(6), *n as f64),
            (Some('x'), Value::Int(n)) => out += &format!("{n:x}"),
            (Some('X'), Value::Int(n)) => out += &format!("{n:X}"),
            (Some('o'), Value::Int(n)) => out += &format!("{n:o}"),
            (Some('b'), Value::Int(n)) => out += &format!("{n:b}"),
            (Some(verb), _) => return error(format!("unrecognized formatting clause \"{verb}\"")),
            (None, _) => return error("unexpected end of format string"),
        }
        if out.len() > MOST_BYTES {
            return error("string is too long");
        }
    }
    text(out)
}

/// An absolute address, or an absolute path.
pub(crate) fn url(text: &str) -> Option<Value> {
    if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return None;
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => (scheme, rest),
        _ if text.starts_with('/') => ("", text),
        _ => return None,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.find('/').map_or((rest, ""), |at| rest.split_at(at)),
        None => ("", rest),
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, port),
        _ => (host, ""),
    };
    let mut queries: BTreeMap<Key, Vec<Value>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        queries.entry(Key::Text(key.into())).or_default().push(value.into());
    }
    let queries = queries.into_iter().map(|(key, values)| (key, Value::List(Arc::new(values)))).collect();
    Some(parts([
        ("getScheme", scheme.into()),
        ("getHost", host.into()),
        ("getHostname", name.trim_matches(['[', ']']).into()),
        ("getPort", port.into()),
        ("getEscapedPath", path.into()),
        ("getQuery", Value::Map(Arc::new(queries))),
    ]))
}

fn url_part(name: &str, url: &BTreeMap<Key, Value>) -> Option<Result> {
    let is_part = name.starts_with("get");
    url.get(&Key::Text(name.into())).filter(|_| is_part).cloned().map(Ok)
}

/// Go's durations, in nanoseconds.
pub fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at_checked(digits).filter(|(number, _)| !number.is_empty())?;
        let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
        let (unit, nanos) = units.iter().filter(|(unit, _)| tail.starts_with(unit)).max_by_key(|(unit, _)| unit.len())?;
        total += number.parse::<f64>().ok()? * nanos;
        rest = tail.strip_prefix(unit)?;
    }
    (!text.is_empty() && total < 9.2e18).then_some((sign * total) as i64)
}

/// Parts of times and lengths of durations.
pub fn time(name: &str, value: &Value) -> Option<Result> {
    let number = match value {
        Value::Duration(nanos) => match name {
            "getHours" => nanos / 3_600_000_000_000,
            "getMinutes" => nanos / 60_000_000_000,
            "getSeconds" => nanos / 1_000_000_000,
            "getMilliseconds" => nanos / 1_000_000,
            _ => return None,
        },
        Value::Timestamp(micros) => {
            let text = Time(u64::try_from(*micros).ok()?).rfc3339();
            let part = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<i64>().ok());
            let days = micros.div_euclid(86_400_000_000);
            match name {
                "getFullYear" => part(0, 4)?,
                "getMonth" => part(5, 7)? - 1,
                "getDate" => part(8, 10)?,
                "getDayOfMonth" => part(8, 10)? - 1,
                "getHours" => part(11, 13)?,
                "getMinutes" => part(14, 16)?,
                "getSeconds" => part(17, 19)?,
                "getMilliseconds" => micros.div_euclid(1000).rem_euclid(1000),
                // 1970 began on a Thursday; weeks begin on Sunday.
                "getDayOfWeek" => (days + 4).rem_euclid(7),
                "getDayOfYear" => {
                    let start = Time::parse(&format!("{}-01-01T00:00:00Z", text.get(0..4)?))?;
                    days - i64::try_from(start.0).ok()?.div_euclid(86_400_000_000)
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Ok(Value::Int(number)))
}
