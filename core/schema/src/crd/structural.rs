//! A structural schema, read once from its JSON form.

use std::collections::BTreeMap;

use object::Value;
use object::value::{at, list_at, str_at};

use super::format;

/// Schemas nest no deeper than this; what is below is taken as anything.
const MAX_DEPTH: u32 = 100;

/// What a schema says of a value.
#[derive(Clone, Debug, Default)]
pub struct Structural {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; empty where nothing is said.
    pub kind: String,
    /// Null is a value.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// Declared fields.
    pub properties: BTreeMap<String, Structural>,
    /// What undeclared fields hold.
    pub additional: Option<Box<Structural>>,
    /// What a list holds.
    pub items: Option<Box<Structural>>,
    /// What an absent value becomes.
    pub default: Option<Value>,
    /// `x-kubernetes-list-type`.
    pub list_type: String,
    /// `x-kubernetes-list-map-keys`.
    pub map_keys: Vec<String>,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic: bool,
    /// For people.
    pub description: String,
    /// What values must fulfil.
    pub rules: Rules,
    /// What values must fulfil, in CEL.
    pub cel: Vec<super::rules::Rule>,
}

/// Restrictions of values, in OpenAPI's words.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub required: Vec<String>,
    pub choices: Vec<Value>,
    pub format: Option<format::Format>,
    pub pattern: Option<Pattern>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub minimum: Option<Bound>,
    pub maximum: Option<Bound>,
    pub multiple_of: Option<f64>,
    pub all_of: Vec<Structural>,
    pub any_of: Vec<Structural>,
    pub one_of: Vec<Structural>,
    pub not: Option<Box<Structural>>,
}

/// One end of a range.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The number.
    pub value: f64,
    /// Whether the number itself is outside.
    pub exclusive: bool,
}

/// A regular expression and its source.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was written.
    pub source: String,
    /// `None` for what cannot be read; definitions with such a pattern are refused.
    pub regex: Option<regex_lite::Regex>,
}

impl Structural {
    /// Reads a schema of a definition that was accepted.
    pub fn read(schema: &Value) -> Self {
        read(schema, 0)
    }

    /// What holds anything.
    pub fn anything() -> Self {
        Structural { preserve_unknown: true, nullable: true, ..Structural::default() }
    }

    /// The schema of a field, declared or not.
    pub fn member(&self, key: &str) -> Option<&Structural> {
        self.properties.get(key).or(self.additional.as_deref())
    }
}

fn read(schema: &Value, depth: u32) -> Structural {
    if depth > MAX_DEPTH {
        return Structural::anything();
    }
    let text = |key: &str| str_at(schema, &[key]).to_owned();
    let flag = |key: &str| at(schema, &[key]).and_then(Value::as_bool).unwrap_or(false);
    let below = |value: &Value| read(value, depth + 1);
    let texts = |key: &str| list_at(schema, &[key]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let properties = at(schema, &["properties"]).and_then(Value::as_object).into_iter().flatten();
    Structural {
        kind: text("type"),
        nullable: flag("nullable"),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        properties: properties.map(|(name, schema)| (name.clone(), below(schema))).collect(),
        additional: match at(schema, &["additionalProperties"]) {
            Some(Value::Bool(true)) => Some(Box::new(Structural::anything())),
            Some(schema @ Value::Object(_)) => Some(Box::new(below(schema))),
            _ => None,
        },
        items: at(schema, &["items"]).filter(|items| items.is_object()).map(|items| Box::new(below(items))),
        default: at(schema, &["default"]).cloned(),
        list_type: text("x-kubernetes-list-type"),
        map_keys: texts("x-kubernetes-list-map-keys"),
        atomic: text("x-kubernetes-map-type") == "atomic",
        description: text("description"),
        rules: rules(schema, depth),
        cel: super::rules::read(schema),
    }
}

fn rules(schema: &Value, depth: u32) -> Rules {
    let number = |key: &str| at(schema, &[key]).and_then(Value::as_u64);
    let bound = |key: &str, exclusive: &str| {
        let exclusive = at(schema, &[exclusive]).and_then(Value::as_bool).unwrap_or(false);
        at(schema, &[key]).and_then(Value::as_f64).map(|value| Bound { value, exclusive })
    };
    let all = |key: &str| list_at(schema, &[key]).iter().map(|schema| read(schema, depth + 1)).collect();
    let pattern = str_at(schema, &["pattern"]);
    Rules {
        required: list_at(schema, &["required"]).iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        choices: list_at(schema, &["enum"]).to_vec(),
        format: format::Format::named(str_at(schema, &["format"])),
        pattern: (!pattern.is_empty())
            .then(|| Pattern { source: pattern.to_owned(), regex: regex_lite::Regex::new(pattern).ok() }),
        min_length: number("minLength"),
        max_length: number("maxLength"),
        min_items: number("minItems"),
        max_items: number("maxItems"),
        min_properties: number("minProperties"),
        max_properties: number("maxProperties"),
        minimum: bound("minimum", "exclusiveMinimum"),
        maximum: bound("maximum", "exclusiveMaximum"),
        multiple_of: at(schema, &["multipleOf"]).and_then(Value::as_f64).filter(|n| *n > 0.0),
        all_of: all("allOf"),
        any_of: all("anyOf"),
        one_of: all("oneOf"),
        not: at(schema, &["not"]).filter(|not| not.is_object()).map(|not| Box::new(read(not, depth + 1))),
    }
}
