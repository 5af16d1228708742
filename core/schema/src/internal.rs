//! Objects as Go writes the types that Kubernetes uses inside its API server, which some messages show: other names than
//! in JSON, another order, and every field there whether it is set or not. The types are in `overlay/internal.txt`.

use std::collections::BTreeMap;

use object::Value;

static TYPES: &str = include_str!("../overlay/internal.txt");
static NULL: Value = Value::Null;

/// The value of this internal type on one line, as `json.Marshal` writes it.
pub(crate) fn compact(kind: &str, value: &Value) -> String {
    Printer::new(false).run(kind, value)
}

/// The same with a line for each field, indented by one blank.
pub(crate) fn indented(kind: &str, value: &Value) -> String {
    Printer::new(true).run(kind, value)
}

struct Printer {
    out: String,
    pretty: bool,
    types: BTreeMap<&'static str, &'static str>,
}

impl Printer {
    fn new(pretty: bool) -> Self {
        let lines = TYPES.lines().filter(|line| !line.starts_with('#'));
        Printer { out: String::new(), pretty, types: lines.filter_map(|line| line.split_once(' ')).collect() }
    }

    fn run(mut self, kind: &str, value: &Value) -> String {
        self.object(kind, value, &NULL, 1);
        self.out
    }

    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', depth));
        }
    }

    fn text(&mut self, text: &str) {
        // Go hides what HTML might take for its own.
        for part in Value::from(text).to_string().chars() {
            match part {
                '<' => self.out.push_str("\\u003c"),
                '>' => self.out.push_str("\\u003e"),
                '&' => self.out.push_str("\\u0026"),
                other => self.out.push(other),
            }
        }
    }

    fn name(&mut self, name: &str) {
        self.text(name);
        self.out.push_str(if self.pretty { ": " } else { ":" });
    }

    /// What stands between brackets, one item after the other.
    fn block<T>(&mut self, ends: [char; 2], items: &[T], depth: usize, mut item: impl FnMut(&mut Self, &T)) {
        self.out.push(ends[0]);
        for (i, each) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.line(depth);
            item(self, each);
        }
        if !items.is_empty() {
            self.line(depth - 1);
        }
        self.out.push(ends[1]);
    }

    /// A value without names of Go's: a scalar, a list of them, a map.
    fn plain(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => self.block(['[', ']'], items, depth, |p, item| p.plain(item, depth + 1)),
            Value::Object(map) => {
                let entries: Vec<(&String, &Value)> = map.iter().collect();
                self.block(['{', '}'], &entries, depth, |p, (key, value)| {
                    p.name(key);
                    p.plain(value, depth + 1);
                });
            }
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn object(&mut self, kind: &str, value: &Value, around: &Value, depth: usize) {
        let mut fields = Vec::new();
        for word in self.types.get(kind).copied().unwrap_or("").split(' ') {
            match word.strip_prefix("..").and_then(|kind| self.types.get(kind)) {
                Some(embedded) => fields.extend(embedded.split(' ')),
                None => fields.push(word),
            }
        }
        let fields: Vec<Field<'_>> = fields.into_iter().filter_map(|word| Field::read(word, value, around)).collect();
        self.block(['{', '}'], &fields, depth, |p, field| {
            p.name(field.name);
            match (field.form.split_at_checked(1), field.value) {
                (Some(("{", kind)), found) => p.object(kind, found, value, depth + 1),
                (Some(("*", kind)), Value::Array(items)) => {
                    p.block(['[', ']'], items, depth + 1, |p, item| p.object(kind, item, value, depth + 2));
                }
                (Some(("*", kind)), found @ Value::Object(_)) => p.object(kind, found, value, depth + 1),
                (Some(("=", "")), Value::Null) => p.text(""),
                (Some(("=", zero)), Value::Null) => p.out.push_str(zero),
                (_, found) => p.plain(found, depth + 1),
            }
        });
    }
}

/// A field to write: its name in Go, what it may hold, and what it holds.
struct Field<'a> {
    name: &'static str,
    form: &'static str,
    value: &'a Value,
}

impl<'a> Field<'a> {
    fn read(word: &'static str, object: &'a Value, around: &'a Value) -> Option<Self> {
        let (head, form) = word.split_at(word.find(['=', '*', '{']).unwrap_or(word.len()));
        let (name, json) = head.split_once('@').unwrap_or((head, ""));
        let found = match json.strip_prefix('^') {
            Some(json) => around.get(json),
            None if json.is_empty() => {
                object.as_object().and_then(|map| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))).map(|(_, v)| v)
            }
            None => json.split('/').try_fold(object, |here, key| here.get(key)),
        };
        if found.is_none() && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return None;
        }
        Some(Field { name, form, value: found.unwrap_or(&NULL) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every type that is named is there.
    #[test]
    fn types_are_complete() {
        let types = Printer::new(false).types;
        for (kind, fields) in &types {
            for word in fields.split(' ') {
                if let Some(at) = word.find(['*', '{']) {
                    assert!(types.contains_key(&word[at + 1..]), "{kind}: {word}");
                }
                if let Some(embedded) = word.strip_prefix("..") {
                    assert!(types.contains_key(embedded), "{kind}: {word}");
                }
            }
        }
    }

    /// Absent fields, fields that move, metav1's names, and what HTML would misread.
    #[test]
    fn as_go_writes_it() {
        let value = json!({"maxSkew": 1, "topologyKey": "<z>", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}}});
        expect_test::expect![[r#"{"MaxSkew":1,"TopologyKey":"\u003cz\u003e","WhenUnsatisfiable":"DoNotSchedule","LabelSelector":{"matchLabels":{"a":"b"}},"MinDomains":null,"NodeAffinityPolicy":null,"NodeTaintsPolicy":null,"MatchLabelKeys":null}"#]]
        .assert_eq(&compact("TopologySpreadConstraint", &value));
        let spec = json!({"hostNetwork": true, "securityContext": {}});
        assert!(compact("PodSpec", &spec).contains(r#""SecurityContext":{"HostNetwork":true,"HostPID":false,"#));
        expect_test::expect![[r#"
            {
             "Limits": {
              "cpu": "1"
             },
             "Requests": {},
             "Claims": [
              {
               "Name": "a",
               "Request": ""
              }
             ]
            }"#]]
        .assert_eq(&indented(
            "ResourceRequirements",
            &json!({"limits": {"cpu": "1"}, "requests": {}, "claims": [{"name": "a"}]}),
        ));
    }
}
