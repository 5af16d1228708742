//! How long a request may take: the `timeout` parameter, and Go's durations in which it is written.

use object::{ApiError, Reason, Result, Time};

use super::query::Query;
use crate::server::ApiServer;

/// How long a change may take at most, whatever the client asks for, as in kube-apiserver.
const CHANGE_SECONDS: u64 = 34;

/// When a request that began now has taken too long.
pub fn of(api: &ApiServer, query: &Query, changes: bool, now: Time) -> Result<Time> {
    let most = u64::from(api.settings.request_timeout_seconds) * 1_000_000;
    let asked = match query.get("timeout") {
        "" => 0,
        text => parse_duration(text)
            .map_err(|why| ApiError::bad_request(format!("invalid timeout specified in the request URL - time: {why}")))?,
    };
    let micros = u64::try_from(asked).ok().filter(|asked| *asked > 0).map_or(most, |asked| asked.min(most));
    let micros = if changes { micros.min(CHANGE_SECONDS * 1_000_000) } else { micros };
    Ok(Time(now.0.saturating_add(micros)))
}

/// The answer to a request that took too long.
pub fn exceeded(changes: bool) -> Box<ApiError> {
    let why = if changes {
        "Timeout: request did not complete within requested timeout - context deadline exceeded"
    } else {
        "Timeout: request did not complete within the allotted timeout"
    };
    ApiError::new(504, Reason::Timeout, why)
}

/// Go's `time.ParseDuration`, in microseconds. What cannot be read is said in its words.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos: f64 = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        let value: f64 = match digits {
            "" | "." => return Err(invalid()),
            _ if digits.matches('.').count() > 1 => return Err(invalid()),
            _ => digits.parse().map_err(|_| invalid())?,
        };
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (name, after) = after.split_at(unit);
        let scale = match name {
            "" => return Err(format!("missing unit in duration {text:?}")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(format!("unknown unit {name:?} in duration {text:?}")),
        };
        nanos += value * scale;
        rest = after;
    }
    if nanos >= 9_223_372_036_854_775_807.0 {
        return Err(invalid());
    }
    let micros = (nanos / 1e3).ceil() as i64;
    Ok(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, wanted) in [
            ("10s", Ok(10_000_000)),
            ("1m30s", Ok(90_000_000)),
            ("1.5ms", Ok(1_500)),
            ("-2s", Ok(-2_000_000)),
            ("+2s", Ok(2_000_000)),
            ("0", Ok(0)),
            ("1ns", Ok(1)),
            (".5s", Ok(500_000)),
            ("10", Err("missing unit in duration \"10\"")),
            ("10x", Err("unknown unit \"x\" in duration \"10x\"")),
            ("x", Err("invalid duration \"x\"")),
            ("", Err("invalid duration \"\"")),
            ("-", Err("invalid duration \"-\"")),
            ("1.2.3s", Err("invalid duration \"1.2.3s\"")),
            (".s", Err("invalid duration \".s\"")),
            ("99999999999h", Err("invalid duration \"99999999999h\"")),
        ] {
            assert_eq!(parse_duration(text), wanted.map_err(str::to_owned), "{text}");
        }
    }
}
