//! Reading patches: what they say, and what strict decoding complains about in them. Nothing of how they are applied.

use std::collections::BTreeSet;
use std::fmt;

use object::syntax::go_json;
use object::{ApiError, Result, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::body;
use crate::message::Request;
use crate::write::{Patch, PatchKind};

/// More complaints than this are not gathered.
const MAX_COMPLAINTS: usize = 100;

/// Reads a patch.
pub fn read(request: &Request, kind: PatchKind) -> Result<Patch> {
    if body::is_yaml(request) {
        let (value, repeated) = body::yaml(&request.body)
            .map_err(|why| ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {why}")))?;
        return Ok(Patch { kind, value, strict: repeated.into_iter().collect() });
    }
    let value: Value = serde_json::from_slice(&request.body)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {}", go_json(&e, &request.body))))?;
    let strict = complaints(&request.body, kind);
    Ok(Patch { kind, value, strict })
}

/// Members given twice, and members that no operation has.
fn complaints(json: &[u8], kind: PatchKind) -> Vec<String> {
    let mut found = Vec::new();
    let members: &[&str] = if kind == PatchKind::Json { &["op", "path", "from", "value"] } else { &[] };
    let seed = Seed { path: "", members, depth: 0, found: &mut found };
    // It has been read once, so it can be read again.
    let _ = seed.deserialize(&mut serde_json::Deserializer::from_slice(json));
    if kind == PatchKind::Json {
        found.iter_mut().for_each(|complaint| *complaint = format!("json patch {complaint}"));
    }
    found
}

struct Seed<'a> {
    path: &'a str,
    /// What the elements of a list at the root may have; empty for anything.
    members: &'a [&'a str],
    depth: u32,
    found: &'a mut Vec<String>,
}

impl Seed<'_> {
    fn inside<'b>(&'b mut self, path: &'b str) -> Seed<'b> {
        Seed { path, members: self.members, depth: self.depth + 1, found: &mut *self.found }
    }

    fn complain(&mut self, what: &str, path: &str) {
        let complaint = format!("{what} field {path:?}");
        if self.found.len() < MAX_COMPLAINTS && !self.found.contains(&complaint) {
            self.found.push(complaint);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> std::result::Result<(), A::Error> {
        for index in 0.. {
            let path = format!("{}[{index}]", self.path);
            if seq.next_element_seed(self.inside(&path))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if self.depth == 1 && !self.members.is_empty() && !self.members.contains(&key.as_str()) {
                self.complain("unknown", &path);
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            }
            if !seen.insert(key) {
                self.complain("duplicate", &path);
            }
            map.next_value_seed(self.inside(&path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict() {
        let many = |what: &[&str]| what.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        for (name, kind, patch, wanted) in [
            ("merge", PatchKind::Merge, r#"{"data": {"a": "1", "a": "2"}, "x": null}"#, many(&[r#"duplicate field "data.a""#])),
            (
                "in a list",
                PatchKind::Strategic,
                r#"{"spec": {"c": [{"n": 1}, {"n": 1, "n": 2, "n": 3}]}}"#,
                many(&[r#"duplicate field "spec.c[1].n""#]),
            ),
            (
                "operations",
                PatchKind::Json,
                r#"[{"op": "add", "path": "/a", "foo": 1, "op": "add"}, {"value": {"foo": 1, "foo": 2}}]"#,
                many(&[
                    r#"json patch unknown field "[0].foo""#,
                    r#"json patch duplicate field "[0].op""#,
                    r#"json patch duplicate field "[1].value.foo""#,
                ]),
            ),
            ("no list", PatchKind::Json, r#"{"foo": 1}"#, many(&[])),
        ] {
            assert_eq!(complaints(patch.as_bytes(), kind), wanted, "{name}");
        }
    }
}
